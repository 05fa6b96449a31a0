//! The domain expert's reading of an evaluation: what the most frequent failures look like at the machine, and what
//! data cures them.

use super::words::{grouped, percent, plain, proportion};
use super::{ROLLOUTS, need, say_once};
use crate::agents::brain::{Step, TurnInput};
use crate::rollout::FailureClass;
use serde_json::{Value, json};

/// Classes that are explained; the rest is counted.
const MOST_EXPLAINED: usize = 3;

/// What a class looks like at the machine, as its rule has it, and which episodes teach the missing move.
fn reading(class: FailureClass) -> (&'static str, &'static str) {
    match class {
        FailureClass::WallStuck => (
            "it stands against a wall and does not back away",
            "starts that face a wall, and the expert's labels on the policy's own way there",
        ),
        FailureClass::LiftStuck => (
            "it stands with the bucket half way: loaded below the rim, or empty and off the floor",
            "starts with the arm at every height, loaded and empty",
        ),
        FailureClass::MissedScoop => (
            "a brick lay within reach at the end and was not picked up",
            "short approaches with noise, where the expert corrects the last metre",
        ),
        FailureClass::LostBrick => (
            "a brick fell out away from the box and was left there",
            "the expert's labels from the moment after a drop",
        ),
        FailureClass::SearchSpin => {
            ("it drives about with hardly ever a brick in sight", "starts with the brick behind it or far to the side")
        }
        FailureClass::DumpMiss => (
            "it came to the box with a brick, and kept it or dropped it beside",
            "starts beside the box with a loaded bucket",
        ),
        FailureClass::BoxCollision => {
            ("it stands against the box and does not back away", "starts close to the box with the arm half up")
        }
        FailureClass::Stall => {
            ("it stands still on open ground, touching nothing", "the expert's labels on exactly those standing states")
        }
        FailureClass::OutOfTime => {
            ("it was still under way when the time was up", "more training on the same mix; it is slow, not lost")
        }
    }
}

fn known(class: &str) -> Option<FailureClass> {
    FailureClass::ALL.iter().copied().find(|known| known.as_str() == class)
}

/// A failure class in a few words for people.
pub(super) fn title(class: &str) -> String {
    known(class).map_or_else(|| plain(class), |known| known.title().to_owned())
}

/// Reads the evaluation that was handed over.
pub(super) fn read(turn: &TurnInput) -> Step {
    let evaluation = turn.mail.payload["payload"]["evaluation"].clone();
    let figures = match need(turn, "read_evaluation", json!({ "evaluation": evaluation })) {
        Ok(figures) => figures,
        Err(step) => return step,
    };
    say_once(turn, ROLLOUTS, &text(figures), &[], "the failures are read")
}

fn text(figures: &Value) -> String {
    let classes: Vec<(&str, u64)> = figures["failures"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(|failure| Some((failure["class"].as_str()?, failure["count"].as_u64()?)))
        .collect();
    let failed: u64 = classes.iter().map(|(_, count)| count).sum();
    if failed == 0 {
        return "**Reading the failures:** there are none. A harder mix is the next question.".to_owned();
    }
    let mut text = format!("**Reading the {} failures:**\n", grouped(failed));
    for (class, count) in classes.iter().take(MOST_EXPLAINED) {
        let share = percent(*count as f64 / failed as f64);
        text += &format!("- **{}** ({count}, {share})", title(class));
        if let Some((looks_like, cure)) = known(class).map(reading) {
            text += &format!(": {looks_like}. What should help: {cure}.");
        }
        text.push('\n');
    }
    let never = never_solved(figures);
    if !never.is_empty() {
        text += &format!("Never solved: {}.", never.join(", "));
    }
    text.trim_end().to_owned()
}

fn never_solved(figures: &Value) -> Vec<String> {
    figures["families"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(|family| Some((family["family"].as_str()?, proportion(&family["solved"])?)))
        .filter(|(_, solved)| solved.successes == 0)
        .map(|(name, solved)| format!("{} (0/{})", plain(name), solved.trials))
        .collect()
}
