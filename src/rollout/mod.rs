//! Closed-loop evaluation: the policy drives, and what comes of it is counted and diagnosed.
//!
//! [`evaluate`] drives the scenes of a [`SceneSet`] to their end; an [`Evaluation`] tells success per scene and per
//! brick, and the [`FailureClass`] of every scene that failed. Equal sets are equal scenes, so two policies, or two ways
//! of executing one ([`sweep`]), can be compared pair by pair. The number of threads never changes a result.
//!
//! What was done is kept ([`TraceFile`]) and repeats the run to the bit; from that the diagnosis works: where a run
//! first went wrong ([`first_deviation`]), how far from the training data it went ([`StateCloud`]), what the policy could
//! not know ([`audit`]), and how it looks beside the expert ([`film_beside`]).

mod audit;
mod beside;
mod cloud;
mod deviation;
mod diagnosis;
mod error;
mod evaluate;
mod evaluation;
mod execution;
mod failure;
mod film;
mod judged;
pub(crate) mod lockstep;
pub(crate) mod lots;
mod pairs;
mod replay;
mod scenes;
mod sweep;
#[cfg(test)]
pub(crate) mod testing;
mod trace;
mod trace_file;
mod visits;

pub use audit::{Audit, Finding, Observer, Variable, audit};
pub use beside::film_beside;
pub use cloud::{Distances, StateCloud, far_from_data};
pub use deviation::{Deviation, DeviationKind, Phase, differs_persistently, first_deviation};
pub use diagnosis::{FailedScene, Run, diagnose, distances_from_data, solved_that_deviate};
pub use error::RolloutError;
pub use evaluate::{Pilot, RolloutOptions, evaluate, evaluate_each};
pub use evaluation::{Evaluation, SceneResult, Spread};
pub use execution::Execution;
pub use failure::{FailureClass, classify};
pub use film::film;
pub use pairs::Pairs;
pub use replay::{drive, retrace};
pub(crate) use scenes::{FamilyMix, apportion};
pub use scenes::{MAX_BRICKS, SceneSet};
pub use sweep::{SweepPlan, SweepRow, preferred, sweep, usual_executions};
pub(crate) use trace::Stillness;
pub use trace::{BrickSight, Trace, TracePoint};
pub use trace_file::{MAX_TRACE_STEPS, TraceBytes, TraceFile, TraceWriter};
pub use visits::{sampled_states, visited_states};
