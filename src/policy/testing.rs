//! What the tests of this room share.

use super::config::{ACTION_DIM, ActConfig, Backbone};
use super::inference::{Origin, Policy};
use super::initial::initial_tensor;
use super::normalise::{MeanStd, Statistics};
use super::parameters::parameters;
use crate::base::Seed;

/// A small untrained policy; every mean is 0.5 and every deviation 0.5, but the mean action is zero.
pub fn tiny_policy(height: usize, width: usize, state_dim: usize, chunk: usize) -> Policy {
    let mut config = ActConfig::preset("quick", height, width, state_dim, chunk).unwrap();
    config.backbone = Backbone::GroupNormCnn { channels: vec![8, 8], groups: 4 };
    (config.dim_model, config.n_heads, config.dim_feedforward) = (16, 2, 32);
    let tensors = parameters(&config).iter().map(|p| (p.name.clone(), initial_tensor(p, Seed(1)).unwrap())).collect();
    let columns = |n: usize, mean: f32| MeanStd { mean: vec![mean; n], std: vec![0.5; n] };
    let statistics =
        Statistics { image: columns(3, 0.5), state: columns(state_dim, 0.5), action: columns(ACTION_DIM, 0.0) };
    Policy::new(config, statistics, Origin::default(), tensors).unwrap()
}
