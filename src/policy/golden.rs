//! The recorded inputs and outputs of a checkpoint: proof, before any rollout, that what was loaded is what was saved.

use super::PolicyError;
use super::config::{ACTION_DIM, ActConfig};
use super::inference::{Observation, Policy};
use crate::base::Seed;
use candle_core::{Device, Tensor};
use rand::Rng as _;
use std::collections::HashMap;
use std::path::Path;

/// Outputs may differ by this much: other processors add in another order.
const TOLERANCE: f32 = 1e-3;
/// Recorded inputs.
const INPUTS: usize = 4;

/// Inputs with the outputs they gave.
pub struct Golden {
    images: Vec<u8>,
    states: Vec<f32>,
    actions: Vec<f32>,
}

impl Golden {
    /// Records what a policy answers to a black, a bright, a gradient and a noisy image, at states around its mean.
    pub fn record(policy: &Policy) -> Result<Golden, PolicyError> {
        let config = policy.config();
        let mut rng = Seed(0).child("golden", 0).rng();
        let len = config.height * config.width * 3;
        let mut images = vec![0; len];
        images.extend(std::iter::repeat_n(200, len));
        images.extend((0..len).map(|i| (i * 255 / len) as u8));
        images.extend((0..len).map(|_| rng.random::<u8>()));
        let state = &policy.statistics().state;
        let states = (0..INPUTS)
            .flat_map(|_| 0..config.state_dim)
            .map(|column| state.restore(column, rng.random_range(-1.5..1.5)))
            .collect();
        let mut golden = Golden { images, states, actions: Vec::new() };
        golden.actions = golden.answers(policy)?;
        Ok(golden)
    }

    /// Refuses a policy that answers otherwise.
    pub fn check(&self, policy: &Policy, path: &Path) -> Result<(), PolicyError> {
        let per_input = policy.config().chunk_size * ACTION_DIM;
        for (i, (got, wanted)) in self.answers(policy)?.into_iter().zip(&self.actions).enumerate() {
            let close = (got - wanted).abs() <= TOLERANCE;
            if !close {
                return Err(PolicyError::Golden {
                    path: path.to_owned(),
                    input: i / per_input,
                    index: i % per_input,
                    got,
                    wanted: *wanted,
                });
            }
        }
        Ok(())
    }

    fn answers(&self, policy: &Policy) -> Result<Vec<f32>, PolicyError> {
        let config = policy.config();
        let observations: Vec<Observation<'_>> = self
            .images
            .chunks_exact(config.height * config.width * 3)
            .zip(self.states.chunks_exact(config.state_dim))
            .map(|(image, state)| Observation { image, state })
            .collect();
        Ok(policy.act(&observations)?.into_iter().flatten().flatten().collect())
    }

    /// Tensors to write.
    pub fn tensors(&self, config: &ActConfig) -> Result<HashMap<String, Tensor>, PolicyError> {
        let cpu = &Device::Cpu;
        let (h, w) = (config.height, config.width);
        Ok(HashMap::from([
            ("images".to_owned(), Tensor::from_slice(&self.images, (INPUTS, h, w, 3), cpu)?),
            ("states".to_owned(), Tensor::from_slice(&self.states, (INPUTS, config.state_dim), cpu)?),
            ("actions".to_owned(), Tensor::from_slice(&self.actions, (INPUTS, config.chunk_size, ACTION_DIM), cpu)?),
        ]))
    }

    /// From tensors read back, whose shapes must be those of [`Golden::tensors`].
    pub fn from_tensors(
        mut tensors: HashMap<String, Tensor>,
        config: &ActConfig,
        path: &Path,
    ) -> Result<Golden, PolicyError> {
        let mut take = |name: &str, wanted: &[usize]| {
            let missing = || PolicyError::MissingTensor { path: path.to_owned(), name: name.to_owned() };
            let tensor = tensors.remove(name).ok_or_else(missing)?;
            if tensor.dims() != wanted {
                return Err(PolicyError::WrongTensor {
                    path: path.to_owned(),
                    name: name.to_owned(),
                    wanted: format!("{wanted:?}"),
                    got: format!("{:?}", tensor.dims()),
                });
            }
            Ok(tensor.flatten_all()?)
        };
        Ok(Golden {
            images: take("images", &[INPUTS, config.height, config.width, 3])?.to_vec1()?,
            states: take("states", &[INPUTS, config.state_dim])?.to_vec1()?,
            actions: take("actions", &[INPUTS, config.chunk_size, ACTION_DIM])?.to_vec1()?,
        })
    }
}
