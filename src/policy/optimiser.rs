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
    /// That of the image network.
    pub backbone_learning_rate: f64,
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

    /// Moves all variables by one step, on up to `threads` threads. `gradient` is flat; `backbone` says of each variable
    /// whether it belongs to the image network.
    ///
    /// Every number moves by itself, so the result does not depend on the number of threads.
    pub fn update(
        &mut self,
        vars: &[Var],
        backbone: &[bool],
        gradient: &[f32],
        step: Step,
        threads: usize,
    ) -> Result<(), PolicyError> {
        self.updates += 1;
        let exponent = i32::try_from(self.updates).unwrap_or(i32::MAX);
        let of_group = |learning_rate: f64| Factors {
            gradient: step.gradient_scale as f32,
            keep: (1.0 - learning_rate * step.weight_decay) as f32,
            rate: (learning_rate / (1.0 - BETA_1.powi(exponent))) as f32,
            second: (1.0 / (1.0 - BETA_2.powi(exponent))) as f32,
            ema_keep: step.ema_keep.map(|keep| keep as f32),
        };
        let factors = Groups { backbone: of_group(step.backbone_learning_rate), others: of_group(step.learning_rate) };
        let per_thread = gradient.len().div_ceil(threads.max(1));
        let mut rest = Flat { vars, backbone, gradient, state: [&mut self.first, &mut self.second, &mut self.average] };
        std::thread::scope(|scope| {
            let mut others = Vec::new();
            while rest.gradient.len() > per_thread {
                let part;
                (part, rest) = rest.split(per_thread);
                others.push(scope.spawn(move || part.update(factors)));
            }
            rest.update(factors)?;
            others.into_iter().try_for_each(|other| other.join().map_err(|_| PolicyError::WorkerLost)?)
        })
    }
}

/// Some variables with their stretches of the flat vectors.
struct Flat<'a> {
    vars: &'a [Var],
    /// Of each variable, whether it is the image network's; what is not said is not.
    backbone: &'a [bool],
    gradient: &'a [f32],
    state: [&'a mut [f32]; 3],
}

impl<'a> Flat<'a> {
    /// The first variables, of at least `wanted` numbers together, and the others.
    fn split(self, wanted: usize) -> (Flat<'a>, Flat<'a>) {
        let (mut count, mut numbers) = (0, 0);
        while numbers < wanted && count < self.vars.len() {
            numbers += self.vars[count].elem_count();
            count += 1;
        }
        let (vars, other_vars) = self.vars.split_at(count);
        let (backbone, other_backbone) = self.backbone.split_at(count.min(self.backbone.len()));
        let (gradient, other_gradient) = self.gradient.split_at(numbers);
        let [(m, other_m), (v, other_v), (a, other_a)] = self.state.map(|flat| flat.split_at_mut(numbers));
        let state = [other_m, other_v, other_a];
        let other = Flat { vars: other_vars, backbone: other_backbone, gradient: other_gradient, state };
        (Flat { vars, backbone, gradient, state: [m, v, a] }, other)
    }

    fn update(self, groups: Groups) -> Result<(), PolicyError> {
        let mut rest = self;
        while !rest.vars.is_empty() {
            let first;
            (first, rest) = rest.split(1);
            let var = &first.vars[0];
            let factors = if first.backbone.first() == Some(&true) { groups.backbone } else { groups.others };
            let op = AdamW { factors, gradient: first.gradient, state: RefCell::new(first.state) };
            var.as_tensor().inplace_op1(&op)?;
        }
        Ok(())
    }
}

/// The factors of both groups of parameters.
#[derive(Clone, Copy)]
struct Groups {
    backbone: Factors,
    others: Factors,
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

/// Adds the other gradients to the first one, in their order, and returns the sum's Euclidean norm: one pass in
/// pieces that stay in the first cache. Squares are summed in f64.
pub fn add_up(gradients: &mut [Vec<f32>]) -> f64 {
    const PIECE: usize = 2048;
    let Some((total, others)) = gradients.split_first_mut() else { return 0.0 };
    let mut squares = 0.0;
    for (i, piece) in total.chunks_mut(PIECE).enumerate() {
        for other in &*others {
            super::ops::wide(|| super::ops::add_assign(piece, &other[i * PIECE..]));
        }
        squares += f64::from(super::ops::wide(|| super::ops::dot(piece, piece)));
    }
    squares.sqrt()
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
        let step = Step {
            learning_rate: 0.1,
            backbone_learning_rate: 0.05,
            weight_decay: 0.01,
            gradient_scale: 1.0,
            ema_keep: Some(0.5),
        };
        optimiser.update(std::slice::from_ref(&var), &[], &[0.5, -1.0], step, 1).unwrap();
        let weights = var.to_vec1::<f32>().unwrap();
        assert!((weights[0] - 0.899).abs() < 1e-6 && (weights[1] + 1.898).abs() < 1e-6, "{weights:?}");
        assert!((optimiser.average[0] - 0.9495).abs() < 1e-6);
        // m = (0.07, 0.01) / 0.19, v = (0.00031225, 0.001999) / 0.001999 of the corrected moments.
        optimiser.update(std::slice::from_ref(&var), &[], &[0.25, 1.0], step, 1).unwrap();
        let weights = var.to_vec1::<f32>().unwrap();
        let wanted_0 = 0.899 * 0.999 - 0.1 * (0.07 / 0.19) / (0.000_312_25_f32 / 0.001_999).sqrt();
        let wanted_1 = -1.898 * 0.999 - 0.1 * (0.01 / 0.19);
        assert!((weights[0] - wanted_0).abs() < 1e-5 && (weights[1] - wanted_1).abs() < 1e-5, "{weights:?}");
    }

    #[test]
    fn the_image_network_has_a_learning_rate_of_its_own() {
        let vars = [1.0_f32, 1.0].map(|w| Var::from_tensor(&Tensor::new(&[w], &Device::Cpu).unwrap()).unwrap());
        let mut optimiser = Optimiser::new(vec![1.0, 1.0]);
        let step = Step {
            learning_rate: 0.1,
            backbone_learning_rate: 0.05,
            weight_decay: 0.0,
            gradient_scale: 1.0,
            ema_keep: None,
        };
        optimiser.update(&vars, &[true, false], &[1.0, 1.0], step, 2).unwrap();
        let weights = vars.map(|var| var.to_vec1::<f32>().unwrap()[0]);
        assert!((weights[0] - 0.95).abs() < 1e-6 && (weights[1] - 0.9).abs() < 1e-6, "{weights:?}");
    }

    #[test]
    fn gradients_add_up_in_order_with_the_sums_norm() {
        let mut gradients = [vec![1.0; 5000], vec![2.0; 5000], vec![0.0; 5000]];
        gradients[2][4999] = 1.0;
        let norm = add_up(&mut gradients);
        assert_eq!((gradients[0][0], gradients[0][4999]), (3.0, 4.0));
        assert!((norm - (4999.0_f64 * 9.0 + 16.0).sqrt()).abs() < 1e-9);
    }

    #[test]
    fn threads_do_not_change_the_result() {
        let step = Step {
            learning_rate: 0.1,
            backbone_learning_rate: 0.05,
            weight_decay: 0.01,
            gradient_scale: 0.5,
            ema_keep: Some(0.9),
        };
        let results = [1, 2, 3, 8].map(|threads| {
            let vars: Vec<Var> = [3_usize, 1, 7, 2]
                .iter()
                .map(|n| Var::from_tensor(&Tensor::arange(0.0, *n as f32, &Device::Cpu).unwrap()).unwrap())
                .collect();
            let mut optimiser = Optimiser::new(vec![1.0; 13]);
            let gradient: Vec<f32> = (0..13_u8).map(|i| f32::from(i) - 6.5).collect();
            optimiser.update(&vars, &[false, true, false, false], &gradient, step, threads).unwrap();
            (vars.iter().map(|v| v.to_vec1::<f32>().unwrap()).collect::<Vec<_>>(), optimiser)
        });
        assert!(results.iter().all(|r| *r == results[0]));
    }
}
