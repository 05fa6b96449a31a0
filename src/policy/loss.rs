//! The training loss: mean absolute error over the actions that are real, plus the weighted KL divergence.
//!
//! The L1 mean has two conventions, [`L1Mean`]. A loss can be computed in parts, one per thread: the divisors are those
//! of the whole batch, so that the parts add up.

use super::PolicyError;
use super::act::Prediction;
use super::config::L1Mean;
use candle_core::Tensor;

impl L1Mean {
    /// What the sum of a whole batch's errors is divided by, given how many of its numbers are real, and all of them.
    pub fn divisor(self, real_numbers: u64, all_numbers: u64) -> f64 {
        match self {
            L1Mean::All => all_numbers as f64,
            L1Mean::Valid => real_numbers as f64,
        }
    }
}

/// Divisors of the whole batch, and the weight of the divergence.
#[derive(Debug, Clone, Copy)]
pub struct LossScale {
    /// What the sum of errors is divided by; see [`L1Mean::divisor`].
    pub numbers: f64,
    /// Samples in the whole batch.
    pub samples: f64,
    /// Weight of the KL divergence.
    pub kl_weight: f64,
}

/// This part's share of the batch's loss, a scalar.
///
/// # Shapes
/// target `[B, T, A]`, mask `[B, T, A]`: 1 where an action is real, 0 where it is padding
pub fn loss(prediction: &Prediction, target: &Tensor, mask: &Tensor, scale: LossScale) -> Result<Tensor, PolicyError> {
    let error = ((&prediction.actions - target)?.abs()? * mask)?.sum_all()?;
    let l1 = (error / scale.numbers)?;
    match &prediction.posterior {
        None => Ok(l1),
        Some(posterior) => Ok((l1 + (posterior.divergence_sum()? * (scale.kl_weight / scale.samples))?)?),
    }
}
