//! How a network is trained: budget, learning rate, sampling.

use super::PolicyError;
use crate::base::Seed;
use serde::{Deserialize, Serialize};

/// A training round. Defaults are the recipe of the `quick` preset.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct TrainPlan {
    /// Budget in samples; rounded up to whole batches.
    pub samples: u64,
    /// Samples per update.
    pub batch: usize,
    /// Highest learning rate, reached after the warm-up.
    pub learning_rate: f64,
    /// The same for the image network; without it, that of everything else.
    pub backbone_learning_rate: Option<f64>,
    /// Updates over which the learning rate rises from nothing.
    pub warmup_updates: u32,
    /// Share of the learning rate left at the end of the cosine.
    pub final_lr_share: f64,
    /// AdamW's weight decay, on every parameter.
    pub weight_decay: f64,
    /// The gradient's norm is cut to this.
    pub clip_norm: f64,
    /// The averaged weights keep this share per [`TrainPlan::EMA_EVERY_UPDATES`] updates.
    pub ema_decay: f64,
    /// Weight of each dataset, in the order they were loaded; a dataset is drawn from with its weight's part of the
    /// sum. Empty: every sample alike, except for `newest_share`.
    pub dataset_weights: Vec<f64>,
    /// Extra probability that a sample is drawn from the newest dataset, where there are no weights.
    pub newest_share: f64,
    /// Share of the episodes that is never trained on and measured instead.
    pub hold_out_share: f64,
    /// Worker threads; results are repeatable for a given number.
    pub threads: usize,
    /// Weights, batches and noise follow from it.
    pub seed: Seed,
    /// Samples between two saved training states.
    pub checkpoint_every_samples: u64,
    /// Samples between two measurements on the held-out episodes; 0 for none.
    pub measure_every_samples: u64,
    /// Snapshots for canary rollouts: from 5 % of the budget on, the last at its end; 0 for none.
    pub snapshots: u32,
    /// Samples before which no stop rule fires: success is a late step, not a slope.
    pub judge_after_samples: u64,
    /// Samples without a better held-out loss after which the training has come to its plateau.
    pub plateau_samples: u64,
}

impl Default for TrainPlan {
    fn default() -> Self {
        Self {
            samples: 100_000,
            batch: 12,
            learning_rate: 7e-4,
            backbone_learning_rate: None,
            warmup_updates: 200,
            final_lr_share: 0.1,
            weight_decay: 1e-4,
            clip_norm: 10.0,
            ema_decay: 0.99,
            dataset_weights: Vec::new(),
            newest_share: 0.3,
            hold_out_share: 0.02,
            threads: 2,
            seed: Seed(42),
            checkpoint_every_samples: 10_000,
            measure_every_samples: 7_500,
            snapshots: 0,
            judge_after_samples: 60_000,
            plateau_samples: 150_000,
        }
    }
}

impl TrainPlan {
    /// Updates between two steps of the averaged weights.
    pub const EMA_EVERY_UPDATES: u64 = 4;

    /// Refuses what cannot be carried out, naming the field.
    pub fn check(&self) -> Result<(), PolicyError> {
        let wrong = |what: String| Err(PolicyError::Plan(what));
        if self.samples == 0 || self.batch == 0 || self.batch > 4096 {
            return wrong(format!("samples {} must be positive and batch {} in 1..=4096", self.samples, self.batch));
        }
        if self.threads == 0 || self.threads > 256 || self.checkpoint_every_samples == 0 {
            return wrong(format!(
                "threads {} must lie in 1..=256, checkpoint_every_samples be positive",
                self.threads
            ));
        }
        if !(self.learning_rate > 0.0 && self.learning_rate < 1.0 && self.clip_norm > 0.0) {
            return wrong(format!(
                "learning_rate {} and clip_norm {} must be positive",
                self.learning_rate, self.clip_norm
            ));
        }
        if self.backbone_learning_rate.is_some_and(|rate| !(0.0..1.0).contains(&rate)) {
            return wrong("backbone_learning_rate must lie in 0..1".into());
        }
        let shares = [self.final_lr_share, self.newest_share, self.ema_decay, self.weight_decay];
        if shares.iter().any(|share| !(0.0..=1.0).contains(share)) {
            return wrong("final_lr_share, newest_share, ema_decay and weight_decay must lie in 0..=1".into());
        }
        if !(0.0..0.5).contains(&self.hold_out_share) {
            return wrong(format!("hold_out_share {} must lie in 0..0.5", self.hold_out_share));
        }
        let weights = &self.dataset_weights;
        let usable = weights.iter().all(|w| w.is_finite() && *w >= 0.0) && weights.iter().any(|w| *w > 0.0);
        if !weights.is_empty() && !usable {
            return wrong(format!("dataset_weights {weights:?} must not be negative, and one must be above 0"));
        }
        Ok(())
    }

    /// Updates of the whole round.
    pub fn updates(&self) -> u64 {
        self.samples.div_ceil(self.batch as u64)
    }

    /// Whether the weights after `updates` updates are due for a canary rollout.
    pub fn snapshot_is_due(&self, updates: u64) -> bool {
        let (all, count) = (self.updates(), u64::from(self.snapshots));
        let first = all.div_ceil(20);
        match count {
            0 => false,
            1 => updates == all,
            _ => (0..count).any(|k| updates == first + (all - first) * k / (count - 1)),
        }
    }

    /// Whether the weights after `updates` updates are due for a measurement on the held-out episodes.
    pub fn measurement_is_due(&self, updates: u64) -> bool {
        let samples = updates * self.batch as u64;
        let every = self.measure_every_samples;
        every > 0
            && updates > 0
            && (updates == self.updates() || samples / every != (samples - self.batch as u64) / every)
    }

    /// The learning rate of the update numbered `update` (from 0): linear warm-up times half a cosine.
    pub fn learning_rate_at(&self, update: u64) -> f64 {
        let warmup = ((update + 1) as f64 / f64::from(self.warmup_updates.max(1))).min(1.0);
        let progress = update as f64 / self.updates() as f64;
        let cosine = 0.5 * (1.0 + (std::f64::consts::PI * progress).cos());
        self.learning_rate * warmup * (self.final_lr_share + (1.0 - self.final_lr_share) * cosine)
    }

    /// The image network's learning rate then: it takes the same course.
    pub fn backbone_learning_rate_at(&self, update: u64) -> f64 {
        let share = self.backbone_learning_rate.map_or(1.0, |rate| rate / self.learning_rate);
        self.learning_rate_at(update) * share
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_learning_rate_rises_then_falls_to_its_last_share() {
        let plan = TrainPlan { samples: 12_000, ..TrainPlan::default() };
        assert!((plan.learning_rate_at(0) - 7e-4 / 200.0).abs() < 1e-7);
        assert!(plan.learning_rate_at(199) > 6.2e-4 && plan.learning_rate_at(199) < 7e-4);
        assert!((plan.learning_rate_at(999) - 7e-5).abs() < 1e-6);
    }

    #[test]
    fn snapshots_begin_at_a_twentieth_and_end_with_the_budget() {
        let due = |snapshots| {
            let plan = TrainPlan { samples: 12_000, snapshots, ..TrainPlan::default() };
            (0..=plan.updates()).filter(|u| plan.snapshot_is_due(*u)).collect::<Vec<_>>()
        };
        assert!(due(0).is_empty());
        assert_eq!(due(1), [1000]);
        assert_eq!(due(3), [50, 525, 1000]);
    }

    #[test]
    fn measurements_come_at_whole_multiples_and_at_the_end() {
        let plan = TrainPlan { samples: 100, batch: 12, measure_every_samples: 30, ..TrainPlan::default() };
        let due: Vec<u64> = (0..=plan.updates()).filter(|u| plan.measurement_is_due(*u)).collect();
        assert_eq!(due, [3, 5, 8, 9]);
    }

    #[test]
    fn impossible_plans_name_their_field() {
        let error = TrainPlan { threads: 0, ..TrainPlan::default() }.check().unwrap_err().to_string();
        assert!(error.contains("threads 0"), "{error}");
        let weights = vec![0.0, 0.0];
        let error = TrainPlan { dataset_weights: weights, ..TrainPlan::default() }.check().unwrap_err().to_string();
        assert!(error.contains("dataset_weights [0.0, 0.0]"), "{error}");
        TrainPlan::default().check().unwrap();
    }
}
