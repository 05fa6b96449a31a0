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

#[cfg(test)]
mod tests {
    use super::super::fixtures::{at, job};
    use super::*;

    #[tokio::test]
    async fn progress_is_dated_and_a_restart_keeps_nothing_of_what_was_done() {
        let store = Store::in_memory().await.unwrap();
        let job = store.enqueue(&job("a"), at(0)).await.unwrap();
        store.agent_started("training", at(1)).await.unwrap();
        store.agent_progress("training", Activity::Waiting, "waits for job 1", Some(job), at(2)).await.unwrap();
        store.agent_progress("developer", Activity::UsingTool, "reads a dataset", None, at(3)).await.unwrap();
        let rows = store.agents().await.unwrap();
        assert_eq!(rows.iter().map(|row| row.name.as_str()).collect::<Vec<_>>(), ["developer", "training"]);
        assert_eq!((rows[1].waiting_for, rows[1].started_at, rows[1].progress_at), (Some(job), at(1), at(2)));
        store.agent_started("training", at(9)).await.unwrap();
        let row = store.agents().await.unwrap().remove(1);
        assert_eq!((row.activity, row.waiting_for, row.started_at), (Activity::Starting, None, at(9)));
    }
}
