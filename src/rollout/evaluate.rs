//! Closed-loop evaluation: the scenes of a set, driven to their end, counted and diagnosed.

use super::failure::{FailureClass, classify};
use super::lockstep::{self, Driver, Eye, Plan, Rider};
use super::lots::{self, Event};
use super::trace::Trace;
use super::{RolloutError, SceneSet};
use crate::base::{Cancel, Progress, Proportion};
use crate::policy::Policy;
use crate::sim::geometry::CONTROL_STEP_S;
use crate::sim::{self, Action, Scene, StatePreset, World, WorldState};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
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
}

impl<'a> Pilot<'a> {
    pub(super) fn driver(&self) -> Option<Driver<'a>> {
        match *self {
            Pilot::Expert => None,
            Pilot::Policy { policy, state, execute_steps } => Some(Driver { policy, state, execute_steps }),
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

/// How one scene went.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SceneResult {
    /// Number of the scene in its set.
    pub scene: u32,
    /// Name of its scenario family.
    pub family: String,
    /// Whether every brick ended in the box.
    pub success: bool,
    /// Bricks in the scene.
    pub bricks: u32,
    /// Bricks in the box at the end.
    pub delivered: u32,
    /// Control steps made.
    pub steps: u32,
    /// Why it failed, when it did.
    pub failure: Option<FailureClass>,
    /// Where the rear axle stood at the end.
    pub end_x_m: f32,
    /// See [`end_x_m`](Self::end_x_m).
    pub end_z_m: f32,
    /// Metres driven.
    pub distance_m: f32,
    /// Control steps with a wall or the box touched.
    pub contact_steps: u32,
}

/// What a pilot did on a set of scenes.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Evaluation {
    /// One result per scene, in the set's order.
    pub results: Vec<SceneResult>,
    /// Wall-clock time it took.
    pub seconds: f64,
    /// Whether all scenes of the set were run; false after a cancellation.
    pub finished: bool,
}

impl Evaluation {
    /// Scenes in which every brick was delivered.
    pub fn scenes(&self) -> Proportion {
        count(self.results.iter().map(|result| (u32::from(result.success), 1)))
    }

    /// Bricks delivered of all bricks.
    pub fn bricks(&self) -> Proportion {
        count(self.results.iter().map(|result| (result.delivered, result.bricks)))
    }

    /// Successful scenes by family, in the order of names.
    pub fn per_family(&self) -> Vec<(String, Proportion)> {
        let mut families: BTreeMap<&str, Vec<(u32, u32)>> = BTreeMap::new();
        for result in &self.results {
            families.entry(&result.family).or_default().push((u32::from(result.success), 1));
        }
        families.into_iter().map(|(family, counts)| (family.to_owned(), count(counts.into_iter()))).collect()
    }

    /// Failure classes with their counts, the most frequent first.
    pub fn failures(&self) -> Vec<(FailureClass, u32)> {
        let mut classes: BTreeMap<FailureClass, u32> = BTreeMap::new();
        for class in self.results.iter().filter_map(|result| result.failure) {
            *classes.entry(class).or_default() += 1;
        }
        let mut classes: Vec<_> = classes.into_iter().collect();
        classes.sort_by_key(|(class, n)| (std::cmp::Reverse(*n), *class));
        classes
    }

    /// Numbers of the scenes that failed.
    pub fn failed_scenes(&self) -> Vec<u32> {
        self.results.iter().filter(|result| !result.success).map(|result| result.scene).collect()
    }
}

fn count(pairs: impl Iterator<Item = (u32, u32)>) -> Proportion {
    let (successes, trials) = pairs.fold((0, 0), |(a, b), (c, d)| (a + c, b + d));
    Proportion::new(successes, trials)
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
    let began = Instant::now();
    let driver = pilot.driver();
    if let Some(driver) = &driver {
        driver.check()?;
    }
    let scenes = set.scenes()?;
    let ended = AtomicU64::new(0);
    let work = |lot: usize| -> Result<Vec<SceneResult>, RolloutError> {
        let first = lot * SCENES_PER_LOT;
        let mut riders = Vec::with_capacity(SCENES_PER_LOT);
        for (index, (family, scene)) in scenes.iter().enumerate().skip(first).take(SCENES_PER_LOT) {
            riders.push(Judged::new(index, &family.name, scene, driver.is_some(), options, &ended)?);
        }
        let mut eye = driver.as_ref().map_or_else(|| Eye::new(1, 1), Driver::eye);
        let all = lockstep::run(&mut riders, driver.as_ref(), &mut eye, cancel)?;
        Ok(riders.iter().filter(|rider| all || !rider.is_under_way()).map(Judged::result).collect())
    };
    let mut results: Vec<SceneResult> = Vec::with_capacity(scenes.len());
    lots::in_order(scenes.len().div_ceil(SCENES_PER_LOT), options.threads, cancel, work, |event| {
        if let Event::Lot(lot) = event {
            results.extend(lot);
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

/// A scene that is judged.
pub(super) struct Judged<'a> {
    scene: u32,
    family: &'a str,
    world: World,
    plan: Option<Plan>,
    trace: Trace,
    limit_steps: u32,
    give_up_still_s: f32,
    ended: &'a AtomicU64,
}

impl<'a> Judged<'a> {
    pub(super) fn new(
        scene_index: usize,
        family: &'a str,
        scene: &Scene,
        by_policy: bool,
        options: &RolloutOptions,
        ended: &'a AtomicU64,
    ) -> Result<Self, RolloutError> {
        let world = World::new(scene)?;
        let mut trace = Trace::default();
        trace.record(world.state());
        let seconds = options.seconds_per_brick * world.state().bricks.len() as f32;
        Ok(Self {
            scene: scene_index as u32,
            family,
            world,
            plan: by_policy.then(Plan::default),
            trace,
            limit_steps: (seconds / CONTROL_STEP_S).round() as u32,
            give_up_still_s: options.give_up_still_s,
            ended,
        })
    }

    pub(super) fn state(&self) -> &WorldState {
        self.world.state()
    }

    pub(super) fn steps(&self) -> u32 {
        self.trace.points.len() as u32 - 1
    }

    fn result(&self) -> SceneResult {
        let state = self.world.state();
        let success = self.world.is_done();
        SceneResult {
            scene: self.scene,
            family: self.family.to_owned(),
            success,
            bricks: state.bricks.len() as u32,
            delivered: self.world.delivered() as u32,
            steps: self.steps(),
            failure: (!success).then(|| classify(&self.trace)),
            end_x_m: state.loader.x_m,
            end_z_m: state.loader.z_m,
            distance_m: self.trace.distance_m,
            contact_steps: self.trace.contact_steps,
        }
    }
}

impl Rider for Judged<'_> {
    type Error = RolloutError;

    fn is_under_way(&self) -> bool {
        !self.world.is_done() && self.steps() < self.limit_steps && self.trace.still_s() < self.give_up_still_s
    }

    fn wants_chunk(&self) -> bool {
        self.plan.as_ref().is_some_and(Plan::is_empty)
    }

    fn look(&mut self, eye: &mut Eye) -> (Vec<u8>, &WorldState) {
        (eye.look(self.world.state()), self.world.state())
    }

    fn take_chunk(&mut self, actions: &[Action]) {
        if let Some(plan) = &mut self.plan {
            plan.set(actions.iter().copied());
        }
    }

    fn step(&mut self, _eye: &mut Eye) -> Result<(), RolloutError> {
        let planned = self.plan.as_mut().and_then(Plan::next);
        let action = planned.unwrap_or_else(|| sim::expert(self.world.state()));
        self.world.step(action);
        self.trace.record(self.world.state());
        if !self.is_under_way() {
            self.ended.fetch_add(1, Ordering::Relaxed);
        }
        Ok(())
    }
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
