//! A policy ready to drive: raw pixels and physical states in, chunks of actions out.

use super::PolicyError;
use super::act::Act;
use super::checkpoint;
use super::config::{ACTION_DIM, ActConfig};
use super::noise::Noise;
use super::normalise::{PixelTable, Statistics};
use candle_core::{Device, Tensor};
use std::collections::BTreeMap;
use std::path::Path;

/// Observations that go through the network together at most.
const LARGEST_BATCH: usize = 32;

/// What the policy sees at one instant.
#[derive(Debug, Clone, Copy)]
pub struct Observation<'a> {
    /// RGB bytes `H·W·3`, row-major, interleaved.
    pub image: &'a [u8],
    /// `S` numbers in physical units.
    pub state: &'a [f32],
}

/// Where a policy comes from; stored with it.
#[derive(Debug, Clone, PartialEq, Eq, Default, serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Origin {
    /// Seed of its training.
    pub seed: u64,
    /// Samples seen, over all rounds.
    pub samples: u64,
}

/// A trained network with its statistics. Runs on the calling thread; may be shared by several.
pub struct Policy {
    config: ActConfig,
    statistics: Statistics,
    pixels: PixelTable,
    origin: Origin,
    parameters: BTreeMap<String, Tensor>,
    act: Act,
}

impl std::fmt::Debug for Policy {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Policy").field("config", &self.config).field("origin", &self.origin).finish_non_exhaustive()
    }
}

impl Policy {
    pub(super) fn new(
        config: ActConfig,
        statistics: Statistics,
        origin: Origin,
        parameters: BTreeMap<String, Tensor>,
    ) -> Result<Policy, PolicyError> {
        statistics.check(&config)?;
        let act = Act::new(&config, &parameters)?;
        Ok(Policy { pixels: statistics.pixel_table(), config, statistics, origin, parameters, act })
    }

    /// Reads a checkpoint folder, whole and strictly, and makes it reproduce its recorded outputs.
    pub fn load(dir: &Path) -> Result<Policy, PolicyError> {
        checkpoint::load(dir)
    }

    /// Writes a checkpoint folder: first under a temporary name, so that `dir` is either complete or not there.
    /// An existing `dir` is replaced.
    pub fn save(&self, dir: &Path) -> Result<(), PolicyError> {
        checkpoint::save(self, dir)
    }

    /// The network's configuration.
    pub fn config(&self) -> &ActConfig {
        &self.config
    }

    /// The statistics it normalises with.
    pub fn statistics(&self) -> &Statistics {
        &self.statistics
    }

    /// Samples it was trained on, over all rounds.
    pub fn samples(&self) -> u64 {
        self.origin.samples
    }

    pub(super) fn origin(&self) -> &Origin {
        &self.origin
    }

    pub(super) fn parameters(&self) -> &BTreeMap<String, Tensor> {
        &self.parameters
    }

    /// The chunk of actions for each observation, in the action's own units, clamped to [−1, 1].
    ///
    /// # Shapes
    /// B observations → B chunks of T actions
    pub fn act(&self, batch: &[Observation<'_>]) -> Result<Vec<Vec<[f32; ACTION_DIM]>>, PolicyError> {
        let mut chunks = Vec::with_capacity(batch.len());
        for part in batch.chunks(LARGEST_BATCH) {
            self.act_on(part, &mut chunks)?;
        }
        Ok(chunks)
    }

    fn act_on(&self, batch: &[Observation<'_>], chunks: &mut Vec<Vec<[f32; ACTION_DIM]>>) -> Result<(), PolicyError> {
        let ActConfig { height, width, state_dim, chunk_size, .. } = self.config;
        let mut images = Vec::with_capacity(batch.len() * height * width * 3);
        let mut states = Vec::with_capacity(batch.len() * state_dim);
        for observation in batch {
            let shape = |what, wanted: usize, got: usize| PolicyError::Shape {
                what,
                wanted: format!("{wanted} numbers"),
                got: format!("{got}"),
            };
            if observation.image.len() != height * width * 3 {
                return Err(shape("image", height * width * 3, observation.image.len()));
            }
            if observation.state.len() != state_dim {
                return Err(shape("state", state_dim, observation.state.len()));
            }
            self.pixels.normalise(observation.image, &mut images);
            self.statistics.state.normalise(observation.state, &mut states);
        }
        let images = Tensor::from_vec(images, (batch.len(), height, width, 3), &Device::Cpu)?;
        let states = Tensor::from_vec(states, (batch.len(), state_dim), &Device::Cpu)?;
        let prediction = self.act.forward(&images, &states, None, &mut Noise::none())?;
        let numbers = prediction.actions.flatten_all()?.to_vec1::<f32>()?;
        let (actions, _) = numbers.as_chunks::<ACTION_DIM>();
        let restore = |action: &[f32; ACTION_DIM]| {
            std::array::from_fn(|i| self.statistics.action.restore(i, action[i]).clamp(-1.0, 1.0))
        };
        chunks.extend(actions.chunks(chunk_size).map(|chunk| chunk.iter().map(restore).collect::<Vec<_>>()));
        Ok(())
    }
}
