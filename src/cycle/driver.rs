//! The driver: moves the mission's loop from stage to stage.
//!
//! One tick reads the store, makes at most one move and writes it down; nothing is kept in memory between ticks, so a
//! process that dies anywhere goes on from its rows. It asks, checks, enqueues and records; it never works itself,
//! never waits for a person longer than the deadline, and never lets a model's words decide whether a stage passed.

use super::evidence::{EvaluationEvidence, Evidence};
use super::machine::{IllegalMove, LoopEvent, LoopState, next, replay};
use super::plan::{FeedbackPlan, Plan};
use super::playbook;
use super::preset::LoopPreset;
use super::spec::JobSpec;
use super::stages;
use crate::base::{Clock, JobState, LoopEnding, MissionState, Stage, Timestamp};
use crate::store::{
    AuthorKind, Change, DecisionRow, EvaluationKind, EvaluationRow, LoopRow, MailKind, MissionRow, NewJob, NewMessage,
    Store, StoreError,
};
use std::sync::Arc;
use std::time::Duration;
use thiserror::Error;
use tokio_util::sync::CancellationToken;

/// Loops that may fail one after another before the mission is given up.
const FAILED_LOOPS_IN_A_ROW: usize = 2;
/// The driver looks at least this often, in case a wake-up was lost.
const POLL: Duration = Duration::from_secs(1);
/// After an error of the store the driver waits this long before it tries again.
const RETRY: Duration = Duration::from_secs(5);

/// What can go wrong in a tick.
#[derive(Debug, Error)]
pub enum DriverError {
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The log of a loop cannot be read by this version.
    #[error("the events of loop {0} cannot be read: {1}")]
    Log(u32, String),
    /// The log of a loop is not one that this version could have made.
    #[error(transparent)]
    Illegal(#[from] IllegalMove),
}

/// What a tick did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tick {
    /// A move was made; look again at once.
    Moved,
    /// Nothing to do until something changes or a deadline passes.
    Waiting,
}

/// Moves the loop. Cheap to make; keeps no state of its own.
pub struct Driver {
    store: Store,
    clock: Arc<dyn Clock>,
    threads: usize,
}

impl Driver {
    /// A driver over `store`; jobs it enqueues use `threads` threads.
    pub fn new(store: Store, clock: Arc<dyn Clock>, threads: usize) -> Self {
        Self { store, clock, threads }
    }

    /// Ticks until `stop` is cancelled.
    pub async fn run(&self, stop: CancellationToken) {
        let mut changes = self.store.changes();
        while !stop.is_cancelled() {
            match self.tick().await {
                Ok(Tick::Moved) => {}
                Ok(Tick::Waiting) => {
                    tokio::select! {
                        () = stop.cancelled() => return,
                        () = wake(&mut changes) => {}
                        () = tokio::time::sleep(POLL) => {}
                    }
                }
                Err(error) => {
                    tracing::error!(%error, "the loop cannot move; trying again");
                    tokio::select! {
                        () = stop.cancelled() => return,
                        () = tokio::time::sleep(RETRY) => {}
                    }
                }
            }
        }
    }

    /// Makes at most one move.
    ///
    /// # Errors
    /// When the store fails or a loop's log cannot be read; nothing was changed then.
    pub async fn tick(&self) -> Result<Tick, DriverError> {
        let now = self.clock.now();
        let Some(mission) = self.store.current_mission().await? else { return Ok(Tick::Waiting) };
        let loops = self.store.loops_of(mission.id).await?;
        let Some(current) = loops.iter().find(|row| row.ending.is_none()) else {
            return self.between_loops(&mission, &loops, now).await;
        };
        let log = self.log(current).await?;
        let state = replay(&log)?;
        let len = u32::try_from(log.len()).unwrap_or(u32::MAX);
        match &state {
            LoopState::New => self.append(current, len, &state, &LoopEvent::Opened, now).await,
            LoopState::Deciding(stage) => self.decide(&mission, current, len, &state, *stage, now).await,
            LoopState::Working(plan) => {
                let preset = preset_of(&mission);
                self.work(&mission, &preset, current, len, &state, plan, now).await
            }
            LoopState::Ended(ending) => {
                let note = log.iter().rev().find_map(|event| match event {
                    LoopEvent::StageFailed { stage, error } => Some(format!("{stage} failed: {error}")),
                    LoopEvent::Opened
                    | LoopEvent::PlanAccepted { .. }
                    | LoopEvent::StagePassed { .. }
                    | LoopEvent::Stopped { .. } => None,
                });
                self.store.close_loop(current.id, *ending, note.as_deref(), now).await?;
                Ok(Tick::Moved)
            }
        }
    }

    /// Opens the next loop, or ends the mission.
    async fn between_loops(
        &self,
        mission: &MissionRow,
        loops: &[LoopRow],
        now: Timestamp,
    ) -> Result<Tick, DriverError> {
        if mission.state == MissionState::Paused {
            return Ok(Tick::Waiting);
        }
        let failed = loops.iter().rev().take_while(|row| row.ending == Some(LoopEnding::Failed)).count();
        if failed >= FAILED_LOOPS_IN_A_ROW || (failed > 0 && loops.len() >= mission.planned_loops as usize) {
            let note = loops.last().and_then(|row| row.ending_note.clone()).unwrap_or_default();
            return self.end(mission, MissionState::Failed, &format!("the last loop failed: {note}"), now).await;
        }
        if let Some(last) = loops.last() {
            if let Some(reason) = self.reason_to_end(last).await? {
                return self.end(mission, MissionState::Completed, &reason, now).await;
            }
            if loops.len() >= mission.planned_loops as usize {
                let reason = format!("all {} planned loops ended", mission.planned_loops);
                return self.end(mission, MissionState::Completed, &reason, now).await;
            }
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

    /// The target was met, or the last feedback asked to stop.
    async fn reason_to_end(&self, last: &LoopRow) -> Result<Option<String>, DriverError> {
        for event in self.log(last).await?.iter().rev() {
            match event {
                LoopEvent::StagePassed { stage: Stage::Feedback, result } => {
                    if result["target_met"].as_bool() == Some(true) {
                        return Ok(Some(format!("target met: {}", result["reason"].as_str().unwrap_or_default())));
                    }
                }
                LoopEvent::PlanAccepted { plan: Plan::Feedback(FeedbackPlan { stop: Some(reason), .. }), by } => {
                    return Ok(Some(format!("{by} ended the mission: {reason}")));
                }
                LoopEvent::Opened
                | LoopEvent::PlanAccepted { .. }
                | LoopEvent::StagePassed { .. }
                | LoopEvent::StageFailed { .. }
                | LoopEvent::Stopped { .. } => {}
            }
        }
        Ok(None)
    }

    async fn end(
        &self,
        mission: &MissionRow,
        state: MissionState,
        ending: &str,
        now: Timestamp,
    ) -> Result<Tick, DriverError> {
        self.store.set_mission_state(mission.id, state, Some(ending), now).await?;
        let payload = serde_json::json!({ "event": "mission_ended", "mission": mission.id, "ending": ending });
        let watcher = Stage::Feedback.owner();
        let dedup = format!("mission-{}-ended", mission.id);
        self.store.send_mail(watcher.as_str(), MailKind::LoopEvent, &payload, &dedup, now).await?;
        Ok(Tick::Moved)
    }

    /// Asks the owner, takes a valid answer, or decides as deputy when the deadline has passed.
    async fn decide(
        &self,
        mission: &MissionRow,
        row: &LoopRow,
        len: u32,
        state: &LoopState,
        stage: Stage,
        now: Timestamp,
    ) -> Result<Tick, DriverError> {
        if mission.state == MissionState::Paused {
            return Ok(Tick::Waiting);
        }
        let preset = preset_of(mission);
        let Some(decision) = self.store.decision_for(row.id, stage).await? else {
            let evidence = serde_json::to_value(self.evidence(mission, row, stage, preset).await?).unwrap_or_default();
            let deadline = now + Duration::from_secs(u64::from(preset_of(mission).decision_deadline_s));
            self.store.ask_decision(row.id, stage, stage.owner(), &evidence, deadline, now).await?;
            return Ok(Tick::Moved);
        };
        let families = stages::family_names();
        if let Some(plan) = &decision.plan {
            let plan = Plan::from_json(stage, plan, &families).map_err(|e| DriverError::Log(row.number, e))?;
            let by = decision.decided_by.clone().unwrap_or_default();
            return self.append(row, len, state, &LoopEvent::PlanAccepted { plan, by }, now).await;
        }
        if let Some(proposal) = &decision.proposal {
            return self.consider(&decision, proposal, &families, now).await;
        }
        if now >= decision.deadline_at {
            return self.deputise(mission, row, &decision, now).await;
        }
        Ok(Tick::Waiting)
    }

    /// Takes a valid proposal; sends an invalid one back with the reason.
    async fn consider(
        &self,
        decision: &DecisionRow,
        proposal: &serde_json::Value,
        families: &[String],
        now: Timestamp,
    ) -> Result<Tick, DriverError> {
        match Plan::from_json(decision.stage, proposal, families) {
            Ok(plan) => {
                let by = decision.proposed_by.clone().unwrap_or_else(|| decision.persona.to_string());
                self.store.accept_decision(decision.id, &by, &plan.to_json(), now).await?;
            }
            Err(reason) => {
                self.store.refuse_proposal(decision.id, &reason, now).await?;
                let payload = serde_json::json!({ "decision": decision.id, "refused": reason });
                let dedup = format!("decision-{}-refused-{}", decision.id, now.as_millisecond());
                self.store.send_mail(decision.persona.as_str(), MailKind::DecisionAsked, &payload, &dedup, now).await?;
            }
        }
        Ok(Tick::Moved)
    }

    /// The playbook decides in the owner's place, and the channel says so.
    async fn deputise(
        &self,
        mission: &MissionRow,
        row: &LoopRow,
        decision: &DecisionRow,
        now: Timestamp,
    ) -> Result<Tick, DriverError> {
        let evidence = self.evidence(mission, row, decision.stage, preset_of(mission)).await?;
        let (plan, reason) = playbook::decide(&evidence);
        self.store.accept_decision(decision.id, "deputy", &plan.to_json(), now).await?;
        let why = match &decision.refusal {
            Some(refusal) => format!("its last proposal was refused ({refusal})"),
            None => "no proposal came".to_owned(),
        };
        let message = NewMessage {
            channel: "mission-control".to_owned(),
            author: "ralphton".to_owned(),
            author_kind: AuthorKind::System,
            brain: Some("playbook".to_owned()),
            text: format!(
                "The {} was due to decide at **{}** and {why}. The playbook decides as deputy: {reason}.",
                decision.persona, decision.stage
            ),
            attachments: Vec::new(),
            loop_id: Some(row.id),
            dedup: Some(format!("decision-{}-deputy", decision.id)),
        };
        self.store.post(&message, now).await?;
        Ok(Tick::Moved)
    }

    /// Enqueues the stage's job once, and records its end.
    #[expect(clippy::too_many_arguments, reason = "the arguments are the tick's whole view, read once")]
    async fn work(
        &self,
        mission: &MissionRow,
        preset: &LoopPreset,
        row: &LoopRow,
        len: u32,
        state: &LoopState,
        plan: &Plan,
        now: Timestamp,
    ) -> Result<Tick, DriverError> {
        let stage = plan.stage();
        let key = format!("mission{}/loop{}/{stage}", mission.id, row.number);
        let jobs = self.store.jobs_of_loop(row.id).await?;
        let Some(job) = jobs.iter().find(|job| job.key == key) else {
            if mission.state == MissionState::Paused {
                return Ok(Tick::Waiting);
            }
            let spec = stages::spec(&self.store, mission, preset, row, plan, self.threads).await?;
            let Some(spec) = spec else {
                let error = "an earlier stage left nothing to work on".to_owned();
                return self.append(row, len, state, &LoopEvent::StageFailed { stage, error }, now).await;
            };
            self.enqueue(row, stage, key, &spec, now).await?;
            return Ok(Tick::Moved);
        };
        let event = match job.state {
            JobState::Queued | JobState::Running => return Ok(Tick::Waiting),
            JobState::Succeeded => LoopEvent::StagePassed { stage, result: job.result.clone().unwrap_or_default() },
            JobState::Failed => LoopEvent::StageFailed { stage, error: job.error.clone().unwrap_or_default() },
            JobState::Cancelled => LoopEvent::Stopped { by: "a cancelled job".to_owned() },
        };
        self.append(row, len, state, &event, now).await
    }

    async fn enqueue(
        &self,
        row: &LoopRow,
        stage: Stage,
        key: String,
        spec: &JobSpec,
        now: Timestamp,
    ) -> Result<(), DriverError> {
        let job = NewJob {
            kind: spec.kind(),
            spec: spec.to_json(),
            key,
            owner: stage.owner().as_str().to_owned(),
            loop_id: Some(row.id),
            stage: Some(stage),
        };
        self.store.enqueue(&job, now).await?;
        Ok(())
    }

    async fn append(
        &self,
        row: &LoopRow,
        len: u32,
        state: &LoopState,
        event: &LoopEvent,
        now: Timestamp,
    ) -> Result<Tick, DriverError> {
        next(state, event)?;
        let event = serde_json::to_value(event).unwrap_or_default();
        // False means that a person's stop came first: the next tick sees it.
        self.store.append_loop_event(row.id, len, &event, now).await?;
        Ok(Tick::Moved)
    }

    async fn log(&self, row: &LoopRow) -> Result<Vec<LoopEvent>, DriverError> {
        self.store
            .loop_events(row.id)
            .await?
            .into_iter()
            .map(|(_, event)| serde_json::from_value(event).map_err(|e| DriverError::Log(row.number, e.to_string())))
            .collect()
    }

    async fn evidence(
        &self,
        mission: &MissionRow,
        row: &LoopRow,
        stage: Stage,
        preset: LoopPreset,
    ) -> Result<Evidence, DriverError> {
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
        let of_mission = |loop_id: Option<crate::base::LoopId>| loop_id.is_some_and(|id| ids.contains(&id));
        Ok(Evidence {
            stage,
            goal: mission.goal.clone(),
            target_success: mission.target_success,
            loop_number: row.number,
            planned_loops: mission.planned_loops,
            preset,
            families: stages::family_names(),
            champion,
            last_evaluation,
            advice,
            samples_stored: datasets.iter().filter(|d| of_mission(d.loop_id)).map(|d| u64::from(d.samples)).sum(),
            samples_trained: checkpoints.iter().rfind(|c| of_mission(c.loop_id)).map_or(0, |c| c.samples_seen),
        })
    }
}

/// The mission's own preset; a mission of an older version that lacks a field gets its default.
fn preset_of(mission: &MissionRow) -> LoopPreset {
    serde_json::from_value(mission.settings.clone()).unwrap_or_default()
}

fn figures(row: &EvaluationRow) -> EvaluationEvidence {
    EvaluationEvidence {
        scenes: row.scenes,
        bricks: row.bricks,
        per_family: serde_json::from_value(row.summary["per_family"].clone()).unwrap_or_default(),
        failures: serde_json::from_value(row.summary["failures"].clone()).unwrap_or_default(),
    }
}

/// Returns at the next change that may concern the loop; a lagging or closed channel counts as one.
async fn wake(changes: &mut tokio::sync::broadcast::Receiver<Change>) {
    while let Ok(change) = changes.recv().await {
        match change {
            Change::Mission | Change::Loop | Change::Decision | Change::Job => return,
            Change::Mailbox
            | Change::Message
            | Change::Agent
            | Change::Order
            | Change::Ledger
            | Change::Evaluation
            | Change::Incident => {}
        }
    }
}
