//! The configuration of an ACT network: names, defaults and limits are those of LeRobot's `ACTConfig`.
//!
//! Two things are ours: the small backbone with group normalisation, which LeRobot does not have, and the name of the
//! mean that the L1 loss takes, which LeRobot decides by its version.

use super::PolicyError;
use serde::{Deserialize, Serialize};

/// Numbers of an action of the wheel loader: steering, throttle, bucket, lift.
pub(super) const ACTION_DIM: usize = 4;
/// A network of more numbers than this is a mistake in the configuration: 4 GB of weights.
const MOST_NUMBERS: u128 = 1_000_000_000;

/// Which network turns an image into a map of features.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum Backbone {
    /// Torchvision's ResNet with frozen batch normalisation, up to its last stage.
    Resnet {
        /// Layers: 18, 34, 50, 101 or 152.
        depth: usize,
    },
    /// Stages of 3×3 convolution with stride 2, group normalisation and ReLU; trained from nothing on a CPU.
    GroupNormCnn {
        /// Output channels of each stage.
        channels: Vec<usize>,
        /// Groups of each normalisation.
        groups: usize,
    },
}

impl Backbone {
    /// Blocks of each stage of a ResNet of this depth, and whether its blocks are bottlenecks.
    pub fn stages(depth: usize) -> Option<([usize; 4], bool)> {
        match depth {
            18 => Some(([2, 2, 2, 2], false)),
            34 => Some(([3, 4, 6, 3], false)),
            50 => Some(([3, 4, 6, 3], true)),
            101 => Some(([3, 4, 23, 3], true)),
            152 => Some(([3, 8, 36, 3], true)),
            _ => None,
        }
    }

    /// Channels of the last feature map.
    pub fn channels(&self) -> usize {
        match self {
            Backbone::Resnet { depth } => match Backbone::stages(*depth) {
                Some((_, true)) => 2048,
                Some((_, false)) | None => 512,
            },
            Backbone::GroupNormCnn { channels, .. } => channels.last().copied().unwrap_or(0),
        }
    }

    /// How often the side of an image is halved, rounding up.
    fn halvings(&self, dilated: bool) -> usize {
        match self {
            Backbone::Resnet { .. } => 5 - usize::from(dilated),
            Backbone::GroupNormCnn { channels, .. } => channels.len(),
        }
    }
}

/// A camera that the policy looks through.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Camera {
    /// Its key in datasets and checkpoints.
    pub key: String,
    /// Image height H in pixels.
    pub height: usize,
    /// Image width W in pixels.
    pub width: usize,
}

/// How the numbers of a feature are normalised; names as in LeRobot.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum NormMode {
    /// (x − mean) / (deviation + ε)
    #[default]
    MeanStd,
    /// 2·(x − min) / (max − min) − 1
    MinMax,
    /// The same between the 1st and the 99th percentile.
    Quantiles,
    /// The same between the 10th and the 90th percentile.
    Quantile10,
    /// Nothing.
    Identity,
}

/// The normalisation of each kind of feature.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct NormModes {
    /// Of images.
    pub visual: NormMode,
    /// Of the robot's state.
    pub state: NormMode,
    /// Of the environment's state.
    pub env: NormMode,
    /// Of actions.
    pub action: NormMode,
}

impl Default for NormModes {
    fn default() -> Self {
        let mode = NormMode::MeanStd;
        Self { visual: mode, state: mode, env: NormMode::Identity, action: mode }
    }
}

/// What stands between the two linear layers of a feed-forward block.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FeedForwardActivation {
    /// max(0, ·)
    #[default]
    Relu,
    /// x·Φ(x), with the error function.
    Gelu,
    /// Gated linear unit. It halves its input, which the second linear layer does not expect: LeRobot builds such
    /// a network, but cannot run it.
    Glu,
}

/// What the L1 loss of a batch is divided by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum L1Mean {
    /// All numbers of the batch; padding counts as no error (LeRobot up to 0.5).
    All,
    /// The numbers that are not padding (LeRobot from 0.6 on).
    #[default]
    Valid,
}

/// Everything that decides the network's parameters and mathematics.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ActConfig {
    /// The preset it came from; empty for checkpoints from elsewhere.
    pub preset: String,
    /// Cameras, in the order of their tokens.
    pub cameras: Vec<Camera>,
    /// State numbers S; 0 when the policy is told no state.
    pub state_dim: usize,
    /// Numbers of the environment's state; 0 for none.
    pub env_dim: usize,
    /// Numbers A of an action.
    pub action_dim: usize,
    /// Actions T in a chunk.
    pub chunk_size: usize,
    /// Actions of a chunk that are carried out before the policy looks again.
    pub n_action_steps: usize,
    /// How features are normalised.
    pub normalization: NormModes,
    /// The image network.
    pub backbone: Backbone,
    /// Whether the last stage of a ResNet keeps the resolution and looks wider instead.
    pub replace_final_stride_with_dilation: bool,
    /// Whether layers normalise before attention and feed-forward, not after.
    pub pre_norm: bool,
    /// Features D of a token.
    pub dim_model: usize,
    /// Attention heads; divides D.
    pub n_heads: usize,
    /// Width of the feed-forward blocks.
    pub dim_feedforward: usize,
    /// Their activation.
    pub feedforward_activation: FeedForwardActivation,
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
    /// Weight exponent of temporal ensembling; none when chunks are carried out one after the other.
    pub temporal_ensemble_coeff: Option<f64>,
    /// Share of activations dropped in training.
    pub dropout: f64,
    /// Weight of the KL divergence in the loss.
    pub kl_weight: f64,
    /// Which mean the L1 loss takes.
    pub l1_mean: L1Mean,
    /// AdamW's learning rate.
    pub optimizer_lr: f64,
    /// AdamW's weight decay.
    pub optimizer_weight_decay: f64,
    /// AdamW's learning rate for the image network.
    pub optimizer_lr_backbone: f64,
}

/// LeRobot's defaults, without inputs.
impl Default for ActConfig {
    fn default() -> Self {
        Self {
            preset: String::new(),
            cameras: Vec::new(),
            state_dim: 0,
            env_dim: 0,
            action_dim: ACTION_DIM,
            chunk_size: 100,
            n_action_steps: 100,
            normalization: NormModes::default(),
            backbone: Backbone::Resnet { depth: 18 },
            replace_final_stride_with_dilation: false,
            pre_norm: false,
            dim_model: 512,
            n_heads: 8,
            dim_feedforward: 3200,
            feedforward_activation: FeedForwardActivation::Relu,
            n_encoder_layers: 4,
            n_decoder_layers: 1,
            use_vae: true,
            latent_dim: 32,
            n_vae_encoder_layers: 4,
            temporal_ensemble_coeff: None,
            dropout: 0.1,
            kl_weight: 10.0,
            l1_mean: L1Mean::default(),
            optimizer_lr: 1e-5,
            optimizer_weight_decay: 1e-4,
            optimizer_lr_backbone: 1e-5,
        }
    }
}

impl ActConfig {
    /// Refuses what cannot be built, naming the field.
    pub fn check(&self) -> Result<(), PolicyError> {
        let wrong = |what: String| Err(PolicyError::Config(what));
        self.check_sizes()?;
        self.check_inputs()?;
        if self.n_action_steps == 0 || self.n_action_steps > self.chunk_size {
            return wrong(format!(
                "n_action_steps {} must lie in 1..=chunk_size {}",
                self.n_action_steps, self.chunk_size
            ));
        }
        if let Some(coeff) = self.temporal_ensemble_coeff
            && (self.n_action_steps != 1 || !coeff.is_finite())
        {
            return wrong(format!("temporal_ensemble_coeff {coeff} needs n_action_steps 1 and must be finite"));
        }
        let rates = [self.optimizer_lr, self.optimizer_lr_backbone, self.optimizer_weight_decay];
        if !(0.0..1.0).contains(&self.dropout) || !self.kl_weight.is_finite() || rates.iter().any(|r| !r.is_finite()) {
            return wrong("dropout must lie in 0..1; kl_weight, learning rates and weight decay must be finite".into());
        }
        if self.feedforward_activation == FeedForwardActivation::Glu {
            return wrong(
                "feedforward_activation \"glu\" halves its input, which linear2 does not expect; take relu or gelu"
                    .into(),
            );
        }
        self.check_backbone()?;
        let numbers: u128 = super::parameters::parameters(self).iter().map(|p| p.numbers()).sum();
        if numbers > MOST_NUMBERS {
            return wrong(format!("a network of {numbers} numbers is above {MOST_NUMBERS}"));
        }
        Ok(())
    }

    fn check_sizes(&self) -> Result<(), PolicyError> {
        let sizes = [
            ("action_dim", self.action_dim, 1),
            ("state_dim", self.state_dim, 0),
            ("env_dim", self.env_dim, 0),
            ("chunk_size", self.chunk_size, 1),
            ("dim_feedforward", self.dim_feedforward, 1),
            ("n_heads", self.n_heads, 1),
            ("latent_dim", self.latent_dim, 1),
            ("dim_model", self.dim_model, 1),
        ];
        for (field, value, least) in sizes {
            if value < least || value > 1 << 16 {
                return Err(PolicyError::Config(format!("{field} is {value}; it must lie in {least}..=65536")));
            }
        }
        let layers = [
            ("n_encoder_layers", self.n_encoder_layers),
            ("n_decoder_layers", self.n_decoder_layers),
            ("n_vae_encoder_layers", self.n_vae_encoder_layers),
        ];
        for (field, value) in layers {
            if value == 0 || value > 256 {
                return Err(PolicyError::Config(format!("{field} is {value}; it must lie in 1..=256")));
            }
        }
        if !self.dim_model.is_multiple_of(self.n_heads) || !self.dim_model.is_multiple_of(4) {
            let (d, heads) = (self.dim_model, self.n_heads);
            return Err(PolicyError::Config(format!("dim_model {d} must be a multiple of 4 and of n_heads {heads}")));
        }
        Ok(())
    }

    fn check_inputs(&self) -> Result<(), PolicyError> {
        if self.cameras.is_empty() && self.env_dim == 0 {
            return Err(PolicyError::Config("an image or the environment's state must be among the inputs".into()));
        }
        for (i, camera) in self.cameras.iter().enumerate() {
            let Camera { key, height, width } = camera;
            if *height == 0 || *width == 0 || *height > 4096 || *width > 4096 {
                return Err(PolicyError::Config(format!(
                    "\"{key}\": {width}×{height} pixels; sides must lie in 1..=4096"
                )));
            }
            if self.cameras[..i].iter().any(|other| other.key == *key) || self.cameras.len() > 64 {
                return Err(PolicyError::Config(format!("\"{key}\": keys must differ, and 64 cameras are the most")));
            }
        }
        Ok(())
    }

    fn check_backbone(&self) -> Result<(), PolicyError> {
        let dilated = self.replace_final_stride_with_dilation;
        match &self.backbone {
            Backbone::Resnet { depth } => match Backbone::stages(*depth) {
                None => Err(PolicyError::Config(format!(
                    "vision_backbone \"resnet{depth}\" is not known; known are resnet18, 34, 50, 101 and 152"
                ))),
                Some((_, false)) if dilated => Err(PolicyError::Config(format!(
                    "replace_final_stride_with_dilation needs bottleneck blocks, which resnet{depth} does not have (nor \
                     does torchvision build it); take resnet50 or set it to false"
                ))),
                Some(_) => Ok(()),
            },
            Backbone::GroupNormCnn { channels, groups } => {
                let odd = |c: &usize| *groups == 0 || *c == 0 || *c > 1 << 16 || !c.is_multiple_of(*groups);
                if channels.is_empty() || channels.len() > 16 || channels.iter().any(odd) {
                    return Err(PolicyError::Config(format!("channels {channels:?} must be multiples of {groups}")));
                }
                if dilated {
                    let why = "replace_final_stride_with_dilation is for ResNets".to_owned();
                    return Err(PolicyError::Config(why));
                }
                Ok(())
            }
        }
    }

    /// Height and width of the only camera's images; none when there are several or none.
    pub fn image_size(&self) -> Option<(usize, usize)> {
        match self.cameras.as_slice() {
            [camera] => Some((camera.height, camera.width)),
            _ => None,
        }
    }

    /// Height and width of a camera's feature map.
    pub fn map_size(&self, camera: &Camera) -> (usize, usize) {
        let halvings = self.backbone.halvings(self.replace_final_stride_with_dilation);
        let side = |side: usize| (0..halvings).fold(side, |side, _| side.div_ceil(2));
        (side(camera.height), side(camera.width))
    }

    /// Tokens of the encoder that are not pixels: latent, state, environment.
    pub fn single_tokens(&self) -> usize {
        1 + usize::from(self.state_dim > 0) + usize::from(self.env_dim > 0)
    }

    /// Tokens of the variational encoder: cls, state, actions.
    pub fn vae_tokens(&self) -> usize {
        1 + usize::from(self.state_dim > 0) + self.chunk_size
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(backbone: Backbone, dilated: bool, height: usize, width: usize) -> ActConfig {
        let key = "observation.images.ego".to_owned();
        ActConfig {
            cameras: vec![Camera { key, height, width }],
            state_dim: 4,
            backbone,
            replace_final_stride_with_dilation: dilated,
            ..ActConfig::default()
        }
    }

    #[test]
    fn feature_maps_have_torchvisions_sizes() {
        let size = |backbone, dilated, (h, w)| {
            let config = config(backbone, dilated, h, w);
            config.check().unwrap();
            config.map_size(&config.cameras[0])
        };
        assert_eq!(size(Backbone::Resnet { depth: 18 }, false, (72, 96)), (3, 3));
        assert_eq!(size(Backbone::Resnet { depth: 34 }, false, (96, 128)), (3, 4));
        assert_eq!(size(Backbone::Resnet { depth: 18 }, false, (224, 224)), (7, 7));
        assert_eq!(size(Backbone::Resnet { depth: 50 }, true, (224, 224)), (14, 14));
        assert_eq!(size(Backbone::GroupNormCnn { channels: vec![8; 4], groups: 8 }, false, (72, 96)), (5, 6));
    }

    #[test]
    fn what_cannot_be_built_names_its_field() {
        let base = || config(Backbone::Resnet { depth: 18 }, false, 72, 96);
        let refused = |change: &dyn Fn(&mut ActConfig), words: &str| {
            let mut config = base();
            change(&mut config);
            let error = config.check().unwrap_err().to_string();
            assert!(error.contains(words), "{error}");
        };
        base().check().unwrap();
        refused(&|c| c.chunk_size = 0, "chunk_size is 0");
        refused(&|c| c.n_action_steps = 101, "n_action_steps 101");
        refused(&|c| c.temporal_ensemble_coeff = Some(0.01), "n_action_steps 1");
        refused(&|c| c.n_heads = 7, "n_heads 7");
        refused(&|c| c.cameras.clear(), "environment");
        refused(&|c| c.cameras.push(c.cameras[0].clone()), "keys must differ");
        refused(&|c| c.backbone = Backbone::Resnet { depth: 19 }, "resnet19");
        refused(&|c| c.replace_final_stride_with_dilation = true, "resnet18");
        refused(&|c| c.feedforward_activation = FeedForwardActivation::Glu, "glu");
        refused(&|c| (c.dim_model, c.dim_feedforward) = (65_536, 65_536), "numbers");
        refused(&|c| c.n_encoder_layers = 0, "n_encoder_layers");
    }
}
