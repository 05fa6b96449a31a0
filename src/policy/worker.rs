//! One training thread: its own graph over the shared variables, on its share of every batch.

use super::PolicyError;
use super::act::{Act, Labels};
use super::batch::Batch;
use super::config::ActConfig;
use super::loss::{LossScale, loss};
use super::noise::Noise;
use super::normalise::{PixelTable, Statistics};
use super::ops::{Sink, add_assign, wide, with_slice};
use crate::base::Seed;
use crate::dataset::TrainingSet;
use candle_core::{Tensor, Var};
use std::collections::BTreeMap;

/// What a worker is asked to do: the gradient of a share of one batch.
pub struct Share {
    /// Sample numbers.
    pub samples: Vec<usize>,
    /// Divisors of the whole batch.
    pub scale: LossScale,
    /// Where this share's noise begins.
    pub noise: Seed,
    /// A flat gradient to overwrite, reused from update to update.
    pub gradient: Vec<f32>,
}

/// The two parts of a loss.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct LossParts {
    /// Mean absolute error of the actions.
    pub l1: f64,
    /// Weighted KL divergence.
    pub kl: f64,
}

/// What it answers.
pub struct Answer {
    /// This share's part of the batch's loss.
    pub loss: LossParts,
    /// The flat gradient.
    pub gradient: Vec<f32>,
}

/// A network over the shared variables and what it needs to read samples.
pub struct Worker<'a> {
    set: &'a TrainingSet,
    statistics: &'a Statistics,
    pixels: PixelTable,
    vars: &'a [Var],
    act: Act,
    dropout: f64,
}

impl<'a> Worker<'a> {
    /// A worker over `vars`, which are named by `tensors`.
    pub fn new(
        config: &ActConfig,
        set: &'a TrainingSet,
        statistics: &'a Statistics,
        vars: &'a [Var],
        tensors: &BTreeMap<String, Tensor>,
    ) -> Result<Self, PolicyError> {
        let act = Act::new(config, tensors)?;
        Ok(Self { set, statistics, pixels: statistics.pixel_table(), vars, act, dropout: config.dropout })
    }

    /// Loss and gradient of one share.
    pub fn run(&self, share: Share) -> Result<Answer, PolicyError> {
        let Share { samples, scale, noise, mut gradient } = share;
        if samples.is_empty() {
            gradient.fill(0.0);
            return Ok(Answer { loss: LossParts::default(), gradient });
        }
        let batch = Batch::gather(self.set, &samples, self.statistics, &self.pixels)?;
        let mut noise = Noise::training(noise.rng(), self.dropout);
        let labels = Labels { actions: &batch.target, padding: &batch.padding };
        let prediction = self.act.forward(&batch.inputs(), Some(&labels), &mut noise)?;
        let loss = loss(&prediction, &batch.target, &batch.mask, scale)?;
        let (grads, mut gradient) = Sink::new(self.vars, gradient).collect(|| loss.backward());
        let grads = grads?;
        let mut at = 0;
        for var in self.vars {
            let part = &mut gradient[at..at + var.elem_count()];
            at += part.len();
            if let Some(grad) = grads.get(var) {
                with_slice(grad, |grad| wide(|| add_assign(part, grad)))?;
            }
        }
        let number = |scalar: &Tensor| scalar.to_scalar::<f32>().map(f64::from);
        let kl = match &prediction.posterior {
            None => 0.0,
            Some(posterior) => number(&posterior.divergence_sum()?)? * scale.kl_weight / scale.samples,
        };
        Ok(Answer { loss: LossParts { l1: number(&loss)? - kl, kl }, gradient })
    }
}
