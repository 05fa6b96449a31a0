//! What the tests of this room share.

use super::config::{ActConfig, Backbone, Camera};
use super::inference::{Origin, Policy};
use super::initial::initial_tensor;
use super::normalise::{Scale, Statistics};
use super::parameters::{buffers, parameters};
use crate::base::Seed;
use candle_core::Tensor;
use std::collections::BTreeMap;

/// A small network with one camera.
pub fn tiny_config(height: usize, width: usize, state_dim: usize, chunk: usize) -> ActConfig {
    ActConfig {
        cameras: vec![Camera { key: "observation.images.ego".into(), height, width }],
        state_dim,
        chunk_size: chunk,
        n_action_steps: chunk,
        backbone: Backbone::GroupNormCnn { channels: vec![8, 8], groups: 4 },
        dim_model: 16,
        n_heads: 2,
        dim_feedforward: 32,
        n_encoder_layers: 2,
        n_vae_encoder_layers: 1,
        latent_dim: 4,
        use_vae: false,
        dropout: 0.0,
        ..ActConfig::default()
    }
}

/// Parameters and buffers as they begin.
pub fn initial_tensors(config: &ActConfig) -> BTreeMap<String, Tensor> {
    let all = parameters(config).into_iter().chain(buffers(config));
    all.map(|p| (p.name.clone(), initial_tensor(&p, Seed(1)).unwrap())).collect()
}

/// Every mean is 0.5 and every deviation 0.5, but the mean action is zero.
pub fn plain_statistics(config: &ActConfig) -> Statistics {
    let columns = |n: usize, mean: f32| Scale::mean_std(vec![mean; n], vec![0.5; n]);
    Statistics {
        images: config.cameras.iter().map(|_| columns(3, 0.5)).collect(),
        state: columns(config.state_dim, 0.5),
        env: Scale::identity(config.env_dim),
        action: columns(config.action_dim, 0.0),
    }
}

/// A small untrained policy with [`plain_statistics`].
pub fn tiny_policy(height: usize, width: usize, state_dim: usize, chunk: usize) -> Policy {
    let config = tiny_config(height, width, state_dim, chunk);
    let (statistics, tensors) = (plain_statistics(&config), initial_tensors(&config));
    Policy::new(config, statistics, Origin::default(), tensors).unwrap()
}
