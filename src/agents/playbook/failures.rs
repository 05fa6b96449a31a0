//! The domain expert's reading of an evaluation: what the most frequent failures look like at the machine, and what
//! data cures them.

use super::words::{grouped, percent, plain, proportion};
use super::{ROLLOUTS, need, say_once};
use crate::agents::brain::{Step, TurnInput};
use serde_json::{Value, json};

/// Classes that are explained; the rest is counted.
const MOST_EXPLAINED: usize = 3;

/// What a failure class means to somebody who knows wheel loaders.
struct Reading {
    class: &'static str,
    title: &'static str,
    looks_like: &'static str,
    cure: &'static str,
}

/// One per class that the rollouts can name.
const READINGS: [Reading; 9] = [
    Reading {
        class: "wall_stuck",
        title: "stuck at a wall",
        looks_like: "the loader drove up to a wall and kept the throttle on; it never learned to back away",
        cure: "starts that face a wall, and the expert's labels on the policy's own way there",
    },
    Reading {
        class: "lift_stuck",
        title: "stuck lifting",
        looks_like: "it stands with the bucket half way up and waits, because that state is rare in the expert's data",
        cure: "starts with the arm at every height, loaded and empty",
    },
    Reading {
        class: "missed_scoop",
        title: "missed the brick",
        looks_like: "it comes close, but lowers or curls beside the brick",
        cure: "short approaches with noise, where the expert corrects the last metre",
    },
    Reading {
        class: "lost_brick",
        title: "lost the brick",
        looks_like: "the brick falls out on the way and nobody goes back for it",
        cure: "the expert's labels from the moment after a drop",
    },
    Reading {
        class: "search_spin",
        title: "searched in vain",
        looks_like: "it turns without ever bringing the brick into view",
        cure: "starts with the brick behind or far to the side",
    },
    Reading {
        class: "dump_miss",
        title: "missed the box",
        looks_like: "it carries the brick to the box and tips too early, too low, or not at all",
        cure: "starts beside the box with a loaded bucket",
    },
    Reading {
        class: "box_collision",
        title: "stuck at the box",
        looks_like: "it runs into the box with the arm too low and presses on",
        cure: "starts close to the box with the arm half up",
    },
    Reading {
        class: "stall",
        title: "stood still",
        looks_like: "it stops on open ground; the predicted chunks say to do nothing",
        cure: "the expert's labels on exactly those standing states",
    },
    Reading {
        class: "out_of_time",
        title: "ran out of time",
        looks_like: "it was still working when the clock ran out: slow, not lost",
        cure: "nothing special; more training on the same mix usually makes it faster",
    },
];

/// A failure class in a few words for people.
pub(super) fn title(class: &str) -> String {
    READINGS
        .iter()
        .find(|reading| reading.class == class)
        .map_or_else(|| plain(class), |reading| reading.title.to_owned())
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
        match READINGS.iter().find(|reading| reading.class == *class) {
            Some(reading) => {
                text += &format!(
                    "- **{}** ({count}, {share}): {}. What helps: {}.\n",
                    reading.title, reading.looks_like, reading.cure
                );
            }
            None => text += &format!("- **{}** ({count}, {share})\n", plain(class)),
        }
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
