//! The team: the one place where agents are spawned, woken, restarted and joined.
//!
//! A single supervisor task owns every seat. It wakes agents when mail may have come, carries out the orders that the
//! watchdog places (`wake`, `restart_agent`), gives a seat whose task died a new one, and mails the training agent each
//! canary that its job has measured.

use super::AgentError;
use super::actor::{Agent, AgentDeps};
use super::brain::Brain;
use super::config::{AgentConfig, check_roster};
use super::playbook::PlaybookBrain;
use crate::base::{EvaluationId, Persona};
use crate::store::{Change, EvaluationKind, MailKind, OrderRow, Store, StoreError};
use serde_json::json;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{broadcast, mpsc};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

/// Wake-ups that can wait in front of an agent. More say nothing new.
const WAKE_UPS: usize = 16;
/// The supervisor looks at least this often, in case a wake-up was lost.
const POLL: Duration = Duration::from_secs(2);
/// How long an agent has to reach a safe point before its task is dropped. Its mail stays and is taken again.
const GRACE: Duration = Duration::from_secs(5);

/// Brains by agent name; an agent without one thinks by the playbook.
pub type Brains = BTreeMap<String, Arc<dyn Brain>>;

/// The agents of one process while they run.
pub struct Team {
    supervisor: JoinHandle<()>,
}

impl Team {
    /// Spawns every agent of `roster`; cancelling `stop` ends them at their next safe point.
    ///
    /// # Errors
    /// When the roster cannot work.
    pub fn start(
        roster: Vec<AgentConfig>,
        deps: AgentDeps,
        brains: Brains,
        stop: CancellationToken,
    ) -> Result<Team, AgentError> {
        check_roster(&roster, &deps.registry)?;
        let changes = deps.tools.store.changes();
        let mut supervisor = Supervisor { roster, deps, brains, stop, seats: Vec::new(), told: EvaluationId(0) };
        supervisor.fill_seats();
        Ok(Team { supervisor: tokio::spawn(supervisor.run(changes)) })
    }

    /// Waits until every agent has stopped. To be called after `stop` was cancelled.
    pub async fn join(self) {
        if let Err(error) = self.supervisor.await {
            tracing::error!(%error, "the team's supervisor did not end in order");
        }
    }
}

/// One agent's place in the team.
struct Seat {
    name: String,
    wake: mpsc::Sender<()>,
    stop: CancellationToken,
    task: JoinHandle<()>,
}

struct Supervisor {
    roster: Vec<AgentConfig>,
    deps: AgentDeps,
    brains: Brains,
    stop: CancellationToken,
    seats: Vec<Seat>,
    /// The newest canary that was mailed by this process; the mail's key guards against doubles across restarts.
    told: EvaluationId,
}

impl Supervisor {
    fn fill_seats(&mut self) {
        self.seats = (0..self.roster.len()).map(|index| self.seat(index)).collect();
    }

    /// Spawns the agent of the roster's entry `index`, with nothing remembered.
    fn seat(&self, index: usize) -> Seat {
        let config = &self.roster[index];
        let colleagues = self.roster.iter().filter(|other| other.name != config.name).map(|other| other.name.clone());
        let brain = self.brains.get(&config.name).cloned().unwrap_or_else(|| Arc::new(PlaybookBrain));
        let agent = Agent::new(config, colleagues.collect(), brain, self.deps.clone());
        let (wake, woken) = mpsc::channel(WAKE_UPS);
        let stop = self.stop.child_token();
        let task = tokio::spawn(agent.run(woken, stop.clone()));
        Seat { name: config.name.clone(), wake, stop, task }
    }

    async fn run(mut self, mut changes: broadcast::Receiver<Change>) {
        while !self.stop.is_cancelled() {
            if let Err(error) = self.look().await {
                tracing::warn!(%error, "the team's supervisor could not look; trying again");
            }
            tokio::select! {
                () = self.stop.cancelled() => {}
                () = concerning(&mut changes) => {}
                () = tokio::time::sleep(POLL) => {}
            }
        }
        for seat in self.seats {
            end(seat).await;
        }
    }

    async fn look(&mut self) -> Result<(), StoreError> {
        for index in 0..self.seats.len() {
            if self.seats[index].task.is_finished() && !self.stop.is_cancelled() {
                tracing::error!(agent = self.seats[index].name, "the agent's task ended by itself; it gets a new one");
                self.seats[index] = self.seat(index);
            }
        }
        for order in self.store().open_orders().await? {
            self.carry_out(&order).await?;
        }
        self.tell_canaries().await?;
        for seat in &self.seats {
            if self.store().waiting_mail(&seat.name).await? > 0 {
                // Full means that wake-ups wait already.
                seat.wake.try_send(()).ok();
            }
        }
        Ok(())
    }

    /// Orders for others are left alone.
    async fn carry_out(&mut self, order: &OrderRow) -> Result<(), StoreError> {
        let Some(index) = self.seats.iter().position(|seat| seat.name == order.subject) else { return Ok(()) };
        let outcome = match order.kind.as_str() {
            "wake" => {
                self.seats[index].wake.try_send(()).ok();
                "woken"
            }
            "restart_agent" => {
                // The old one ends first: two tasks on one mailbox would do its mail twice.
                end(self.seats.remove(index)).await;
                let fresh = self.seat(index);
                self.seats.insert(index, fresh);
                "restarted with a fresh context"
            }
            _ => return Ok(()),
        };
        self.store().finish_order(order.id, outcome, self.deps.tools.clock.now()).await
    }

    /// Mails each new canary of the open loop to the agent who trains.
    async fn tell_canaries(&mut self) -> Result<(), StoreError> {
        let Some(mission) = self.store().current_mission().await? else { return Ok(()) };
        let loops = self.store().loops_of(mission.id).await?;
        let Some(open) = loops.iter().find(|row| row.ending.is_none()) else { return Ok(()) };
        for row in self.store().evaluations(Some(open.id)).await? {
            if row.kind != EvaluationKind::Canary || row.id <= self.told {
                continue;
            }
            let payload = json!({ "job": row.job_id, "loop": row.loop_id, "canary": row.id });
            let to = Persona::Training.as_str();
            let dedup = format!("canary-{}", row.id);
            self.store().send_mail(to, MailKind::JobEvent, &payload, &dedup, self.deps.tools.clock.now()).await?;
            self.told = row.id;
        }
        Ok(())
    }

    fn store(&self) -> &Store {
        &self.deps.tools.store
    }
}

/// Ends an agent at its safe point, or drops it when it does not come to one.
async fn end(seat: Seat) {
    seat.stop.cancel();
    let mut task = seat.task;
    if tokio::time::timeout(GRACE, &mut task).await.is_err() {
        tracing::warn!(agent = seat.name, "no safe point in time; the task is dropped and its mail taken again");
        task.abort();
        task.await.ok();
    }
}

/// Returns at the next change that concerns the team; a lagging channel counts as one.
async fn concerning(changes: &mut broadcast::Receiver<Change>) {
    loop {
        match changes.recv().await {
            Ok(Change::Mailbox | Change::Order | Change::Evaluation) | Err(broadcast::error::RecvError::Lagged(_)) => {
                return;
            }
            Ok(
                Change::Mission
                | Change::Loop
                | Change::Decision
                | Change::Job
                | Change::Message
                | Change::Agent
                | Change::Ledger
                | Change::Incident,
            ) => {}
            // The store is going away; the poll goes on until the team is stopped.
            Err(broadcast::error::RecvError::Closed) => std::future::pending::<()>().await,
        }
    }
}
