//! From the file's arrays to what the network is told: every array is looked for, its shape checked, nothing is left.

use super::file::{Array, Given, Space};
use super::refuse;
use crate::policy::PolicyError;
use crate::policy::config::ActConfig;
use crate::policy::inference::Policy;
use crate::policy::lerobot::{ACTION_KEY, ENV_KEY, STATE_KEY};
use crate::policy::normalise::Scale;
use std::collections::BTreeMap;

const PADDING_KEY: &str = "action_is_pad";
const NOISE_KEY: &str = "latent_eps";

/// Normalised inputs, flat.
pub struct Told {
    /// Samples.
    pub batch: usize,
    /// `B·H·W·3` of each camera.
    pub images: Vec<Vec<f32>>,
    pub state: Vec<f32>,
    pub env: Vec<f32>,
    pub labels: Option<Labels>,
}

/// What only a training pass reads.
pub struct Labels {
    /// `B·T·A`, normalised.
    pub actions: Vec<f32>,
    /// `B·T`, true where an action is padding.
    pub padding: Vec<bool>,
    /// `B·latent`, the latent's noise; empty for a network without variational encoder.
    pub noise: Vec<f32>,
}

/// The arrays that are still to be taken.
struct Arrays<'a> {
    left: BTreeMap<&'a str, &'a Array>,
    batch: usize,
}

impl<'a> Arrays<'a> {
    /// The array of this name and shape, without the batch.
    fn take(&mut self, name: &str, shape: &[usize]) -> Result<&'a [f32], PolicyError> {
        let Some(array) = self.left.remove(name) else { return refuse(format!("inputs lack \"{name}\"")) };
        let mut wanted = vec![self.batch];
        wanted.extend(shape);
        if array.shape != wanted {
            return refuse(format!("inputs: \"{name}\" has shape {:?}, wanted {wanted:?}", array.shape));
        }
        if !array.is_whole() {
            let (numbers, shape) = (array.data.len(), &array.shape);
            return refuse(format!("inputs: \"{name}\" has {numbers} numbers, its shape {shape:?} wants others"));
        }
        if let Some(at) = array.data.iter().position(|value| !value.is_finite()) {
            return refuse(format!("inputs: number {at} of \"{name}\" is not finite"));
        }
        Ok(&array.data)
    }
}

impl Told {
    /// Reads and, where the file is raw, normalises.
    pub fn read(file: &Given, policy: &Policy) -> Result<Told, PolicyError> {
        let (config, statistics) = (policy.config(), policy.statistics());
        let left: BTreeMap<&str, &Array> = file.inputs.iter().map(|(name, array)| (name.as_str(), array)).collect();
        let trains = [ACTION_KEY, PADDING_KEY, NOISE_KEY].iter().any(|name| left.contains_key(name));
        let mut arrays = Arrays { batch: batch(config, &left)?, left };
        let raw = file.space == Space::Raw;
        let columns = |scale: &Scale, numbers: &[f32]| {
            let mut out = Vec::with_capacity(numbers.len());
            if raw {
                scale.normalise(numbers, &mut out)
            } else {
                out.extend_from_slice(numbers)
            }
            out
        };
        let mut images = Vec::with_capacity(config.cameras.len());
        for (camera, scale) in config.cameras.iter().zip(&statistics.images) {
            let numbers = arrays.take(&camera.key, &[3, camera.height, camera.width])?;
            images.push(channels_last(numbers, camera.height * camera.width, raw.then_some(scale)));
        }
        let mut optional = |name: &str, scale: &Scale| match scale.columns() {
            0 => Ok(Vec::new()),
            count => arrays.take(name, &[count]).map(|numbers| columns(scale, numbers)),
        };
        let state = optional(STATE_KEY, &statistics.state)?;
        let env = optional(ENV_KEY, &statistics.env)?;
        let labels = if trains {
            let actions = arrays.take(ACTION_KEY, &[config.chunk_size, config.action_dim])?;
            let padding = arrays.take(PADDING_KEY, &[config.chunk_size])?;
            // Without a variational encoder nothing reads the noise, but who compares may give it all the same.
            let noise = if config.use_vae || arrays.left.contains_key(NOISE_KEY) {
                arrays.take(NOISE_KEY, &[config.latent_dim])?
            } else {
                &[]
            };
            let noise = if config.use_vae { noise.to_vec() } else { Vec::new() };
            Some(Labels { actions: columns(&statistics.action, actions), padding: flags(padding)?, noise })
        } else {
            None
        };
        match arrays.left.keys().next() {
            Some(name) => refuse(format!("inputs hold \"{name}\", which this policy does not take")),
            None => Ok(Told { batch: arrays.batch, images, state, env, labels }),
        }
    }
}

/// Samples in the file, by the first array that a policy must be told.
fn batch(config: &ActConfig, arrays: &BTreeMap<&str, &Array>) -> Result<usize, PolicyError> {
    let first = config.cameras.first().map_or(ENV_KEY, |camera| camera.key.as_str());
    match arrays.get(first).map(|array| array.shape.first().copied().unwrap_or(0)) {
        None => refuse(format!("inputs lack \"{first}\"")),
        Some(0) => refuse(format!("inputs: \"{first}\" holds no sample")),
        Some(batch) => Ok(batch),
    }
}

fn flags(numbers: &[f32]) -> Result<Vec<bool>, PolicyError> {
    match numbers.iter().find(|value| **value != 0.0 && **value != 1.0) {
        Some(value) => refuse(format!("inputs: \"{PADDING_KEY}\" holds {value}; it is 0 or 1, or false or true")),
        None => Ok(numbers.iter().map(|value| *value == 1.0).collect()),
    }
}

/// `[B, 3, H, W]` → `[B, H, W, 3]`, normalised where there is a scale.
fn channels_last(numbers: &[f32], pixels: usize, scale: Option<&Scale>) -> Vec<f32> {
    let mut out = Vec::with_capacity(numbers.len());
    for image in numbers.chunks_exact(3 * pixels) {
        for pixel in 0..pixels {
            for channel in 0..3 {
                let value = image[channel * pixels + pixel];
                out.push(scale.map_or(value, |scale| scale.apply(channel, value)));
            }
        }
    }
    out
}
