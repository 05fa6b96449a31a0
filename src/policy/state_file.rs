//! The training state on disk: everything that an interrupted training needs to go on bit by bit as if it had not been.
//!
//! One safetensors file, renamed into place: flat weights, moments and averages, and a JSON text as a tensor of bytes.

use super::PolicyError;
use super::checkpoint::{read_tensors, write_tensors};
use super::config::ActConfig;
use super::hold_out::HoldOut;
use super::inference::DatasetMark;
use super::normalise::Statistics;
use super::optimiser::Optimiser;
use super::plan::TrainPlan;
use super::train::{Canary, WindowLoss};
use super::worker::LossParts;
use candle_core::{Device, Tensor};
use serde::{Deserialize, Serialize};
use std::collections::HashMap;
use std::fs::{self, File};
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
    /// Digests of each dataset's states and labels.
    pub datasets: Vec<DatasetMark>,
    /// Samples seen in earlier rounds.
    pub earlier_samples: u64,
}

impl Identity {
    /// The first part in which two trainings differ.
    fn difference(&self, other: &Identity) -> Option<&'static str> {
        let Identity { plan, config, statistics, datasets, earlier_samples } = self;
        [
            ("the plan", *plan != other.plan),
            ("the configuration", *config != other.config),
            ("the data", *datasets != other.datasets),
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
    /// Mean loss of each window.
    pub losses: Vec<WindowLoss>,
    /// The losses since the last window ended.
    pub window: Window,
    /// Measurements on the held-out episodes.
    pub held_out: Vec<HoldOut>,
    /// Snapshots that were driven in closed loop.
    pub canaries: Vec<Canary>,
    /// The one that drove best.
    pub best: Option<Canary>,
    /// Seconds of training so far.
    pub seconds: f64,
}

/// Sums over a window of updates.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Window {
    /// Of the errors.
    #[serde(with = "bits")]
    l1: f64,
    /// Of the divergences.
    #[serde(with = "bits")]
    kl: f64,
    /// How many updates.
    pub updates: u32,
}

/// A number as its bits: the JSON reader may miss the last digit of a long fraction.
mod bits {
    use serde::{Deserialize as _, Deserializer, Serialize as _, Serializer};

    pub fn serialize<S: Serializer>(value: &f64, serializer: S) -> Result<S::Ok, S::Error> {
        value.to_bits().serialize(serializer)
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<f64, D::Error> {
        u64::deserialize(deserializer).map(f64::from_bits)
    }
}

/// Cut to millionths, which a JSON reader gives back exactly: more digits say nothing, and what is judged must not
/// depend on whether a training was interrupted.
pub fn millionths(value: f64) -> f64 {
    (value * 1e6).round() / 1e6
}

impl Window {
    /// Counts one more update.
    pub fn add(&mut self, loss: LossParts) {
        self.l1 += loss.l1;
        self.kl += loss.kl;
        self.updates += 1;
    }

    /// Mean error and mean divergence, to millionths.
    pub fn means(&self) -> (f64, f64) {
        let count = f64::from(self.updates.max(1));
        (millionths(self.l1 / count), millionths(self.kl / count))
    }
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
    /// Averaged weights of the best snapshot; empty while there is none.
    pub best: Vec<f32>,
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
        ("best".to_owned(), flat(&state.best)?),
        ("text".to_owned(), Tensor::from_vec(text, length, cpu)?),
    ]);
    write_tensors(&temporary, &tensors)?;
    fs::rename(&temporary, &path).map_err(PolicyError::io(&path))?;
    File::open(work_dir).and_then(|folder| folder.sync_all()).map_err(PolicyError::io(work_dir))
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
    let best = if text.course.best.is_some() { flat("best")? } else { Vec::new() };
    Ok(Some(TrainState { course: text.course, weights, optimiser, best }))
}
