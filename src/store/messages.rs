//! Messages, and their way to the fronts. Writing a message is posting it: every front looks for what it has not
//! delivered yet, so a front that is down only delays.

use super::column::{Attachments, Millis, ms, stored_states};
use super::{Change, Store, StoreError};
use crate::base::{ArtifactId, LoopId, MessageId, Timestamp};
use serde::{Deserialize, Serialize};

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

impl Store {
    /// Writes a message. The same `dedup` was written before: that message's number.
    pub async fn post(&self, new: &NewMessage, at: Timestamp) -> Result<MessageId, StoreError> {
        let attachments = serde_json::json!(new.attachments).to_string();
        let mut tx = self.immediate().await?;
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
        .execute(&mut *tx)
        .await?;
        let id = if done.rows_affected() == 1 {
            MessageId(done.last_insert_rowid())
        } else {
            select_message!("WHERE dedup = ?", new.dedup).fetch_one(&mut *tx).await?.id
        };
        tx.commit().await?;
        self.changed(Change::Message);
        Ok(id)
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
