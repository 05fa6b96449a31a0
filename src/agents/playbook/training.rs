//! Training: the first closed-loop number as soon as there is one, and at the end the curve, the loss and the canaries.

use super::words::{duration, grouped, proportion};
use super::{FIRST_NUMBER_AT_MOST, TRAINING, calls, done, need, place, post, say_once, time_in_words};
use crate::agents::brain::{Step, TurnInput};
use crate::base::Proportion;
use serde_json::{Value, json};

/// Canaries listed at the end of a training.
const MOST_CANARIES: usize = 8;

/// A canary rollout was measured while the training runs.
pub(super) fn canary(turn: &TurnInput) -> Step {
    let evaluation = turn.mail.payload["canary"].clone();
    let figures = match need(turn, "read_evaluation", json!({ "evaluation": evaluation })) {
        Ok(figures) => figures,
        Err(step) => return step,
    };
    let Some(scenes) = proportion(&figures["scenes"]) else { return done("the canary tried no scene") };
    let samples = grouped(figures["samples_seen"].as_u64().unwrap_or(0));
    let first = figures["earlier_evaluations_of_mission"].as_u64() == Some(0);
    let text = if first {
        format!("**First closed-loop number**, after {samples} samples: {scenes}. {}", first_number(scenes))
    } else {
        format!("Canary after {samples} samples: {scenes}.")
    };
    say_once(turn, TRAINING, &text, &[], "the canary is told")
}

/// What a first number means.
fn first_number(scenes: Proportion) -> &'static str {
    if scenes.rate() <= FIRST_NUMBER_AT_MOST {
        "That is what a first number looks like: 0 to 40 % is expected. It is a starting point, not a verdict."
    } else {
        "A first number is usually between 0 and 40 %; this one is above."
    }
}

/// A training ended.
pub(super) fn finished(turn: &TurnInput, job: &Value) -> Step {
    if turn.called("post_message") {
        return done("the training is told and handed on");
    }
    if !turn.called("training_chart") {
        return calls(turn, vec![("training_chart", json!({ "job": job["job"] }))]);
    }
    let result = &job["result"];
    let mut wanted = vec![post(TRAINING, &text(job, result), &turn.made_by("training_chart"))];
    if job["loop"].is_i64() {
        let payload = json!({ "loop": job["loop"], "job": job["job"], "checkpoint": result["checkpoint"] });
        wanted.push(("hand_off", json!({ "to": "evaluation", "kind": "checkpoint_ready", "payload": payload })));
    }
    calls(turn, wanted)
}

fn text(job: &Value, result: &Value) -> String {
    let mut text = format!(
        "**{}: the training is done.** {} samples in {}",
        place(job),
        grouped(result["samples"].as_u64().unwrap_or(0)),
        duration(result["seconds"].as_f64().unwrap_or(0.0))
    );
    if let Some(rate) = result["samples_per_s"].as_f64() {
        text += &format!(" ({rate:.0} samples/s)");
    }
    if let Some(loss) = result["final_loss"].as_f64() {
        text += &format!(", final loss {loss:.4}");
    }
    text += ". The loss says nothing about driving; the rollouts decide.\n";
    text += &time_in_words(job);
    for canary in result["canaries"].as_array().into_iter().flatten().take(MOST_CANARIES) {
        if let Some(scenes) = proportion(&canary["scenes"]) {
            text += &format!("- canary at {}: {scenes}\n", grouped(canary["samples"].as_u64().unwrap_or(0)));
        }
    }
    text.trim_end().to_owned()
}
