//! What the decision maker of a stage is shown, gathered from rows.

use super::super::evidence::{EvaluationEvidence, Evidence, SetBack, TimeEvidence};
use super::super::machine::{LoopEvent, set_backs};
use super::super::plan::Plan;
use super::super::stages;
use super::super::throughput::{self, preset_of};
use super::{Driver, DriverError, View};
use crate::base::{LoopId, Stage};
use crate::store::{EvaluationKind, EvaluationRow};

impl Driver {
    /// The case of a decision at `stage` of the open loop. `log` is the loop's, with a set-back that is about to be
    /// written at its end.
    pub(super) async fn evidence(
        &self,
        view: &View<'_>,
        stage: Stage,
        log: &[LoopEvent],
    ) -> Result<Evidence, DriverError> {
        let (mission, row) = (view.mission, view.row);
        let loops = self.store.loops_of(mission.id).await?;
        let mut advice = None;
        let mut last_evaluation = None;
        for earlier in loops.iter().filter(|r| r.number <= row.number) {
            for event in self.log(earlier).await? {
                if let LoopEvent::PlanAccepted { plan: Plan::Feedback(plan), .. } = event
                    && earlier.number < row.number
                {
                    advice = Some(plan);
                }
            }
            let full = self.store.evaluations(Some(earlier.id)).await?;
            if let Some(full) = full.iter().rev().find(|e| e.kind == EvaluationKind::Loop) {
                last_evaluation = Some(figures(full));
            }
        }
        let champion = match self.store.champion().await? {
            Some(champion) => self
                .store
                .evaluations(champion.loop_id)
                .await?
                .iter()
                .rev()
                .find(|e| e.checkpoint_id == Some(champion.id) && e.kind == EvaluationKind::Loop)
                .map(figures),
            None => None,
        };
        let ids: Vec<_> = loops.iter().map(|r| r.id).collect();
        let datasets = self.store.datasets().await?;
        let checkpoints = self.store.checkpoints().await?;
        let setting = throughput::setting(&self.store, mission).await?;
        let left = throughput::time_left(mission, setting.as_ref(), stage, view.now);
        let of_mission = |loop_id: Option<LoopId>| loop_id.is_some_and(|id| ids.contains(&id));
        Ok(Evidence {
            stage,
            goal: mission.goal.clone(),
            target_success: mission.target_success,
            loop_number: row.number,
            planned_loops: mission.planned_loops,
            preset: preset_of(mission),
            families: stages::family_names(),
            champion,
            last_evaluation,
            advice,
            samples_stored: datasets.iter().filter(|d| of_mission(d.loop_id)).map(|d| u64::from(d.samples)).sum(),
            time: setting.map(|setting| TimeEvidence {
                left_s: left.seconds,
                whose: left.whose.to_owned(),
                rates: setting.rates,
            }),
            set_back: set_back_of(log, stage),
            samples_trained: checkpoints.iter().rfind(|c| of_mission(c.loop_id)).map_or(0, |c| c.samples_seen),
        })
    }
}

/// What the last set-back of `stage` says, when the stage was not passed since.
fn set_back_of(log: &[LoopEvent], of: Stage) -> Option<SetBack> {
    let (at, fault, error) = log.iter().enumerate().rev().find_map(|(at, event)| match event {
        LoopEvent::StageSetBack { stage, to, fault, error } if *to <= of && of <= *stage => {
            Some((at, *fault, error.clone()))
        }
        LoopEvent::Opened
        | LoopEvent::PlanAccepted { .. }
        | LoopEvent::StagePassed { .. }
        | LoopEvent::StageSetBack { .. }
        | LoopEvent::StageFailed { .. }
        | LoopEvent::Stopped { .. } => None,
    })?;
    let passed = |event: &LoopEvent| matches!(event, LoopEvent::StagePassed { stage, .. } if *stage == of);
    if log[at..].iter().any(passed) {
        return None;
    }
    let plan = log[..at].iter().rev().find_map(|event| match event {
        LoopEvent::PlanAccepted { plan, .. } if plan.stage() == of => Some(plan.to_json()),
        LoopEvent::Opened
        | LoopEvent::PlanAccepted { .. }
        | LoopEvent::StagePassed { .. }
        | LoopEvent::StageSetBack { .. }
        | LoopEvent::StageFailed { .. }
        | LoopEvent::Stopped { .. } => None,
    });
    Some(SetBack { fault, error, plan: plan.unwrap_or_default(), times: set_backs(log, of) })
}

fn figures(row: &EvaluationRow) -> EvaluationEvidence {
    EvaluationEvidence {
        scenes: row.scenes,
        bricks: row.bricks,
        per_family: serde_json::from_value(row.summary["per_family"].clone()).unwrap_or_default(),
        failures: serde_json::from_value(row.summary["failures"].clone()).unwrap_or_default(),
    }
}
