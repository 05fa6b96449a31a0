//! Settling a plan: asks the owner, checks what comes, waits for a person where the terms say so, and lets the playbook
//! decide as deputy when nothing comes.

use super::super::evidence::Evidence;
use super::super::machine::LoopEvent;
use super::super::plan::{FeedbackPlan, Plan};
use super::super::playbook;
use super::super::stages;
use super::super::summary::{duration, grouped};
use super::super::terms::{SAMPLES_BEFORE_STOP, Terms, Unanswered};
use super::super::throughput::{self, Outlook, preset_of};
use super::{Driver, DriverError, Tick, View};
use crate::base::{Fault, MissionState, Stage, Timestamp};
use crate::store::{Answer, ApprovalRow, DecisionRow, ForecastRow, MailKind};
use std::time::Duration;

/// Who decides in the owner's place.
const DEPUTY: &str = "deputy";

impl Driver {
    /// Asks the owner, takes a valid answer, or decides as deputy when the deadline has passed.
    pub(super) async fn decide(&self, view: &View<'_>, stage: Stage) -> Result<Tick, DriverError> {
        if view.mission.state == MissionState::Paused {
            return Ok(Tick::Waiting);
        }
        let Some(decision) = self.store.decision_for(view.row.id, stage).await? else {
            let evidence = self.evidence(view, stage, view.log).await?;
            let evidence = serde_json::to_value(evidence).unwrap_or_default();
            let deadline = self.decision_deadline(view);
            self.store.ask_decision(view.row.id, stage, stage.owner(), &evidence, deadline, view.now).await?;
            return Ok(Tick::Moved);
        };
        if let Some(plan) = &decision.plan {
            let plan = Plan::from_json(stage, plan, &stages::family_names())
                .map_err(|error| DriverError::Log(view.row.number, error))?;
            let by = decision.decided_by.clone().unwrap_or_default();
            return self.append(view, &LoopEvent::PlanAccepted { plan, by }).await;
        }
        let approvals = self.store.approvals_of(decision.id).await?;
        if let Some(waiting) = approvals.iter().find(|approval| approval.answer.is_none()) {
            return self.wait_for_word(view, stage, waiting).await;
        }
        if let Some(proposal) = &decision.proposal {
            return self.consider(view, &decision, proposal, &approvals).await;
        }
        if view.now >= decision.deadline_at {
            return self.deputise(view, &decision).await;
        }
        Ok(Tick::Waiting)
    }

    /// Until when a persona is waited for, from now.
    pub(super) fn decision_deadline(&self, view: &View<'_>) -> Timestamp {
        view.now + Duration::from_secs(u64::from(preset_of(view.mission).decision_deadline_s))
    }

    /// Takes a valid proposal that fits; sends any other back with the reason.
    async fn consider(
        &self,
        view: &View<'_>,
        decision: &DecisionRow,
        proposal: &serde_json::Value,
        approvals: &[ApprovalRow],
    ) -> Result<Tick, DriverError> {
        let plan = match Plan::from_json(decision.stage, proposal, &stages::family_names()) {
            Ok(plan) => plan,
            Err(reason) => return self.refuse(view, decision, &reason, None).await,
        };
        if let Some(reason) = self.stops_too_early(view, decision, &plan)? {
            return self.refuse(view, decision, &reason, None).await;
        }
        let outlook = throughput::outlook(&self.store, view.mission, &plan, view.now).await?;
        if let Some(refusal) = &outlook.refusal {
            if refusal.fits.is_none() {
                return self.nothing_fits(view, decision.stage, &refusal.words).await;
            }
            return self.refuse(view, decision, &refusal.words, refusal.fits.as_ref()).await;
        }
        let by = decision.proposed_by.clone().unwrap_or_else(|| decision.persona.to_string());
        self.settle(view, decision, &plan, &by, &outlook, approvals).await
    }

    /// A stop before success could have come is no stop: it comes as a step.
    fn stops_too_early(
        &self,
        view: &View<'_>,
        decision: &DecisionRow,
        plan: &Plan,
    ) -> Result<Option<String>, DriverError> {
        let Plan::Feedback(FeedbackPlan { stop: Some(_), .. }) = plan else { return Ok(None) };
        let evidence: Evidence = serde_json::from_value(decision.evidence.clone())
            .map_err(|error| DriverError::Log(view.row.number, error.to_string()))?;
        Ok((evidence.samples_trained < SAMPLES_BEFORE_STOP).then(|| {
            format!(
                "only {} samples are trained; success comes as a step between 60,000 and 130,000, so nobody may end the \
                 mission before {}: leave `stop` empty",
                grouped(evidence.samples_trained),
                grouped(SAMPLES_BEFORE_STOP)
            )
        }))
    }

    async fn refuse(
        &self,
        view: &View<'_>,
        decision: &DecisionRow,
        reason: &str,
        fits: Option<&Plan>,
    ) -> Result<Tick, DriverError> {
        self.store.refuse_proposal(decision.id, reason, view.now).await?;
        let fits = fits.map(Plan::to_json);
        let payload = serde_json::json!({ "decision": decision.id, "refused": reason, "fits": fits });
        let dedup = format!("decision-{}-refused-{}", decision.id, view.now.as_millisecond());
        self.store.send_mail(decision.persona.as_str(), MailKind::DecisionAsked, &payload, &dedup, view.now).await?;
        Ok(Tick::Moved)
    }

    async fn nothing_fits(&self, view: &View<'_>, stage: Stage, why: &str) -> Result<Tick, DriverError> {
        let event = LoopEvent::StageFailed { stage, fault: Fault::NothingFits, error: why.to_owned() };
        self.append(view, &event).await
    }

    /// Accepts a plan, unless it waits for a person.
    async fn settle(
        &self,
        view: &View<'_>,
        decision: &DecisionRow,
        plan: &Plan,
        by: &str,
        outlook: &Outlook,
        approvals: &[ApprovalRow],
    ) -> Result<Tick, DriverError> {
        let (stage, json) = (decision.stage, plan.to_json());
        let terms = Terms::of(&view.mission.terms);
        if terms.approve.contains(&stage) {
            let answered = approvals.iter().rev().find(|approval| approval.plan == json);
            match answered.and_then(|approval| approval.answer) {
                Some(Answer::Approved) => {}
                Some(Answer::Unanswered) if terms.approve_unanswered == Unanswered::Run => {}
                Some(Answer::Vetoed) => return self.vetoed(view, decision, by, answered).await,
                Some(Answer::Unanswered) | None => {
                    return self.ask_approval(view, decision, &json, by, outlook, &terms).await;
                }
            }
        }
        if let Some(forecast) = &outlook.forecast {
            let row = ForecastRow {
                loop_id: view.row.id,
                stage,
                seconds: forecast.seconds,
                low_s: forecast.low_s,
                high_s: forecast.high_s,
                raw_s: forecast.raw_s,
                basis: outlook.basis.clone(),
            };
            self.store.set_forecast(&row, view.now).await?;
        }
        self.store.accept_decision(decision.id, by, &json, view.now).await?;
        Ok(Tick::Moved)
    }

    async fn ask_approval(
        &self,
        view: &View<'_>,
        decision: &DecisionRow,
        plan: &serde_json::Value,
        by: &str,
        outlook: &Outlook,
        terms: &Terms,
    ) -> Result<Tick, DriverError> {
        let wait_s = 60.0 * terms.approve_wait_minutes;
        let deadline = view.now + Duration::from_secs_f64(wait_s);
        self.store.ask_approval(decision.id, plan, by, deadline, view.now).await?;
        let takes = outlook.forecast.map_or(String::new(), |forecast| format!(" It takes {forecast}."));
        let then = match terms.approve_unanswered {
            Unanswered::Run => "it runs",
            Unanswered::Pause => "the mission is paused",
        };
        let asked = self.store.approvals_of(decision.id).await?.len();
        self.say(
            view,
            format!("decision-{}-approval-{asked}", decision.id),
            format!(
                "**Loop {} · {}: the plan of {by} waits for a person.**{takes} `/loop plan` shows it; `/approve` lets it \
                 run, `/veto <reason>` sends it back. Without an answer {then} after {}.",
                view.row.number,
                decision.stage,
                duration(wait_s)
            ),
        )
        .await?;
        Ok(Tick::Moved)
    }

    /// A plan waits for a person; when nobody answers in time, the terms say what happens.
    async fn wait_for_word(&self, view: &View<'_>, stage: Stage, waiting: &ApprovalRow) -> Result<Tick, DriverError> {
        if view.now < waiting.deadline_at {
            return Ok(Tick::Waiting);
        }
        self.store.answer_approval(waiting.id, Answer::Unanswered, "nobody", None, view.now).await?;
        let unanswered = Terms::of(&view.mission.terms).approve_unanswered;
        let then = match unanswered {
            Unanswered::Run => "It runs, as `agents.toml` says.",
            Unanswered::Pause => "The mission is paused, as `agents.toml` says; `/loop resume` asks again.",
        };
        let text = format!("**Loop {} · {stage}:** nobody answered the plan in time. {then}", view.row.number);
        self.say(view, format!("approval-{}-unanswered", waiting.id), text).await?;
        if unanswered == Unanswered::Pause {
            self.store.set_mission_state(view.mission.id, MissionState::Paused, None, view.now).await?;
        }
        Ok(Tick::Moved)
    }

    /// A person said no to this very plan. Its owner may make another; when the rules have none, the mission pauses.
    async fn vetoed(
        &self,
        view: &View<'_>,
        decision: &DecisionRow,
        by: &str,
        veto: Option<&ApprovalRow>,
    ) -> Result<Tick, DriverError> {
        let who = veto.and_then(|veto| veto.answered_by.clone()).unwrap_or_default();
        let why = veto.and_then(|veto| veto.reason.clone()).map_or(String::new(), |reason| format!(": {reason}"));
        if by == DEPUTY {
            self.store.set_mission_state(view.mission.id, MissionState::Paused, None, view.now).await?;
            let text = format!(
                "**Loop {} · {}:** {who} vetoed the only plan that the rules know{why}. The mission is paused: change \
                 the preset and start anew, or `/loop resume` to let the owner decide again.",
                view.row.number, decision.stage
            );
            self.say(view, format!("decision-{}-vetoed-{}", decision.id, view.now.as_millisecond()), text).await?;
            self.store.set_decision_deadline(decision.id, self.decision_deadline(view)).await?;
            return self.refuse(view, decision, &format!("vetoed by {who}{why}"), None).await;
        }
        self.store.set_decision_deadline(decision.id, self.decision_deadline(view)).await?;
        self.refuse(view, decision, &format!("vetoed by {who}{why}"), None).await
    }

    /// The playbook decides in the owner's place, and the channel says so. A plan that does not fit is made smaller.
    async fn deputise(&self, view: &View<'_>, decision: &DecisionRow) -> Result<Tick, DriverError> {
        let evidence = self.evidence(view, decision.stage, view.log).await?;
        let (mut plan, mut reason) = playbook::decide(&evidence);
        let mut outlook = throughput::outlook(&self.store, view.mission, &plan, view.now).await?;
        if let Some(refusal) = outlook.refusal.take() {
            let Some(fits) = refusal.fits else { return self.nothing_fits(view, decision.stage, &refusal.words).await };
            plan = fits;
            reason = format!("{reason}; made smaller, since {}", refusal.words);
            outlook = throughput::outlook(&self.store, view.mission, &plan, view.now).await?;
        }
        let why = match &decision.refusal {
            Some(refusal) => format!("its last proposal was refused ({refusal})"),
            None => "no proposal came".to_owned(),
        };
        let takes = outlook.forecast.map_or(String::new(), |forecast| format!(" It takes {forecast}."));
        let text = format!(
            "The {} was due to decide at **{}** and {why}. The playbook decides as deputy: {reason}.{takes}",
            decision.persona, decision.stage
        );
        self.say(view, format!("decision-{}-deputy-{}", decision.id, decision.asked_at.as_millisecond()), text).await?;
        self.store.propose(decision.id, DEPUTY, &plan.to_json(), view.now).await?;
        Ok(Tick::Moved)
    }
}
