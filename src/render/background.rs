//! What lies behind every object: sky, floor and walls.
//!
//! Painted without depth: nothing of it can hide an object. The floor reaches a little under the walls, and the walls
//! are painted over it with blended edges.

use super::camera::View;
use super::canvas::Canvas;
use super::colour::{blend, pack, scaled, shade};
use super::coverage::{Edge, Quad};
use super::ground::{Ground, Line};
use super::space::{Pose, dot};
use crate::sim::geometry::{WALL_HEIGHT_M, WALL_M};

/// Tints of the walls at +x, +z, −x, −z: the heading can be read from them, and none is a brick's colour.
const WALL_TINTS: [[f32; 3]; 4] =
    [[214.0, 150.0, 128.0], [150.0, 190.0, 162.0], [140.0, 166.0, 204.0], [218.0, 200.0, 148.0]];
const FLOOR: [f32; 3] = [174.0, 182.0, 176.0];
/// Brightness between light and dark squares of 1 m.
const FLOOR_CONTRAST: f32 = 6.0;
const SKY_LOW: [f32; 3] = [226.0, 233.0, 240.0];
const SKY_HIGH: [f32; 3] = [168.0, 194.0, 222.0];
/// Behind the arena as people see it; close to the background of a dark chat window.
const STUDIO_HIGH: [f32; 3] = [44.0, 47.0, 54.0];
const STUDIO_LOW: [f32; 3] = [26.0, 27.0, 31.0];
const PANELS_PER_WALL: usize = 8;
/// The dark strip along a wall's foot and the light one along its top.
const FOOT_M: f32 = 0.12;
const RIM_M: f32 = 0.09;
/// How far a wall reaches behind its neighbour.
const UNDER_M: f32 = 0.06;

/// Sky or studio wherever there is no floor.
#[inline(always)]
pub(super) fn paint_sky(canvas: &mut Canvas, view: &View, ground: &Ground) {
    for row in 0..canvas.height {
        let floor = ground.row(row).map_or((0, 0), |line| (line.start, line.end));
        if floor == (0, canvas.width) {
            continue;
        }
        let colour = if view.in_cab {
            let slope = view.forward[1] + (row as f32 + 0.5 - view.centre.1) / view.focal * view.down[1];
            blend(SKY_LOW, SKY_HIGH, (slope * 4.0).clamp(0.0, 1.0))
        } else {
            blend(STUDIO_HIGH, STUDIO_LOW, row as f32 / canvas.height as f32)
        };
        let pixels = canvas.row_mut(row);
        pixels[..floor.0].fill(pack(colour));
        pixels[floor.1..].fill(pack(colour));
    }
}

/// The floor's squares, a little redder towards +x and bluer towards +z, paler where they become too fine to see.
#[inline(always)]
pub(super) fn paint_floor(canvas: &mut Canvas, ground: &Ground) {
    /// Binary digits after the point.
    const POINT: u32 = 20;
    let one = (1_u32 << POINT) as f32;
    for (row, Line { depth_m, .. }, line) in ground.rows_between(0, canvas.height) {
        let contrast = FLOOR_CONTRAST * (1.25 - depth_m).clamp(0.1, 1.0);
        let dark = pack(FLOOR.map(|c| c - 8.0 - 0.5 * contrast));
        let step_up = (contrast + 0.5) as u32 * 0x0001_0101;
        let at = |axis: usize| ((line.base[axis] + line.step[axis] * line.start as f32 + WALL_M) * one) as i32;
        let (mut x, mut z) = (at(0), at(1));
        let [step_x, step_z] = line.step.map(|step| (step * one) as i32);
        for pixel in &mut canvas.row_mut(row)[line.start..line.end] {
            let (cell_x, cell_z) = (x >> POINT, z >> POINT);
            let light = ((cell_x ^ cell_z) & 1).wrapping_neg() as u32 & step_up;
            *pixel = dark.wrapping_add(light).wrapping_add(cell_x as u32).wrapping_add((cell_z << 16) as u32);
            x = x.wrapping_add(step_x);
            z = z.wrapping_add(step_z);
        }
    }
}

/// The inner faces of the walls that look towards the eye: panels of 2 m, a dark foot, a light rim.
pub(super) fn paint_walls(canvas: &mut Canvas, view: &View) {
    for (side, &tint) in WALL_TINTS.iter().enumerate() {
        let pose = Pose::quarter_turned([0.0; 3], side);
        let inward = pose.direction([-1.0, 0.0, 0.0]);
        if dot(inward, view.eye) < -WALL_M {
            continue;
        }
        let at = |left: f32, up: f32| pose.point([WALL_M, up, left]);
        let whole = [at(-WALL_M, 0.0), at(WALL_M, 0.0), at(WALL_M, WALL_HEIGHT_M), at(-WALL_M, WALL_HEIGHT_M)];
        let Some(rows) = view.rows_of(&whole) else { continue };
        let lit = shade(tint, inward);
        let quad = |from: f32, to: f32, low: f32, high: f32| {
            Quad::new(view, [at(from, low), at(to, low), at(to, high), at(from, high)])
        };
        // What is painted first reaches a little under what is painted over it, so that nothing shows between the two:
        // the wall under its foot and rim, and each wall behind its neighbours that come later.
        let right = if side == 0 { -WALL_M - UNDER_M } else { -WALL_M };
        let left = if side == 3 { WALL_M } else { WALL_M + UNDER_M };
        let width = 2.0 * WALL_M / PANELS_PER_WALL as f32;
        let seams = [0, 1, 2, 3, 4, 5, 6].map(|seam| {
            let left = -WALL_M + (seam + 1) as f32 * width;
            Edge::new(
                view,
                view.camera_axes(at(left, 0.0)),
                view.camera_axes(at(left, WALL_HEIGHT_M)),
                view.camera_axes(at(left + 1.0, 0.0)),
            )
        });
        let panels = quad(right, left, 0.5 * FOOT_M, WALL_HEIGHT_M - 0.5 * RIM_M);
        canvas.paint_striped(&panels, rows, &seams, [pack(lit), pack(scaled(lit, 0.93))]);
        canvas.paint(&quad(right, left, 0.0, FOOT_M), rows, pack(scaled(lit, 0.72)));
        let rim = quad(right, left, WALL_HEIGHT_M - RIM_M, WALL_HEIGHT_M);
        canvas.paint(&rim, rows, pack(scaled(lit, 1.16)));
    }
}
