//! Agents' mailboxes. Mail stays until the agent says it is dealt with, so a crash in a turn only repeats the turn.

use super::column::{Json, Millis, ms, stored_states};
use super::{Change, Store, StoreError};
use crate::base::{MailId, Timestamp};
use serde::Serialize;
use serde_json::Value;
use sqlx::SqliteConnection;

stored_states! {
    /// What a piece of mail is about.
    MailKind {
        /// Somebody spoke to the agent.
        Message = "message",
        /// The loop asks for a decision.
        DecisionAsked = "decision-asked",
        /// A job of the agent's ended.
        JobEvent = "job-event",
        /// A colleague handed something over.
        Handoff = "handoff",
        /// The loop moved.
        LoopEvent = "loop-event",
        /// The watchdog or a person orders something.
        Order = "order",
    }
}

/// One piece of mail that waits.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct MailRow {
    /// Its number.
    pub id: MailId,
    /// Whose mailbox it is in.
    pub agent: String,
    /// What it is about.
    pub kind: MailKind,
    /// Its content; its shape depends on the kind.
    pub payload: Value,
    /// When it was sent.
    pub created_at: Timestamp,
    /// How often it was taken out, this time included. After 3 without success: [`Store::abandon_mail`].
    pub attempts: u32,
}

/// Puts mail into a mailbox within a transaction. None when mail with the same `dedup` was sent to the agent before.
pub(super) async fn insert_mail(
    connection: &mut SqliteConnection,
    agent: &str,
    kind: MailKind,
    payload: &Value,
    dedup: &str,
    at: Timestamp,
) -> Result<Option<MailId>, StoreError> {
    let done = sqlx::query!(
        "INSERT INTO mail (agent, kind, payload, dedup, created_at) VALUES (?, ?, ?, ?, ?)
        ON CONFLICT (agent, dedup) DO NOTHING",
        agent,
        kind,
        payload.to_string(),
        dedup,
        ms(at)
    )
    .execute(connection)
    .await?;
    Ok((done.rows_affected() == 1).then(|| MailId(done.last_insert_rowid())))
}

impl Store {
    /// Sends mail to an agent. None when mail with the same `dedup` was sent to it before, dealt with or not.
    pub async fn send_mail(
        &self,
        agent: &str,
        kind: MailKind,
        payload: &Value,
        dedup: &str,
        at: Timestamp,
    ) -> Result<Option<MailId>, StoreError> {
        let mut tx = self.immediate().await?;
        let id = insert_mail(&mut tx, agent, kind, payload, dedup, at).await?;
        tx.commit().await?;
        if id.is_some() {
            self.changed(Change::Mailbox);
        }
        Ok(id)
    }

    /// The oldest mail that is not dealt with. It stays in the mailbox until [`Store::finish_mail`]; each call counts
    /// one attempt.
    pub async fn next_mail(&self, agent: &str, _at: Timestamp) -> Result<Option<MailRow>, StoreError> {
        let mut tx = self.immediate().await?;
        sqlx::query!(
            "UPDATE mail SET attempts = attempts + 1
            WHERE id = (SELECT id FROM mail WHERE agent = ? AND done_at IS NULL ORDER BY id LIMIT 1)",
            agent
        )
        .execute(&mut *tx)
        .await?;
        let row = sqlx::query_as!(
            MailRow,
            r#"SELECT id AS "id!: MailId", agent AS "agent!", kind AS "kind!: MailKind", payload AS "payload!: Json",
                created_at AS "created_at!: Millis", attempts AS "attempts!: u32"
            FROM mail WHERE agent = ? AND done_at IS NULL ORDER BY id LIMIT 1"#,
            agent
        )
        .fetch_optional(&mut *tx)
        .await?;
        tx.commit().await?;
        Ok(row)
    }

    /// Marks mail as dealt with. Twice is once.
    pub async fn finish_mail(&self, id: MailId, at: Timestamp) -> Result<(), StoreError> {
        sqlx::query!("UPDATE mail SET done_at = ? WHERE id = ? AND done_at IS NULL", ms(at), id)
            .execute(&self.writer)
            .await?;
        self.changed(Change::Mailbox);
        Ok(())
    }

    /// Gives mail up, and keeps why.
    pub async fn abandon_mail(&self, id: MailId, reason: &str, at: Timestamp) -> Result<(), StoreError> {
        sqlx::query!("UPDATE mail SET done_at = ?, abandoned = ? WHERE id = ? AND done_at IS NULL", ms(at), reason, id)
            .execute(&self.writer)
            .await?;
        self.changed(Change::Mailbox);
        Ok(())
    }

    /// How much mail waits for an agent.
    pub async fn waiting_mail(&self, agent: &str) -> Result<u32, StoreError> {
        let waiting = sqlx::query_scalar!(
            r#"SELECT count(*) AS "waiting!: u32" FROM mail WHERE agent = ? AND done_at IS NULL"#,
            agent
        );
        Ok(waiting.fetch_one(&self.reader).await?)
    }
}

#[cfg(test)]
mod tests {
    use super::super::fixtures::at;
    use super::*;
    use serde_json::json;

    #[tokio::test]
    async fn mail_comes_again_until_it_is_finished() {
        let store = Store::in_memory().await.unwrap();
        let first =
            store.send_mail("watcher", MailKind::Message, &json!({"n": 1}), "m1", at(0)).await.unwrap().unwrap();
        store.send_mail("watcher", MailKind::Order, &json!({"n": 2}), "m2", at(1)).await.unwrap().unwrap();
        for attempt in 1..=2 {
            let mail = store.next_mail("watcher", at(2)).await.unwrap().unwrap();
            assert_eq!((mail.id, mail.attempts, mail.payload), (first, attempt, json!({"n": 1})));
        }
        assert_eq!(store.waiting_mail("watcher").await.unwrap(), 2);
        store.finish_mail(first, at(3)).await.unwrap();
        let second = store.next_mail("watcher", at(4)).await.unwrap().unwrap();
        assert_eq!((second.kind, second.attempts), (MailKind::Order, 1));
        store.abandon_mail(second.id, "three attempts", at(5)).await.unwrap();
        assert_eq!(store.next_mail("watcher", at(6)).await.unwrap(), None);
    }

    #[tokio::test]
    async fn the_same_mail_is_sent_once_even_after_it_was_finished() {
        let store = Store::in_memory().await.unwrap();
        let id = store.send_mail("watcher", MailKind::Message, &json!(1), "m", at(0)).await.unwrap().unwrap();
        store.finish_mail(id, at(1)).await.unwrap();
        assert_eq!(store.send_mail("watcher", MailKind::Message, &json!(1), "m", at(2)).await.unwrap(), None);
        assert!(store.send_mail("developer", MailKind::Message, &json!(1), "m", at(2)).await.unwrap().is_some());
        assert_eq!(store.waiting_mail("watcher").await.unwrap(), 0);
    }
}
