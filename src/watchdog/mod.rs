//! The watchdog: checks on a cron schedule, cures by rungs, one line in the channel for each.
//!
//! A check looks at the store and says what it finds; it takes no hint, changes nothing, and gives the same answer
//! twice. One place turns findings into incidents and climbs the ladder of cures, by rows: it places orders, which the
//! team carries out, and writes messages into the outbox. It never needs a front or a model to do its work.

mod agent_silent;
mod config;
mod decision_overdue;
mod disk;
mod job_stalled;
mod ladder;
mod schedule;

pub use agent_silent::{AgentAge, ages};
pub use config::Config;

use crate::base::{Clock, Timestamp};
use crate::store::{AuthorKind, IncidentRow, NewMessage, Store, StoreError};
use async_trait::async_trait;
use jiff::SignedDuration;
use ladder::Rung;
use schedule::Schedule;
use serde_json::json;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// Incidents looked at; open ones are few and new.
const NEWEST_INCIDENTS: u32 = 200;
/// The schedule is looked at again at least this often: a machine that slept wakes to a clock that jumped.
const LONGEST_SLEEP: Duration = Duration::from_secs(5);
/// A pause between two ticks that is longer than this means that the machine slept, not that everybody was silent.
const GAP: SignedDuration = SignedDuration::from_secs(180);

/// What is wrong with the watchdog itself.
#[derive(Debug, thiserror::Error)]
pub enum WatchdogError {
    /// The schedule cannot be read.
    #[error("watchdog.cron is \"{expression}\": {why}; six fields are needed, such as \"*/30 * * * * *\"")]
    Cron {
        /// What was given.
        expression: String,
        /// What is wrong with it.
        why: String,
    },
    /// The store did not answer.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// What a check found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Status {
    /// Whether all is well.
    pub ok: bool,
    /// What was seen, in a line for people.
    pub detail: String,
    /// What is wrong, one by one.
    pub findings: Vec<Finding>,
}

impl Status {
    /// All is well when there are no findings; `fine` is the line for that case.
    fn of(findings: Vec<Finding>, fine: String) -> Self {
        let detail = if findings.is_empty() {
            fine
        } else {
            findings.iter().map(|finding| finding.evidence.as_str()).collect::<Vec<_>>().join("; ")
        };
        Self { ok: findings.is_empty(), detail, findings }
    }
}

/// One thing that is wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// An agent's name, `job 3`, `decision 4`, `disk`.
    pub subject: String,
    /// What was measured, in a line for people.
    pub evidence: String,
}

/// What the watchdog looks at, one thing each.
#[async_trait]
trait Check: Send + Sync {
    /// Its name, which is also the kind of its incidents.
    fn name(&self) -> &'static str;
    /// Looks. `since` is when watching began: nobody is blamed for what went before.
    async fn activate(&self, now: Timestamp, since: Timestamp) -> Result<Status, StoreError>;
}

/// Checks, cures and their schedule.
pub struct Watchdog {
    store: Store,
    clock: Arc<dyn Clock>,
    schedule: Schedule,
    checks: Vec<Box<dyn Check>>,
    watching_since: Timestamp,
}

impl Watchdog {
    /// A watchdog over `store`; `data_dir` is the folder whose disk is watched.
    ///
    /// # Errors
    /// When the schedule cannot be read.
    pub fn new(config: Config, store: Store, clock: Arc<dyn Clock>, data_dir: PathBuf) -> Result<Self, WatchdogError> {
        let schedule = Schedule::parse(&config.cron)?;
        let checks: Vec<Box<dyn Check>> = vec![
            Box::new(agent_silent::AgentSilent::new(store.clone(), &config)),
            Box::new(job_stalled::JobStalled::new(store.clone(), &config)),
            Box::new(decision_overdue::DecisionOverdue::new(store.clone(), &config)),
            Box::new(disk::Disk::new(data_dir, &config)),
        ];
        Ok(Self { store, clock, schedule, checks, watching_since: Timestamp::UNIX_EPOCH })
    }

    /// Ticks by its schedule until `stop` is cancelled. Ticks that were missed are one tick.
    pub async fn run(mut self, stop: CancellationToken) {
        let mut last = self.clock.now();
        self.watching_since = last;
        let mut next = self.schedule.after(last);
        while !stop.is_cancelled() {
            let now = self.clock.now();
            if next.is_some_and(|next| now >= next) {
                if now.duration_since(last) > GAP {
                    self.watching_since = now;
                }
                if let Err(error) = self.tick(now).await {
                    tracing::warn!(%error, "the watchdog could not look; it looks again at its next tick");
                }
                last = now;
                next = self.schedule.after(now);
            }
            let left = next.map_or(LONGEST_SLEEP, |next| {
                Duration::try_from(next.duration_since(self.clock.now())).unwrap_or(Duration::ZERO)
            });
            tokio::select! {
                () = stop.cancelled() => {}
                () = tokio::time::sleep(left.clamp(Duration::from_millis(10), LONGEST_SLEEP)) => {}
            }
        }
    }

    /// One look at everything, with what follows from it; each check's name and what it found.
    ///
    /// # Errors
    /// When incidents cannot be stored. A check that cannot look counts as a finding of its own.
    pub async fn tick(&self, now: Timestamp) -> Result<Vec<(String, Status)>, WatchdogError> {
        let mut statuses = Vec::with_capacity(self.checks.len());
        for check in &self.checks {
            let status = match check.activate(now, self.watching_since).await {
                Ok(status) => {
                    self.settle(check.name(), &status, now).await?;
                    status
                }
                Err(error) => Status { ok: false, detail: error.to_string(), findings: Vec::new() },
            };
            self.store.record_check(check.name(), status.ok, &status.detail, now).await?;
            statuses.push((check.name().to_owned(), status));
        }
        Ok(statuses)
    }

    /// Each agent's age of progress.
    ///
    /// # Errors
    /// When the store does not answer.
    pub async fn report(&self, now: Timestamp) -> Result<Vec<AgentAge>, StoreError> {
        ages(&self.store, now).await
    }

    /// Opens, climbs and closes the incidents of one kind.
    async fn settle(&self, kind: &'static str, status: &Status, now: Timestamp) -> Result<(), StoreError> {
        for finding in &status.findings {
            let (id, new) = self.store.open_incident(&finding.subject, kind, &finding.evidence, now).await?;
            if new {
                self.say(&format!("Watchdog: {}.", finding.evidence), &format!("incident-{id}"), now).await?;
            }
        }
        let incidents: Vec<IncidentRow> =
            self.store.incidents(NEWEST_INCIDENTS).await?.into_iter().filter(|row| row.kind == kind).collect();
        for incident in incidents.iter().filter(|row| row.cured_at.is_none()) {
            if status.findings.iter().any(|finding| finding.subject == incident.subject) {
                for rung in ladder::due(incident, &incidents, now) {
                    self.climb(incident, rung, now).await?;
                }
            } else {
                self.close(incident, &incidents, now).await?;
            }
        }
        Ok(())
    }

    /// Takes one rung; taking it again does nothing.
    async fn climb(&self, incident: &IncidentRow, rung: Rung, now: Timestamp) -> Result<(), StoreError> {
        let key = format!("incident-{}/{}", incident.id, rung.as_str());
        match rung {
            Rung::Wake | Rung::Restart => {
                let order = if rung == Rung::Wake { "wake" } else { "restart_agent" };
                let payload = json!({ "incident": incident.id });
                let placed = self.store.place_order(order, &incident.subject, &payload, &key, now).await?;
                if placed.is_some() {
                    let what = if rung == Rung::Wake { "is woken" } else { "is restarted with a fresh context" };
                    self.say(&format!("Watchdog: {} {what}.", incident.subject), &key, now).await?;
                }
            }
            Rung::People => {
                let text = format!("Watchdog: {}.", ladder::call(incident));
                self.say(&text, &key, now).await?;
            }
        }
        Ok(())
    }

    async fn close(&self, incident: &IncidentRow, all: &[IncidentRow], now: Timestamp) -> Result<(), StoreError> {
        let lasted_s = now.duration_since(incident.noticed_at).as_secs().max(0);
        let rungs = ladder::due(incident, all, now);
        let cure = rungs.last().map_or("by itself", |rung| rung.as_cure());
        if self.store.close_incident(&incident.subject, &incident.kind, cure, now).await? {
            let text = format!("Watchdog: {} is well again after {lasted_s} s ({cure}).", incident.subject);
            self.say(&text, &format!("incident-{}/closed", incident.id), now).await?;
        }
        Ok(())
    }

    async fn say(&self, text: &str, dedup: &str, now: Timestamp) -> Result<(), StoreError> {
        let message = NewMessage {
            channel: "mission-control".to_owned(),
            author: "watchdog".to_owned(),
            author_kind: AuthorKind::System,
            brain: None,
            text: text.to_owned(),
            attachments: Vec::new(),
            loop_id: None,
            dedup: Some(dedup.to_owned()),
        };
        self.store.post(&message, now).await?;
        Ok(())
    }
}

#[cfg(test)]
mod tests;
