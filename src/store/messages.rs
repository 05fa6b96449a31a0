//! Messages, and their way to the fronts. Writing a message is posting it: every front looks for what it has not
//! delivered yet, so a front that is down only delays.

use super::column::{Attachments, Millis, ms, stored_states};
use super::{Change, Store, StoreError};
use crate::base::{ArtifactId, LoopId, MessageId, Timestamp};
use serde::{Deserialize, Serialize};
use sqlx::SqliteConnection;

/// After so many failures a front does not get a message again; the error stays in the row.
const MOST_FAILURES: u32 = 8;

stored_states! {
    /// What kind of author wrote a message.
    AuthorKind {
        /// An agent of the team.
        Agent = "agent",
        /// A person.
        Person = "person",
        /// The program itself.
        System = "system",
    }
}

/// A file that goes with a message.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Attachment {
    /// The artefact that holds its bytes.
    pub artifact: ArtifactId,
    /// Its file name: `success.png`.
    pub name: String,
    /// Its media type: `image/png`.
    pub media_type: String,
    /// What it shows, in words, for those who cannot see it.
    pub alt: String,
}

/// One message.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct MessageRow {
    /// Its number; later messages have larger ones.
    pub id: MessageId,
    /// The channel's name: `mission-control`.
    pub channel: String,
    /// Who wrote it.
    pub author: String,
    /// What kind of author that is.
    pub author_kind: AuthorKind,
    /// The kind of brain behind an agent's message: `playbook`.
    pub brain: Option<String>,
    /// Markdown as Discord's.
    pub text: String,
    /// Files that go with it.
    pub attachments: Vec<Attachment>,
    /// The loop it is about.
    pub loop_id: Option<LoopId>,
    /// When it was written.
    pub created_at: Timestamp,
}

/// A message to write.
#[derive(Debug, Clone, PartialEq)]
pub struct NewMessage {
    /// The channel's name.
    pub channel: String,
    /// Who writes it.
    pub author: String,
    /// What kind of author that is.
    pub author_kind: AuthorKind,
    /// The kind of brain behind an agent's message.
    pub brain: Option<String>,
    /// Markdown as Discord's.
    pub text: String,
    /// Files that go with it.
    pub attachments: Vec<Attachment>,
    /// The loop it is about.
    pub loop_id: Option<LoopId>,
    /// A name for it when it must not be written twice.
    pub dedup: Option<String>,
}

macro_rules! select_message {
    ($tail:tt $(, $arg:expr)*) => {
        sqlx::query_as!(
            MessageRow,
            r#"SELECT id AS "id!: MessageId", channel AS "channel!", author AS "author!",
                author_kind AS "author_kind!: AuthorKind", brain, text AS "text!",
                attachments AS "attachments!: Attachments", loop_id AS "loop_id?: LoopId",
                created_at AS "created_at!: Millis"
            FROM messages "# + $tail
            $(, $arg)*
        )
    };
}

/// Writes a message within a transaction of the caller's.
pub(super) async fn insert_message(
    connection: &mut SqliteConnection,
    new: &NewMessage,
    at: Timestamp,
) -> Result<MessageId, StoreError> {
    let attachments = serde_json::json!(new.attachments).to_string();
    let done = sqlx::query!(
        "INSERT INTO messages (channel, author, author_kind, brain, text, attachments, loop_id, dedup, created_at)
        VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (dedup) DO NOTHING",
        new.channel,
        new.author,
        new.author_kind,
        new.brain,
        new.text,
        attachments,
        new.loop_id,
        new.dedup,
        ms(at)
    )
    .execute(&mut *connection)
    .await?;
    if done.rows_affected() == 1 {
        return Ok(MessageId(done.last_insert_rowid()));
    }
    Ok(select_message!("WHERE dedup = ?", new.dedup).fetch_one(&mut *connection).await?.id)
}

impl Store {
    /// Writes a message. The same `dedup` was written before: that message's number.
    pub async fn post(&self, new: &NewMessage, at: Timestamp) -> Result<MessageId, StoreError> {
        let mut tx = self.immediate().await?;
        let id = insert_message(&mut tx, new, at).await?;
        tx.commit().await?;
        self.changed(Change::Message);
        Ok(id)
    }

    /// Whether a message of this name was written.
    pub async fn is_posted(&self, dedup: &str) -> Result<bool, StoreError> {
        let found = sqlx::query_scalar!(r#"SELECT count(*) AS "found!: u32" FROM messages WHERE dedup = ?"#, dedup);
        Ok(found.fetch_one(&self.reader).await? > 0)
    }

    /// At most `limit` messages after `after`, of a channel or of all, oldest first.
    pub async fn messages(
        &self,
        channel: Option<&str>,
        after: MessageId,
        limit: u32,
    ) -> Result<Vec<MessageRow>, StoreError> {
        let rows = select_message!(
            "WHERE id > ?1 AND (?2 IS NULL OR channel = ?2) ORDER BY id LIMIT ?3",
            after,
            channel,
            limit
        );
        Ok(rows.fetch_all(&self.reader).await?)
    }

    /// The newest `limit` messages, of a channel or of all, oldest of them first.
    pub async fn latest_messages(&self, channel: Option<&str>, limit: u32) -> Result<Vec<MessageRow>, StoreError> {
        let mut rows = select_message!("WHERE ?1 IS NULL OR channel = ?1 ORDER BY id DESC LIMIT ?2", channel, limit)
            .fetch_all(&self.reader)
            .await?;
        rows.reverse();
        Ok(rows)
    }

    /// One message.
    pub async fn message(&self, id: MessageId) -> Result<Option<MessageRow>, StoreError> {
        Ok(select_message!("WHERE id = ?", id).fetch_optional(&self.reader).await?)
    }

    /// At most `limit` messages after `since` that a front has neither delivered nor given up, oldest first. Messages
    /// from before the front's [`Store::mark_all_delivered`] are not among them.
    pub async fn undelivered(&self, front: &str, since: MessageId, limit: u32) -> Result<Vec<MessageRow>, StoreError> {
        let rows = select_message!(
            "WHERE id > max(?1, coalesce((SELECT watermark FROM fronts WHERE name = ?2), 0))
                AND NOT EXISTS (
                    SELECT 1 FROM deliveries WHERE front = ?2 AND message_id = messages.id
                        AND (delivered_at IS NOT NULL OR failures >= ?3)
                )
            ORDER BY id LIMIT ?4",
            since,
            front,
            MOST_FAILURES,
            limit
        );
        Ok(rows.fetch_all(&self.reader).await?)
    }

    /// Notes that a front delivered a message, and what its service calls it. The first delivery stays.
    pub async fn delivered(
        &self,
        message: MessageId,
        front: &str,
        external_id: &str,
        at: Timestamp,
    ) -> Result<(), StoreError> {
        sqlx::query!(
            "INSERT INTO deliveries (front, message_id, external_id, delivered_at, tried_at) VALUES (?1, ?2, ?3, ?4, ?4)
            ON CONFLICT (front, message_id) DO UPDATE SET external_id = excluded.external_id, error = NULL,
                delivered_at = excluded.delivered_at, tried_at = excluded.tried_at
            WHERE delivered_at IS NULL",
            front,
            message,
            external_id,
            ms(at)
        )
        .execute(&self.writer)
        .await?;
        self.changed(Change::Message);
        Ok(())
    }

    /// Notes that a front could not deliver a message. After 8 failures it is given up for that front.
    pub async fn delivery_failed(
        &self,
        message: MessageId,
        front: &str,
        error: &str,
        at: Timestamp,
    ) -> Result<(), StoreError> {
        sqlx::query!(
            "INSERT INTO deliveries (front, message_id, failures, error, tried_at) VALUES (?, ?, 1, ?, ?)
            ON CONFLICT (front, message_id) DO UPDATE SET failures = failures + 1, error = excluded.error,
                tried_at = excluded.tried_at
            WHERE delivered_at IS NULL",
            front,
            message,
            error,
            ms(at)
        )
        .execute(&self.writer)
        .await?;
        Ok(())
    }

    /// Whether a front ever called [`Store::mark_all_delivered`]: if not, this is its first start.
    pub async fn front_seen(&self, front: &str) -> Result<bool, StoreError> {
        let seen = sqlx::query_scalar!(r#"SELECT count(*) AS "seen!: u32" FROM fronts WHERE name = ?"#, front);
        Ok(seen.fetch_one(&self.reader).await? > 0)
    }

    /// Takes every message there is as delivered by a front: a new front does not replay history.
    pub async fn mark_all_delivered(&self, front: &str, at: Timestamp) -> Result<(), StoreError> {
        sqlx::query!(
            "INSERT INTO fronts (name, watermark, seen_at) VALUES (?, (SELECT coalesce(max(id), 0) FROM messages), ?)
            ON CONFLICT (name) DO UPDATE SET watermark = excluded.watermark, seen_at = excluded.seen_at",
            front,
            ms(at)
        )
        .execute(&self.writer)
        .await?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::super::fixtures::at;
    use super::*;

    fn message(text: &str, dedup: Option<&str>) -> NewMessage {
        NewMessage {
            channel: "mission-control".into(),
            author: "watcher".into(),
            author_kind: AuthorKind::Agent,
            brain: Some("playbook".into()),
            text: text.into(),
            attachments: vec![Attachment {
                artifact: ArtifactId("ab".into()),
                name: "success.png".into(),
                media_type: "image/png".into(),
                alt: "success by loop".into(),
            }],
            loop_id: None,
            dedup: dedup.map(str::to_owned),
        }
    }

    #[tokio::test]
    async fn messages_are_read_in_order_and_written_once_by_name() {
        let store = Store::in_memory().await.unwrap();
        let first = store.post(&message("one", Some("loop1/opened")), at(0)).await.unwrap();
        assert_eq!(store.post(&message("one again", Some("loop1/opened")), at(1)).await.unwrap(), first);
        let second = store.post(&message("two", None), at(2)).await.unwrap();
        let third = store.post(&message("two", None), at(3)).await.unwrap();
        let training = NewMessage { channel: "training".into(), ..message("loss", None) };
        store.post(&training, at(4)).await.unwrap();
        let ids = |rows: Vec<MessageRow>| rows.into_iter().map(|row| row.id).collect::<Vec<_>>();
        assert_eq!(ids(store.messages(Some("mission-control"), first, 10).await.unwrap()), [second, third]);
        assert_eq!(ids(store.latest_messages(Some("mission-control"), 2).await.unwrap()), [second, third]);
        assert_eq!(store.messages(None, MessageId(0), 10).await.unwrap().len(), 4);
        let row = store.message(first).await.unwrap().unwrap();
        assert_eq!((row.text.as_str(), row.attachments[0].name.as_str()), ("one", "success.png"));
    }

    #[tokio::test]
    async fn a_message_stays_undelivered_until_it_is_delivered_or_given_up() {
        let store = Store::in_memory().await.unwrap();
        let first = store.post(&message("one", None), at(0)).await.unwrap();
        let second = store.post(&message("two", None), at(0)).await.unwrap();
        store.delivered(first, "discord", "123", at(1)).await.unwrap();
        let left = async || store.undelivered("discord", MessageId(0), 10).await.unwrap().len();
        assert_eq!(left().await, 1);
        for _ in 1..MOST_FAILURES {
            store.delivery_failed(second, "discord", "503", at(2)).await.unwrap();
            assert_eq!(left().await, 1);
        }
        store.delivery_failed(second, "discord", "503", at(3)).await.unwrap();
        assert_eq!(left().await, 0);
        assert_eq!(store.undelivered("console", MessageId(0), 10).await.unwrap().len(), 2, "fronts are apart");
    }

    #[tokio::test]
    async fn a_new_front_does_not_replay_history() {
        let store = Store::in_memory().await.unwrap();
        store.post(&message("old", None), at(0)).await.unwrap();
        assert!(!store.front_seen("discord").await.unwrap());
        store.mark_all_delivered("discord", at(1)).await.unwrap();
        assert!(store.front_seen("discord").await.unwrap());
        let new = store.post(&message("new", None), at(2)).await.unwrap();
        let rows = store.undelivered("discord", MessageId(0), 10).await.unwrap();
        assert_eq!(rows.iter().map(|row| row.id).collect::<Vec<_>>(), [new]);
    }
}
