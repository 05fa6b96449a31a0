//! A policy for tests: real, but hardly trained.

use crate::base::{Cancel, Seed};
use crate::dataset::TrainingSet;
use crate::policy::{ActConfig, Policy, TrainPlan, train};
use crate::sim::{ACTION_DIM, StatePreset};

/// Image height of the policy.
pub(crate) const HEIGHT: usize = 24;
/// Image width of the policy.
pub(crate) const WIDTH: usize = 32;
/// Actions of its chunks.
pub(crate) const CHUNK: usize = 6;

/// A policy after two updates on made-up samples.
pub(crate) fn green_policy() -> Policy {
    let state_dim = StatePreset::Full.dim();
    let config = ActConfig::preset("quick", HEIGHT, WIDTH, state_dim, CHUNK).unwrap();
    let mut set = TrainingSet::new(HEIGHT, WIDTH, state_dim, CHUNK, ACTION_DIM);
    for n in 0..8_usize {
        let image: Vec<u8> = (0..set.image_len()).map(|i| ((i * 7 + n * 31) % 256) as u8).collect();
        let wave = |len: usize| -> Vec<f32> { (0..len).map(|i| ((i * 3 + n) as f32 * 0.7).sin()).collect() };
        set.push(&image, &wave(state_dim), &wave(CHUNK * ACTION_DIM));
    }
    let plan = TrainPlan { samples: 16, batch: 8, threads: 1, seed: Seed(1), ..TrainPlan::default() };
    let work = tempfile::tempdir().unwrap();
    train(&set, &config, None, &plan, work.path(), &Cancel::default(), &mut |_| ()).unwrap().policy
}
