//! What every agent does right now, and when it last got somewhere. Presence is not progress: only progress counts.

use super::column::{Millis, ms, stored_states};
use super::{Change, Store, StoreError};
use crate::base::{JobId, Timestamp};
use serde::Serialize;

stored_states! {
    /// What an agent does.
    Activity {
        /// It was spawned and has not looked at its mail yet.
        Starting = "starting",
        /// Its mailbox is empty.
        Idle = "idle",
        /// Its brain works on a turn.
        Thinking = "thinking",
        /// A tool it called runs.
        UsingTool = "using-tool",
        /// It waits for a job.
        Waiting = "waiting",
        /// It was stopped.
        Stopped = "stopped",
    }
}

/// One agent.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct AgentRow {
    /// Its name.
    pub name: String,
    /// What it does.
    pub activity: Activity,
    /// The same in words, for people.
    pub doing: String,
    /// The job whose end it waits for.
    pub waiting_for: Option<JobId>,
    /// When it last got somewhere.
    pub progress_at: Timestamp,
    /// When it was last started.
    pub started_at: Timestamp,
}

impl Store {
    /// Notes that an agent got somewhere, and what it does now.
    pub async fn agent_progress(
        &self,
        name: &str,
        activity: Activity,
        doing: &str,
        waiting_for: Option<JobId>,
        at: Timestamp,
    ) -> Result<(), StoreError> {
        sqlx::query!(
            "INSERT INTO agents (name, activity, doing, waiting_for, progress_at, started_at) VALUES (?1, ?2, ?3, ?4, ?5, ?5)
            ON CONFLICT (name) DO UPDATE SET activity = excluded.activity, doing = excluded.doing,
                waiting_for = excluded.waiting_for, progress_at = excluded.progress_at",
            name,
            activity,
            doing,
            waiting_for,
            ms(at)
        )
        .execute(&self.writer)
        .await?;
        self.changed(Change::Agent);
        Ok(())
    }

    /// Notes that an agent was started, which is progress too.
    pub async fn agent_started(&self, name: &str, at: Timestamp) -> Result<(), StoreError> {
        sqlx::query!(
            "INSERT INTO agents (name, activity, doing, progress_at, started_at) VALUES (?1, 'starting', '', ?2, ?2)
            ON CONFLICT (name) DO UPDATE SET activity = 'starting', doing = '', waiting_for = NULL,
                progress_at = excluded.progress_at, started_at = excluded.started_at",
            name,
            ms(at)
        )
        .execute(&self.writer)
        .await?;
        self.changed(Change::Agent);
        Ok(())
    }

    /// Every agent that ever started, by name.
    pub async fn agents(&self) -> Result<Vec<AgentRow>, StoreError> {
        let rows = sqlx::query_as!(
            AgentRow,
            r#"SELECT name AS "name!", activity AS "activity!: Activity", doing AS "doing!",
                waiting_for AS "waiting_for?: JobId", progress_at AS "progress_at!: Millis",
                started_at AS "started_at!: Millis"
            FROM agents ORDER BY name"#
        );
        Ok(rows.fetch_all(&self.reader).await?)
    }
}
