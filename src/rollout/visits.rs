//! The states that a run visited, from its scene and its actions.

use super::evaluate::{Pilot, RolloutOptions, evaluate_each};
use super::replay::Replay;
use super::{RolloutError, SceneSet};
use crate::base::Cancel;
use crate::sim::{Action, Scene, WorldState};

/// Every `every`-th state of a run, the first one included.
///
/// # Errors
/// When the scene cannot begin.
pub fn visited_states(scene: &Scene, actions: &[Action], every: usize) -> Result<Vec<WorldState>, RolloutError> {
    let mut replay = Replay::new(scene, actions)?;
    let mut states = Vec::with_capacity(actions.len() / every.max(1) + 1);
    for step in 0..=actions.len() {
        if step.is_multiple_of(every.max(1)) {
            states.push(replay.state().clone());
        }
        replay.advance();
    }
    Ok(states)
}

/// Drives the set and gives every `every`-th state of all its scenes.
///
/// # Errors
/// As [`evaluate`](super::evaluate).
pub fn sampled_states(
    pilot: &Pilot<'_>,
    set: &SceneSet,
    options: &RolloutOptions,
    every: usize,
) -> Result<Vec<WorldState>, RolloutError> {
    let scenes = set.scenes()?;
    let mut states = Vec::new();
    evaluate_each(pilot, set, options, &Cancel::default(), &mut |_| (), &mut |result, trace| {
        if let Some((_, scene)) = scenes.get(result.scene as usize) {
            states.extend(visited_states(scene, &trace.actions, every)?);
        }
        Ok(())
    })?;
    Ok(states)
}
