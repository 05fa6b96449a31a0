//! The ACT network: images, states and latent become tokens, an encoder mixes them, a decoder reads a chunk of actions.

use super::PolicyError;
use super::backbone::ImageNetwork;
use super::config::ActConfig;
use super::noise::Noise;
use super::parameters::Scope;
use super::positions;
use super::transformer::{DecoderLayer, EncoderLayer, Linear, Memory, Norm, Style};
use super::vae::{Posterior, VaeEncoder};
use candle_core::{DType, Tensor};
use std::collections::BTreeMap;

/// The network over a set of parameters; variables make it trainable, plain tensors do not.
pub struct Act {
    latent_dim: usize,
    eyes: Option<Eyes>,
    state: Option<Linear>,
    env: Option<Linear>,
    latent: Linear,
    token_positions: Tensor,
    encoder: Vec<EncoderLayer>,
    encoder_norm: Option<Norm>,
    decoder: Vec<DecoderLayer>,
    decoder_positions: Tensor,
    decoder_norm: Norm,
    head: Linear,
    vae: Option<VaeEncoder>,
}

/// One image network for all cameras, and the positions of each camera's feature map.
struct Eyes {
    network: ImageNetwork,
    project: Linear,
    positions: Vec<Tensor>,
}

/// What the network is told, normalised. Batch size B is that of all of them.
pub struct Inputs {
    /// `[B, H, W, 3]` of each camera, in the configuration's order.
    pub images: Vec<Tensor>,
    /// `[B, S]`
    pub state: Option<Tensor>,
    /// `[B, E]`
    pub env: Option<Tensor>,
}

impl Inputs {
    fn batch(&self) -> Result<usize, PolicyError> {
        let any = self.images.first().or(self.env.as_ref()).or(self.state.as_ref());
        Ok(any.ok_or_else(|| PolicyError::Config("the network was told nothing".into()))?.dim(0)?)
    }
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
    /// Builds the network of `config` over parameters and buffers named as in `parameters.rs`.
    pub fn new(config: &ActConfig, tensors: &BTreeMap<String, Tensor>) -> Result<Self, PolicyError> {
        let style = Style::of(config);
        let encoder = (0..config.n_encoder_layers)
            .map(|i| EncoderLayer::new(tensors, &format!("model.encoder.layers.{i}"), style));
        let decoder = (0..config.n_decoder_layers)
            .map(|i| DecoderLayer::new(tensors, &format!("model.decoder.layers.{i}"), style));
        let decoder_positions = Scope::new(tensors, "model.decoder_pos_embed").tensor("weight")?;
        let eyes = (!config.cameras.is_empty()).then(|| Eyes::new(config, tensors)).transpose()?;
        let linear = |wanted: bool, name: &str| wanted.then(|| Linear::new(tensors, name)).transpose();
        Ok(Self {
            latent_dim: config.latent_dim,
            eyes,
            state: linear(config.state_dim > 0, "model.encoder_robot_state_input_proj")?,
            env: linear(config.env_dim > 0, "model.encoder_env_state_input_proj")?,
            latent: Linear::new(tensors, "model.encoder_latent_input_proj")?,
            token_positions: Scope::new(tensors, "model.encoder_1d_feature_pos_embed").tensor("weight")?,
            encoder: encoder.collect::<Result<_, _>>()?,
            encoder_norm: config.pre_norm.then(|| Norm::new(tensors, "model.encoder.norm")).transpose()?,
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
    /// → actions `[B, T, A]`
    pub fn forward(
        &self,
        inputs: &Inputs,
        labels: Option<&Labels<'_>>,
        noise: &mut Noise,
    ) -> Result<Prediction, PolicyError> {
        let posterior = match (&self.vae, labels) {
            (Some(vae), Some(labels)) => {
                Some(vae.forward(inputs.state.as_ref(), labels.actions, labels.padding, noise)?)
            }
            (None, _) | (_, None) => None,
        };
        let latent = match &posterior {
            Some(posterior) => posterior.sample(noise)?,
            None => Tensor::zeros((inputs.batch()?, self.latent_dim), DType::F32, self.decoder_positions.device())?,
        };
        let memory = self.encode(inputs, &latent, noise)?;
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

    fn encode(&self, inputs: &Inputs, latent: &Tensor, noise: &mut Noise) -> Result<Memory, PolicyError> {
        let mut tokens = vec![self.latent.forward(&latent.unsqueeze(1)?)?];
        for (project, numbers) in [(&self.state, &inputs.state), (&self.env, &inputs.env)] {
            if let (Some(project), Some(numbers)) = (project, numbers) {
                tokens.push(project.forward(&numbers.unsqueeze(1)?)?);
            }
        }
        let mut positions = vec![self.token_positions.clone()];
        if let Some(eyes) = &self.eyes {
            for (image, map_positions) in inputs.images.iter().zip(&eyes.positions) {
                let map = eyes.network.forward(image)?.flatten(1, 2)?;
                tokens.push(eyes.project.forward(&map)?);
                positions.push(map_positions.clone());
            }
        }
        let mut tokens = Tensor::cat(&tokens, 1)?;
        let positions = Tensor::cat(&positions, 0)?;
        for layer in &self.encoder {
            tokens = layer.forward(&tokens, &positions, None, noise)?;
        }
        if let Some(norm) = &self.encoder_norm {
            tokens = norm.forward(&tokens)?;
        }
        Ok(Memory { tokens, positions })
    }
}

impl Eyes {
    fn new(config: &ActConfig, tensors: &BTreeMap<String, Tensor>) -> Result<Self, PolicyError> {
        let project = Linear::new(tensors, "model.encoder_img_feat_input_proj")?;
        let positions = config.cameras.iter().map(|camera| {
            let (height, width) = config.map_size(camera);
            Ok(positions::plane(height, width, config.dim_model)?.to_device(project.device())?)
        });
        let positions = positions.collect::<Result<_, PolicyError>>()?;
        Ok(Self { network: ImageNetwork::new(config, tensors)?, project, positions })
    }
}
