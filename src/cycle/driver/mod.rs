//! The driver: moves the mission's loop from stage to stage.
//!
//! One tick reads the store, makes at most one move and writes it down; nothing is kept in memory between ticks, so a
//! process that dies anywhere goes on from its rows. It asks, checks, enqueues and records; it never works itself,
//! never waits for a person longer than the deadline, and never lets a model's words decide whether a stage passed.
//!
//! [`between`] opens loops and ends missions, [`decide`] settles plans, [`work`] enqueues jobs and answers faults,
//! [`evidence`] is what a decision is made by.

mod between;
mod decide;
mod evidence;
mod work;

use super::machine::{IllegalMove, LoopEvent, LoopState, next, replay};
use crate::base::{Clock, Timestamp};
use crate::store::{AuthorKind, Change, LoopRow, MissionRow, NewMessage, Store, StoreError};
use std::sync::Arc;
use std::time::Duration;
use thiserror::Error;
use tokio_util::sync::CancellationToken;

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
    after_probe: bool,
}

/// What a tick sees of the open loop, read once.
struct View<'a> {
    mission: &'a MissionRow,
    row: &'a LoopRow,
    log: &'a [LoopEvent],
    state: &'a LoopState,
    now: Timestamp,
}

impl Driver {
    /// A driver over `store`; jobs it enqueues use `threads` threads.
    pub fn new(store: Store, clock: Arc<dyn Clock>, threads: usize) -> Self {
        Self { store, clock, threads, after_probe: false }
    }

    /// Lets a new mission wait until the machine was measured, for a bounded time: for a process that has a
    /// [`Prober`](super::prober::Prober).
    #[must_use]
    pub fn after_probe(mut self) -> Self {
        self.after_probe = true;
        self
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
        let Some(row) = loops.iter().find(|row| row.ending.is_none()) else {
            return self.between_loops(&mission, &loops, now).await;
        };
        let log = self.log(row).await?;
        let state = replay(&log)?;
        let view = View { mission: &mission, row, log: &log, state: &state, now };
        match &state {
            LoopState::New => self.append(&view, &LoopEvent::Opened).await,
            LoopState::Deciding(stage) => self.decide(&view, *stage).await,
            LoopState::Working(plan) => self.work(&view, plan).await,
            LoopState::Ended(ending) => {
                let note = log.iter().rev().find_map(|event| match event {
                    LoopEvent::StageFailed { stage, error, .. } => Some(format!("{stage} failed: {error}")),
                    LoopEvent::Opened
                    | LoopEvent::PlanAccepted { .. }
                    | LoopEvent::StagePassed { .. }
                    | LoopEvent::StageSetBack { .. }
                    | LoopEvent::Stopped { .. } => None,
                });
                self.store.close_loop(row.id, *ending, note.as_deref(), now).await?;
                Ok(Tick::Moved)
            }
        }
    }

    async fn append(&self, view: &View<'_>, event: &LoopEvent) -> Result<Tick, DriverError> {
        next(view.state, event)?;
        let event = serde_json::to_value(event).unwrap_or_default();
        let len = u32::try_from(view.log.len()).unwrap_or(u32::MAX);
        // False means that a person's stop came first: the next tick sees it.
        self.store.append_loop_event(view.row.id, len, &event, view.now).await?;
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

    /// Tells people something, once for each `dedup`.
    async fn say(&self, view: &View<'_>, dedup: String, text: String) -> Result<(), DriverError> {
        let message = NewMessage {
            channel: "mission-control".to_owned(),
            author: "ralphton".to_owned(),
            author_kind: AuthorKind::System,
            brain: Some("playbook".to_owned()),
            text,
            attachments: Vec::new(),
            loop_id: Some(view.row.id),
            dedup: Some(dedup),
        };
        self.store.post(&message, view.now).await?;
        Ok(())
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
