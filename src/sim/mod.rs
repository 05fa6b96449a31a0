//! The world: arena, loader, bricks, physics, scenarios, expert, task score.

pub mod geometry;
mod state;

pub use state::{ACTION_DIM, Action, BrickState, BrickStatus, LoaderState, StatePreset, WorldState};
