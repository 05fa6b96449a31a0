//! `/approve` and `/veto`: a person's word on the plan that waits for it.

use super::{Asker, CommandError, Commands, Reply, words};
use crate::store::{Answer, ApprovalRow};

/// Longest reason of a veto, in characters.
const MOST_REASON: usize = 300;

impl Commands {
    pub(super) async fn approve(&self, asker: &Asker) -> Result<Reply, CommandError> {
        let (waiting, place) = self.oldest_waiting().await?;
        let by = words::plain(&asker.name);
        self.answer_plan(&waiting, Answer::Approved, &by, None).await?;
        Ok(Reply::open(format!("Approved by {by}: {place} runs as planned.")))
    }

    pub(super) async fn veto(&self, asker: &Asker, reason: Option<&str>) -> Result<Reply, CommandError> {
        let (waiting, place) = self.oldest_waiting().await?;
        let by = words::plain(&asker.name);
        let reason: Option<String> =
            reason.map(|reason| reason.chars().filter(|c| !c.is_control()).take(MOST_REASON).collect());
        self.answer_plan(&waiting, Answer::Vetoed, &by, reason.as_deref()).await?;
        Ok(Reply::open(format!("Vetoed by {by}: {place} is decided again.")))
    }

    async fn answer_plan(
        &self,
        waiting: &ApprovalRow,
        answer: Answer,
        by: &str,
        reason: Option<&str>,
    ) -> Result<(), CommandError> {
        if self.store.answer_approval(waiting.id, answer, by, reason, self.now()).await? {
            return Ok(());
        }
        Err(CommandError::Refused("somebody was faster: that plan is answered already; see `/loop plan`".to_owned()))
    }

    /// The plan that has waited longest, and where it belongs.
    async fn oldest_waiting(&self) -> Result<(ApprovalRow, String), CommandError> {
        let mission = self.store.current_mission().await?;
        for waiting in self.store.open_approvals().await? {
            let Some(decision) = self.store.decision(waiting.decision_id).await? else { continue };
            let row = self.store.loop_row(decision.loop_id).await?;
            // A stopped mission may leave a plan that nobody will run.
            if let (Some(row), Some(mission)) = (row, &mission)
                && row.mission_id == mission.id
                && row.ending.is_none()
            {
                return Ok((waiting, format!("loop {}, {}", row.number, decision.stage)));
            }
        }
        Err(CommandError::Refused(
            "no plan waits for a person; which stages do, says `approve` under [mission] in agents.toml".to_owned(),
        ))
    }
}
