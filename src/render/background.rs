//! What lies behind every object: sky, walls, floor and the shadows on the floor.
//!
//! Painted back to front without depth: nothing of it can hide an object. A floor row is linear in the world, so its
//! squares are stepped through in fixed point; a shadow is a soft-edged rectangle on the floor.

use super::camera::View;
use super::canvas::{Canvas, Polygon};
use super::colour::{blend, pack, scaled, shade};
use super::space::{Pose, V3, dot};
use crate::sim::geometry::{BOX_CENTRE_M, BOX_HALF_M, WALL_HEIGHT_M, WALL_M};

/// Tints of the walls at +x, +z, −x, −z: the heading can be read from them, and none is a brick's colour.
const WALL_TINTS: [[f32; 3]; 4] =
    [[214.0, 150.0, 128.0], [150.0, 190.0, 162.0], [140.0, 166.0, 204.0], [218.0, 200.0, 148.0]];
const FLOOR: [f32; 3] = [174.0, 182.0, 176.0];
/// Brightness between light and dark squares of 1 m.
const FLOOR_CONTRAST: f32 = 6.0;
const BOX_FLOOR: [f32; 3] = [84.0, 70.0, 58.0];
const SKY_LOW: [f32; 3] = [226.0, 233.0, 240.0];
const SKY_HIGH: [f32; 3] = [168.0, 194.0, 222.0];
/// Behind the arena as people see it; close to the background of a dark chat window.
const STUDIO_HIGH: [f32; 3] = [44.0, 47.0, 54.0];
const STUDIO_LOW: [f32; 3] = [26.0, 27.0, 31.0];
const PANELS_PER_WALL: usize = 8;

/// A soft-edged dark rectangle on the floor.
#[derive(Debug, Clone, Copy)]
pub(super) struct Shadow {
    /// Origin on the floor, first axis along the first half extent, third along the second.
    pub pose: Pose,
    /// Half extents of the half-dark line.
    pub half_m: (f32, f32),
    /// Width of the soft edge.
    pub blur_m: f32,
    /// Darkness in the middle, 0 to 1.
    pub strength: f32,
}

/// Sky or studio, on every row that is not floor from end to end.
pub(super) fn paint_sky(canvas: &mut Canvas, view: &View) {
    for row in 0..canvas.height {
        let floor = GroundRow::new(view, row).and_then(|ground| ground.inside_arena(canvas.width));
        if floor == Some((0, canvas.width)) {
            continue;
        }
        let colour = if view.in_cab {
            let slope = view.forward[1] + (row as f32 + 0.5 - view.centre.1) / view.focal * view.down[1];
            blend(SKY_LOW, SKY_HIGH, (slope * 4.0).clamp(0.0, 1.0))
        } else {
            blend(STUDIO_HIGH, STUDIO_LOW, row as f32 / canvas.height as f32)
        };
        canvas.row_mut(row).fill(pack(colour));
    }
}

/// The inner faces of the walls that look towards the eye: panels of 2 m, a dark foot, a light rim.
pub(super) fn paint_walls(canvas: &mut Canvas, view: &View) {
    for (side, &tint) in WALL_TINTS.iter().enumerate() {
        let pose = Pose::standing([0.0; 3], side as f32 * std::f32::consts::FRAC_PI_2);
        let inward = pose.direction([-1.0, 0.0, 0.0]);
        if dot(inward, view.eye) < -WALL_M {
            continue;
        }
        let lit = shade(tint, inward);
        let mut strip = |from: f32, to: f32, low: f32, high: f32, colour: [f32; 3]| {
            let corners = [(from, low), (to, low), (to, high), (from, high)];
            let area = Polygon::new(corners.map(|(left, up)| pose.point([WALL_M, up, left])));
            let packed = pack(colour);
            canvas.paint(view, &area, |_, _, span| span.fill(packed));
        };
        let width = 2.0 * WALL_M / PANELS_PER_WALL as f32;
        // Every strip begins below the floor, so that no gap opens between the two.
        strip(-WALL_M, WALL_M, -0.2, WALL_HEIGHT_M, lit);
        for panel in (1..PANELS_PER_WALL).step_by(2) {
            let from = -WALL_M + panel as f32 * width;
            strip(from, from + width, -0.2, WALL_HEIGHT_M, scaled(lit, 0.93));
        }
        strip(-WALL_M, WALL_M, -0.2, 0.12, scaled(lit, 0.72));
        strip(-WALL_M, WALL_M, WALL_HEIGHT_M - 0.09, WALL_HEIGHT_M, scaled(lit, 1.16));
    }
}

/// The floor's squares, a little redder towards +x and bluer towards +z, paler where they become too fine to see.
pub(super) fn paint_floor(canvas: &mut Canvas, view: &View) {
    /// Binary digits after the point.
    const POINT: u32 = 20;
    let one = (1_u32 << POINT) as f32;
    for row in 0..canvas.height {
        let Some(ground) = GroundRow::new(view, row) else { continue };
        let Some((start, end)) = ground.inside_arena(canvas.width) else { continue };
        let contrast = FLOOR_CONTRAST * (1.25 - ground.depth_per_row_m).clamp(0.1, 1.0);
        let dark = pack(FLOOR.map(|c| c - 8.0 - 0.5 * contrast));
        let step_up = contrast.round() as u32 * 0x0001_0101;
        let at = |axis: usize| ((ground.base[axis] + ground.step[axis] * start as f32 + WALL_M) * one) as i32;
        let (mut x, mut z) = (at(0), at(1));
        let [step_x, step_z] = ground.step.map(|step| (step * one).round() as i32);
        for sample in &mut canvas.row_mut(row)[start..end] {
            let (cell_x, cell_z) = ((x >> POINT) as u32, (z >> POINT) as u32);
            let light = ((cell_x ^ cell_z) & 1).wrapping_neg() & step_up;
            *sample = dark.wrapping_add(light).wrapping_add(cell_x << 16).wrapping_add(cell_z);
            x = x.wrapping_add(step_x);
            z = z.wrapping_add(step_z);
        }
    }
}

/// The dark floor inside the box.
pub(super) fn paint_box_floor(canvas: &mut Canvas, view: &View) {
    let (low, high) = (BOX_CENTRE_M - BOX_HALF_M, BOX_CENTRE_M + BOX_HALF_M);
    let area = Polygon::new([(low, low), (high, low), (high, high), (low, high)].map(|(x, z)| [x, 0.0, z]));
    let packed = pack(BOX_FLOOR);
    canvas.paint(view, &area, |_, _, span| span.fill(packed));
}

/// Darkens the floor under one shadow.
pub(super) fn paint_shadow(canvas: &mut Canvas, view: &View, shadow: &Shadow) {
    let reach = 0.5 * shadow.blur_m;
    let (a, b) = (shadow.half_m.0 + reach, shadow.half_m.1 + reach);
    let corners = [[-a, 0.0, -b], [a, 0.0, -b], [a, 0.0, b], [-a, 0.0, b]];
    let radius = (a * a + b * b).sqrt();
    if !view.may_see(shadow.pose.origin, radius) {
        return;
    }
    let area = Polygon::new(corners.map(|c| on_floor(shadow.pose.point(c))));
    let (u, v) = (shadow.pose.axes[0], shadow.pose.axes[2]);
    let origin = shadow.pose.origin;
    let per_m = 1.0 / shadow.blur_m.max(1e-3);
    const SHIFT: f32 = 8_388_608.0;
    canvas.paint(view, &area, |row, start, span| {
        let Some(ground) = GroundRow::new(view, row) else { return };
        let along = |axis: V3| {
            let base = (ground.base[0] - origin[0]) * axis[0] + (ground.base[1] - origin[2]) * axis[2];
            let step = ground.step[0] * axis[0] + ground.step[1] * axis[2];
            (base + step * start as f32, step)
        };
        let ((p_start, step_p), (q_start, step_q)) = (along(u), along(v));
        for (i, sample) in (0_i32..).zip(span) {
            let (p, q) = (p_start + step_p * i as f32, q_start + step_q * i as f32);
            let cover_p = (0.5 + (shadow.half_m.0 - p.abs()) * per_m).clamp(0.0, 1.0);
            let cover_q = (0.5 + (shadow.half_m.1 - q.abs()) * per_m).clamp(0.0, 1.0);
            let cover = cover_p * cover_q;
            let smooth = cover * cover * (3.0 - 2.0 * cover);
            // Whole numbers are the low digits of a float near 2²³: a cast would be checked, and not vectorised.
            let keep = (SHIFT + 256.0 - 256.0 * shadow.strength * smooth).to_bits() & 0x1ff;
            let red_blue = (((*sample & 0x00ff_00ff) * keep) >> 8) & 0x00ff_00ff;
            let green = (((*sample & 0x0000_ff00) * keep) >> 8) & 0x0000_ff00;
            *sample = red_blue | green;
        }
    });
}

fn on_floor(p: V3) -> V3 {
    [p[0].clamp(-WALL_M, WALL_M), 0.0, p[2].clamp(-WALL_M, WALL_M)]
}

/// The ground under one row of samples: sample `i` shows `base + step·i` on (x, z).
struct GroundRow {
    base: [f32; 2],
    step: [f32; 2],
    /// How much ground one row covers away from the eye.
    depth_per_row_m: f32,
}

impl GroundRow {
    /// Nothing at and above the horizon.
    fn new(view: &View, row: usize) -> Option<Self> {
        let y = (row as f32 + 0.5 - view.centre.1) / view.focal;
        let fall = -(view.forward[1] + y * view.down[1]);
        if fall < 1e-3 {
            return None;
        }
        let reach = view.eye[1] / fall;
        let x = (0.5 - view.centre.0) / view.focal;
        let at =
            |axis: usize| view.eye[axis] + reach * (view.forward[axis] + y * view.down[axis] + x * view.right[axis]);
        let per_sample = reach / view.focal;
        Some(Self {
            base: [at(0), at(2)],
            step: [per_sample * view.right[0], per_sample * view.right[2]],
            depth_per_row_m: view.eye[1] / (fall * fall * view.focal),
        })
    }

    /// The samples of this row that show the arena's floor.
    fn inside_arena(&self, width: usize) -> Option<(usize, usize)> {
        let (mut low, mut high) = (0.0_f32, width as f32 - 1.0);
        for axis in 0..2 {
            let (base, step) = (self.base[axis], self.step[axis]);
            if step.abs() < 1e-9 {
                if base.abs() > WALL_M {
                    return None;
                }
                continue;
            }
            let (a, b) = ((-WALL_M - base) / step, (WALL_M - base) / step);
            low = low.max(a.min(b));
            high = high.min(a.max(b));
        }
        let (start, end) = (low.ceil(), high.floor() + 1.0);
        if start < end { Some((start as usize, (end as usize).min(width))) } else { None }
    }
}
