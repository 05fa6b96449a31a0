//! The configuration of an ACT network and the presets by name.

use super::PolicyError;
use serde::{Deserialize, Serialize};

/// Numbers of an action: steering, throttle, bucket, lift.
pub(super) const ACTION_DIM: usize = 4;

/// Which network turns the image into a map of features.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum Backbone {
    /// Stages of 3×3 convolution with stride 2, group normalisation and ReLU; trained from nothing on a CPU.
    GroupNormCnn {
        /// Output channels of each stage.
        channels: Vec<usize>,
        /// Groups of each normalisation.
        groups: usize,
    },
}

impl Backbone {
    /// Channels of the last feature map.
    pub fn channels(&self) -> usize {
        match self {
            Backbone::GroupNormCnn { channels, .. } => channels.last().copied().unwrap_or(0),
        }
    }

    /// Height or width of the last feature map for an image side of `side` pixels.
    pub fn map_side(&self, side: usize) -> usize {
        match self {
            Backbone::GroupNormCnn { channels, .. } => channels.iter().fold(side, |side, _| side.div_ceil(2)),
        }
    }
}

/// Everything that decides the network's parameters and mathematics. Names follow LeRobot's `ACTConfig`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ActConfig {
    /// The preset it came from.
    pub preset: String,
    /// Image height H in pixels.
    pub height: usize,
    /// Image width W in pixels.
    pub width: usize,
    /// State numbers S.
    pub state_dim: usize,
    /// Actions T in a chunk.
    pub chunk_size: usize,
    /// The image network.
    pub backbone: Backbone,
    /// Features D of a token.
    pub dim_model: usize,
    /// Attention heads; divides D.
    pub n_heads: usize,
    /// Width of the feed-forward blocks.
    pub dim_feedforward: usize,
    /// Layers of the encoder over latent, state and image tokens.
    pub n_encoder_layers: usize,
    /// Layers of the decoder that turns them into a chunk.
    pub n_decoder_layers: usize,
    /// Whether a variational encoder reads the label chunk during training.
    pub use_vae: bool,
    /// Numbers of the latent.
    pub latent_dim: usize,
    /// Layers of the variational encoder.
    pub n_vae_encoder_layers: usize,
    /// Share of activations dropped in training.
    pub dropout: f64,
    /// Weight of the KL divergence in the loss.
    pub kl_weight: f64,
}

impl ActConfig {
    /// The preset of this name for images and states of these sizes. Known: `quick`.
    pub fn preset(
        name: &str,
        height: usize,
        width: usize,
        state_dim: usize,
        chunk: usize,
    ) -> Result<Self, PolicyError> {
        if name != "quick" {
            return Err(PolicyError::UnknownPreset { name: name.to_owned(), known: "quick" });
        }
        let config = ActConfig {
            preset: name.to_owned(),
            height,
            width,
            state_dim,
            chunk_size: chunk,
            backbone: Backbone::GroupNormCnn { channels: vec![16, 32, 64, 128], groups: 8 },
            dim_model: 128,
            n_heads: 8,
            dim_feedforward: 512,
            n_encoder_layers: 2,
            n_decoder_layers: 1,
            use_vae: false,
            latent_dim: 32,
            n_vae_encoder_layers: 2,
            dropout: 0.0,
            kl_weight: 10.0,
        };
        config.check()?;
        Ok(config)
    }

    /// Refuses what cannot be built, naming the field.
    pub fn check(&self) -> Result<(), PolicyError> {
        let positive = [
            ("height", self.height),
            ("width", self.width),
            ("state_dim", self.state_dim),
            ("chunk_size", self.chunk_size),
            ("dim_feedforward", self.dim_feedforward),
            ("n_encoder_layers", self.n_encoder_layers),
            ("n_decoder_layers", self.n_decoder_layers),
            ("n_heads", self.n_heads),
            ("latent_dim", self.latent_dim),
        ];
        for (field, value) in positive {
            if value == 0 || value > 1 << 16 {
                return Err(PolicyError::Config(format!("{field} is {value}; it must lie in 1..=65536")));
            }
        }
        if self.dim_model == 0 || !self.dim_model.is_multiple_of(self.n_heads) || !self.dim_model.is_multiple_of(4) {
            let (d, heads) = (self.dim_model, self.n_heads);
            return Err(PolicyError::Config(format!("dim_model {d} must be a multiple of 4 and of n_heads {heads}")));
        }
        if self.chunk_size > usize::from(u8::MAX) {
            return Err(PolicyError::Config(format!("chunk_size {} is above 255", self.chunk_size)));
        }
        if !(0.0..1.0).contains(&self.dropout) || !self.kl_weight.is_finite() {
            return Err(PolicyError::Config("dropout must lie in 0..1 and kl_weight be finite".into()));
        }
        match &self.backbone {
            Backbone::GroupNormCnn { channels, groups } => {
                if channels.is_empty() || channels.iter().any(|c| *groups == 0 || *c == 0 || c % groups != 0) {
                    return Err(PolicyError::Config(format!("channels {channels:?} must be multiples of {groups}")));
                }
            }
        }
        Ok(())
    }

    /// Height and width of the feature map.
    pub fn map_size(&self) -> (usize, usize) {
        (self.backbone.map_side(self.height), self.backbone.map_side(self.width))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quick_has_thirty_image_tokens_at_96_by_72() {
        let config = ActConfig::preset("quick", 72, 96, 10, 20).unwrap();
        assert_eq!(config.map_size(), (5, 6));
    }

    #[test]
    fn unknown_presets_name_the_known_and_impossible_sizes_their_field() {
        let error = ActConfig::preset("seed", 224, 224, 4, 20).unwrap_err().to_string();
        assert!(error.contains("known are: quick"), "{error}");
        let error = ActConfig::preset("quick", 72, 96, 0, 20).unwrap_err().to_string();
        assert!(error.contains("state_dim"), "{error}");
    }
}
