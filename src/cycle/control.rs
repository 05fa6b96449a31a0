//! What a person can do to a mission: start, pause, resume, stop. Each is a few rows; the driver sees them.

use super::machine::LoopEvent;
use super::preset::LoopPreset;
use super::terms::Terms;
use crate::base::{LoopEnding, MissionEnding, MissionId, MissionState, Seed, Timestamp};
use crate::store::{AuthorKind, NewMessage, NewMission, Store, StoreError};
use thiserror::Error;

/// What a mission is to be.
#[derive(Debug, Clone, PartialEq)]
pub struct MissionOrder {
    /// The preset's name, for people.
    pub preset_name: String,
    /// The preset itself; stored with the mission, so that later edits of the file do not change it.
    pub preset: LoopPreset,
    /// The goal in words.
    pub goal: String,
    /// Loops to run.
    pub loops: u32,
    /// The rate of solved scenes at which the mission is met, in (0, 1].
    pub target_success: f64,
    /// Where all randomness of the mission begins.
    pub seed: Seed,
    /// Deadline, budgets and approvals.
    pub terms: Terms,
}

/// Why an order to the loop was refused. The text says what to do instead.
#[derive(Debug, Error)]
pub enum ControlError {
    /// Only one mission runs at a time.
    #[error("mission {0} is already running; stop it first with /loop stop, or let it end")]
    AlreadyRunning(MissionId),
    /// Nothing to act on.
    #[error("no mission is running; start one with /loop start")]
    NothingRunning,
    /// Resume without pause.
    #[error("mission {0} is not paused")]
    NotPaused(MissionId),
    /// Pause twice.
    #[error("mission {0} is paused already; go on with /loop resume")]
    AlreadyPaused(MissionId),
    /// A mission of no loops, or a target nobody can meet.
    #[error("{0}")]
    BadOrder(String),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Starts a mission; the driver opens its first loop.
///
/// # Errors
/// When one is running, or the order makes no sense.
pub async fn start(store: &Store, order: &MissionOrder, at: Timestamp) -> Result<MissionId, ControlError> {
    if let Some(mission) = store.current_mission().await? {
        return Err(ControlError::AlreadyRunning(mission.id));
    }
    if !(1..=10_000).contains(&order.loops) {
        return Err(ControlError::BadOrder(format!("{} loops: ask for 1 to 10,000", order.loops)));
    }
    if !(order.target_success > 0.0 && order.target_success <= 1.0) {
        return Err(ControlError::BadOrder(format!(
            "a target of {}: give a share above 0 and at most 1, such as 0.9",
            order.target_success
        )));
    }
    order.terms.check().map_err(ControlError::BadOrder)?;
    order.preset.deadlines.check().map_err(ControlError::BadOrder)?;
    let terms = serde_json::to_value(&order.terms).map_err(|e| ControlError::BadOrder(e.to_string()))?;
    let settings = serde_json::to_value(&order.preset).map_err(|e| ControlError::BadOrder(e.to_string()))?;
    let versions = serde_json::json!({
        "ralphton": env!("CARGO_PKG_VERSION"),
        "sim": crate::sim::SIM_VERSION,
        "rapier3d": crate::sim::RAPIER_VERSION,
    });
    let mission = NewMission {
        preset: order.preset_name.clone(),
        goal: order.goal.clone(),
        planned_loops: order.loops,
        target_success: order.target_success,
        seed: order.seed,
        settings,
        terms,
        versions,
    };
    Ok(store.create_mission(&mission, at).await?)
}

/// Lets the running job end and starts nothing new.
///
/// # Errors
/// When nothing runs or it is paused already.
pub async fn pause(store: &Store, by: &str, at: Timestamp) -> Result<(), ControlError> {
    let mission = store.current_mission().await?.ok_or(ControlError::NothingRunning)?;
    if mission.state == MissionState::Paused {
        return Err(ControlError::AlreadyPaused(mission.id));
    }
    store.set_mission_state(mission.id, MissionState::Paused, None, at).await?;
    say(store, format!("Paused by {by}. The running job ends; nothing new starts until `/loop resume`."), at).await
}

/// Goes on after a pause.
///
/// # Errors
/// When nothing is paused.
pub async fn resume(store: &Store, by: &str, at: Timestamp) -> Result<(), ControlError> {
    let mission = store.current_mission().await?.ok_or(ControlError::NothingRunning)?;
    if mission.state != MissionState::Paused {
        return Err(ControlError::NotPaused(mission.id));
    }
    store.set_mission_state(mission.id, MissionState::Running, None, at).await?;
    say(store, format!("Resumed by {by}."), at).await
}

/// Ends the mission at the next safe point of its running job. What was made stays.
///
/// # Errors
/// When nothing runs.
pub async fn stop(store: &Store, by: &str, at: Timestamp) -> Result<(), ControlError> {
    let mission = store.current_mission().await?.ok_or(ControlError::NothingRunning)?;
    for row in store.loops_of(mission.id).await?.into_iter().filter(|row| row.ending.is_none()) {
        for job in store.jobs_of_loop(row.id).await? {
            store.cancel_job(job.id, at).await?;
        }
        let events = u32::try_from(store.loop_events(row.id).await?.len()).unwrap_or(u32::MAX);
        let event = serde_json::to_value(LoopEvent::Stopped { by: by.to_owned() }).unwrap_or_default();
        // Losing the race against the driver is harmless: the loop is closed either way and the mission ends below.
        store.append_loop_event(row.id, events, &event, at).await?;
        store.close_loop(row.id, LoopEnding::Stopped, Some(&format!("stopped by {by}")), at).await?;
    }
    let ending = format!("stopped by {by}");
    store.end_mission(mission.id, MissionState::Stopped, MissionEnding::Stopped, &ending, at).await?;
    say(store, format!("Stopped by {by}. Everything made so far is kept; `/loop start` begins a new mission."), at)
        .await
}

async fn say(store: &Store, text: String, at: Timestamp) -> Result<(), ControlError> {
    let message = NewMessage {
        channel: "mission-control".to_owned(),
        author: "ralphton".to_owned(),
        author_kind: AuthorKind::System,
        brain: None,
        text,
        attachments: Vec::new(),
        loop_id: None,
        dedup: None,
    };
    store.post(&message, at).await?;
    Ok(())
}
