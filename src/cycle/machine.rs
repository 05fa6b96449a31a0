//! The loop's state machine: one pure function [`next`] over a log of events.
//!
//! The store keeps the events; after a crash the state is rebuilt by the same function that made it.

use super::plan::Plan;
use crate::base::{Fault, LoopEnding, Stage};
use serde::{Deserialize, Serialize};
use thiserror::Error;

/// Where a loop stands.
#[derive(Debug, Clone, PartialEq)]
pub enum LoopState {
    /// Known, nothing done.
    New,
    /// The owner of the stage is asked for a plan.
    Deciding(Stage),
    /// The stage's job runs by this plan.
    Working(Plan),
    /// Over.
    Ended(LoopEnding),
}

/// What happened to a loop. Stored as JSON, one row each, never changed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum LoopEvent {
    /// The loop began.
    Opened,
    /// A plan was accepted.
    PlanAccepted {
        /// The plan.
        plan: Plan,
        /// Who decided: an agent's name, or "deputy".
        by: String,
    },
    /// The stage's job succeeded.
    StagePassed {
        /// The stage.
        stage: Stage,
        /// The job's result.
        result: serde_json::Value,
    },
    /// The stage's job failed, and the loop goes back to decide again.
    StageSetBack {
        /// The stage.
        stage: Stage,
        /// The stage that is decided again: this one, or an earlier one.
        to: Stage,
        /// The kind of fault.
        fault: Fault,
        /// Why, in words.
        error: String,
    },
    /// The stage failed for good.
    StageFailed {
        /// The stage.
        stage: Stage,
        /// The kind of fault.
        #[serde(default)]
        fault: Fault,
        /// Why, in words.
        error: String,
    },
    /// A person stopped the loop.
    Stopped {
        /// Who.
        by: String,
    },
}

/// An event that cannot follow the state.
#[derive(Debug, Clone, PartialEq, Error)]
#[error("a loop that is {state:?} cannot take {event:?}")]
pub struct IllegalMove {
    /// The state before.
    pub state: Box<LoopState>,
    /// The event.
    pub event: Box<LoopEvent>,
}

/// The state after `event`.
///
/// # Errors
/// [`IllegalMove`] names both sides when the event cannot follow the state.
pub fn next(state: &LoopState, event: &LoopEvent) -> Result<LoopState, IllegalMove> {
    match (state, event) {
        (LoopState::New, LoopEvent::Opened) => Ok(LoopState::Deciding(Stage::Generate)),
        (LoopState::Deciding(stage), LoopEvent::PlanAccepted { plan, .. }) if plan.stage() == *stage => {
            Ok(LoopState::Working(plan.clone()))
        }
        (LoopState::Working(plan), LoopEvent::StagePassed { stage, .. }) if plan.stage() == *stage => {
            Ok(stage.next().map_or(LoopState::Ended(LoopEnding::Completed), LoopState::Deciding))
        }
        (LoopState::Working(plan), LoopEvent::StageSetBack { stage, to, .. })
            if plan.stage() == *stage && to <= stage =>
        {
            Ok(LoopState::Deciding(*to))
        }
        (LoopState::Working(plan), LoopEvent::StageFailed { stage, .. }) if plan.stage() == *stage => {
            Ok(LoopState::Ended(LoopEnding::Failed))
        }
        (LoopState::Deciding(asked), LoopEvent::StageFailed { stage, .. }) if asked == stage => {
            Ok(LoopState::Ended(LoopEnding::Failed))
        }
        (LoopState::New | LoopState::Deciding(_) | LoopState::Working(_), LoopEvent::Stopped { .. }) => {
            Ok(LoopState::Ended(LoopEnding::Stopped))
        }
        (
            LoopState::New | LoopState::Deciding(_) | LoopState::Working(_) | LoopState::Ended(_),
            LoopEvent::Opened
            | LoopEvent::PlanAccepted { .. }
            | LoopEvent::StagePassed { .. }
            | LoopEvent::StageSetBack { .. }
            | LoopEvent::StageFailed { .. }
            | LoopEvent::Stopped { .. },
        ) => Err(IllegalMove { state: Box::new(state.clone()), event: Box::new(event.clone()) }),
    }
}

/// How often `stage` has been set back so far; a stage is set back too when a later one goes back behind it.
pub fn set_backs(events: &[LoopEvent], of: Stage) -> u32 {
    let counts =
        |event: &&LoopEvent| matches!(event, LoopEvent::StageSetBack { stage, to, .. } if *to <= of && of <= *stage);
    u32::try_from(events.iter().filter(counts).count()).unwrap_or(u32::MAX)
}

/// The state after all `events`, from the beginning.
///
/// # Errors
/// [`IllegalMove`] when the log is not one that [`next`] could have made.
pub fn replay<'a>(events: impl IntoIterator<Item = &'a LoopEvent>) -> Result<LoopState, IllegalMove> {
    events.into_iter().try_fold(LoopState::New, |state, event| next(&state, event))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cycle::plan::{EvaluatePlan, FeedbackPlan, GeneratePlan, StartFrom, TrainPlan};
    use std::collections::BTreeMap;

    fn plan(stage: Stage) -> Plan {
        match stage {
            Stage::Generate => Plan::Generate(GeneratePlan {
                episodes: 1,
                bricks_min: 1,
                bricks_max: 1,
                families: BTreeMap::new(),
                noisy_share: 0.0,
                bad_start_share: 0.0,
                dagger_share: 0.0,
            }),
            Stage::Train => {
                Plan::Train(TrainPlan { samples: 1, learning_rate: 1e-3, newest_share: 0.0, start: StartFrom::Scratch })
            }
            Stage::Evaluate => Plan::Evaluate(EvaluatePlan { scenes: 13, bricks: 1, execute_steps: 10 }),
            Stage::Feedback => {
                Plan::Feedback(FeedbackPlan { families: BTreeMap::new(), dagger_share: 0.0, stop: None })
            }
        }
    }

    fn accepted(stage: Stage) -> LoopEvent {
        LoopEvent::PlanAccepted { plan: plan(stage), by: "training".to_owned() }
    }

    fn passed(stage: Stage) -> LoopEvent {
        LoopEvent::StagePassed { stage, result: serde_json::json!({}) }
    }

    #[test]
    fn a_whole_loop_passes_four_stages_and_completes() {
        let mut log = vec![LoopEvent::Opened];
        for stage in Stage::ALL {
            assert_eq!(replay(&log), Ok(LoopState::Deciding(*stage)));
            log.push(accepted(*stage));
            assert_eq!(replay(&log), Ok(LoopState::Working(plan(*stage))));
            log.push(passed(*stage));
        }
        assert_eq!(replay(&log), Ok(LoopState::Ended(LoopEnding::Completed)));
    }

    #[test]
    fn a_failed_stage_ends_the_loop_and_a_person_can_stop_it_anywhere() {
        let failed = LoopEvent::StageFailed { stage: Stage::Generate, fault: Fault::Crashed, error: "gone".to_owned() };
        let log = [LoopEvent::Opened, accepted(Stage::Generate), failed.clone()];
        assert_eq!(replay(&log), Ok(LoopState::Ended(LoopEnding::Failed)));
        assert_eq!(replay(&[LoopEvent::Opened, failed]), Ok(LoopState::Ended(LoopEnding::Failed)), "nothing fits");
        let stopped = LoopEvent::Stopped { by: "Kim".to_owned() };
        assert_eq!(next(&LoopState::Deciding(Stage::Train), &stopped), Ok(LoopState::Ended(LoopEnding::Stopped)));
    }

    #[test]
    fn a_set_back_stage_is_decided_again_and_counted() {
        let back = |stage, to| LoopEvent::StageSetBack { stage, to, fault: Fault::Diverged, error: "NaN".to_owned() };
        let mut log = vec![LoopEvent::Opened, accepted(Stage::Generate), passed(Stage::Generate)];
        log.extend([accepted(Stage::Train), back(Stage::Train, Stage::Train)]);
        assert_eq!(replay(&log), Ok(LoopState::Deciding(Stage::Train)));
        log.extend([accepted(Stage::Train), passed(Stage::Train), accepted(Stage::Evaluate)]);
        log.push(back(Stage::Evaluate, Stage::Train));
        assert_eq!(replay(&log), Ok(LoopState::Deciding(Stage::Train)));
        let counts = Stage::ALL.iter().map(|stage| set_backs(&log, *stage)).collect::<Vec<_>>();
        assert_eq!(counts, [0, 2, 1, 0]);
        let forward = back(Stage::Train, Stage::Evaluate);
        assert!(next(&LoopState::Working(plan(Stage::Train)), &forward).is_err(), "only backwards");
    }

    #[test]
    fn an_event_of_an_older_version_reads_as_another_fault() {
        let stored = serde_json::json!({ "event": "stage_failed", "stage": "train", "error": "gone" });
        let event: LoopEvent = serde_json::from_value(stored).unwrap();
        assert!(matches!(event, LoopEvent::StageFailed { fault: Fault::Other, .. }));
    }

    #[test]
    fn moves_that_skip_or_repeat_are_refused_and_name_both_sides() {
        let state = LoopState::Deciding(Stage::Train);
        for event in [LoopEvent::Opened, accepted(Stage::Evaluate), passed(Stage::Train)] {
            let error = next(&state, &event).unwrap_err();
            assert_eq!(error, IllegalMove { state: Box::new(state.clone()), event: Box::new(event) });
        }
        let ended = LoopState::Ended(LoopEnding::Completed);
        assert!(next(&ended, &LoopEvent::Stopped { by: "Kim".to_owned() }).is_err());
    }
}
