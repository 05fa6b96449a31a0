//! What a dataset is made of, as one value: equal values mean equal bytes, so work is not done twice, and two
//! configurations never share a folder.

use super::layout;
use super::reader::read_json;
use super::summary::{DatasetSummary, summary};
use super::{DatasetError, DatasetSpec};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::path::Path;

/// Differences listed at most.
const MAX_DIFFERENCES: usize = 6;

/// `ralphton/provenance.json`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Provenance {
    /// Hash over `made_from`.
    pub config_hash: String,
    /// Configuration, seeds and versions: what the bytes follow from.
    pub made_from: Value,
    /// What the maker noted at the end.
    pub result: Value,
}

/// A finished dataset that is what would be made.
#[derive(Debug, Clone, PartialEq)]
pub struct Finished {
    /// What it holds.
    pub summary: DatasetSummary,
    /// What its maker noted at the end.
    pub result: Value,
}

/// Everything that the bytes of a dataset follow from.
pub(super) fn identity(spec: &DatasetSpec, provenance: &Value) -> Value {
    json!({ "shape": spec, "provenance": provenance })
}

/// A hash that is the same for a value and for what comes back of it from a JSON file.
pub(super) fn config_hash(identity: &Value) -> String {
    blake3::hash(canonical(identity).to_string().as_bytes()).to_hex().to_string()
}

/// Broken numbers as text of nine digits: single precision in one writing, whatever the last bit of a parser.
fn canonical(value: &Value) -> Value {
    match value {
        Value::Number(number) if !(number.is_i64() || number.is_u64()) => {
            Value::String(number.as_f64().map_or_else(|| number.to_string(), |float| format!("{float:.8e}")))
        }
        Value::Array(list) => Value::Array(list.iter().map(canonical).collect()),
        Value::Object(map) => Value::Object(map.iter().map(|(key, value)| (key.clone(), canonical(value))).collect()),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => value.clone(),
    }
}

/// Looks whether `dir` already holds the dataset of this shape and provenance.
///
/// # Errors
/// [`DatasetError::Different`] when it holds another one, naming what differs; [`DatasetError::Exists`] when it is
/// something else.
pub fn finished(dir: &Path, spec: &DatasetSpec, provenance: &Value) -> Result<Option<Finished>, DatasetError> {
    if std::fs::symlink_metadata(dir).is_err() {
        return Ok(None);
    }
    let Ok(found) = read_json::<Provenance>(&dir.join(layout::PROVENANCE)) else {
        return Err(DatasetError::Exists(dir.to_path_buf()));
    };
    check_same(dir, &found.made_from, &identity(spec, provenance))?;
    Ok(Some(Finished { summary: summary(dir)?, result: found.result }))
}

/// Refuses when `found`, which lies in `dir`, is not what is `asked` for.
pub(super) fn check_same(dir: &Path, found: &Value, asked: &Value) -> Result<(), DatasetError> {
    let mut differences = Vec::new();
    compare("", found, asked, &mut differences);
    if differences.is_empty() {
        return Ok(());
    }
    let more = differences.len().saturating_sub(MAX_DIFFERENCES);
    differences.truncate(MAX_DIFFERENCES);
    if more > 0 {
        differences.push(format!("{more} more"));
    }
    Err(DatasetError::Different { path: dir.to_path_buf(), differences: differences.join("; ") })
}

fn compare(name: &str, found: &Value, asked: &Value, differences: &mut Vec<String>) {
    match (found, asked) {
        (Value::Object(found), Value::Object(asked)) => {
            for key in found.keys().chain(asked.keys().filter(|key| !found.contains_key(*key))) {
                let null = Value::Null;
                let name = if name.is_empty() { key.clone() } else { format!("{name}.{key}") };
                compare(&name, found.get(key).unwrap_or(&null), asked.get(key).unwrap_or(&null), differences);
            }
        }
        (found, asked) if canonical(found) != canonical(asked) => {
            let name = name.trim_start_matches("provenance.").trim_start_matches("order.");
            differences.push(format!("{name} is {found} there, {asked} is asked for"));
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_differs_is_named_from_both_sides() {
        let (a, b) = (
            json!({"provenance": {"order": {"seed": 1, "episodes": 5}}}),
            json!({"provenance": {"order": {"seed": 2, "episodes": 5}}}),
        );
        check_same(Path::new("/d"), &a, &a).unwrap();
        let error = check_same(Path::new("/d"), &a, &b).unwrap_err().to_string();
        assert!(error.contains("seed is 1 there, 2 is asked for"), "{error}");
        assert_ne!(config_hash(&a), config_hash(&b));
    }
}
