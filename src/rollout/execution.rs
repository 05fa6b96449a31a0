//! How a chunk becomes actions: its beginning carried out open loop, or an average of all chunks at every step.

use serde::{Deserialize, Serialize};
use std::fmt;

/// How chunks are executed.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Execution {
    /// This many actions of each chunk are carried out before the policy looks again.
    Steps(u32),
    /// The policy looks at every step; see [`TemporalEnsembler`](crate::policy::TemporalEnsembler).
    Ensemble {
        /// Weight exp(−c·i) with i = 0 for the oldest prediction; LeRobot's usual value is 0.01.
        coefficient: f32,
    },
}

impl Execution {
    /// Steps between two looks.
    pub fn steps(self) -> u32 {
        match self {
            Execution::Steps(steps) => steps,
            Execution::Ensemble { .. } => 1,
        }
    }

    /// What is wrong with it for chunks of `chunk` actions, in words.
    pub(super) fn problem(self, chunk: usize) -> Option<String> {
        match self {
            Execution::Steps(steps) if steps == 0 || steps as usize > chunk => {
                Some(format!("{steps} executed steps of a chunk of {chunk}; 1 to {chunk} are possible"))
            }
            Execution::Ensemble { coefficient } if !(coefficient.is_finite() && coefficient.abs() <= 10.0) => {
                Some(format!("an ensembling coefficient of {coefficient}; -10 to 10 are possible, 0.01 is usual"))
            }
            Execution::Steps(_) | Execution::Ensemble { .. } => None,
        }
    }
}

impl fmt::Display for Execution {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Execution::Steps(1) => f.write_str("1 step"),
            Execution::Steps(steps) => write!(f, "{steps} steps"),
            Execution::Ensemble { coefficient } => write!(f, "ensemble {coefficient}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn impossible_executions_are_named() {
        assert_eq!(Execution::Steps(6).problem(6), None);
        assert!(Execution::Steps(7).problem(6).unwrap().contains("1 to 6"));
        assert!(Execution::Steps(0).problem(6).is_some());
        assert_eq!(Execution::Ensemble { coefficient: -0.1 }.problem(6), None);
        assert!(Execution::Ensemble { coefficient: f32::NAN }.problem(6).is_some());
        assert_eq!(Execution::Ensemble { coefficient: 0.01 }.to_string(), "ensemble 0.01");
    }
}
