//! A policy ready to drive: raw pixels and physical states in, chunks of actions out.

use super::PolicyError;
use super::act::{Act, Inputs};
use super::checkpoint;
use super::config::{ACTION_DIM, ActConfig};
use super::golden::Replay;
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

/// Samples that a policy was trained on.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DatasetMark {
    /// How many.
    pub samples: u64,
    /// Digest of their states and labels.
    pub blake3: String,
}

/// Where a policy comes from; stored with it.
#[derive(Debug, Clone, PartialEq, Eq, Default, serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Origin {
    /// Seed of its training.
    pub seed: u64,
    /// Samples seen, over all rounds.
    pub samples: u64,
    /// The datasets of its last round, in their order.
    #[serde(default)]
    pub datasets: Vec<DatasetMark>,
}

/// A network with its statistics. Runs on the calling thread; may be shared by several.
pub struct Policy {
    config: ActConfig,
    statistics: Statistics,
    pixels: Vec<PixelTable>,
    origin: Origin,
    /// Parameters and buffers.
    parameters: BTreeMap<String, Tensor>,
    act: Act,
    certified: bool,
}

impl std::fmt::Debug for Policy {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Policy").field("config", &self.config).field("origin", &self.origin).finish_non_exhaustive()
    }
}

impl Policy {
    /// A policy of this program's own making, over parameters and buffers by name.
    pub(super) fn new(
        config: ActConfig,
        statistics: Statistics,
        origin: Origin,
        parameters: BTreeMap<String, Tensor>,
    ) -> Result<Policy, PolicyError> {
        statistics.check(&config)?;
        let act = Act::new(&config, &parameters)?;
        let pixels = statistics.images.iter().map(super::normalise::Scale::pixel_table).collect();
        Ok(Policy { pixels, config, statistics, origin, parameters, act, certified: true })
    }

    /// The same without a certificate: nothing proves that it is preprocessed as its training was.
    pub(super) fn uncertified(mut self) -> Policy {
        self.certified = false;
        self
    }

    /// Reads a checkpoint folder, whole and strictly. One of our own must reproduce what its certificate recorded;
    /// one from elsewhere loads without a certificate and cannot drive until it gets one.
    pub fn load(dir: &Path) -> Result<Policy, PolicyError> {
        checkpoint::load(dir)
    }

    /// Writes a checkpoint folder with a certificate: first under a temporary name, so that `dir` is either complete
    /// or not there. An existing `dir` is replaced.
    pub fn save(&self, dir: &Path) -> Result<(), PolicyError> {
        checkpoint::save(self, dir)
    }

    /// Refuses to drive: the policy has no certificate, or does not see and do what an [`Observation`] and an action
    /// of the wheel loader are.
    pub fn check_drivable(&self) -> Result<(), PolicyError> {
        let refuse = |why: String| Err(PolicyError::NotDrivable(why));
        if !self.certified {
            return refuse("it has no parity certificate; make one with `ralphton policy certify`".into());
        }
        if self.config.image_size().is_none() {
            return refuse(format!("it looks through {} cameras; the loader has one", self.config.cameras.len()));
        }
        if self.config.env_dim > 0 || self.config.action_dim != ACTION_DIM {
            let ActConfig { env_dim, action_dim, .. } = self.config;
            return refuse(format!("it wants {env_dim} numbers of the environment and gives actions of {action_dim}"));
        }
        Ok(())
    }

    /// The network's configuration.
    pub fn config(&self) -> &ActConfig {
        &self.config
    }

    /// How it normalises.
    pub fn statistics(&self) -> &Statistics {
        &self.statistics
    }

    /// Samples it was trained on, over all rounds.
    pub fn samples(&self) -> u64 {
        self.origin.samples
    }

    /// Whether it proved to see and act as when it was saved, or was never anything else.
    pub fn is_certified(&self) -> bool {
        self.certified
    }

    pub(super) fn origin(&self) -> &Origin {
        &self.origin
    }

    pub(super) fn parameters(&self) -> &BTreeMap<String, Tensor> {
        &self.parameters
    }

    pub(super) fn act_network(&self) -> &Act {
        &self.act
    }

    /// The chunk of actions for each observation, in the action's own units, clamped to [−1, 1].
    ///
    /// # Shapes
    /// B observations → B chunks of T actions
    pub fn act(&self, batch: &[Observation<'_>]) -> Result<Vec<Vec<[f32; ACTION_DIM]>>, PolicyError> {
        self.check_drivable()?;
        let mut chunks = Vec::with_capacity(batch.len());
        for part in batch.chunks(LARGEST_BATCH) {
            self.act_on(part, &mut chunks)?;
        }
        Ok(chunks)
    }

    fn act_on(&self, batch: &[Observation<'_>], chunks: &mut Vec<Vec<[f32; ACTION_DIM]>>) -> Result<(), PolicyError> {
        let ActConfig { state_dim, chunk_size, .. } = self.config;
        let (height, width) = self.config.image_size().unwrap_or_default();
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
            if let Some(pixels) = self.pixels.first() {
                pixels.normalise(observation.image, &mut images);
            }
            self.statistics.state.normalise(observation.state, &mut states);
        }
        let numbers = self.predict(vec![images], states, Vec::new())?;
        let (actions, _) = numbers.as_chunks::<ACTION_DIM>();
        let restore =
            |action: &[f32; ACTION_DIM]| std::array::from_fn(|i| self.restored(i, action[i]).clamp(-1.0, 1.0));
        chunks.extend(actions.chunks(chunk_size).map(|chunk| chunk.iter().map(restore).collect::<Vec<_>>()));
        Ok(())
    }

    /// Normalised inputs, flat, of one batch → normalised chunks, flat.
    fn predict(&self, images: Vec<Vec<f32>>, states: Vec<f32>, envs: Vec<f32>) -> Result<Vec<f32>, PolicyError> {
        let inputs = self.inputs(images, states, envs)?;
        let prediction = self.act.forward(&inputs, None, &mut Noise::none())?;
        Ok(prediction.actions.flatten_all()?.to_vec1::<f32>()?)
    }

    /// Tensors of normalised inputs, flat: images `B·H·W·3` of each camera, states `B·S`, environments `B·E`.
    pub(super) fn inputs(
        &self,
        images: Vec<Vec<f32>>,
        states: Vec<f32>,
        envs: Vec<f32>,
    ) -> Result<Inputs, PolicyError> {
        let ActConfig { state_dim, env_dim, cameras, .. } = &self.config;
        let images = images
            .into_iter()
            .zip(cameras)
            .map(|(numbers, camera)| {
                let batch = numbers.len() / (camera.height * camera.width * 3);
                Tensor::from_vec(numbers, (batch, camera.height, camera.width, 3), &Device::Cpu)
            })
            .collect::<Result<_, _>>()?;
        let rows = |numbers: Vec<f32>, columns: usize| -> Result<Option<Tensor>, PolicyError> {
            if columns == 0 {
                return Ok(None);
            }
            let batch = numbers.len() / columns;
            Ok(Some(Tensor::from_vec(numbers, (batch, columns), &Device::Cpu)?))
        };
        Ok(Inputs { images, state: rows(states, *state_dim)?, env: rows(envs, *env_dim)? })
    }
}

impl Replay for Policy {
    fn image_size(&self, camera: usize) -> (usize, usize) {
        self.config.cameras.get(camera).map_or((0, 0), |camera| (camera.height, camera.width))
    }

    fn normalised_image(&self, camera: usize, rgb: &[u8]) -> Vec<f32> {
        let mut numbers = Vec::with_capacity(rgb.len());
        if let Some(pixels) = self.pixels.get(camera) {
            pixels.normalise(rgb, &mut numbers);
        }
        numbers
    }

    fn normalised_state(&self, state: &[f32]) -> Vec<f32> {
        let mut numbers = Vec::with_capacity(state.len());
        self.statistics.state.normalise(state, &mut numbers);
        numbers
    }

    fn normalised_env(&self, env: &[f32]) -> Vec<f32> {
        let mut numbers = Vec::with_capacity(env.len());
        self.statistics.env.normalise(env, &mut numbers);
        numbers
    }

    fn network(&self, images: &[Vec<f32>], states: &[f32], envs: &[f32]) -> Result<Vec<f32>, PolicyError> {
        self.predict(images.to_vec(), states.to_vec(), envs.to_vec())
    }

    fn restored(&self, column: usize, value: f32) -> f32 {
        self.statistics.action.restore(column, value)
    }
}
