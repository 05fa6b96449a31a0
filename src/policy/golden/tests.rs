//! Specifications of the certificate: every step's mistake is refused by its name.

use super::*;
use crate::policy::config::{Backbone, Camera};
use crate::policy::inference::Origin;
use crate::policy::normalise::Scale;
use crate::policy::{ActConfig, testing};

fn policy() -> Policy {
    let camera = |key: &str, height, width| Camera { key: key.into(), height, width };
    let config = ActConfig {
        cameras: vec![camera("observation.images.ego", 9, 12), camera("observation.images.top", 8, 8)],
        env_dim: 2,
        backbone: Backbone::GroupNormCnn { channels: vec![8, 8], groups: 4 },
        ..testing::tiny_config(9, 12, 3, 5)
    };
    let tensors = testing::initial_tensors(&config);
    let image = Scale::mean_std(vec![0.3, 0.4, 0.5], vec![0.2, 0.25, 0.3]);
    let statistics = Statistics {
        images: vec![image.clone(), image],
        state: Scale::mean_std(vec![1.0, 2.0, 3.0], vec![0.5, 1.0, 2.0]),
        env: Scale::identity(2),
        action: Scale::mean_std(vec![0.0; 4], vec![0.5; 4]),
    };
    Policy::new(config, statistics, Origin::default(), tensors).unwrap()
}

/// What becomes of the image of a camera: its number and bytes in, normalised numbers out.
type Preparation<'a> = Box<dyn Fn(usize, &[u8]) -> Vec<f32> + 'a>;

/// A policy whose images, states, outputs or sizes go through one more hand.
struct Mistaken<'a> {
    policy: &'a Policy,
    image: Preparation<'a>,
    state_shift: f32,
    output_shift: f32,
    action_factor: f32,
    wider: usize,
}

impl<'a> Mistaken<'a> {
    fn none(policy: &'a Policy) -> Self {
        let image = Box::new(|camera, rgb: &[u8]| policy.normalised_image(camera, rgb));
        Self { policy, image, state_shift: 0.0, output_shift: 0.0, action_factor: 1.0, wider: 0 }
    }
}

impl Replay for Mistaken<'_> {
    fn image_size(&self, camera: usize) -> (usize, usize) {
        let (height, width) = self.policy.image_size(camera);
        (height, width + self.wider)
    }

    fn normalised_image(&self, camera: usize, rgb: &[u8]) -> Vec<f32> {
        (self.image)(camera, rgb)
    }

    fn normalised_state(&self, state: &[f32]) -> Vec<f32> {
        self.policy.normalised_state(state).into_iter().map(|v| v + self.state_shift).collect()
    }

    fn normalised_env(&self, env: &[f32]) -> Vec<f32> {
        self.policy.normalised_env(env)
    }

    fn network(&self, images: &[Vec<f32>], states: &[f32], envs: &[f32]) -> Result<Vec<f32>, PolicyError> {
        let out = self.policy.network(images, states, envs)?;
        Ok(out.into_iter().map(|v| v + self.output_shift).collect())
    }

    fn restored(&self, column: usize, value: f32) -> f32 {
        self.policy.restored(column, value) * self.action_factor
    }
}

fn check(replay: &Mistaken<'_>) -> Result<(), PolicyError> {
    let golden = Golden::record(replay.policy).unwrap();
    golden.check(replay, 4, replay.policy.statistics(), Path::new("checkpoint"))
}

#[test]
fn a_policy_reproduces_itself_and_its_file() {
    let policy = policy();
    check(&Mistaken::none(&policy)).unwrap();
    let golden = Golden::record(&policy).unwrap();
    let tensors = golden.tensors(policy.config()).unwrap();
    assert_eq!(Golden::from_tensors(tensors, policy.config(), Path::new("x")).unwrap(), golden);
}

/// The night's mistake: training divided bytes by 255, inference added ImageNet's mean and deviation.
#[test]
fn imagenets_statistics_added_at_inference_are_refused_by_their_name() {
    let policy = policy();
    let (mean, std) = ([0.485_f32, 0.456, 0.406], [0.229_f32, 0.224, 0.225]);
    let own = &policy.statistics().images[0];
    let before = |_: usize, rgb: &[u8]| -> Vec<f32> {
        let units = rgb.iter().enumerate().map(|(i, byte)| (i % 3, f32::from(*byte) / 255.0));
        units.map(|(c, x)| own.apply(c, (x - mean[c]) / std[c])).collect()
    };
    let error = check(&Mistaken { image: Box::new(before), ..Mistaken::none(&policy) }).unwrap_err();
    assert!(matches!(error, PolicyError::Golden { step: Step::Normalise, .. }), "{error}");
    let text = error.to_string();
    assert!(
        text.contains("step \"normalise\"") && text.contains("ImageNet's mean and deviation applied before"),
        "{text}"
    );
}

#[test]
fn every_other_step_is_refused_by_its_name() {
    let policy = policy();
    let own = &policy.statistics().images[0];
    let refused = |replay: &Mistaken<'_>, step: &str, words: &str| {
        let text = check(replay).unwrap_err().to_string();
        assert!(text.contains(&format!("step \"{step}\"")) && text.contains(words), "{text}");
    };
    let image = |image: Preparation<'static>| Mistaken { image, ..Mistaken::none(&policy) };
    let each = |f: fn(usize, &[u8], &Scale) -> f32| -> Preparation<'static> {
        let own = own.clone();
        Box::new(move |_, rgb| (0..rgb.len()).map(|i| f(i, rgb, &own)).collect())
    };
    refused(&Mistaken { wider: 1, ..Mistaken::none(&policy) }, "resize", "13×9 pixels, recorded 12×9");
    let swapped = each(|i, rgb, own| own.apply(i % 3, f32::from(rgb[i / 3 * 3 + 2 - i % 3]) / 255.0));
    refused(&image(swapped), "channel order", "red and blue are swapped");
    refused(&image(each(|i, rgb, own| own.apply(i % 3, f32::from(rgb[i])))), "scale", "not divided by 255");
    refused(&image(each(|i, rgb, _| f32::from(rgb[i]) / 255.0)), "normalise", "only scaled to [0, 1]");
    refused(&image(each(|i, rgb, own| own.apply(i % 3, f32::from(rgb[i]) / 256.0))), "normalise", "not those");
    refused(&Mistaken { state_shift: 0.1, ..Mistaken::none(&policy) }, "normalise", "of the state");
    refused(&Mistaken { output_shift: 0.1, ..Mistaken::none(&policy) }, "network", "other weights or program");
    refused(&Mistaken { action_factor: 1.1, ..Mistaken::none(&policy) }, "unnormalise", "of an action");
}
