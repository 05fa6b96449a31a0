//! Closed-loop evaluation: the policy drives, and what comes of it is counted and diagnosed.
//!
//! [`evaluate`] drives the scenes of a [`SceneSet`] to their end; an [`Evaluation`] tells success per scene and per
//! brick, and the [`FailureClass`] of every scene that failed; [`film`] shows one of them. Equal sets are equal scenes,
//! so two policies can be compared pair by pair. The number of threads never changes a result.

mod error;
mod evaluate;
mod failure;
mod film;
pub(crate) mod lockstep;
pub(crate) mod lots;
mod scenes;
#[cfg(test)]
pub(crate) mod testing;
mod trace;

pub use error::RolloutError;
pub use evaluate::{Evaluation, Pilot, RolloutOptions, SceneResult, evaluate};
pub use failure::{FailureClass, classify};
pub use film::film;
pub(crate) use scenes::{FamilyMix, apportion};
pub use scenes::{MAX_BRICKS, SceneSet};
pub(crate) use trace::Stillness;
pub use trace::{BrickSight, Trace, TracePoint};
