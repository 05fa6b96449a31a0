//! The variational encoder: it reads state and label chunk during training and tells the decoder, through a small
//! noisy latent, which of several possible chunks was meant. At inference there is no label and the latent is zero.

use super::PolicyError;
use super::config::ActConfig;
use super::noise::Noise;
use super::parameters::Scope;
use super::transformer::{EncoderLayer, Linear, Norm, Style};
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

/// The encoder over `[cls, state, action 1 … action T]`; without a state there is no token for it.
pub struct VaeEncoder {
    layers: Vec<EncoderLayer>,
    norm: Option<Norm>,
    positions: Tensor,
    cls: Tensor,
    state: Option<Linear>,
    action: Linear,
    latent: Linear,
    latent_dim: usize,
}

impl VaeEncoder {
    /// Takes its parameters from `model.vae_encoder*`.
    pub fn new(config: &ActConfig, tensors: &BTreeMap<String, Tensor>) -> Result<Self, PolicyError> {
        let layers = (0..config.n_vae_encoder_layers)
            .map(|i| EncoderLayer::new(tensors, &format!("model.vae_encoder.layers.{i}"), Style::of(config)));
        let cls = Scope::new(tensors, "model.vae_encoder_cls_embed").tensor("weight")?;
        let state = (config.state_dim > 0).then(|| Linear::new(tensors, "model.vae_encoder_robot_state_input_proj"));
        Ok(Self {
            layers: layers.collect::<Result<_, _>>()?,
            norm: config.pre_norm.then(|| Norm::new(tensors, "model.vae_encoder.norm")).transpose()?,
            positions: Scope::new(tensors, "model")
                .tensor("vae_encoder_pos_enc")?
                .squeeze(0)?
                .to_device(cls.device())?,
            cls,
            state: state.transpose()?,
            action: Linear::new(tensors, "model.vae_encoder_action_input_proj")?,
            latent: Linear::new(tensors, "model.vae_encoder_latent_output_proj")?,
            latent_dim: config.latent_dim,
        })
    }

    /// # Shapes
    /// state `[B, S]`, actions `[B, T, A]` (both normalised), padding `[B, T]`, true where an action is padding
    pub fn forward(
        &self,
        state: Option<&Tensor>,
        actions: &Tensor,
        padding: &[bool],
        noise: &mut Noise,
    ) -> Result<Posterior, PolicyError> {
        let (batch, chunk, _) = actions.dims3()?;
        let d = self.cls.dim(1)?;
        let mut tokens = vec![self.cls.unsqueeze(0)?.broadcast_as((batch, 1, d))?.contiguous()?];
        if let (Some(project), Some(state)) = (&self.state, state) {
            tokens.push(project.forward(&state.unsqueeze(1)?)?);
        }
        let single = tokens.len();
        tokens.push(self.action.forward(actions)?);
        let mut x = Tensor::cat(&tokens, 1)?;
        let ignored: Vec<bool> = padding
            .chunks_exact(chunk)
            .flat_map(|row| std::iter::repeat_n(false, single).chain(row.iter().copied()))
            .collect();
        for layer in &self.layers {
            x = layer.forward(&x, &self.positions, Some(ignored.clone()), noise)?;
        }
        let mut cls = x.narrow(1, 0, 1)?.squeeze(1)?;
        if let Some(norm) = &self.norm {
            cls = norm.forward(&cls)?;
        }
        let out = self.latent.forward(&cls)?;
        Ok(Posterior {
            mean: out.narrow(1, 0, self.latent_dim)?,
            log_variance: out.narrow(1, self.latent_dim, self.latent_dim)?,
        })
    }
}
