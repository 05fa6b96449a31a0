//! Which samples make a batch, and how they become tensors.

use super::PolicyError;
use super::normalise::{PixelTable, Statistics};
use super::plan::TrainPlan;
use crate::dataset::TrainingSet;
use candle_core::{Device, Tensor};
use rand::Rng as _;

/// Sample numbers of the batch of one update. They depend on seed and update alone, so that a resumed training
/// draws what an uninterrupted one would have drawn.
pub fn draw(set: &TrainingSet, plan: &TrainPlan, update: u64) -> Vec<usize> {
    let mut rng = plan.seed.child("batch", update).rng();
    let newest = set.sources.last().filter(|source| set.sources.len() > 1 && !source.is_empty());
    (0..plan.batch)
        .map(|_| match newest {
            Some(newest) if rng.random::<f64>() < plan.newest_share => rng.random_range(newest.clone()),
            Some(_) | None => rng.random_range(0..set.len()),
        })
        .collect()
}

/// Normalised tensors of some samples.
pub struct Batch {
    /// `[B, H, W, 3]`
    pub images: Tensor,
    /// `[B, S]`
    pub state: Tensor,
    /// `[B, T, A]`
    pub target: Tensor,
    /// `[B, T, A]`, 1 for real actions.
    pub mask: Tensor,
    /// `[B, T]`, true for padding.
    pub padding: Vec<bool>,
}

impl Batch {
    /// Gathers and normalises samples.
    pub fn gather(
        set: &TrainingSet,
        samples: &[usize],
        statistics: &Statistics,
        pixels: &PixelTable,
    ) -> Result<Batch, PolicyError> {
        let (count, numbers) = (samples.len(), set.chunk * set.action_dim);
        let mut images = Vec::with_capacity(count * set.image_len());
        let mut state = Vec::with_capacity(count * set.state_dim);
        let mut target = Vec::with_capacity(count * numbers);
        let mut mask = Vec::with_capacity(count * numbers);
        let mut padding = Vec::with_capacity(count * set.chunk);
        for &sample in samples {
            pixels.normalise(set.image(sample), &mut images);
            statistics.state.normalise(set.state(sample), &mut state);
            statistics.action.normalise(set.chunk(sample), &mut target);
            for step in 0..set.chunk {
                let real = step < usize::from(set.valid[sample]);
                padding.push(!real);
                mask.extend(std::iter::repeat_n(if real { 1.0_f32 } else { 0.0 }, set.action_dim));
            }
        }
        let device = &Device::Cpu;
        let chunk_shape = (count, set.chunk, set.action_dim);
        Ok(Batch {
            images: Tensor::from_vec(images, (count, set.height, set.width, 3), device)?,
            state: Tensor::from_vec(state, (count, set.state_dim), device)?,
            target: Tensor::from_vec(target, chunk_shape, device)?,
            mask: Tensor::from_vec(mask, chunk_shape, device)?,
            padding,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_source_is_drawn_with_extra_probability() {
        let mut set = TrainingSet::new(1, 1, 1, 1, 4);
        (0..100).for_each(|_| set.push(&[0; 3], &[0.0], &[0.0; 4]));
        set.sources = vec![0..90, 90..100];
        let plan = TrainPlan { batch: 4096, newest_share: 0.3, ..TrainPlan::default() };
        let drawn = draw(&set, &plan, 3);
        let newest = drawn.iter().filter(|i| **i >= 90).count() as f64 / 4096.0;
        // 0.3 + 0.7 · 10/100
        assert!((newest - 0.37).abs() < 0.03, "{newest}");
        assert_eq!(drawn, draw(&set, &plan, 3));
        assert_ne!(drawn, draw(&set, &plan, 4));
    }
}
