//! `decision-overdue`: an open decision past its deadline. The loop's driver settles those itself, so one that stays
//! open shows that the driver does not move.

use super::{Check, Config, Finding, Status};
use crate::base::{MissionState, Timestamp};
use crate::store::{Store, StoreError};
use async_trait::async_trait;

pub(super) const NAME: &str = "decision-overdue";

pub(super) struct DecisionOverdue {
    store: Store,
    limit_s: i64,
}

impl DecisionOverdue {
    pub fn new(store: Store, config: &Config) -> Self {
        Self { store, limit_s: i64::from(config.overdue_after_s) }
    }
}

#[async_trait]
impl Check for DecisionOverdue {
    fn name(&self) -> &'static str {
        NAME
    }

    async fn activate(&self, now: Timestamp, since: Timestamp) -> Result<Status, StoreError> {
        let running = self.store.current_mission().await?.filter(|mission| mission.state == MissionState::Running);
        let Some(mission) = running else {
            return Ok(Status::of(Vec::new(), "no mission runs".to_owned()));
        };
        let mut findings = Vec::new();
        let open = self.store.open_decisions().await?;
        let loops = self.store.loops_of(mission.id).await?;
        for decision in &open {
            let current = loops.iter().any(|row| row.id == decision.loop_id && row.ending.is_none());
            let late_s = now.duration_since(decision.deadline_at.max(since)).as_secs();
            if current && late_s >= self.limit_s {
                findings.push(Finding {
                    subject: format!("decision {}", decision.id),
                    evidence: format!("the decision at {} is {late_s} s past its deadline", decision.stage),
                });
            }
        }
        Ok(Status::of(findings, format!("{} open decisions", open.len())))
    }
}
