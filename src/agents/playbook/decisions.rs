//! A decision was asked: the rules decide, and one line says what and why.

use super::words::{grouped, percent, plain, sentence};
use super::{MISSION_CONTROL, calls, done, need, say_once};
use crate::agents::brain::{Step, TurnInput};
use crate::cycle::evidence::Evidence;
use crate::cycle::plan::{EvaluatePlan, FeedbackPlan, GeneratePlan, Plan, StartFrom, TrainPlan};
use crate::cycle::playbook::decide;
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// Families named in a line; the rest is in the row.
const MOST_NAMED: usize = 3;

pub(super) fn step(turn: &TurnInput) -> Step {
    let Some(number) = turn.mail.payload["decision"].as_i64() else { return done("the mail names no decision") };
    if turn.mail.payload["refused"].is_string() {
        // The same rules on the same evidence give the same plan: proposing it again would go round in circles.
        return done("the rules know no other plan; the deadline will settle it");
    }
    let decision = match need(turn, "read_decision", json!({ "decision": number })) {
        Ok(decision) => decision,
        Err(step) => return step,
    };
    let evidence: Evidence = match serde_json::from_value(decision["evidence"].clone()) {
        Ok(evidence) => evidence,
        Err(error) => return done(&format!("the evidence cannot be read: {error}")),
    };
    let (plan, reason) = decide(&evidence);
    match turn.answer("propose_plan") {
        Some(Err(why)) => done(why),
        Some(Ok(_)) => say_once(turn, MISSION_CONTROL, &line(&evidence, &plan, &reason), &[], "proposed"),
        None if decision["decided_by"].is_string() => done("decided already"),
        None => {
            let arguments = json!({ "decision": number, "plan": plan.to_json(), "reason": reason });
            calls(turn, vec![("propose_plan", arguments)])
        }
    }
}

/// "**Loop 1 · train.** 80,000 samples from scratch, … "
fn line(evidence: &Evidence, plan: &Plan, reason: &str) -> String {
    let what = match plan {
        Plan::Generate(plan) => generate(plan),
        Plan::Train(plan) => train(plan),
        Plan::Evaluate(plan) => evaluate(plan),
        Plan::Feedback(plan) => feedback(plan),
    };
    format!("**Loop {} · {}.** {what} {}", evidence.loop_number, plan.stage(), sentence(reason))
}

fn generate(plan: &GeneratePlan) -> String {
    let bricks = match (plan.bricks_min, plan.bricks_max) {
        (1, 1) => "1 brick".to_owned(),
        (low, high) if low == high => format!("{low} bricks"),
        (low, high) => format!("{low}–{high} bricks"),
    };
    let expert = format!("{} with noise, {} from bad starts", percent(plan.noisy_share), percent(plan.bad_start_share));
    let driven = if plan.dagger_share > 0.0 {
        format!(
            "; the policy drives {} of them while the expert labels. Of the expert's own: {expert}.",
            percent(plan.dagger_share)
        )
    } else {
        format!(", all driven by the expert: {expert}.")
    };
    format!("{} episodes with {bricks}{driven}", grouped(u64::from(plan.episodes)))
}

fn train(plan: &TrainPlan) -> String {
    let start = match plan.start {
        StartFrom::Scratch => "fresh weights",
        StartFrom::Latest => "the newest checkpoint",
        StartFrom::Champion => "the champion",
    };
    format!("{} samples, beginning with {start}, peak learning rate {}.", grouped(plan.samples), plan.learning_rate)
}

fn evaluate(plan: &EvaluatePlan) -> String {
    let bricks = if plan.bricks == 1 { "1 brick".to_owned() } else { format!("{} bricks", plan.bricks) };
    format!(
        "{} hidden scenes with {bricks} each; the policy looks again after every {} actions.",
        grouped(u64::from(plan.scenes)),
        plan.execute_steps
    )
}

fn feedback(plan: &FeedbackPlan) -> String {
    if let Some(reason) = &plan.stop {
        return format!("The mission should end here: {}", sentence(reason));
    }
    format!("Next episodes: {}.", mix(plan))
}

/// "most weight on corner (1.3), brick at wall (1.2); the policy drives 70 % of them"
fn mix(plan: &FeedbackPlan) -> String {
    format!("{}; the policy drives {} of them", heaviest(&plan.families), percent(plan.dagger_share))
}

/// "most weight on corner (1.3), brick at wall (1.2)", or "all families alike"
fn heaviest(families: &BTreeMap<String, f64>) -> String {
    let mut sorted: Vec<_> = families.iter().collect();
    sorted.sort_by(|a, b| b.1.total_cmp(a.1).then(a.0.cmp(b.0)));
    let alike = sorted.first().zip(sorted.last()).is_none_or(|(first, last)| first.1 == last.1);
    if alike {
        return "all families alike".to_owned();
    }
    let named: Vec<_> =
        sorted.iter().take(MOST_NAMED).map(|(name, weight)| format!("{} ({weight})", plain(name))).collect();
    format!("most weight on {}", named.join(", "))
}

/// What a report says about the episodes after this loop; none when the mission should end.
pub(super) fn next_episodes(plan: &Value) -> Option<String> {
    let plan: FeedbackPlan = serde_json::from_value(plan.clone()).ok()?;
    plan.stop.is_none().then(|| mix(&plan))
}
