//! Convex solids drawn face by face: boxes, extruded outlines, cylinders.
//!
//! Solids have flat faces, each with its outward normal: facing away is decided by the normal, hidden by the canvas'
//! depth. Faces are cut off at the floor, which itself has no depth.

use super::camera::View;
use super::canvas::{Canvas, Polygon};
use super::colour::{pack, shade};
use super::space::{Pose, V3, add, dot, scale, sub};

/// Draws solids of the world onto a canvas.
pub(super) struct Painter<'a> {
    pub canvas: &'a mut Canvas,
    pub view: &'a View,
}

impl Painter<'_> {
    fn face(&mut self, corners: impl IntoIterator<Item = V3>, normal: V3, colour: [f32; 3]) {
        let polygon = Polygon::new(corners);
        let Some(&first) = polygon.corners().first() else { return };
        if dot(normal, sub(self.view.eye, first)) <= 0.0 {
            return;
        }
        self.canvas.fill_face(self.view, &polygon.clipped(1, 0.0), normal, pack(shade(colour, normal)));
    }

    /// A box from corner `low` to corner `high` of the frame.
    pub fn cuboid(&mut self, pose: &Pose, low: V3, high: V3, colour: [f32; 3]) {
        let centre = scale(add(low, high), 0.5);
        let half = scale(sub(high, low), 0.5);
        if !self.view.may_see(pose.point(centre), dot(half, half).sqrt()) {
            return;
        }
        for axis in 0..3 {
            let (u, v) = ((axis + 1) % 3, (axis + 2) % 3);
            for (sign, level) in [(-1.0, low[axis]), (1.0, high[axis])] {
                let corners = [(low[u], low[v]), (high[u], low[v]), (high[u], high[v]), (low[u], high[v])];
                let corners = corners.map(|(a, b)| {
                    let mut p = [0.0; 3];
                    p[axis] = level;
                    p[u] = a;
                    p[v] = b;
                    pose.point(p)
                });
                self.face(corners, scale(pose.axes[axis], sign), colour);
            }
        }
    }

    /// A convex outline in the frame's (forward, up) plane, drawn out from `right` to `left` along the frame's left
    /// axis. The outline runs anticlockwise when forward points right and up points up.
    pub fn extrusion(&mut self, pose: &Pose, outline: &[(f32, f32)], right: f32, left: f32, colour: [f32; 3]) {
        for (i, &(f, u)) in outline.iter().enumerate() {
            let (next_f, next_u) = outline[(i + 1) % outline.len()];
            let (df, du) = (next_f - f, next_u - u);
            let length = (df * df + du * du).sqrt();
            if length < 1e-6 {
                continue;
            }
            let normal = pose.direction([du / length, -df / length, 0.0]);
            let corners = [[f, u, right], [next_f, next_u, right], [next_f, next_u, left], [f, u, left]];
            self.face(corners.map(|p| pose.point(p)), normal, colour);
        }
        for (level, sign) in [(right, -1.0), (left, 1.0)] {
            let cap = outline.iter().map(|&(f, u)| pose.point([f, u, level]));
            self.face(cap, scale(pose.axes[2], sign), colour);
        }
    }

    /// A cylinder of `sides` flat sides (3 to 24) about the frame's axis `axis` (0 forward, 1 up, 2 left), from `low`
    /// to `high` along it.
    pub fn cylinder(&mut self, pose: &Pose, axis: usize, radius: f32, low: f32, high: f32, look: Round) {
        let reach = low.abs().max(high.abs()) + radius;
        if !self.view.may_see(pose.origin, reach) {
            return;
        }
        let sides = look.sides.clamp(3, 24);
        let (u, v) = ((axis + 1) % 3, (axis + 2) % 3);
        let turn = std::f32::consts::TAU / sides as f32;
        let at = |i: f32, r: f32, level: f32| {
            let (sin, cos) = (i * turn).sin_cos();
            let mut p = [0.0; 3];
            p[axis] = level;
            p[u] = r * cos;
            p[v] = r * sin;
            p
        };
        for i in 0..sides {
            let (a, b) = (i as f32, (i + 1) as f32);
            let corners = [at(a, radius, low), at(b, radius, low), at(b, radius, high), at(a, radius, high)];
            let normal = pose.direction(at(a + 0.5, 1.0, 0.0));
            self.face(corners.map(|p| pose.point(p)), normal, look.side);
        }
        for (level, sign) in [(low, -1.0), (high, 1.0)] {
            let cap = (0..sides).map(|i| pose.point(at(i as f32, radius, level)));
            self.face(cap, scale(pose.axes[axis], sign), look.cap);
        }
    }

    /// A square-cut bar from `from` to `to`, two points of the frame at the same `left`.
    pub fn bar(&mut self, pose: &Pose, from: V3, to: V3, half: (f32, f32), colour: [f32; 3]) {
        let (along, length) = pose.along(from, to);
        let (half_up, half_left) = half;
        self.cuboid(&along, [0.0, -half_up, -half_left], [length, half_up, half_left], colour);
    }
}

/// How a cylinder looks.
#[derive(Debug, Clone, Copy)]
pub(super) struct Round {
    pub sides: usize,
    pub side: [f32; 3],
    pub cap: [f32; 3],
}
