//! `policy_preprocessor.json` and `policy_postprocessor.json`: the steps around the network. What we write is what
//! LeRobot writes for ACT; what we read must be exactly that, since a step that is skipped or added silently is how
//! training and inference come to normalise differently.

use super::{
    ACTION_KEY, Feature, NORMALIZER_FILE, Ordered, UNNORMALIZER_FILE, input_features, norm_map, output_features,
};
use crate::policy::config::{ActConfig, NormMode};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

/// One of the two files.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ProcessorFile {
    name: String,
    steps: Vec<Step>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Step {
    registry_name: String,
    #[serde(default)]
    config: Map<String, Value>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    state_file: Option<String>,
}

/// Configuration of a step that normalises or undoes it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Normalisation {
    eps: f64,
    features: Ordered<Feature>,
    norm_map: Ordered<NormMode>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    normalize_observation_keys: Option<Vec<String>>,
}

const RENAME: &str = "rename_observations_processor";
const BATCH: &str = "to_batch_processor";
const DEVICE: &str = "device_processor";
const NORMALIZE: &str = "normalizer_processor";
const UNNORMALIZE: &str = "unnormalizer_processor";

fn step(name: &str, config: Value) -> Step {
    let config = if let Value::Object(map) = config { map } else { Map::new() };
    Step { registry_name: name.to_owned(), config, state_file: None }
}

fn device() -> Step {
    step(DEVICE, json!({ "device": "cpu", "float_dtype": null }))
}

fn normalisation(name: &str, features: Ordered<Feature>, config: &ActConfig, state_file: &str) -> Step {
    let value = json!({ "eps": 1e-8, "features": features, "norm_map": norm_map(config) });
    Step { state_file: Some(state_file.to_owned()), ..step(name, value) }
}

fn all_features(config: &ActConfig) -> Ordered<Feature> {
    let mut features = input_features(config);
    features.0.extend(output_features(config).0);
    features
}

/// The steps before the network.
pub fn preprocessor(config: &ActConfig) -> ProcessorFile {
    ProcessorFile {
        name: "policy_preprocessor".into(),
        steps: vec![
            step(RENAME, json!({ "rename_map": {} })),
            step(BATCH, json!({})),
            device(),
            normalisation(NORMALIZE, all_features(config), config, NORMALIZER_FILE),
        ],
    }
}

/// The steps behind it.
pub fn postprocessor(config: &ActConfig) -> ProcessorFile {
    let undo = normalisation(UNNORMALIZE, output_features(config), config, UNNORMALIZER_FILE);
    ProcessorFile { name: "policy_postprocessor".into(), steps: vec![undo, device()] }
}

/// Refuses a preprocessor that does anything else than [`preprocessor`]; returns the name of its state file.
pub fn check_preprocessor(file: &ProcessorFile, config: &ActConfig) -> Result<String, String> {
    check_names(file, &[RENAME, BATCH, DEVICE, NORMALIZE])?;
    let mut state_file = None;
    for step in &file.steps {
        match step.registry_name.as_str() {
            RENAME => check_keys(step, &[("rename_map", |v| v.as_object().is_some_and(Map::is_empty))])?,
            BATCH => check_keys(step, &[])?,
            DEVICE => check_device(step)?,
            _ => state_file = Some(check_normalisation(step, &all_features(config), config)?),
        }
    }
    state_file.ok_or_else(|| format!("there is no step \"{NORMALIZE}\""))
}

/// The same for the postprocessor.
pub fn check_postprocessor(file: &ProcessorFile, config: &ActConfig) -> Result<String, String> {
    check_names(file, &[UNNORMALIZE, DEVICE])?;
    let mut state_file = None;
    for step in &file.steps {
        match step.registry_name.as_str() {
            DEVICE => check_device(step)?,
            _ => state_file = Some(check_normalisation(step, &output_features(config), config)?),
        }
    }
    state_file.ok_or_else(|| format!("there is no step \"{UNNORMALIZE}\""))
}

fn check_names(file: &ProcessorFile, wanted: &[&str]) -> Result<(), String> {
    let names: Vec<&str> = file.steps.iter().map(|step| step.registry_name.as_str()).collect();
    for i in 0..names.len().max(wanted.len()) {
        match (names.get(i), wanted.get(i)) {
            (Some(got), Some(wanted)) if got == wanted => {}
            (Some(got), Some(wanted)) => return Err(format!("step {i} is \"{got}\", wanted \"{wanted}\"")),
            (Some(got), None) => {
                return Err(format!("step {i}, \"{got}\", is one more than the policy was trained with"));
            }
            (None, Some(wanted)) => return Err(format!("step {i}, \"{wanted}\", is missing")),
            (None, None) => {}
        }
    }
    Ok(())
}

/// A key and whether a value of it can be honoured.
type KnownKey<'a> = (&'a str, fn(&Value) -> bool);

/// Every key must be known and its value acceptable.
fn check_keys(step: &Step, known: &[KnownKey<'_>]) -> Result<(), String> {
    for (key, value) in &step.config {
        let name = &step.registry_name;
        match known.iter().find(|(known, _)| known == key) {
            Some((_, acceptable)) if acceptable(value) => {}
            Some(_) => return Err(format!("step \"{name}\": {key} = {value} cannot be honoured")),
            None => return Err(format!("step \"{name}\" has an unknown key \"{key}\"")),
        }
    }
    Ok(())
}

fn check_device(step: &Step) -> Result<(), String> {
    check_keys(step, &[("device", Value::is_string), ("float_dtype", |v| v.is_null() || v == "float32")])
}

fn check_normalisation(step: &Step, features: &Ordered<Feature>, config: &ActConfig) -> Result<String, String> {
    let name = &step.registry_name;
    let read: Normalisation = serde_json::from_value(Value::Object(step.config.clone()))
        .map_err(|error| format!("step \"{name}\": {error}"))?;
    if (read.eps - 1e-8).abs() > 1e-12 {
        return Err(format!("step \"{name}\": eps is {}, wanted 1e-8", read.eps));
    }
    // An object that went through serde_json's map has lost its order, so only its contents are compared.
    if !read.features.same(features) {
        return Err(format!("step \"{name}\": its features are not those of config.json"));
    }
    if !read.norm_map.same(&norm_map(config)) {
        return Err(format!("step \"{name}\": its norm_map is not the normalization_mapping of config.json"));
    }
    if let Some(keys) = &read.normalize_observation_keys
        && let Some((missing, _)) = features.0.iter().find(|(key, _)| key != ACTION_KEY && !keys.contains(key))
    {
        return Err(format!("step \"{name}\" leaves \"{missing}\" as it is (normalize_observation_keys)"));
    }
    let file = step.state_file.clone().ok_or_else(|| format!("step \"{name}\" names no state_file"))?;
    if file.is_empty() || file.contains(['/', '\\', '\0']) || file.starts_with('.') {
        return Err(format!("step \"{name}\": \"{file}\" is no file name"));
    }
    Ok(file)
}

#[cfg(test)]
mod tests {
    use super::super::ConfigFile;
    use super::*;

    const CONFIG: &str = include_str!("../../../tests/fixtures/golden_act_tiny/config.json");
    const PRE: &str = include_str!("../../../tests/fixtures/golden_act_tiny/policy_preprocessor.json");
    const POST: &str = include_str!("../../../tests/fixtures/golden_act_tiny/policy_postprocessor.json");

    fn config() -> ActConfig {
        serde_json::from_str::<ConfigFile>(CONFIG).unwrap().config(None).unwrap()
    }

    #[test]
    fn we_write_what_lerobot_writes() {
        let config = config();
        let theirs: Value = serde_json::from_str(PRE).unwrap();
        assert_eq!(serde_json::to_value(preprocessor(&config)).unwrap(), theirs);
        let theirs: Value = serde_json::from_str(POST).unwrap();
        assert_eq!(serde_json::to_value(postprocessor(&config)).unwrap(), theirs);
        assert_eq!(check_preprocessor(&serde_json::from_str(PRE).unwrap(), &config).unwrap(), NORMALIZER_FILE);
        assert_eq!(check_postprocessor(&serde_json::from_str(POST).unwrap(), &config).unwrap(), UNNORMALIZER_FILE);
    }

    #[test]
    fn steps_that_are_added_changed_or_missing_are_named() {
        let config = config();
        let refused = |change: &dyn Fn(&mut ProcessorFile), words: &str| {
            let mut file = preprocessor(&config);
            change(&mut file);
            let error = check_preprocessor(&file, &config).unwrap_err();
            assert!(error.contains(words), "{error}");
        };
        refused(&|f| f.steps.push(f.steps[3].clone()), "step 4, \"normalizer_processor\", is one more");
        refused(&|f| drop(f.steps.remove(1)), "wanted \"to_batch_processor\"");
        refused(&|f| drop(f.steps.pop()), "\"normalizer_processor\", is missing");
        refused(&|f| drop(f.steps[0].config.insert("rename_map".into(), json!({ "a": "b" }))), "rename_map");
        refused(&|f| drop(f.steps[3].config.insert("eps".into(), json!(1e-3))), "eps is 0.001");
        refused(&|f| drop(f.steps[3].config.insert("norm_map".into(), json!({}))), "norm_map");
        refused(&|f| drop(f.steps[3].config.insert("features".into(), json!({}))), "features");
        refused(&|f| f.steps[3].state_file = Some("../x".into()), "no file name");
        refused(&|f| drop(f.steps[2].config.insert("more".into(), json!(1))), "unknown key \"more\"");
    }
}
