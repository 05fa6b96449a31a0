//! An evaluation ended: success with its interval, the hardest families, how it fails, and two clips to look at.

use super::failures::title;
use super::words::{duration, grouped, plain, proportion};
use super::{FIRST_NUMBER_AT_MOST, ROLLOUTS, calls, done, need, place, post, time_in_words};
use crate::agents::brain::{Step, TurnInput};
use crate::base::Proportion;
use serde_json::{Value, json};

/// Families and failure classes named in a message; the rest is in the rows.
const MOST_NAMED: usize = 4;

pub(super) fn finished(turn: &TurnInput, job: &Value) -> Step {
    let evaluation = job["result"]["evaluation"].clone();
    let figures = match need(turn, "read_evaluation", json!({ "evaluation": evaluation })) {
        Ok(figures) => figures,
        Err(step) => return step,
    };
    if !turn.called("success_chart") {
        return calls(turn, vec![("success_chart", json!({}))]);
    }
    if turn.called("post_message") {
        return done("the evaluation is told and handed on");
    }
    let mut attach = turn.made_by("success_chart");
    attach.extend(clip(figures, true));
    attach.extend(clip(figures, false));
    let mut wanted = vec![post(ROLLOUTS, &text(job, figures), &attach)];
    if job["loop"].is_i64() {
        for to in ["domain-expert", "watcher"] {
            let payload = json!({ "loop": job["loop"], "job": job["job"], "evaluation": evaluation });
            wanted.push(("hand_off", json!({ "to": to, "kind": "evaluation_ready", "payload": payload })));
        }
    }
    calls(turn, wanted)
}

fn text(job: &Value, figures: &Value) -> String {
    let Some(scenes) = proportion(&figures["scenes"]) else {
        return format!("**{}: the evaluation ended** without a single scene.", place(job));
    };
    let mut text = format!("**{}: {scenes}** of hidden scenes solved in closed loop.\n", place(job));
    if let Some(bricks) = proportion(&figures["bricks"]) {
        text += &format!("Bricks delivered: {bricks}.");
    }
    if let Some(seconds) = job["result"]["seconds"].as_f64() {
        text += &format!(" Driven in {}.", duration(seconds));
    }
    text += "\n";
    text += &time_in_words(job);
    if figures["loop_number"].as_u64() == Some(1) {
        text += &format!("{}\n", first_evaluation(scenes));
    }
    if let Some(said) = figures["sweep"].as_str() {
        text += &format!("Executed steps: {said}.\n");
    }
    text += &hardest(figures);
    text += &how_it_fails(figures);
    text += &where_it_begins(figures);
    text.trim_end().to_owned()
}

/// What the first loop's number means.
fn first_evaluation(scenes: Proportion) -> &'static str {
    if scenes.rate() <= FIRST_NUMBER_AT_MOST {
        "For a first loop 0 to 40 % is expected; the next loop works on what failed here."
    } else {
        "For a first loop 0 to 40 % is expected; this is above."
    }
}

/// "Hardest: corner 0/10, brick at wall 1/10."
fn hardest(figures: &Value) -> String {
    let worst: Vec<_> = figures["families"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(|family| Some((family["family"].as_str()?, proportion(&family["solved"])?)))
        .filter(|(_, solved)| solved.successes < solved.trials)
        .take(MOST_NAMED)
        .map(|(name, solved)| format!("{} {}/{}", plain(name), solved.successes, solved.trials))
        .collect();
    if worst.is_empty() { String::new() } else { format!("Hardest: {}.\n", worst.join(", ")) }
}

/// "How it fails: stuck at a wall 31, missed the brick 22."
fn how_it_fails(figures: &Value) -> String {
    let classes: Vec<_> = figures["failures"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(|failure| Some((failure["class"].as_str()?, failure["count"].as_u64()?)))
        .take(MOST_NAMED)
        .map(|(class, count)| format!("{} {}", title(class), grouped(count)))
        .collect();
    if classes.is_empty() { String::new() } else { format!("How it fails: {}.\n", classes.join(", ")) }
}

/// "First goes wrong in: carry 12, scoop 9. For example scene 3: …"
fn where_it_begins(figures: &Value) -> String {
    let phases: Vec<_> = figures["first_deviations_by_phase"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(|phase| Some(format!("{} {}", phase[0].as_str()?, grouped(phase[1].as_u64()?))))
        .take(MOST_NAMED)
        .collect();
    if phases.is_empty() {
        return String::new();
    }
    let mut text = format!("First goes wrong in: {}.", phases.join(", "));
    let first = &figures["first_deviations"][0];
    if let (Some(scene), Some(what)) = (first["scene"].as_u64(), first["what"].as_str()) {
        text += &format!(" For example scene {scene}: {what}.");
    }
    text + "\n"
}

/// The first clip of a scene that was solved, or was not.
fn clip(figures: &Value, success: bool) -> Option<String> {
    let clips = figures["clips"].as_array()?;
    let clip = clips.iter().find(|clip| clip["success"].as_bool() == Some(success))?;
    clip["name"].as_str().map(str::to_owned)
}
