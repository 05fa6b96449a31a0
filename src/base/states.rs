//! The states that rows carry between rooms. Each enum is written to the store by its `as_str` name.

use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;

macro_rules! named_states {
    ($(#[$doc:meta])* $name:ident { $($(#[$vdoc:meta])* $variant:ident = $text:literal),+ $(,)? }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        pub enum $name {
            $($(#[$vdoc])* #[serde(rename = $text)] $variant),+
        }
        impl $name {
            /// Every value, in order.
            pub const ALL: &'static [$name] = &[$($name::$variant),+];
            /// The name in the store, in JSON and in messages.
            pub fn as_str(self) -> &'static str {
                match self { $($name::$variant => $text),+ }
            }
        }
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(self.as_str())
            }
        }
        impl FromStr for $name {
            type Err = String;
            fn from_str(text: &str) -> Result<Self, String> {
                match text {
                    $($text => Ok($name::$variant),)+
                    other => Err(format!(
                        concat!("\"{}\" is not a ", stringify!($name), "; known are: {}"),
                        other,
                        [$($text),+].join(", ")
                    )),
                }
            }
        }
    };
}

named_states! {
    /// The four stages of a loop, in order.
    Stage {
        /// Episodes are made.
        Generate = "generate",
        /// The policy is trained.
        Train = "train",
        /// The policy drives, in closed loop, on scenes nobody trained on.
        Evaluate = "evaluate",
        /// The gate decides, and the next loop is planned.
        Feedback = "feedback",
    }
}

impl Stage {
    /// The stage after this one; none after Feedback.
    pub fn next(self) -> Option<Stage> {
        match self {
            Stage::Generate => Some(Stage::Train),
            Stage::Train => Some(Stage::Evaluate),
            Stage::Evaluate => Some(Stage::Feedback),
            Stage::Feedback => None,
        }
    }

    /// The persona who decides at this stage.
    pub fn owner(self) -> Persona {
        match self {
            Stage::Generate => Persona::Developer,
            Stage::Train => Persona::Training,
            Stage::Evaluate => Persona::Evaluation,
            Stage::Feedback => Persona::Watcher,
        }
    }
}

named_states! {
    /// The five roles the loop knows. Names, faces, models and tools of the agents are data in `agents.toml`.
    Persona {
        /// Keeps the goal, opens and closes loops, reports.
        Watcher = "watcher",
        /// Owns scenarios, reads failures as a task expert.
        DomainExpert = "domain-expert",
        /// Owns data generation and patches.
        Developer = "developer",
        /// Owns training runs and checkpoints.
        Training = "training",
        /// Owns rollouts, diagnosis and promotion evidence.
        Evaluation = "evaluation",
    }
}

named_states! {
    /// What a job does.
    JobKind {
        /// Makes episodes.
        Generate = "generate",
        /// Trains a policy.
        Train = "train",
        /// Evaluates a policy in closed loop.
        Evaluate = "evaluate",
        /// Applies the gate and writes the loop's report.
        Feedback = "feedback",
    }
}

named_states! {
    /// Where a job stands.
    JobState {
        /// Waits for a runner.
        Queued = "queued",
        /// A runner holds its lease.
        Running = "running",
        /// Done; its result is stored.
        Succeeded = "succeeded",
        /// Given up; its error is stored.
        Failed = "failed",
        /// Stopped on request.
        Cancelled = "cancelled",
    }
}

named_states! {
    /// Where a mission stands.
    MissionState {
        /// Loops run.
        Running = "running",
        /// A person paused it; nothing new is started.
        Paused = "paused",
        /// Every planned loop ended, or the target was met.
        Completed = "completed",
        /// A person stopped it.
        Stopped = "stopped",
        /// It cannot go on; its ending says why.
        Failed = "failed",
    }
}

named_states! {
    /// How a loop ended.
    LoopEnding {
        /// All four stages were passed.
        Completed = "completed",
        /// A person stopped it.
        Stopped = "stopped",
        /// A stage failed for good.
        Failed = "failed",
    }
}

named_states! {
    /// Why a mission is over.
    MissionEnding {
        /// The champion solves as many hidden scenes as were asked for.
        TargetMet = "target-met",
        /// Every planned loop ended.
        LoopsDone = "loops-done",
        /// Its time is used, or no plan fits into what is left.
        Deadline = "deadline",
        /// Its budget of training samples is used.
        SamplesUsed = "samples-used",
        /// Its budget of dollars is used.
        DollarsUsed = "dollars-used",
        /// Several loops in a row brought no better policy.
        NoProgress = "no-progress",
        /// The Feedback stage asked for the end.
        AskedToEnd = "asked-to-end",
        /// A person stopped it.
        Stopped = "stopped",
        /// It cannot go on.
        Failed = "failed",
    }
}

named_states! {
    /// What kind of fault ended a piece of work. The loop answers each in its own way.
    Fault {
        /// The loss or the gradient is no longer a number.
        Diverged = "diverged",
        /// There is nothing to learn from.
        EmptyData = "empty-data",
        /// The expert fails at what it should demonstrate.
        ExpertGate = "expert-gate",
        /// A checkpoint is not what was saved.
        Certificate = "certificate",
        /// The disk is full.
        DiskFull = "disk-full",
        /// It took longer than it may.
        Overdue = "overdue",
        /// No plan fits into the time that is left.
        NothingFits = "nothing-fits",
        /// The work ended without a word.
        Crashed = "crashed",
        /// Anything else.
        Other = "other",
    }
}

impl Default for Fault {
    /// What is not known better.
    fn default() -> Self {
        Fault::Other
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_read_back_and_unknown_ones_list_the_known() {
        for stage in Stage::ALL {
            assert_eq!(stage.as_str().parse::<Stage>().as_ref(), Ok(stage));
        }
        let error = "trian".parse::<Stage>().unwrap_err();
        assert!(error.contains("generate, train, evaluate, feedback"), "{error}");
    }

    #[test]
    fn stages_follow_each_other_and_end() {
        let mut stage = Stage::Generate;
        let mut seen = vec![stage];
        while let Some(next) = stage.next() {
            seen.push(next);
            stage = next;
        }
        assert_eq!(seen, Stage::ALL);
    }
}
