//! Which samples make a batch, and how they become tensors.

use super::PolicyError;
use super::act::Inputs;
use super::normalise::{PixelTable, Statistics};
use super::plan::TrainPlan;
use crate::base::Seed;
use crate::dataset::TrainingSet;
use candle_core::{Device, Tensor};
use rand::Rng as _;

/// The samples a training may draw, dataset by dataset, and those it is measured on.
pub struct Sampler {
    /// Samples of each dataset's training episodes.
    sources: Vec<Vec<u32>>,
    /// Upper end of each dataset's stretch of [0, 1): as long as its probability.
    ends: Vec<f64>,
    /// Samples of the episodes that are never trained on.
    pub held_out: Vec<usize>,
}

impl Sampler {
    /// Splits off the held-out episodes and weighs the datasets.
    pub fn new(set: &TrainingSet, plan: &TrainPlan) -> Result<Sampler, PolicyError> {
        let whole = 0..set.len();
        let ranges = if set.sources.is_empty() { std::slice::from_ref(&whole) } else { &set.sources[..] };
        let weights = &plan.dataset_weights;
        if !weights.is_empty() && weights.len() != ranges.len() {
            let (w, n) = (weights.len(), ranges.len());
            return Err(PolicyError::Plan(format!("{w} dataset_weights for {n} dataset(s)")));
        }
        let mut held_out = Vec::new();
        let mut sources = Vec::with_capacity(ranges.len());
        for range in ranges {
            let (held, mut kept): (Vec<usize>, Vec<usize>) =
                range.clone().partition(|i| is_held_out(set.episodes[*i], plan.hold_out_share));
            // A handful of episodes may all fall on one side: then there is nothing to measure on.
            if kept.is_empty() {
                kept = held;
            } else {
                held_out.extend(held);
            }
            sources.push(kept.into_iter().filter_map(|i| u32::try_from(i).ok()).collect::<Vec<_>>());
        }
        let probabilities = probabilities(&sources, plan);
        if probabilities.iter().all(|p| *p <= 0.0) {
            return Err(PolicyError::NoSamples);
        }
        let mut sum = 0.0;
        let ends = probabilities.iter().map(|p| {
            sum += p;
            sum
        });
        Ok(Sampler { ends: ends.collect(), sources, held_out })
    }

    /// Sample numbers of the batch of one update. They depend on seed and update alone, so that a resumed training
    /// draws what an uninterrupted one would have drawn.
    pub fn draw(&self, plan: &TrainPlan, update: u64) -> Vec<usize> {
        let mut rng = plan.seed.child("batch", update).rng();
        let all = self.ends.last().copied().unwrap_or(1.0);
        let mut one = || {
            let at = rng.random::<f64>() * all;
            let source = &self.sources[self.ends.partition_point(|end| *end <= at).min(self.sources.len() - 1)];
            source[rng.random_range(0..source.len())] as usize
        };
        (0..plan.batch).map(|_| one()).collect()
    }
}

/// The same episode of a dataset is held out by every training, so that no later round learns what an earlier one
/// was measured on.
fn is_held_out(episode: u32, share: f64) -> bool {
    Seed(0).child("hold-out", u64::from(episode)).rng().random::<f64>() < share
}

fn probabilities(sources: &[Vec<u32>], plan: &TrainPlan) -> Vec<f64> {
    let all: usize = sources.iter().map(Vec::len).sum();
    let last = sources.len() - 1;
    let newest = if last == 0 || sources[last].is_empty() { 0.0 } else { plan.newest_share };
    let by_size = |i: usize| {
        let extra = if i == last { newest } else { 0.0 };
        sources[i].len() as f64 / all.max(1) as f64 * (1.0 - newest) + extra
    };
    let weighted = |i: usize| if sources[i].is_empty() { 0.0 } else { plan.dataset_weights[i] };
    (0..sources.len()).map(|i| if plan.dataset_weights.is_empty() { by_size(i) } else { weighted(i) }).collect()
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
    /// What the network is told.
    pub fn inputs(&self) -> Inputs {
        Inputs { images: vec![self.images.clone()], state: Some(self.state.clone()), env: None }
    }

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

    /// 90 samples of one dataset, 10 of another.
    fn set() -> TrainingSet {
        let mut set = TrainingSet::new(1, 1, 1, 1, 4);
        (0..100).for_each(|_| set.push(&[0; 3], &[0.0], &[0.0; 4]));
        set.sources = vec![0..90, 90..100];
        set
    }

    fn share_of_second(plan: &TrainPlan) -> f64 {
        let drawn = Sampler::new(&set(), plan).unwrap().draw(plan, 3);
        drawn.iter().filter(|i| **i >= 90).count() as f64 / drawn.len() as f64
    }

    #[test]
    fn the_newest_dataset_is_drawn_with_extra_probability_and_weights_replace_sizes() {
        let plan = TrainPlan { batch: 4096, newest_share: 0.3, hold_out_share: 0.0, ..TrainPlan::default() };
        // 0.3 + 0.7 · 10/100
        assert!((share_of_second(&plan) - 0.37).abs() < 0.03);
        let plan = TrainPlan { dataset_weights: vec![1.0, 3.0], ..plan };
        assert!((share_of_second(&plan) - 0.75).abs() < 0.03);
        let plan = TrainPlan { dataset_weights: vec![1.0, 0.0], ..plan };
        assert_eq!(share_of_second(&plan), 0.0);
        let plan = TrainPlan { dataset_weights: vec![1.0], ..plan };
        assert!(Sampler::new(&set(), &plan).is_err());
    }

    #[test]
    fn a_batch_depends_on_seed_and_update_alone() {
        let plan = TrainPlan::default();
        let sampler = Sampler::new(&set(), &plan).unwrap();
        assert_eq!(sampler.draw(&plan, 3), sampler.draw(&plan, 3));
        assert_ne!(sampler.draw(&plan, 3), sampler.draw(&plan, 4));
    }

    #[test]
    fn held_out_episodes_are_whole_and_never_drawn() {
        let mut set = set();
        set.sources = Vec::new();
        set.episodes = (0..100).map(|i| i / 5).collect();
        let plan = TrainPlan { batch: 4096, hold_out_share: 0.3, ..TrainPlan::default() };
        let sampler = Sampler::new(&set, &plan).unwrap();
        let held = &sampler.held_out;
        assert!(!held.is_empty() && held.len() < 60 && held.len().is_multiple_of(5), "{held:?}");
        let episodes: Vec<u32> = held.iter().map(|i| set.episodes[*i]).collect();
        assert!(sampler.draw(&plan, 0).iter().all(|i| !episodes.contains(&set.episodes[*i])));
    }
}
