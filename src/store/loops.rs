//! Loops and their logs. A loop's state is what replaying its events gives; the log only grows, at its end, without gaps.

use super::column::{Json, MaybeMillis, Millis, ms};
use super::{Change, Store, StoreError};
use crate::base::{LoopEnding, LoopId, MissionId, Timestamp};
use serde::Serialize;
use serde_json::Value;

/// One turn of the wheel.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct LoopRow {
    /// Its number among all loops of all missions.
    pub id: LoopId,
    /// Its mission.
    pub mission_id: MissionId,
    /// Its number within the mission, from 1.
    pub number: u32,
    /// How it ended; none while it is open.
    pub ending: Option<LoopEnding>,
    /// What there is to say about the ending.
    pub ending_note: Option<String>,
    /// When it was opened.
    pub opened_at: Timestamp,
    /// When it was closed.
    pub closed_at: Option<Timestamp>,
}

macro_rules! select_loop {
    ($tail:tt $(, $arg:expr)*) => {
        sqlx::query_as!(
            LoopRow,
            r#"SELECT id AS "id!: LoopId", mission_id AS "mission_id!: MissionId", number AS "number!: u32",
                ending AS "ending?: LoopEnding", ending_note, opened_at AS "opened_at!: Millis",
                closed_at AS "closed_at!: MaybeMillis"
            FROM loops "# + $tail
            $(, $arg)*
        )
    };
}

impl Store {
    /// Opens the loop `number` (from 1) of a mission; when it is there already, that one.
    pub async fn open_loop(&self, mission: MissionId, number: u32, at: Timestamp) -> Result<LoopId, StoreError> {
        let mut tx = self.immediate().await?;
        sqlx::query!(
            "INSERT INTO loops (mission_id, number, opened_at) VALUES (?, ?, ?) ON CONFLICT (mission_id, number) DO NOTHING",
            mission,
            number,
            ms(at)
        )
        .execute(&mut *tx)
        .await?;
        let id = select_loop!("WHERE mission_id = ? AND number = ?", mission, number).fetch_one(&mut *tx).await?.id;
        tx.commit().await?;
        self.changed(Change::Loop);
        Ok(id)
    }

    /// One loop.
    pub async fn loop_row(&self, id: LoopId) -> Result<Option<LoopRow>, StoreError> {
        Ok(select_loop!("WHERE id = ?", id).fetch_optional(&self.reader).await?)
    }

    /// The loops of a mission, by number.
    pub async fn loops_of(&self, mission: MissionId) -> Result<Vec<LoopRow>, StoreError> {
        Ok(select_loop!("WHERE mission_id = ? ORDER BY number", mission).fetch_all(&self.reader).await?)
    }

    /// Closes a loop. A loop that is closed already keeps its first ending.
    ///
    /// # Errors
    /// [`StoreError::Missing`] when there is no such loop.
    pub async fn close_loop(
        &self,
        id: LoopId,
        ending: LoopEnding,
        note: Option<&str>,
        at: Timestamp,
    ) -> Result<(), StoreError> {
        let done = sqlx::query!(
            "UPDATE loops SET ending_note = CASE WHEN ending IS NULL THEN ? ELSE ending_note END,
                ending = coalesce(ending, ?), closed_at = coalesce(closed_at, ?) WHERE id = ?",
            note,
            ending,
            ms(at),
            id
        )
        .execute(&self.writer)
        .await?;
        if done.rows_affected() == 0 {
            return Err(StoreError::Missing { what: "loop", id: id.0 });
        }
        self.changed(Change::Loop);
        Ok(())
    }

    /// Appends to a loop's log when it still has `expected_len` events. False when somebody else appended first.
    pub async fn append_loop_event(
        &self,
        loop_id: LoopId,
        expected_len: u32,
        event: &Value,
        at: Timestamp,
    ) -> Result<bool, StoreError> {
        let done = sqlx::query!(
            "INSERT INTO loop_events (loop_id, number, event, appended_at)
            SELECT ?1, ?2, ?3, ?4 WHERE (SELECT count(*) FROM loop_events WHERE loop_id = ?1) = ?2",
            loop_id,
            expected_len,
            event.to_string(),
            ms(at)
        )
        .execute(&self.writer)
        .await?;
        let appended = done.rows_affected() == 1;
        if appended {
            self.changed(Change::Loop);
        }
        Ok(appended)
    }

    /// A loop's whole log, oldest first, with the moment each event was appended.
    pub async fn loop_events(&self, loop_id: LoopId) -> Result<Vec<(Timestamp, Value)>, StoreError> {
        let rows = sqlx::query!(
            r#"SELECT appended_at AS "at!: Millis", event AS "event!: Json" FROM loop_events
            WHERE loop_id = ? ORDER BY number"#,
            loop_id
        )
        .fetch_all(&self.reader)
        .await?;
        Ok(rows.into_iter().map(|row| (row.at.into(), row.event.into())).collect())
    }
}
