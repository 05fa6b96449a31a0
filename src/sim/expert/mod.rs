//! The expert: an ideal driver as a pure function of the privileged state.
//!
//! No hidden phase: what it does next follows from what can be seen now, so that it can label any state and a policy
//! that sees one image can imitate it. It only goes for bricks in the cab camera's view; its one memory is the
//! loader's own speed, which keeps a reversing loader reversing until there is ample room.

mod drive;
mod search;

use super::geometry::{
    BOX_CENTRE_M, BOX_HALF_M, BUCKET_BACK_M, BUCKET_LIP_M, CAB_FORWARD_M, CAB_FOV_RAD, CAB_HEIGHT_M,
    CAB_PITCH_DOWN_RAD, TILT_MAX_RAD,
};
use super::state::{ACTION_DIM, Action, BrickState, BrickStatus, WorldState};
use super::world::{LOW_LIFT_M, OVER_BOX_M, World};
use drive::{Driver, Goal};

/// Where a tipped bucket drops its load, forward of the rear axle.
pub(super) const DROP_M: f32 = 1.8;
/// A load is dropped only this near to the box's centre on both axes.
pub(super) const DROP_ZONE_M: f32 = 0.52;
/// A brick between the hinge and here, forward of the rear axle, is in the bucket.
pub(super) const SCOOP_FROM_M: f32 = BUCKET_BACK_M - 0.05;
/// See [`SCOOP_FROM_M`].
pub(super) const SCOOP_TO_M: f32 = BUCKET_LIP_M - 0.03;
/// How far off the loader's axis a brick in the bucket may be.
const SCOOP_HALF_WIDTH_M: f32 = 0.37;
/// Set-point of the lift when carrying.
const LIFT_HIGH: f32 = 0.95;
/// Lift from which the bucket may be tipped completely over the box.
const TIP_LIFT_M: f32 = 1.17;
/// Bricks farther than this, two pixels wide in an image of 96, are not gone for: a policy would hardly see them.
const SIGHT_M: f32 = 7.0;
/// Share of the camera's half width that counts as seen.
const SIGHT_SHARE: f32 = 0.94;
/// A brick this far before the hinge of a tipped bucket hangs over its lip.
const LET_GO_M: f32 = 0.3;
/// Throttle while reversing.
const REVERSE: f32 = -0.65;

/// What the expert does in this state.
pub fn expert(state: &WorldState) -> Action {
    let driver = Driver::new(state);
    if state.is_loaded() {
        return deliver(state, &driver);
    }
    if let Some(along_m) = falling_out(state, &driver) {
        // What hangs over the lip, on a heap perhaps, is left behind by drawing the bucket away.
        let throttle = if along_m > LET_GO_M && driver.can_reverse(0.0, 0.3) { -0.3 } else { 0.0 };
        return action((0.0, throttle), -1.0, LIFT_HIGH);
    }
    if let Some(leaving) = leave_box(state, &driver) {
        return leaving;
    }
    let mut nearest: Option<(f32, &BrickState)> = None;
    for brick in state.bricks.iter().filter(|b| is_to_fetch(b)) {
        let (forward, left) = driver.pose.local(brick.position_m[0], brick.position_m[2]);
        if is_scooped(state, forward, left) {
            return action((0.0, 0.0), 1.0, -1.0);
        }
        if visible(state, brick) {
            let cost = forward.hypot(left) + 1.5 * left.atan2(forward).abs();
            if nearest.is_none_or(|(best, _)| cost < best) {
                nearest = Some((cost, brick));
            }
        }
    }
    match nearest {
        Some((_, brick)) => fetch(state, &driver, brick),
        None => action(search::search(&driver), 0.0, -1.0),
    }
}

/// The expert's next `steps` actions from here, driven in a fork of the world; `[steering, throttle, bucket, lift]` each.
pub fn expert_chunk(world: &World, steps: usize) -> Vec<[f32; ACTION_DIM]> {
    let mut fork = world.clone();
    let mut actions = Vec::with_capacity(steps);
    for _ in 0..steps {
        let next = expert(fork.state());
        actions.push(next.to_array());
        fork.step(next);
    }
    actions
}

/// Whether a brick is inside the cab camera's view and near enough to be more than a pixel.
pub fn visible(state: &WorldState, brick: &BrickState) -> bool {
    let (forward, left) = state.in_loader_frame(brick.position_m[0], brick.position_m[2]);
    let (ahead, below) = (forward - CAB_FORWARD_M, CAB_HEIGHT_M - brick.position_m[1]);
    let (sin, cos) = CAB_PITCH_DOWN_RAD.sin_cos();
    let depth = ahead * cos + below * sin;
    let down = below * cos - ahead * sin;
    let half = SIGHT_SHARE * (0.5 * CAB_FOV_RAD).tan();
    depth > 0.1 && depth < SIGHT_M && left.abs() < half * depth && down < 0.75 * half * depth
}

fn action((steering, throttle): (f32, f32), bucket: f32, lift: f32) -> Action {
    Action { steering, throttle, bucket, lift }
}

/// Free and not in the box: what fell there is about to count.
fn is_to_fetch(brick: &BrickState) -> bool {
    let [x, _, z] = brick.position_m;
    let in_box = (x - BOX_CENTRE_M).abs() < BOX_HALF_M && (z - BOX_CENTRE_M).abs() < BOX_HALF_M;
    brick.status == BrickStatus::Free && !in_box
}

/// A brick lies in the mouth of a low bucket: curling will hold it.
fn is_scooped(state: &WorldState, forward: f32, left: f32) -> bool {
    let loader = &state.loader;
    loader.lift_m < LOW_LIFT_M - 0.05
        && loader.tilt > -0.15
        && (SCOOP_FROM_M..SCOOP_TO_M).contains(&forward)
        && left.abs() < SCOOP_HALF_WIDTH_M
}

/// How far before the hinge a brick lies that is still sliding out of a raised, tipped bucket; the hindmost of several.
fn falling_out(state: &WorldState, driver: &Driver) -> Option<f32> {
    let loader = &state.loader;
    if loader.tilt >= -0.1 || loader.lift_m <= OVER_BOX_M {
        return None;
    }
    let angle = loader.tilt * TILT_MAX_RAD;
    let lip_m = (BUCKET_LIP_M - BUCKET_BACK_M + 0.1) * angle.cos();
    let sliding = state.bricks.iter().filter(|brick| brick.status == BrickStatus::Free).filter_map(|brick| {
        let [x, y, z] = brick.position_m;
        let (forward_m, left_m) = driver.pose.local(x, z);
        let along_m = forward_m - BUCKET_BACK_M;
        let on_floor = along_m < lip_m && y > loader.lift_m + along_m * angle.tan();
        (along_m > -0.3 && on_floor && left_m.abs() < 0.6).then_some(along_m)
    });
    sliding.reduce(f32::min)
}

/// With a load: raise it, drive to the box, tip it there.
fn deliver(state: &WorldState, driver: &Driver) -> Action {
    let loader = &state.loader;
    let off_axis = load_off_axis(state, driver);
    let over_zone = driver.is_over_zone(&driver.pose, off_axis, DROP_ZONE_M);
    if over_zone && loader.lift_m > TIP_LIFT_M {
        let still = loader.speed_mps.abs() < 0.45;
        return action((0.0, 0.0), if still { -1.0 } else { 1.0 }, LIFT_HIGH);
    }
    let gap = driver.pose.box_clearance();
    if loader.lift_m < OVER_BOX_M && gap < 0.5 {
        // Too low beside the box: make room while lifting.
        let throttle = if driver.can_reverse(0.0, 0.3) { -0.4 } else { 0.0 };
        return action((0.0, throttle), 1.0, LIFT_HIGH);
    }
    if over_zone {
        return action((0.0, 0.0), 1.0, LIFT_HIGH);
    }
    let mut speed = (0.35 + 0.45 * gap.max(0.0)).min(1.0);
    if loader.lift_m < OVER_BOX_M + 0.06 && gap < 1.0 {
        speed = 0.0;
    }
    action(driver.towards(BOX_CENTRE_M, BOX_CENTRE_M, Goal::Drop { off_axis }, speed), 1.0, LIFT_HIGH)
}

/// How far left of the axis the load lies; the outermost of several.
fn load_off_axis(state: &WorldState, driver: &Driver) -> f32 {
    let held = state.bricks.iter().filter(|b| b.status == BrickStatus::Held);
    held.map(|b| driver.pose.local(b.position_m[0], b.position_m[2]).1)
        .fold(0.0, |outermost: f32, left| if left.abs() > outermost.abs() { left } else { outermost })
}

/// An empty raised bucket at or over the box first backs away from it.
fn leave_box(state: &WorldState, driver: &Driver) -> Option<Action> {
    let lift_m = state.loader.lift_m;
    let gap = driver.pose.bucket_box_clearance();
    if lift_m < 0.12 || gap > 0.2 || !driver.can_reverse(0.0, 0.2) {
        return None;
    }
    let lift = if gap < 0.05 && lift_m > 0.5 { LIFT_HIGH } else { -1.0 };
    Some(action((0.0, REVERSE), 0.0, lift))
}

/// Drives to a brick with the bucket flat on the ground.
fn fetch(state: &WorldState, driver: &Driver, brick: &BrickState) -> Action {
    let [x, _, z] = brick.position_m;
    let ready = state.loader.lift_m < 0.12 && state.loader.tilt.abs() < 0.3;
    let (forward, left) = driver.pose.local(x, z);
    let gap = forward - (SCOOP_TO_M - 0.1);
    let mut speed = (0.3 + 0.5 * gap.max(0.0)).min(1.0);
    if !ready {
        speed = if gap < 0.9 { 0.0 } else { speed.min(0.5) };
    }
    let (steering, mut throttle) = driver.towards(x, z, Goal::Scoop, speed);
    let under_bucket = gap < 0.4 && forward > 0.5 && left.abs() < 0.9;
    if !ready && under_bucket && throttle >= 0.0 && driver.can_reverse(0.0, 0.3) {
        throttle = -0.4;
    }
    action((steering, throttle), 0.0, -1.0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::Seed;
    use crate::sim::geometry::LIFT_MAX_M;
    use crate::sim::{bad_start, families};

    #[test]
    fn the_carrying_height_is_enough_to_tip() {
        const { assert!(LIFT_HIGH > 2.0 * TIP_LIFT_M / LIFT_MAX_M - 1.0) };
    }

    #[test]
    fn a_chunk_is_what_the_expert_then_does() {
        let mut world = World::new(&families()[0].sample(2, &mut Seed(4).rng()).unwrap()).unwrap();
        for _ in 0..3 {
            let chunk = expert_chunk(&world, 20);
            for expected in chunk {
                let next = expert(world.state());
                assert_eq!(next.to_array(), expected);
                world.step(next);
            }
        }
    }

    #[test]
    fn actions_are_within_their_range_from_any_state() {
        for index in 0..80 {
            let mut world = World::new(&bad_start(families(), 3, &mut Seed(index).rng()).unwrap()).unwrap();
            for _ in 0..20 {
                let next = expert(world.state());
                assert!(next.to_array().iter().all(|v| v.is_finite() && v.abs() <= 1.0), "{next:?}");
                world.step(next);
            }
        }
    }

    #[test]
    fn a_brick_behind_or_beside_the_cab_is_not_seen() {
        let mut world = families()[0].sample(1, &mut Seed(4).rng()).unwrap();
        let mut state = WorldState { bricks: vec![world.bricks.remove(0)], ..WorldState::default() };
        for (x, z, seen) in
            [(5.0, 0.0, true), (-3.0, 0.0, false), (2.0, 6.0, false), (0.6, 0.0, false), (15.0, 0.0, false)]
        {
            state.bricks[0].position_m = [x, 0.1, z];
            assert_eq!(visible(&state, &state.bricks[0]), seen, "({x}, {z})");
        }
    }
}
