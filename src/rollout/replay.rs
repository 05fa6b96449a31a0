//! A scene again, from its start and its actions: the same build gives the same states to the bit, without the policy.

use super::evaluate::{Pilot, RolloutOptions};
use super::evaluation::SceneResult;
use super::judged::Judged;
use super::lockstep::{self, Driver, Eye};
use super::trace::Trace;
use super::{RolloutError, SceneSet};
use crate::base::Cancel;
use crate::sim::{Action, Scene, World, WorldState};
use std::sync::atomic::AtomicU64;

/// A scene being repeated.
pub(super) struct Replay<'a> {
    world: World,
    actions: std::slice::Iter<'a, Action>,
}

impl<'a> Replay<'a> {
    pub(super) fn new(scene: &Scene, actions: &'a [Action]) -> Result<Self, RolloutError> {
        Ok(Self { world: World::new(scene)?, actions: actions.iter() })
    }

    /// The state now.
    pub(super) fn state(&self) -> &WorldState {
        self.world.state()
    }

    /// The action that comes next.
    pub(super) fn coming(&self) -> Option<Action> {
        self.actions.as_slice().first().copied()
    }

    /// Carries out the next action; false when there is none left.
    pub(super) fn advance(&mut self) -> bool {
        let Some(action) = self.actions.next() else { return false };
        self.world.step(*action);
        true
    }
}

/// Drives one scene of the set to its end, alone.
///
/// # Errors
/// As [`evaluate`](super::evaluate), and when the set has no such scene.
pub fn drive(
    pilot: &Pilot<'_>,
    set: &SceneSet,
    scene: u32,
    options: &RolloutOptions,
) -> Result<(SceneResult, Trace), RolloutError> {
    let driver = pilot.driver();
    if let Some(driver) = &driver {
        driver.check()?;
    }
    let (family, start) = set.scene(scene)?;
    let ended = AtomicU64::new(0);
    let mut riders = [Judged::new(scene as usize, &family.name, &start, driver.as_ref(), options, &ended)?];
    let mut eye = driver.as_ref().map_or_else(|| Eye::new(1, 1), Driver::eye);
    lockstep::run(&mut riders, driver.as_ref(), &mut eye, &Cancel::default())?;
    let [judged] = riders;
    Ok((judged.result(), judged.into_trace()))
}

/// The trace of a scene whose actions are known.
///
/// # Errors
/// When the scene cannot begin.
pub fn retrace(scene: &Scene, actions: &[Action]) -> Result<Trace, RolloutError> {
    let mut replay = Replay::new(scene, actions)?;
    let mut trace = Trace::default();
    trace.record(replay.state());
    while let Some(action) = replay.coming() {
        replay.advance();
        trace.record_step(action, replay.state());
    }
    Ok(trace)
}

#[cfg(test)]
mod tests {
    use super::super::testing::green_policy;
    use super::*;
    use crate::base::EvaluationSeed;
    use crate::sim::StatePreset;

    #[test]
    fn a_replay_is_the_run_itself() {
        let policy = green_policy();
        let set = SceneSet { seed: EvaluationSeed(5), families: vec![], bricks: 2, scenes: 4 };
        let options = RolloutOptions { seconds_per_brick: 4.0, ..RolloutOptions::default() };
        for pilot in [Pilot::Expert, Pilot::Policy { policy: &policy, state: StatePreset::Full, execute_steps: 3 }] {
            let (_, trace) = drive(&pilot, &set, 3, &options).unwrap();
            let again = retrace(&set.scene(3).unwrap().1, &trace.actions).unwrap();
            assert_eq!(again.points, trace.points);
        }
        assert!(drive(&Pilot::Expert, &set, 4, &options).is_err());
    }
}
