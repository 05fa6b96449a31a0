//! What happened in one scene, as far as the diagnosis needs it: one small point per control step.
//!
//! Points are read from the privileged state after each step. The policy never sees any of this.

use crate::sim::geometry::CONTROL_STEP_S;
use crate::sim::{Action, BrickStatus, WorldState};

/// Moving further than this from where one stood is motion.
const MOVED_M: f32 = 0.25;
/// So is lifting by more than this …
const LIFTED_M: f32 = 0.1;
/// … or tilting the bucket by more than this share of its range.
const TILTED: f32 = 0.3;

/// The nearest free brick as the loader sees it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct BrickSight {
    /// Distance ahead of the rear axle; negative behind it.
    pub forward_m: f32,
    /// Distance to the side.
    pub left_m: f32,
    /// Whether the cab camera sees it.
    pub visible: bool,
}

/// One control step.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct TracePoint {
    /// Rear axle on the ground plane.
    pub x_m: f32,
    /// See [`x_m`](Self::x_m).
    pub z_m: f32,
    /// Heading.
    pub heading_rad: f32,
    /// Height of the bucket's floor.
    pub lift_m: f32,
    /// Bucket tilt in `[-1, 1]`.
    pub tilt: f32,
    /// Whether a wall or the box was touched.
    pub touching: bool,
    /// Whether a brick is held.
    pub loaded: bool,
    /// Bricks delivered so far.
    pub delivered: u32,
    /// The nearest free brick; none when all are held or delivered.
    pub brick: Option<BrickSight>,
}

impl TracePoint {
    fn of(state: &WorldState) -> Self {
        let loader = &state.loader;
        let brick = state
            .bricks
            .iter()
            .filter(|brick| brick.status == BrickStatus::Free)
            .map(|brick| {
                let (forward_m, left_m) = state.in_loader_frame(brick.position_m[0], brick.position_m[2]);
                BrickSight { forward_m, left_m, visible: crate::sim::visible(state, brick) }
            })
            .min_by(|a, b| a.forward_m.hypot(a.left_m).total_cmp(&b.forward_m.hypot(b.left_m)));
        Self {
            x_m: loader.x_m,
            z_m: loader.z_m,
            heading_rad: loader.heading_rad,
            lift_m: loader.lift_m,
            tilt: loader.tilt,
            touching: loader.touching,
            loaded: state.is_loaded(),
            delivered: (state.bricks.len() - state.remaining()) as u32,
            brick,
        }
    }
}

/// A scene's points in order, with what is counted on the way.
#[derive(Debug, Clone, Default)]
pub struct Trace {
    /// One point per control step, the first before the first action. Bounded by the scene's time limit.
    pub points: Vec<TracePoint>,
    /// The action before each point but the first. With the scene they repeat the trace to the bit.
    pub actions: Vec<Action>,
    /// Metres driven, forward and in reverse.
    pub distance_m: f32,
    /// Control steps with a wall or the box touched.
    pub contact_steps: u32,
    stillness: Stillness,
}

impl Trace {
    /// Adds a control step: its action and the state after it.
    pub fn record_step(&mut self, action: Action, state: &WorldState) {
        self.actions.push(action);
        self.record(state);
    }

    /// Adds the state after a control step; the first call adds the state the scene begins with.
    pub fn record(&mut self, state: &WorldState) {
        let point = TracePoint::of(state);
        if let Some(last) = self.points.last() {
            self.distance_m += (point.x_m - last.x_m).hypot(point.z_m - last.z_m);
            self.contact_steps += u32::from(point.touching);
        }
        self.stillness.observe(state);
        self.points.push(point);
    }

    /// How long nothing has moved, up to the last point.
    pub fn still_s(&self) -> f32 {
        self.stillness.still_s()
    }

    /// The points of the last `seconds`, or all of them when the scene was shorter.
    pub fn last(&self, seconds: f32) -> &[TracePoint] {
        let steps = (seconds / CONTROL_STEP_S).round() as usize;
        &self.points[self.points.len().saturating_sub(steps.max(1))..]
    }
}

/// Notices that nothing moves: neither the loader by more than a hand, nor its lift or bucket.
#[derive(Debug, Clone, Default)]
pub(crate) struct Stillness {
    anchor: Option<[f32; 4]>,
    steps: u32,
}

impl Stillness {
    /// Takes the state after one control step.
    pub(crate) fn observe(&mut self, state: &WorldState) {
        let loader = &state.loader;
        let now = [loader.x_m, loader.z_m, loader.lift_m, loader.tilt];
        match self.anchor {
            Some([x, z, lift, tilt])
                if (now[0] - x).hypot(now[1] - z) <= MOVED_M
                    && (now[2] - lift).abs() <= LIFTED_M
                    && (now[3] - tilt).abs() <= TILTED =>
            {
                self.steps += 1;
            }
            Some(_) | None => {
                self.anchor = Some(now);
                self.steps = 0;
            }
        }
    }

    /// Seconds since the last motion.
    pub(crate) fn still_s(&self) -> f32 {
        self.steps as f32 * CONTROL_STEP_S
    }

    /// Counts from now again, as after a change of who drives.
    pub(crate) fn reset(&mut self) {
        *self = Self::default();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sim::LoaderState;

    fn at(x_m: f32) -> WorldState {
        WorldState { loader: LoaderState { x_m, ..LoaderState::default() }, ..WorldState::default() }
    }

    #[test]
    fn stillness_counts_from_the_last_motion() {
        let mut trace = Trace::default();
        for x_m in [0.0, 0.5, 1.0, 1.1, 1.2] {
            trace.record(&at(x_m));
        }
        assert!((trace.still_s() - 0.2).abs() < 1e-6);
        assert!((trace.distance_m - 1.2).abs() < 1e-6);
    }

    #[test]
    fn dithering_on_the_spot_is_no_motion() {
        let mut trace = Trace::default();
        for step in 0..50 {
            trace.record(&at(if step % 2 == 0 { 0.0 } else { 0.2 }));
        }
        assert!((trace.still_s() - 4.9).abs() < 1e-4);
        assert_eq!(trace.last(1.0).len(), 10);
        assert_eq!(trace.last(100.0).len(), 50);
    }
}
