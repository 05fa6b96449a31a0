//! Missions: a goal, a preset and a planned number of loops.

use super::column::{Json, MaybeMillis, Millis, ms};
use super::{Change, Store, StoreError};
use crate::base::{MissionEnding, MissionId, MissionState, Seed, Timestamp};
use serde::Serialize;
use serde_json::Value;

/// One mission.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct MissionRow {
    /// Its number.
    pub id: MissionId,
    /// The preset it runs by.
    pub preset: String,
    /// What is wanted, in words.
    pub goal: String,
    /// How many loops may run.
    pub planned_loops: u32,
    /// The closed-loop success, 0 to 1, that ends the mission early.
    pub target_success: f64,
    /// Where all its random numbers begin.
    pub seed: Seed,
    /// Where it stands.
    pub state: MissionState,
    /// Why it ended, in words.
    pub ending: Option<String>,
    /// The kind of its ending.
    pub ended_as: Option<MissionEnding>,
    /// The preset as it was in effect.
    pub settings: Value,
    /// Deadline, budgets and approvals as they were in effect.
    pub terms: Value,
    /// Versions of what made its numbers.
    pub versions: Value,
    /// When it began.
    pub created_at: Timestamp,
    /// When it ended.
    pub ended_at: Option<Timestamp>,
}

/// A mission to begin.
#[derive(Debug, Clone, PartialEq)]
pub struct NewMission {
    /// The preset it runs by.
    pub preset: String,
    /// What is wanted, in words.
    pub goal: String,
    /// How many loops may run.
    pub planned_loops: u32,
    /// The closed-loop success, 0 to 1, that ends the mission early.
    pub target_success: f64,
    /// Where all its random numbers begin.
    pub seed: Seed,
    /// The preset as it is in effect.
    pub settings: Value,
    /// Deadline, budgets and approvals as they are in effect; an empty object for none.
    pub terms: Value,
    /// Versions of what makes its numbers.
    pub versions: Value,
}

macro_rules! select_mission {
    ($tail:tt $(, $arg:expr)*) => {
        sqlx::query_as!(
            MissionRow,
            r#"SELECT id AS "id!: MissionId", preset AS "preset!", goal AS "goal!", planned_loops AS "planned_loops!: u32",
                target_success AS "target_success!", seed AS "seed!: Seed", state AS "state!: MissionState", ending,
                ended_as AS "ended_as?: MissionEnding", terms AS "terms!: Json",
                settings AS "settings!: Json", versions AS "versions!: Json", created_at AS "created_at!: Millis",
                ended_at AS "ended_at!: MaybeMillis"
            FROM missions "# + $tail
            $(, $arg)*
        )
    };
}

impl Store {
    /// Begins a mission, running.
    ///
    /// # Errors
    /// [`StoreError::NotFinite`] for a target that is no number.
    pub async fn create_mission(&self, new: &NewMission, at: Timestamp) -> Result<MissionId, StoreError> {
        let target_success = super::error::finite("target_success", new.target_success)?;
        let done = sqlx::query!(
            "INSERT INTO missions (preset, goal, planned_loops, target_success, seed, state, settings, terms, versions, created_at)
            VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            new.preset,
            new.goal,
            new.planned_loops,
            target_success,
            new.seed,
            MissionState::Running,
            new.settings.to_string(),
            new.terms.to_string(),
            new.versions.to_string(),
            ms(at)
        )
        .execute(&self.writer)
        .await?;
        self.changed(Change::Mission);
        Ok(MissionId(done.last_insert_rowid()))
    }

    /// One mission.
    pub async fn mission(&self, id: MissionId) -> Result<Option<MissionRow>, StoreError> {
        Ok(select_mission!("WHERE id = ?", id).fetch_optional(&self.reader).await?)
    }

    /// The newest mission that runs or is paused.
    pub async fn current_mission(&self) -> Result<Option<MissionRow>, StoreError> {
        let rows = select_mission!("WHERE state IN ('running', 'paused') ORDER BY id DESC LIMIT 1");
        Ok(rows.fetch_optional(&self.reader).await?)
    }

    /// The newest mission, whatever its state.
    pub async fn latest_mission(&self) -> Result<Option<MissionRow>, StoreError> {
        Ok(select_mission!("ORDER BY id DESC LIMIT 1").fetch_optional(&self.reader).await?)
    }

    /// Every mission, oldest first.
    pub async fn missions(&self) -> Result<Vec<MissionRow>, StoreError> {
        Ok(select_mission!("ORDER BY id").fetch_all(&self.reader).await?)
    }

    /// Moves a mission to `state`. A state that ends it also stores when; going on after an end forgets the ending.
    ///
    /// # Errors
    /// [`StoreError::Missing`] when there is no such mission.
    pub async fn set_mission_state(
        &self,
        id: MissionId,
        state: MissionState,
        ending: Option<&str>,
        at: Timestamp,
    ) -> Result<(), StoreError> {
        let ended_at = match state {
            MissionState::Running | MissionState::Paused => None,
            MissionState::Completed | MissionState::Stopped | MissionState::Failed => Some(ms(at)),
        };
        let done = sqlx::query!(
            "UPDATE missions SET state = ?, ending = ?, ended_at = ?, ended_as = NULL WHERE id = ?",
            state,
            ending,
            ended_at,
            id
        )
        .execute(&self.writer)
        .await?;
        self.mission_changed(id, done.rows_affected())
    }

    /// Ends a mission: its last state, the kind of its ending, and the reason in words.
    ///
    /// # Errors
    /// [`StoreError::Missing`] when there is no such mission.
    pub async fn end_mission(
        &self,
        id: MissionId,
        state: MissionState,
        ended_as: MissionEnding,
        ending: &str,
        at: Timestamp,
    ) -> Result<(), StoreError> {
        let done = sqlx::query!(
            "UPDATE missions SET state = ?, ended_as = ?, ending = ?, ended_at = ? WHERE id = ?",
            state,
            ended_as,
            ending,
            ms(at),
            id
        )
        .execute(&self.writer)
        .await?;
        self.mission_changed(id, done.rows_affected())
    }

    /// Changes how many loops may run.
    ///
    /// # Errors
    /// [`StoreError::Missing`] when there is no such mission.
    pub async fn set_planned_loops(&self, id: MissionId, planned_loops: u32) -> Result<(), StoreError> {
        let done = sqlx::query!("UPDATE missions SET planned_loops = ? WHERE id = ?", planned_loops, id)
            .execute(&self.writer)
            .await?;
        self.mission_changed(id, done.rows_affected())
    }

    fn mission_changed(&self, id: MissionId, rows: u64) -> Result<(), StoreError> {
        if rows == 0 {
            return Err(StoreError::Missing { what: "mission", id: id.0 });
        }
        self.changed(Change::Mission);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::super::fixtures::{at, mission};
    use super::*;

    #[tokio::test]
    async fn the_current_mission_is_the_newest_that_can_go_on() {
        let store = Store::in_memory().await.unwrap();
        assert_eq!(store.current_mission().await.unwrap(), None);
        let first = mission(&store).await;
        let second = mission(&store).await;
        store.set_mission_state(second, MissionState::Stopped, Some("asked to"), at(5)).await.unwrap();
        assert_eq!(store.current_mission().await.unwrap().map(|row| row.id), Some(first));
        let latest = store.latest_mission().await.unwrap().unwrap();
        assert_eq!((latest.id, latest.ended_at, latest.ending.as_deref()), (second, Some(at(5)), Some("asked to")));
        store.set_planned_loops(first, 10).await.unwrap();
        assert_eq!(store.mission(first).await.unwrap().map(|row| row.planned_loops), Some(10));
        assert_eq!(store.missions().await.unwrap().len(), 2);
        store
            .end_mission(first, MissionState::Completed, MissionEnding::Deadline, "the time is used", at(6))
            .await
            .unwrap();
        let ended = store.mission(first).await.unwrap().unwrap();
        assert_eq!((ended.ended_as, ended.ended_at), (Some(MissionEnding::Deadline), Some(at(6))));
    }

    #[tokio::test]
    async fn a_mission_that_is_not_there_cannot_be_moved() {
        let store = Store::in_memory().await.unwrap();
        let error = store.set_mission_state(MissionId(7), MissionState::Paused, None, at(0)).await.unwrap_err();
        assert_eq!(error.to_string(), "there is no mission 7");
    }
}
