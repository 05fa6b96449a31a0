//! Temporal ensembling: every step a new chunk, and the action is an average of all predictions made for that step.
//!
//! Zhao et al. 2023, in LeRobot's online form: a prediction for a step is weighted by exp(−c·i), where i = 0 is the
//! *oldest* one. A positive c favours old predictions, a negative one new ones, 0 is the plain mean.

use super::config::ACTION_DIM;
use std::collections::VecDeque;

/// The running averages of one rollout. A new rollout needs a new one.
#[derive(Debug, Clone)]
pub struct TemporalEnsembler {
    /// exp(−c·i).
    weights: Vec<f32>,
    /// Sums of the first i + 1 weights.
    sums: Vec<f32>,
    /// For each coming step: the average so far, and how many predictions it is of.
    coming: VecDeque<([f32; ACTION_DIM], usize)>,
}

impl TemporalEnsembler {
    /// For chunks of `chunk` actions. LeRobot's usual `coefficient` is 0.01.
    pub fn new(coefficient: f32, chunk: usize) -> Self {
        let weights: Vec<f32> = (0..chunk.max(1)).map(|i| (-coefficient * i as f32).exp()).collect();
        let sums = weights
            .iter()
            .scan(0.0, |sum, weight| {
                *sum += weight;
                Some(*sum)
            })
            .collect();
        Self { weights, sums, coming: VecDeque::with_capacity(chunk) }
    }

    /// Takes the chunk predicted now and gives the action for now; none for an empty chunk.
    ///
    /// # Shapes
    /// `[T, A]` → `[A]`
    pub fn update(&mut self, chunk: &[[f32; ACTION_DIM]]) -> Option<[f32; ACTION_DIM]> {
        for ((average, count), newest) in self.coming.iter_mut().zip(chunk) {
            let (before, weight, after) = (self.sums[*count - 1], self.weights[*count], self.sums[*count]);
            for (mean, new) in average.iter_mut().zip(newest) {
                *mean = (*mean * before + new * weight) / after;
            }
            *count = (*count + 1).min(self.weights.len());
        }
        self.coming.truncate(chunk.len());
        self.coming.extend(chunk.iter().skip(self.coming.len()).map(|action| (*action, 1)));
        self.coming.pop_front().map(|(action, _)| action)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chunk(values: [f32; 3]) -> Vec<[f32; ACTION_DIM]> {
        values.map(|v| [v, -v, 2.0 * v, 0.0]).to_vec()
    }

    #[test]
    fn predictions_for_a_step_are_averaged_with_the_oldest_first() {
        for c in [0.0_f32, 0.01, 0.5, -0.3] {
            let mut ensembler = TemporalEnsembler::new(c, 3);
            let weight = |i: i32| (-c * i as f32).exp();
            let first = ensembler.update(&chunk([1.0, 2.0, 3.0])).unwrap();
            assert_eq!(first, [1.0, -1.0, 2.0, 0.0]);
            let second = ensembler.update(&chunk([10.0, 20.0, 30.0])).unwrap();
            let wanted = (2.0 * weight(0) + 10.0 * weight(1)) / (weight(0) + weight(1));
            assert!((second[0] - wanted).abs() < 1e-5, "{c}: {second:?}");
            let third = ensembler.update(&chunk([100.0, 200.0, 300.0])).unwrap();
            let wanted = (3.0 * weight(0) + 20.0 * weight(1) + 100.0 * weight(2)) / (0..3).map(weight).sum::<f32>();
            assert!((third[0] - wanted).abs() < 1e-4 && (third[1] + wanted).abs() < 1e-4, "{c}: {third:?}");
        }
    }

    #[test]
    fn equal_predictions_stay_what_they_are_and_an_empty_chunk_is_no_action() {
        let mut ensembler = TemporalEnsembler::new(0.01, 3);
        for _ in 0..10 {
            let action = ensembler.update(&chunk([0.5; 3])).unwrap();
            assert!((action[0] - 0.5).abs() < 1e-6);
        }
        assert_eq!(ensembler.update(&[]), None);
    }
}
