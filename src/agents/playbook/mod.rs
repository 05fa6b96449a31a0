//! The playbook brain: rules for every kind of mail. The embedded default, and every model's deputy.
//!
//! Each rule is a pure function of the turn so far. It asks for what is missing, and once nothing is missing it says
//! what there is to say; so a rule reads from top to bottom like a recipe, and a turn that is repeated after a crash
//! takes the same steps. Every figure it writes comes from a tool's result in the same turn.

mod answers;
mod data;
mod decisions;
mod failures;
mod rollouts;
mod training;
mod watch;
mod words;

use super::brain::{Brain, BrainError, Step, ToolCall, TurnInput};
use crate::base::Persona;
use crate::store::MailKind;
use async_trait::async_trait;
use serde_json::{Value, json};

/// Where plans, loops and faults are told.
const MISSION_CONTROL: &str = "mission-control";
/// Where data and training are told.
const TRAINING: &str = "training";
/// Where evaluations are told.
const ROLLOUTS: &str = "rollouts";
/// Where loops are reported.
const REPORTS: &str = "reports";

/// A first closed-loop number up to this share is what experience leads one to expect, and is announced as such.
const FIRST_NUMBER_AT_MOST: f64 = 0.4;

/// Rules, not a language model.
#[derive(Debug, Clone, Copy, Default)]
pub struct PlaybookBrain;

#[async_trait]
impl Brain for PlaybookBrain {
    fn kind(&self) -> &str {
        "playbook"
    }

    fn model(&self) -> &str {
        ""
    }

    fn reads_context(&self) -> bool {
        false
    }

    async fn think(&self, turn: &TurnInput) -> Result<Step, BrainError> {
        Ok(step(turn))
    }
}

/// The next step by the rules.
fn step(turn: &TurnInput) -> Step {
    match turn.mail.kind {
        MailKind::DecisionAsked => decisions::step(turn),
        MailKind::JobEvent => job_event(turn),
        MailKind::Handoff => handoff(turn),
        MailKind::LoopEvent => watch::loop_event(turn),
        MailKind::Message => answers::step(turn),
        MailKind::Order => done("awake; nothing waits"),
    }
}

/// A job of this agent's ended, or a canary of its training was measured.
fn job_event(turn: &TurnInput) -> Step {
    let payload = &turn.mail.payload;
    if payload["canary"].is_i64() {
        return training::canary(turn);
    }
    let Some(job) = payload["job"].as_i64() else { return done("the mail names no job") };
    let job = match need(turn, "read_job", json!({ "job": job })) {
        Ok(job) => job,
        Err(step) => return step,
    };
    match (job["state"].as_str(), job["kind"].as_str()) {
        (Some("failed"), _) => failed(turn, job),
        (Some("cancelled"), _) => done("the job was cancelled; whoever did so has said why"),
        (Some("succeeded"), Some("generate")) => data::finished(turn, job),
        (Some("succeeded"), Some("train")) => training::finished(turn, job),
        (Some("succeeded"), Some("evaluate")) => rollouts::finished(turn, job),
        (Some("succeeded"), Some("feedback")) => watch::report(turn, job),
        (_, _) => done("the job goes on"),
    }
}

fn failed(turn: &TurnInput, job: &Value) -> Step {
    let error = job["error"].as_str().unwrap_or("no reason was stored");
    let attempts = job["attempts"].as_u64().unwrap_or(1);
    let tries = if attempts == 1 { "1 attempt".to_owned() } else { format!("{attempts} attempts") };
    let text = format!(
        "**{}: {} failed** after {tries} (job {}).\nReason: {}\nWhat was stored before it stays.",
        place(job),
        job["kind"].as_str().unwrap_or("the job"),
        job["job"],
        words::sentence(error)
    );
    say_once(turn, MISSION_CONTROL, &text, &[], "the failure is told")
}

/// A colleague handed something over. The loop asks for decisions by itself, so only the reading of failures is work.
fn handoff(turn: &TurnInput) -> Step {
    match (turn.persona, turn.mail.payload["kind"].as_str()) {
        (Persona::DomainExpert, Some("evaluation_ready")) => failures::read(turn),
        (_, _) => done("taken note"),
    }
}

/// `Loop 2`, or `Job 7` for work outside the loop.
fn place(job: &Value) -> String {
    match job["loop_number"].as_u64() {
        Some(number) => format!("Loop {number}"),
        None => format!("Job {}", job["job"]),
    }
}

/// How the forecast compares with what the job took, and how it was cut when it was.
fn time_in_words(job: &Value) -> String {
    let mut text = String::new();
    let cut = &job["result"]["cut"];
    if let Some(limit) = cut["limit"].as_str() {
        text += &format!(
            "**Cut at its deadline of {limit}:** {} of {} {} were done; what was complete is kept.\n",
            words::grouped(cut["done"].as_u64().unwrap_or(0)),
            words::grouped(cut["asked"].as_u64().unwrap_or(0)),
            cut["unit"].as_str().unwrap_or("units"),
        );
    }
    if let Some(time) = job["forecast"]["in_words"].as_str() {
        text += &format!("{time}\n");
    }
    text
}

/// The result of `tool`, or the step that gets it, or the end of the turn when it cannot be had.
fn need<'a>(turn: &'a TurnInput, tool: &str, arguments: Value) -> Result<&'a Value, Step> {
    match turn.answer(tool) {
        Some(Ok(value)) => Ok(value),
        Some(Err(why)) => Err(done(why)),
        None => Err(calls(turn, vec![(tool, arguments)])),
    }
}

/// Posts `text` unless that was done in this turn, and then ends it with `note`.
fn say_once(turn: &TurnInput, channel: &str, text: &str, attach: &[String], note: &str) -> Step {
    match turn.answer("post_message") {
        None => calls(turn, vec![post(channel, text, attach)]),
        Some(Ok(_)) => done(note),
        Some(Err(why)) => done(why),
    }
}

/// A call of `post_message`.
fn post(channel: &str, text: &str, attach: &[String]) -> (&'static str, Value) {
    ("post_message", json!({ "channel": channel, "text": text, "attach": attach }))
}

/// A step that calls these tools in this order.
fn calls(turn: &TurnInput, wanted: Vec<(&str, Value)>) -> Step {
    let first = turn.exchanges.len();
    Step::Calls(
        wanted
            .into_iter()
            .enumerate()
            .map(|(i, (tool, arguments))| ToolCall {
                id: format!("call-{}", first + i + 1),
                tool: tool.to_owned(),
                arguments,
            })
            .collect(),
    )
}

fn done(note: &str) -> Step {
    Step::Done(note.to_owned())
}
