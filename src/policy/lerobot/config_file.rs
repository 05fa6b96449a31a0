//! `config.json`: LeRobot's `ACTConfig`, every field of it and no other.

use super::{ACTION_KEY, ENV_KEY, Feature, Kind, Ordered, STATE_KEY, input_features, norm_map, output_features};
use crate::policy::PolicyError;
use crate::policy::config::{ActConfig, Backbone, Camera, FeedForwardActivation, L1Mean, NormMode, NormModes};
use serde::{Deserialize, Serialize};

/// `vision_backbone` of the image network that LeRobot does not have.
pub const OWN_BACKBONE: &str = "group_norm_cnn";

/// What `config.json` cannot say about a network; it stands in a file of our own.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Extension {
    /// The preset it came from.
    #[serde(default)]
    pub preset: String,
    /// Which mean the L1 loss takes.
    pub l1_mean: L1Mean,
    /// The image network, where LeRobot has none like it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub backbone: Option<Backbone>,
}

impl Extension {
    /// Of a configuration.
    pub fn of(config: &ActConfig) -> Self {
        let own = matches!(config.backbone, Backbone::GroupNormCnn { .. });
        let backbone = own.then(|| config.backbone.clone());
        Self { preset: config.preset.clone(), l1_mean: config.l1_mean, backbone }
    }
}

/// The file. Fields and defaults are LeRobot's; those that only say where and how LeRobot ran are read and left.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ConfigFile {
    #[serde(rename = "type")]
    policy: String,
    n_obs_steps: usize,
    input_features: Ordered<Feature>,
    output_features: Ordered<Feature>,
    device: Option<String>,
    use_amp: bool,
    use_peft: bool,
    push_to_hub: bool,
    repo_id: Option<String>,
    private: Option<bool>,
    tags: Option<Vec<String>>,
    license: Option<String>,
    pretrained_path: Option<String>,
    /// Only LeRobot 0.6 knows it, so it is never written.
    #[serde(skip_serializing)]
    pretrained_revision: Option<String>,
    chunk_size: usize,
    n_action_steps: usize,
    normalization_mapping: Ordered<NormMode>,
    vision_backbone: String,
    /// Never written: it would make LeRobot download weights, only to replace them by the file's.
    pretrained_backbone_weights: Option<String>,
    replace_final_stride_with_dilation: Flag,
    pre_norm: bool,
    dim_model: usize,
    n_heads: usize,
    dim_feedforward: usize,
    feedforward_activation: FeedForwardActivation,
    n_encoder_layers: usize,
    n_decoder_layers: usize,
    use_vae: bool,
    latent_dim: usize,
    n_vae_encoder_layers: usize,
    temporal_ensemble_coeff: Option<f64>,
    dropout: f64,
    kl_weight: f64,
    optimizer_lr: f64,
    optimizer_weight_decay: f64,
    optimizer_lr_backbone: f64,
}

/// Python writes this one as a boolean or as a number.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
enum Flag {
    Bool(bool),
    Number(u8),
}

impl From<Flag> for bool {
    fn from(flag: Flag) -> bool {
        match flag {
            Flag::Bool(flag) => flag,
            Flag::Number(number) => number != 0,
        }
    }
}

/// LeRobot's defaults; what it has no default for is empty.
impl Default for ConfigFile {
    fn default() -> Self {
        let blank = ConfigFile::of(&ActConfig::default());
        Self {
            policy: String::new(),
            input_features: Ordered(Vec::new()),
            output_features: Ordered(Vec::new()),
            ..blank
        }
    }
}

impl ConfigFile {
    /// The file of a configuration.
    pub fn of(config: &ActConfig) -> Self {
        let vision_backbone = match config.backbone {
            Backbone::Resnet { depth } => format!("resnet{depth}"),
            Backbone::GroupNormCnn { .. } => OWN_BACKBONE.to_owned(),
        };
        Self {
            policy: "act".into(),
            n_obs_steps: 1,
            input_features: input_features(config),
            output_features: output_features(config),
            device: Some("cpu".into()),
            use_amp: false,
            use_peft: false,
            push_to_hub: false,
            repo_id: None,
            private: None,
            tags: None,
            license: None,
            pretrained_path: None,
            pretrained_revision: None,
            chunk_size: config.chunk_size,
            n_action_steps: config.n_action_steps,
            normalization_mapping: norm_map(config),
            vision_backbone,
            pretrained_backbone_weights: None,
            replace_final_stride_with_dilation: Flag::Bool(config.replace_final_stride_with_dilation),
            pre_norm: config.pre_norm,
            dim_model: config.dim_model,
            n_heads: config.n_heads,
            dim_feedforward: config.dim_feedforward,
            feedforward_activation: config.feedforward_activation,
            n_encoder_layers: config.n_encoder_layers,
            n_decoder_layers: config.n_decoder_layers,
            use_vae: config.use_vae,
            latent_dim: config.latent_dim,
            n_vae_encoder_layers: config.n_vae_encoder_layers,
            temporal_ensemble_coeff: config.temporal_ensemble_coeff,
            dropout: config.dropout,
            kl_weight: config.kl_weight,
            optimizer_lr: config.optimizer_lr,
            optimizer_weight_decay: config.optimizer_weight_decay,
            optimizer_lr_backbone: config.optimizer_lr_backbone,
        }
    }

    /// The configuration that the file and our extension of it describe. Without the extension, the L1 loss takes
    /// the mean of the LeRobot versions that write such files most, up to 0.5.
    pub fn config(self, extension: Option<Extension>) -> Result<ActConfig, PolicyError> {
        let wrong = |what: String| PolicyError::Config(what);
        if self.policy != "act" {
            return Err(wrong(format!("type is \"{}\"; only \"act\" can be loaded", self.policy)));
        }
        if self.n_obs_steps != 1 {
            return Err(wrong(format!("n_obs_steps is {}; ACT sees one observation", self.n_obs_steps)));
        }
        let extension = extension.unwrap_or(Extension { preset: String::new(), l1_mean: L1Mean::All, backbone: None });
        let backbone = backbone(&self.vision_backbone, extension.backbone)?;
        let mut config = ActConfig {
            preset: extension.preset,
            cameras: Vec::new(),
            state_dim: 0,
            env_dim: 0,
            action_dim: 0,
            chunk_size: self.chunk_size,
            n_action_steps: self.n_action_steps,
            normalization: modes(&self.normalization_mapping)?,
            backbone,
            replace_final_stride_with_dilation: self.replace_final_stride_with_dilation.into(),
            pre_norm: self.pre_norm,
            dim_model: self.dim_model,
            n_heads: self.n_heads,
            dim_feedforward: self.dim_feedforward,
            feedforward_activation: self.feedforward_activation,
            n_encoder_layers: self.n_encoder_layers,
            n_decoder_layers: self.n_decoder_layers,
            use_vae: self.use_vae,
            latent_dim: self.latent_dim,
            n_vae_encoder_layers: self.n_vae_encoder_layers,
            temporal_ensemble_coeff: self.temporal_ensemble_coeff,
            dropout: self.dropout,
            kl_weight: self.kl_weight,
            l1_mean: extension.l1_mean,
            optimizer_lr: self.optimizer_lr,
            optimizer_weight_decay: self.optimizer_weight_decay,
            optimizer_lr_backbone: self.optimizer_lr_backbone,
        };
        for (key, feature) in self.input_features.0 {
            add_input(&mut config, key, &feature)?;
        }
        config.action_dim = match self.output_features.0.as_slice() {
            [(key, Feature { kind: Kind::Action, shape })] if key == ACTION_KEY && shape.len() == 1 => shape[0],
            other => {
                return Err(wrong(format!(
                    "output_features must hold \"{ACTION_KEY}\" of one dimension, not {other:?}"
                )));
            }
        };
        config.check()?;
        Ok(config)
    }
}

fn backbone(name: &str, own: Option<Backbone>) -> Result<Backbone, PolicyError> {
    let depth = name.strip_prefix("resnet").and_then(|depth| depth.parse().ok());
    match (depth, own) {
        (Some(depth), None) => Ok(Backbone::Resnet { depth }),
        (None, Some(own)) if name == OWN_BACKBONE => Ok(own),
        (None, None) if name == OWN_BACKBONE => {
            Err(PolicyError::Config(format!("vision_backbone \"{name}\" needs its sizes, which ralphton.json lacks")))
        }
        (_, Some(_)) => Err(PolicyError::Config(format!(
            "vision_backbone is \"{name}\", but ralphton.json describes another image network"
        ))),
        (None, None) => Err(PolicyError::Config(format!(
            "vision_backbone \"{name}\" is not known; known are resnet18, 34, 50, 101, 152 and {OWN_BACKBONE}"
        ))),
    }
}

fn modes(map: &Ordered<NormMode>) -> Result<NormModes, PolicyError> {
    let identity = NormMode::Identity;
    let mut modes = NormModes { visual: identity, state: identity, env: identity, action: identity };
    for (kind, mode) in &map.0 {
        match kind.as_str() {
            "VISUAL" => modes.visual = *mode,
            "STATE" => modes.state = *mode,
            "ENV" => modes.env = *mode,
            "ACTION" => modes.action = *mode,
            other => {
                let known = "VISUAL, STATE, ENV and ACTION";
                return Err(PolicyError::Config(format!("normalization_mapping of \"{other}\"; known are {known}")));
            }
        }
    }
    Ok(modes)
}

fn add_input(config: &mut ActConfig, key: String, feature: &Feature) -> Result<(), PolicyError> {
    match (feature.kind, feature.shape.as_slice()) {
        (Kind::Visual, [3, height, width]) => config.cameras.push(Camera { key, height: *height, width: *width }),
        (Kind::State, [columns]) if key == STATE_KEY => config.state_dim = *columns,
        (Kind::Env, [columns]) if key == ENV_KEY => config.env_dim = *columns,
        (kind, shape) => {
            return Err(PolicyError::Config(format!(
                "input feature \"{key}\" of kind {kind:?} and shape {shape:?}; images are [3, height, width], \
                 {STATE_KEY} and {ENV_KEY} have one dimension"
            )));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOLDEN: &str = include_str!("../../../tests/fixtures/golden_act_tiny/config.json");

    #[test]
    fn lerobots_file_is_read_field_by_field_and_written_back() {
        let file: ConfigFile = serde_json::from_str(GOLDEN).unwrap();
        let config = file.clone().config(None).unwrap();
        assert_eq!((config.cameras.len(), config.state_dim, config.action_dim), (1, 4, 4));
        assert_eq!((config.dim_model, config.n_decoder_layers, config.latent_dim), (32, 2, 8));
        assert_eq!((config.l1_mean, config.backbone.clone()), (L1Mean::All, Backbone::Resnet { depth: 18 }));
        assert_eq!(ConfigFile::of(&config), file);
        let ours: serde_json::Value = serde_json::to_value(ConfigFile::of(&config)).unwrap();
        assert_eq!(ours, serde_json::from_str::<serde_json::Value>(GOLDEN).unwrap());
    }

    #[test]
    fn absent_keys_take_lerobots_defaults() {
        let text = r#"{"type":"act","input_features":{"observation.images.top":{"type":"VISUAL","shape":[3,48,64]}},
            "output_features":{"action":{"type":"ACTION","shape":[7]}},"replace_final_stride_with_dilation":0}"#;
        let config = serde_json::from_str::<ConfigFile>(text).unwrap().config(None).unwrap();
        assert_eq!((config.chunk_size, config.dim_model, config.n_vae_encoder_layers), (100, 512, 4));
        assert_eq!((config.action_dim, config.state_dim), (7, 0));
    }

    #[test]
    fn what_is_unknown_or_impossible_is_named() {
        let refused = |from: &str, to: &str, words: &str| {
            let text = GOLDEN.replacen(from, to, 1);
            assert_ne!(text, GOLDEN, "{from}");
            let file = serde_json::from_str::<ConfigFile>(&text).map_err(|e| e.to_string());
            let error = file.and_then(|f| f.config(None).map_err(|e| e.to_string())).unwrap_err();
            assert!(error.contains(words), "{error}");
        };
        refused("\"use_amp\"", "\"use_apm\"", "use_apm");
        refused("\"type\": \"act\"", "\"type\": \"diffusion\"", "diffusion");
        refused("\"n_obs_steps\": 1", "\"n_obs_steps\": 2", "n_obs_steps is 2");
        refused("\"resnet18\"", "\"vit\"", "\"vit\"");
        refused("\"MEAN_STD\"", "\"mean_std\"", "mean_std");
        refused("\"n_heads\": 4", "\"n_heads\": 5", "n_heads 5");
        refused("\"shape\": [\n                3,", "\"shape\": [\n                1,", "observation.images.ego");
        refused("\"feedforward_activation\": \"relu\"", "\"feedforward_activation\": \"glu\"", "glu");
    }
}
