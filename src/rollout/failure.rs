//! Why a scene failed: rules on the privileged trace, the first that holds names the class.
//!
//! The rules look at how the scene ended, as that is what kept it from succeeding, and only then at what went wrong on
//! the way. They are plain thresholds, so that a person can check a verdict against the clip.

use super::trace::{Trace, TracePoint};
use crate::sim::geometry::{
    BOX_CENTRE_M, BOX_HALF_M, BOX_HEIGHT_M, BUCKET_BACK_M, BUCKET_HALF_WIDTH_M, BUCKET_LIP_M, WALL_M,
};
use serde::{Deserialize, Serialize};
use std::fmt;

/// Standing for this long is standing still.
const STILL_S: f32 = 5.0;
/// The end of a scene, where the rules look.
const ENDING_S: f32 = 15.0;
/// This share of steps with contact is pressing against something.
const PRESSING_SHARE: f32 = 0.3;
/// This share of the ending without a brick in sight is searching.
const UNSEEN_SHARE: f32 = 0.7;
/// The bucket's tip within this distance of the box is at the box.
const AT_BOX_M: f32 = 0.6;
/// A bucket lifted higher than this while empty is up for no reason.
const LIFTED_EMPTY_M: f32 = 0.15;
/// A brick this far beyond the lip, or to the side of the mouth, was within reach.
const REACH_M: f32 = 0.4;

/// What kept a scene from succeeding.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FailureClass {
    /// Stands still with a wall touched.
    WallStuck,
    /// Stands still with the bucket half way: loaded at the box below its rim, or empty and off the floor.
    LiftStuck,
    /// A brick lay within the bucket's reach at the end, and was not picked up.
    MissedScoop,
    /// A picked-up brick fell out away from the box, and was not picked up again.
    LostBrick,
    /// Drives about at the end with hardly ever a brick in sight.
    SearchSpin,
    /// Came to the box with a lifted brick and did not drop it in: kept it, or dropped it beside.
    DumpMiss,
    /// Stands still with the box touched.
    BoxCollision,
    /// Stands still, touching nothing.
    Stall,
    /// Was under way when the time was up.
    OutOfTime,
}

impl FailureClass {
    /// Every class.
    pub const ALL: &'static [FailureClass] = &[
        FailureClass::WallStuck,
        FailureClass::LiftStuck,
        FailureClass::MissedScoop,
        FailureClass::LostBrick,
        FailureClass::SearchSpin,
        FailureClass::DumpMiss,
        FailureClass::BoxCollision,
        FailureClass::Stall,
        FailureClass::OutOfTime,
    ];

    /// The name in the store and in JSON.
    pub fn as_str(self) -> &'static str {
        match self {
            FailureClass::WallStuck => "wall_stuck",
            FailureClass::LiftStuck => "lift_stuck",
            FailureClass::MissedScoop => "missed_scoop",
            FailureClass::LostBrick => "lost_brick",
            FailureClass::SearchSpin => "search_spin",
            FailureClass::DumpMiss => "dump_miss",
            FailureClass::BoxCollision => "box_collision",
            FailureClass::Stall => "stall",
            FailureClass::OutOfTime => "out_of_time",
        }
    }

    /// A few words for people.
    pub fn title(self) -> &'static str {
        match self {
            FailureClass::WallStuck => "stuck at a wall",
            FailureClass::LiftStuck => "stuck lifting",
            FailureClass::MissedScoop => "missed the brick",
            FailureClass::LostBrick => "lost the brick",
            FailureClass::SearchSpin => "searched in vain",
            FailureClass::DumpMiss => "missed the box",
            FailureClass::BoxCollision => "stuck at the box",
            FailureClass::Stall => "stood still",
            FailureClass::OutOfTime => "ran out of time",
        }
    }
}

impl fmt::Display for FailureClass {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// Names the class of a scene that failed. A trace without points is out of time.
pub fn classify(trace: &Trace) -> FailureClass {
    let Some(end) = trace.points.last() else {
        return FailureClass::OutOfTime;
    };
    let still = trace.still_s() >= STILL_S;
    let standing = trace.last(trace.still_s().clamp(STILL_S, ENDING_S));
    let pressing = share(standing, |point| point.touching) >= PRESSING_SHARE;

    if end.loaded && tip_to_box_m(end) < AT_BOX_M {
        return if end.lift_m <= BOX_HEIGHT_M { FailureClass::LiftStuck } else { FailureClass::DumpMiss };
    }
    if still && pressing {
        return if box_is_nearer_than_walls(end) { FailureClass::BoxCollision } else { FailureClass::WallStuck };
    }
    if still && !end.loaded && end.lift_m > LIFTED_EMPTY_M {
        return FailureClass::LiftStuck;
    }
    if !end.loaded {
        if let Some(dropped) = last_drop(trace) {
            return if tip_to_box_m(dropped) < AT_BOX_M { FailureClass::DumpMiss } else { FailureClass::LostBrick };
        }
        let ending = trace.last(ENDING_S);
        if ending.iter().any(|point| !still && brick_in_reach(point)) {
            return FailureClass::MissedScoop;
        }
        if !still && share(ending, |point| !sees_brick(point)) >= UNSEEN_SHARE {
            return FailureClass::SearchSpin;
        }
    }
    if still { FailureClass::Stall } else { FailureClass::OutOfTime }
}

fn share(points: &[TracePoint], holds: impl Fn(&TracePoint) -> bool) -> f32 {
    points.iter().filter(|point| holds(point)).count() as f32 / points.len().max(1) as f32
}

fn sees_brick(point: &TracePoint) -> bool {
    point.brick.is_some_and(|brick| brick.visible)
}

/// Whether the nearest brick lay in or just before the lowered bucket's mouth.
fn brick_in_reach(point: &TracePoint) -> bool {
    point.lift_m <= LIFTED_EMPTY_M
        && point.brick.is_some_and(|brick| {
            (BUCKET_BACK_M..BUCKET_LIP_M + REACH_M).contains(&brick.forward_m)
                && brick.left_m.abs() < BUCKET_HALF_WIDTH_M + REACH_M
        })
}

/// The last point with a load that was gone one step later without being delivered, when nothing was picked up since.
fn last_drop(trace: &Trace) -> Option<&TracePoint> {
    let last_change = trace.points.windows(2).rev().find(|pair| pair[0].loaded != pair[1].loaded)?;
    let (before, after) = (&last_change[0], &last_change[1]);
    (before.loaded && after.delivered == before.delivered).then_some(before)
}

/// Distance from the bucket's tip to the box's footprint; 0 above it.
fn tip_to_box_m(point: &TracePoint) -> f32 {
    let (sin, cos) = point.heading_rad.sin_cos();
    let reach = 0.5 * (BUCKET_BACK_M + BUCKET_LIP_M);
    to_box_m(point.x_m + reach * cos, point.z_m + reach * sin)
}

/// Distance from a point to the box's footprint.
fn to_box_m(x_m: f32, z_m: f32) -> f32 {
    let outside = |v: f32| ((v - BOX_CENTRE_M).abs() - BOX_HALF_M).max(0.0);
    outside(x_m).hypot(outside(z_m))
}

/// Whether the bucket's middle is nearer to the box than any part of the loader's ends is to a wall.
fn box_is_nearer_than_walls(point: &TracePoint) -> bool {
    let (sin, cos) = point.heading_rad.sin_cos();
    let ends = [-0.4, 1.0, BUCKET_LIP_M].map(|forward| (point.x_m + forward * cos, point.z_m + forward * sin));
    let wall = ends.iter().map(|(x, z)| WALL_M - x.abs().max(z.abs())).fold(f32::INFINITY, f32::min);
    let to_box = ends.iter().map(|(x, z)| to_box_m(*x, *z)).fold(f32::INFINITY, f32::min);
    to_box < wall
}

#[cfg(test)]
mod tests {
    use super::super::trace::BrickSight;
    use super::*;
    use crate::sim::{BrickState, BrickStatus, LoaderState, WorldState};

    /// Builds a trace by hand: a loader, one brick, changed step by step.
    struct Story {
        state: WorldState,
        trace: Trace,
    }

    impl Story {
        fn new(x_m: f32, z_m: f32, heading_rad: f32) -> Self {
            let brick = BrickState {
                position_m: [5.0, 0.1, 5.0],
                rotation: [0.0, 0.0, 0.0, 1.0],
                half_extents_m: [0.15, 0.1, 0.1],
                colour: 0,
                status: BrickStatus::Free,
            };
            let loader = LoaderState { x_m, z_m, heading_rad, ..LoaderState::default() };
            Self { state: WorldState { loader, bricks: vec![brick], step: 0 }, trace: Trace::default() }
        }

        fn wait(mut self, steps: u32, each: impl Fn(&mut WorldState)) -> Self {
            for _ in 0..steps {
                each(&mut self.state);
                self.trace.record(&self.state);
            }
            self
        }

        fn verdict(self) -> FailureClass {
            classify(&self.trace)
        }
    }

    fn drive(state: &mut WorldState) {
        let (sin, cos) = state.loader.heading_rad.sin_cos();
        state.loader.x_m += 0.1 * cos;
        state.loader.z_m += 0.1 * sin;
    }

    fn brick_at(state: &mut WorldState, forward_m: f32, left_m: f32, status: BrickStatus) {
        let (x, z) = state.loader_point(forward_m, left_m);
        state.bricks[0].position_m = [x, 0.1, z];
        state.bricks[0].status = status;
    }

    fn touch(state: &mut WorldState) {
        state.loader.touching = true;
    }

    #[test]
    fn standing_against_a_wall_is_wall_stuck() {
        assert_eq!(Story::new(6.2, 2.0, 0.0).wait(100, touch).verdict(), FailureClass::WallStuck);
    }

    #[test]
    fn standing_against_the_box_is_box_collision() {
        let at_box = Story::new(-6.0, -3.6, -std::f32::consts::FRAC_PI_2);
        assert_eq!(at_box.wait(100, touch).verdict(), FailureClass::BoxCollision);
    }

    #[test]
    fn standing_with_an_empty_bucket_up_is_lift_stuck() {
        let story = Story::new(0.0, 0.0, 0.0).wait(100, |state| state.loader.lift_m = 0.5);
        assert_eq!(story.verdict(), FailureClass::LiftStuck);
    }

    #[test]
    fn a_load_at_the_box_below_its_rim_is_lift_stuck_and_above_it_dump_miss() {
        for (lift_m, class) in [(0.3, FailureClass::LiftStuck), (0.9, FailureClass::DumpMiss)] {
            let story = Story::new(-6.0, -3.5, -std::f32::consts::FRAC_PI_2).wait(100, |state| {
                state.loader.lift_m = lift_m;
                brick_at(state, 1.4, 0.0, BrickStatus::Held);
            });
            assert_eq!(story.verdict(), class);
        }
    }

    #[test]
    fn a_brick_dropped_beside_the_box_is_dump_miss_and_elsewhere_lost_brick() {
        for (z_m, class) in [(-3.3, FailureClass::DumpMiss), (2.0, FailureClass::LostBrick)] {
            let story = Story::new(-6.0, z_m, -std::f32::consts::FRAC_PI_2)
                .wait(5, |state| brick_at(state, 1.4, 0.0, BrickStatus::Held))
                .wait(5, |state| brick_at(state, 1.4, 0.0, BrickStatus::Free))
                .wait(60, |state| {
                    state.loader.heading_rad = std::f32::consts::FRAC_PI_2;
                    drive(state);
                });
            assert_eq!(story.verdict(), class);
        }
    }

    #[test]
    fn driving_over_a_brick_without_a_load_is_missed_scoop() {
        let story = Story::new(-3.0, 0.0, 0.0)
            .wait(20, |state| {
                drive(state);
                brick_at(state, 1.8, 0.3, BrickStatus::Free);
            })
            .wait(60, drive);
        assert_eq!(story.verdict(), FailureClass::MissedScoop);
    }

    #[test]
    fn circling_without_sight_of_a_brick_is_search_spin() {
        let story = Story::new(-3.0, 0.0, 0.0).wait(200, |state| {
            drive(state);
            state.loader.heading_rad += 0.05;
            brick_at(state, -4.0, 0.0, BrickStatus::Free);
        });
        assert_eq!(story.verdict(), FailureClass::SearchSpin);
    }

    #[test]
    fn standing_in_the_open_is_stall_and_driving_to_a_seen_brick_out_of_time() {
        assert_eq!(Story::new(0.0, 0.0, 0.0).wait(100, |_| ()).verdict(), FailureClass::Stall);
        let approach = Story::new(-5.0, 0.0, 0.0).wait(100, |state| {
            drive(state);
            brick_at(state, 4.0, 0.0, BrickStatus::Free);
        });
        assert_eq!(approach.verdict(), FailureClass::OutOfTime);
    }

    #[test]
    fn sight_is_of_the_nearest_free_brick() {
        let story = Story::new(0.0, 0.0, 0.0).wait(1, |state| brick_at(state, 3.0, 0.5, BrickStatus::Free));
        let sight = story.trace.points[0].brick;
        assert!(matches!(sight, Some(BrickSight { visible: true, .. })), "{sight:?}");
    }

    #[test]
    fn names_are_distinct() {
        let mut names: Vec<_> = FailureClass::ALL.iter().map(|class| class.as_str()).collect();
        names.dedup();
        assert_eq!(names.len(), 9);
    }
}
