//! Inputs in, everything that can be compared out: a policy's numbers in the form that other implementations of ACT
//! are compared in.
//!
//! The file names its space: `normalized` numbers go to the network as they are, `raw` ones through the checkpoint's
//! normalisation, and actions come back the same way, never clamped. With labels among the inputs, the file also gets
//! what a training pass gives: its outputs, losses, gradient norms, and the losses of a few optimiser steps.

mod file;
mod inputs;
mod pass;

use super::PolicyError;
use super::checkpoint::{read_json, write_json};
use super::config::{ActConfig, L1Mean};
use super::ensemble::TemporalEnsemble;
use super::inference::Policy;
use super::noise::Noise;
use super::normalise::Scale;
use file::{Array, Ensemble, Given, Outputs, Results, Space};
use inputs::Told;
use std::path::{Path, PathBuf};

/// A file of inputs may be this large: 1,000 images of 224×224 pixels as decimal numbers.
const MOST_BYTES: u64 = 4 << 30;

/// What may be chosen beside the file.
#[derive(Debug, Clone, Copy)]
pub struct RunOptions {
    /// The mean of the L1 loss; without it the file's, that of the LeRobot version it names, or the checkpoint's.
    pub l1_mean: Option<L1Mean>,
    /// Optimiser steps whose losses are given.
    pub steps: usize,
    /// How they are made.
    pub optimiser: StepRecipe,
}

/// How the optimiser's steps are made, always AdamW with the configuration's weight decay.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum StepRecipe {
    /// One learning rate for all parameters, gradients as they are: the recipe of the reference's golden files.
    Plain {
        /// The rate.
        learning_rate: f64,
    },
    /// As training with the checkpoint's configuration would: its two learning rates, gradients cut to norm 10.
    Config,
}

impl Default for RunOptions {
    fn default() -> Self {
        Self { l1_mean: None, steps: 5, optimiser: StepRecipe::Plain { learning_rate: 1e-4 } }
    }
}

/// Runs `policy` on the inputs of one file and writes them with all outputs to another. Returns how many arrays and
/// numbers were written.
pub fn run_file(policy: &Policy, inputs: &Path, out: &Path, options: RunOptions) -> Result<usize, PolicyError> {
    let given: Given = read_json(inputs, MOST_BYTES)?;
    let results = run(policy, given, options).map_err(|error| {
        if let PolicyError::Exchange { why, .. } = error {
            PolicyError::Exchange { path: inputs.to_owned(), why }
        } else {
            error
        }
    })?;
    let outputs = &results.outputs;
    let count = outputs.arrays.len() + outputs.grad_norm.len() + outputs.losses.len();
    write_json(out, &results)?;
    Ok(count)
}

/// For what does not fit; the path is filled in above.
fn refuse<T>(why: String) -> Result<T, PolicyError> {
    Err(PolicyError::Exchange { path: PathBuf::new(), why })
}

fn run(policy: &Policy, given: Given, options: RunOptions) -> Result<Results, PolicyError> {
    let config = policy.config();
    let of_version = given.lerobot.as_deref().map(l1_mean_of);
    let l1_mean = options.l1_mean.or(given.l1_mean).or(of_version).unwrap_or(config.l1_mean);
    let Told { batch, images, state, env, labels } = Told::read(&given, policy)?;
    let inputs = policy.inputs(images, state, env)?;
    let prediction = policy.act_network().forward(&inputs, None, &mut Noise::none())?;
    let mut actions = prediction.actions.flatten_all()?.to_vec1::<f32>()?;
    if given.space == Space::Raw {
        restore(&policy.statistics().action, &mut actions);
    }
    let mut outputs = match &labels {
        Some(labels) => pass::training_pass(policy, &inputs, labels, l1_mean, options)?,
        None => Outputs::default(),
    };
    let shape = vec![batch, config.chunk_size, config.action_dim];
    outputs.arrays.insert("actions".to_owned(), Array { shape, data: actions });
    let ensemble = given.outputs.ensemble.or(given.ensemble);
    outputs.ensemble = ensemble.map(|ensemble| run_ensemble(ensemble, config)).transpose()?;
    Ok(Results {
        space: given.space,
        ralphton: env!("CARGO_PKG_VERSION"),
        l1_mean: labels.is_some().then_some(l1_mean),
        inputs: given.inputs,
        outputs,
    })
}

fn restore(scale: &Scale, actions: &mut [f32]) {
    let columns = scale.columns().max(1);
    actions.iter_mut().enumerate().for_each(|(i, value)| *value = scale.restore(i % columns, *value));
}

/// LeRobot divides by the numbers that are not padding since its version 0.6.
fn l1_mean_of(version: &str) -> L1Mean {
    let mut parts = version.split('.').map(|part| part.parse::<u32>().unwrap_or(0));
    let version = (parts.next().unwrap_or(0), parts.next().unwrap_or(0));
    if version >= (0, 6) { L1Mean::Valid } else { L1Mean::All }
}

/// What temporal ensembling makes of the chunks of successive steps.
fn run_ensemble(ensemble: Ensemble, config: &ActConfig) -> Result<Ensemble, PolicyError> {
    let ActConfig { chunk_size, action_dim, .. } = *config;
    let misshaped = || {
        let shape = &ensemble.chunks.shape;
        refuse(format!("ensemble.chunks has shape {shape:?}, wanted [steps, batch, {chunk_size}, {action_dim}]"))
    };
    let &[steps, batch, chunk, columns] = ensemble.chunks.shape.as_slice() else { return misshaped() };
    if (chunk, columns) != (chunk_size, action_dim) || batch == 0 || !ensemble.chunks.is_whole() {
        return misshaped();
    }
    if !ensemble.coeff.is_finite() {
        return refuse(format!("ensemble.coeff is {}", ensemble.coeff));
    }
    let mut means = TemporalEnsemble::new(ensemble.coeff, chunk, batch * columns);
    let mut out = Vec::with_capacity(steps * batch * columns);
    for chunks in ensemble.chunks.data.chunks_exact(batch * chunk * columns) {
        let rows: Vec<Vec<f32>> = (0..chunk)
            .map(|t| (0..batch).flat_map(|b| &chunks[(b * chunk + t) * columns..][..columns]).copied().collect())
            .collect();
        out.extend(means.update(&rows.iter().map(Vec::as_slice).collect::<Vec<_>>())?);
    }
    Ok(Ensemble { out: Some(Array { shape: vec![steps, batch, columns], data: out }), ..ensemble })
}

#[cfg(test)]
mod tests;
