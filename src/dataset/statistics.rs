//! Mean and deviation of the samples a policy is trained on, for its normalisation.

use super::TrainingSet;
use super::feature_statistics::Histogram;
use serde::{Deserialize, Serialize};

/// Mean and population deviation of each channel of a training set.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SetStatistics {
    /// Of red, green and blue, levels scaled to 0..1.
    pub image_mean: [f32; 3],
    /// Of red, green and blue, levels scaled to 0..1.
    pub image_std: [f32; 3],
    /// Of each state number, in physical units.
    pub state_mean: Vec<f32>,
    /// Of each state number; 0 where it never changes.
    pub state_std: Vec<f32>,
    /// Of each action number, over the real actions of all label chunks.
    pub action_mean: Vec<f32>,
    /// Of each action number; 0 where it never changes.
    pub action_std: Vec<f32>,
}

/// Counts a training set: images exactly in integers, numbers in f64 in the order they lie.
/// An empty set gives zeros.
pub fn statistics(set: &TrainingSet) -> SetStatistics {
    let mut histogram = Histogram::default();
    histogram.add(&set.images);
    let image = histogram.moments();
    let (state_mean, state_std) = moments(set.state_dim, || set.states.chunks_exact(set.state_dim.max(1)));
    let (action_mean, action_std) = moments(set.action_dim, || {
        (0..set.len()).flat_map(|sample| {
            set.chunk(sample).chunks_exact(set.action_dim.max(1)).take(usize::from(set.valid[sample]))
        })
    });
    SetStatistics {
        image_mean: image.map(|(mean, _)| mean as f32),
        image_std: image.map(|(_, std)| std as f32),
        state_mean,
        state_std,
        action_mean,
        action_std,
    }
}

/// Two passes, so that a small spread around a large mean keeps its digits.
fn moments<'a, I: Iterator<Item = &'a [f32]>>(channels: usize, rows: impl Fn() -> I) -> (Vec<f32>, Vec<f32>) {
    let average = |term: &dyn Fn(usize, f64) -> f64| {
        let (mut sums, mut count) = (vec![0.0_f64; channels], 0_u64);
        for row in rows() {
            count += 1;
            for (channel, (sum, &value)) in sums.iter_mut().zip(row).enumerate() {
                *sum += term(channel, f64::from(value));
            }
        }
        sums.iter_mut().for_each(|sum| *sum /= count.max(1) as f64);
        sums
    };
    let mean = average(&|_, value| value);
    let variance = average(&|channel, value| (value - mean[channel]).powi(2));
    (mean.iter().map(|&m| m as f32).collect(), variance.iter().map(|v| v.sqrt() as f32).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statistics_match_hand_values_and_skip_padding() {
        let mut set = TrainingSet::new(1, 2, 2, 3, 1);
        set.push(&[0, 255, 51, 255, 255, 51], &[1.0, 5.0], &[2.0]);
        set.push(&[0, 255, 51, 255, 255, 51], &[3.0, 5.0], &[4.0, 6.0, 8.0]);
        let all = statistics(&set);
        assert_eq!((all.image_mean, all.image_std), ([0.5, 1.0, 0.2], [0.5, 0.0, 0.0]));
        assert_eq!((all.state_mean, all.state_std), (vec![2.0, 5.0], vec![1.0, 0.0]));
        assert_eq!((all.action_mean, all.action_std), (vec![5.0], vec![5.0_f32.sqrt()]));
    }

    #[test]
    fn an_empty_set_gives_zeros() {
        let all = statistics(&TrainingSet::new(1, 1, 2, 3, 4));
        assert_eq!((all.image_std, all.state_mean, all.action_std), ([0.0; 3], vec![0.0; 2], vec![0.0; 4]));
    }
}
