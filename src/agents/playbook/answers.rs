//! A person asked. The playbook says what it is, and then what the rows say: where the loop stands, and the agent's own
//! area; money or the team's health when the question is about that.

use super::words::{counted, duration, grouped, plain, proportion};
use super::{MISSION_CONTROL, calls, need, say_once};
use crate::agents::brain::{Step, TurnInput};
use crate::base::Persona;
use serde_json::{Value, json};

/// What a question is about, by the words in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Topic {
    Money,
    Team,
    Work,
}

fn topic(question: &str) -> Topic {
    let words: Vec<String> =
        question.split(|c: char| !c.is_alphanumeric() && c != '$').map(str::to_lowercase).collect();
    let any = |list: &[&str]| words.iter().any(|word| list.contains(&word.as_str()));
    if any(&["cost", "costs", "spend", "spent", "budget", "dollar", "dollars", "money", "$", "price"]) {
        Topic::Money
    } else if any(&["alive", "silent", "agents", "team", "stuck", "hanging", "awake", "asleep"]) {
        Topic::Team
    } else {
        Topic::Work
    }
}

pub(super) fn step(turn: &TurnInput) -> Step {
    let payload = &turn.mail.payload;
    let question = payload["question"].as_str().unwrap_or_default();
    let channel = payload["reply_channel"].as_str().unwrap_or(MISSION_CONTROL);
    let body = match topic(question) {
        Topic::Money => need(turn, "cost_summary", json!({})).map(money),
        Topic::Team => need(turn, "agent_ages", json!({})).map(team),
        Topic::Work => work(turn),
    };
    match body {
        Ok(body) => {
            let text = format!(
                "{}I am the playbook: rules, not a language model, so I answer from what is stored.\n{body}",
                greeting(payload)
            );
            say_once(turn, channel, &text, &[], "answered")
        }
        Err(step) => step,
    }
}

fn greeting(payload: &Value) -> String {
    let name = payload["asker"].as_str().or_else(|| payload["asker"]["name"].as_str());
    name.map_or_else(String::new, |name| format!("{}: ", name.replace(['@', '*', '`', '<', '>'], "")))
}

fn money(costs: &Value) -> String {
    let mut text = format!(
        "Booked in the last {} hours: {}.",
        costs["hours"],
        costs["total_dollars"].as_str().unwrap_or("nothing")
    );
    for one in costs["agents"].as_array().into_iter().flatten() {
        text += &format!(
            "\n- {}: {}, {} tokens in, {} out, {}",
            one["agent"].as_str().unwrap_or("?"),
            counted(one["calls"].as_u64().unwrap_or(0), "booking"),
            grouped(one["input_tokens"].as_u64().unwrap_or(0)),
            grouped(one["output_tokens"].as_u64().unwrap_or(0)),
            one["dollars"].as_str().unwrap_or("?"),
        );
    }
    text
}

fn team(ages: &Value) -> String {
    let mut text = "Each agent's last progress:".to_owned();
    for one in ages["agents"].as_array().into_iter().flatten() {
        let doing = one["doing"].as_str().unwrap_or_default();
        text += &format!(
            "\n- {}: {} ago, {}{}",
            one["agent"].as_str().unwrap_or("?"),
            duration(one["progress_age_s"].as_f64().unwrap_or(0.0)),
            plain(one["activity"].as_str().unwrap_or("?")),
            if doing.is_empty() { String::new() } else { format!(" ({doing})") },
        );
    }
    text
}

fn work(turn: &TurnInput) -> Result<String, Step> {
    let card = need(turn, "loop_status", json!({}))?;
    if card["mission"].is_null() {
        return Ok("No mission has been started yet; `/loop start` begins one.".to_owned());
    }
    let mut text = status(card);
    match turn.persona {
        Persona::Evaluation | Persona::DomainExpert => match turn.answer("read_evaluation") {
            None => return Err(calls(turn, vec![("read_evaluation", json!({}))])),
            Some(Ok(figures)) => text += &evaluation(figures),
            Some(Err(_)) => text += "\nNothing has been evaluated yet.",
        },
        Persona::Training => text += &trainings(card),
        Persona::Developer => text += &data(card),
        Persona::Watcher => text += &results(card),
    }
    Ok(text)
}

fn status(card: &Value) -> String {
    let mission = &card["mission"];
    let mut text = match mission["ending"].as_str() {
        Some(ending) => format!("The mission is {}: {ending}.", mission["state"].as_str().unwrap_or("over")),
        None => format!("The mission is {}.", mission["state"].as_str().unwrap_or("running")),
    };
    if let Some(now) = card["loops"].as_array().and_then(|loops| loops.last())
        && now["ending"].is_null()
    {
        text += &format!(
            " Loop {} of {}: {}",
            now["number"],
            mission["planned_loops"],
            now["doing"].as_str().unwrap_or("starting")
        );
        if let Some(left) = now["eta_s"].as_f64() {
            text += &format!(", about {} left", duration(left));
        }
        text += ".";
    }
    text
}

fn evaluation(figures: &Value) -> String {
    let Some(scenes) = proportion(&figures["scenes"]) else { return String::new() };
    let what = if figures["kind"].as_str() == Some("canary") { "canary" } else { "evaluation" };
    let of = figures["loop_number"].as_u64().map_or_else(String::new, |number| format!(" of loop {number}"));
    let mut text = format!("\nNewest {what}{of}: {scenes} of scenes solved.");
    let failures: Vec<_> = figures["failures"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(|one| Some(format!("{} {}", super::failures::title(one["class"].as_str()?), one["count"])))
        .take(3)
        .collect();
    if !failures.is_empty() {
        text += &format!(" Most frequent failures: {}.", failures.join(", "));
    }
    text
}

fn trainings(card: &Value) -> String {
    each_loop(card, |one| {
        let samples = one["samples"].as_u64().filter(|samples| *samples > 0)?;
        let canary = proportion(&one["canary"]).map_or_else(String::new, |p| format!(", newest canary {p}"));
        Some(format!("{} samples trained{canary}", grouped(samples)))
    })
}

fn data(card: &Value) -> String {
    each_loop(card, |one| {
        let episodes = one["episodes"].as_u64().filter(|episodes| *episodes > 0)?;
        Some(format!("{} episodes, in `{}`", grouped(episodes), one["dataset"].as_str().unwrap_or("?")))
    })
}

fn results(card: &Value) -> String {
    each_loop(card, |one| {
        let scenes = proportion(&one["scenes"])?;
        let gate = match one["promoted"].as_bool() {
            Some(true) => ", promoted",
            Some(false) => ", not promoted",
            None => "",
        };
        Some(format!("{scenes}{gate}"))
    })
}

fn each_loop(card: &Value, line: impl Fn(&Value) -> Option<String>) -> String {
    let loops = card["loops"].as_array().into_iter().flatten();
    loops.filter_map(|one| Some(format!("\n- Loop {}: {}", one["number"], line(one)?))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn questions_are_sorted_by_their_words() {
        assert_eq!(topic("What did the night cost?"), Topic::Money);
        assert_eq!(topic("is anybody silent"), Topic::Team);
        assert_eq!(topic("how good is it"), Topic::Work);
        assert_eq!(topic("Why is it steaming ahead?"), Topic::Work, "a word inside another word is not that word");
    }
}
