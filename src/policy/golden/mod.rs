//! The parity certificate's recorded inputs and outputs: proof, before any rollout, that what was loaded sees and acts
//! as what was saved.
//!
//! A few raw inputs are kept with what every step made of them. A loaded policy is taken through the same steps, by
//! the functions that inference uses; the first step that differs is named, and the usual mistakes (another network's
//! statistics on top, swapped channels, a forgotten division) are recognised by what they would have made.

mod diagnosis;
mod file;

use super::PolicyError;
use super::inference::Policy;
use super::normalise::Statistics;
use crate::base::Seed;
use rand::Rng as _;
use std::fmt;
use std::path::Path;

/// Normalised numbers may differ by this much, relative to their size: another rounding.
const ROUNDING: f32 = 1e-5;
/// The network's outputs may differ by this much: other processors add in another order.
const TOLERANCE: f32 = 1e-3;
/// Recorded inputs.
const INPUTS: usize = 4;
/// Every this many-th number of a normalised image is recorded; not a multiple of 3, so that all channels are.
const PROBE_EVERY: usize = 7;

/// A step between what a camera sees and what the wheels do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// The image's size.
    Resize,
    /// Red, green, blue.
    ChannelOrder,
    /// From bytes to [0, 1].
    Scale,
    /// To the numbers that the network wants.
    Normalise,
    /// The network itself.
    Network,
    /// From the network's numbers to actions.
    Unnormalise,
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Step::Resize => "resize",
            Step::ChannelOrder => "channel order",
            Step::Scale => "scale",
            Step::Normalise => "normalise",
            Step::Network => "network",
            Step::Unnormalise => "unnormalise",
        })
    }
}

/// Whatever can be taken through the steps: a policy, or in tests a policy with a mistake.
pub trait Replay {
    /// Height and width of a camera's images.
    fn image_size(&self, camera: usize) -> (usize, usize);
    /// RGB bytes → what the network gets.
    fn normalised_image(&self, camera: usize, rgb: &[u8]) -> Vec<f32>;
    /// A state in physical units → what the network gets.
    fn normalised_state(&self, state: &[f32]) -> Vec<f32>;
    /// The same for the environment's state.
    fn normalised_env(&self, env: &[f32]) -> Vec<f32>;
    /// Normalised images, states and environments of several inputs → their normalised chunks.
    fn network(&self, images: &[Vec<f32>], states: &[f32], envs: &[f32]) -> Result<Vec<f32>, PolicyError>;
    /// A normalised number of an action's column → its own unit.
    fn restored(&self, column: usize, value: f32) -> f32;
}

/// Inputs and what each step made of them, input by input.
#[derive(Debug, Clone, PartialEq)]
pub struct Golden {
    /// Height and width of each camera.
    sizes: Vec<(usize, usize)>,
    /// RGB bytes of each camera.
    images: Vec<Vec<u8>>,
    /// Probes of the normalised images of each camera.
    probes: Vec<Vec<f32>>,
    states: Vec<f32>,
    normalised_states: Vec<f32>,
    envs: Vec<f32>,
    normalised_envs: Vec<f32>,
    normalised_actions: Vec<f32>,
    actions: Vec<f32>,
}

impl Golden {
    /// Records what a policy makes of a black, a bright, a gradient and a noisy image, at states around its mean.
    pub fn record(policy: &Policy) -> Result<Golden, PolicyError> {
        let config = policy.config();
        let mut rng = Seed(0).child("golden", 0).rng();
        let sizes: Vec<_> = config.cameras.iter().map(|camera| (camera.height, camera.width)).collect();
        let images = sizes.iter().map(|(height, width)| {
            let len = height * width * 3;
            let mut images = vec![0; len];
            images.extend(std::iter::repeat_n(200, len));
            images.extend((0..len).map(|i| (i * 255 / len) as u8));
            images.extend((0..len).map(|_| rng.random::<u8>()));
            images
        });
        let images = images.collect();
        let mut around = |scale: &super::normalise::Scale| -> Vec<f32> {
            let columns = (0..INPUTS).flat_map(|_| 0..scale.columns());
            columns.map(|column| scale.restore(column, rng.random_range(-1.5..1.5))).collect()
        };
        let Statistics { state, env, .. } = policy.statistics();
        let (states, envs) = (around(state), around(env));
        let mut golden = Golden {
            sizes,
            images,
            probes: Vec::new(),
            normalised_states: policy.normalised_state(&states),
            states,
            normalised_envs: policy.normalised_env(&envs),
            envs,
            normalised_actions: Vec::new(),
            actions: Vec::new(),
        };
        let normalised = golden.normalised_images(policy);
        golden.probes = (0..golden.sizes.len()).map(|camera| golden.probes_of(camera, &normalised[camera])).collect();
        golden.normalised_actions = policy.network(&normalised, &golden.normalised_states, &golden.normalised_envs)?;
        golden.actions = golden.restored(policy, config.action_dim);
        Ok(golden)
    }

    /// Refuses a policy that sees or acts otherwise, naming the step. `recorded` are the statistics it was certified
    /// with.
    pub fn check(
        &self,
        replay: &dyn Replay,
        action_dim: usize,
        recorded: &Statistics,
        path: &Path,
    ) -> Result<(), PolicyError> {
        let refuse = |step: Step, why: String| Err(PolicyError::Golden { path: path.to_owned(), step, why });
        for (camera, (height, width)) in self.sizes.iter().enumerate() {
            let (now_height, now_width) = replay.image_size(camera);
            if (now_height, now_width) != (*height, *width) {
                let why = format!("camera {camera} gives {now_width}×{now_height} pixels, recorded {width}×{height}");
                return refuse(Step::Resize, why);
            }
        }
        let normalised = self.normalised_images(replay);
        for (camera, images) in normalised.iter().enumerate() {
            let got = self.probes_of(camera, images);
            if let Some(at) = difference(&got, &self.probes[camera], ROUNDING) {
                let (step, guess) = diagnosis::of_image(self, camera, &got, recorded.images.get(camera));
                let (got, wanted) = (got[at], self.probes[camera][at]);
                return refuse(step, format!("a pixel of camera {camera} becomes {got}, recorded {wanted}; {guess}"));
            }
        }
        let numbers = [
            ("state", replay.normalised_state(&self.states), &self.normalised_states, self.states.len() / INPUTS),
            ("environment", replay.normalised_env(&self.envs), &self.normalised_envs, self.envs.len() / INPUTS),
        ];
        for (what, got, wanted, columns) in numbers {
            if let Some(at) = difference(&got, wanted, ROUNDING) {
                let (column, got) = (at % columns.max(1), got.get(at).copied().unwrap_or(f32::NAN));
                let wanted = wanted[at];
                return refuse(
                    Step::Normalise,
                    format!("number {column} of the {what} becomes {got}, recorded {wanted}"),
                );
            }
        }
        let actions = replay.network(&normalised, &self.normalised_states, &self.normalised_envs)?;
        if let Some(at) = difference(&actions, &self.normalised_actions, TOLERANCE) {
            let (got, wanted) = (actions.get(at).copied().unwrap_or(f32::NAN), self.normalised_actions[at]);
            let why = format!("output {at} is {got}, recorded {wanted}, from equal inputs: other weights or program");
            return refuse(Step::Network, why);
        }
        let restored = self.restored(replay, action_dim);
        if let Some(at) = difference(&restored, &self.actions, ROUNDING) {
            let (column, got, wanted) = (at % action_dim.max(1), restored[at], self.actions[at]);
            return refuse(Step::Unnormalise, format!("number {column} of an action is {got}, recorded {wanted}"));
        }
        Ok(())
    }

    /// The normalised images of all inputs, one vector a camera.
    fn normalised_images(&self, replay: &dyn Replay) -> Vec<Vec<f32>> {
        let all = self.images.iter().enumerate();
        all.map(|(camera, images)| {
            let each = images.chunks_exact((images.len() / INPUTS).max(1));
            each.flat_map(|image| replay.normalised_image(camera, image)).collect()
        })
        .collect()
    }

    fn probes_of(&self, camera: usize, numbers: &[f32]) -> Vec<f32> {
        let len = self.images[camera].len() / INPUTS;
        numbers.chunks(len.max(1)).flat_map(|image| image.iter().step_by(PROBE_EVERY)).copied().collect()
    }

    fn restored(&self, replay: &dyn Replay, action_dim: usize) -> Vec<f32> {
        let numbers = self.normalised_actions.iter().enumerate();
        numbers.map(|(i, value)| replay.restored(i % action_dim.max(1), *value)).collect()
    }
}

/// Where two lists differ first by more than `tolerance`, absolute or relative; a number that is none differs.
fn difference(got: &[f32], wanted: &[f32], tolerance: f32) -> Option<usize> {
    if got.len() != wanted.len() {
        return Some(got.len().min(wanted.len()).min(wanted.len().saturating_sub(1)));
    }
    got.iter().zip(wanted).position(|(g, w)| {
        let close = (g - w).abs() <= tolerance * w.abs().max(1.0);
        !close
    })
}

#[cfg(test)]
mod tests;
