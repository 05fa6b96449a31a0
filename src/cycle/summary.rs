//! A mission at a glance, computed from rows: what the commands, the page, the reports and the state card show.

use super::machine::{LoopEvent, LoopState, replay};
use crate::base::{
    JobId, JobKind, JobState, LoopEnding, LoopId, MissionId, NanoUsd, Progress, Proportion, Stage, Timestamp,
};
use crate::ledger::MachineRates;
use crate::store::{CheckpointRow, EvaluationKind, EvaluationRow, JobRow, LoopRow, MissionRow, Store, StoreError};

/// A mission with its loops.
#[derive(Debug, Clone)]
pub struct MissionSummary {
    /// The mission's row.
    pub mission: MissionRow,
    /// Its loops in order.
    pub loops: Vec<LoopSummary>,
    /// The champion, when there is one.
    pub champion: Option<CheckpointRow>,
    /// Dollars booked for model calls since the mission began.
    pub spent: NanoUsd,
    /// What the machines cost since the mission began.
    pub machine: NanoUsd,
}

/// One loop in figures.
#[derive(Debug, Clone)]
pub struct LoopSummary {
    /// The loop.
    pub id: LoopId,
    /// Its number, from 1.
    pub number: u32,
    /// The stage it is in; none when it ended.
    pub stage: Option<Stage>,
    /// What goes on, in words: "train: 45,000 of 80,000 samples, loss 0.081".
    pub doing: String,
    /// Share of the running job that is done.
    pub progress: Option<f64>,
    /// Seconds the running job needs at its rate so far.
    pub eta_s: Option<f64>,
    /// How it ended.
    pub ending: Option<LoopEnding>,
    /// The note of its ending.
    pub ending_note: Option<String>,
    /// Episodes made.
    pub episodes: u32,
    /// Samples drawn in training.
    pub samples: u64,
    /// Minutes since it was opened, or until it was closed.
    pub minutes: f64,
    /// Minutes until the first closed-loop number.
    pub first_number_minutes: Option<f64>,
    /// Hidden scenes solved whole.
    pub scenes: Option<Proportion>,
    /// Bricks delivered in the hidden scenes.
    pub bricks: Option<Proportion>,
    /// The newest canary rollout.
    pub canary: Option<Proportion>,
    /// Failure classes, most frequent first.
    pub failures: Vec<(String, u32)>,
    /// Scenes solved, family by family.
    pub per_family: Vec<(String, Proportion)>,
    /// Whether the gate promoted this loop's policy.
    pub promoted: Option<bool>,
    /// The gate's reason.
    pub gate_reason: String,
    /// Dollars booked for model calls in the loop.
    pub spent: NanoUsd,
    /// What the machines cost while the loop was open.
    pub machine: NanoUsd,
    /// Where the dataset lies.
    pub dataset: Option<String>,
    /// Where the checkpoint lies.
    pub checkpoint: Option<String>,
    /// The training job, for its curve.
    pub train_job: Option<JobId>,
    /// The full evaluation, for its scenes.
    pub evaluation: Option<EvaluationRow>,
}

/// The mission in figures; none when it does not exist.
///
/// # Errors
/// When the store fails.
pub async fn mission_summary(
    store: &Store,
    mission: MissionId,
    now: Timestamp,
) -> Result<Option<MissionSummary>, StoreError> {
    let Some(mission) = store.mission(mission).await? else { return Ok(None) };
    let rates = MachineRates::from_rows(store.machine_rates().await?);
    let stored = if rates.are_set() { store.artifact_bytes().await? } else { 0 };
    let mut loops = Vec::new();
    for row in store.loops_of(mission.id).await? {
        let machine = rates.cost(row.opened_at, row.closed_at.unwrap_or(now), stored);
        loops.push(LoopSummary { machine, ..loop_summary(store, &row, now).await? });
    }
    let spent = store.spent_in("mission", &mission.id.to_string()).await?;
    let machine = rates.cost(mission.created_at, mission.ended_at.unwrap_or(now), stored);
    Ok(Some(MissionSummary { mission, loops, champion: store.champion().await?, spent, machine }))
}

async fn loop_summary(store: &Store, row: &LoopRow, now: Timestamp) -> Result<LoopSummary, StoreError> {
    let jobs = store.jobs_of_loop(row.id).await?;
    let evaluations = store.evaluations(Some(row.id)).await?;
    let full = evaluations.iter().rev().find(|e| e.kind == EvaluationKind::Loop).cloned();
    let canary = evaluations.iter().rev().find(|e| e.kind == EvaluationKind::Canary);
    let end = row.closed_at.unwrap_or(now);
    let state = state_of(store, row.id).await?;
    let running = jobs.iter().find(|job| matches!(job.state, JobState::Queued | JobState::Running));
    let feedback = result_of(&jobs, JobKind::Feedback);
    let train = result_of(&jobs, JobKind::Train);
    let dataset = dataset_of(store, row.id).await?;
    let checkpoint = store.checkpoints().await?.into_iter().rev().find(|c| c.loop_id == Some(row.id));
    Ok(LoopSummary {
        id: row.id,
        number: row.number,
        stage: if row.ending.is_some() { None } else { stage_of(&state) },
        doing: doing(row, &state, running),
        progress: running.map(fraction),
        eta_s: running.and_then(|job| eta_s(job, now)),
        ending: row.ending,
        ending_note: row.ending_note.clone(),
        episodes: dataset.as_ref().map_or(0, |(episodes, _)| *episodes),
        samples: train
            .and_then(|value| value["samples"].as_u64())
            .unwrap_or_else(|| jobs.iter().find(|job| job.kind == JobKind::Train).map_or(0, |job| job.done)),
        minutes: minutes(row.opened_at, end),
        first_number_minutes: evaluations.first().map(|first| minutes(row.opened_at, first.created_at)),
        scenes: full.as_ref().map(|e| e.scenes),
        bricks: full.as_ref().map(|e| e.bricks),
        canary: canary.map(|e| e.scenes),
        failures: full.as_ref().map(|e| from_json(&e.summary["failures"])).unwrap_or_default(),
        per_family: full.as_ref().map(|e| from_json(&e.summary["per_family"])).unwrap_or_default(),
        promoted: feedback.and_then(|value| value["promoted"].as_bool()),
        gate_reason: feedback.and_then(|value| value["reason"].as_str()).unwrap_or_default().to_owned(),
        spent: store.spend_of_loop(row.id).await?,
        machine: NanoUsd::ZERO,
        dataset: dataset.map(|(_, path)| path),
        checkpoint: checkpoint.map(|c| c.path),
        train_job: jobs.iter().find(|job| job.kind == JobKind::Train).map(|job| job.id),
        evaluation: full,
    })
}

/// The loop's state, rebuilt from its events. A log that cannot be read counts as new: the driver reports it.
async fn state_of(store: &Store, loop_id: LoopId) -> Result<LoopState, StoreError> {
    let events: Vec<LoopEvent> = store
        .loop_events(loop_id)
        .await?
        .into_iter()
        .filter_map(|(_, event)| serde_json::from_value(event).ok())
        .collect();
    Ok(replay(&events).unwrap_or(LoopState::New))
}

async fn dataset_of(store: &Store, loop_id: LoopId) -> Result<Option<(u32, String)>, StoreError> {
    let rows: Vec<_> = store.datasets().await?.into_iter().filter(|row| row.loop_id == Some(loop_id)).collect();
    Ok(rows.last().map(|last| (rows.iter().map(|row| row.episodes).sum(), last.path.clone())))
}

fn stage_of(state: &LoopState) -> Option<Stage> {
    match state {
        LoopState::New => Some(Stage::Generate),
        LoopState::Deciding(stage) => Some(*stage),
        LoopState::Working(plan) => Some(plan.stage()),
        LoopState::Ended(_) => None,
    }
}

fn doing(row: &LoopRow, state: &LoopState, running: Option<&JobRow>) -> String {
    if let Some(ending) = row.ending {
        return match &row.ending_note {
            Some(note) => format!("{ending}: {note}"),
            None => ending.to_string(),
        };
    }
    match (state, running) {
        (LoopState::Deciding(stage), _) => format!("{stage}: {} decides", stage.owner()),
        (_, Some(job)) if job.state == JobState::Queued => format!("{}: queued", job.kind),
        (_, Some(job)) => format!("{}: {}", job.kind, progress_text(job)),
        (LoopState::Working(plan), None) => format!("{}: starting", plan.stage()),
        (LoopState::New | LoopState::Ended(_), None) => "starting".to_owned(),
    }
}

/// "45,000 of 80,000 samples, loss 0.081"
pub fn progress_text(job: &JobRow) -> String {
    if job.total == 0 {
        return if job.note.is_empty() { "running".to_owned() } else { job.note.clone() };
    }
    let counted = format!("{} of {} {}", grouped(job.done), grouped(job.total), job.unit);
    if job.note.is_empty() { counted } else { format!("{counted}, {}", job.note) }
}

/// A number with its thousands set apart: `80,000`.
pub fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// `3 min 12 s`, `58 s`, `2 h 05 min`, and `4.2 s` below ten seconds.
pub fn duration(seconds: f64) -> String {
    let whole = seconds.max(0.0).round() as u64;
    match (whole / 3_600, whole / 60 % 60, whole % 60) {
        (0, 0, s) if s < 10 && seconds >= 0.0 => format!("{seconds:.1} s"),
        (0, 0, s) => format!("{s} s"),
        (0, min, s) => format!("{min} min {s:02} s"),
        (h, min, _) => format!("{h} h {min:02} min"),
    }
}

/// A name from data as people read it: `brick_at_wall` becomes `Brick at wall`.
pub fn title_case(name: &str) -> String {
    let words = name.replace('_', " ");
    let mut characters = words.chars();
    characters.next().map_or_else(String::new, |first| first.to_uppercase().chain(characters).collect())
}

fn fraction(job: &JobRow) -> f64 {
    Progress { done: job.done, total: job.total.max(1), unit: "", note: String::new() }.fraction()
}

/// Seconds left at the rate so far; none before there is a rate.
fn eta_s(job: &JobRow, now: Timestamp) -> Option<f64> {
    let elapsed = minutes(job.started_at?, now) * 60.0;
    let done = fraction(job);
    (done > 0.02 && elapsed > 2.0).then(|| elapsed * (1.0 - done) / done)
}

fn result_of(jobs: &[JobRow], kind: JobKind) -> Option<&serde_json::Value> {
    jobs.iter().rev().find(|job| job.kind == kind).and_then(|job| job.result.as_ref())
}

fn from_json<T: serde::de::DeserializeOwned + Default>(value: &serde_json::Value) -> T {
    serde_json::from_value(value.clone()).unwrap_or_default()
}

fn minutes(from: Timestamp, to: Timestamp) -> f64 {
    to.duration_since(from).as_secs_f64() / 60.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn thousands_are_set_apart() {
        assert_eq!(grouped(0), "0");
        assert_eq!(grouped(999), "999");
        assert_eq!(grouped(1_000), "1,000");
        assert_eq!(grouped(1_234_567), "1,234,567");
    }
}
