//! The ground plane, row by row: what every painter of the floor steps along.
//!
//! A camera never rolls, so along one row of pixels the ground is linear, and how far ahead a row looks depends on
//! the camera alone. That part is reckoned once; a frame only turns it by the heading.

use super::camera::{Camera, View};
use super::canvas::first_at;
use super::space::{larger, smaller};
use crate::sim::LoaderState;
use crate::sim::geometry::WALL_M;

/// How far beyond the walls the floor is painted at most: for the cab the walls hide it, for people the curb does.
const BEYOND_CAB_M: f32 = 4.0;
const BEYOND_CURB_M: f32 = 0.15;

/// The ground under the rows below the horizon.
#[derive(Debug, Clone)]
pub(super) struct Ground {
    /// The first row that shows ground.
    first: usize,
    lines: Vec<Line>,
    rows: Vec<GroundRow>,
    /// The point under the eye on (x, z).
    pub eye: [f32; 2],
    /// The horizontal direction of view, and the one to its right.
    pub ahead: [f32; 2],
    pub right: [f32; 2],
}

/// The ground under one row of pixels, as far as it does not change when the camera moves about at its height.
#[derive(Debug, Clone, Copy)]
pub(super) struct Line {
    /// From the point under the eye to the row's middle, along the direction of view.
    pub ahead_m: f32,
    /// From there to the row's first pixel, to the right: negative.
    pub aside_m: f32,
    /// Width of one pixel, and how many pixels a metre has.
    pub across_m: f32,
    pub per_across: f32,
    /// How much ground the row covers away from the eye.
    pub depth_m: f32,
}

/// The arena's floor under one row of pixels: pixel `i` shows `base + step·i` on (x, z).
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct GroundRow {
    pub base: [f32; 2],
    pub step: [f32; 2],
    /// The first pixel on the floor …
    pub start: usize,
    /// … and the first one behind it.
    pub end: usize,
}

impl Ground {
    pub fn new(camera: &Camera) -> Self {
        let view = View::new(camera, &LoaderState::default());
        let line = |row: usize| {
            let y = (row as f32 + 0.5 - view.centre.1) / view.focal;
            let fall = -(view.forward[1] + y * view.down[1]);
            let level = |d: [f32; 3]| d[0] * -view.right[2] + d[2] * view.right[0];
            let reach = view.eye[1] / fall;
            let across_m = reach / view.focal;
            (fall >= 1e-3).then(|| Line {
                ahead_m: reach * (level(view.forward) + y * level(view.down)),
                aside_m: (0.5 - view.centre.0) * across_m,
                across_m,
                per_across: 1.0 / across_m,
                depth_m: view.eye[1] / (fall * fall * view.focal),
            })
        };
        let lines: Vec<Line> = (0..view.height).filter_map(line).collect();
        let rows = vec![GroundRow::default(); lines.len()];
        Self { first: view.height - lines.len(), rows, lines, eye: [0.0; 2], ahead: [1.0, 0.0], right: [0.0, -1.0] }
    }

    /// Turns every row to where the camera now looks.
    #[inline(always)]
    pub fn turn_to(&mut self, view: &View) {
        let right = [view.right[0], view.right[2]];
        let ahead = [-right[1], right[0]];
        let eye = [view.eye[0], view.eye[2]];
        (self.eye, self.ahead, self.right) = (eye, ahead, right);
        let per_right = [1.0 / right[0], 1.0 / right[1]];
        let beyond_m = if view.in_cab { BEYOND_CAB_M } else { BEYOND_CURB_M };
        for (row, line) in self.rows.iter_mut().zip(&self.lines) {
            let limit_m = WALL_M + (line.depth_m + line.across_m).min(beyond_m);
            let (mut low, mut high) = (0.0_f32, view.width as f32);
            for axis in 0..2 {
                row.base[axis] = eye[axis] + line.ahead_m * ahead[axis] + line.aside_m * right[axis];
                row.step[axis] = line.across_m * right[axis];
                let per_step = line.per_across * per_right[axis];
                let (a, b) = ((-limit_m - row.base[axis]) * per_step, (limit_m - row.base[axis]) * per_step);
                low = larger(smaller(a, b), low);
                high = smaller(larger(a, b), high);
            }
            row.end = first_at(high + 0.5).min(view.width);
            row.start = first_at(low + 0.5).min(row.end);
        }
    }

    /// The ground under a row of the picture; nothing at and above the horizon.
    pub fn row(&self, row: usize) -> Option<&GroundRow> {
        self.rows.get(row.checked_sub(self.first)?)
    }

    /// The rows of the picture from `top` to before `bottom` that show ground.
    #[inline(always)]
    pub fn rows_between(&self, top: usize, bottom: usize) -> impl Iterator<Item = (usize, &Line, &GroundRow)> {
        let behind = self.first + self.rows.len();
        let bottom = bottom.clamp(self.first, behind);
        let top = top.clamp(self.first, bottom);
        let among = top - self.first..bottom - self.first;
        (top..bottom)
            .zip(self.lines[among.clone()].iter().zip(&self.rows[among]))
            .map(|(row, (line, at))| (row, line, at))
    }
}
