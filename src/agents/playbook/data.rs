//! A generation ended: what was made, how good the expert was, and on to training.

use super::words::{bytes, duration, grouped, plain, proportion};
use super::{TRAINING, calls, done, place, post, time_in_words};
use crate::agents::brain::{Step, TurnInput};
use serde_json::{Value, json};

pub(super) fn finished(turn: &TurnInput, job: &Value) -> Step {
    if turn.called("post_message") {
        return done("the data is told and handed on");
    }
    let result = &job["result"];
    let mut wanted = vec![post(TRAINING, &text(job, result), &[])];
    if job["loop"].is_i64() {
        let payload = json!({ "loop": job["loop"], "job": job["job"], "dataset": result["dataset"] });
        wanted.push(("hand_off", json!({ "to": "training", "kind": "dataset_ready", "payload": payload })));
    }
    calls(turn, wanted)
}

fn text(job: &Value, result: &Value) -> String {
    let episodes = result["episodes"].as_u64().unwrap_or(0);
    let seconds = result["seconds"].as_f64().unwrap_or(0.0);
    let mut text = format!(
        "**{}: the data is stored.** {} episodes, {} frames, {} training samples in {}",
        place(job),
        grouped(episodes),
        grouped(result["frames"].as_u64().unwrap_or(0)),
        grouped(result["samples"].as_u64().unwrap_or(0)),
        duration(seconds)
    );
    if seconds > 0.0 {
        text += &format!(" ({:.1} episodes/s)", episodes as f64 / seconds);
    }
    if let Some(size) = result["bytes"].as_u64() {
        text += &format!(", {}", bytes(size));
    }
    text += ".\n";
    text += &time_in_words(job);
    if let Some(solved) = proportion(&result["expert_success"]) {
        text += &format!("Of its own episodes the expert solved {solved}.\n");
    }
    let strategies = by_strategy(&result["per_strategy"]);
    if !strategies.is_empty() {
        text += &format!("By strategy: {strategies}.\n");
    }
    text.trim_end().to_owned()
}

/// "expert 160, noise 240"; strategies that were not used are left out.
fn by_strategy(value: &Value) -> String {
    let Some(map) = value.as_object() else { return String::new() };
    let parts: Vec<_> = map
        .iter()
        .filter_map(|(name, count)| {
            let count = count.as_u64().or_else(|| count["episodes"].as_u64())?;
            (count > 0).then(|| format!("{} {}", plain(name), grouped(count)))
        })
        .collect();
    parts.join(", ")
}
