//! Turns of agents' brains, and what agents hand to each other. A hand-off is a typed row, not a chat message, so two
//! agents cannot talk each other round in circles.

use super::column::{Json, MaybeMillis, Millis, ms};
use super::mailbox::insert_mail;
use super::{Change, MailKind, Store, StoreError};
use crate::base::{LoopId, MailId, Timestamp, TurnId};
use serde::Serialize;
use serde_json::{Value, json};

/// One turn.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct TurnRow {
    /// Its number.
    pub id: TurnId,
    /// Whose turn it is.
    pub agent: String,
    /// What kind of brain thinks: `playbook`, `openai`, `anthropic`.
    pub brain: String,
    /// Which model; for the playbook its version.
    pub model: String,
    /// The mail it deals with.
    pub mail: Option<MailId>,
    /// When it began.
    pub started_at: Timestamp,
    /// When it ended.
    pub ended_at: Option<Timestamp>,
    /// How it ended.
    pub outcome: Option<String>,
    /// How many tools it called.
    pub tool_calls: u32,
    /// What was said and called; `null` until it ended.
    pub transcript: Value,
}

/// One hand-off.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct HandoffRow {
    /// Its number.
    pub id: i64,
    /// The loop it belongs to.
    pub loop_id: Option<LoopId>,
    /// Who hands over.
    pub from_agent: String,
    /// Who takes it.
    pub to_agent: String,
    /// What it is.
    pub kind: String,
    /// Its content; its shape depends on the kind.
    pub payload: Value,
    /// When it was handed over.
    pub created_at: Timestamp,
}

/// Something to hand over.
#[derive(Debug, Clone, PartialEq)]
pub struct NewHandoff {
    /// The loop it belongs to.
    pub loop_id: Option<LoopId>,
    /// Who hands over.
    pub from_agent: String,
    /// Who takes it.
    pub to_agent: String,
    /// What it is.
    pub kind: String,
    /// Its content.
    pub payload: Value,
}

impl Store {
    /// Begins a turn.
    pub async fn begin_turn(
        &self,
        agent: &str,
        brain: &str,
        model: &str,
        mail: Option<MailId>,
        at: Timestamp,
    ) -> Result<TurnId, StoreError> {
        let done = sqlx::query!(
            "INSERT INTO turns (agent, brain, model, mail_id, started_at) VALUES (?, ?, ?, ?, ?)",
            agent,
            brain,
            model,
            mail,
            ms(at)
        )
        .execute(&self.writer)
        .await?;
        self.changed(Change::Agent);
        Ok(TurnId(done.last_insert_rowid()))
    }

    /// Ends a turn. A turn that ended keeps its first end.
    pub async fn end_turn(
        &self,
        id: TurnId,
        outcome: &str,
        tool_calls: u32,
        transcript: &Value,
        at: Timestamp,
    ) -> Result<(), StoreError> {
        sqlx::query!(
            "UPDATE turns SET ended_at = ?, outcome = ?, tool_calls = ?, transcript = ? WHERE id = ? AND ended_at IS NULL",
            ms(at),
            outcome,
            tool_calls,
            transcript.to_string(),
            id
        )
        .execute(&self.writer)
        .await?;
        self.changed(Change::Agent);
        Ok(())
    }

    /// The newest turns of an agent, or of all; newest first.
    pub async fn turns(&self, agent: Option<&str>, limit: u32) -> Result<Vec<TurnRow>, StoreError> {
        let rows = sqlx::query_as!(
            TurnRow,
            r#"SELECT id AS "id!: TurnId", agent AS "agent!", brain AS "brain!", model AS "model!",
                mail_id AS "mail?: MailId", started_at AS "started_at!: Millis", ended_at AS "ended_at!: MaybeMillis",
                outcome, tool_calls AS "tool_calls!: u32", transcript AS "transcript!: Json"
            FROM turns WHERE ?1 IS NULL OR agent = ?1 ORDER BY id DESC LIMIT ?2"#,
            agent,
            limit
        );
        Ok(rows.fetch_all(&self.reader).await?)
    }

    /// Hands something to a colleague, by a row and by mail. False when the same `dedup` was handed over before.
    pub async fn hand_off(&self, new: &NewHandoff, dedup: &str, at: Timestamp) -> Result<bool, StoreError> {
        let mut tx = self.immediate().await?;
        let done = sqlx::query!(
            "INSERT INTO handoffs (dedup, loop_id, from_agent, to_agent, kind, payload, created_at)
            VALUES (?, ?, ?, ?, ?, ?, ?) ON CONFLICT (dedup) DO NOTHING",
            dedup,
            new.loop_id,
            new.from_agent,
            new.to_agent,
            new.kind,
            new.payload.to_string(),
            ms(at)
        )
        .execute(&mut *tx)
        .await?;
        let is_new = done.rows_affected() == 1;
        if is_new {
            let id = done.last_insert_rowid();
            let payload = json!({
                "handoff": id, "loop": new.loop_id, "from": new.from_agent, "kind": new.kind, "payload": new.payload,
            });
            insert_mail(&mut tx, &new.to_agent, MailKind::Handoff, &payload, &format!("handoff-{id}"), at).await?;
        }
        tx.commit().await?;
        if is_new {
            self.changed(Change::Mailbox);
        }
        Ok(is_new)
    }

    /// The newest hand-offs, newest first.
    pub async fn handoffs(&self, limit: u32) -> Result<Vec<HandoffRow>, StoreError> {
        let rows = sqlx::query_as!(
            HandoffRow,
            r#"SELECT id AS "id!", loop_id AS "loop_id?: LoopId", from_agent AS "from_agent!", to_agent AS "to_agent!",
                kind AS "kind!", payload AS "payload!: Json", created_at AS "created_at!: Millis"
            FROM handoffs ORDER BY id DESC LIMIT ?"#,
            limit
        );
        Ok(rows.fetch_all(&self.reader).await?)
    }
}

#[cfg(test)]
mod tests {
    use super::super::fixtures::at;
    use super::*;

    #[tokio::test]
    async fn a_turn_ends_once() {
        let store = Store::in_memory().await.unwrap();
        let mail = store.send_mail("watcher", MailKind::Message, &json!({}), "m", at(0)).await.unwrap();
        let id = store.begin_turn("watcher", "playbook", "1", mail, at(1)).await.unwrap();
        store.begin_turn("developer", "playbook", "1", None, at(1)).await.unwrap();
        store.end_turn(id, "answered", 2, &json!([{"said": "hello"}]), at(2)).await.unwrap();
        store.end_turn(id, "crashed", 0, &json!([]), at(3)).await.unwrap();
        let turns = store.turns(Some("watcher"), 10).await.unwrap();
        assert_eq!(turns.len(), 1);
        assert_eq!((turns[0].outcome.as_deref(), turns[0].tool_calls, turns[0].mail), (Some("answered"), 2, mail));
        assert_eq!(store.turns(None, 1).await.unwrap()[0].agent, "developer");
    }

    #[tokio::test]
    async fn a_hand_off_is_one_row_and_one_mail() {
        let store = Store::in_memory().await.unwrap();
        let new = NewHandoff {
            loop_id: None,
            from_agent: "evaluation".into(),
            to_agent: "developer".into(),
            kind: "failures".into(),
            payload: json!({"wall-stuck": 4}),
        };
        assert!(store.hand_off(&new, "loop1/failures", at(0)).await.unwrap());
        assert!(!store.hand_off(&new, "loop1/failures", at(1)).await.unwrap());
        assert_eq!(store.handoffs(10).await.unwrap().len(), 1);
        assert_eq!(store.waiting_mail("developer").await.unwrap(), 1);
        let mail = store.next_mail("developer", at(2)).await.unwrap().unwrap();
        assert_eq!((mail.kind, &mail.payload["payload"]), (MailKind::Handoff, &new.payload));
    }
}
