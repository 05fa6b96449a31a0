//! Between loops: opens the next one, or ends the mission and says why.

use super::super::machine::LoopEvent;
use super::super::plan::{FeedbackPlan, Plan};
use super::super::prober;
use super::super::summary::{duration, grouped};
use super::super::terms::{SAMPLES_BEFORE_GIVING_UP, Terms};
use super::super::throughput::samples_used;
use super::{Driver, DriverError, Tick};
use crate::base::{Fault, LoopEnding, MissionEnding, MissionState, NanoUsd, Stage, Timestamp};
use crate::store::{LoopRow, MailKind, MissionRow};

/// Loops that may fail one after another before the mission is given up.
const FAILED_LOOPS_IN_A_ROW: usize = 2;

/// Why a mission is over.
struct End {
    state: MissionState,
    ended_as: MissionEnding,
    words: String,
}

impl End {
    fn completed(ended_as: MissionEnding, words: String) -> Self {
        Self { state: MissionState::Completed, ended_as, words }
    }
}

impl Driver {
    /// Opens the next loop, or ends the mission.
    pub(super) async fn between_loops(
        &self,
        mission: &MissionRow,
        loops: &[LoopRow],
        now: Timestamp,
    ) -> Result<Tick, DriverError> {
        if mission.state == MissionState::Paused {
            return Ok(Tick::Waiting);
        }
        if self.after_probe && prober::waits_for_probe(&self.store, mission, now).await? {
            return Ok(Tick::Waiting);
        }
        if let Some(end) = self.reason_to_end(mission, loops, now).await? {
            return self.end(mission, &end, now).await;
        }
        let number = u32::try_from(loops.len()).unwrap_or(u32::MAX).saturating_add(1);
        let loop_id = self.store.open_loop(mission.id, number, now).await?;
        let payload = serde_json::json!({ "event": "opened", "loop": loop_id, "number": number });
        let watcher = Stage::Feedback.owner();
        self.store
            .send_mail(watcher.as_str(), MailKind::LoopEvent, &payload, &format!("loop-{loop_id}-opened"), now)
            .await?;
        Ok(Tick::Moved)
    }

    /// The first reason that holds: the goal, then the limits, then faults, then the plan's end.
    async fn reason_to_end(
        &self,
        mission: &MissionRow,
        loops: &[LoopRow],
        now: Timestamp,
    ) -> Result<Option<End>, DriverError> {
        if let Some(last) = loops.last()
            && let Some(end) = self.asked_for(last).await?
        {
            return Ok(Some(end));
        }
        if let Some(end) = self.limit_reached(mission, loops, now).await? {
            return Ok(Some(end));
        }
        let planned = mission.planned_loops as usize;
        let failed = loops.iter().rev().take_while(|row| row.ending == Some(LoopEnding::Failed)).count();
        if failed >= FAILED_LOOPS_IN_A_ROW || (failed > 0 && loops.len() >= planned) {
            let note = loops.last().and_then(|row| row.ending_note.clone()).unwrap_or_default();
            let words = format!("the last loop failed: {note}");
            return Ok(Some(End { state: MissionState::Failed, ended_as: MissionEnding::Failed, words }));
        }
        if !loops.is_empty() && loops.len() >= planned {
            let words = format!("all {planned} planned loops ended");
            return Ok(Some(End::completed(MissionEnding::LoopsDone, words)));
        }
        self.no_progress(mission, loops).await
    }

    /// The target was met, or the last feedback asked to stop.
    async fn asked_for(&self, last: &LoopRow) -> Result<Option<End>, DriverError> {
        for event in self.log(last).await?.iter().rev() {
            match event {
                LoopEvent::StagePassed { stage: Stage::Feedback, result } => {
                    if result["target_met"].as_bool() == Some(true) {
                        let words = format!("target met: {}", result["reason"].as_str().unwrap_or_default());
                        return Ok(Some(End::completed(MissionEnding::TargetMet, words)));
                    }
                }
                LoopEvent::PlanAccepted { plan: Plan::Feedback(FeedbackPlan { stop: Some(reason), .. }), by } => {
                    let words = format!("{by} ended the mission: {reason}");
                    return Ok(Some(End::completed(MissionEnding::AskedToEnd, words)));
                }
                LoopEvent::Opened
                | LoopEvent::PlanAccepted { .. }
                | LoopEvent::StagePassed { .. }
                | LoopEvent::StageSetBack { .. }
                | LoopEvent::StageFailed { .. }
                | LoopEvent::Stopped { .. } => {}
            }
        }
        Ok(None)
    }

    /// Time, samples or dollars are used.
    async fn limit_reached(
        &self,
        mission: &MissionRow,
        loops: &[LoopRow],
        now: Timestamp,
    ) -> Result<Option<End>, DriverError> {
        let terms = Terms::of(&mission.terms);
        if let Some(budget) = terms.budget_samples {
            let used = samples_used(&self.store, mission).await?;
            if used >= budget {
                let words = format!("the budget of {} training samples is used", grouped(budget));
                return Ok(Some(End::completed(MissionEnding::SamplesUsed, words)));
            }
        }
        if let Some(budget) = terms.budget_dollars {
            let mut spent = NanoUsd::ZERO;
            for row in loops {
                spent = spent.saturating_add(self.store.spend_of_loop(row.id).await?);
            }
            if spent >= NanoUsd::from_usd(budget) {
                let words = format!("the budget of ${budget:.2} is used: {spent} were spent");
                return Ok(Some(End::completed(MissionEnding::DollarsUsed, words)));
            }
        }
        if let Some(minutes) = terms.deadline_minutes {
            let words = format!("the mission's time of {} is used", duration(60.0 * minutes));
            if terms.seconds_left(mission.created_at, now) == Some(0.0) {
                return Ok(Some(End::completed(MissionEnding::Deadline, words)));
            }
            if let Some(last) = loops.last()
                && let Some(why) = self.nothing_fitted(last).await?
            {
                let words = format!("no plan fits into what is left of {}: {why}", duration(60.0 * minutes));
                return Ok(Some(End::completed(MissionEnding::Deadline, words)));
            }
        }
        Ok(None)
    }

    /// Why no plan fitted into the last loop's time, when that is how it ended.
    async fn nothing_fitted(&self, last: &LoopRow) -> Result<Option<String>, DriverError> {
        Ok(self.log(last).await?.into_iter().rev().find_map(|event| match event {
            LoopEvent::StageFailed { fault: Fault::NothingFits, error, .. } => Some(error),
            LoopEvent::Opened
            | LoopEvent::PlanAccepted { .. }
            | LoopEvent::StagePassed { .. }
            | LoopEvent::StageSetBack { .. }
            | LoopEvent::StageFailed { .. }
            | LoopEvent::Stopped { .. } => None,
        }))
    }

    /// Several loops in a row brought no better policy. Never before as many samples were trained as success may need.
    async fn no_progress(&self, mission: &MissionRow, loops: &[LoopRow]) -> Result<Option<End>, DriverError> {
        let patience = Terms::of(&mission.terms).patience_loops as usize;
        if patience == 0 || loops.len() < patience {
            return Ok(None);
        }
        for row in &loops[loops.len() - patience..] {
            let promoted = |event: &LoopEvent| match event {
                LoopEvent::StagePassed { stage: Stage::Feedback, result } => result["promoted"].as_bool() == Some(true),
                LoopEvent::Opened
                | LoopEvent::PlanAccepted { .. }
                | LoopEvent::StagePassed { .. }
                | LoopEvent::StageSetBack { .. }
                | LoopEvent::StageFailed { .. }
                | LoopEvent::Stopped { .. } => false,
            };
            if self.log(row).await?.iter().any(promoted) {
                return Ok(None);
            }
        }
        let used = samples_used(&self.store, mission).await?;
        if used < SAMPLES_BEFORE_GIVING_UP {
            return Ok(None);
        }
        let words =
            format!("{patience} loops in a row brought no better policy, after {} training samples", grouped(used));
        Ok(Some(End::completed(MissionEnding::NoProgress, words)))
    }

    async fn end(&self, mission: &MissionRow, end: &End, now: Timestamp) -> Result<Tick, DriverError> {
        self.store.end_mission(mission.id, end.state, end.ended_as, &end.words, now).await?;
        let payload = serde_json::json!({
            "event": "mission_ended", "mission": mission.id, "ending": end.words, "ended_as": end.ended_as,
        });
        let watcher = Stage::Feedback.owner();
        let dedup = format!("mission-{}-ended", mission.id);
        self.store.send_mail(watcher.as_str(), MailKind::LoopEvent, &payload, &dedup, now).await?;
        Ok(Tick::Moved)
    }
}
