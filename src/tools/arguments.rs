//! Reading a tool's arguments: typed, closed, and with an error that a model can act on.

use super::{ToolError, tell};
use schemars::JsonSchema;
use serde::de::DeserializeOwned;
use serde_json::Value;

/// Longest arguments accepted, in bytes of JSON.
const MOST_BYTES: usize = 32 * 1024;

/// Reads `args` into `T`; nothing at all counts as an empty object.
///
/// # Errors
/// [`ToolError::TellModel`] with the tool's name and what does not fit.
pub(crate) fn read_arguments<T: DeserializeOwned>(tool: &str, args: Value) -> Result<T, ToolError> {
    let bytes = args.to_string().len();
    if bytes > MOST_BYTES {
        return Err(tell(format!("the arguments of {tool} are {bytes} bytes long; at most {MOST_BYTES} are read")));
    }
    let args = if args.is_null() { Value::Object(serde_json::Map::new()) } else { args };
    serde_json::from_value(args).map_err(|error| tell(format!("the arguments of {tool} do not fit: {error}")))
}

/// The JSON Schema of `T`, without the parts that only tell where the schema came from.
pub(crate) fn schema_of<T: JsonSchema>() -> Value {
    let mut schema = schemars::schema_for!(T).to_value();
    if let Some(object) = schema.as_object_mut() {
        object.remove("$schema");
        object.remove("title");
        // A struct without fields has no "properties" of its own, and some servers insist on one.
        object.entry("properties").or_insert_with(|| Value::Object(serde_json::Map::new()));
    }
    schema
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde::Deserialize;
    use serde_json::json;

    #[derive(Debug, Deserialize, JsonSchema)]
    #[serde(deny_unknown_fields)]
    struct Sample {
        job: i64,
    }

    #[derive(Debug, Deserialize, JsonSchema)]
    #[serde(deny_unknown_fields)]
    struct Nothing {}

    #[test]
    fn what_does_not_fit_is_named() {
        let error = read_arguments::<Sample>("read_job", json!({"jobb": 3})).unwrap_err().to_string();
        assert!(error.contains("read_job") && error.contains("jobb"), "{error}");
        assert_eq!(read_arguments::<Sample>("read_job", json!({"job": 3})).unwrap().job, 3);
    }

    #[test]
    fn no_arguments_at_all_are_an_empty_object() {
        assert!(read_arguments::<Nothing>("loop_status", Value::Null).is_ok());
    }

    #[test]
    fn schemas_are_closed_objects() {
        let schema = schema_of::<Nothing>();
        assert_eq!(schema["type"], "object");
        assert_eq!(schema["additionalProperties"], false);
        assert_eq!(schema["properties"], json!({}));
    }
}
