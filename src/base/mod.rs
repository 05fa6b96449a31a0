//! The vocabulary every room shares: ids, clock, seeds, proportions, states of the loop. No IO.
//!
//! Nothing here knows what the rest of the program does; a type belongs here when two rooms that
//! may not see each other must agree on it.

mod clock;
mod ids;
mod money;
mod progress;
mod proportion;
mod seed;
mod states;

pub use clock::{Clock, FakeClock, SystemClock, Timestamp};
pub use ids::{
    ArtifactId, CheckpointId, DatasetId, DecisionId, EvaluationId, JobId, LoopId, MailId, MessageId, MissionId, TurnId,
};
pub use money::NanoUsd;
pub use progress::{Cancel, Progress};
pub use proportion::Proportion;
pub use seed::{EvaluationSeed, Rng, Seed};
pub use states::{Fault, JobKind, JobState, LoopEnding, MissionEnding, MissionState, Persona, Stage};
