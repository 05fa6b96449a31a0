//! AdamW over the flat list of all parameters, in place, with clipping by the global norm and averaged weights
//! (Loshchilov and Hutter, 2019; betas 0.9 and 0.999, ε 1e-8 as in torch).
//!
//! Gradients, moments and averages are flat vectors in the order of `parameters.rs`; the weights themselves stay in
//! candle's variables, which the networks of all threads share. No forward pass may run during an update.

use super::PolicyError;
use candle_core::{CpuStorage, InplaceOp1, Layout, Var, bail};
use std::cell::RefCell;

const BETA_1: f64 = 0.9;
const BETA_2: f64 = 0.999;
const EPSILON: f32 = 1e-8;

/// Moments and averages, all of the parameters' total length.
#[derive(Debug, Clone, PartialEq)]
pub struct Optimiser {
    /// Updates made.
    pub updates: u64,
    /// Running mean of the gradient.
    pub first: Vec<f32>,
    /// Running mean of its square.
    pub second: Vec<f32>,
    /// Exponential moving average of the weights.
    pub average: Vec<f32>,
}

/// What one update is made with.
#[derive(Debug, Clone, Copy)]
pub struct Step {
    /// Learning rate.
    pub learning_rate: f64,
    /// Weight decay.
    pub weight_decay: f64,
    /// Factor on the gradient: below 1 when it is clipped.
    pub gradient_scale: f64,
    /// Share of the averaged weights that is kept; none when they stay as they are.
    pub ema_keep: Option<f64>,
}

impl Optimiser {
    /// At the beginning: no moments, averages equal to the weights.
    pub fn new(weights: Vec<f32>) -> Self {
        Self { updates: 0, first: vec![0.0; weights.len()], second: vec![0.0; weights.len()], average: weights }
    }

    /// Moves all variables by one step. `gradient` is flat.
    pub fn update(&mut self, vars: &[Var], gradient: &[f32], step: Step) -> Result<(), PolicyError> {
        self.updates += 1;
        let exponent = i32::try_from(self.updates).unwrap_or(i32::MAX);
        let factors = Factors {
            gradient: step.gradient_scale as f32,
            keep: (1.0 - step.learning_rate * step.weight_decay) as f32,
            rate: (step.learning_rate / (1.0 - BETA_1.powi(exponent))) as f32,
            second: (1.0 / (1.0 - BETA_2.powi(exponent))) as f32,
            ema_keep: step.ema_keep.map(|keep| keep as f32),
        };
        let mut at = 0;
        for var in vars {
            let part = at..at + var.elem_count();
            at = part.end;
            let op = AdamW {
                factors,
                gradient: &gradient[part.clone()],
                state: RefCell::new([
                    &mut self.first[part.clone()],
                    &mut self.second[part.clone()],
                    &mut self.average[part],
                ]),
            };
            var.as_tensor().inplace_op1(&op)?;
        }
        Ok(())
    }
}

#[derive(Clone, Copy)]
struct Factors {
    gradient: f32,
    keep: f32,
    rate: f32,
    second: f32,
    ema_keep: Option<f32>,
}

struct AdamW<'a> {
    factors: Factors,
    gradient: &'a [f32],
    state: RefCell<[&'a mut [f32]; 3]>,
}

impl InplaceOp1 for AdamW<'_> {
    fn name(&self) -> &'static str {
        "adamw"
    }

    fn cpu_fwd(&self, storage: &mut CpuStorage, layout: &Layout) -> candle_core::Result<()> {
        let CpuStorage::F32(weights) = storage else { bail!("parameters are f32") };
        let Some((start, end)) = layout.contiguous_offsets() else { bail!("parameters lie in one piece") };
        let weights = &mut weights[start..end];
        let [first, second, average] = &mut *self.state.borrow_mut();
        super::ops::wide(|| adamw(self.factors, weights, self.gradient, first, second));
        if let Some(keep) = self.factors.ema_keep {
            super::ops::wide(|| {
                for (a, w) in average.iter_mut().zip(&*weights) {
                    *a = *a * keep + *w * (1.0 - keep);
                }
            });
        }
        Ok(())
    }
}

#[inline(always)]
fn adamw(factors: Factors, weights: &mut [f32], gradient: &[f32], first: &mut [f32], second: &mut [f32]) {
    let (beta_1, beta_2) = (BETA_1 as f32, BETA_2 as f32);
    for (((w, g), m), v) in weights.iter_mut().zip(gradient).zip(first.iter_mut()).zip(second.iter_mut()) {
        let g = g * factors.gradient;
        *m = beta_1 * *m + (1.0 - beta_1) * g;
        *v = beta_2 * *v + (1.0 - beta_2) * g * g;
        *w = *w * factors.keep - factors.rate * *m / ((*v * factors.second).sqrt() + EPSILON);
    }
}

/// The Euclidean norm, summed in f64 in a fixed order.
pub fn norm(gradient: &[f32]) -> f64 {
    gradient.chunks(4096).map(|part| f64::from(super::ops::wide(|| super::ops::dot(part, part)))).sum::<f64>().sqrt()
}

#[cfg(test)]
mod tests {
    use super::*;
    use candle_core::{Device, Tensor};

    /// torch.optim.AdamW([1.0, -2.0], lr=0.1, weight_decay=0.01), two steps with gradients (0.5, -1) and (0.25, 1):
    /// the first step moves each weight by the learning rate against its gradient's sign, after the decay.
    #[test]
    fn first_step_moves_by_the_learning_rate_after_the_decay() {
        let var = Var::from_tensor(&Tensor::new(&[1.0_f32, -2.0], &Device::Cpu).unwrap()).unwrap();
        let mut optimiser = Optimiser::new(vec![1.0, -2.0]);
        let step = Step { learning_rate: 0.1, weight_decay: 0.01, gradient_scale: 1.0, ema_keep: Some(0.5) };
        optimiser.update(std::slice::from_ref(&var), &[0.5, -1.0], step).unwrap();
        let weights = var.to_vec1::<f32>().unwrap();
        assert!((weights[0] - 0.899).abs() < 1e-6 && (weights[1] + 1.898).abs() < 1e-6, "{weights:?}");
        assert!((optimiser.average[0] - 0.9495).abs() < 1e-6);
        // m = (0.07, 0.01) / 0.19, v = (0.00031225, 0.001999) / 0.001999 of the corrected moments.
        optimiser.update(std::slice::from_ref(&var), &[0.25, 1.0], step).unwrap();
        let weights = var.to_vec1::<f32>().unwrap();
        let wanted_0 = 0.899 * 0.999 - 0.1 * (0.07 / 0.19) / (0.000_312_25_f32 / 0.001_999).sqrt();
        let wanted_1 = -1.898 * 0.999 - 0.1 * (0.01 / 0.19);
        assert!((weights[0] - wanted_0).abs() < 1e-5 && (weights[1] - wanted_1).abs() < 1e-5, "{weights:?}");
    }

    #[test]
    fn norm_is_euclidean() {
        assert!((norm(&[3.0, 4.0]) - 5.0).abs() < 1e-12);
    }
}
