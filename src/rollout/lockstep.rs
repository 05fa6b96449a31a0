//! Many worlds stepped together, so that the policy is asked for a batch of chunks at once.
//!
//! A [`Rider`] is a world and whatever drives it. In each round the riders that have nothing left to execute are shown
//! to the policy, at most [`MAX_BATCH`] at a time; then every rider makes one control step. Pictures are only rendered
//! when somebody needs them. Which riders share a run decides the batches, never how many threads there are.

use super::{Execution, RolloutError};
use crate::base::Cancel;
use crate::policy::{Observation, Policy};
use crate::render::{Camera, Renderer};
use crate::sim::{ACTION_DIM, Action, StatePreset, WorldState};
use std::collections::VecDeque;

/// Observations in one call of the policy.
pub(crate) const MAX_BATCH: usize = 32;

/// The cab camera with its canvas; one per thread.
pub(crate) struct Eye {
    renderer: Renderer,
}

impl Eye {
    /// An eye for images of this size in pixels.
    pub(crate) fn new(width: usize, height: usize) -> Self {
        Self { renderer: Renderer::new(Camera::cab(width, height)) }
    }

    /// What the cab sees: RGB bytes, `H·W·3`.
    pub(crate) fn look(&mut self, state: &WorldState) -> Vec<u8> {
        let mut rgb = vec![0; self.renderer.frame_len()];
        self.renderer.render(state, &mut rgb);
        rgb
    }
}

/// The part of a chunk that is still to be executed.
#[derive(Debug, Clone, Default)]
pub(crate) struct Plan(VecDeque<Action>);

impl Plan {
    /// Replaces what was left.
    pub(crate) fn set(&mut self, actions: impl IntoIterator<Item = Action>) {
        self.0.clear();
        self.0.extend(actions);
    }

    /// Forgets what was left.
    pub(crate) fn clear(&mut self) {
        self.0.clear();
    }

    /// Whether the policy must be asked before the next step.
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The next action.
    pub(crate) fn next(&mut self) -> Option<Action> {
        self.0.pop_front()
    }
}

/// A policy with how it is used in closed loop.
#[derive(Clone, Copy)]
pub(crate) struct Driver<'a> {
    /// The policy.
    pub(crate) policy: &'a Policy,
    /// The state numbers it was trained on.
    pub(crate) state: StatePreset,
    /// How its chunks become actions.
    pub(crate) execution: Execution,
}

impl Driver<'_> {
    /// Refuses what cannot be driven.
    pub(crate) fn check(&self) -> Result<(), RolloutError> {
        self.policy.check_drivable()?;
        let config = self.policy.config();
        if let Some(problem) = self.execution.problem(config.chunk_size) {
            return Err(RolloutError::Order(problem));
        }
        if config.state_dim != self.state.dim() {
            return Err(RolloutError::Order(format!(
                "the policy wants {} state numbers, the preset {:?} has {}",
                config.state_dim,
                self.state,
                self.state.dim()
            )));
        }
        Ok(())
    }

    /// Actions of a chunk that a rider is given: those it carries out, or all of them to average.
    fn given(&self, chunk: usize) -> usize {
        match self.execution {
            Execution::Steps(steps) => chunk.min(steps as usize),
            Execution::Ensemble { .. } => chunk,
        }
    }

    /// An eye for the images the policy was trained on.
    pub(crate) fn eye(&self) -> Eye {
        let (height, width) = self.policy.config().image_size().unwrap_or_default();
        Eye::new(width, height)
    }
}

/// A world under way.
pub(crate) trait Rider {
    /// What can go wrong on the way.
    type Error: From<RolloutError>;

    /// Whether another step should be made.
    fn is_under_way(&self) -> bool;
    /// Whether the policy must be asked before the next step.
    fn wants_chunk(&self) -> bool;
    /// What the cab sees now, and the privileged state it goes with.
    fn look(&mut self, eye: &mut Eye) -> (Vec<u8>, &WorldState);
    /// Takes what the policy wants to execute next.
    fn take_chunk(&mut self, actions: &[Action]);
    /// Makes one control step.
    fn step(&mut self, eye: &mut Eye) -> Result<(), Self::Error>;
}

/// Drives the riders until none is under way. Without a driver no rider may want a chunk.
///
/// Returns whether all came to their end: false when `cancel` stopped them on the way.
///
/// # Errors
/// When the policy fails, answers with numbers that are not finite, or a rider cannot go on.
pub(crate) fn run<R: Rider>(
    riders: &mut [R],
    driver: Option<&Driver<'_>>,
    eye: &mut Eye,
    cancel: &Cancel,
) -> Result<bool, R::Error> {
    while riders.iter().any(Rider::is_under_way) {
        if cancel.is_cancelled() {
            return Ok(false);
        }
        if let Some(driver) = driver {
            let mut waiting: Vec<&mut R> =
                riders.iter_mut().filter(|rider| rider.is_under_way() && rider.wants_chunk()).collect();
            for batch in waiting.chunks_mut(MAX_BATCH) {
                ask(batch, driver, eye)?;
            }
        }
        for rider in riders.iter_mut().filter(|rider| rider.is_under_way()) {
            rider.step(eye)?;
        }
    }
    Ok(true)
}

fn ask<R: Rider>(batch: &mut [&mut R], driver: &Driver<'_>, eye: &mut Eye) -> Result<(), RolloutError> {
    let seen: Vec<(Vec<u8>, Vec<f32>)> = batch
        .iter_mut()
        .map(|rider| {
            let (image, state) = rider.look(eye);
            (image, state.observation(driver.state))
        })
        .collect();
    let observations: Vec<Observation<'_>> = seen.iter().map(|(image, state)| Observation { image, state }).collect();
    let chunks = driver.policy.act(&observations)?;
    for (rider, chunk) in batch.iter_mut().zip(chunks) {
        let given = &chunk[..driver.given(chunk.len())];
        rider.take_chunk(&given.iter().map(to_action).collect::<Result<Vec<_>, _>>()?);
    }
    Ok(())
}

fn to_action(values: &[f32; ACTION_DIM]) -> Result<Action, RolloutError> {
    if values.iter().all(|value| value.is_finite()) {
        Ok(Action::from_array(*values))
    } else {
        Err(RolloutError::Output(format!("{values:?}")))
    }
}
