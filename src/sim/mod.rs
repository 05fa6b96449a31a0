//! The world: arena, loader, bricks, physics, scenarios, expert, task score.
//!
//! [`Family::sample`] gives a [`Scene`], [`World::new`] begins it, [`World::step`] moves it by one control step, and
//! [`expert`] says what an ideal driver would do from any state. Same scene and actions: the same bytes.

mod bad_start;
mod engine;
mod expert;
mod footprint;
mod gate;
pub mod geometry;
mod proposal;
mod scenario;
mod state;
mod world;

pub use bad_start::bad_start;
pub use expert::{expert, expert_chunk, visible};
pub use gate::{FamilyResult, GateReport, expert_gate, family_gate};
pub use proposal::{Catalogue, PROPOSAL_BRICKS, PROPOSAL_SEEDS, family_schema, parse_families, try_family};
pub use scenario::{BrickPlace, Colour, Family, LoaderPlace, LoaderStart, Scene, families, family};
pub use state::{ACTION_DIM, Action, BrickState, BrickStatus, LoaderState, StatePreset, WorldState};
pub use world::{BRICKS_MAX, World};

use thiserror::Error;

/// Version of the world's rules and measures; written into every dataset. It changes whenever trajectories do.
pub const SIM_VERSION: &str = "2";
/// Version of the physics engine, pinned in `Cargo.toml`.
pub const RAPIER_VERSION: &str = "0.36.1";

/// Why the simulator refused.
#[derive(Debug, Error)]
pub enum SimError {
    /// No family of that name.
    #[error("no scenario family `{name}`; did you mean `{nearest}`?")]
    UnknownFamily {
        /// As asked for.
        name: String,
        /// The known name nearest to it.
        nearest: String,
    },
    /// The number of bricks is not possible.
    #[error("{0} bricks asked for; 1 to {BRICKS_MAX} are possible")]
    BrickCount(usize),
    /// No free place was found.
    #[error("no free place for the scene in {tries} tries; widen the ranges of family `{family}`")]
    NoRoom {
        /// The family.
        family: String,
        /// How often it was tried.
        tries: u32,
    },
    /// A scene that cannot begin.
    #[error("scene of family `{family}` cannot begin: {reason}")]
    BadScene {
        /// The family.
        family: String,
        /// What is wrong.
        reason: String,
    },
    /// A proposed family that makes no sense.
    #[error("scenario family `{family}` is refused: {reason}")]
    BadFamily {
        /// The family.
        family: String,
        /// What is wrong.
        reason: String,
    },
    /// The scenario file does not parse.
    #[error("scenario file: {0}")]
    BadFile(String),
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_physics_version_is_the_one_built() {
        let lock = include_str!("../../Cargo.lock");
        let entry = format!("name = \"rapier3d\"\nversion = \"{}\"", super::RAPIER_VERSION);
        assert!(lock.contains(&entry));
    }
}
