//! The training state on disk: everything that an interrupted training needs to go on bit by bit as if it had not been.
//!
//! One safetensors file, renamed into place: flat weights, moments and averages, and a JSON text as a tensor of bytes.

use super::PolicyError;
use super::checkpoint::{read_tensors, write_tensors};
use super::config::ActConfig;
use super::normalise::Statistics;
use super::optimiser::Optimiser;
use super::plan::TrainPlan;
use candle_core::{Device, Tensor};
use serde::{Deserialize, Serialize};
use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};

const FILE: &str = "training_state.safetensors";

/// What a training is, apart from how far it is. A state is only taken up by the same training.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Identity {
    /// The plan.
    pub plan: TrainPlan,
    /// The network.
    pub config: ActConfig,
    /// The statistics it normalises with.
    pub statistics: Statistics,
    /// Digest of the samples' states and labels.
    pub data: String,
    /// Samples seen in earlier rounds.
    pub earlier_samples: u64,
}

impl Identity {
    /// The first part in which two trainings differ.
    fn difference(&self, other: &Identity) -> Option<&'static str> {
        let Identity { plan, config, statistics, data, earlier_samples } = self;
        [
            ("the plan", *plan != other.plan),
            ("the configuration", *config != other.config),
            ("the data", *data != other.data),
            ("the start", *statistics != other.statistics || *earlier_samples != other.earlier_samples),
        ]
        .into_iter()
        .find_map(|(what, differs)| differs.then_some(what))
    }
}

/// How far a training is.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Course {
    /// Updates made.
    pub updates: u64,
    /// Mean loss of each window, with the samples seen at its end.
    pub losses: Vec<(u64, f64)>,
    /// Sum and number of the losses since the last window ended.
    pub window: (f64, u32),
    /// Seconds of training so far.
    pub seconds: f64,
}

#[derive(Serialize, Deserialize)]
struct Text {
    identity: Identity,
    course: Course,
}

/// A saved state.
pub struct TrainState {
    /// How far it is.
    pub course: Course,
    /// Flat weights.
    pub weights: Vec<f32>,
    /// Moments and averages.
    pub optimiser: Optimiser,
}

fn path_in(work_dir: &Path) -> PathBuf {
    work_dir.join(FILE)
}

/// Writes the state to `work_dir`, replacing the one before at once.
pub fn save(work_dir: &Path, identity: &Identity, state: &TrainState) -> Result<(), PolicyError> {
    let path = path_in(work_dir);
    let temporary = work_dir.join(format!("{FILE}.writing"));
    fs::create_dir_all(work_dir).map_err(PolicyError::io(work_dir))?;
    let text = serde_json::to_vec(&Text { identity: identity.clone(), course: state.course.clone() })
        .map_err(PolicyError::malformed(&path))?;
    let cpu = &Device::Cpu;
    let flat = |values: &[f32]| Tensor::from_slice(values, values.len(), cpu);
    let length = text.len();
    let tensors = HashMap::from([
        ("weights".to_owned(), flat(&state.weights)?),
        ("first".to_owned(), flat(&state.optimiser.first)?),
        ("second".to_owned(), flat(&state.optimiser.second)?),
        ("average".to_owned(), flat(&state.optimiser.average)?),
        ("text".to_owned(), Tensor::from_vec(text, length, cpu)?),
    ]);
    write_tensors(&temporary, &tensors)?;
    fs::rename(&temporary, &path).map_err(PolicyError::io(&path))
}

/// The state in `work_dir`, if there is one. Refuses that of another training.
pub fn load(work_dir: &Path, identity: &Identity, parameters: usize) -> Result<Option<TrainState>, PolicyError> {
    let path = path_in(work_dir);
    if !path.exists() {
        return Ok(None);
    }
    let mut tensors = read_tensors(&path)?;
    let mut take = |name: &str| {
        tensors.remove(name).ok_or_else(|| PolicyError::MissingTensor { path: path.clone(), name: name.to_owned() })
    };
    let text: Vec<u8> = take("text")?.to_vec1().map_err(PolicyError::malformed(&path))?;
    let text: Text = serde_json::from_slice(&text).map_err(PolicyError::malformed(&path))?;
    if let Some(what) = text.identity.difference(identity) {
        return Err(PolicyError::ForeignState { path, what });
    }
    let mut flat = |name: &str| -> Result<Vec<f32>, PolicyError> {
        let values: Vec<f32> = take(name)?.to_vec1().map_err(PolicyError::malformed(&path))?;
        if values.len() != parameters {
            let (wanted, got) = (format!("[{parameters}]"), format!("[{}]", values.len()));
            return Err(PolicyError::WrongTensor { path: path.clone(), name: name.to_owned(), wanted, got });
        }
        Ok(values)
    };
    let weights = flat("weights")?;
    let optimiser = Optimiser {
        updates: text.course.updates,
        first: flat("first")?,
        second: flat("second")?,
        average: flat("average")?,
    };
    Ok(Some(TrainState { course: text.course, weights, optimiser }))
}
