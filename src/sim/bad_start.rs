//! Starts off every demonstrated path: what noise and a learning policy lead into, as scenes.

use super::SimError;
use super::footprint::wrap_rad;
use super::geometry::{BOX_CENTRE_M, LIFT_MAX_M, STEERING_MAX_RAD};
use super::scenario::{Family, Scene, TRIES, at_wall, hold, loader_fits, overlaps_loader};
use super::state::{BrickState, BrickStatus, LoaderState};
use crate::base::Rng;
use rand::Rng as _;
use std::f32::consts::{FRAC_PI_2, PI};

/// A start off every demonstrated path, with the bricks of one of these families: any pose, lift, tilt and speed, sometimes loaded, near brick, box or wall.
///
/// # Errors
/// [`SimError::BrickCount`] outside 1 to 10, [`SimError::NoRoom`] when no free place is found.
pub fn bad_start(families: &[Family], bricks: usize, rng: &mut Rng) -> Result<Scene, SimError> {
    let Some(family) = families.get(rng.random_range(0..families.len().max(1))) else {
        return Err(SimError::NoRoom { family: "bad_start".to_owned(), tries: 0 });
    };
    let mut scene = family.sample(bricks, rng)?;
    scene.family = "bad_start".to_owned();
    for _ in 0..TRIES {
        let mut loader = disturbed(&scene, rng);
        let loaded = rng.random_range(0..4) == 0;
        if loaded || scene.bricks[0].status == BrickStatus::Held {
            loader.tilt = rng.random_range(0.0..=1.0);
        }
        let clear = |b: &BrickState| b.status == BrickStatus::Held || !overlaps_loader(b, &loader, 0.0);
        let rest = scene.bricks.get(1..).unwrap_or_default();
        let first_clear = loaded || clear(&scene.bricks[0]);
        if !loader_fits(&loader) || !first_clear || !rest.iter().all(clear) {
            continue;
        }
        scene.loader = loader;
        if loaded || scene.bricks[0].status == BrickStatus::Held {
            hold(&mut scene.bricks[0], &loader);
        }
        return Ok(scene);
    }
    Err(SimError::NoRoom { family: scene.family, tries: TRIES })
}

/// The scene's loader somewhere else: anywhere, before a brick, before the box, at a wall, or where it was.
fn disturbed(scene: &Scene, rng: &mut Rng) -> LoaderState {
    let mut loader = scene.loader;
    match rng.random_range(0..5) {
        0 => {
            loader.x_m = rng.random_range(-7.4..7.4);
            loader.z_m = rng.random_range(-7.4..7.4);
            loader.heading_rad = rng.random_range(-PI..PI);
        }
        1 => {
            let [x, _, z] = scene.bricks[0].position_m;
            let (distance, from) = (rng.random_range(1.7..4.0), rng.random_range(-PI..PI));
            loader.x_m = x - distance * from.cos();
            loader.z_m = z - distance * from.sin();
            loader.heading_rad = wrap_rad(from + rng.random_range(-0.6..0.6));
        }
        2 => {
            let (distance, from): (f32, f32) = (rng.random_range(2.0..4.5), rng.random_range(-0.5..FRAC_PI_2 + 0.5));
            loader.x_m = BOX_CENTRE_M + distance * from.cos();
            loader.z_m = BOX_CENTRE_M + distance * from.sin();
            loader.heading_rad = wrap_rad(from + PI + rng.random_range(-0.6..0.6));
        }
        3 => {
            let (x, z, heading) = at_wall(rng, 0.0, 0.7);
            (loader.x_m, loader.z_m, loader.heading_rad) = (x, z, heading);
        }
        _ => {}
    }
    let half = |rng: &mut Rng| rng.random_range(0..2) == 0;
    loader.lift_m = if half(rng) { 0.0 } else { rng.random_range(0.0..LIFT_MAX_M) };
    loader.tilt = if half(rng) { 0.0 } else { rng.random_range(-1.0..1.0) };
    loader.speed_mps = rng.random_range(-0.8..1.2);
    loader.steering_rad = rng.random_range(-STEERING_MAX_RAD..STEERING_MAX_RAD);
    loader
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::Seed;
    use crate::sim::World;
    use crate::sim::families;

    #[test]
    fn bad_starts_begin_and_are_varied() {
        let mut loaded = 0;
        for index in 0..60 {
            let scene = bad_start(families(), 2, &mut Seed(index).rng()).unwrap();
            loaded += usize::from(scene.bricks[0].status == BrickStatus::Held);
            World::new(&scene).unwrap();
        }
        assert!((5..40).contains(&loaded), "{loaded} of 60 loaded");
    }

    #[test]
    fn the_number_of_bricks_is_bounded() {
        assert!(matches!(bad_start(families(), 11, &mut Seed(1).rng()), Err(SimError::BrickCount(11))));
    }
}
