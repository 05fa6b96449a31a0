//! When a training should not go on: rules over what was measured so far, each a pure function.
//!
//! None fires before the plan's `judge_after_samples`: a policy that will drive well looks hopeless for the first
//! tens of thousands of samples. What is no number at all stops a training at once and is no matter of rules.

use super::hold_out::HoldOut;
use super::plan::TrainPlan;
use super::train::WindowLoss;
use serde::{Deserialize, Serialize};

/// A loss this many times the lowest one so far, and above that of the mean action, has diverged.
const DIVERGED_TIMES: f64 = 2.0;
/// Windows of the training loss looked at together: one alone may be bad luck.
const WINDOWS: usize = 3;
/// Taking the image away must raise the loss by at least this share; else the policy does not look.
const IMAGE_MATTERS: f64 = 0.02;
/// A held-out loss must fall below this share of the lowest one before to count as progress.
const PROGRESS: f64 = 0.99;

/// Why a training ended before its budget.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(tag = "reason", rename_all = "snake_case")]
pub enum Stop {
    /// The loss rose far above what it had been.
    Diverged {
        /// Mean loss of the last windows.
        loss: f64,
        /// The lowest such mean before.
        lowest: f64,
    },
    /// The policy acts alike whatever the camera shows.
    IgnoresImage {
        /// Held-out loss.
        loss: f64,
        /// With a blank image.
        blank: f64,
        /// With another sample's image.
        shuffled: f64,
    },
    /// The policy is no better than going on with the action before.
    CopiesAction {
        /// Held-out loss.
        loss: f64,
        /// Of the action before.
        previous: f64,
    },
    /// The held-out loss has not fallen for long.
    Plateau {
        /// The lowest held-out loss.
        lowest: f64,
        /// Training samples when it was reached.
        since: u64,
    },
}

impl std::fmt::Display for Stop {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Stop::Diverged { loss, lowest } => {
                write!(f, "diverged: loss {loss:.3} after {lowest:.3}; lower the learning rate")
            }
            Stop::IgnoresImage { loss, blank, shuffled } => write!(
                f,
                "collapsed: the policy ignores its image (held-out loss {loss:.3}, {blank:.3} with a blank image, \
                 {shuffled:.3} with another one); check camera and data"
            ),
            Stop::CopiesAction { loss, previous } => write!(
                f,
                "collapsed: held-out loss {loss:.3} is no better than {previous:.3} of repeating the last action; \
                 check labels and data"
            ),
            Stop::Plateau { lowest, since } => {
                write!(f, "plateau: the held-out loss has not fallen below {lowest:.3} since sample {since}")
            }
        }
    }
}

/// The first rule that fires, if any. A measurement counts from the next window of losses on, so that a training
/// that was interrupted in between is judged alike.
pub fn judge(plan: &TrainPlan, losses: &[WindowLoss], measured: &[HoldOut]) -> Option<Stop> {
    let samples = losses.last()?.samples;
    if samples < plan.judge_after_samples {
        return None;
    }
    let measured = &measured[..measured.partition_point(|m| m.samples < samples)];
    diverged(losses, measured).or_else(|| collapsed(plan, measured)).or_else(|| plateau(plan, samples, measured))
}

fn diverged(losses: &[WindowLoss], measured: &[HoldOut]) -> Option<Stop> {
    let means: Vec<f64> =
        losses.windows(WINDOWS).map(|w| w.iter().map(WindowLoss::loss).sum::<f64>() / WINDOWS as f64).collect();
    let (loss, earlier) = means.split_last()?;
    let lowest = earlier.iter().copied().fold(f64::INFINITY, f64::min);
    let hopeless = measured.last().map_or(0.0, |m| m.mean_action);
    (*loss > DIVERGED_TIMES * lowest && *loss > hopeless).then_some(Stop::Diverged { loss: *loss, lowest })
}

/// Two measurements in a row must say so, both after the rules began to count.
fn collapsed(plan: &TrainPlan, measured: &[HoldOut]) -> Option<Stop> {
    let [.., before, last] = measured else { return None };
    let ignores = |m: &HoldOut| m.blank_image.min(m.shuffled_images) < m.loss * (1.0 + IMAGE_MATTERS);
    let copies = |m: &HoldOut| m.loss >= m.previous_action;
    let HoldOut { loss, blank_image, shuffled_images, previous_action, .. } = *last;
    if before.samples < plan.judge_after_samples {
        None
    } else if ignores(before) && ignores(last) {
        Some(Stop::IgnoresImage { loss, blank: blank_image, shuffled: shuffled_images })
    } else if copies(before) && copies(last) {
        Some(Stop::CopiesAction { loss, previous: previous_action })
    } else {
        None
    }
}

fn plateau(plan: &TrainPlan, samples: u64, measured: &[HoldOut]) -> Option<Stop> {
    let mut lowest = (f64::INFINITY, 0);
    for m in measured {
        if m.loss < lowest.0 * PROGRESS {
            lowest = (m.loss, m.samples);
        }
    }
    let (lowest, since) = lowest;
    let long = samples.saturating_sub(since.max(plan.judge_after_samples)) >= plan.plateau_samples;
    (lowest.is_finite() && long).then_some(Stop::Plateau { lowest, since })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn measured(samples: u64, loss: f64) -> HoldOut {
        HoldOut {
            samples,
            measured: 256,
            loss,
            blank_image: 0.6,
            shuffled_images: 0.5,
            previous_action: 0.4,
            mean_action: 0.8,
            error: Vec::new(),
        }
    }

    /// A loss that stands still at `loss` from the beginning to `samples`.
    fn still(samples: u64, loss: f64) -> (Vec<WindowLoss>, Vec<HoldOut>) {
        let losses = (1..=samples / 600).map(|i| WindowLoss { samples: i * 600, l1: loss, kl: 0.0 }).collect();
        (losses, (1..=samples / 7_500).map(|i| measured(i * 7_500, loss)).collect())
    }

    fn judged(losses: &[WindowLoss], measured: &[HoldOut]) -> Option<Stop> {
        judge(&TrainPlan::default(), losses, measured)
    }

    #[test]
    fn nothing_fires_before_the_step_to_success_is_over() {
        for samples in [600, 30_000, 59_400, 130_000, 200_000] {
            let (losses, measured) = still(samples, 0.2);
            assert_eq!(judged(&losses, &measured), None, "{samples}");
        }
    }

    #[test]
    fn a_loss_that_stands_still_for_long_is_a_plateau() {
        let (losses, measured) = still(220_200, 0.2);
        assert_eq!(judged(&losses, &measured), Some(Stop::Plateau { lowest: 0.2, since: 7_500 }));
    }

    #[test]
    fn a_policy_that_does_not_look_is_found_after_two_measurements() {
        let (losses, mut measured) = still(75_000, 0.2);
        for m in &mut measured {
            m.blank_image = 0.201;
        }
        assert!(matches!(judged(&losses, &measured), Some(Stop::IgnoresImage { .. })));
        // Once is bad luck.
        measured[8].blank_image = 0.6;
        assert_eq!(judged(&losses, &measured), None);
    }

    #[test]
    fn a_policy_no_better_than_its_last_action_is_found() {
        let (losses, measured) = still(75_000, 0.45);
        let found = judged(&losses, &measured);
        assert_eq!(found, Some(Stop::CopiesAction { loss: 0.45, previous: 0.4 }));
        assert!(found.unwrap().to_string().contains("no better than 0.400"));
    }

    #[test]
    fn a_loss_that_rises_above_the_mean_actions_has_diverged() {
        let (mut losses, measured) = still(75_000, 0.2);
        let len = losses.len();
        // One bad window of three: their mean 0.8 is just the mean action's loss.
        losses[len - 1].l1 = 1.9;
        assert_eq!(judged(&losses, &measured), None);
        losses[len - 2].l1 = 1.9;
        assert!(matches!(judged(&losses, &measured), Some(Stop::Diverged { .. })));
    }
}
