//! The loader's outline on the ground plane against walls and box: the cheap geometry behind every "is there room?".
//!
//! Exact for walls and a separating-axis bound for the box; a negative clearance is the depth of the overlap.

use super::geometry::{
    BODY_FRONT_M, BODY_HALF_WIDTH_M, BODY_REAR_M, BOX_CENTRE_M, BOX_HALF_M, BUCKET_BACK_M, BUCKET_LIP_HALF_WIDTH_M,
    BUCKET_LIP_M, BUCKET_SIDE_M, WALL_M,
};
use super::state::LoaderState;

/// Half the width of the widest part: the bucket with its side plates.
pub const HALF_WIDTH_M: f32 = BODY_HALF_WIDTH_M + 0.03;

/// Where the loader stands on the ground plane, with the heading as a unit vector.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct GroundPose {
    /// Rear axle.
    pub x_m: f32,
    /// Rear axle.
    pub z_m: f32,
    /// Cosine of the heading.
    pub cos: f32,
    /// Sine of the heading.
    pub sin: f32,
}

impl GroundPose {
    /// From position and heading.
    pub fn new(x_m: f32, z_m: f32, heading_rad: f32) -> Self {
        let (sin, cos) = heading_rad.sin_cos();
        Self { x_m, z_m, cos, sin }
    }

    /// Where a loader stands.
    pub fn of(loader: &LoaderState) -> Self {
        Self::new(loader.x_m, loader.z_m, loader.heading_rad)
    }

    /// A point of the loader's frame in the world.
    pub fn point(&self, forward_m: f32, left_m: f32) -> (f32, f32) {
        (self.x_m + forward_m * self.cos - left_m * self.sin, self.z_m + forward_m * self.sin + left_m * self.cos)
    }

    /// A point of the world in the loader's frame.
    pub fn local(&self, x_m: f32, z_m: f32) -> (f32, f32) {
        let (dx, dz) = (x_m - self.x_m, z_m - self.z_m);
        (dx * self.cos + dz * self.sin, -dx * self.sin + dz * self.cos)
    }

    /// Moves along an arc: `distance_m` forward with the given tangent of the steering angle over the wheelbase.
    pub fn advance(&mut self, distance_m: f32, curvature: f32) {
        let turn = distance_m * curvature;
        // Second-order midpoint step; the rotation is renormalised to first order, which is ample for a few metres.
        let half = 0.5 * turn;
        let (mid_cos, mid_sin) = (self.cos - half * self.sin, self.sin + half * self.cos);
        self.x_m += distance_m * mid_cos;
        self.z_m += distance_m * mid_sin;
        let (cos, sin) = (self.cos - turn * mid_sin, self.sin + turn * mid_cos);
        let scale = 1.5 - 0.5 * (cos * cos + sin * sin);
        self.cos = cos * scale;
        self.sin = sin * scale;
    }

    /// Free distance of a rectangle to the nearest wall.
    fn wall_clearance_of(&self, part: Part) -> f32 {
        let (c, s) = (self.cos, self.sin);
        let (across_x, across_z) = (part.half_width_m * s.abs(), part.half_width_m * c.abs());
        let max_x = self.x_m + (part.front_m * c).max(part.rear_m * c) + across_x;
        let min_x = self.x_m + (part.front_m * c).min(part.rear_m * c) - across_x;
        let max_z = self.z_m + (part.front_m * s).max(part.rear_m * s) + across_z;
        let min_z = self.z_m + (part.front_m * s).min(part.rear_m * s) - across_z;
        WALL_M - max_x.max(-min_x).max(max_z).max(-min_z)
    }

    /// Lower bound of the free distance between a rectangle and the box, by separating axes.
    fn box_clearance_of(&self, part: Part) -> f32 {
        let (c, s) = (self.cos.abs(), self.sin.abs());
        let (cx, cz) = self.point(0.5 * (part.rear_m + part.front_m), 0.0);
        let (a, b) = (0.5 * (part.front_m - part.rear_m), part.half_width_m);
        let (dx, dz) = (cx - BOX_CENTRE_M, cz - BOX_CENTRE_M);
        let along = (dx * self.cos + dz * self.sin).abs();
        let across = (-dx * self.sin + dz * self.cos).abs();
        let reach = BOX_HALF_M * (c + s);
        let by_x = dx.abs() - (BOX_HALF_M + a * c + b * s);
        let by_z = dz.abs() - (BOX_HALF_M + a * s + b * c);
        by_x.max(by_z).max(along - a - reach).max(across - b - reach)
    }

    /// Free distance of the loader to the nearest wall.
    pub fn wall_clearance(&self) -> f32 {
        self.wall_clearance_of(HULL).min(self.wall_clearance_of(LIP))
    }

    /// Lower bound of the free distance of the whole loader to the box.
    pub fn box_clearance(&self) -> f32 {
        self.box_clearance_of(HULL).min(self.box_clearance_of(LIP))
    }

    /// The same for the loader without its bucket.
    pub fn body_box_clearance(&self) -> f32 {
        self.box_clearance_of(BODY)
    }

    /// The same for the bucket alone.
    pub fn bucket_box_clearance(&self) -> f32 {
        self.box_clearance_of(BUCKET)
    }

    /// Free distance of the whole loader to walls and box; a bucket above the rim (`high`) may be over the box.
    pub fn clearance(&self, high: bool) -> f32 {
        self.wall_clearance().min(if high { self.body_box_clearance() } else { self.box_clearance() })
    }
}

/// A rectangle of the loader, symmetric about its axis.
#[derive(Clone, Copy)]
struct Part {
    rear_m: f32,
    front_m: f32,
    half_width_m: f32,
}

const BODY: Part = Part { rear_m: BODY_REAR_M, front_m: BODY_FRONT_M, half_width_m: HALF_WIDTH_M };
/// Body and bucket up to the end of its side plates.
const HULL: Part = Part { rear_m: BODY_REAR_M, front_m: BUCKET_BACK_M + BUCKET_SIDE_M, half_width_m: HALF_WIDTH_M };
const LIP: Part = Part { rear_m: BUCKET_BACK_M, front_m: BUCKET_LIP_M, half_width_m: BUCKET_LIP_HALF_WIDTH_M };
const BUCKET: Part = Part { rear_m: BUCKET_BACK_M - 0.3, front_m: BUCKET_LIP_M, half_width_m: HALF_WIDTH_M };

/// Wraps an angle into `(-π, π]`.
pub fn wrap_rad(angle: f32) -> f32 {
    use std::f32::consts::{PI, TAU};
    let mut angle = angle % TAU;
    if angle > PI {
        angle -= TAU;
    } else if angle <= -PI {
        angle += TAU;
    }
    angle
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clearance_is_exact_when_square_on() {
        let pose = GroundPose::new(5.0, 0.0, 0.0);
        assert!((pose.clearance(false) - (WALL_M - 5.0 - BUCKET_LIP_M)).abs() < 1e-5);
        let facing_box = GroundPose::new(-2.0, -6.0, std::f32::consts::PI);
        let low = facing_box.clearance(false);
        assert!((low - (-2.0 - BUCKET_LIP_M - (BOX_CENTRE_M + BOX_HALF_M))).abs() < 1e-5, "{low}");
        assert!(facing_box.body_box_clearance() > low, "a high bucket has more room");
    }

    #[test]
    fn arcs_stay_on_their_circle() {
        let mut pose = GroundPose::new(0.0, 0.0, 0.0);
        let radius = 2.0;
        for _ in 0..100 {
            pose.advance(std::f32::consts::TAU * radius / 100.0, 1.0 / radius);
        }
        assert!(pose.x_m.hypot(pose.z_m) < 0.02, "{pose:?}");
    }
}
