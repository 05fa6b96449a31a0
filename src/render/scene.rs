//! What stands in the arena besides the loader: the box, the bricks, and the walls as people see them.

use super::camera::View;
use super::canvas::Canvas;
use super::colour::{SUN, lego, pack};
use super::coverage::Quad;
use super::shadow::Shadow;
use super::solids::{Painter, Round};
use super::space::{Pose, V3, dot};
use crate::sim::BrickState;
use crate::sim::geometry::{BOX_CENTRE_M, BOX_HALF_M, BOX_HEIGHT_M, WALL_HEIGHT_M, WALL_M};

const BOX_WALL_M: f32 = 0.07;
const BOX_FLOOR: [f32; 3] = [84.0, 70.0, 58.0];
const BOX_COLOUR: [f32; 3] = [150.0, 112.0, 74.0];
const BOX_RIM: [f32; 3] = [232.0, 222.0, 204.0];
const CURB: [f32; 3] = [120.0, 124.0, 132.0];
const CURB_HEIGHT_M: f32 = 0.12;
const WALL_WIDTH_M: f32 = 0.18;
const WALL_TOP: [f32; 3] = [222.0, 224.0, 228.0];
/// Studs smaller than this across are not drawn: they would only flicker …
const STUD_MIN_PX: f32 = 2.5;
/// … and smaller than this only their tops.
const STUD_SIDES_MIN_PX: f32 = 2.5;

/// The dark floor inside the box; its edge lies under the walls.
pub(super) fn paint_box_floor(canvas: &mut Canvas, view: &View) {
    let out = BOX_HALF_M - 0.5 * BOX_WALL_M;
    let (low, high) = (BOX_CENTRE_M - out, BOX_CENTRE_M + out);
    let corners = [(low, low), (high, low), (high, high), (low, high)].map(|(x, z)| [x, 0.0, z]);
    if let Some(rows) = view.rows_of(&corners) {
        canvas.paint(&Quad::new(view, corners), rows, pack(BOX_FLOOR));
    }
}

/// The open box: four walls with a light rim.
pub(super) fn draw_box(painter: &mut Painter) {
    let rim_m = 0.05;
    for side in 0..4 {
        let pose = Pose::quarter_turned([BOX_CENTRE_M, 0.0, BOX_CENTRE_M], side);
        // Each wall gives one corner to its neighbour, so that no two overlap.
        let (inner, outer) = (BOX_HALF_M - BOX_WALL_M, BOX_HALF_M);
        let top = BOX_HEIGHT_M - rim_m;
        painter.cuboid(&pose, [inner, 0.0, -outer], [outer, top, inner], BOX_COLOUR);
        painter.cuboid(&pose, [inner, top, -outer], [outer, BOX_HEIGHT_M, inner], BOX_RIM);
    }
}

/// The walls' thickness for people: near walls are only a low curb, so that they hide nothing; far ones get a top.
pub(super) fn draw_wall_tops(painter: &mut Painter) {
    for side in 0..4 {
        let pose = Pose::quarter_turned([0.0; 3], side);
        let outer = WALL_M + WALL_WIDTH_M;
        painter.cuboid(&pose, [WALL_M, 0.0, -outer], [outer, CURB_HEIGHT_M, WALL_M], CURB);
        if dot(pose.axes[0], painter.view.eye) < WALL_M {
            painter.cuboid(&pose, [WALL_M, WALL_HEIGHT_M - 0.09, -outer], [outer, WALL_HEIGHT_M, outer], WALL_TOP);
            for (right, left) in [(-outer, -WALL_M), (WALL_M, outer)] {
                painter.cuboid(&pose, [WALL_M, 0.0, right], [outer, WALL_HEIGHT_M - 0.09, left], CURB);
            }
        }
    }
}

/// One brick with its studs on its own upper side.
pub(super) fn draw_brick(painter: &mut Painter, brick: &BrickState) {
    let pose = Pose::from_quaternion(brick.position_m, brick.rotation);
    let h = brick.half_extents_m;
    let colour = lego(brick.colour);
    painter.cuboid(&pose, [-h[0], -h[1], -h[2]], h, colour);
    let pitch = h[0].min(h[2]);
    let radius = 0.31 * pitch;
    let size_px = painter.view.px_of(brick.position_m, 2.0 * radius);
    if size_px < STUD_MIN_PX {
        return;
    }
    let sides = if size_px < 7.0 { 8 } else { 14 };
    let look = Round { sides, has_sides: size_px >= STUD_SIDES_MIN_PX, side: colour, cap: colour };
    let count = |half: f32| ((2.0 * half / pitch + 0.5) as usize).clamp(1, 12);
    let (along, across) = (count(h[0]), count(h[2]));
    for i in 0..along {
        for j in 0..across {
            let place = |k: usize, n: usize, half: f32| (2.0 * half) * ((k as f32 + 0.5) / n as f32) - half;
            let stud = pose.moved([place(i, along, h[0]), h[1], place(j, across, h[2])]);
            painter.cylinder(&stud, 1, radius, 0.0, 0.22 * pitch, look);
        }
    }
}

/// Where the sun throws the shadow of something at this height above a floor point.
pub(super) fn sun_shift(at: V3, height_m: f32) -> V3 {
    let k = height_m / SUN[1];
    [at[0] - k * SUN[0], 0.0, at[2] - k * SUN[2]]
}

/// A brick's shadows: one close under it, that grows soft as it is lifted, and one thrown by the sun.
pub(super) fn brick_shadows(brick: &BrickState) -> [Shadow; 2] {
    let pose = Pose::from_quaternion(brick.position_m, brick.rotation);
    let h = brick.half_extents_m;
    // The axis that points up most; the other two span the footprint.
    let steepest = (0..3).max_by(|&a, &b| pose.axes[a][1].abs().total_cmp(&pose.axes[b][1].abs())).unwrap_or(1);
    let (u, v) = ((steepest + 1) % 3, (steepest + 2) % 3);
    let (x, z) = (pose.axes[u][0], pose.axes[u][2]);
    let length = (x * x + z * z).sqrt();
    let (x, z) = if length > 1e-6 { (x / length, z / length) } else { (1.0, 0.0) };
    let below = (0..3).map(|axis| pose.axes[axis][1].abs() * h[axis]).sum::<f32>();
    let gap = (brick.position_m[1] - below).max(0.0);
    let floor = [brick.position_m[0], 0.0, brick.position_m[2]];
    let close = Shadow {
        pose: Pose::facing(floor, x, z),
        half_m: (h[u], h[v]),
        blur_m: 0.14 + 0.5 * gap,
        strength: 0.6 / (1.0 + gap),
    };
    let thrown = Shadow {
        pose: Pose::facing(sun_shift(floor, brick.position_m[1]), x, z),
        half_m: (h[u], h[v]),
        blur_m: 0.1 + 0.3 * gap,
        strength: 0.32 / (1.0 + gap),
    };
    [thrown, close]
}

/// The box's shadows: at its foot, thrown, and the dusk inside.
pub(super) fn box_shadows() -> [Shadow; 2] {
    let centre = [BOX_CENTRE_M, 0.0, BOX_CENTRE_M];
    [
        Shadow {
            pose: Pose::facing(sun_shift(centre, 0.5 * BOX_HEIGHT_M), 1.0, 0.0),
            half_m: (BOX_HALF_M, BOX_HALF_M),
            blur_m: 0.25,
            strength: 0.3,
        },
        Shadow { pose: Pose::facing(centre, 1.0, 0.0), half_m: (BOX_HALF_M, BOX_HALF_M), blur_m: 0.3, strength: 0.45 },
    ]
}

/// The dusk at the foot of the four walls.
pub(super) fn wall_shadows() -> [Shadow; 4] {
    [0, 1, 2, 3].map(|side| {
        let pose = Pose::quarter_turned([0.0; 3], side);
        Shadow { pose: pose.moved([WALL_M, 0.0, 0.0]), half_m: (0.25, WALL_M + 1.0), blur_m: 0.5, strength: 0.28 }
    })
}

/// Whether everything about a brick is a number.
pub(super) fn is_drawable(brick: &BrickState, view: &View) -> bool {
    let numbers = brick.position_m.iter().chain(&brick.rotation).chain(&brick.half_extents_m);
    let radius = brick.half_extents_m.iter().map(|h| h * h).sum::<f32>().sqrt();
    numbers.into_iter().all(|v| v.is_finite()) && view.may_see(brick.position_m, 2.0 * radius + 1.5)
}
