//! The ACT network: image, state and latent become tokens, an encoder mixes them, a decoder reads a chunk of actions.

use super::PolicyError;
use super::backbone::GroupNormCnn;
use super::config::ActConfig;
use super::noise::Noise;
use super::parameters::Scope;
use super::positions;
use super::transformer::{DecoderLayer, EncoderLayer, Linear, Memory, Norm};
use super::vae::{Posterior, VaeEncoder};
use candle_core::{DType, Tensor};
use std::collections::BTreeMap;

/// The network over a set of parameters; variables make it trainable, plain tensors do not.
pub struct Act {
    latent_dim: usize,
    backbone: GroupNormCnn,
    image: Linear,
    state: Linear,
    latent: Linear,
    token_positions: Tensor,
    image_positions: Tensor,
    encoder: Vec<EncoderLayer>,
    decoder: Vec<DecoderLayer>,
    decoder_positions: Tensor,
    decoder_norm: Norm,
    head: Linear,
    vae: Option<VaeEncoder>,
}

/// Label chunks, which only the variational encoder reads.
pub struct Labels<'a> {
    /// `[B, T, A]`, normalised.
    pub actions: &'a Tensor,
    /// `[B, T]`, true where an action is padding.
    pub padding: &'a [bool],
}

/// What a forward pass gives.
pub struct Prediction {
    /// `[B, T, A]`, normalised.
    pub actions: Tensor,
    /// There when a variational encoder read labels.
    pub posterior: Option<Posterior>,
}

impl Act {
    /// Builds the network of `config` over parameters named as in `parameters.rs`.
    pub fn new(config: &ActConfig, tensors: &BTreeMap<String, Tensor>) -> Result<Self, PolicyError> {
        let encoder = (0..config.n_encoder_layers)
            .map(|i| EncoderLayer::new(tensors, &format!("model.encoder.layers.{i}"), config.n_heads));
        let decoder = (0..config.n_decoder_layers)
            .map(|i| DecoderLayer::new(tensors, &format!("model.decoder.layers.{i}"), config.n_heads));
        let decoder_positions = Scope::new(tensors, "model.decoder_pos_embed").tensor("weight")?;
        let (height, width) = config.map_size();
        Ok(Self {
            latent_dim: config.latent_dim,
            backbone: GroupNormCnn::new(&config.backbone, tensors)?,
            image: Linear::new(tensors, "model.encoder_img_feat_input_proj")?,
            state: Linear::new(tensors, "model.encoder_robot_state_input_proj")?,
            latent: Linear::new(tensors, "model.encoder_latent_input_proj")?,
            token_positions: Scope::new(tensors, "model.encoder_1d_feature_pos_embed").tensor("weight")?,
            image_positions: positions::plane(height, width, config.dim_model)?
                .to_device(decoder_positions.device())?,
            encoder: encoder.collect::<Result<_, _>>()?,
            decoder: decoder.collect::<Result<_, _>>()?,
            decoder_positions,
            decoder_norm: Norm::new(tensors, "model.decoder.norm")?,
            head: Linear::new(tensors, "model.action_head")?,
            vae: if config.use_vae { Some(VaeEncoder::new(config, tensors)?) } else { None },
        })
    }

    /// The latent is drawn from the labels' posterior when there are labels and a variational encoder, else zero.
    ///
    /// # Shapes
    /// images `[B, H, W, 3]` and state `[B, S]`, normalised → actions `[B, T, A]`
    pub fn forward(
        &self,
        images: &Tensor,
        state: &Tensor,
        labels: Option<&Labels<'_>>,
        noise: &mut Noise,
    ) -> Result<Prediction, PolicyError> {
        let posterior = match (&self.vae, labels) {
            (Some(vae), Some(labels)) => Some(vae.forward(state, labels.actions, labels.padding, noise)?),
            (None, _) | (_, None) => None,
        };
        let latent = match &posterior {
            Some(posterior) => posterior.sample(noise)?,
            None => Tensor::zeros((state.dim(0)?, self.latent_dim), DType::F32, state.device())?,
        };
        let memory = self.encode(images, state, &latent, noise)?;
        let mut x: Option<Tensor> = None;
        for layer in &self.decoder {
            x = Some(match x {
                None => layer.forward_first(&self.decoder_positions, &memory, noise)?,
                Some(x) => layer.forward(&x, &self.decoder_positions, &memory, noise)?,
            });
        }
        let x = x.ok_or_else(|| PolicyError::Config("the decoder has no layer".into()))?;
        let actions = self.head.forward(&self.decoder_norm.forward(&x)?)?;
        Ok(Prediction { actions, posterior })
    }

    fn encode(
        &self,
        images: &Tensor,
        state: &Tensor,
        latent: &Tensor,
        noise: &mut Noise,
    ) -> Result<Memory, PolicyError> {
        let latent = self.latent.forward(&latent.unsqueeze(1)?)?;
        let state = self.state.forward(&state.unsqueeze(1)?)?;
        let map = self.backbone.forward(images)?.flatten(1, 2)?;
        let mut tokens = Tensor::cat(&[&latent, &state, &self.image.forward(&map)?], 1)?;
        let positions = Tensor::cat(&[&self.token_positions, &self.image_positions], 0)?;
        for layer in &self.encoder {
            tokens = layer.forward(&tokens, &positions, None, noise)?;
        }
        Ok(Memory { tokens, positions })
    }
}
