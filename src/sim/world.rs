//! The world: controllers, bucket and bricks around the physics engine, one control step at a time.
//!
//! The plain state is the truth. The engine runs only while something can touch something: far from everything the
//! loader follows the bicycle model in closed form, which is what the solver would do without contacts. A fork shares
//! the engine until one of the two needs it.

use super::SimError;
use super::engine::{Engine, PHYSICS_STEP_S, brick_in_bucket, carry};
use super::footprint::{GroundPose, wrap_rad};
use super::geometry::{
    BODY_HALF_WIDTH_M, BODY_REAR_M, BOX_CENTRE_M, BOX_HALF_M, BOX_HEIGHT_M, BOX_SIDE_M, BUCKET_BACK_M,
    BUCKET_HALF_WIDTH_M, BUCKET_HEIGHT_M, BUCKET_LIP_M, LIFT_MAX_M, PHYSICS_STEPS_PER_CONTROL, SPEED_MAX_MPS,
    STEERING_MAX_RAD, TILT_MAX_RAD, WALL_M, WHEELBASE_M,
};
use super::scenario::Scene;
use super::state::{Action, BrickState, BrickStatus, LoaderState, WorldState};
use rapier3d::math::{Pose, Vector};
use std::sync::Arc;

/// How fast the steering follows its set-point.
const STEERING_RATE_RADPS: f32 = 1.6;
/// How fast the speed follows its set-point.
const ACCELERATION_MPS2: f32 = 2.5;
/// How fast the lift follows its set-point.
const LIFT_RATE_MPS: f32 = 0.7;
/// How fast the tilt follows its set-point, in units of its range per second.
const TILT_RATE_PER_S: f32 = 2.0;
/// A bucket floor above this cannot pick up.
pub const LOW_LIFT_M: f32 = 0.25;
/// Curled this far a bucket begins to hold what lies in it.
pub const HOLD_TILT: f32 = 0.12;
/// Curled this far it holds also without curling further.
const FIRM_TILT: f32 = 0.5;
/// Tipped this far it lets go.
pub const RELEASE_TILT: f32 = -0.2;
/// Lowest part of the bucket when it may pass over the box.
pub const OVER_BOX_M: f32 = BOX_HEIGHT_M + 0.04;
/// Nearer than this to something, the physics engine runs.
const NEAR_M: f32 = 0.08;
/// Physics steps that must pass in rest before the engine pauses.
const SETTLING_STEPS: u8 = 8;
/// A heap of bricks in the box may be this much higher than its rim.
const HEAP_M: f32 = 0.3;
/// A settled load lies at most this far before the bucket's back.
const SETTLED_FORWARD_M: f32 = 0.36;
/// A settled load lies at most this far beside the bucket's middle.
const SETTLED_ASIDE_M: f32 = 0.22;
/// The most bricks of a scene.
pub const BRICKS_MAX: usize = 10;

/// A running scene. `clone` forks it: both go on byte-equal under the same actions.
#[derive(Clone)]
pub struct World {
    state: WorldState,
    /// Pose in the bucket's frame of each held brick.
    holds: Vec<Option<Pose>>,
    /// Physics steps the engine still has to run before the bricks count as resting.
    settling: u8,
    /// Bit `i` is set while the brick numbered `i` rests.
    resting: u16,
    engine: Arc<Engine>,
}

impl World {
    /// Begins a scene.
    ///
    /// # Errors
    /// [`SimError::BadScene`] for no or more than ten bricks, or a number that is not finite.
    pub fn new(scene: &Scene) -> Result<Self, SimError> {
        check(scene)?;
        let mut loader = scene.loader;
        loader.heading_rad = wrap_rad(loader.heading_rad);
        loader.lift_m = loader.lift_m.clamp(0.0, LIFT_MAX_M);
        loader.tilt = loader.tilt.clamp(lowest_tilt(loader.lift_m), 1.0);
        loader.speed_mps = loader.speed_mps.clamp(-SPEED_MAX_MPS, SPEED_MAX_MPS);
        loader.steering_rad = loader.steering_rad.clamp(-STEERING_MAX_RAD, STEERING_MAX_RAD);
        let mut bricks = scene.bricks.clone();
        let mut holds = vec![None; bricks.len()];
        for (brick, hold) in bricks.iter_mut().zip(&mut holds) {
            if brick.status == BrickStatus::Held {
                let pose = held_pose(&loader, brick);
                carry(&loader, &pose, brick);
                *hold = Some(pose);
            }
        }
        let mut engine = Engine::new(&loader, &bricks);
        for (index, hold) in holds.iter().enumerate() {
            if hold.is_some() {
                engine.take(index);
            }
        }
        let state = WorldState { loader, bricks, step: 0 };
        Ok(Self { state, holds, settling: SETTLING_STEPS, resting: 0, engine: Arc::new(engine) })
    }

    /// One control step of 0.1 s.
    pub fn step(&mut self, action: Action) {
        let action = Action::from_array(action.to_array());
        self.state.loader.touching = false;
        for _ in 0..PHYSICS_STEPS_PER_CONTROL {
            self.physics_step(&action);
        }
        for (index, (brick, hold)) in self.state.bricks.iter_mut().zip(&mut self.holds).enumerate() {
            if let Some(pose) = hold {
                settle_in_bucket(&mut pose.translation, self.state.loader.tilt);
                carry(&self.state.loader, pose, brick);
            } else if brick.status == BrickStatus::Free && lies_in_box(brick, self.resting >> index & 1 == 1) {
                brick.status = BrickStatus::Delivered;
            }
        }
        self.state.step = self.state.step.saturating_add(1);
    }

    /// Everything the simulator knows.
    pub fn state(&self) -> &WorldState {
        &self.state
    }

    /// Whether every brick lies in the box.
    pub fn is_done(&self) -> bool {
        self.state.remaining() == 0
    }

    /// Bricks in the box.
    pub fn delivered(&self) -> usize {
        self.state.bricks.len() - self.state.remaining()
    }

    fn physics_step(&mut self, action: &Action) {
        let before_tilt = self.state.loader.tilt;
        let loader = &mut self.state.loader;
        let approach = |now: f32, target: f32, rate: f32| {
            now + (target - now).clamp(-rate * PHYSICS_STEP_S, rate * PHYSICS_STEP_S)
        };
        loader.steering_rad = approach(loader.steering_rad, action.steering * STEERING_MAX_RAD, STEERING_RATE_RADPS);
        loader.speed_mps = approach(loader.speed_mps, action.throttle * SPEED_MAX_MPS, ACCELERATION_MPS2);
        let lift = approach(loader.lift_m, (action.lift + 1.0) * 0.5 * LIFT_MAX_M, LIFT_RATE_MPS);
        let tilt = approach(loader.tilt, action.bucket, TILT_RATE_PER_S);
        move_bucket(loader, lift, tilt);
        let turn_radps = loader.speed_mps / WHEELBASE_M * loader.steering_rad.tan();

        if self.settling > 0 || self.is_near_something() {
            let holds = &self.holds;
            let outcome = Arc::make_mut(&mut self.engine).step(
                &mut self.state.loader,
                turn_radps,
                &mut self.state.bricks,
                |index| holds[index].is_some(),
            );
            self.state.loader.touching |= outcome.touching;
            self.resting = outcome.resting;
            self.settling = if outcome.bricks_move { SETTLING_STEPS } else { self.settling.saturating_sub(1) };
        } else {
            self.resting = u16::MAX;
            glide(&mut self.state.loader, turn_radps);
        }
        self.update_holds(self.state.loader.tilt > before_tilt);
    }

    /// Whether the solver could have anything to do this step.
    fn is_near_something(&self) -> bool {
        let loader = &self.state.loader;
        let pose = GroundPose::of(loader);
        if pose.clearance(lowest_point(loader.lift_m, loader.tilt) > OVER_BOX_M) < NEAR_M {
            return true;
        }
        self.state.bricks.iter().any(|brick| {
            if brick.status != BrickStatus::Free {
                return false;
            }
            let (forward, left) = pose.local(brick.position_m[0], brick.position_m[2]);
            let [a, b, c] = brick.half_extents_m;
            let room = NEAR_M + (a * a + b * b + c * c).sqrt();
            forward > BODY_REAR_M - room
                && forward < BUCKET_LIP_M + room
                && left.abs() < BODY_HALF_WIDTH_M + 0.03 + room
        })
    }

    /// Takes hold of bricks in a curling bucket, lets go of them in a tipped one.
    fn update_holds(&mut self, curling: bool) {
        let loader = self.state.loader;
        let tips = loader.tilt < RELEASE_TILT;
        let grips = loader.lift_m < LOW_LIFT_M && loader.tilt > HOLD_TILT && (curling || loader.tilt > FIRM_TILT);
        if !tips && !grips {
            return;
        }
        for (index, (brick, hold)) in self.state.bricks.iter_mut().zip(&mut self.holds).enumerate() {
            match (brick.status, *hold) {
                (BrickStatus::Held, Some(pose)) if tips => {
                    carry(&loader, &pose, brick);
                    *hold = None;
                    brick.status = BrickStatus::Free;
                    let (sin, cos) = loader.heading_rad.sin_cos();
                    let v = loader.speed_mps;
                    Arc::make_mut(&mut self.engine).release(index, brick, [v * cos, 0.0, v * sin]);
                    self.settling = SETTLING_STEPS;
                }
                (BrickStatus::Free, None) if grips => {
                    let pose = brick_in_bucket(&loader, brick);
                    if is_in_mouth(pose.translation) {
                        brick.status = BrickStatus::Held;
                        *hold = Some(pose);
                        Arc::make_mut(&mut self.engine).take(index);
                    }
                }
                (BrickStatus::Held | BrickStatus::Free | BrickStatus::Delivered, _) => {}
            }
        }
    }
}

/// The bicycle model without contacts: the rear axle moves along the heading.
fn glide(loader: &mut LoaderState, turn_radps: f32) {
    let (sin, cos) = loader.heading_rad.sin_cos();
    loader.x_m += loader.speed_mps * cos * PHYSICS_STEP_S;
    loader.z_m += loader.speed_mps * sin * PHYSICS_STEP_S;
    loader.heading_rad = wrap_rad(loader.heading_rad + turn_radps * PHYSICS_STEP_S);
}

/// Moves lift and tilt as far as ground and box allow; a move that gives more room is always allowed.
fn move_bucket(loader: &mut LoaderState, lift_m: f32, tilt: f32) {
    if lift_m == loader.lift_m && tilt == loader.tilt {
        return;
    }
    let now = lowest_point(loader.lift_m, loader.tilt);
    let descends = lift_m < loader.lift_m || tilt < loader.tilt;
    let over_box = descends && now > BOX_HEIGHT_M && GroundPose::of(loader).bucket_box_clearance() < 0.03;
    let floor = if over_box { OVER_BOX_M } else { -0.001 };
    let after_lift = lowest_point(lift_m, loader.tilt);
    if after_lift >= floor || after_lift >= now {
        loader.lift_m = lift_m;
    }
    let before_tilt = lowest_point(loader.lift_m, loader.tilt);
    let after_tilt = lowest_point(loader.lift_m, tilt);
    if after_tilt >= floor || after_tilt >= before_tilt {
        loader.tilt = tilt;
    }
}

/// Height of the lower end of the bucket's floor.
pub fn lowest_point(lift_m: f32, tilt: f32) -> f32 {
    lift_m + (BUCKET_LIP_M - BUCKET_BACK_M) * (tilt.min(0.0) * TILT_MAX_RAD).sin()
}

/// The tilt at which the lip of a bucket at this height reaches the ground.
fn lowest_tilt(lift_m: f32) -> f32 {
    let sine = lift_m / (BUCKET_LIP_M - BUCKET_BACK_M);
    if sine >= 1.0 { -1.0 } else { (-sine.asin() / TILT_MAX_RAD).max(-1.0) }
}

/// Whether a point of the bucket's frame is in its mouth volume.
fn is_in_mouth(at: Vector) -> bool {
    (-0.05..BUCKET_LIP_M - BUCKET_BACK_M + 0.02).contains(&at.x)
        && (-0.06..BUCKET_HEIGHT_M + 0.1).contains(&at.y)
        && at.z.abs() < BUCKET_HALF_WIDTH_M
}

/// Where a brick that starts held lies in the bucket: where it is, or in the middle if it is not in the bucket.
fn held_pose(loader: &LoaderState, brick: &BrickState) -> Pose {
    let pose = brick_in_bucket(loader, brick);
    if is_in_mouth(pose.translation) {
        pose
    } else {
        Pose::translation(0.5 * (BUCKET_LIP_M - BUCKET_BACK_M), brick.half_extents_m[1], 0.0)
    }
}

/// In a curled bucket the load slides to the back and to the middle.
fn settle_in_bucket(at: &mut Vector, tilt: f32) {
    const SLIDE_M: f32 = 0.03;
    if tilt < FIRM_TILT {
        return;
    }
    at.x -= (at.x - SETTLED_FORWARD_M).clamp(0.0, SLIDE_M);
    at.z -= (at.z - at.z.clamp(-SETTLED_ASIDE_M, SETTLED_ASIDE_M)).clamp(-SLIDE_M, SLIDE_M);
}

/// Inside the box's sides; a brick at rest may lie on a heap that is a little higher than the rim.
fn lies_in_box(brick: &BrickState, at_rest: bool) -> bool {
    let [x, y, z] = brick.position_m;
    let inner = BOX_HALF_M - BOX_SIDE_M;
    let top = if at_rest { BOX_HEIGHT_M + HEAP_M } else { BOX_HEIGHT_M };
    (x - BOX_CENTRE_M).abs() < inner && (z - BOX_CENTRE_M).abs() < inner && y < top
}

fn check(scene: &Scene) -> Result<(), SimError> {
    let bad = |reason: String| Err(SimError::BadScene { family: scene.family.clone(), reason });
    if scene.bricks.is_empty() || scene.bricks.len() > BRICKS_MAX {
        return bad(format!("{} bricks; 1 to {BRICKS_MAX} are possible", scene.bricks.len()));
    }
    let l = &scene.loader;
    if ![l.x_m, l.z_m, l.heading_rad, l.speed_mps, l.steering_rad, l.lift_m, l.tilt].iter().all(|v| v.is_finite()) {
        return bad("a number of the loader is not finite".to_owned());
    }
    if l.x_m.abs() > WALL_M || l.z_m.abs() > WALL_M {
        return bad(format!("the loader at ({}, {}) is outside the walls at ±{WALL_M}", l.x_m, l.z_m));
    }
    for (index, brick) in scene.bricks.iter().enumerate() {
        let values = brick.position_m.iter().chain(&brick.rotation).chain(&brick.half_extents_m);
        if !values.clone().all(|v| v.is_finite()) || brick.half_extents_m.iter().any(|h| *h < 0.02 || *h > 0.4) {
            return bad(format!("brick {index} has a number that is not finite or a half extent outside 0.02–0.4 m"));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::Seed;
    use crate::sim::{expert, families};

    fn bits(state: &WorldState) -> Vec<u8> {
        serde_json::to_vec(state).unwrap()
    }

    fn world(family: usize, bricks: usize, seed: u64) -> World {
        let scene = families()[family].sample(bricks, &mut Seed(seed).rng()).unwrap();
        World::new(&scene).unwrap()
    }

    #[test]
    fn the_same_actions_give_the_same_bytes() {
        for family in 0..families().len() {
            let (mut a, mut b) = (world(family, 3, 7), world(family, 3, 7));
            for _ in 0..150 {
                let action = expert(a.state());
                a.step(action);
                b.step(action);
                assert_eq!(bits(a.state()), bits(b.state()));
            }
        }
    }

    #[test]
    fn a_fork_goes_on_as_its_original_does() {
        for (family, forked_at) in [(0, 0), (1, 40), (7, 90), (11, 60)] {
            let mut original = world(family, 3, 3);
            for _ in 0..forked_at {
                original.step(expert(original.state()));
            }
            let mut fork = original.clone();
            let mut expected = Vec::new();
            for _ in 0..200 {
                original.step(expert(original.state()));
                expected.push(bits(original.state()));
            }
            for bytes in expected {
                fork.step(expert(fork.state()));
                assert_eq!(bits(fork.state()), bytes);
            }
        }
    }

    #[test]
    fn a_wall_stops_the_loader_and_its_speed() {
        let mut scene = families()[0].sample(1, &mut Seed(1).rng()).unwrap();
        scene.loader = LoaderState { x_m: 4.0, z_m: 6.0, ..LoaderState::default() };
        scene.bricks[0].position_m = [0.0, 0.1, -5.0];
        let mut world = World::new(&scene).unwrap();
        for _ in 0..40 {
            world.step(Action { throttle: 1.0, lift: -1.0, ..Action::default() });
        }
        let loader = world.state().loader;
        assert!((loader.x_m + BUCKET_LIP_M - WALL_M).abs() < 0.03, "{loader:?}");
        assert!(loader.touching && loader.speed_mps < 0.1, "{loader:?}");
    }

    #[test]
    fn curling_holds_lifting_carries_and_tipping_lets_go() {
        let mut scene = families()[0].sample(1, &mut Seed(1).rng()).unwrap();
        scene.loader = LoaderState::default();
        scene.bricks[0].position_m = [1.6, scene.bricks[0].half_extents_m[1], 0.0];
        let mut world = World::new(&scene).unwrap();
        let run = |world: &mut World, bucket: f32, lift: f32| {
            for _ in 0..30 {
                world.step(Action { bucket, lift, ..Action::default() });
            }
            world.state().bricks[0]
        };
        assert_eq!(run(&mut world, 1.0, -1.0).status, BrickStatus::Held);
        let carried = run(&mut world, 1.0, 1.0);
        assert!(carried.status == BrickStatus::Held && carried.position_m[1] > LIFT_MAX_M, "{carried:?}");
        let dropped = run(&mut world, -1.0, 1.0);
        assert!(dropped.status == BrickStatus::Free && dropped.position_m[1] < 0.3, "{dropped:?}");
    }

    #[test]
    fn a_flat_bucket_passes_under_a_brick_and_the_back_pushes_it() {
        let mut scene = families()[0].sample(1, &mut Seed(1).rng()).unwrap();
        scene.loader = LoaderState::default();
        scene.bricks[0].position_m = [2.3, scene.bricks[0].half_extents_m[1], 0.0];
        let mut world = World::new(&scene).unwrap();
        for _ in 0..12 {
            world.step(Action { throttle: 0.5, lift: -1.0, ..Action::default() });
        }
        assert!((world.state().bricks[0].position_m[0] - 2.3).abs() < 0.02, "{:?}", world.state());
        for _ in 0..30 {
            world.step(Action { throttle: 0.5, lift: -1.0, ..Action::default() });
        }
        assert!(world.state().bricks[0].position_m[0] > 3.0, "{:?}", world.state());
    }

    #[test]
    fn a_raised_bucket_does_not_come_down_onto_the_box() {
        let mut scene = families()[0].sample(1, &mut Seed(1).rng()).unwrap();
        scene.loader = LoaderState {
            x_m: -4.0,
            z_m: -6.0,
            heading_rad: std::f32::consts::PI,
            lift_m: 1.2,
            ..LoaderState::default()
        };
        let mut world = World::new(&scene).unwrap();
        for _ in 0..40 {
            world.step(Action { lift: -1.0, bucket: -1.0, ..Action::default() });
        }
        let loader = world.state().loader;
        assert!(lowest_point(loader.lift_m, loader.tilt) > BOX_HEIGHT_M, "{loader:?}");
    }

    #[test]
    fn bad_scenes_are_refused_with_the_reason() {
        let scene = families()[0].sample(1, &mut Seed(1).rng()).unwrap();
        let empty = Scene { bricks: Vec::new(), ..scene.clone() };
        assert!(World::new(&empty).is_err_and(|e| e.to_string().contains("0 bricks")));
        let mut nan = scene;
        nan.loader.x_m = f32::NAN;
        assert!(World::new(&nan).is_err_and(|e| e.to_string().contains("not finite")));
    }

    #[test]
    fn worlds_move_between_threads() {
        fn is_send<T: Send>() {}
        is_send::<World>();
    }
}
