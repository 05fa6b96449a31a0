//! The wheel loader: yellow body, black wheels, arms that rise, a steel bucket that tilts.
//!
//! The policy's eye sees only what is before the cab: arms, links and bucket. The body is drawn for people.

use super::shadow::Shadow;
use super::solids::{Painter, Round};
use super::space::{Pose, V3, sin_cos};
use crate::sim::LoaderState;
use crate::sim::geometry::{
    BODY_FRONT_M, BODY_HALF_WIDTH_M, BODY_REAR_M, BUCKET_BACK_M, BUCKET_HALF_WIDTH_M, BUCKET_HEIGHT_M, BUCKET_LIP_M,
    CAB_FORWARD_M, CAB_HEIGHT_M, TILT_MAX_RAD,
};

const YELLOW: [f32; 3] = [250.0, 186.0, 12.0];
const DARK: [f32; 3] = [58.0, 60.0, 66.0];
const TYRE: [f32; 3] = [44.0, 45.0, 48.0];
const HUB: [f32; 3] = [236.0, 176.0, 20.0];
const GLASS: [f32; 3] = [66.0, 96.0, 120.0];
const STEEL: [f32; 3] = [96.0, 100.0, 108.0];
const EDGE: [f32; 3] = [226.0, 228.0, 232.0];
const ROD: [f32; 3] = [196.0, 200.0, 206.0];
const BEACON: [f32; 3] = [255.0, 122.0, 16.0];
const LAMP: [f32; 3] = [255.0, 250.0, 220.0];
const PLATE_M: f32 = 0.035;
const WHEEL_RADIUS_M: f32 = 0.3;
const FRONT_WHEEL_M: f32 = 0.7;
const REAR_WHEEL_M: f32 = -0.06;
/// The arms turn about this height at this place forward.
const ARM_PIVOT: (f32, f32) = (0.5, 1.0);
const ARM_LEFT_M: f32 = 0.27;

/// Where the loader stands.
pub(super) fn pose(loader: &LoaderState) -> Pose {
    Pose::standing([loader.x_m, 0.0, loader.z_m], loader.heading_rad)
}

/// The bucket's frame: origin at the back of its floor, forward to the lip.
fn bucket_pose(body: &Pose, loader: &LoaderState) -> Pose {
    let pitch_up_rad = loader.tilt.clamp(-1.0, 1.0) * TILT_MAX_RAD;
    body.child([BUCKET_BACK_M, loader.lift_m, 0.0], 0.0, pitch_up_rad)
}

/// Arms, tilt link and bucket.
pub(super) fn draw_front(painter: &mut Painter, loader: &LoaderState) {
    let body = pose(loader);
    let bucket = bucket_pose(&body, loader);
    draw_bucket(painter, &bucket);

    let pitch = loader.tilt.clamp(-1.0, 1.0) * TILT_MAX_RAD;
    let (sin, cos) = sin_cos(pitch);
    // A point of the bucket's plane of symmetry in the body's frame.
    let held = |f: f32, u: f32| [BUCKET_BACK_M + f * cos - u * sin, loader.lift_m + f * sin + u * cos];
    let [arm_f, arm_u] = held(-0.03, 0.1);
    for left in [-ARM_LEFT_M, ARM_LEFT_M] {
        painter.bar(&body, [ARM_PIVOT.0, ARM_PIVOT.1, left], [arm_f, arm_u, left], (0.065, 0.04), YELLOW);
    }
    let middle = |t: f32| [ARM_PIVOT.0 + (arm_f - ARM_PIVOT.0) * t, ARM_PIVOT.1 + (arm_u - ARM_PIVOT.1) * t];
    let [tube_f, tube_u] = middle(0.62);
    let tube = body.moved([tube_f, tube_u, 0.0]);
    painter.cuboid(&tube, [-0.04, -0.04, -ARM_LEFT_M], [0.04, 0.04, ARM_LEFT_M], YELLOW);
    let [link_f, link_u] = held(-0.04, BUCKET_HEIGHT_M - 0.03);
    painter.bar(&body, [ARM_PIVOT.0, ARM_PIVOT.1 + 0.12, 0.0], [link_f, link_u, 0.0], (0.028, 0.028), ROD);
    painter.bar(&body, [0.72, 0.5, 0.0], [tube_f, tube_u - 0.02, 0.0], (0.035, 0.035), DARK);
}

fn draw_bucket(painter: &mut Painter, bucket: &Pose) {
    let reach = BUCKET_LIP_M - BUCKET_BACK_M;
    let half = BUCKET_HALF_WIDTH_M;
    painter.cuboid(bucket, [0.0, 0.0, -half], [reach - 0.07, PLATE_M, half], STEEL);
    painter.cuboid(bucket, [reach - 0.07, 0.0, -half], [reach, PLATE_M * 0.8, half], EDGE);
    painter.cuboid(bucket, [-PLATE_M, 0.0, -half], [0.0, BUCKET_HEIGHT_M, half], YELLOW);
    painter.cuboid(bucket, [-PLATE_M, BUCKET_HEIGHT_M, -half], [0.03, BUCKET_HEIGHT_M + 0.03, half], DARK);
    let cheek = [
        (-PLATE_M, 0.0),
        (reach - 0.05, 0.0),
        (reach - 0.14, 0.09),
        (0.1, BUCKET_HEIGHT_M),
        (-PLATE_M, BUCKET_HEIGHT_M),
    ];
    painter.extrusion(bucket, &cheek, half, half + PLATE_M, YELLOW);
    painter.extrusion(bucket, &cheek, -half - PLATE_M, -half, YELLOW);
}

/// Everything behind the arms.
pub(super) fn draw_body(painter: &mut Painter, loader: &LoaderState) {
    let body = pose(loader);
    for (forward, steering) in [(REAR_WHEEL_M, 0.0), (FRONT_WHEEL_M, loader.steering_rad)] {
        for side in [-1.0_f32, 1.0] {
            draw_wheel(painter, &body, forward, side, steering);
        }
    }
    painter.cuboid(&body, [-0.3, 0.22, -0.28], [0.88, 0.42, 0.28], DARK);
    let engine = [(BODY_REAR_M, 0.4), (0.3, 0.4), (0.3, 0.98), (-0.3, 0.94), (BODY_REAR_M, 0.8)];
    painter.extrusion(&body, &engine, -0.36, 0.36, YELLOW);
    painter.cuboid(&body, [BODY_REAR_M - 0.03, 0.24, -0.34], [BODY_REAR_M + 0.1, 0.5, 0.34], DARK);
    for level in [0.58, 0.66, 0.74] {
        painter.cuboid(&body, [BODY_REAR_M - 0.012, level, -0.22], [BODY_REAR_M + 0.03, level + 0.035, 0.22], DARK);
    }
    let nose = [(0.3, 0.4), (0.92, 0.4), (0.92, 0.56), (0.62, 0.72), (0.3, 0.72)];
    painter.extrusion(&body, &nose, -0.2, 0.2, YELLOW);
    let tower = [(0.4, 0.6), (0.62, 0.6), (0.58, 1.1), (0.42, 1.1)];
    painter.extrusion(&body, &tower, 0.16, 0.22, YELLOW);
    painter.extrusion(&body, &tower, -0.22, -0.16, YELLOW);
    painter.cylinder(&body.moved([ARM_PIVOT.0, ARM_PIVOT.1, 0.0]), 2, 0.06, -0.33, 0.33, round(10, DARK, DARK));
    for left in [-0.15, 0.15] {
        painter.cuboid(&body, [0.9, 0.46, left - 0.035], [0.935, 0.53, left + 0.035], LAMP);
    }
    draw_cab(painter, &body);
}

fn draw_cab(painter: &mut Painter, body: &Pose) {
    let glass = [(-0.2, 0.94), (0.34, 0.94), (0.3, 1.58), (-0.18, 1.58)];
    painter.extrusion(body, &glass, -0.28, 0.28, GLASS);
    painter.cuboid(body, [-0.21, 0.92, -0.3], [0.36, 1.04, 0.3], YELLOW);
    for left in [-0.275, 0.275] {
        for (low, high) in [(0.34, 0.3), (-0.2, -0.18), (0.08, 0.08)] {
            painter.bar(body, [low, 0.96, left], [high, 1.58, left], (0.028, 0.022), DARK);
        }
    }
    painter.cuboid(body, [-0.25, 1.57, -0.33], [0.38, 1.64, 0.33], YELLOW);
    painter.cuboid(body, [-0.18, 1.64, -0.25], [0.3, 1.665, 0.25], DARK);
    painter.cylinder(&body.moved([-0.12, 1.66, 0.18]), 1, 0.055, 0.0, 0.11, round(10, BEACON, BEACON));
    painter.cylinder(&body.moved([-0.26, 0.94, -0.24]), 1, 0.035, 0.0, 0.34, round(8, DARK, TYRE));
    // The eye that the policy sees with.
    let eye: V3 = [CAB_FORWARD_M, CAB_HEIGHT_M, 0.0];
    painter.cuboid(body, [eye[0] - 0.12, 1.64, -0.02], [eye[0] - 0.08, eye[1] - 0.04, 0.02], DARK);
    painter.cuboid(&body.child(eye, 0.0, -0.5), [-0.14, -0.05, -0.06], [0.03, 0.05, 0.06], DARK);
}

fn draw_wheel(painter: &mut Painter, body: &Pose, forward: f32, side: f32, steering_rad: f32) {
    let half_width = 0.075;
    let centre = [forward, WHEEL_RADIUS_M, side * (BODY_HALF_WIDTH_M - half_width)];
    let wheel = body.child(centre, steering_rad, 0.0);
    painter.cylinder(&wheel, 2, WHEEL_RADIUS_M, -half_width, half_width, round(20, TYRE, TYRE));
    painter.cylinder(&wheel, 2, 0.16, -half_width - 0.015, half_width + 0.015, round(14, HUB, HUB));
    painter.cylinder(&wheel, 2, 0.06, -half_width - 0.03, half_width + 0.03, round(8, DARK, DARK));
}

fn round(sides: usize, side: [f32; 3], cap: [f32; 3]) -> Round {
    Round { sides, has_sides: true, side, cap }
}

/// The shadow under the bucket: it grows wide and pale as the bucket rises.
pub(super) fn bucket_shadow(loader: &LoaderState) -> Shadow {
    let height = loader.lift_m.max(0.0);
    let half_reach = 0.5 * (BUCKET_LIP_M - BUCKET_BACK_M);
    Shadow {
        pose: pose(loader).moved([BUCKET_BACK_M + half_reach, 0.0, 0.0]),
        half_m: (half_reach, BUCKET_HALF_WIDTH_M),
        blur_m: 0.16 + 0.5 * height,
        strength: 0.55 / (1.0 + 0.7 * height),
    }
}

/// The body's shadows: under it, and body and cab thrown by the sun.
pub(super) fn body_shadows(loader: &LoaderState, sun_shift: impl Fn(V3, f32) -> V3) -> [Shadow; 3] {
    let body = pose(loader);
    let under = body.moved([0.5 * (BODY_REAR_M + BODY_FRONT_M), 0.0, 0.0]);
    let cab = body.moved([0.08, 0.0, 0.0]);
    let thrown = |pose: Pose, height_m: f32| Pose { origin: sun_shift(pose.origin, height_m), ..pose };
    let half_length = 0.5 * (BODY_FRONT_M - BODY_REAR_M);
    [
        Shadow { pose: under, half_m: (half_length, BODY_HALF_WIDTH_M), blur_m: 0.3, strength: 0.5 },
        Shadow { pose: thrown(under, 0.75), half_m: (half_length, 0.38), blur_m: 0.3, strength: 0.3 },
        Shadow { pose: thrown(cab, 1.3), half_m: (0.3, 0.32), blur_m: 0.35, strength: 0.3 },
    ]
}
