//! The stage's job: enqueued once, its end recorded, its faults answered.

use super::super::machine::{LoopEvent, set_backs};
use super::super::plan::Plan;
use super::super::remedy;
use super::super::stages;
use super::super::throughput::{self, preset_of};
use super::{Driver, DriverError, Tick, View};
use crate::base::{Fault, JobState, MissionState, Stage};
use crate::store::NewJob;
use std::time::Duration;

impl Driver {
    /// Enqueues the stage's job once, and records its end.
    pub(super) async fn work(&self, view: &View<'_>, plan: &Plan) -> Result<Tick, DriverError> {
        let stage = plan.stage();
        let again = set_backs(view.log, stage);
        let key = match again {
            0 => format!("mission{}/loop{}/{stage}", view.mission.id, view.row.number),
            again => format!("mission{}/loop{}/{stage}/{}", view.mission.id, view.row.number, again + 1),
        };
        let jobs = self.store.jobs_of_loop(view.row.id).await?;
        let Some(job) = jobs.iter().find(|job| job.key == key) else {
            if view.mission.state == MissionState::Paused {
                return Ok(Tick::Waiting);
            }
            return self.enqueue(view, plan, key, again).await;
        };
        let event = match job.state {
            JobState::Queued | JobState::Running => return Ok(Tick::Waiting),
            JobState::Succeeded => LoopEvent::StagePassed { stage, result: job.result.clone().unwrap_or_default() },
            JobState::Failed => {
                let error = job.error.clone().unwrap_or_default();
                return self.failed(view, stage, job.fault.unwrap_or_default(), &error).await;
            }
            JobState::Cancelled => LoopEvent::Stopped { by: "a cancelled job".to_owned() },
        };
        self.append(view, &event).await
    }

    async fn enqueue(&self, view: &View<'_>, plan: &Plan, key: String, again: u32) -> Result<Tick, DriverError> {
        let (stage, preset) = (plan.stage(), preset_of(view.mission));
        let spec = stages::spec(&self.store, view.mission, &preset, view.row, plan, self.threads, again).await?;
        let Some(spec) = spec else {
            let error = "an earlier stage left nothing to work on";
            return self.failed(view, stage, Fault::EmptyData, error).await;
        };
        let limit_s = throughput::hard_limit_s(view.mission, stage, view.now);
        let job = NewJob {
            kind: spec.kind(),
            spec: spec.to_json(),
            key,
            owner: stage.owner().as_str().to_owned(),
            loop_id: Some(view.row.id),
            stage: Some(stage),
            limit: Some(Duration::from_secs_f64(limit_s.clamp(1.0, 1e7))),
        };
        self.store.enqueue(&job, view.now).await?;
        Ok(Tick::Moved)
    }

    /// Answers a fault: the stage is decided again where that may help, and the loop fails where it cannot.
    async fn failed(&self, view: &View<'_>, stage: Stage, fault: Fault, error: &str) -> Result<Tick, DriverError> {
        let times = set_backs(view.log, stage) + 1;
        let most = remedy::most_set_backs(fault);
        if times > most {
            let event = LoopEvent::StageFailed { stage, fault, error: error.to_owned() };
            return self.append(view, &event).await;
        }
        let to = remedy::back_to(stage, fault);
        let event = LoopEvent::StageSetBack { stage, to, fault, error: error.to_owned() };
        let mut log = view.log.to_vec();
        log.push(event.clone());
        for again in Stage::ALL.iter().filter(|again| to <= **again && **again <= stage) {
            if let Some(decision) = self.store.decision_for(view.row.id, *again).await? {
                let evidence = self.evidence(view, *again, &log).await?;
                let evidence = serde_json::to_value(evidence).unwrap_or_default();
                let deadline = self.decision_deadline(view);
                self.store.reopen_decision(decision.id, &evidence, error, deadline, view.now).await?;
            }
        }
        let next = if fault == Fault::DiskFull {
            // A full disk does not empty itself: whoever frees some lets the loop go on.
            self.store.set_mission_state(view.mission.id, MissionState::Paused, None, view.now).await?;
            "The mission is paused. Free some room, then `/loop resume`; what was made so far is kept.".to_owned()
        } else {
            format!(
                "{} is planned again (try {} of {}). Nothing earlier is lost.",
                sentence_start(to),
                times + 1,
                most + 1
            )
        };
        let text = format!("**Loop {} · {stage}:** {} ({error}). {next}", view.row.number, remedy::title(fault));
        self.say(view, format!("loop-{}-{stage}-set-back-{times}", view.row.id), text).await?;
        self.append(view, &event).await
    }
}

fn sentence_start(stage: Stage) -> &'static str {
    match stage {
        Stage::Generate => "Generate",
        Stage::Train => "Train",
        Stage::Evaluate => "Evaluate",
        Stage::Feedback => "Feedback",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_stage_can_begin_a_sentence() {
        for stage in Stage::ALL {
            assert_eq!(sentence_start(*stage).to_lowercase(), stage.as_str());
        }
    }
}
