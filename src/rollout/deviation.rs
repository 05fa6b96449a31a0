//! When and where a failed scene first went wrong.
//!
//! The run is repeated, and at every state that was visited the expert is asked what it would do there. Two things end
//! the good part of a run, whichever comes first: from some moment on the actions differ *persistently* from the
//! expert's (a few steps are normal: a chunk lags behind, and the expert itself switches), or progress ends: neither
//! a delivery, nor a pick-up, nor coming nearer to what has to be reached. What lies before the last delivered brick is
//! forgiven, since it did not keep that brick from being delivered.

use super::RolloutError;
use super::replay::Replay;
use crate::sim::geometry::{BOX_CENTRE_M, BUCKET_LIP_M, CONTROL_STEP_S};
use crate::sim::{self, ACTION_DIM, Action, BrickStatus, Scene, WorldState};
use serde::{Deserialize, Serialize};
use std::fmt;

/// An action further than this from the expert's on some axis, of a range of 2, is another action.
const DIFFERS: f32 = 0.5;
/// Another action persists when it fills this share …
const PERSISTENT_SHARE: f32 = 0.85;
/// … of so many steps.
const WINDOW_STEPS: usize = 30;
/// Coming nearer by this share of the scale of distances is progress.
const NEARER: f32 = 0.02;
/// Distances count on this scale.
const SCALE_M: f32 = 4.0;
/// A brick this near ahead of the rear axle is being scooped, a box this near is being served.
const NEAR_M: f32 = BUCKET_LIP_M + 0.8;

/// What the loader was about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Phase {
    /// No brick in view.
    Search,
    /// Towards a brick in view.
    Approach,
    /// The brick is right before the bucket.
    Scoop,
    /// Loaded, on the way to the box.
    Carry,
    /// Loaded, at the box.
    Dump,
}

impl Phase {
    /// Every phase, in the order of the task.
    pub const ALL: &'static [Phase] = &[Phase::Search, Phase::Approach, Phase::Scoop, Phase::Carry, Phase::Dump];

    /// What the loader is about in this state.
    pub fn of(state: &WorldState) -> Phase {
        let goal_m = goal_distance_m(state);
        if state.is_loaded() {
            return if goal_m < NEAR_M { Phase::Dump } else { Phase::Carry };
        }
        let in_view = state.bricks.iter().any(|brick| brick.status == BrickStatus::Free && sim::visible(state, brick));
        match (in_view, goal_m < NEAR_M) {
            (_, true) => Phase::Scoop,
            (true, false) => Phase::Approach,
            (false, false) => Phase::Search,
        }
    }

    /// A word for people.
    pub fn as_str(self) -> &'static str {
        match self {
            Phase::Search => "search",
            Phase::Approach => "approach",
            Phase::Scoop => "scoop",
            Phase::Carry => "carry",
            Phase::Dump => "dump",
        }
    }
}

impl fmt::Display for Phase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// What ended the good part of the run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DeviationKind {
    /// The actions differ persistently from the expert's.
    ActionsDiffer,
    /// Nothing got nearer to success any more.
    ProgressEnds,
}

/// The first deviation of a run.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Deviation {
    /// Control step of the scene.
    pub step: u32,
    /// Where the rear axle stood.
    pub x_m: f32,
    /// See [`x_m`](Self::x_m).
    pub z_m: f32,
    /// What the loader was about.
    pub phase: Phase,
    /// What ended the good part.
    pub kind: DeviationKind,
    /// What was done over the next three seconds, on average: `[steering, throttle, bucket, lift]`.
    pub done: [f32; ACTION_DIM],
    /// What the expert would have done in the same states, on average.
    pub expert: [f32; ACTION_DIM],
}

/// The names of an action's numbers.
const AXES: [&str; ACTION_DIM] = ["steering", "throttle", "bucket", "lift"];

impl Deviation {
    /// Seconds since the scene began.
    pub fn time_s(&self) -> f32 {
        self.step as f32 * CONTROL_STEP_S
    }

    /// The axis that differs most: its name, what was done, what the expert would have done.
    pub fn axis(&self) -> (&'static str, f32, f32) {
        let gap = |axis: usize| (self.done[axis] - self.expert[axis]).abs();
        let axis = (0..ACTION_DIM).max_by(|a, b| gap(*a).total_cmp(&gap(*b))).unwrap_or(0);
        (AXES[axis], self.done[axis], self.expert[axis])
    }
}

impl fmt::Display for Deviation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (axis, done, expert) = self.axis();
        let what = match self.kind {
            DeviationKind::ActionsDiffer => "acts otherwise",
            DeviationKind::ProgressEnds => "gets no further",
        };
        write!(
            f,
            "{:.1} s at ({:.1}, {:.1}), {}: {what}, {axis} {done:+.1} where the expert has {expert:+.1}",
            self.time_s(),
            self.x_m,
            self.z_m,
            self.phase
        )
    }
}

/// One visited state, as the search for the deviation sees it.
struct Visit {
    x_m: f32,
    z_m: f32,
    phase: Phase,
    delivered: usize,
    progress: f32,
    done: [f32; ACTION_DIM],
    expert: [f32; ACTION_DIM],
}

impl Visit {
    fn of(state: &WorldState, action: Action) -> Self {
        Self {
            x_m: state.loader.x_m,
            z_m: state.loader.z_m,
            phase: Phase::of(state),
            delivered: state.bricks.len() - state.remaining(),
            progress: progress(state),
            done: action.to_array(),
            expert: sim::expert(state).to_array(),
        }
    }

    fn differs(&self) -> bool {
        self.done.iter().zip(self.expert).any(|(done, expert)| (done - expert).abs() > DIFFERS)
    }
}

/// Finds where a run first went wrong; none for a run without actions, or when neither thing happened.
///
/// # Errors
/// When the scene cannot begin.
pub fn first_deviation(scene: &Scene, actions: &[Action]) -> Result<Option<Deviation>, RolloutError> {
    let (visits, delivered_at_end) = visits(scene, actions)?;
    let forgiven = visits.iter().rposition(|visit| visit.delivered < delivered_at_end).map_or(0, |step| step + 1);
    let counted = &visits[forgiven..];
    let differs = persistent(counted).map(|step| (step, DeviationKind::ActionsDiffer));
    let ends = last_progress(counted).map(|step| (step, DeviationKind::ProgressEnds));
    let first = differs.into_iter().chain(ends).min_by_key(|(step, _)| *step);
    Ok(first.map(|(step, kind)| deviation(&visits, forgiven + step, kind)))
}

/// Whether a run ever did persistently other than the expert, forgiven or not: how often solved runs do is what the
/// rule is to be measured by.
///
/// # Errors
/// When the scene cannot begin.
pub fn differs_persistently(scene: &Scene, actions: &[Action]) -> Result<bool, RolloutError> {
    Ok(persistent(&visits(scene, actions)?.0).is_some())
}

/// Every state of the run with what was done there, and the bricks delivered at the end.
fn visits(scene: &Scene, actions: &[Action]) -> Result<(Vec<Visit>, usize), RolloutError> {
    let mut replay = Replay::new(scene, actions)?;
    let mut visits = Vec::with_capacity(actions.len());
    while let Some(action) = replay.coming() {
        visits.push(Visit::of(replay.state(), action));
        replay.advance();
    }
    Ok((visits, replay.state().bricks.len() - replay.state().remaining()))
}

/// The first step from which another action fills most of a window, and that itself is another one.
fn persistent(visits: &[Visit]) -> Option<usize> {
    let differs: Vec<bool> = visits.iter().map(Visit::differs).collect();
    let needed = (PERSISTENT_SHARE * WINDOW_STEPS as f32).ceil() as usize;
    differs
        .windows(WINDOW_STEPS)
        .position(|window| window[0] && window.iter().filter(|differs| **differs).count() >= needed)
}

/// The step after which progress never rose again; none when it rose to the end.
fn last_progress(visits: &[Visit]) -> Option<usize> {
    let (mut best, mut at) = (f32::NEG_INFINITY, 0);
    for (step, visit) in visits.iter().enumerate() {
        if visit.progress > best + NEARER {
            (best, at) = (visit.progress, step);
        }
    }
    (at + WINDOW_STEPS < visits.len()).then_some(at)
}

fn deviation(visits: &[Visit], step: usize, kind: DeviationKind) -> Deviation {
    let window = &visits[step..visits.len().min(step + WINDOW_STEPS)];
    let mean = |of: fn(&Visit) -> &[f32; ACTION_DIM]| {
        std::array::from_fn(|axis| window.iter().map(|visit| of(visit)[axis]).sum::<f32>() / window.len() as f32)
    };
    let at = &visits[step];
    Deviation {
        step: step as u32,
        x_m: at.x_m,
        z_m: at.z_m,
        phase: at.phase,
        kind,
        done: mean(|visit| &visit.done),
        expert: mean(|visit| &visit.expert),
    }
}

/// Rises towards success: by deliveries, by a pick-up, and by coming nearer to what has to be reached next.
fn progress(state: &WorldState) -> f32 {
    let delivered = (state.bricks.len() - state.remaining()) as f32;
    let loaded = if state.is_loaded() { 1.0 } else { 0.0 };
    2.0 * delivered + loaded + 0.9 * (-goal_distance_m(state) / SCALE_M).exp()
}

/// From the rear axle to the box when loaded, else to the nearest free brick.
fn goal_distance_m(state: &WorldState) -> f32 {
    let loader = &state.loader;
    let to = |x: f32, z: f32| (x - loader.x_m).hypot(z - loader.z_m);
    if state.is_loaded() {
        return to(BOX_CENTRE_M, BOX_CENTRE_M);
    }
    let free = state.bricks.iter().filter(|brick| brick.status == BrickStatus::Free);
    free.map(|brick| to(brick.position_m[0], brick.position_m[2])).fold(f32::INFINITY, f32::min)
}

#[cfg(test)]
mod tests {
    use super::super::{Pilot, RolloutOptions, SceneSet, drive};
    use super::*;
    use crate::base::EvaluationSeed;

    fn scene() -> (Scene, Vec<Action>) {
        let set =
            SceneSet { seed: EvaluationSeed(3), families: vec![("open_floor".to_owned(), 1.0)], bricks: 1, scenes: 1 };
        let (result, trace) = drive(&Pilot::Expert, &set, 0, &RolloutOptions::default()).unwrap();
        assert!(result.success);
        (set.scene(0).unwrap().1, trace.actions)
    }

    #[test]
    fn the_expert_never_deviates_from_itself() {
        let (scene, actions) = scene();
        assert_eq!(first_deviation(&scene, &actions).unwrap(), None);
        assert_eq!(first_deviation(&scene, &[]).unwrap(), None);
    }

    #[test]
    fn a_driver_who_stops_deviates_where_it_stops() {
        let (scene, mut actions) = scene();
        let half = actions.len() / 2;
        actions.truncate(half);
        actions.extend([Action { lift: -1.0, ..Action::default() }; 120]);
        let found = first_deviation(&scene, &actions).unwrap().unwrap();
        assert!((half as i64 - i64::from(found.step)).abs() <= 8, "{found} where it stopped at step {half}");
        assert!(found.to_string().contains("expert"), "{found}");
    }

    #[test]
    fn what_comes_after_the_last_window_is_not_judged() {
        let (scene, mut actions) = scene();
        actions.truncate(WINDOW_STEPS / 2);
        assert_eq!(first_deviation(&scene, &actions).unwrap(), None);
    }
}
