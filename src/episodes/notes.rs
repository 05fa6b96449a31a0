//! What the side table keeps of a frame besides LeRobot's columns: who acted, the phase, the privileged state.

use crate::dataset::{Actor, FrameNotes};
use crate::sim::geometry::{BOX_CENTRE_M, BUCKET_BACK_M, BUCKET_LIP_M};
use crate::sim::{self, BrickStatus, WorldState};

/// The numbers of the loader at the beginning of a privileged state, in order.
pub(super) const LOADER_NAMES: [&str; 9] =
    ["step", "x_m", "z_m", "heading_rad", "speed_mps", "steering_rad", "lift_m", "tilt", "touching"];
/// The numbers of each brick that follow, in order. Status: 0 free, 1 held, 2 delivered.
pub(super) const BRICK_NAMES: [&str; 9] = ["x_m", "y_m", "z_m", "qx", "qy", "qz", "qw", "colour", "status"];
/// A brick this far before the lip and this far from the axis is being scooped.
const SCOOP_AHEAD_M: f32 = 0.6;
const SCOOP_ASIDE_M: f32 = 0.45;
/// With a load this near to the box's centre, the loader is about to drop it.
const DROP_NEAR_M: f32 = 2.6;

/// The notes of a frame that shows `state`.
pub(super) fn notes(state: &WorldState, actor: Actor) -> FrameNotes {
    FrameNotes { actor, phase: phase(state).into(), privileged: privileged(state) }
}

/// What the task is at in this state: `search`, `approach`, `scoop`, `carry`, `drop` or `done`.
fn phase(state: &WorldState) -> &'static str {
    let loader = &state.loader;
    if state.is_loaded() {
        let to_box_m = (loader.x_m - BOX_CENTRE_M).hypot(loader.z_m - BOX_CENTRE_M);
        return if to_box_m < DROP_NEAR_M { "drop" } else { "carry" };
    }
    let mut phase = if state.remaining() == 0 { "done" } else { "search" };
    for brick in state.bricks.iter().filter(|brick| brick.status == BrickStatus::Free) {
        let (forward_m, left_m) = state.in_loader_frame(brick.position_m[0], brick.position_m[2]);
        let before_lip = (BUCKET_BACK_M..BUCKET_LIP_M + SCOOP_AHEAD_M).contains(&forward_m);
        if before_lip && left_m.abs() < SCOOP_ASIDE_M {
            return "scoop";
        }
        if sim::visible(state, brick) {
            phase = "approach";
        }
    }
    phase
}

/// All of the state in numbers: [`LOADER_NAMES`] once, [`BRICK_NAMES`] for each brick.
fn privileged(state: &WorldState) -> Vec<f32> {
    let l = &state.loader;
    let touching = f32::from(u8::from(l.touching));
    let mut numbers = Vec::with_capacity(LOADER_NAMES.len() + BRICK_NAMES.len() * state.bricks.len());
    let loader: [f32; LOADER_NAMES.len()] =
        [state.step as f32, l.x_m, l.z_m, l.heading_rad, l.speed_mps, l.steering_rad, l.lift_m, l.tilt, touching];
    numbers.extend(loader);
    for brick in &state.bricks {
        let ([x, y, z], [qx, qy, qz, qw]) = (brick.position_m, brick.rotation);
        let status = match brick.status {
            BrickStatus::Free => 0.0,
            BrickStatus::Held => 1.0,
            BrickStatus::Delivered => 2.0,
        };
        let brick: [f32; BRICK_NAMES.len()] = [x, y, z, qx, qy, qz, qw, f32::from(brick.colour), status];
        numbers.extend(brick);
    }
    numbers
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sim::{BrickState, LoaderState};

    fn brick(x_m: f32, status: BrickStatus) -> BrickState {
        BrickState {
            position_m: [x_m, 0.1, 0.0],
            rotation: [0.0, 0.0, 0.0, 1.0],
            half_extents_m: [0.15, 0.1, 0.15],
            colour: 0,
            status,
        }
    }

    #[test]
    fn phases_follow_the_task() {
        let state = |bricks: Vec<BrickState>| WorldState { bricks, ..WorldState::default() };
        assert_eq!(phase(&state(vec![brick(-3.0, BrickStatus::Free)])), "search");
        assert_eq!(phase(&state(vec![brick(4.0, BrickStatus::Free)])), "approach");
        assert_eq!(phase(&state(vec![brick(4.0, BrickStatus::Free), brick(2.2, BrickStatus::Free)])), "scoop");
        assert_eq!(phase(&state(vec![brick(1.5, BrickStatus::Held)])), "carry");
        assert_eq!(phase(&state(vec![brick(-6.0, BrickStatus::Delivered)])), "done");
        let loader = LoaderState { x_m: -5.0, z_m: -4.5, ..LoaderState::default() };
        let near = WorldState { loader, bricks: vec![brick(-6.0, BrickStatus::Held)], step: 7 };
        assert_eq!(phase(&near), "drop");
        let numbers = privileged(&near);
        assert_eq!(numbers.len(), LOADER_NAMES.len() + BRICK_NAMES.len());
        assert_eq!((numbers[0], numbers[1], numbers[17]), (7.0, -5.0, 1.0));
    }
}
