//! Decisions: what the loop asks a persona at each stage, what was proposed, and what was accepted.

use super::column::{Json, MaybeJson, MaybeMillis, Millis, ms};
use super::mailbox::insert_mail;
use super::{Change, MailKind, Store, StoreError};
use crate::base::{DecisionId, LoopId, Persona, Stage, Timestamp};
use serde::Serialize;
use serde_json::{Value, json};

/// One decision.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct DecisionRow {
    /// Its number.
    pub id: DecisionId,
    /// The loop that asks.
    pub loop_id: LoopId,
    /// At which stage.
    pub stage: Stage,
    /// Who is asked.
    pub persona: Persona,
    /// What the program measured, for the asked to decide by.
    pub evidence: Value,
    /// The proposal that waits to be checked.
    pub proposal: Option<Value>,
    /// Whose proposal it is or was.
    pub proposed_by: Option<String>,
    /// Why the last proposal was refused.
    pub refusal: Option<String>,
    /// What was accepted.
    pub plan: Option<Value>,
    /// Whose plan it is: an agent's name, or `deputy`.
    pub decided_by: Option<String>,
    /// When it was asked.
    pub asked_at: Timestamp,
    /// When the deputy decides instead.
    pub deadline_at: Timestamp,
    /// When it was decided.
    pub decided_at: Option<Timestamp>,
}

macro_rules! select_decision {
    ($tail:tt $(, $arg:expr)*) => {
        sqlx::query_as!(
            DecisionRow,
            r#"SELECT id AS "id!: DecisionId", loop_id AS "loop_id!: LoopId", stage AS "stage!: Stage",
                persona AS "persona!: Persona", evidence AS "evidence!: Json", proposal AS "proposal!: MaybeJson",
                proposed_by, refusal, plan AS "plan!: MaybeJson", decided_by, asked_at AS "asked_at!: Millis",
                deadline_at AS "deadline_at!: Millis", decided_at AS "decided_at!: MaybeMillis"
            FROM decisions "# + $tail
            $(, $arg)*
        )
    };
}

impl Store {
    /// Asks a persona to decide at a stage of a loop, by a row and by mail. Asked before: that decision's number, and
    /// no second mail.
    pub async fn ask_decision(
        &self,
        loop_id: LoopId,
        stage: Stage,
        persona: Persona,
        evidence: &Value,
        deadline_at: Timestamp,
        at: Timestamp,
    ) -> Result<DecisionId, StoreError> {
        let mut tx = self.immediate().await?;
        sqlx::query!(
            "INSERT INTO decisions (loop_id, stage, persona, evidence, asked_at, deadline_at) VALUES (?, ?, ?, ?, ?, ?)
            ON CONFLICT (loop_id, stage) DO NOTHING",
            loop_id,
            stage,
            persona,
            evidence.to_string(),
            ms(at),
            ms(deadline_at)
        )
        .execute(&mut *tx)
        .await?;
        let row = select_decision!("WHERE loop_id = ? AND stage = ?", loop_id, stage).fetch_one(&mut *tx).await?;
        let payload =
            json!({ "decision": row.id, "loop": loop_id, "stage": stage, "deadline_ms": ms(row.deadline_at) });
        let dedup = format!("decision-{}", row.id);
        insert_mail(&mut tx, row.persona.as_str(), MailKind::DecisionAsked, &payload, &dedup, at).await?;
        tx.commit().await?;
        self.changed(Change::Decision);
        self.changed(Change::Mailbox);
        Ok(row.id)
    }

    /// Puts a proposal forward, in the place of any earlier one. False when it is decided already.
    pub async fn propose(
        &self,
        decision: DecisionId,
        proposed_by: &str,
        proposal: &Value,
        _at: Timestamp,
    ) -> Result<bool, StoreError> {
        let done = sqlx::query!(
            "UPDATE decisions SET proposal = ?, proposed_by = ?, refusal = NULL WHERE id = ? AND decided_at IS NULL",
            proposal.to_string(),
            proposed_by,
            decision
        )
        .execute(&self.writer)
        .await?;
        Ok(self.decision_changed(done.rows_affected()))
    }

    /// Takes the proposal away and keeps why, so that the asked may try again. Nothing happens once it is decided.
    pub async fn refuse_proposal(&self, decision: DecisionId, reason: &str, _at: Timestamp) -> Result<(), StoreError> {
        let done = sqlx::query!(
            "UPDATE decisions SET proposal = NULL, refusal = ? WHERE id = ? AND decided_at IS NULL",
            reason,
            decision
        )
        .execute(&self.writer)
        .await?;
        self.decision_changed(done.rows_affected());
        Ok(())
    }

    /// Changes until when an open decision waits for its persona.
    pub async fn set_decision_deadline(&self, decision: DecisionId, deadline_at: Timestamp) -> Result<(), StoreError> {
        let done = sqlx::query!(
            "UPDATE decisions SET deadline_at = ? WHERE id = ? AND decided_at IS NULL",
            ms(deadline_at),
            decision
        )
        .execute(&self.writer)
        .await?;
        self.decision_changed(done.rows_affected());
        Ok(())
    }

    /// Decides, for good. False when it was decided already; the first plan stays.
    pub async fn accept_decision(
        &self,
        decision: DecisionId,
        decided_by: &str,
        plan: &Value,
        at: Timestamp,
    ) -> Result<bool, StoreError> {
        let done = sqlx::query!(
            "UPDATE decisions SET plan = ?, decided_by = ?, decided_at = ? WHERE id = ? AND decided_at IS NULL",
            plan.to_string(),
            decided_by,
            ms(at),
            decision
        )
        .execute(&self.writer)
        .await?;
        Ok(self.decision_changed(done.rows_affected()))
    }

    /// Asks again, after a plan that was decided could not be carried out: by new evidence, with the reason in the
    /// place of a refusal. Nothing happens to a decision that is open.
    pub async fn reopen_decision(
        &self,
        decision: DecisionId,
        evidence: &Value,
        reason: &str,
        deadline_at: Timestamp,
        at: Timestamp,
    ) -> Result<bool, StoreError> {
        let mut tx = self.immediate().await?;
        let done = sqlx::query!(
            "UPDATE decisions SET evidence = ?, proposal = NULL, proposed_by = NULL, refusal = ?, plan = NULL,
                decided_by = NULL, decided_at = NULL, asked_at = ?, deadline_at = ?
            WHERE id = ? AND decided_at IS NOT NULL",
            evidence.to_string(),
            reason,
            ms(at),
            ms(deadline_at),
            decision
        )
        .execute(&mut *tx)
        .await?;
        if done.rows_affected() == 1 {
            let row = select_decision!("WHERE id = ?", decision).fetch_one(&mut *tx).await?;
            let payload = json!({
                "decision": row.id, "loop": row.loop_id, "stage": row.stage, "deadline_ms": ms(row.deadline_at),
                "again_because": reason,
            });
            let dedup = format!("decision-{decision}-again-{}", ms(at));
            insert_mail(&mut tx, row.persona.as_str(), MailKind::DecisionAsked, &payload, &dedup, at).await?;
        }
        tx.commit().await?;
        self.changed(Change::Mailbox);
        Ok(self.decision_changed(done.rows_affected()))
    }

    /// One decision.
    pub async fn decision(&self, id: DecisionId) -> Result<Option<DecisionRow>, StoreError> {
        Ok(select_decision!("WHERE id = ?", id).fetch_optional(&self.reader).await?)
    }

    /// The decision of a stage of a loop.
    pub async fn decision_for(&self, loop_id: LoopId, stage: Stage) -> Result<Option<DecisionRow>, StoreError> {
        let row = select_decision!("WHERE loop_id = ? AND stage = ?", loop_id, stage);
        Ok(row.fetch_optional(&self.reader).await?)
    }

    /// Every decision that is not decided, oldest first.
    pub async fn open_decisions(&self) -> Result<Vec<DecisionRow>, StoreError> {
        Ok(select_decision!("WHERE decided_at IS NULL ORDER BY id").fetch_all(&self.reader).await?)
    }

    fn decision_changed(&self, rows: u64) -> bool {
        if rows > 0 {
            self.changed(Change::Decision);
        }
        rows > 0
    }
}

#[cfg(test)]
mod tests {
    use super::super::fixtures::{at, first_loop};
    use super::*;

    #[tokio::test]
    async fn asking_twice_is_one_decision_and_one_mail() {
        let store = Store::in_memory().await.unwrap();
        let loop_id = first_loop(&store).await;
        let evidence = json!({"loss": 1});
        let ask = || store.ask_decision(loop_id, Stage::Train, Persona::Training, &evidence, at(60), at(1));
        let id = ask().await.unwrap();
        assert_eq!(ask().await.unwrap(), id);
        assert_eq!(store.waiting_mail("training").await.unwrap(), 1);
        let mail = store.next_mail("training", at(2)).await.unwrap().unwrap();
        assert_eq!((mail.kind, mail.payload["decision"].as_i64()), (MailKind::DecisionAsked, Some(id.0)));
    }

    #[tokio::test]
    async fn a_refused_proposal_may_be_tried_again_and_the_first_accepted_plan_stays() {
        let store = Store::in_memory().await.unwrap();
        let loop_id = first_loop(&store).await;
        let evidence = json!({});
        let asked = store.ask_decision(loop_id, Stage::Generate, Persona::Developer, &evidence, at(60), at(1));
        let id = asked.await.unwrap();
        assert!(store.propose(id, "developer", &json!({"episodes": -1}), at(2)).await.unwrap());
        store.refuse_proposal(id, "episodes must be positive", at(3)).await.unwrap();
        let refused = store.decision(id).await.unwrap().unwrap();
        assert_eq!((refused.proposal, refused.refusal.as_deref()), (None, Some("episodes must be positive")));
        assert!(store.propose(id, "developer", &json!({"episodes": 40}), at(4)).await.unwrap());
        assert_eq!(store.open_decisions().await.unwrap().len(), 1);
        assert!(store.accept_decision(id, "developer", &json!({"episodes": 40}), at(5)).await.unwrap());
        assert!(!store.accept_decision(id, "deputy", &json!({"episodes": 10}), at(6)).await.unwrap());
        assert!(!store.propose(id, "developer", &json!({"episodes": 50}), at(7)).await.unwrap());
        let row = store.decision_for(loop_id, Stage::Generate).await.unwrap().unwrap();
        assert_eq!((row.plan, row.decided_by.as_deref()), (Some(json!({"episodes": 40})), Some("developer")));
        assert!(store.open_decisions().await.unwrap().is_empty());
        let evidence = json!({ "again": 1 });
        assert!(store.reopen_decision(id, &evidence, "it diverged", at(90), at(8)).await.unwrap());
        assert!(!store.reopen_decision(id, &evidence, "it diverged", at(90), at(8)).await.unwrap(), "it is open now");
        let row = store.decision(id).await.unwrap().unwrap();
        assert_eq!((row.plan, row.refusal.as_deref(), row.deadline_at), (None, Some("it diverged"), at(90)));
        assert_eq!(store.waiting_mail("developer").await.unwrap(), 2);
    }
}
