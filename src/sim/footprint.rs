//! The loader's outline on the ground plane against walls and box: the cheap geometry behind every "is there room?".
//!
//! Exact for walls and a separating-axis bound for the box; a negative clearance is the depth of the overlap.

use super::geometry::{BODY_FRONT_M, BODY_HALF_WIDTH_M, BODY_REAR_M, BOX_CENTRE_M, BOX_HALF_M, BUCKET_LIP_M, WALL_M};
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

    /// Free distance to the nearest wall of a rectangle from `rear_m` to `front_m` with the loader's width.
    pub fn wall_clearance(&self, rear_m: f32, front_m: f32) -> f32 {
        let (c, s) = (self.cos, self.sin);
        let across_x = HALF_WIDTH_M * s.abs();
        let across_z = HALF_WIDTH_M * c.abs();
        let max_x = self.x_m + (front_m * c).max(rear_m * c) + across_x;
        let min_x = self.x_m + (front_m * c).min(rear_m * c) - across_x;
        let max_z = self.z_m + (front_m * s).max(rear_m * s) + across_z;
        let min_z = self.z_m + (front_m * s).min(rear_m * s) - across_z;
        (WALL_M - max_x).min(WALL_M + min_x).min(WALL_M - max_z).min(WALL_M + min_z)
    }

    /// Lower bound of the free distance between the box and a rectangle from `rear_m` to `front_m`.
    pub fn box_clearance(&self, rear_m: f32, front_m: f32) -> f32 {
        let (c, s) = (self.cos.abs(), self.sin.abs());
        let (cx, cz) = self.point(0.5 * (rear_m + front_m), 0.0);
        let (a, b) = (0.5 * (front_m - rear_m), HALF_WIDTH_M);
        let (dx, dz) = (cx - BOX_CENTRE_M, cz - BOX_CENTRE_M);
        let along = (dx * self.cos + dz * self.sin).abs();
        let across = (-dx * self.sin + dz * self.cos).abs();
        let reach = BOX_HALF_M * (c + s);
        let by_x = dx.abs() - (BOX_HALF_M + a * c + b * s);
        let by_z = dz.abs() - (BOX_HALF_M + a * s + b * c);
        by_x.max(by_z).max(along - a - reach).max(across - b - reach)
    }

    /// Free distance of the whole loader to walls and box; a bucket above the rim (`high`) may be over the box.
    pub fn clearance(&self, high: bool) -> f32 {
        let front = if high { BODY_FRONT_M } else { BUCKET_LIP_M };
        self.wall_clearance(BODY_REAR_M, BUCKET_LIP_M).min(self.box_clearance(BODY_REAR_M, front))
    }
}

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
        assert!(facing_box.box_clearance(BODY_REAR_M, BODY_FRONT_M) > low, "a high bucket has more room");
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
