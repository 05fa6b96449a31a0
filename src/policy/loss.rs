//! The training loss: mean absolute error over the actions that are real, plus the weighted KL divergence.
//!
//! Convention of the L1 mean: the sum over real actions divided by their number (LeRobot ≥ 0.6.0), not by the
//! number of all actions with padding counted as zero error (LeRobot ≤ 0.5). A loss can be computed in parts, one
//! per thread: the divisors are those of the whole batch, so that the parts add up.

use super::PolicyError;
use super::act::Prediction;
use candle_core::Tensor;

/// Divisors of the whole batch, and the weight of the divergence.
#[derive(Debug, Clone, Copy)]
pub struct LossScale {
    /// Real numbers (actions × A) in the whole batch.
    pub real_numbers: f64,
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
    let l1 = (error / scale.real_numbers)?;
    match &prediction.posterior {
        None => Ok(l1),
        Some(posterior) => Ok((l1 + (posterior.divergence_sum()? * (scale.kl_weight / scale.samples))?)?),
    }
}
