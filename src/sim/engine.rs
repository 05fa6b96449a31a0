//! The rapier3d side of the world: arena, box, loader and bricks as bodies and colliders.
//!
//! The loader is a dynamic body locked to planar motion whose velocity is set before every physics step, so that
//! contact with walls, box and bricks is the solver's. Its centre of mass lies in the rear axle, the point the
//! bicycle model moves. Lift and tilt re-pose the bucket's colliders.

use super::footprint::wrap_rad;
use super::geometry::{
    BODY_FRONT_M, BODY_HALF_WIDTH_M, BODY_REAR_M, BOX_CENTRE_M, BOX_HALF_M, BOX_HEIGHT_M, BOX_SIDE_M, BUCKET_BACK_M,
    BUCKET_HALF_WIDTH_M, BUCKET_HEIGHT_M, BUCKET_LIP_HALF_WIDTH_M, BUCKET_LIP_M, BUCKET_SIDE_M, CONTROL_STEP_S,
    PHYSICS_STEPS_PER_CONTROL, TILT_MAX_RAD, WALL_M,
};
use super::state::{BrickState, LoaderState};
use rapier3d::math::{Pose, Rotation, Vector};
use rapier3d::prelude::{
    BroadPhaseBvh, CCDSolver, CoefficientCombineRule, ColliderBuilder, ColliderHandle, ColliderSet, Group,
    ImpulseJointSet, IntegrationParameters, InteractionGroups, InteractionTestMode, IslandManager, LockedAxes,
    MassProperties, MultibodyJointSet, NarrowPhase, PhysicsPipeline, RigidBody, RigidBodyBuilder, RigidBodyHandle,
    RigidBodySet, SoftBodySet,
};

/// One physics step.
pub const PHYSICS_STEP_S: f32 = CONTROL_STEP_S / PHYSICS_STEPS_PER_CONTROL as f32;
/// A brick slower than this counts as resting.
const RESTING_MPS: f32 = 0.02;
/// A brick turning slower than this counts as resting.
const RESTING_RADPS: f32 = 0.1;
/// Heavy against a brick, so that pushing one does not slow the loader.
const LOADER_MASS_KG: f32 = 2000.0;
/// A brick is never faster than this: the solver would otherwise shoot one that is squeezed between bucket and wall
/// through the wall.
const BRICK_SPEED_MAX_MPS: f32 = 6.0;
/// A brick whose centre lies this much lower than that of a flat one was pressed through the floor.
const SUNK_M: f32 = 0.08;
const BRICK_DENSITY: f32 = 120.0;
const BRICK_FRICTION: f32 = 0.6;
/// Steel that bricks slide out of when the bucket tips.
const BUCKET_FRICTION: f32 = 0.05;
const GROUND: Group = Group::GROUP_1;
const STATIC: Group = Group::GROUP_2;
const LOADER: Group = Group::GROUP_3;
const BRICK: Group = Group::GROUP_4;
/// Colliders of the loader: body, arm, bucket floor, back and two sides.
const PARTS: usize = 6;
/// The first collider that moves with the lift.
const FIRST_MOVING_PART: usize = 1;

/// What the bucket's colliders were last posed for.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Posed {
    x_m: f32,
    z_m: f32,
    heading_rad: f32,
    lift_m: f32,
    tilt: f32,
}

/// What a physics step did.
#[derive(Debug, Clone, Copy, Default)]
pub struct Outcome {
    /// The loader touches a wall or the box.
    pub touching: bool,
    /// Some brick still moves.
    pub bricks_move: bool,
    /// Bit `i` is set when the brick numbered `i` rests; bricks that are carried never do.
    pub resting: u16,
}

/// Bodies, colliders and solver of one world.
pub struct Engine {
    gravity: Vector,
    parameters: IntegrationParameters,
    pipeline: PhysicsPipeline,
    islands: IslandManager,
    broad_phase: BroadPhaseBvh,
    narrow_phase: NarrowPhase,
    bodies: RigidBodySet,
    colliders: ColliderSet,
    impulse_joints: ImpulseJointSet,
    multibody_joints: MultibodyJointSet,
    soft_bodies: SoftBodySet,
    ccd: CCDSolver,
    loader: RigidBodyHandle,
    parts: [ColliderHandle; PARTS],
    bricks: Vec<RigidBodyHandle>,
    posed: Posed,
}

impl Clone for Engine {
    /// A fork: the pipeline is workspace only, so the copy gets a fresh one.
    fn clone(&self) -> Self {
        Self {
            gravity: self.gravity,
            parameters: self.parameters,
            pipeline: PhysicsPipeline::new(),
            islands: self.islands.clone(),
            broad_phase: self.broad_phase.clone(),
            narrow_phase: self.narrow_phase.clone(),
            bodies: self.bodies.clone(),
            colliders: self.colliders.clone(),
            impulse_joints: self.impulse_joints.clone(),
            multibody_joints: self.multibody_joints.clone(),
            soft_bodies: self.soft_bodies.clone(),
            ccd: self.ccd.clone(),
            loader: self.loader,
            parts: self.parts,
            bricks: self.bricks.clone(),
            posed: self.posed,
        }
    }
}

impl Engine {
    /// Builds the arena with a loader and bricks. The order of insertion is part of determinism.
    pub fn new(loader: &LoaderState, bricks: &[BrickState]) -> Self {
        let mut bodies = RigidBodySet::new();
        let mut colliders = ColliderSet::new();
        insert_arena(&mut colliders);
        let posed = Posed {
            x_m: loader.x_m,
            z_m: loader.z_m,
            heading_rad: loader.heading_rad,
            lift_m: loader.lift_m,
            tilt: loader.tilt,
        };
        let (loader_handle, parts) = insert_loader(&mut bodies, &mut colliders, &posed);
        let bricks = bricks.iter().map(|brick| insert_brick(&mut bodies, &mut colliders, brick)).collect();
        let parameters = IntegrationParameters {
            dt: PHYSICS_STEP_S,
            num_solver_iterations: 2,
            max_ccd_substeps: 0,
            contact_clustering: false,
            ..IntegrationParameters::default()
        };
        Self {
            gravity: Vector::new(0.0, -9.81, 0.0),
            parameters,
            pipeline: PhysicsPipeline::new(),
            islands: IslandManager::new(),
            broad_phase: BroadPhaseBvh::new(),
            narrow_phase: NarrowPhase::new(),
            bodies,
            colliders,
            impulse_joints: ImpulseJointSet::new(),
            multibody_joints: MultibodyJointSet::new(),
            soft_bodies: SoftBodySet::new(),
            ccd: CCDSolver::new(),
            loader: loader_handle,
            parts,
            bricks,
            posed,
        }
    }

    /// One physics step with the loader driven at `speed` and `turn_radps`; writes the new poses back.
    /// Bricks for which `held` says yes are left alone.
    pub fn step(
        &mut self,
        loader: &mut LoaderState,
        turn_radps: f32,
        bricks: &mut [BrickState],
        held: impl Fn(usize) -> bool,
    ) -> Outcome {
        self.drive(loader, turn_radps);
        self.pipeline.step(
            self.gravity,
            &self.parameters,
            &mut self.islands,
            &mut self.broad_phase,
            &mut self.narrow_phase,
            &mut self.bodies,
            &mut self.colliders,
            &mut self.impulse_joints,
            &mut self.multibody_joints,
            &mut self.soft_bodies,
            &mut self.ccd,
            &(),
            &(),
        );
        self.read_loader(loader);
        let mut outcome = Outcome { touching: self.touches_static(), ..Outcome::default() };
        for (index, brick) in bricks.iter_mut().enumerate() {
            if held(index) {
                continue;
            }
            let Some(body) = self.bodies.get_mut(self.bricks[index]) else { continue };
            keep_in_arena(body, brick.half_extents_m[1]);
            let (position, rotation) = (body.translation(), body.rotation());
            brick.position_m = [position.x, position.y, position.z];
            brick.rotation = [rotation.x, rotation.y, rotation.z, rotation.w];
            let moves =
                !body.is_sleeping() && (body.linvel().length() > RESTING_MPS || body.angvel().length() > RESTING_RADPS);
            outcome.bricks_move |= moves;
            outcome.resting |= u16::from(!moves) << index;
        }
        outcome
    }

    /// Takes a brick out of the physics: it is carried.
    pub fn take(&mut self, brick: usize) {
        if let Some(body) = self.bodies.get_mut(self.bricks[brick]) {
            body.set_enabled(false);
        }
    }

    /// Gives a carried brick back to the physics, moving with the loader.
    pub fn release(&mut self, index: usize, brick: &BrickState, velocity_mps: [f32; 3]) {
        if let Some(body) = self.bodies.get_mut(self.bricks[index]) {
            body.set_enabled(true);
            body.set_position(brick_pose(brick), true);
            body.set_linvel(Vector::from(velocity_mps), true);
            body.set_angvel(Vector::ZERO, true);
        }
    }

    /// Brings the loader's body and bucket to where the state says, with the velocity of the bicycle model.
    fn drive(&mut self, loader: &LoaderState, turn_radps: f32) {
        let (sin, cos) = loader.heading_rad.sin_cos();
        let Some(body) = self.bodies.get_mut(self.loader) else { return };
        let posed = &mut self.posed;
        if (posed.x_m, posed.z_m, posed.heading_rad) != (loader.x_m, loader.z_m, loader.heading_rad) {
            body.set_position(loader_pose(loader.x_m, loader.z_m, loader.heading_rad), true);
        }
        body.set_linvel(Vector::new(loader.speed_mps * cos, 0.0, loader.speed_mps * sin), true);
        body.set_angvel(Vector::new(0.0, -turn_radps, 0.0), true);
        if (posed.lift_m, posed.tilt) != (loader.lift_m, loader.tilt) {
            (posed.lift_m, posed.tilt) = (loader.lift_m, loader.tilt);
            let poses = part_poses(loader.lift_m, loader.tilt);
            for (handle, pose) in self.parts.iter().zip(poses).skip(FIRST_MOVING_PART) {
                if let Some(collider) = self.colliders.get_mut(*handle) {
                    collider.set_position_wrt_parent(pose);
                }
            }
        }
    }

    /// The loader as the solver left it: the speed that really came about goes back to the controller.
    fn read_loader(&mut self, loader: &mut LoaderState) {
        let Some(body) = self.bodies.get(self.loader) else { return };
        let (position, rotation, velocity) = (body.translation(), body.rotation(), body.linvel());
        loader.x_m = position.x;
        loader.z_m = position.z;
        loader.heading_rad = wrap_rad(-2.0 * rotation.y.atan2(rotation.w));
        let (sin, cos) = loader.heading_rad.sin_cos();
        let moved = velocity.x * cos + velocity.z * sin;
        let wanted = loader.speed_mps;
        loader.speed_mps = if wanted >= 0.0 { moved.clamp(0.0, wanted) } else { moved.clamp(wanted, 0.0) };
        self.posed = Posed { x_m: loader.x_m, z_m: loader.z_m, heading_rad: loader.heading_rad, ..self.posed };
    }

    /// Whether some part of the loader is in contact with a wall or the box.
    fn touches_static(&self) -> bool {
        self.parts.iter().any(|part| {
            self.narrow_phase.contact_pairs_with(*part).any(|pair| {
                let other = if pair.collider1 == *part { pair.collider2 } else { pair.collider1 };
                self.colliders.get(other).is_some_and(|c| c.parent().is_none()) && pair.has_any_active_contact()
            })
        })
    }
}

/// A brick that is squeezed may shoot off, but not out of the arena.
fn keep_in_arena(body: &mut RigidBody, half_height_m: f32) {
    let speed = body.linvel().length();
    if speed > BRICK_SPEED_MAX_MPS {
        body.set_linvel(body.linvel() * (BRICK_SPEED_MAX_MPS / speed), false);
    }
    let at = body.translation();
    let (inside, floor) = (WALL_M - half_height_m, half_height_m - SUNK_M);
    if at.x.abs() > WALL_M || at.z.abs() > WALL_M || at.y < floor {
        let back = Vector::new(at.x.clamp(-inside, inside), at.y.max(half_height_m), at.z.clamp(-inside, inside));
        body.set_translation(back, true);
        body.set_linvel(Vector::ZERO, true);
        body.set_angvel(Vector::ZERO, true);
    }
}

fn groups(own: Group, with: Group) -> InteractionGroups {
    InteractionGroups::new(own, with, InteractionTestMode::And)
}

fn insert_arena(colliders: &mut ColliderSet) {
    let slab = |hx: f32, hy: f32, hz: f32, x: f32, y: f32, z: f32| {
        ColliderBuilder::cuboid(hx, hy, hz).translation(Vector::new(x, y, z))
    };
    colliders.insert(
        slab(WALL_M + 1.0, 0.5, WALL_M + 1.0, 0.0, -0.5, 0.0)
            .friction(BRICK_FRICTION)
            .collision_groups(groups(GROUND, BRICK)),
    );
    let fixed = |builder: ColliderBuilder| {
        builder
            .friction(0.0)
            .friction_combine_rule(CoefficientCombineRule::Min)
            .collision_groups(groups(STATIC, LOADER | BRICK))
    };
    for side in [-1.0, 1.0] {
        let at = side * (WALL_M + 0.5);
        colliders.insert(fixed(slab(0.5, 2.5, WALL_M + 1.0, at, 1.5, 0.0)));
        colliders.insert(fixed(slab(WALL_M + 1.0, 2.5, 0.5, 0.0, 1.5, at)));
    }
    let (c, half, thick, high) = (BOX_CENTRE_M, BOX_HALF_M, BOX_SIDE_M / 2.0, BOX_HEIGHT_M / 2.0);
    for side in [-1.0, 1.0] {
        let at = c + side * (half - thick);
        colliders.insert(fixed(slab(thick, high, half, at, high, c)));
        colliders.insert(fixed(slab(half, high, thick, c, high, at)));
    }
    colliders
        .insert(slab(half, 0.01, half, c, 0.01, c).friction(BRICK_FRICTION).collision_groups(groups(STATIC, BRICK)));
}

fn insert_loader(
    bodies: &mut RigidBodySet,
    colliders: &mut ColliderSet,
    posed: &Posed,
) -> (RigidBodyHandle, [ColliderHandle; PARTS]) {
    let inertia = Vector::new(LOADER_MASS_KG, LOADER_MASS_KG, LOADER_MASS_KG);
    let body = RigidBodyBuilder::dynamic()
        .pose(loader_pose(posed.x_m, posed.z_m, posed.heading_rad))
        .locked_axes(LockedAxes::TRANSLATION_LOCKED_Y | LockedAxes::ROTATION_LOCKED_X | LockedAxes::ROTATION_LOCKED_Z)
        .additional_mass_properties(MassProperties::new(Vector::ZERO, LOADER_MASS_KG, inertia))
        .gravity_scale(0.0)
        .can_sleep(false);
    let handle = bodies.insert(body);
    let reach = BUCKET_LIP_M - BUCKET_BACK_M;
    let half_extents = [
        Vector::new((BODY_FRONT_M - BODY_REAR_M) / 2.0, 0.45, BODY_HALF_WIDTH_M),
        Vector::new(0.25, 0.06, 0.06),
        Vector::new(reach / 2.0, 0.01, BUCKET_LIP_HALF_WIDTH_M),
        Vector::new(0.02, BUCKET_HEIGHT_M / 2.0, BUCKET_HALF_WIDTH_M),
        Vector::new(BUCKET_SIDE_M / 2.0, 0.12, 0.015),
        Vector::new(BUCKET_SIDE_M / 2.0, 0.12, 0.015),
    ];
    let poses = part_poses(posed.lift_m, posed.tilt);
    let parts = std::array::from_fn(|i| {
        let half = half_extents[i];
        let part = ColliderBuilder::cuboid(half.x, half.y, half.z)
            .position(poses[i])
            .density(0.0)
            .friction(BUCKET_FRICTION)
            .friction_combine_rule(CoefficientCombineRule::Min)
            .collision_groups(groups(LOADER, STATIC | BRICK));
        colliders.insert_with_parent(part, handle, bodies)
    });
    (handle, parts)
}

fn insert_brick(bodies: &mut RigidBodySet, colliders: &mut ColliderSet, brick: &BrickState) -> RigidBodyHandle {
    let handle = bodies.insert(RigidBodyBuilder::dynamic().pose(brick_pose(brick)).angular_damping(0.5));
    let [x, y, z] = brick.half_extents_m;
    let collider = ColliderBuilder::cuboid(x, y, z)
        .density(BRICK_DENSITY)
        .friction(BRICK_FRICTION)
        .collision_groups(groups(BRICK, GROUND | STATIC | LOADER | BRICK));
    colliders.insert_with_parent(collider, handle, bodies);
    handle
}

fn loader_pose(x_m: f32, z_m: f32, heading_rad: f32) -> Pose {
    Pose::new(Vector::new(x_m, 0.0, z_m), Vector::new(0.0, -heading_rad, 0.0))
}

fn brick_pose(brick: &BrickState) -> Pose {
    let [x, y, z, w] = brick.rotation;
    Pose::from_parts(Vector::from(brick.position_m), Rotation::from_xyzw(x, y, z, w))
}

/// Poses of the loader's colliders in the loader's frame.
fn part_poses(lift_m: f32, tilt: f32) -> [Pose; PARTS] {
    let reach = BUCKET_LIP_M - BUCKET_BACK_M;
    let bucket = bucket_pose(lift_m, tilt);
    let side = |left: f32| bucket * Pose::translation(BUCKET_SIDE_M / 2.0, 0.12, left * (BUCKET_HALF_WIDTH_M + 0.015));
    let (from_x, from_y) = (BODY_FRONT_M - 0.25, 0.8);
    let (to_x, to_y) = (BUCKET_BACK_M, lift_m + 0.1);
    let arm = Pose::new(
        Vector::new(0.5 * (from_x + to_x), 0.5 * (from_y + to_y), 0.0),
        Vector::new(0.0, 0.0, (to_y - from_y).atan2(to_x - from_x)),
    );
    [
        Pose::translation(0.5 * (BODY_FRONT_M + BODY_REAR_M), 0.55, 0.0),
        arm,
        bucket * Pose::translation(reach / 2.0, -0.03, 0.0),
        bucket * Pose::translation(-0.02, BUCKET_HEIGHT_M / 2.0, 0.0),
        side(-1.0),
        side(1.0),
    ]
}

/// The bucket's frame in the loader's: origin at the hinge, x along the floor towards the lip.
pub fn bucket_pose(lift_m: f32, tilt: f32) -> Pose {
    Pose::new(Vector::new(BUCKET_BACK_M, lift_m, 0.0), Vector::new(0.0, 0.0, tilt * TILT_MAX_RAD))
}

/// The bucket's frame in the world.
pub fn bucket_in_world(loader: &LoaderState) -> Pose {
    loader_pose(loader.x_m, loader.z_m, loader.heading_rad) * bucket_pose(loader.lift_m, loader.tilt)
}

/// The pose of a brick in the bucket's frame.
pub fn brick_in_bucket(loader: &LoaderState, brick: &BrickState) -> Pose {
    bucket_in_world(loader).inv_mul(&brick_pose(brick))
}

/// Puts a brick where the bucket carries it.
pub fn carry(loader: &LoaderState, in_bucket: &Pose, brick: &mut BrickState) {
    let pose = bucket_in_world(loader) * *in_bucket;
    let (t, r) = (pose.translation, pose.rotation);
    brick.position_m = [t.x, t.y, t.z];
    brick.rotation = [r.x, r.y, r.z, r.w];
}
