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
/// Longest reason that a proposal takes, in characters.
const MOST_REASON: usize = 600;

pub(super) fn step(turn: &TurnInput) -> Step {
    let Some(number) = turn.mail.payload["decision"].as_i64() else { return done("the mail names no decision") };
    if turn.mail.payload["refused"].is_string() && !turn.mail.payload["fits"].is_object() {
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
    let (wanted, reason) = decide(&evidence);
    let propose = |plan: &Plan, reason: &str| {
        let reason: String = reason.chars().take(MOST_REASON).collect();
        calls(turn, vec![("propose_plan", json!({ "decision": number, "plan": plan.to_json(), "reason": reason }))])
    };
    match (turn.answer("propose_plan"), turn.answer("forecast_plan")) {
        (None, _) if decision["decided_by"].is_string() => done("decided already"),
        (None, _) => propose(&wanted, &reason),
        (Some(Err(_)), None) => {
            let arguments = json!({ "decision": number, "plan": wanted.to_json() });
            calls(turn, vec![("forecast_plan", arguments)])
        }
        (Some(Err(why)), Some(Ok(outlook))) => match smaller(&evidence, outlook) {
            Some((plan, why_not)) if tries(turn) == 1 => propose(&plan, &why_not),
            Some(_) | None => done(why),
        },
        (Some(Err(why)), Some(Err(_))) => done(why),
        (Some(Ok(proposed)), outlook) => {
            let cut = outlook.and_then(|answer| answer.as_ref().ok()).and_then(|outlook| smaller(&evidence, outlook));
            let text = match &cut {
                Some((plan, why_not)) => line(&evidence, plan, why_not, proposed["takes"].as_str()),
                None => line(&evidence, &wanted, &reason, proposed["takes"].as_str()),
            };
            say_once(turn, MISSION_CONTROL, &text, &[], "proposed")
        }
    }
}

/// The largest plan that fits, and why the wanted one does not.
fn smaller(evidence: &Evidence, outlook: &Value) -> Option<(Plan, String)> {
    let plan = Plan::from_json(evidence.stage, &outlook["largest_that_fits"], &evidence.families).ok()?;
    Some((plan, outlook["why_not"].as_str().unwrap_or("more does not fit").to_owned()))
}

/// How often a plan was proposed in this turn.
fn tries(turn: &TurnInput) -> usize {
    turn.exchanges.iter().filter(|exchange| exchange.call.tool == "propose_plan").count()
}

/// "**Loop 1 · train.** 80,000 samples from scratch, … About 3 min 10 s (2 min 32 s to 3 min 48 s). … "
fn line(evidence: &Evidence, plan: &Plan, reason: &str, takes: Option<&str>) -> String {
    let what = match plan {
        Plan::Generate(plan) => generate(plan),
        Plan::Train(plan) => train(plan),
        Plan::Evaluate(plan) => evaluate(plan),
        Plan::Feedback(plan) => feedback(plan),
    };
    let takes = match (plan, takes) {
        (Plan::Feedback(_), _) | (_, None) => String::new(),
        (_, Some(takes)) => format!(" {}", sentence(takes)),
    };
    format!("**Loop {} · {}.** {what}{takes} {}", evidence.loop_number, plan.stage(), sentence(reason))
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
