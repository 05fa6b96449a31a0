//! Closed-loop evaluation: the scenes of a set, driven to their end, counted and diagnosed.

use super::evaluation::{Evaluation, SceneResult};
use super::judged::Judged;
use super::lockstep::{self, Driver, Eye, Rider};
use super::lots::{self, Event};
use super::trace::Trace;
use super::{Execution, RolloutError, SceneSet};
use crate::base::{Cancel, Progress};
use crate::policy::Policy;
use crate::sim::StatePreset;
use serde::{Deserialize, Serialize};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

/// Scenes that share their batches. Fixed, so that the batches do not depend on the number of threads.
const SCENES_PER_LOT: usize = 25;

/// Who drives.
#[derive(Clone, Copy)]
pub enum Pilot<'a> {
    /// The expert on the privileged state.
    Expert,
    /// A policy on image and state.
    Policy {
        /// The policy.
        policy: &'a Policy,
        /// The state numbers it was trained on.
        state: StatePreset,
        /// Actions of each chunk that are executed before it is asked again.
        execute_steps: u32,
    },
    /// A policy that looks at every step, its chunks averaged over time.
    Ensembled {
        /// The policy.
        policy: &'a Policy,
        /// The state numbers it was trained on.
        state: StatePreset,
        /// See [`Execution::Ensemble`].
        coefficient: f32,
    },
}

impl<'a> Pilot<'a> {
    /// A policy whose chunks are executed in this way.
    pub fn executing(policy: &'a Policy, state: StatePreset, execution: Execution) -> Self {
        match execution {
            Execution::Steps(execute_steps) => Pilot::Policy { policy, state, execute_steps },
            Execution::Ensemble { coefficient } => Pilot::Ensembled { policy, state, coefficient },
        }
    }

    pub(super) fn driver(&self) -> Option<Driver<'a>> {
        let driver = |policy, state, execution| Some(Driver { policy, state, execution });
        match *self {
            Pilot::Expert => None,
            Pilot::Policy { policy, state, execute_steps } => driver(policy, state, Execution::Steps(execute_steps)),
            Pilot::Ensembled { policy, state, coefficient } => {
                driver(policy, state, Execution::Ensemble { coefficient })
            }
        }
    }
}

/// How scenes are run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RolloutOptions {
    /// Time limit of a scene for each of its bricks. The expert needs 15 to 30 s.
    pub seconds_per_brick: f32,
    /// A scene in which nothing moved for this long has failed.
    pub give_up_still_s: f32,
    /// Threads. Changes how long it takes and nothing else.
    pub threads: usize,
}

impl Default for RolloutOptions {
    fn default() -> Self {
        Self { seconds_per_brick: 50.0, give_up_still_s: 20.0, threads: 1 }
    }
}

/// Drives every scene of the set to its end.
///
/// # Errors
/// When the set or the pilot make no sense, or the policy fails.
pub fn evaluate(
    pilot: &Pilot<'_>,
    set: &SceneSet,
    options: &RolloutOptions,
    cancel: &Cancel,
    on_progress: &mut dyn FnMut(Progress),
) -> Result<Evaluation, RolloutError> {
    evaluate_each(pilot, set, options, cancel, on_progress, &mut |_, _| Ok(()))
}

/// As [`evaluate`]; `on_scene` gets every scene's result with its trace, in the set's order.
///
/// # Errors
/// As [`evaluate`], and the first error of `on_scene`.
pub fn evaluate_each(
    pilot: &Pilot<'_>,
    set: &SceneSet,
    options: &RolloutOptions,
    cancel: &Cancel,
    on_progress: &mut dyn FnMut(Progress),
    on_scene: &mut dyn FnMut(&SceneResult, Trace) -> Result<(), RolloutError>,
) -> Result<Evaluation, RolloutError> {
    let began = Instant::now();
    let driver = pilot.driver();
    if let Some(driver) = &driver {
        driver.check()?;
    }
    let scenes = set.scenes()?;
    let ended = AtomicU64::new(0);
    let work = |lot: usize| -> Result<Vec<(SceneResult, Trace)>, RolloutError> {
        let first = lot * SCENES_PER_LOT;
        let mut riders = Vec::with_capacity(SCENES_PER_LOT);
        for (index, (family, scene)) in scenes.iter().enumerate().skip(first).take(SCENES_PER_LOT) {
            riders.push(Judged::new(index, &family.name, scene, driver.as_ref(), options, &ended)?);
        }
        let mut eye = driver.as_ref().map_or_else(|| Eye::new(1, 1), Driver::eye);
        let all = lockstep::run(&mut riders, driver.as_ref(), &mut eye, cancel)?;
        let done = riders.into_iter().filter(|rider| all || !rider.is_under_way());
        Ok(done.map(|rider| (rider.result(), rider.into_trace())).collect())
    };
    let mut results: Vec<SceneResult> = Vec::with_capacity(scenes.len());
    lots::in_order(scenes.len().div_ceil(SCENES_PER_LOT), options.threads, cancel, work, |event| {
        if let Event::Lot(lot) = event {
            for (result, trace) in lot {
                on_scene(&result, trace)?;
                results.push(result);
            }
        }
        on_progress(Progress {
            done: ended.load(Ordering::Relaxed),
            total: scenes.len() as u64,
            unit: "scenes",
            note: note(&results),
        });
        Ok(())
    })?;
    let finished = results.len() == scenes.len();
    Ok(Evaluation { results, seconds: began.elapsed().as_secs_f64(), finished })
}

fn note(results: &[SceneResult]) -> String {
    let successes = results.iter().filter(|result| result.success).count();
    if results.is_empty() { String::new() } else { format!("{successes} of {} solved", results.len()) }
}

#[cfg(test)]
mod tests {
    use super::super::testing::green_policy;
    use super::*;
    use crate::base::EvaluationSeed;

    fn set(scenes: u32) -> SceneSet {
        SceneSet { seed: EvaluationSeed(11), families: vec![], bricks: 1, scenes }
    }

    fn by_expert(scenes: u32, options: &RolloutOptions) -> Evaluation {
        let mut evaluation = evaluate(&Pilot::Expert, &set(scenes), options, &Cancel::default(), &mut |_| ()).unwrap();
        evaluation.seconds = 0.0;
        evaluation
    }

    #[test]
    fn results_do_not_depend_on_the_thread_count() {
        let with = |threads| by_expert(30, &RolloutOptions { threads, ..RolloutOptions::default() });
        let one = with(1);
        assert!(one.finished && one.results.len() == 30);
        assert_eq!(one, with(3));
    }

    #[test]
    fn a_policy_is_judged_the_same_on_any_number_of_threads() {
        let policy = green_policy();
        let pilot = Pilot::Policy { policy: &policy, state: StatePreset::Full, execute_steps: 3 };
        let with = |threads| {
            let options = RolloutOptions { seconds_per_brick: 3.0, threads, ..RolloutOptions::default() };
            let results = evaluate(&pilot, &set(28), &options, &Cancel::default(), &mut |_| ()).unwrap().results;
            assert_eq!(results.len(), 28);
            results
        };
        assert_eq!(with(1), with(2));
        let wrong = Pilot::Policy { policy: &policy, state: StatePreset::Seed, execute_steps: 3 };
        assert!(evaluate(&wrong, &set(1), &RolloutOptions::default(), &Cancel::default(), &mut |_| ()).is_err());
    }

    #[test]
    fn ensembling_looks_at_every_step_and_repeats() {
        let policy = green_policy();
        let pilot = Pilot::executing(&policy, StatePreset::Full, Execution::Ensemble { coefficient: 0.01 });
        let options = RolloutOptions { seconds_per_brick: 2.0, ..RolloutOptions::default() };
        let run = || {
            let mut actions = Vec::new();
            let mut keep = |_: &SceneResult, trace: Trace| {
                actions.push(trace.actions);
                Ok(())
            };
            evaluate_each(&pilot, &set(3), &options, &Cancel::default(), &mut |_| (), &mut keep).unwrap();
            actions
        };
        let actions = run();
        assert_eq!(actions, run());
        assert!(actions.iter().all(|scene| scene.len() == 20 && scene.windows(2).any(|pair| pair[0] != pair[1])));
    }

    #[test]
    fn a_limit_too_short_for_anybody_is_a_failure_with_a_class() {
        let options = RolloutOptions { seconds_per_brick: 2.0, ..RolloutOptions::default() };
        let evaluation = by_expert(5, &options);
        for result in evaluation.results.iter().filter(|result| !result.success) {
            assert!(result.failure.is_some() && result.steps == 20, "{result:?}");
        }
        assert_eq!(evaluation.scenes().trials, 5);
        assert_eq!(evaluation.failures().iter().map(|(_, n)| n).sum::<u32>(), evaluation.failed_scenes().len() as u32);
    }

    #[test]
    fn a_cancelled_evaluation_says_so() {
        let cancel = Cancel::default();
        cancel.cancel();
        let evaluation = evaluate(&Pilot::Expert, &set(30), &RolloutOptions::default(), &cancel, &mut |_| ()).unwrap();
        assert!(!evaluation.finished && evaluation.results.is_empty());
    }
}
