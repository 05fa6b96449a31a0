//! The file's form: arrays by name, each with its shape and its numbers in row-major order.

use crate::policy::config::L1Mean;
use serde::de::{Deserializer, SeqAccess, Visitor};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fmt;

/// In which units inputs and actions are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Space {
    /// The network's.
    Normalized,
    /// Images in [0, 1], states and actions in their own units.
    Raw,
}

/// What is read. Of another program's outputs only the chunks of an ensemble are: they are inputs in all but name.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Given {
    pub space: Space,
    /// Version of the LeRobot that wrote it.
    #[serde(default)]
    pub lerobot: Option<String>,
    /// Version of this program, where it wrote the file.
    #[serde(default, rename = "ralphton")]
    _ralphton: Option<String>,
    /// The mean that the loss is to take.
    #[serde(default)]
    pub l1_mean: Option<L1Mean>,
    pub inputs: BTreeMap<String, Array>,
    #[serde(default)]
    pub outputs: GivenOutputs,
    /// Chunks to ensemble, where there are no outputs.
    #[serde(default)]
    pub ensemble: Option<Ensemble>,
}

/// The part of another program's outputs that is read.
#[derive(Debug, Default, Deserialize)]
pub struct GivenOutputs {
    #[serde(default)]
    pub ensemble: Option<Ensemble>,
}

/// What is written: the inputs again, and everything made of them.
#[derive(Debug, Serialize)]
pub struct Results {
    pub space: Space,
    pub ralphton: &'static str,
    /// The mean that `train.loss`, gradients and steps are of.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub l1_mean: Option<L1Mean>,
    pub inputs: BTreeMap<String, Array>,
    pub outputs: Outputs,
}

/// Arrays by name, and what is no array.
#[derive(Debug, Default, Serialize)]
pub struct Outputs {
    #[serde(flatten)]
    pub arrays: BTreeMap<String, Array>,
    /// Euclidean norm of each parameter's gradient.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub grad_norm: BTreeMap<String, f64>,
    /// The loss before each step of the optimiser.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub losses: Vec<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ensemble: Option<Ensemble>,
}

/// Chunks of successive steps, and what they make together.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Ensemble {
    pub coeff: f64,
    /// `[steps, B, T, A]`
    pub chunks: Array,
    /// `[steps, B, A]`
    #[serde(default)]
    pub out: Option<Array>,
}

/// Numbers in row-major order.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Array {
    pub shape: Vec<usize>,
    #[serde(deserialize_with = "numbers")]
    pub data: Vec<f32>,
}

impl Array {
    /// A single number.
    pub fn scalar(value: f64) -> Array {
        Array { shape: Vec::new(), data: vec![value as f32] }
    }

    /// Whether there are as many numbers as the shape says.
    pub fn is_whole(&self) -> bool {
        let wanted = self.shape.iter().try_fold(1_usize, |product, side| product.checked_mul(*side));
        wanted == Some(self.data.len())
    }
}

/// Numbers; true and false count as 1 and 0, as flags come in both forms.
fn numbers<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<f32>, D::Error> {
    struct Number(f32);
    struct One;
    impl Visitor<'_> for One {
        type Value = Number;
        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("a number, true or false")
        }
        fn visit_f64<E>(self, value: f64) -> Result<Number, E> {
            Ok(Number(value as f32))
        }
        fn visit_u64<E>(self, value: u64) -> Result<Number, E> {
            Ok(Number(value as f32))
        }
        fn visit_i64<E>(self, value: i64) -> Result<Number, E> {
            Ok(Number(value as f32))
        }
        fn visit_bool<E>(self, value: bool) -> Result<Number, E> {
            Ok(Number(f32::from(u8::from(value))))
        }
    }
    impl<'de> Deserialize<'de> for Number {
        fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
            deserializer.deserialize_any(One)
        }
    }
    struct List;
    impl<'de> Visitor<'de> for List {
        type Value = Vec<f32>;
        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("a flat list of numbers")
        }
        fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Vec<f32>, A::Error> {
            let mut numbers = Vec::new();
            while let Some(Number(number)) = list.next_element()? {
                numbers.push(number);
            }
            Ok(numbers)
        }
    }
    deserializer.deserialize_seq(List)
}
