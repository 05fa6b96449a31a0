//! One scene under way: its world, what is to be carried out next, and the trace by which it is judged.

use super::evaluation::SceneResult;
use super::failure::classify;
use super::lockstep::{Driver, Eye, Plan, Rider};
use super::trace::Trace;
use super::{Execution, RolloutError, RolloutOptions};
use crate::policy::TemporalEnsembler;
use crate::sim::geometry::CONTROL_STEP_S;
use crate::sim::{self, Action, Scene, World, WorldState};
use std::sync::atomic::{AtomicU64, Ordering};

/// A scene that is judged.
pub(super) struct Judged<'a> {
    scene: u32,
    family: &'a str,
    world: World,
    /// None: the expert drives.
    plan: Option<Plan>,
    /// Averages the chunks, where that is how they are executed.
    ensembler: Option<TemporalEnsembler>,
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
        driver: Option<&Driver<'_>>,
        options: &RolloutOptions,
        ended: &'a AtomicU64,
    ) -> Result<Self, RolloutError> {
        let world = World::new(scene)?;
        let mut trace = Trace::default();
        trace.record(world.state());
        let ensembler = driver.and_then(|driver| match driver.execution {
            Execution::Steps(_) => None,
            Execution::Ensemble { coefficient } => {
                Some(TemporalEnsembler::new(coefficient, driver.policy.config().chunk_size))
            }
        });
        let seconds = options.seconds_per_brick * world.state().bricks.len() as f32;
        Ok(Self {
            scene: scene_index as u32,
            family,
            world,
            plan: driver.map(|_| Plan::default()),
            ensembler,
            trace,
            limit_steps: (seconds / CONTROL_STEP_S).round() as u32,
            give_up_still_s: options.give_up_still_s,
            ended,
        })
    }

    pub(super) fn steps(&self) -> u32 {
        self.trace.points.len() as u32 - 1
    }

    /// The trace so far.
    pub(super) fn into_trace(self) -> Trace {
        self.trace
    }

    pub(super) fn result(&self) -> SceneResult {
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
        let Some(plan) = &mut self.plan else { return };
        match &mut self.ensembler {
            None => plan.set(actions.iter().copied()),
            Some(ensembler) => {
                let chunk: Vec<_> = actions.iter().map(|action| action.to_array()).collect();
                plan.set(ensembler.update(&chunk).map(Action::from_array));
            }
        }
    }

    fn step(&mut self, _eye: &mut Eye) -> Result<(), RolloutError> {
        let planned = self.plan.as_mut().and_then(Plan::next);
        let action = planned.unwrap_or_else(|| sim::expert(self.world.state()));
        self.world.step(action);
        self.trace.record_step(action, self.world.state());
        if !self.is_under_way() {
            self.ended.fetch_add(1, Ordering::Relaxed);
        }
        Ok(())
    }
}
