//! Looking for bricks: round a closed track from which everything on the floor comes near.
//!
//! Which way to go follows from the pose alone, and goes on at every place and heading, so that a policy can imitate
//! it and never stands still. The track is laid for eyes worse than the expert's: along it every wall, corner and the
//! middle come within 5 m and into the camera's view.

use super::drive::{Driver, Goal};

/// Corners of the track on the ground plane, in driving order. It leaves the box's corner out and dips into the
/// middle twice: a plain circle would never see its own centre.
const TRACK_M: [(f32, f32); 7] =
    [(5.5, 5.5), (0.0, 2.5), (-5.5, 5.5), (-5.8, -3.0), (0.0, -2.0), (2.0, -5.5), (5.5, -5.5)];
/// The loader aims this far along the track ahead of where it is nearest.
const AHEAD_M: f32 = 2.4;
/// Of two equally near stretches the loader joins the one it looks along: this many metres make up for half a turn's
/// cosine.
const HEADING_WEIGHT_M: f32 = 0.7;
/// Throttle on the track.
const THROTTLE: f32 = 1.0;

/// Steering and throttle along the search track.
pub fn search(driver: &Driver) -> (f32, f32) {
    let (x_m, z_m) = aim(driver);
    driver.towards(x_m, z_m, Goal::Way, THROTTLE)
}

/// The point of the track to go for.
fn aim(driver: &Driver) -> (f32, f32) {
    let pose = &driver.pose;
    let mut best = (f32::INFINITY, 0, 0.0);
    for index in 0..TRACK_M.len() {
        let ((from_x, from_z), (along_x, along_z), length_m) = stretch(index);
        let (dx, dz) = (pose.x_m - from_x, pose.z_m - from_z);
        let along_m = (dx * along_x + dz * along_z).clamp(0.0, length_m);
        let off_m = (dx - along_m * along_x).hypot(dz - along_m * along_z);
        let cost = off_m + HEADING_WEIGHT_M * (1.0 - (pose.cos * along_x + pose.sin * along_z));
        if cost < best.0 {
            best = (cost, index, along_m);
        }
    }
    let (_, mut index, along_m) = best;
    let mut left_m = along_m + AHEAD_M;
    loop {
        let ((from_x, from_z), (along_x, along_z), length_m) = stretch(index);
        if left_m <= length_m {
            return (from_x + left_m * along_x, from_z + left_m * along_z);
        }
        left_m -= length_m;
        index = (index + 1) % TRACK_M.len();
    }
}

/// Beginning, direction and length of the straight that starts at this corner.
fn stretch(index: usize) -> ((f32, f32), (f32, f32), f32) {
    let (from, to) = (TRACK_M[index], TRACK_M[(index + 1) % TRACK_M.len()]);
    let (dx, dz) = (to.0 - from.0, to.1 - from.1);
    let length_m = dx.hypot(dz);
    (from, (dx / length_m, dz / length_m), length_m)
}

#[cfg(test)]
mod tests {
    use crate::base::Seed;
    use crate::sim::{BrickStatus, World, expert, families, visible};

    /// A brick that only a near-sighted driver looks for: every family's first brick comes within 5 m and into view.
    #[test]
    fn the_track_brings_everything_near() {
        let mut found = 0;
        let mut times = 0;
        for family in families().iter().filter(|family| family.name != "loaded_far") {
            for index in 0..5 {
                let mut scene = family.sample(1, &mut Seed(31).child(&family.name, index).rng()).unwrap();
                let brick = scene.bricks[0];
                scene.bricks[0].status = BrickStatus::Delivered;
                let mut world = World::new(&scene).unwrap();
                for step in 0..500 {
                    let state = world.state();
                    let (forward, left) = state.in_loader_frame(brick.position_m[0], brick.position_m[2]);
                    if visible(state, &brick) && forward.hypot(left) < 5.0 {
                        found += 1;
                        times += step;
                        break;
                    }
                    let next = expert(state);
                    world.step(next);
                }
            }
        }
        assert!(found >= 59, "{found} of 60");
        assert!(times / found < 200, "{} steps in the mean", times / found);
    }
}
