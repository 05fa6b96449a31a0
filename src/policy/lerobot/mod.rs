//! The JSON files of a LeRobot checkpoint folder, read strictly and written as LeRobot writes them.
//!
//! A backbone that LeRobot does not have is written under its own name, so that LeRobot refuses the folder instead
//! of filling a network of its own with random weights.

mod config_file;
mod processors;

pub use config_file::{ConfigFile, Extension};
pub use processors::{ProcessorFile, check_postprocessor, check_preprocessor, postprocessor, preprocessor};

use super::config::{ActConfig, Camera, NormMode};
use serde::de::{Deserializer, Error as _, MapAccess, Visitor};
use serde::ser::{SerializeMap, Serializer};
use serde::{Deserialize, Serialize};
use std::fmt;
use std::marker::PhantomData;

/// The camera's key in our own datasets and checkpoints.
pub const IMAGE_KEY: &str = "observation.images.ego";
/// The state's key.
pub const STATE_KEY: &str = "observation.state";
/// The key of the environment's state.
pub const ENV_KEY: &str = "observation.environment_state";
/// The action's key.
pub const ACTION_KEY: &str = "action";

/// State file of the normalising step.
pub const NORMALIZER_FILE: &str = "policy_preprocessor_step_3_normalizer_processor.safetensors";
/// State file of the step that undoes it.
pub const UNNORMALIZER_FILE: &str = "policy_postprocessor_step_0_unnormalizer_processor.safetensors";

/// What kind of thing a feature is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum Kind {
    /// Camera images.
    Visual,
    /// The robot's state.
    State,
    /// The environment's state.
    Env,
    /// The action.
    Action,
}

/// A feature by its key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Feature {
    /// Its kind.
    #[serde(rename = "type")]
    pub kind: Kind,
    /// Its shape without the batch; images are `[C, H, W]`.
    pub shape: Vec<usize>,
}

/// A JSON object whose order matters: the order of cameras is that of their tokens. Equal keys are refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ordered<T>(pub Vec<(String, T)>);

impl<T> Ordered<T> {
    /// The value of a key.
    pub fn get(&self, key: &str) -> Option<&T> {
        self.0.iter().find_map(|(k, value)| (k == key).then_some(value))
    }
}

impl<T: PartialEq> Ordered<T> {
    /// Whether both hold the same, in whatever order.
    fn same(&self, other: &Ordered<T>) -> bool {
        self.0.len() == other.0.len() && self.0.iter().all(|(key, value)| other.get(key) == Some(value))
    }
}

impl<T: Serialize> Serialize for Ordered<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.0.len()))?;
        for (key, value) in &self.0 {
            map.serialize_entry(key, value)?;
        }
        map.end()
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Ordered<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Entries<T>(PhantomData<T>);
        impl<'de, T: Deserialize<'de>> Visitor<'de> for Entries<T> {
            type Value = Vec<(String, T)>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut entries: Vec<(String, T)> = Vec::new();
                while let Some((key, value)) = map.next_entry::<String, T>()? {
                    if entries.iter().any(|(known, _)| *known == key) {
                        return Err(A::Error::custom(format!("key \"{key}\" stands there twice")));
                    }
                    entries.push((key, value));
                }
                Ok(entries)
            }
        }
        deserializer.deserialize_map(Entries(PhantomData)).map(Ordered)
    }
}

/// What a configuration's policy is told, in order.
fn input_features(config: &ActConfig) -> Ordered<Feature> {
    let mut features: Vec<(String, Feature)> = config
        .cameras
        .iter()
        .map(|Camera { key, height, width }| {
            (key.clone(), Feature { kind: Kind::Visual, shape: vec![3, *height, *width] })
        })
        .collect();
    for (key, kind, columns) in [(STATE_KEY, Kind::State, config.state_dim), (ENV_KEY, Kind::Env, config.env_dim)] {
        if columns > 0 {
            features.push((key.to_owned(), Feature { kind, shape: vec![columns] }));
        }
    }
    Ordered(features)
}

/// What it answers.
fn output_features(config: &ActConfig) -> Ordered<Feature> {
    Ordered(vec![(ACTION_KEY.to_owned(), Feature { kind: Kind::Action, shape: vec![config.action_dim] })])
}

/// LeRobot's map of modes. A kind that is not there is not normalised.
fn norm_map(config: &ActConfig) -> Ordered<NormMode> {
    let modes = &config.normalization;
    let mut map = vec![
        ("VISUAL".to_owned(), modes.visual),
        ("STATE".to_owned(), modes.state),
        ("ACTION".to_owned(), modes.action),
    ];
    if modes.env != NormMode::Identity {
        map.push(("ENV".to_owned(), modes.env));
    }
    Ordered(map)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn objects_keep_their_order_and_refuse_equal_keys() {
        let text = r#"{"b":1,"a":2}"#;
        let map: Ordered<u32> = serde_json::from_str(text).unwrap();
        assert_eq!(map.0, [("b".to_owned(), 1), ("a".to_owned(), 2)]);
        assert_eq!(serde_json::to_string(&map).unwrap(), text);
        assert!(map.same(&serde_json::from_str(r#"{"a":2,"b":1}"#).unwrap()));
        let error = serde_json::from_str::<Ordered<u32>>(r#"{"a":1,"a":2}"#).unwrap_err().to_string();
        assert!(error.contains("\"a\" stands there twice"), "{error}");
    }
}
