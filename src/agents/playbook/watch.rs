//! The watcher's rules: open the loop, report it, and say how the mission ended.

use super::decisions::next_episodes;
use super::words::{duration, percent, proportion, sentence};
use super::{MISSION_CONTROL, REPORTS, calls, done, need, say_once};
use crate::agents::brain::{Step, TurnInput};
use serde_json::{Value, json};

/// The loop moved.
pub(super) fn loop_event(turn: &TurnInput) -> Step {
    let card = match need(turn, "loop_status", json!({})) {
        Ok(card) => card,
        Err(step) => return step,
    };
    match turn.mail.payload["event"].as_str() {
        Some("opened") => {
            let text = opening(card, turn.mail.payload["number"].as_u64().unwrap_or(1));
            say_once(turn, MISSION_CONTROL, &text, &[], "the loop is opened")
        }
        Some("mission_ended") => {
            let text = ending(card, turn.mail.payload["ending"].as_str().unwrap_or_default());
            say_once(turn, MISSION_CONTROL, &text, &[], "the ending is told")
        }
        Some(_) | None => done("nothing to tell"),
    }
}

fn opening(card: &Value, number: u64) -> String {
    let mission = &card["mission"];
    let target = mission["target_success"].as_f64().unwrap_or(0.0);
    let mut text = format!(
        "**Loop {number} of {} begins.** Goal: {}. Target: {} of hidden scenes solved in closed loop. Preset `{}`.\n",
        mission["planned_loops"],
        mission["goal"].as_str().unwrap_or("not stated").trim_end_matches('.'),
        percent(target),
        mission["preset"].as_str().unwrap_or("unnamed"),
    );
    if number == 1 {
        text += "A first closed-loop number between 0 and 40 % is expected; what counts is how it moves.";
    } else {
        text += &standing(card);
    }
    text.trim_end().to_owned()
}

/// The champion and the last number, for the beginning of a later loop.
fn standing(card: &Value) -> String {
    let mut text = String::new();
    if let Some(last) = measured(card).last() {
        text += &format!("Last number: {} in loop {}. ", last.1, last.0);
    }
    match card["champion"]["checkpoint"].as_i64() {
        Some(checkpoint) => text += &format!("Champion: checkpoint {checkpoint}."),
        None => text += "No champion yet.",
    }
    text
}

/// `(loop number, success)` of every loop that was evaluated.
fn measured(card: &Value) -> Vec<(u64, crate::base::Proportion)> {
    let loops = card["loops"].as_array().into_iter().flatten();
    loops.filter_map(|one| Some((one["number"].as_u64()?, proportion(&one["scenes"])?))).collect()
}

fn ending(card: &Value, reason: &str) -> String {
    let mut text = format!("**The mission ended.** {}\n", sentence(reason));
    let measured = measured(card);
    if let (Some(first), Some(last)) = (measured.first(), measured.last()) {
        text += &if first.0 == last.0 {
            format!("Closed-loop success: {}.\n", last.1)
        } else {
            format!("Closed-loop success: loop {}: {}; loop {}: {}.\n", first.0, first.1, last.0, last.1)
        };
    } else {
        text += "No closed-loop number was measured.\n";
    }
    if let Some(path) = card["champion"]["path"].as_str() {
        text += &format!("Champion: `{path}`.\n");
    }
    text += &format!("Spent: {}.", card["dollars"].as_str().unwrap_or("not booked"));
    text
}

/// The gate has judged: the loop's report.
pub(super) fn report(turn: &TurnInput, job: &Value) -> Step {
    let card = match need(turn, "loop_status", json!({})) {
        Ok(card) => card,
        Err(step) => return step,
    };
    if !turn.called("success_chart") {
        return calls(turn, vec![("success_chart", json!({}))]);
    }
    let text = report_text(card, job);
    say_once(turn, REPORTS, &text, &turn.made_by("success_chart"), "the report is written")
}

fn report_text(card: &Value, job: &Value) -> String {
    let number = job["loop_number"].as_u64().unwrap_or(0);
    let empty = Value::Null;
    let this = card["loops"]
        .as_array()
        .and_then(|loops| loops.iter().find(|one| one["number"].as_u64() == Some(number)))
        .unwrap_or(&empty);
    let result = &job["result"];
    let mut text = format!("**Report: loop {number} of {}**\n", card["mission"]["planned_loops"]);
    match proportion(&this["scenes"]) {
        Some(scenes) => text += &format!("Closed-loop success: {scenes} of hidden scenes.\n"),
        None => text += "Closed-loop success: not measured.\n",
    }
    if let Some(bricks) = proportion(&this["bricks"]) {
        text += &format!("Bricks delivered: {bricks}.\n");
    }
    let verdict = if result["promoted"].as_bool() == Some(true) { "promoted" } else { "not promoted" };
    text += &format!("Gate: **{verdict}**. {}\n", sentence(result["reason"].as_str().unwrap_or_default()));
    if let Some(minutes) = this["first_number_minutes"].as_f64() {
        text += &format!("First closed-loop number after {}.\n", duration(minutes * 60.0));
    }
    if let Some(table) = card["table"].as_str() {
        text += &format!("```\n{table}```\n");
    }
    if result["target_met"].as_bool() == Some(true) {
        text += "The target is met.\n";
    } else if let Some(reason) = result["next"]["stop"].as_str() {
        text += &format!("The mission should end here: {}\n", sentence(reason));
    } else if let Some(episodes) = next_episodes(&result["next"]) {
        let last = Some(number) == card["mission"]["planned_loops"].as_u64();
        let when = if last { "This was the last planned loop. Another one would make" } else { "Next loop:" };
        text += &format!("{when} episodes with {episodes}.\n");
    }
    for (what, key) in [("Data", "dataset"), ("Checkpoint", "checkpoint")] {
        if let Some(path) = this[key].as_str() {
            text += &format!("{what}: `{path}`\n");
        }
    }
    text.trim_end().to_owned()
}
