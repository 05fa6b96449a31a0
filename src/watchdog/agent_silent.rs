//! `agent-silent`: an agent that should be doing something and shows no progress.
//!
//! What counts is the age of its progress, by what it is doing. Resting without mail is fine. Waiting for a job is fine:
//! whether the job progresses is the job's own check. Mail that waits while the agent rests is not fine, because a
//! resting agent looks into its mailbox every few seconds and shows so every half minute.

use super::{Check, Config, Finding, Status};
use crate::base::{JobId, Timestamp};
use crate::store::{Activity, AgentRow, Store, StoreError};
use async_trait::async_trait;

pub(super) const NAME: &str = "agent-silent";

/// How long ago an agent last made progress.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AgentAge {
    /// The agent.
    pub name: String,
    /// What kind of thing it is doing.
    pub activity: Activity,
    /// What exactly.
    pub doing: String,
    /// The job it waits for.
    pub waiting_for: Option<JobId>,
    /// Mail that waits for it.
    pub mail: u32,
    /// Seconds since its last progress.
    pub age_s: u64,
}

/// Every agent's age of progress, by name.
///
/// # Errors
/// When the store does not answer.
pub async fn ages(store: &Store, now: Timestamp) -> Result<Vec<AgentAge>, StoreError> {
    let mut ages = Vec::new();
    for row in store.agents().await? {
        let mail = store.waiting_mail(&row.name).await?;
        ages.push(age(row, mail, now, Timestamp::UNIX_EPOCH));
    }
    Ok(ages)
}

fn age(row: AgentRow, mail: u32, now: Timestamp, since: Timestamp) -> AgentAge {
    let age_s = now.duration_since(row.progress_at.max(since)).as_secs();
    AgentAge {
        name: row.name,
        activity: row.activity,
        doing: row.doing,
        waiting_for: row.waiting_for,
        mail,
        age_s: u64::try_from(age_s).unwrap_or(0),
    }
}

pub(super) struct AgentSilent {
    store: Store,
    limit_s: u64,
    tool_limit_s: u64,
}

impl AgentSilent {
    pub fn new(store: Store, config: &Config) -> Self {
        Self {
            store,
            limit_s: u64::from(config.silent_after_s),
            tool_limit_s: u64::from(config.silent_in_tool_after_s),
        }
    }

    fn silence(&self, agent: &AgentAge) -> Option<Finding> {
        let (silent, at) = match agent.activity {
            Activity::Starting => (agent.age_s >= self.limit_s, "starting".to_owned()),
            Activity::Thinking => (agent.age_s >= self.limit_s, format!("thinking {}", agent.doing)),
            Activity::UsingTool => (agent.age_s >= self.tool_limit_s, format!("in {}", agent.doing)),
            Activity::Idle | Activity::Waiting => {
                (agent.mail > 0 && agent.age_s >= self.limit_s, format!("with {} pieces of mail waiting", agent.mail))
            }
            Activity::Stopped => (false, String::new()),
        };
        silent.then(|| Finding {
            subject: agent.name.clone(),
            evidence: format!("{} has shown no progress for {} s, {at}", agent.name, agent.age_s),
        })
    }
}

#[async_trait]
impl Check for AgentSilent {
    fn name(&self) -> &'static str {
        NAME
    }

    async fn activate(&self, now: Timestamp, since: Timestamp) -> Result<Status, StoreError> {
        let mut findings = Vec::new();
        let mut oldest: Option<(u64, String)> = None;
        for row in self.store.agents().await? {
            let mail = self.store.waiting_mail(&row.name).await?;
            let agent = age(row, mail, now, since);
            findings.extend(self.silence(&agent));
            if oldest.as_ref().is_none_or(|(age_s, _)| agent.age_s > *age_s) {
                oldest = Some((agent.age_s, agent.name));
            }
        }
        let fine = oldest.map_or_else(
            || "no agent has started".to_owned(),
            |(age_s, name)| format!("oldest progress {age_s} s ({name})"),
        );
        Ok(Status::of(findings, fine))
    }
}
