//! The variational encoder: it reads state and label chunk during training and tells the decoder, through a small
//! noisy latent, which of several possible chunks was meant. At inference there is no label and the latent is zero.

use super::PolicyError;
use super::config::ActConfig;
use super::noise::Noise;
use super::parameters::Scope;
use super::positions;
use super::transformer::{EncoderLayer, Linear};
use candle_core::Tensor;
use std::collections::BTreeMap;

/// Mean and log variance of the latent, each `[B, latent]`.
pub struct Posterior {
    /// Mean.
    pub mean: Tensor,
    /// Logarithm of the variance.
    pub log_variance: Tensor,
}

impl Posterior {
    /// mean + e^(log variance / 2)·noise; the mean itself at inference.
    pub fn sample(&self, noise: &mut Noise) -> Result<Tensor, PolicyError> {
        match noise.normal(self.mean.elem_count()) {
            None => Ok(self.mean.clone()),
            Some(values) => {
                let values = Tensor::from_vec(values, self.mean.shape(), self.mean.device())?;
                Ok((&self.mean + (&self.log_variance * 0.5)?.exp()?.mul(&values)?)?)
            }
        }
    }

    /// Σ over batch and latent of the Kullback–Leibler divergence from the standard normal distribution.
    pub fn divergence_sum(&self) -> Result<Tensor, PolicyError> {
        let inner = (((&self.log_variance + 1.0)? - self.mean.sqr()?)? - self.log_variance.exp()?)?;
        Ok((inner.sum_all()? * -0.5)?)
    }
}

/// The encoder over `[cls, state, action 1 … action T]`.
pub struct VaeEncoder {
    layers: Vec<EncoderLayer>,
    cls: Tensor,
    state: Linear,
    action: Linear,
    latent: Linear,
    positions: Tensor,
    latent_dim: usize,
}

impl VaeEncoder {
    /// Takes its parameters from `model.vae_encoder*`.
    pub fn new(config: &ActConfig, tensors: &BTreeMap<String, Tensor>) -> Result<Self, PolicyError> {
        let layers = (0..config.n_vae_encoder_layers)
            .map(|i| EncoderLayer::new(tensors, &format!("model.vae_encoder.layers.{i}"), config.n_heads));
        let cls = Scope::new(tensors, "model.vae_encoder_cls_embed").tensor("weight")?;
        Ok(Self {
            layers: layers.collect::<Result<_, _>>()?,
            positions: positions::line(config.chunk_size + 2, config.dim_model)?.to_device(cls.device())?,
            cls,
            state: Linear::new(tensors, "model.vae_encoder_robot_state_input_proj")?,
            action: Linear::new(tensors, "model.vae_encoder_action_input_proj")?,
            latent: Linear::new(tensors, "model.vae_encoder_latent_output_proj")?,
            latent_dim: config.latent_dim,
        })
    }

    /// # Shapes
    /// state `[B, S]`, actions `[B, T, A]` (both normalised), padding `[B, T]`, true where an action is padding
    pub fn forward(
        &self,
        state: &Tensor,
        actions: &Tensor,
        padding: &[bool],
        noise: &mut Noise,
    ) -> Result<Posterior, PolicyError> {
        let (batch, chunk, _) = actions.dims3()?;
        let d = self.cls.dim(1)?;
        let cls = self.cls.unsqueeze(0)?.broadcast_as((batch, 1, d))?.contiguous()?;
        let state = self.state.forward(&state.unsqueeze(1)?)?;
        let mut x = Tensor::cat(&[&cls, &state, &self.action.forward(actions)?], 1)?;
        let ignored: Vec<bool> =
            padding.chunks_exact(chunk).flat_map(|row| [false, false].into_iter().chain(row.iter().copied())).collect();
        for layer in &self.layers {
            x = layer.forward(&x, &self.positions, Some(ignored.clone()), noise)?;
        }
        let out = self.latent.forward(&x.narrow(1, 0, 1)?.squeeze(1)?)?;
        Ok(Posterior {
            mean: out.narrow(1, 0, self.latent_dim)?,
            log_variance: out.narrow(1, self.latent_dim, self.latent_dim)?,
        })
    }
}
