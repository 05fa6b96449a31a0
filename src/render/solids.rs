//! Convex solids drawn face by face: boxes, extruded outlines, cylinders.
//!
//! Solids have flat faces, each with its outward normal: facing away is decided by the normal, hidden by the canvas'
//! nearness. All is reckoned in camera axes, so a solid's frame is turned once and not each of its corners. Faces are
//! cut off at the floor, which itself has no depth.

use super::camera::{NEAR_M, View};
use super::canvas::{Canvas, Slope};
use super::colour::{pack, shade_by};
use super::polygon::{Corner, MAX_CORNERS, Outline};
use super::space::{Pose, V3, add, dot, scale, sin_cos, sub};

/// Draws solids of the world onto a canvas.
pub(super) struct Painter<'a> {
    pub canvas: &'a mut Canvas,
    pub view: &'a View,
}

/// A frame of the world as the camera sees it.
struct Frame {
    origin: Corner,
    /// The frame's axes in camera axes, and how much each rises.
    axes: [Corner; 3],
}

impl Frame {
    fn new(view: &View, pose: &Pose) -> Self {
        let axis = |d: V3| {
            let [right, down, forward] = view.camera_direction(d);
            [right, down, forward, d[1]]
        };
        Self { origin: view.corner(pose.origin), axes: pose.axes.map(axis) }
    }

    #[inline]
    fn corner(&self, p: V3) -> Corner {
        let [forward, up, left] = &self.axes;
        let mut corner = self.origin;
        for i in 0..4 {
            corner[i] += forward[i] * p[0] + up[i] * p[1] + left[i] * p[2];
        }
        corner
    }

    #[inline]
    fn direction(&self, d: V3) -> V3 {
        let [forward, up, left] = self.axes.map(|[right, down, forward, _]| [right, down, forward]);
        add(add(scale(forward, d[0]), scale(up, d[1])), scale(left, d[2]))
    }

    #[inline]
    fn axis(&self, axis: usize, sign: f32) -> V3 {
        let [right, down, forward, _] = self.axes[axis];
        scale([right, down, forward], sign)
    }
}

impl Painter<'_> {
    /// A face in camera axes, its normal outward.
    fn face(&mut self, corners: &[Corner], normal: V3, colour: [f32; 3]) {
        let Some(&[x, y, z, _]) = corners.first() else { return };
        // The plane is n·p = d; d < 0 exactly when the eye is before the face.
        let offset = dot(normal, [x, y, z]);
        if offset >= -1e-6 || offset.is_nan() {
            return;
        }
        let clipped;
        let corners = if corners.iter().all(|c| c[2] >= NEAR_M && c[3] >= 0.0) {
            corners
        } else {
            clipped = Outline::new(corners).before_eye_above_floor();
            clipped.corners()
        };
        let n = self.view.samples as f32;
        let (focal, centre) = (self.view.focal * n, [self.view.centre.0 * n, self.view.centre.1 * n]);
        let mut flat = [[0.0; 2]; MAX_CORNERS];
        for (to, from) in flat.iter_mut().zip(corners) {
            let per_depth = focal / from[2];
            *to = [centre[0] + from[0] * per_depth, centre[1] + from[1] * per_depth];
        }
        let per_offset = 1.0 / offset;
        let per_sample = per_offset / focal;
        let (per_column, per_row) = (normal[0] * per_sample, normal[1] * per_sample);
        let at_origin = normal[2] * per_offset + per_column * (0.5 - centre[0]) + per_row * (0.5 - centre[1]);
        let colour = pack(shade_by(colour, dot(normal, self.view.sun)));
        self.canvas.fill_face(&flat[..corners.len()], Slope { at_origin, per_column, per_row }, colour);
    }

    /// A box from corner `low` to corner `high` of the frame.
    pub fn cuboid(&mut self, pose: &Pose, low: V3, high: V3, colour: [f32; 3]) {
        let centre = scale(add(low, high), 0.5);
        let half = scale(sub(high, low), 0.5);
        if !self.view.may_see(pose.point(centre), dot(half, half).sqrt()) {
            return;
        }
        let frame = Frame::new(self.view, pose);
        for axis in 0..3 {
            let (u, v) = ((axis + 1) % 3, (axis + 2) % 3);
            // How far along this axis the eye is: it sees at most one of the two faces.
            let eye = -dot(frame.axis(axis, 1.0), [frame.origin[0], frame.origin[1], frame.origin[2]]);
            let (sign, level) = if eye > high[axis] {
                (1.0, high[axis])
            } else if eye < low[axis] {
                (-1.0, low[axis])
            } else {
                continue;
            };
            let corners = [(low[u], low[v]), (high[u], low[v]), (high[u], high[v]), (low[u], high[v])];
            let corners = corners.map(|(a, b)| {
                let mut p = [0.0; 3];
                p[axis] = level;
                p[u] = a;
                p[v] = b;
                frame.corner(p)
            });
            self.face(&corners, frame.axis(axis, sign), colour);
        }
    }

    /// A convex outline in the frame's (forward, up) plane, drawn out from `right` to `left` along the frame's left
    /// axis. The outline runs anticlockwise when forward points right and up points up.
    pub fn extrusion(&mut self, pose: &Pose, outline: &[(f32, f32)], right: f32, left: f32, colour: [f32; 3]) {
        let frame = Frame::new(self.view, pose);
        for (i, &(f, u)) in outline.iter().enumerate() {
            let (next_f, next_u) = outline[(i + 1) % outline.len()];
            let (df, du) = (next_f - f, next_u - u);
            let length = (df * df + du * du).sqrt();
            if length < 1e-6 {
                continue;
            }
            let normal = frame.direction([du / length, -df / length, 0.0]);
            let corners = [[f, u, right], [next_f, next_u, right], [next_f, next_u, left], [f, u, left]];
            self.face(&corners.map(|p| frame.corner(p)), normal, colour);
        }
        for (level, sign) in [(right, -1.0), (left, 1.0)] {
            let mut cap = [[0.0; 4]; MAX_CORNERS];
            for (corner, &(f, u)) in cap.iter_mut().zip(outline) {
                *corner = frame.corner([f, u, level]);
            }
            self.face(&cap[..outline.len().min(MAX_CORNERS)], frame.axis(2, sign), colour);
        }
    }

    /// A cylinder of `sides` flat sides (3 to 24) about the frame's axis `axis` (0 forward, 1 up, 2 left), from `low`
    /// to `high` along it.
    pub fn cylinder(&mut self, pose: &Pose, axis: usize, radius: f32, low: f32, high: f32, look: Round) {
        let reach = low.abs().max(high.abs()) + radius;
        if !self.view.may_see(pose.origin, reach) {
            return;
        }
        let frame = Frame::new(self.view, pose);
        let sides = look.sides.clamp(3, 24);
        let (u, v) = ((axis + 1) % 3, (axis + 2) % 3);
        let at = |(cos, sin): (f32, f32), r: f32, level: f32| {
            let mut p = [0.0; 3];
            p[axis] = level;
            p[u] = r * cos;
            p[v] = r * sin;
            p
        };
        // Corners and the middles of the sides by turning on by half a side each.
        let (half_sin, half_cos) = sin_cos(std::f32::consts::PI / sides as f32);
        let turned = |(cos, sin): (f32, f32)| (cos * half_cos - sin * half_sin, cos * half_sin + sin * half_cos);
        let mut ring = [(1.0_f32, 0.0_f32); 24];
        let mut here = (1.0, 0.0);
        for corner in &mut ring[..sides] {
            let middle = turned(here);
            let next = turned(middle);
            *corner = here;
            if look.has_sides {
                let corners =
                    [at(here, radius, low), at(next, radius, low), at(next, radius, high), at(here, radius, high)];
                let normal = frame.direction(at(middle, 1.0, 0.0));
                self.face(&corners.map(|p| frame.corner(p)), normal, look.side);
            }
            here = next;
        }
        for (level, sign) in [(low, -1.0), (high, 1.0)] {
            let cap = ring.map(|direction| frame.corner(at(direction, radius, level)));
            self.face(&cap[..sides], frame.axis(axis, sign), look.cap);
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
    /// Whether the side faces are drawn; from afar the caps are enough.
    pub has_sides: bool,
    pub side: [f32; 3],
    pub cap: [f32; 3],
}
