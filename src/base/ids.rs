//! Identifiers as newtypes, so that a job can never be looked up by a loop's number.

use serde::{Deserialize, Serialize};
use std::fmt;

macro_rules! row_id {
    ($($(#[$doc:meta])* $name:ident),+ $(,)?) => {$(
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(pub i64);
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }
    )+};
}

row_id! {
    /// One mission: a goal, a preset and a planned number of loops.
    MissionId,
    /// One turn of the wheel Generate → Train → Evaluate → Feedback.
    LoopId,
    /// One piece of blocking work: a generation, a training, an evaluation.
    JobId,
    /// One question the loop put to a persona.
    DecisionId,
    /// One message in a channel, by an agent, a person or the system.
    MessageId,
    /// One entry in an agent's mailbox.
    MailId,
    /// One turn of an agent's brain.
    TurnId,
    /// One closed-loop evaluation of one checkpoint.
    EvaluationId,
    /// One dataset on disk.
    DatasetId,
    /// One checkpoint on disk.
    CheckpointId,
}

/// The BLAKE3 hash, in hex, of an artefact's content: a file, or the manifest of a folder.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ArtifactId(pub String);

impl ArtifactId {
    /// The first twelve characters: enough for people to tell artefacts apart.
    pub fn short(&self) -> &str {
        self.0.get(..12).unwrap_or(&self.0)
    }
}

impl fmt::Display for ArtifactId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
