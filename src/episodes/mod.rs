//! Making data: who drives, what is stored, which labels.
//!
//! [`generate`] turns an [`Order`] into a LeRobot dataset. Driving goes at 10 Hz; every few steps a frame is stored with
//! a *label*: the chunk of actions the expert would execute from there. Many short, different episodes with few frames
//! each teach more than few long ones: where a policy could know the place by heart, it does not look. Whoever drives,
//! the labels are the expert's, and that is what the policy learns.

mod error;
mod gate;
mod generate;
mod lane;
mod noise;
mod notes;
mod order;
mod recorder;

pub use error::EpisodesError;
pub use generate::{Outcome, generate};
pub use order::{Order, Strategy};

/// An expert that solves a smaller share of its own undisturbed episodes makes data that no policy should learn from …
pub const EXPERT_GATE: f64 = 0.95;
/// … which is only judged with at least this many of them.
pub const GATE_EPISODES: u32 = 20;
