//! A training pass without dropout and with given noise: its outputs, losses and gradients, and what a few steps of
//! the optimiser make of the loss.

use super::file::{Array, Outputs};
use super::inputs::Labels;
use super::{RunOptions, StepRecipe};
use crate::policy::PolicyError;
use crate::policy::act::{Act, Inputs, Labels as Seen, Prediction};
use crate::policy::config::{ActConfig, L1Mean};
use crate::policy::inference::Policy;
use crate::policy::loss::{LossScale, loss};
use crate::policy::noise::Noise;
use crate::policy::ops::with_slice;
use crate::policy::optimiser::{Optimiser, Step, add_up};
use crate::policy::parameters::{Parameter, parameters};
use candle_core::{Device, Tensor, Var};
use std::collections::BTreeMap;

/// LeRobot cuts the gradient's norm to this.
const CLIP_NORM: f64 = 10.0;

/// A trainable copy of a policy's network and one batch for it.
struct Bench<'a> {
    config: &'a ActConfig,
    parameters: Vec<Parameter>,
    vars: Vec<Var>,
    act: Act,
    inputs: &'a Inputs,
    labels: &'a Labels,
    target: Tensor,
    mask: Tensor,
    scale: LossScale,
}

/// Runs the pass and the steps of the optimiser.
pub fn training_pass(
    policy: &Policy,
    inputs: &Inputs,
    labels: &Labels,
    l1_mean: L1Mean,
    options: RunOptions,
) -> Result<Outputs, PolicyError> {
    let bench = Bench::new(policy, inputs, labels, l1_mean)?;
    let prediction = bench.forward()?;
    let arrays = bench.arrays(&prediction)?;
    let (_, gradient) = bench.gradient(&prediction)?;
    let mut at = 0;
    let mut grad_norm = BTreeMap::new();
    for (parameter, var) in bench.parameters.iter().zip(&bench.vars) {
        let part = &gradient[at..at + var.elem_count()];
        at += part.len();
        grad_norm.insert(parameter.name.clone(), torch_norm(part));
    }
    Ok(Outputs { arrays, grad_norm, losses: bench.losses(options)?, ensemble: None })
}

/// The Euclidean norm as torch computes it on a CPU: eight running sums in single precision. Over millions of numbers
/// that is off by 1e-4, but it is what one compares with.
fn torch_norm(values: &[f32]) -> f64 {
    const LANES: usize = 8;
    let mut sums = [0.0_f32; LANES];
    let (chunks, rest) = values.as_chunks::<LANES>();
    for chunk in chunks {
        for (sum, value) in sums.iter_mut().zip(chunk) {
            *sum += value * value;
        }
    }
    f64::from(sums.iter().copied().chain(rest.iter().map(|value| value * value)).sum::<f32>().sqrt())
}

impl<'a> Bench<'a> {
    fn new(policy: &'a Policy, inputs: &'a Inputs, labels: &'a Labels, l1_mean: L1Mean) -> Result<Self, PolicyError> {
        let config = policy.config();
        let parameters = parameters(config);
        let mut named = policy.parameters().clone();
        let mut vars = Vec::with_capacity(parameters.len());
        for parameter in &parameters {
            let tensor = policy.parameters().get(&parameter.name);
            let tensor = tensor.ok_or_else(|| PolicyError::Config(format!("no parameter \"{}\"", parameter.name)))?;
            let var = Var::from_tensor(&tensor.copy()?)?;
            named.insert(parameter.name.clone(), var.as_tensor().clone());
            vars.push(var);
        }
        let ActConfig { chunk_size, action_dim, .. } = *config;
        let batch = labels.padding.len() / chunk_size;
        let shape = (batch, chunk_size, action_dim);
        let mask: Vec<f32> = labels
            .padding
            .iter()
            .flat_map(|padding| std::iter::repeat_n(if *padding { 0.0 } else { 1.0 }, action_dim))
            .collect();
        let real = labels.padding.iter().filter(|padding| !**padding).count() as u64 * action_dim as u64;
        let numbers = l1_mean.divisor(real, mask.len() as u64);
        Ok(Self {
            act: Act::new(config, &named)?,
            config,
            parameters,
            vars,
            inputs,
            labels,
            target: Tensor::from_slice(&labels.actions, shape, &Device::Cpu)?,
            mask: Tensor::from_vec(mask, shape, &Device::Cpu)?,
            scale: LossScale { numbers, samples: batch as f64, kl_weight: config.kl_weight },
        })
    }

    fn forward(&self) -> Result<Prediction, PolicyError> {
        let seen = Seen { actions: &self.target, padding: &self.labels.padding };
        let mut noise = if self.config.use_vae { Noise::given(self.labels.noise.clone()) } else { Noise::none() };
        self.act.forward(self.inputs, Some(&seen), &mut noise)
    }

    fn arrays(&self, prediction: &Prediction) -> Result<BTreeMap<String, Array>, PolicyError> {
        let array = |tensor: &Tensor| -> Result<Array, PolicyError> {
            Ok(Array { shape: tensor.dims().to_vec(), data: tensor.flatten_all()?.to_vec1()? })
        };
        let number = |tensor: Tensor| -> Result<f64, PolicyError> { Ok(f64::from(tensor.to_scalar::<f32>()?)) };
        let error = number(((&prediction.actions - &self.target)?.abs()? * &self.mask)?.sum_all()?)?;
        let (all, real) = (self.mask.elem_count() as f64, number(self.mask.sum_all()?)?);
        let mut outputs = BTreeMap::from([
            ("train.actions_hat".to_owned(), array(&prediction.actions)?),
            ("train.l1_loss_all".to_owned(), Array::scalar(error / all)),
            ("train.l1_loss_valid".to_owned(), Array::scalar(error / real)),
            ("train.l1_loss".to_owned(), Array::scalar(error / self.scale.numbers)),
        ]);
        let total = loss(prediction, &self.target, &self.mask, self.scale)?;
        outputs.insert("train.loss".to_owned(), Array::scalar(number(total)?));
        if let Some(posterior) = &prediction.posterior {
            outputs.insert("train.mu".to_owned(), array(&posterior.mean)?);
            outputs.insert("train.log_sigma_x2".to_owned(), array(&posterior.log_variance)?);
            let divergence = number(posterior.divergence_sum()?)? / self.scale.samples;
            outputs.insert("train.kld_loss".to_owned(), Array::scalar(divergence));
        }
        Ok(outputs)
    }

    /// The loss and its flat gradient.
    fn gradient(&self, prediction: &Prediction) -> Result<(f64, Vec<f32>), PolicyError> {
        let loss = loss(prediction, &self.target, &self.mask, self.scale)?;
        let grads = loss.backward()?;
        let mut flat = Vec::with_capacity(self.vars.iter().map(|var| var.elem_count()).sum());
        for var in &self.vars {
            match grads.get(var) {
                Some(grad) => with_slice(grad, |grad| flat.extend_from_slice(grad))?,
                None => flat.extend(std::iter::repeat_n(0.0, var.elem_count())),
            }
        }
        Ok((f64::from(loss.to_scalar::<f32>()?), flat))
    }

    fn losses(&self, RunOptions { steps, optimiser: recipe, .. }: RunOptions) -> Result<Vec<f64>, PolicyError> {
        let mut weights = Vec::new();
        for var in &self.vars {
            with_slice(var, |values| weights.extend_from_slice(values))?;
        }
        let mut optimiser = Optimiser::new(weights);
        let backbone: Vec<bool> = self.parameters.iter().map(Parameter::is_backbone).collect();
        let mut losses = Vec::with_capacity(steps);
        for _ in 0..steps {
            let (loss, gradient) = self.gradient(&self.forward()?)?;
            losses.push(loss);
            let mut gradient = [gradient];
            let norm = add_up(&mut gradient);
            let config = self.config;
            let (learning_rate, backbone_learning_rate, gradient_scale) = match recipe {
                StepRecipe::Plain { learning_rate } => (learning_rate, learning_rate, 1.0),
                StepRecipe::Config => {
                    (config.optimizer_lr, config.optimizer_lr_backbone, (CLIP_NORM / (norm + 1e-6)).min(1.0))
                }
            };
            let weight_decay = config.optimizer_weight_decay;
            let step = Step { learning_rate, backbone_learning_rate, weight_decay, gradient_scale, ema_keep: None };
            optimiser.update(&self.vars, &backbone, &gradient[0], step, 1)?;
        }
        Ok(losses)
    }
}
