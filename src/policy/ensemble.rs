//! Temporal ensembling (Zhao et al. 2023, algorithm 2): the policy is asked at every step, and what it does is the
//! weighted mean of all that its chunks of this and earlier steps say about now.

use super::PolicyError;

/// The running means of the actions to come. Arithmetic and order are LeRobot's, in f32.
#[derive(Debug, Clone)]
pub struct TemporalEnsemble {
    /// e^(−coefficient·i): the weight of the i-th oldest prediction.
    weights: Vec<f32>,
    /// Their running sums.
    sums: Vec<f32>,
    chunk: usize,
    /// Numbers of all sequences' actions of one step.
    row: usize,
    /// Means for the steps to come, `[steps, row]`.
    means: Vec<Vec<f32>>,
    /// How many predictions each mean is of.
    counts: Vec<usize>,
}

impl TemporalEnsemble {
    /// For chunks of `chunk` actions whose numbers over all sequences are `row` a step. A positive coefficient
    /// favours old predictions.
    pub fn new(coefficient: f64, chunk: usize, row: usize) -> Self {
        let weights: Vec<f32> = (0..chunk).map(|i| ((-coefficient * i as f64) as f32).exp()).collect();
        let mut sum = 0.0;
        let sums = weights.iter().map(|w| {
            sum += w;
            sum
        });
        Self { sums: sums.collect(), weights, chunk, row, means: Vec::new(), counts: Vec::new() }
    }

    /// Forgets everything: a new episode.
    pub fn reset(&mut self) {
        self.means.clear();
        self.counts.clear();
    }

    /// Takes the chunk predicted now and gives what to do now.
    ///
    /// # Shapes
    /// steps: T rows → one row
    pub fn update(&mut self, steps: &[&[f32]]) -> Result<Vec<f32>, PolicyError> {
        if steps.len() != self.chunk || steps.iter().any(|step| step.len() != self.row) {
            return Err(PolicyError::Shape {
                what: "chunk to ensemble",
                wanted: format!("{} steps of {} numbers", self.chunk, self.row),
                got: format!("{} steps", steps.len()),
            });
        }
        for ((mean, count), step) in self.means.iter_mut().zip(&mut self.counts).zip(steps) {
            let (before, weight) = (self.sums[*count - 1], self.weights[*count]);
            for (mean, value) in mean.iter_mut().zip(*step) {
                *mean = (*mean * before + value * weight) / self.sums[*count];
            }
            *count = (*count + 1).min(self.chunk);
        }
        for step in &steps[self.means.len()..] {
            self.means.push(step.to_vec());
            self.counts.push(1);
        }
        self.counts.remove(0);
        Ok(self.means.remove(0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_prediction_weighs_most_and_the_mean_is_the_offline_one() {
        let coefficient = 0.5;
        let mut ensemble = TemporalEnsemble::new(coefficient, 3, 1);
        // Chunk t predicts 10·t + k for step t + k.
        let chunk = |t: u8| [0_u8, 1, 2].map(|k| [f32::from(10 * t + k)]);
        for t in 0..6_u8 {
            let steps = chunk(t);
            let got = ensemble.update(&steps.iter().map(|s| &s[..]).collect::<Vec<_>>()).unwrap()[0];
            let first = t.saturating_sub(2);
            let terms = (first..=t).map(|from| {
                let weight = (-coefficient as f32 * f32::from(from - first)).exp();
                (weight, weight * f32::from(10 * from + (t - from)))
            });
            let (weights, values): (Vec<f32>, Vec<f32>) = terms.unzip();
            let wanted = values.iter().sum::<f32>() / weights.iter().sum::<f32>();
            assert!((got - wanted).abs() < 1e-4, "step {t}: {got} {wanted}");
        }
        ensemble.reset();
        assert_eq!(ensemble.update(&[&[7.0], &[8.0], &[9.0]]).unwrap(), [7.0]);
        assert!(ensemble.update(&[&[7.0]]).is_err());
    }
}
