//! Presets by name, as data: the TOML files in `presets/` hold a network and how it is trained.

use super::PolicyError;
use super::config::{ActConfig, Camera};
use super::lerobot::IMAGE_KEY;
use super::plan::TrainPlan;
use crate::base::Seed;
use serde::Deserialize;

const FILES: [(&str, &str); 3] = [
    ("quick", include_str!("presets/quick.toml")),
    ("standard", include_str!("presets/standard.toml")),
    ("seed", include_str!("presets/seed.toml")),
];

/// A network, the images it is made for, and how it is trained.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Preset {
    /// Image size.
    pub image: ImageSize,
    /// The network, without its inputs.
    network: ActConfig,
    /// Its training.
    pub training: Recipe,
}

/// Sides of an image in pixels.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ImageSize {
    /// Width.
    pub width: usize,
    /// Height.
    pub height: usize,
}

/// How a network is trained.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Recipe {
    /// Samples in a batch.
    pub batch: usize,
    /// AdamW's peak learning rate.
    pub learning_rate: f64,
    /// That of the image network.
    pub backbone_learning_rate: f64,
    /// AdamW's weight decay.
    pub weight_decay: f64,
    /// The gradient's norm is cut to this.
    pub clip_norm: f64,
    /// Updates over which the learning rate rises from nothing; 1 for none.
    pub warmup_updates: u32,
    /// Share of the learning rate that is left at the end; 1 for a constant one.
    pub final_lr_share: f64,
    /// Share of the averaged weights that is kept; 0 for no averaging.
    pub ema_decay: f64,
    /// Budget of a first training in samples; without it `epochs` is the budget.
    pub samples: Option<u64>,
    /// Times that a first training sees every sample.
    pub epochs: Option<u32>,
    /// Times that every sample is seen between two checkpoints.
    pub checkpoint_every_epochs: Option<u32>,
    /// Where its randomness begins.
    pub seed: Option<u64>,
    /// What differs when it goes on from a checkpoint.
    pub fine_tune: Option<FineTune>,
}

/// Going on from a checkpoint.
#[derive(Debug, Clone, Copy, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FineTune {
    /// Times that every sample is seen.
    pub epochs: u32,
    /// Learning rate of all parameters.
    pub learning_rate: f64,
}

impl Preset {
    /// The preset of this name.
    pub fn named(name: &str) -> Result<Preset, PolicyError> {
        let Some((_, text)) = FILES.iter().find(|(known, _)| *known == name) else {
            let known = FILES.map(|(known, _)| known).join(", ");
            return Err(PolicyError::UnknownPreset { name: name.to_owned(), known });
        };
        let mut preset: Preset =
            toml::from_str(text).map_err(|error| PolicyError::Config(format!("preset {name}: {error}")))?;
        preset.network.preset = name.to_owned();
        Ok(preset)
    }

    /// Its network, for one camera of this size, a state of this many numbers, and chunks of this many actions.
    pub fn network(&self, image: ImageSize, state_dim: usize, chunk: usize) -> Result<ActConfig, PolicyError> {
        let ImageSize { width, height } = image;
        let config = ActConfig {
            cameras: vec![Camera { key: IMAGE_KEY.to_owned(), height, width }],
            state_dim,
            chunk_size: chunk,
            n_action_steps: chunk,
            ..self.network.clone()
        };
        config.check()?;
        Ok(config)
    }
}

impl Recipe {
    /// The plan for a training set of this many samples; `fine_tune` when it goes on from a checkpoint.
    pub fn plan(&self, samples_in_set: u64, fine_tune: bool) -> TrainPlan {
        let base = TrainPlan::default();
        let further = self.fine_tune.filter(|_| fine_tune);
        let of_epochs = |epochs: Option<u32>| epochs.map(|epochs| u64::from(epochs) * samples_in_set.max(1));
        let first = self.samples.or(of_epochs(self.epochs)).unwrap_or(base.samples);
        TrainPlan {
            samples: of_epochs(further.map(|further| further.epochs)).unwrap_or(first),
            batch: self.batch,
            learning_rate: further.map_or(self.learning_rate, |further| further.learning_rate),
            backbone_learning_rate: Some(further.map_or(self.backbone_learning_rate, |further| further.learning_rate)),
            warmup_updates: self.warmup_updates,
            final_lr_share: self.final_lr_share,
            weight_decay: self.weight_decay,
            clip_norm: self.clip_norm,
            ema_decay: self.ema_decay,
            seed: self.seed.map_or(base.seed, Seed),
            checkpoint_every_samples: of_epochs(self.checkpoint_every_epochs).unwrap_or(base.checkpoint_every_samples),
            ..base
        }
    }
}

impl ActConfig {
    /// The network of a preset for images and states of these sizes.
    pub fn preset(
        name: &str,
        height: usize,
        width: usize,
        state_dim: usize,
        chunk: usize,
    ) -> Result<Self, PolicyError> {
        Preset::named(name)?.network(ImageSize { width, height }, state_dim, chunk)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::Backbone;

    #[test]
    fn quick_has_thirty_image_tokens_at_96_by_72() {
        let config = ActConfig::preset("quick", 72, 96, 10, 20).unwrap();
        assert_eq!(config.map_size(&config.cameras[0]), (5, 6));
        assert_eq!((config.dim_model, config.use_vae, config.dropout), (128, false, 0.0));
    }

    #[test]
    fn seed_is_that_nights_configuration() {
        let preset = Preset::named("seed").unwrap();
        assert_eq!(preset.image, ImageSize { width: 224, height: 224 });
        let config = preset.network(preset.image, 4, 20).unwrap();
        assert_eq!((config.backbone.clone(), config.chunk_size), (Backbone::Resnet { depth: 18 }, 20));
        assert_eq!((config.n_encoder_layers, config.n_decoder_layers), (6, 6));
        let plan = preset.training.plan(1000, false);
        assert_eq!((plan.samples, plan.batch, plan.learning_rate), (500_000, 64, 1e-4));
        assert_eq!((plan.seed, plan.checkpoint_every_samples), (Seed(42), 50_000));
        assert!([0, plan.updates() / 2, plan.updates() - 1].iter().all(|u| plan.learning_rate_at(*u) == 1e-4));
        let further = preset.training.plan(1000, true);
        assert_eq!((further.samples, further.learning_rate, further.batch), (10_000, 2e-6, 64));
        assert_eq!(further.backbone_learning_rate, Some(2e-6));
    }

    #[test]
    fn standard_is_lerobots_default_network_at_96_by_72() {
        let preset = Preset::named("standard").unwrap();
        let config = preset.network(preset.image, 4, 20).unwrap();
        let (preset, cameras) = (config.preset.clone(), config.cameras.clone());
        let default =
            ActConfig { preset, cameras, state_dim: 4, chunk_size: 20, n_action_steps: 20, ..ActConfig::default() };
        assert_eq!(config, default);
    }

    #[test]
    fn quick_trains_as_the_plans_default_does() {
        let plan = Preset::named("quick").unwrap().training.plan(1000, false);
        let default = TrainPlan::default();
        let same = TrainPlan { samples: plan.samples, backbone_learning_rate: plan.backbone_learning_rate, ..default };
        assert_eq!(plan, same);
    }

    #[test]
    fn unknown_presets_name_the_known_and_impossible_sizes_their_field() {
        let error = ActConfig::preset("night", 224, 224, 4, 20).unwrap_err().to_string();
        assert!(error.contains("known are: quick, standard, seed"), "{error}");
        let error = ActConfig::preset("quick", 0, 96, 4, 20).unwrap_err().to_string();
        assert!(error.contains("96×0"), "{error}");
    }
}
