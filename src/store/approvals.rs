//! Plans that wait for a person's word: what is asked, until when, and what was answered.

use super::column::{Json, MaybeMillis, Millis, ms, stored_states};
use super::{Change, Store, StoreError};
use crate::base::{DecisionId, Timestamp};
use serde::Serialize;
use serde_json::Value;

stored_states! {
    /// How a plan that waited was answered.
    Answer {
        /// It runs.
        Approved = "approved",
        /// It does not run.
        Vetoed = "vetoed",
        /// Nobody answered in time.
        Unanswered = "unanswered",
    }
}

/// One plan that waits, or waited.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ApprovalRow {
    /// Its number.
    pub id: i64,
    /// The decision it is the plan for.
    pub decision_id: DecisionId,
    /// The plan.
    pub plan: Value,
    /// Whose plan it is.
    pub proposed_by: String,
    /// When it was asked.
    pub asked_at: Timestamp,
    /// Until when an answer is waited for.
    pub deadline_at: Timestamp,
    /// What was answered.
    pub answer: Option<Answer>,
    /// Who answered.
    pub answered_by: Option<String>,
    /// Why, in the person's words.
    pub reason: Option<String>,
    /// When it was answered.
    pub answered_at: Option<Timestamp>,
}

macro_rules! select_approval {
    ($tail:tt $(, $arg:expr)*) => {
        sqlx::query_as!(
            ApprovalRow,
            r#"SELECT id AS "id!", decision_id AS "decision_id!: DecisionId", plan AS "plan!: Json",
                proposed_by AS "proposed_by!", asked_at AS "asked_at!: Millis", deadline_at AS "deadline_at!: Millis",
                answer AS "answer?: Answer", answered_by, reason, answered_at AS "answered_at!: MaybeMillis"
            FROM approvals "# + $tail
            $(, $arg)*
        )
    };
}

impl Store {
    /// Asks people for their word on a plan. One that waits already for the same decision stays. The decision's own
    /// deadline moves to the answer's: until then the deputy has no say.
    pub async fn ask_approval(
        &self,
        decision: DecisionId,
        plan: &Value,
        proposed_by: &str,
        deadline_at: Timestamp,
        at: Timestamp,
    ) -> Result<(), StoreError> {
        let mut tx = self.immediate().await?;
        sqlx::query!(
            "INSERT INTO approvals (decision_id, plan, proposed_by, asked_at, deadline_at) VALUES (?, ?, ?, ?, ?)
            ON CONFLICT DO NOTHING",
            decision,
            plan.to_string(),
            proposed_by,
            ms(at),
            ms(deadline_at)
        )
        .execute(&mut *tx)
        .await?;
        sqlx::query!("UPDATE decisions SET deadline_at = max(deadline_at, ?) WHERE id = ?", ms(deadline_at), decision)
            .execute(&mut *tx)
            .await?;
        tx.commit().await?;
        self.changed(Change::Decision);
        Ok(())
    }

    /// Answers a plan that waits. False when it was answered already; the first answer stays.
    pub async fn answer_approval(
        &self,
        id: i64,
        answer: Answer,
        by: &str,
        reason: Option<&str>,
        at: Timestamp,
    ) -> Result<bool, StoreError> {
        let done = sqlx::query!(
            "UPDATE approvals SET answer = ?, answered_by = ?, reason = ?, answered_at = ? WHERE id = ? AND answer IS NULL",
            answer,
            by,
            reason,
            ms(at),
            id
        )
        .execute(&self.writer)
        .await?;
        self.changed(Change::Decision);
        Ok(done.rows_affected() == 1)
    }

    /// Every plan that waits, oldest first.
    pub async fn open_approvals(&self) -> Result<Vec<ApprovalRow>, StoreError> {
        Ok(select_approval!("WHERE answer IS NULL ORDER BY id").fetch_all(&self.reader).await?)
    }

    /// The plans that waited for a decision, oldest first.
    pub async fn approvals_of(&self, decision: DecisionId) -> Result<Vec<ApprovalRow>, StoreError> {
        Ok(select_approval!("WHERE decision_id = ? ORDER BY id", decision).fetch_all(&self.reader).await?)
    }
}

#[cfg(test)]
mod tests {
    use super::super::fixtures::{at, first_loop};
    use super::*;
    use crate::base::{Persona, Stage};
    use serde_json::json;

    #[tokio::test]
    async fn a_plan_is_asked_once_and_its_first_answer_stays() {
        let store = Store::in_memory().await.unwrap();
        let loop_id = first_loop(&store).await;
        let evidence = json!({});
        let asked = store.ask_decision(loop_id, Stage::Generate, Persona::Developer, &evidence, at(60), at(1));
        let decision = asked.await.unwrap();
        for _ in 0..2 {
            let plan = json!({ "episodes": 40 });
            store.ask_approval(decision, &plan, "developer", at(600), at(2)).await.unwrap();
        }
        let open = store.open_approvals().await.unwrap();
        assert_eq!((open.len(), open[0].proposed_by.as_str(), open[0].deadline_at), (1, "developer", at(600)));
        let answer = |answer, by| store.answer_approval(open[0].id, answer, by, Some("too many"), at(3));
        assert!(answer(Answer::Vetoed, "Kim").await.unwrap());
        assert!(!answer(Answer::Approved, "Lee").await.unwrap());
        assert!(store.open_approvals().await.unwrap().is_empty());
        let row = store.approvals_of(decision).await.unwrap().remove(0);
        assert_eq!((row.answer, row.answered_by.as_deref()), (Some(Answer::Vetoed), Some("Kim")));
        let plan = json!({ "episodes": 20 });
        store.ask_approval(decision, &plan, "developer", at(600), at(4)).await.unwrap();
        assert_eq!(store.open_approvals().await.unwrap().len(), 1, "another plan may be asked after a veto");
    }
}
