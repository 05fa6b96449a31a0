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

#[cfg(test)]
mod tests {
    use super::super::fixtures::{at, first_loop, mission};
    use super::*;
    use serde_json::json;
    use std::collections::HashSet;

    #[tokio::test]
    async fn opening_a_loop_twice_opens_it_once_and_its_first_ending_stays() {
        let store = Store::in_memory().await.unwrap();
        let mission = mission(&store).await;
        let one = store.open_loop(mission, 1, at(1)).await.unwrap();
        assert_eq!(store.open_loop(mission, 1, at(2)).await.unwrap(), one);
        let two = store.open_loop(mission, 2, at(3)).await.unwrap();
        store.close_loop(one, LoopEnding::Completed, Some("target met"), at(4)).await.unwrap();
        store.close_loop(one, LoopEnding::Failed, None, at(5)).await.unwrap();
        let rows = store.loops_of(mission).await.unwrap();
        assert_eq!(rows.iter().map(|row| row.id).collect::<Vec<_>>(), [one, two]);
        assert_eq!((rows[0].ending, rows[0].closed_at), (Some(LoopEnding::Completed), Some(at(4))));
        assert_eq!(rows[0].ending_note.as_deref(), Some("target met"));
        assert_eq!(rows[0].opened_at, at(1));
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 4)]
    async fn of_many_who_append_at_the_same_place_one_does() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(&folder.path().join("s.db")).await.unwrap();
        let loop_id = first_loop(&store).await;
        for length in 0..3 {
            let mut tasks = tokio::task::JoinSet::new();
            for writer in 0..8 {
                let store = store.clone();
                tasks.spawn(async move {
                    store.append_loop_event(loop_id, length, &json!({ "writer": writer }), at(1)).await.unwrap()
                });
            }
            let appended = tasks.join_all().await.into_iter().filter(|appended| *appended).count();
            assert_eq!(appended, 1);
        }
        let events = store.loop_events(loop_id).await.unwrap();
        assert_eq!(events.len(), 3);
        let one_key: HashSet<_> = events.iter().flat_map(|(_, event)| event.as_object().unwrap().keys()).collect();
        assert_eq!(one_key.len(), 1);
        assert!(!store.append_loop_event(loop_id, 5, &json!(null), at(2)).await.unwrap(), "no gaps");
    }
}
