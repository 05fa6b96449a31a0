//! Getting somewhere: pursuit of a point, a look along the arc it would take, and backing off when that is blocked.
//!
//! One rule decides the direction: forward if the pursuit arc reaches its goal without touching anything, else back.
//! A loader that is already reversing asks for more room before it turns round, so that it does not dither.

use super::{DROP_M, SCOOP_FROM_M, SCOOP_TO_M};
use crate::sim::footprint::{GroundPose, HALF_WIDTH_M, wrap_rad};
use crate::sim::geometry::{BOX_CENTRE_M, BOX_HALF_M, BUCKET_LIP_M, STEERING_MAX_RAD, WALL_M, WHEELBASE_M};
use crate::sim::state::WorldState;
use crate::sim::world::{OVER_BOX_M, lowest_point};
use std::f32::consts::{FRAC_1_SQRT_2, FRAC_PI_2, PI};

/// Length of one look-ahead step.
const STRIDE_M: f32 = 0.2;
/// Look-ahead step close before a brick.
const SHORT_STRIDE_M: f32 = 0.05;
/// How far a reversing loader looks before it turns round.
const LOOK_M: f32 = 8.0;
/// How far a loader that drives forward looks.
const NEAR_LOOK_M: f32 = 3.2;
/// Share of full steering that changes in one metre.
const STEERING_PER_M: f32 = 2.0;
/// Pursuit aims at most this far ahead.
const PURSUIT_M: f32 = 2.2;
/// A square approach begins at most this far before the brick.
const STANDOFF_M: f32 = 4.4;
/// A square approach aims at most this far beside the brick.
const ASIDE_RAD: f32 = 0.45;
/// Middle of the corridor between box and wall.
const CORRIDOR_M: f32 = -0.5 * (WALL_M - BOX_CENTRE_M + BOX_HALF_M);

/// Room a loader wants that drives forward already.
const MARGIN_M: f32 = 0.02;
/// Room it wants before it turns round from reversing.
const TURNING_MARGIN_M: f32 = 0.25;
/// The same with the bucket above the rim.
const HIGH_MARGIN_M: f32 = 0.06;
/// How far the look goes on a way that leads past something.
const WAY_LOOK_M: f32 = 1.4;

/// What a look ahead makes of one pose.
enum Verdict {
    Arrived,
    Blocked,
    Onward { stride_m: f32 },
}

/// What a drive is for; it decides what counts as arrived and how far the look goes.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Goal {
    /// A brick into the mouth of the low bucket.
    Scoop,
    /// The load over the box; `off_axis` metres left of the loader's axis.
    Drop {
        /// Metres left of the axis.
        off_axis: f32,
    },
    /// A point on the way; only the next metre must be free.
    Way,
}

/// The loader as a driver sees it.
pub struct Driver {
    /// Where it stands.
    pub pose: GroundPose,
    heading_rad: f32,
    /// Steering as a share of the largest angle.
    steering: f32,
    reversing: bool,
    advancing: bool,
    high: bool,
    k_max: f32,
}

impl Driver {
    /// From the privileged state.
    pub fn new(state: &WorldState) -> Self {
        let loader = &state.loader;
        Self {
            pose: GroundPose::of(loader),
            heading_rad: loader.heading_rad,
            steering: loader.steering_rad / STEERING_MAX_RAD,
            reversing: loader.speed_mps < -0.1,
            advancing: loader.speed_mps > 0.1,
            high: lowest_point(loader.lift_m, loader.tilt) > OVER_BOX_M,
            k_max: STEERING_MAX_RAD.tan() / WHEELBASE_M,
        }
    }

    /// Steering and throttle towards a point, forward at `speed` or back where forward is blocked.
    pub fn towards(&self, x_m: f32, z_m: f32, goal: Goal, speed: f32) -> (f32, f32) {
        let fetches_inside = goal == Goal::Scoop && in_corridor(x_m, z_m).is_some();
        if let Some(way_out) = self.leave_corridor().filter(|_| !fetches_inside) {
            return way_out;
        }
        let straight = Target::open(x_m, z_m);
        let candidates = match goal {
            Goal::Scoop => [Some(straight), Target::square(x_m, z_m), Target::alongside(x_m, z_m)],
            Goal::Drop { .. } | Goal::Way => [Some(straight), None, None],
        };
        // A straight way is only taken when it works out to its end; a square one has room to correct itself.
        let looks_m = [LOOK_M, if self.reversing { LOOK_M } else { NEAR_LOOK_M }, LOOK_M];
        for (target, look_m) in candidates.iter().zip(looks_m) {
            let Some(target) = target else { continue };
            if self.arrives(target, goal, look_m) {
                let (ax, az) = target.aim(&self.pose);
                return (pursue(&self.pose, ax, az), speed);
            }
        }
        if goal == Goal::Scoop && !self.reversing && self.box_is_between(x_m, z_m) {
            let corner = Target::open(BOX_CENTRE_M + 2.4, BOX_CENTRE_M + 2.4);
            if self.arrives(&corner, Goal::Way, LOOK_M) {
                return (pursue(&self.pose, corner.x_m, corner.z_m), speed);
            }
        }
        let (ax, az) = candidates.iter().flatten().nth(1).map_or((x_m, z_m), |target| target.aim(&self.pose));
        let (forward, left) = self.pose.local(ax, az);
        self.turn_round(left.atan2(forward))
    }

    /// Forward is blocked: back, turning towards the bearing; where the rear is blocked too, forward in a free
    /// direction. Whichever way it already moves it prefers, so that the strokes of a turn in little room get long.
    fn turn_round(&self, bearing_rad: f32) -> (f32, f32) {
        let full = (2.0 * bearing_rad).clamp(-1.0, 1.0);
        let back_m = match (self.reversing, self.advancing) {
            (true, _) => 0.25,
            (false, true) => 0.8,
            (false, false) => 0.4,
        };
        // Strokes that turn towards the bearing, then straight ones, then those that turn away.
        let back = |share: f32| (-share * full, -back_m, super::REVERSE);
        let ahead = |share: f32| (share * full, 0.3, 0.4);
        let straight = if self.reversing { [back(0.0), ahead(0.0)] } else { [ahead(0.0), back(0.0)] };
        let strokes = [
            back(1.0),
            back(0.5),
            ahead(1.0),
            ahead(0.5),
            straight[0],
            straight[1],
            back(-0.5),
            back(-1.0),
            ahead(-0.5),
            ahead(-1.0),
        ];
        strokes
            .into_iter()
            .find(|&(steering, distance_m, _)| self.can_go(steering, distance_m))
            .map_or((0.0, super::REVERSE), |(steering, _, throttle)| (steering, throttle))
    }

    /// Whether the load would fall into the middle of the box from this pose.
    pub fn is_over_zone(&self, pose: &GroundPose, off_axis: f32, zone_m: f32) -> bool {
        let (x, z) = pose.point(DROP_M, off_axis);
        (x - BOX_CENTRE_M).abs() < zone_m && (z - BOX_CENTRE_M).abs() < zone_m
    }

    /// Whether the loader can go back this far with this steering.
    pub fn can_reverse(&self, steering: f32, distance_m: f32) -> bool {
        self.can_go(steering, -distance_m)
    }

    /// Whether the loader can go this far (negative: back) without getting closer to anything than it is.
    fn can_go(&self, steering: f32, distance_m: f32) -> bool {
        let mut pose = self.pose;
        let enough = pose.clearance(self.high).min(0.03) - 0.01;
        let steps = (distance_m.abs() / 0.1).ceil() as usize;
        (0..steps).all(|_| {
            pose.advance(0.1_f32.copysign(distance_m), curvature(steering));
            pose.clearance(self.high) > enough
        })
    }

    /// Follows the pursuit arc in mind, at most `look_m` far: does it reach its goal without touching anything?
    fn arrives(&self, target: &Target, goal: Goal, look_m: f32) -> bool {
        let high = self.high || matches!(goal, Goal::Drop { .. });
        let margin_m = match goal {
            Goal::Scoop => TURNING_MARGIN_M / 2.0,
            Goal::Drop { .. } => HIGH_MARGIN_M,
            Goal::Way => {
                if high {
                    HIGH_MARGIN_M
                } else {
                    TURNING_MARGIN_M
                }
            }
        };
        let margin_m = if self.reversing { margin_m } else { MARGIN_M };
        let look_m = match goal {
            Goal::Way if self.reversing => 2.0 * WAY_LOOK_M,
            Goal::Way => WAY_LOOK_M,
            Goal::Scoop | Goal::Drop { .. } => look_m,
        };
        let mut pose = self.pose;
        let mut steering = self.steering;
        let start_m = pose.clearance(high);
        let mut gone_m = 0.0;
        while gone_m < look_m {
            let room_m = pose.clearance(high);
            // Who starts close to something may stay close to it for a while.
            let spare_m = room_m - margin_m.min((start_m - 0.05).max(-0.03) + 0.12 * gone_m);
            let stride_m = match self.judge(&pose, target, goal, room_m, spare_m) {
                Verdict::Arrived => return true,
                Verdict::Blocked => return false,
                Verdict::Onward { stride_m } => stride_m,
            };
            let (ax, az) = target.aim(&pose);
            let change = STEERING_PER_M * stride_m;
            steering += (pursue(&pose, ax, az) - steering).clamp(-change, change);
            pose.advance(stride_m, steering * self.k_max);
            gone_m += stride_m;
        }
        true
    }

    /// What to make of a pose on the way; `spare_m` below 0 means too close to something.
    fn judge(&self, pose: &GroundPose, target: &Target, goal: Goal, room_m: f32, spare_m: f32) -> Verdict {
        let blocked = spare_m < 0.0;
        match goal {
            Goal::Scoop => {
                let aside_m = if self.reversing { 0.23 } else { 0.36 };
                let (forward, left) = pose.local(target.brick.0, target.brick.1);
                let lies_right = left.abs() < aside_m;
                // The last centimetres before a brick may use up the margin.
                let reach = if blocked { room_m.max(0.0) } else { 0.0 };
                if (SCOOP_FROM_M - 0.1..SCOOP_TO_M - 0.01 + reach).contains(&forward) && lies_right {
                    return Verdict::Arrived;
                }
                let passed = (-0.6..SCOOP_TO_M - 0.1).contains(&forward) && left.abs() < 1.3;
                if blocked || passed {
                    return Verdict::Blocked;
                }
                let close = forward > 0.0 && forward < SCOOP_TO_M + 0.3;
                Verdict::Onward { stride_m: if close { SHORT_STRIDE_M } else { STRIDE_M } }
            }
            Goal::Drop { off_axis } => {
                let zone_m = super::DROP_ZONE_M - if self.reversing { 0.12 } else { 0.02 };
                match (self.is_over_zone(pose, off_axis, zone_m), blocked) {
                    (true, _) => Verdict::Arrived,
                    (false, true) => Verdict::Blocked,
                    (false, false) => Verdict::Onward { stride_m: STRIDE_M },
                }
            }
            Goal::Way if blocked => Verdict::Blocked,
            Goal::Way => Verdict::Onward { stride_m: STRIDE_M },
        }
    }

    /// In the corridor behind the box: out along its axis, forward or back.
    fn leave_corridor(&self) -> Option<(f32, f32)> {
        let (tip_x, tip_z) = self.pose.point(BUCKET_LIP_M - 0.2, 0.0);
        let end = BOX_CENTRE_M + BOX_HALF_M + if self.reversing { 0.7 } else { 0.0 };
        let inside = BOX_CENTRE_M - BOX_HALF_M + 0.1;
        let along_x = self.pose.z_m < inside && tip_z < inside && (tip_x < end + 0.15 || self.pose.x_m < end + 0.15);
        let along_z = self.pose.x_m < inside && tip_x < inside && (tip_z < end + 0.15 || self.pose.z_m < end + 0.15);
        if !along_x && !along_z {
            return None;
        }
        // In both corridors at once only the one the loader is aligned with leads out.
        let use_x = along_x && (!along_z || self.pose.cos.abs() > self.pose.sin.abs());
        let (out_rad, across) =
            if use_x { (0.0, self.pose.z_m - CORRIDOR_M) } else { (FRAC_PI_2, -(self.pose.x_m - CORRIDOR_M)) };
        let off = wrap_rad(self.heading_rad - out_rad);
        if off.abs() < FRAC_PI_2 {
            return Some(((-2.0 * off - 1.0 * across).clamp(-1.0, 1.0), 0.7));
        }
        let off = wrap_rad(off - PI);
        Some(((2.5 * off + 1.2 * across).clamp(-1.0, 1.0), super::REVERSE))
    }

    /// Whether the box is in the way of a point: then the way leads past its free corner.
    fn box_is_between(&self, x_m: f32, z_m: f32) -> bool {
        let (dx, dz) = (x_m - self.pose.x_m, z_m - self.pose.z_m);
        let length = dx.hypot(dz);
        let samples = ((length - 1.0) / 0.25).max(0.0) as usize;
        let near =
            |x: f32, z: f32, room: f32| (x - BOX_CENTRE_M).abs().max((z - BOX_CENTRE_M).abs()) < BOX_HALF_M + room;
        let blocked = (0..=samples).any(|i| {
            let t = i as f32 * 0.25 / length.max(0.1);
            near(self.pose.x_m + t * dx, self.pose.z_m + t * dz, 0.58)
        });
        blocked && !near(self.pose.x_m, self.pose.z_m, 0.45)
    }
}

/// The curvature of a steering share.
fn curvature(steering: f32) -> f32 {
    (steering * STEERING_MAX_RAD).tan() / WHEELBASE_M
}

/// Pure pursuit: the steering share whose arc leads through the point (full lock when it lies behind).
fn pursue(pose: &GroundPose, x_m: f32, z_m: f32) -> f32 {
    let (forward, left) = pose.local(x_m, z_m);
    if forward <= 0.0 {
        return if left < 0.0 { -1.0 } else { 1.0 };
    }
    let distance = forward.hypot(left).max(0.1);
    let k = 2.0 * (left / distance) / distance.min(PURSUIT_M);
    ((WHEELBASE_M * k).atan() / STEERING_MAX_RAD).clamp(-1.0, 1.0)
}

/// The direction into the corridor between box and wall that a brick lies in.
fn in_corridor(x_m: f32, z_m: f32) -> Option<(f32, f32)> {
    let (side, end) = (BOX_CENTRE_M - BOX_HALF_M, BOX_CENTRE_M + BOX_HALF_M + 0.3);
    if z_m < side && x_m < end && x_m >= z_m {
        Some((-1.0, 0.0))
    } else if x_m < side && z_m < end {
        Some((0.0, -1.0))
    } else {
        None
    }
}

/// The direction towards the box's free side that a brick lies beside.
fn beside_box(x_m: f32, z_m: f32) -> Option<(f32, f32)> {
    const CLOSE_M: f32 = 0.75;
    let face = BOX_CENTRE_M + BOX_HALF_M;
    if (0.0..CLOSE_M).contains(&(x_m - face)) && z_m < face + 0.2 {
        Some((-1.0, 0.0))
    } else if (0.0..CLOSE_M).contains(&(z_m - face)) && x_m < face + 0.2 {
        Some((0.0, -1.0))
    } else {
        None
    }
}

/// What the loader's rear axle is steered to: a point, and for a brick close to something the way in.
struct Target {
    /// The point on the axis to go for.
    x_m: f32,
    z_m: f32,
    /// Where the brick itself lies.
    brick: (f32, f32),
    /// Unit vector of the last metres, where it matters.
    way_in: Option<(f32, f32)>,
}

impl Target {
    fn open(x_m: f32, z_m: f32) -> Self {
        Self { x_m, z_m, brick: (x_m, z_m), way_in: None }
    }

    /// The square way to a brick that lies close to a wall or the box.
    fn square(x_m: f32, z_m: f32) -> Option<Self> {
        /// Nearer than this to one wall.
        const CLOSE_M: f32 = 0.6;
        /// Nearer than this to two walls: diagonally.
        const CORNER_M: f32 = 0.7;
        if let Some((nx, nz)) = in_corridor(x_m, z_m) {
            let (x, z) = if nx != 0.0 { (x_m, CORRIDOR_M) } else { (CORRIDOR_M, z_m) };
            return Some(Self { x_m: x, z_m: z, brick: (x_m, z_m), way_in: Some((nx, nz)) });
        }
        let (gap_x, gap_z) = (WALL_M - x_m.abs(), WALL_M - z_m.abs());
        let (sx, sz) = (x_m.signum(), z_m.signum());
        let way_in = if gap_x < CORNER_M && gap_z < CORNER_M {
            (sx * FRAC_1_SQRT_2, sz * FRAC_1_SQRT_2)
        } else if gap_x < CLOSE_M {
            (sx, 0.0)
        } else if gap_z < CLOSE_M {
            (0.0, sz)
        } else {
            beside_box(x_m, z_m)?
        };
        Some(Self { way_in: Some(way_in), ..Self::open(x_m, z_m) })
    }

    /// The way along a wall or a side of the box: the brick in one half of the bucket, the other side just clear.
    fn alongside(x_m: f32, z_m: f32) -> Option<Self> {
        let room = HALF_WIDTH_M + 0.08;
        let mut target = Self::open(x_m, z_m);
        if WALL_M - x_m.abs() < room {
            target.x_m = x_m.signum() * (WALL_M - room);
        } else if WALL_M - z_m.abs() < room {
            target.z_m = z_m.signum() * (WALL_M - room);
        } else {
            let (nx, nz) = beside_box(x_m, z_m)?;
            let face = BOX_CENTRE_M + BOX_HALF_M + room;
            target.x_m = if nx < 0.0 { x_m.max(face) } else { x_m };
            target.z_m = if nz < 0.0 { z_m.max(face) } else { z_m };
        }
        Some(target)
    }

    /// Where to aim from a pose: pure pursuit of the line of the way in, begun far enough out to be square in time.
    fn aim(&self, pose: &GroundPose) -> (f32, f32) {
        let Some((nx, nz)) = self.way_in else { return (self.x_m, self.z_m) };
        let (dx, dz) = (self.x_m - pose.x_m, self.z_m - pose.z_m);
        let along = dx * nx + dz * nz;
        let beside = (dx * nz - dz * nx).abs();
        let ahead = (PURSUIT_M * PURSUIT_M - beside * beside).max(0.0).sqrt();
        let back = (along - ahead).max(2.0 * (beside - 0.1)).clamp(0.0, STANDOFF_M);
        let (ax, az) = (dx - nx * back, dz - nz * back);
        // The brick has to stay in view: aim only so far beside it.
        let (dot, cross) = (dx * ax + dz * az, dx * az - dz * ax);
        let (cos, sin) = (ASIDE_RAD.cos(), ASIDE_RAD.sin());
        if cross.abs() * cos <= dot * sin {
            return (pose.x_m + ax, pose.z_m + az);
        }
        let sin = sin.copysign(cross);
        (pose.x_m + dx * cos - dz * sin, pose.z_m + dx * sin + dz * cos)
    }
}
