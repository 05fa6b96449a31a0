//! The failed scenes of an evaluation, each with where it first went wrong; and how far all scenes went from the data.

use super::cloud::{Distances, StateCloud, far_from_data};
use super::deviation::{Deviation, differs_persistently, first_deviation};
use super::evaluation::SceneResult;
use super::lots::{self, Event};
use super::visits::visited_states;
use super::{RolloutError, SceneSet};
use crate::base::{Cancel, Proportion};
use crate::sim::{Action, StatePreset};
use serde::{Deserialize, Serialize};

/// Of a run, every so many-th state is measured against the data …
const MEASURED_EVERY: usize = 10;
/// … and of each group of scenes at most so many states.
const MEASURED_STATES: usize = 4000;

/// One run as it is kept: how it went, and what was done.
#[derive(Debug, Clone, PartialEq)]
pub struct Run {
    /// How it went.
    pub result: SceneResult,
    /// What was done, step by step.
    pub actions: Vec<Action>,
}

/// A failed scene, diagnosed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct FailedScene {
    /// How it went.
    pub result: SceneResult,
    /// Where it first went wrong; none when it did as the expert does, and got nearer, to the end.
    pub deviation: Option<Deviation>,
}

/// Repeats the failed runs of the set and finds where each first went wrong, in the order of scenes.
///
/// # Errors
/// When a scene does not exist or cannot begin.
pub fn diagnose(set: &SceneSet, runs: &[Run], threads: usize) -> Result<Vec<FailedScene>, RolloutError> {
    let scenes = set.scenes()?;
    let failed: Vec<&Run> = runs.iter().filter(|run| !run.result.success).collect();
    let work = |index: usize| -> Result<FailedScene, RolloutError> {
        let run = failed[index];
        let (_, start) = scenes.get(run.result.scene as usize).ok_or_else(|| no_scene(run, set))?;
        Ok(FailedScene { result: run.result.clone(), deviation: first_deviation(start, &run.actions)? })
    };
    in_order(failed.len(), threads, work)
}

/// Of the solved runs, how many did persistently other than the expert on the way, and recovered.
///
/// # Errors
/// When a scene does not exist or cannot begin.
pub fn solved_that_deviate(set: &SceneSet, runs: &[Run], threads: usize) -> Result<Proportion, RolloutError> {
    let scenes = set.scenes()?;
    let solved: Vec<&Run> = runs.iter().filter(|run| run.result.success).collect();
    let work = |index: usize| -> Result<bool, RolloutError> {
        let run = solved[index];
        let (_, start) = scenes.get(run.result.scene as usize).ok_or_else(|| no_scene(run, set))?;
        differs_persistently(start, &run.actions)
    };
    let deviate = in_order(solved.len(), threads, work)?;
    Ok(Proportion::new(deviate.iter().filter(|deviates| **deviates).count() as u32, solved.len() as u32))
}

/// How far the states of solved and of failed scenes lie from the training data, and, for scale, how far the data's own
/// states lie from other episodes.
///
/// # Errors
/// When a scene does not exist or cannot begin.
pub fn distances_from_data(
    set: &SceneSet,
    runs: &[Run],
    cloud: &StateCloud,
    state: StatePreset,
    threads: usize,
) -> Result<Vec<Distances>, RolloutError> {
    let own = cloud.own_distances();
    let far = far_from_data(&own);
    let scenes = set.scenes()?;
    let group = |success: bool| -> Result<Vec<f32>, RolloutError> {
        let runs: Vec<&Run> = runs.iter().filter(|run| run.result.success == success).collect();
        let steps: usize = runs.iter().map(|run| run.actions.len() + 1).sum();
        let every = steps.div_ceil(MEASURED_STATES).max(MEASURED_EVERY);
        let work = |index: usize| -> Result<Vec<f32>, RolloutError> {
            let run = runs[index];
            let (_, start) = scenes.get(run.result.scene as usize).ok_or_else(|| no_scene(run, set))?;
            let states = visited_states(start, &run.actions, every)?;
            Ok(states.iter().filter_map(|visited| cloud.distance(&visited.observation(state))).collect())
        };
        Ok(in_order(runs.len(), threads, work)?.concat())
    };
    let (solved, failed) = (group(true)?, group(false)?);
    Ok(vec![
        Distances::of("training data, to other episodes", own, far),
        Distances::of("solved scenes", solved, far),
        Distances::of("failed scenes", failed, far),
    ])
}

fn no_scene(run: &Run, set: &SceneSet) -> RolloutError {
    RolloutError::Order(format!("scene {} of a set of {}", run.result.scene, set.scenes))
}

fn in_order<T: Send>(
    count: usize,
    threads: usize,
    work: impl Fn(usize) -> Result<T, RolloutError> + Sync,
) -> Result<Vec<T>, RolloutError> {
    let mut done = Vec::with_capacity(count);
    lots::in_order(count, threads, &Cancel::default(), work, |event| {
        if let Event::Lot(one) = event {
            done.push(one);
        }
        Ok(())
    })?;
    Ok(done)
}

#[cfg(test)]
mod tests {
    use super::super::{Pilot, RolloutOptions, evaluate_each};
    use super::*;
    use crate::base::EvaluationSeed;
    use crate::dataset::StateTable;

    #[test]
    fn failed_scenes_are_diagnosed_and_measured_the_same_on_any_number_of_threads() {
        let set = SceneSet { seed: EvaluationSeed(4), families: vec![], bricks: 1, scenes: 8 };
        let options = RolloutOptions::default();
        let mut runs = Vec::new();
        evaluate_each(&Pilot::Expert, &set, &options, &Cancel::default(), &mut |_| (), &mut |result, trace| {
            // Every second scene as if the driver had fallen asleep.
            let mut run = Run { result: result.clone(), actions: trace.actions };
            if result.scene % 2 == 1 {
                run.actions.truncate(20);
                run.actions.extend([Action { steering: 1.0, throttle: 1.0, ..Action::default() }; 100]);
                run.result.success = false;
            }
            runs.push(run);
            Ok(())
        })
        .unwrap();
        let found = diagnose(&set, &runs, 1).unwrap();
        assert_eq!(found, diagnose(&set, &runs, 3).unwrap());
        assert_eq!(found.len(), 4);
        assert!(found.iter().all(|scene| scene.deviation.is_some_and(|deviation| deviation.step <= 40)), "{found:?}");

        let mut table = StateTable { dim: StatePreset::Full.dim(), ..StateTable::default() };
        for run in runs.iter().filter(|run| run.result.success) {
            let start = set.scene(run.result.scene).unwrap().1;
            for state in visited_states(&start, &run.actions, 3).unwrap() {
                table.states.extend(state.observation(StatePreset::Full));
                table.episodes.push(run.result.scene);
            }
        }
        let cloud = StateCloud::new(&table);
        let groups = distances_from_data(&set, &runs, &cloud, StatePreset::Full, 2).unwrap();
        let medians: Vec<f32> = groups.iter().map(|group| group.spread.unwrap().median).collect();
        assert!(medians[1] < 0.2 && medians[2] > medians[1], "{groups:?}");
    }
}
