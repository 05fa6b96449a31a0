//! The terms of a mission: its deadline, its budgets, and which plans wait for a person. Stored with the mission, so
//! that later edits of the file do not change one that runs.

use crate::base::{Stage, Timestamp};
use serde::{Deserialize, Serialize};

/// Samples that must have been trained before "nothing gets better" may end a mission: success comes as a step
/// between 60,000 and 130,000 of them.
pub const SAMPLES_BEFORE_GIVING_UP: u64 = 130_000;
/// Samples that must have been trained before a persona may ask for the end.
pub const SAMPLES_BEFORE_STOP: u64 = 60_000;

/// What happens to a plan that nobody answered in time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Unanswered {
    /// It runs.
    #[default]
    Run,
    /// The mission is paused until somebody says `/loop resume`.
    Pause,
}

/// See the module. Every limit that is left out does not exist.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Terms {
    /// Minutes from the mission's start to its end, pauses included.
    pub deadline_minutes: Option<f64>,
    /// Samples that all its trainings together may draw.
    pub budget_samples: Option<u64>,
    /// Dollars that its thinking may cost.
    pub budget_dollars: Option<f64>,
    /// Loops in a row without a promotion that end the mission; 0 for never.
    pub patience_loops: u32,
    /// Stages whose plans wait for a person.
    pub approve: Vec<Stage>,
    /// Minutes such a plan waits.
    pub approve_wait_minutes: f64,
    /// What happens then.
    pub approve_unanswered: Unanswered,
}

impl Default for Terms {
    fn default() -> Self {
        Self {
            deadline_minutes: None,
            budget_samples: None,
            budget_dollars: None,
            patience_loops: 3,
            approve: Vec::new(),
            approve_wait_minutes: 30.0,
            approve_unanswered: Unanswered::Run,
        }
    }
}

impl Terms {
    /// The terms stored with a mission.
    pub fn of(stored: &serde_json::Value) -> Terms {
        serde_json::from_value(stored.clone()).unwrap_or_default()
    }

    /// Refuses what makes no sense, naming the key.
    ///
    /// # Errors
    /// In words: the key, what it is, what it may be.
    pub fn check(&self) -> Result<(), String> {
        for (key, value) in [("deadline_minutes", self.deadline_minutes), ("budget_dollars", self.budget_dollars)] {
            if let Some(value) = value
                && !(value.is_finite() && value > 0.0)
            {
                return Err(format!("{key} is {value}; give a number above 0, or leave it out for no limit"));
            }
        }
        if self.budget_samples == Some(0) {
            return Err("budget_samples is 0; give at least 1, or leave it out for no limit".to_owned());
        }
        let wait = self.approve_wait_minutes;
        if !(wait.is_finite() && wait > 0.0 && wait <= 10_080.0) {
            return Err(format!("approve_wait_minutes is {wait}; give a number above 0 and at most 10080 (a week)"));
        }
        Ok(())
    }

    /// Seconds from `now` to the deadline of a mission that began at `began`, not below 0; none without a deadline.
    pub fn seconds_left(&self, began: Timestamp, now: Timestamp) -> Option<f64> {
        let minutes = self.deadline_minutes?;
        Some((60.0 * minutes - now.duration_since(began).as_secs_f64()).max(0.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_stored_before_there_were_terms_has_none() {
        assert_eq!(Terms::of(&serde_json::json!({})), Terms::default());
    }

    #[test]
    fn senseless_limits_are_refused_by_name() {
        let error = Terms { deadline_minutes: Some(0.0), ..Terms::default() }.check().unwrap_err();
        assert!(error.starts_with("deadline_minutes is 0;"), "{error}");
        let error = Terms { approve_wait_minutes: f64::NAN, ..Terms::default() }.check().unwrap_err();
        assert!(error.starts_with("approve_wait_minutes"), "{error}");
        Terms::default().check().unwrap();
    }

    #[test]
    fn time_runs_out_and_not_below_nothing() {
        let terms = Terms { deadline_minutes: Some(2.0), ..Terms::default() };
        let at = |seconds: i64| Timestamp::from_second(1_800_000_000 + seconds).unwrap();
        assert_eq!(terms.seconds_left(at(0), at(30)), Some(90.0));
        assert_eq!(terms.seconds_left(at(0), at(300)), Some(0.0));
        assert_eq!(Terms::default().seconds_left(at(0), at(300)), None);
    }
}
