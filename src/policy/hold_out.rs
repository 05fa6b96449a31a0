//! Measuring a policy on episodes it was not trained on, and against policies that do not look.
//!
//! A low loss can be had without seeing: by the state alone, or by going on with the last action. So the same
//! samples are also given with a blank image and with another sample's image, and two policies without a network
//! are measured: the mean action, and the action carried out just before, for the whole chunk.

use super::PolicyError;
use super::config::ACTION_DIM;
use super::inference::{Observation, Policy};
use super::state_file::millionths;
use crate::dataset::TrainingSet;
use serde::{Deserialize, Serialize};

/// Held-out samples measured at most, spread evenly.
const MOST_SAMPLES: usize = 256;
/// Samples that go through the network together; fixed, so that figures do not depend on the number of threads.
const PART: usize = 32;

/// One measurement. Losses are mean absolute errors of normalised actions, padding left out, as in training.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HoldOut {
    /// Training samples of this round so far.
    pub samples: u64,
    /// Held-out samples measured.
    pub measured: usize,
    /// Loss.
    pub loss: f64,
    /// Loss with an image of nothing but the mean colour.
    pub blank_image: f64,
    /// Loss with the image of another sample.
    pub shuffled_images: f64,
    /// Loss of carrying on with the action before.
    pub previous_action: f64,
    /// Loss of the mean action, whatever comes.
    pub mean_action: f64,
    /// Mean absolute error in the action's own units, by step of the chunk and number of the action, `[T][A]`.
    pub error: Vec<[f64; ACTION_DIM]>,
}

impl HoldOut {
    /// Mean absolute error of each number of the action, over the steps of the chunk.
    pub fn error_by_action(&self) -> [f64; ACTION_DIM] {
        let steps = self.error.len().max(1) as f64;
        std::array::from_fn(|a| self.error.iter().map(|step| step[a]).sum::<f64>() / steps)
    }

    /// Mean absolute error of each step of the chunk, over the numbers of the action.
    pub fn error_by_step(&self) -> Vec<f64> {
        self.error.iter().map(|step| step.iter().sum::<f64>() / ACTION_DIM as f64).collect()
    }
}

/// Spreads at most [`MOST_SAMPLES`] evenly over the held-out samples.
pub fn choose(held_out: &[usize]) -> Vec<usize> {
    let count = held_out.len().min(MOST_SAMPLES);
    (0..count).map(|i| held_out[i * held_out.len() / count]).collect()
}

/// Measures `policy` on these samples of `set`, on up to `threads` threads; none when there is no sample.
pub fn measure(
    policy: &Policy,
    set: &TrainingSet,
    samples: &[usize],
    threads: usize,
) -> Result<Option<HoldOut>, PolicyError> {
    if samples.is_empty() {
        return Ok(None);
    }
    let blank = blank_image(policy, set);
    // Half the list away: in sets of more than one episode that is another one.
    let other = |i: usize| set.image(samples[(i + samples.len() / 2) % samples.len()]);
    let mut errors = Errors::default();
    let seen = predict(policy, set, samples, threads, &|i| set.image(samples[i]))?;
    errors.add(policy, set, samples, &seen);
    let loss = |predictions: &[Chunk]| {
        let mut errors = Errors::default();
        errors.add(policy, set, samples, predictions);
        millionths(errors.loss())
    };
    let blank_image = loss(&predict(policy, set, samples, threads, &|_| &blank)?);
    let shuffled_images = loss(&predict(policy, set, samples, threads, &other)?);
    let repeat = |action: [f32; ACTION_DIM]| vec![action; set.chunk];
    let previous: Vec<Chunk> = samples.iter().map(|i| repeat(std::array::from_fn(|a| set.previous(*i)[a]))).collect();
    let mean = repeat(std::array::from_fn(|a| policy.statistics().action.restore(a, 0.0)));
    Ok(Some(HoldOut {
        samples: 0,
        measured: samples.len(),
        loss: millionths(errors.loss()),
        blank_image,
        shuffled_images,
        previous_action: loss(&previous),
        mean_action: loss(&vec![mean; samples.len()]),
        error: errors.by_step(),
    }))
}

type Chunk = Vec<[f32; ACTION_DIM]>;

/// Every pixel is the mean colour: what normalisation makes zero.
fn blank_image(policy: &Policy, set: &TrainingSet) -> Vec<u8> {
    let scale = &policy.statistics().images[0];
    (0..set.image_len()).map(|i| (scale.restore(i % 3, 0.0) * 255.0).round().clamp(0.0, 255.0) as u8).collect()
}

fn predict<'a>(
    policy: &Policy,
    set: &'a TrainingSet,
    samples: &[usize],
    threads: usize,
    image: &(impl Fn(usize) -> &'a [u8] + Sync),
) -> Result<Vec<Chunk>, PolicyError> {
    let seen: Vec<Observation<'_>> =
        samples.iter().enumerate().map(|(i, s)| Observation { image: image(i), state: set.state(*s) }).collect();
    let per_thread = seen.len().div_ceil(threads.max(1)).next_multiple_of(PART);
    let parts = std::thread::scope(|scope| {
        let running: Vec<_> = seen.chunks(per_thread).map(|part| scope.spawn(|| policy.act(part))).collect();
        running.into_iter().map(|part| part.join().map_err(|_| PolicyError::WorkerLost)?).collect::<Result<Vec<_>, _>>()
    })?;
    Ok(parts.into_iter().flatten().collect())
}

/// Sums of errors by step and number of the action.
#[derive(Default)]
struct Errors {
    counts: Vec<u64>,
    absolute: Vec<[f64; ACTION_DIM]>,
    normalised: f64,
}

impl Errors {
    fn add(&mut self, policy: &Policy, set: &TrainingSet, samples: &[usize], predictions: &[Chunk]) {
        self.counts.resize(set.chunk, 0);
        self.absolute.resize(set.chunk, [0.0; ACTION_DIM]);
        let scale = &policy.statistics().action;
        for (sample, chunk) in samples.iter().zip(predictions) {
            let (labels, _) = set.chunk(*sample).as_chunks::<ACTION_DIM>();
            for step in 0..usize::from(set.valid[*sample]) {
                self.counts[step] += 1;
                for a in 0..ACTION_DIM {
                    let (got, wanted) = (chunk[step][a], labels[step][a]);
                    self.absolute[step][a] += f64::from((got - wanted).abs());
                    self.normalised += f64::from((scale.apply(a, got) - scale.apply(a, wanted)).abs());
                }
            }
        }
    }

    fn loss(&self) -> f64 {
        self.normalised / (self.counts.iter().sum::<u64>().max(1) * ACTION_DIM as u64) as f64
    }

    fn by_step(&self) -> Vec<[f64; ACTION_DIM]> {
        self.absolute
            .iter()
            .zip(&self.counts)
            .map(|(sums, n)| sums.map(|sum| millionths(sum / (*n).max(1) as f64)))
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_are_counted_by_step_and_number_without_padding() {
        let mut set = TrainingSet::new(1, 1, 1, 2, ACTION_DIM);
        set.push(&[0; 3], &[0.0], &[0.5, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 1.0]);
        set.push(&[0; 3], &[0.0], &[0.0, 0.25, 0.0, 0.0]);
        let mut errors = Errors::default();
        let policy = crate::policy::testing::tiny_policy(1, 1, 1, 2);
        errors.add(&policy, &set, &[0, 1], &[vec![[0.0; 4]; 2], vec![[0.0; 4]; 2]]);
        assert_eq!(errors.by_step(), [[0.25, 0.125, 0.0, 0.0], [0.0, 0.0, 0.0, 1.0]]);
        // Deviations of the tiny policy's actions are 0.5: (0.5 + 1 + 0.25) / 0.5 over 12 numbers.
        assert!((errors.loss() - 3.5 / 12.0).abs() < 1e-9);
    }

    #[test]
    fn a_measurement_does_not_depend_on_threads_and_nothing_is_none() {
        let policy = crate::policy::testing::tiny_policy(16, 16, 3, 4);
        let mut set = TrainingSet::new(16, 16, 3, 4, ACTION_DIM);
        for i in 0..70_u8 {
            set.push(&[3 * i; 16 * 16 * 3], &[f32::from(i) / 70.0; 3], &[f32::from(i) / 70.0; 4]);
        }
        let samples = choose(&(0..70).collect::<Vec<_>>());
        let one = measure(&policy, &set, &samples, 1).unwrap().unwrap();
        assert_eq!(Some(&one), measure(&policy, &set, &samples, 3).unwrap().as_ref());
        assert!(one.measured == 70 && one.loss > 0.0 && one.error.len() == 4);
        // Of single-sample episodes nothing is known of before: previous actions are zeros, the label's mean is not.
        assert!(one.previous_action > 0.0 && one.mean_action > 0.0);
        assert_eq!(measure(&policy, &set, &[], 1).unwrap(), None);
        assert_eq!(choose(&(0..1000).collect::<Vec<_>>()).len(), MOST_SAMPLES);
    }
}
