//! Where scenes begin: the scenario families (data, `scenarios.toml`), and their sampling.
//!
//! A family says where the loader stands, where the first brick lies and where the others lie; a scene is drawn by
//! rejection: places that overlap something are drawn again, a bounded number of times.

use super::SimError;
use super::engine::carry;
use super::footprint::{GroundPose, wrap_rad};
use super::geometry::{BODY_REAR_M, BOX_CENTRE_M, BOX_HALF_M, BUCKET_BACK_M, BUCKET_LIP_M, WALL_M};
use super::state::{BrickState, BrickStatus, LoaderState};
use super::world::{BRICKS_MAX, OVER_BOX_M, lowest_point};
use crate::base::Rng;
use rand::Rng as _;
use rapier3d::math::Pose;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::f32::consts::{FRAC_PI_2, PI};
use std::sync::LazyLock;

/// How often a scene is drawn before giving up.
pub(super) const TRIES: u32 = 2000;
/// Half extents of the kinds of bricks.
const SHAPES_M: [[f32; 3]; 2] = [[0.15, 0.1, 0.15], [0.19, 0.1, 0.13]];

/// The beginning of an episode.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Scene {
    /// The family it was drawn from.
    pub family: String,
    /// The loader at the start.
    pub loader: LoaderState,
    /// The bricks at the start; one may be held.
    pub bricks: Vec<BrickState>,
}

/// LEGO's colours, in the renderer's order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Colour {
    /// Bright red.
    Red,
    /// Bright blue.
    Blue,
    /// Dark green.
    Green,
    /// Bright orange.
    Orange,
    /// White.
    White,
    /// Medium azure.
    Azure,
    /// Bright yellowish green.
    Lime,
    /// Bright purple.
    Purple,
}

impl Colour {
    /// Every colour.
    pub const ALL: [Colour; 8] = [
        Colour::Red,
        Colour::Blue,
        Colour::Green,
        Colour::Orange,
        Colour::White,
        Colour::Azure,
        Colour::Lime,
        Colour::Purple,
    ];
}

/// Red alone: on a pixel or two one colour is found with far fewer samples than many.
fn red_alone() -> Vec<Colour> {
    vec![Colour::Red]
}

/// A scenario family: a named distribution of scenes.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Family {
    /// Short name, `snake_case`.
    pub name: String,
    /// Name for people.
    pub title: String,
    /// Why it exists.
    pub purpose: String,
    /// Where the loader starts.
    pub loader: LoaderStart,
    /// Where the first brick lies.
    pub first: BrickPlace,
    /// Where the other bricks lie.
    pub others: BrickPlace,
    /// Colours that the bricks are drawn from, all alike; red alone when not said, as one colour is learnt soonest.
    #[serde(default = "red_alone")]
    pub colours: Vec<Colour>,
}

/// Where the loader starts and how its bucket is.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct LoaderStart {
    /// Which kind of place.
    pub place: LoaderPlace,
    /// `floor`: within ±this on both axes.
    #[serde(default)]
    pub half_m: f32,
    /// `facing_wall`, `pocket`: free distance before the lip.
    #[serde(default)]
    pub gap_m: [f32; 2],
    /// `before_box`: rear axle to the box's centre.
    #[serde(default)]
    pub distance_m: [f32; 2],
    /// Largest deviation from the place's own heading.
    #[serde(default)]
    pub yaw_rad: f32,
    /// Lift at the start.
    #[serde(default)]
    pub lift_m: [f32; 2],
    /// Tilt at the start.
    #[serde(default)]
    pub tilt: [f32; 2],
}

/// Kinds of places for the loader.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum LoaderPlace {
    /// Anywhere on the floor, any heading.
    Floor,
    /// Close to a wall, looking at it.
    FacingWall,
    /// In a corridor between box and wall, bucket in the corner.
    Pocket,
    /// On the box's free side, looking at it.
    BeforeBox,
}

/// Where a brick lies.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "place", rename_all = "snake_case", deny_unknown_fields)]
pub enum BrickPlace {
    /// Within ±`half_m` on both axes.
    Floor {
        /// Half the side of the area.
        half_m: f32,
    },
    /// Centre at this distance from a wall.
    Wall {
        /// Distance range.
        gap_m: [f32; 2],
    },
    /// Centre at these distances from two walls.
    Corner {
        /// Distance range.
        gap_m: [f32; 2],
    },
    /// Centre at this distance from one of the box's free sides.
    BesideBox {
        /// Distance range.
        gap_m: [f32; 2],
    },
    /// On the free side of the box, at this distance from its centre.
    BeforeBox {
        /// Distance range.
        distance_m: [f32; 2],
    },
    /// Behind the loader at this distance.
    Behind {
        /// Distance range.
        distance_m: [f32; 2],
    },
    /// At this distance from the box's centre.
    FarFromBox {
        /// Distance range.
        distance_m: [f32; 2],
    },
    /// In the bucket.
    Held,
    /// Touching one of the bricks before it.
    Touching,
    /// Within this distance of the first brick.
    Cluster {
        /// Largest distance.
        radius_m: f32,
    },
}

#[expect(clippy::expect_used, reason = "the file is compiled in and every test that samples a scene reads it")]
static FAMILIES: LazyLock<Vec<Family>> =
    LazyLock::new(|| super::proposal::parse_families(include_str!("scenarios.toml")).expect("scenarios.toml is valid"));

/// All scenario families, in the order of the file.
pub fn families() -> &'static [Family] {
    &FAMILIES
}

/// The family of that name among those that come with the simulator.
///
/// # Errors
/// [`SimError::UnknownFamily`] names the nearest known one.
pub fn family(name: &str) -> Result<&'static Family, SimError> {
    find(families(), name)
}

pub(super) fn find<'a>(families: &'a [Family], name: &str) -> Result<&'a Family, SimError> {
    families.iter().find(|f| f.name == name).ok_or_else(|| {
        let nearest = families
            .iter()
            .max_by(|a, b| strsim::jaro_winkler(&a.name, name).total_cmp(&strsim::jaro_winkler(&b.name, name)));
        SimError::UnknownFamily { name: name.to_owned(), nearest: nearest.map(|f| f.name.clone()).unwrap_or_default() }
    })
}

impl Family {
    /// Draws a scene with this many bricks.
    ///
    /// # Errors
    /// [`SimError::BrickCount`] outside 1 to 10, [`SimError::NoRoom`] when the ranges leave no free place.
    pub fn sample(&self, bricks: usize, rng: &mut Rng) -> Result<Scene, SimError> {
        check_count(bricks)?;
        for _ in 0..TRIES {
            let loader = self.loader.draw(rng);
            if !loader_fits(&loader) {
                continue;
            }
            if let Some(bricks) = self.draw_bricks(bricks, &loader, rng) {
                return Ok(Scene { family: self.name.clone(), loader, bricks });
            }
        }
        Err(SimError::NoRoom { family: self.name.clone(), tries: TRIES })
    }

    /// Bricks one after the other; `None` when one of them finds no place.
    fn draw_bricks(&self, count: usize, loader: &LoaderState, rng: &mut Rng) -> Option<Vec<BrickState>> {
        let mut bricks: Vec<BrickState> = Vec::with_capacity(count);
        for index in 0..count {
            let place = if index == 0 { self.first } else { self.others };
            let brick = (0..40).find_map(|_| {
                let brick = place.draw(&self.colours, loader, &bricks, rng)?;
                brick_fits(&brick, place, loader, &bricks).then_some(brick)
            })?;
            bricks.push(brick);
        }
        Some(bricks)
    }
}

impl LoaderStart {
    fn draw(&self, rng: &mut Rng) -> LoaderState {
        let (x_m, z_m, heading_rad) = match self.place {
            LoaderPlace::Floor => (
                between(rng, [-self.half_m, self.half_m]),
                between(rng, [-self.half_m, self.half_m]),
                rng.random_range(-PI..PI),
            ),
            LoaderPlace::FacingWall => {
                let gap_m = between(rng, self.gap_m);
                at_wall(rng, gap_m, self.yaw_rad)
            }
            LoaderPlace::Pocket => {
                let along = -WALL_M + BUCKET_LIP_M + between(rng, self.gap_m);
                let across = -0.5 * (WALL_M - BOX_CENTRE_M + BOX_HALF_M) + between(rng, [-0.04, 0.04]);
                let yaw = between(rng, [-self.yaw_rad, self.yaw_rad]);
                if rng.random_range(0..2) == 0 {
                    (along, across, wrap_rad(PI + yaw))
                } else {
                    (across, along, -FRAC_PI_2 + yaw)
                }
            }
            LoaderPlace::BeforeBox => {
                let (distance, from) = (between(rng, self.distance_m), between(rng, [-0.3, FRAC_PI_2 + 0.3]));
                let yaw = between(rng, [-self.yaw_rad, self.yaw_rad]);
                (BOX_CENTRE_M + distance * from.cos(), BOX_CENTRE_M + distance * from.sin(), wrap_rad(from + PI + yaw))
            }
        };
        let (lift_m, tilt) = (between(rng, self.lift_m), between(rng, self.tilt));
        LoaderState { x_m, z_m, heading_rad, lift_m, tilt, ..LoaderState::default() }
    }
}

/// A pose before one of the four walls with this gap before the lip when square on.
pub(super) fn at_wall(rng: &mut Rng, gap_m: f32, yaw_rad: f32) -> (f32, f32, f32) {
    let depth = WALL_M - BUCKET_LIP_M - gap_m - rng.random_range(0.0..0.25);
    let along = rng.random_range(-6.5..6.5);
    let yaw = between(rng, [-yaw_rad, yaw_rad]);
    match rng.random_range(0..4) {
        0 => (depth, along, yaw),
        1 => (along, depth, FRAC_PI_2 + yaw),
        2 => (-depth, along, wrap_rad(PI + yaw)),
        _ => (along, -depth, -FRAC_PI_2 + yaw),
    }
}

impl BrickPlace {
    /// `None` when the place refers to a brick that is not there.
    fn draw(
        self,
        colours: &[Colour],
        loader: &LoaderState,
        others: &[BrickState],
        rng: &mut Rng,
    ) -> Option<BrickState> {
        let half_extents_m = SHAPES_M[rng.random_range(0..SHAPES_M.len())];
        let mut turn = rng.random_range(-PI..PI);
        let side = |rng: &mut Rng| if rng.random_range(0..2) == 0 { -1.0 } else { 1.0 };
        let (x, z) = match self {
            BrickPlace::Floor { half_m } => (between(rng, [-half_m, half_m]), between(rng, [-half_m, half_m])),
            BrickPlace::Wall { gap_m } => {
                let (across, along) = (side(rng) * (WALL_M - between(rng, gap_m)), rng.random_range(-7.0..7.0));
                if rng.random_range(0..2) == 0 { (across, along) } else { (along, across) }
            }
            BrickPlace::Corner { gap_m } => {
                (side(rng) * (WALL_M - between(rng, gap_m)), side(rng) * (WALL_M - between(rng, gap_m)))
            }
            BrickPlace::BesideBox { gap_m } => {
                let (across, along) = (BOX_CENTRE_M + BOX_HALF_M + between(rng, gap_m), between(rng, [-6.6, -5.2]));
                if rng.random_range(0..2) == 0 { (across, along) } else { (along, across) }
            }
            BrickPlace::BeforeBox { distance_m } => {
                around_box(between(rng, distance_m), rng.random_range(-0.2..FRAC_PI_2 + 0.2))
            }
            BrickPlace::FarFromBox { distance_m } => {
                around_box(between(rng, distance_m), rng.random_range(0.0..FRAC_PI_2))
            }
            BrickPlace::Behind { distance_m } => {
                let from = loader.heading_rad + PI + rng.random_range(-0.6..0.6);
                let distance = between(rng, distance_m);
                (loader.x_m + distance * from.cos(), loader.z_m + distance * from.sin())
            }
            BrickPlace::Held => (loader.x_m, loader.z_m),
            BrickPlace::Touching => {
                let first = others.get(rng.random_range(0..others.len().max(1)))?;
                let reach = first.half_extents_m[0] + half_extents_m[0] + 0.01;
                turn = -2.0 * first.rotation[1].atan2(first.rotation[3]);
                let from = turn + FRAC_PI_2 * f32::from(rng.random_range(0..4_u8));
                (first.position_m[0] + reach * from.cos(), first.position_m[2] + reach * from.sin())
            }
            BrickPlace::Cluster { radius_m } => {
                let first = others.first()?;
                let (radius, from) = (rng.random_range(0.3..radius_m.max(0.31)), rng.random_range(-PI..PI));
                (first.position_m[0] + radius * from.cos(), first.position_m[2] + radius * from.sin())
            }
        };
        let (sin, cos) = (-0.5 * turn).sin_cos();
        let mut brick = BrickState {
            position_m: [x, half_extents_m[1], z],
            rotation: [0.0, sin, 0.0, cos],
            half_extents_m,
            colour: colours.get(rng.random_range(0..colours.len().max(1))).map_or(0, |colour| *colour as u8),
            status: BrickStatus::Free,
        };
        if self == BrickPlace::Held {
            hold(&mut brick, loader);
        }
        Some(brick)
    }
}

fn around_box(distance_m: f32, from_rad: f32) -> (f32, f32) {
    (BOX_CENTRE_M + distance_m * from_rad.cos(), BOX_CENTRE_M + distance_m * from_rad.sin())
}

pub(super) fn hold(brick: &mut BrickState, loader: &LoaderState) {
    brick.status = BrickStatus::Held;
    carry(loader, &Pose::translation(0.5 * (BUCKET_LIP_M - BUCKET_BACK_M), brick.half_extents_m[1], 0.0), brick);
}

fn between(rng: &mut Rng, [low, high]: [f32; 2]) -> f32 {
    if high > low { rng.random_range(low..high) } else { low }
}

fn check_count(bricks: usize) -> Result<(), SimError> {
    if (1..=BRICKS_MAX).contains(&bricks) { Ok(()) } else { Err(SimError::BrickCount(bricks)) }
}

pub(super) fn loader_fits(loader: &LoaderState) -> bool {
    let pose = GroundPose::of(loader);
    let over = lowest_point(loader.lift_m, loader.tilt) > OVER_BOX_M;
    let low_enough = lowest_point(loader.lift_m, loader.tilt) >= -0.001;
    low_enough && pose.clearance(over) > 0.0 && pose.body_box_clearance() > 0.0
}

pub(super) fn overlaps_loader(brick: &BrickState, loader: &LoaderState, margin_m: f32) -> bool {
    let (forward, left) = GroundPose::of(loader).local(brick.position_m[0], brick.position_m[2]);
    let radius = brick.half_extents_m[0].hypot(brick.half_extents_m[2]) + margin_m;
    let front = if loader.lift_m > 0.4 { BUCKET_BACK_M } else { BUCKET_LIP_M };
    forward > BODY_REAR_M - radius && forward < front + radius && left.abs() < super::footprint::HALF_WIDTH_M + radius
}

/// Inside the walls, off the box and its corridors, off the loader, not in another brick.
fn brick_fits(brick: &BrickState, place: BrickPlace, loader: &LoaderState, others: &[BrickState]) -> bool {
    if place == BrickPlace::Held {
        return true;
    }
    let [x, _, z] = brick.position_m;
    let [a, _, b] = brick.half_extents_m;
    let turn = -2.0 * brick.rotation[1].atan2(brick.rotation[3]);
    let (sin, cos) = (turn.sin().abs(), turn.cos().abs());
    let (reach_x, reach_z) = (a * cos + b * sin + 0.005, a * sin + b * cos + 0.005);
    if x.abs() + reach_x > WALL_M || z.abs() + reach_z > WALL_M {
        return false;
    }
    let face = BOX_CENTRE_M + BOX_HALF_M;
    let behind_face = x < face + reach_x && z < face + reach_z;
    let in_corridor_mouth = x < face + 0.3 && z < -6.9 || z < face + 0.3 && x < -6.9;
    if behind_face || in_corridor_mouth || overlaps_loader(brick, loader, 0.05) {
        return false;
    }
    others.iter().all(|other| {
        let distance = (other.position_m[0] - x).hypot(other.position_m[2] - z);
        let room = if place == BrickPlace::Touching { 0.3 } else { other.half_extents_m[0] + a + 0.12 };
        distance > room
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::Seed;
    use crate::sim::World;

    #[test]
    fn every_family_gives_scenes_that_begin_with_any_number_of_bricks() {
        for family in families() {
            for bricks in [1, 2, 3, BRICKS_MAX] {
                for index in 0..5 {
                    let mut rng = Seed(index).child(&family.name, bricks as u64).rng();
                    let scene = family.sample(bricks, &mut rng).unwrap_or_else(|e| panic!("{}: {e}", family.name));
                    assert_eq!(scene.bricks.len(), bricks);
                    let world = World::new(&scene).unwrap();
                    assert_eq!(world.delivered(), 0, "{}", family.name);
                }
            }
        }
    }

    #[test]
    fn thirteen_families_with_names_of_their_own() {
        let mut names: Vec<&str> = families().iter().map(|f| f.name.as_str()).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), 13);
    }

    #[test]
    fn an_unknown_family_names_the_nearest() {
        let error = family("brick_at_wal").unwrap_err().to_string();
        assert!(error.contains("brick_at_wall"), "{error}");
    }

    #[test]
    fn unknown_keys_are_rejected() {
        let text = include_str!("scenarios.toml").replacen("half_m", "half_metre", 1);
        assert!(super::super::proposal::parse_families(&text).is_err());
    }

    #[test]
    fn the_number_of_bricks_is_bounded() {
        let mut rng = Seed(1).rng();
        assert!(matches!(families()[0].sample(0, &mut rng), Err(SimError::BrickCount(0))));
    }

    #[test]
    fn a_palette_says_which_colours_the_bricks_have() {
        let plain = families()[0].clone();
        let colourful = Family { colours: Colour::ALL.to_vec(), ..plain.clone() };
        let draw = |family: &Family| family.sample(10, &mut Seed(2).rng()).unwrap().bricks;
        assert!(draw(&plain).iter().all(|brick| brick.colour == 0));
        let mut seen: Vec<u8> = draw(&colourful).iter().map(|brick| brick.colour).collect();
        seen.sort_unstable();
        seen.dedup();
        assert!(seen.len() > 3, "{seen:?}");
    }

    #[test]
    fn the_same_seed_gives_the_same_scene() {
        for family in families() {
            let draw = || family.sample(3, &mut Seed(9).rng()).unwrap();
            assert_eq!(draw(), draw());
        }
    }
}
