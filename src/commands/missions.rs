//! `/status`, `/loop …`: where the mission stands, and starting, pausing, resuming, stopping it.

use super::{Asker, CommandError, Commands, Reply, words};
use crate::base::{MissionState, Proportion, Seed, Stage};
use crate::cycle::control::{self, MissionOrder};
use crate::cycle::preset::LoopPreset;
use crate::cycle::summary::{LoopSummary, MissionSummary, grouped, mission_summary};
use crate::store::DecisionRow;
use serde_json::Value;

/// What a mission is when the person who starts it leaves things out.
#[derive(Debug, Clone, PartialEq)]
pub struct MissionDefaults {
    /// The preset's name.
    pub preset: String,
    /// The goal in words.
    pub goal: String,
    /// Loops to run.
    pub loops: u32,
    /// The share of hidden scenes solved at which the mission is met, in (0, 1].
    pub target_success: f64,
    /// Where all randomness begins.
    pub seed: Seed,
}

/// Said wherever there is no mission to speak of.
pub(super) const NO_MISSION: &str = "No mission yet: `/loop start` begins one.";
/// Cells of a progress bar.
const BAR_CELLS: usize = 20;
/// Failure classes that are named in one line.
const MOST_CLASSES: usize = 3;

impl Commands {
    /// The newest mission in figures.
    pub(super) async fn mission(&self) -> Result<Option<MissionSummary>, CommandError> {
        let Some(mission) = self.store.latest_mission().await? else { return Ok(None) };
        Ok(mission_summary(&self.store, mission.id, self.now()).await?)
    }

    pub(super) async fn status(&self) -> Result<Reply, CommandError> {
        let Some(summary) = self.mission().await? else { return Ok(Reply::open(NO_MISSION)) };
        let mission = &summary.mission;
        let mut text = format!(
            "**Mission {}, {}**: {} Preset {}, {} of {} loops done, target {:.0} %.\n",
            mission.id,
            mission.state,
            words::sentence(&mission.goal),
            words::plain(&mission.preset),
            summary.loops.iter().filter(|one| one.ending.is_some()).count(),
            mission.planned_loops,
            100.0 * mission.target_success,
        );
        if let Some(ending) = &mission.ending {
            text += &format!("Ended: {ending}.\n");
        }
        match summary.loops.last() {
            Some(newest) => text += &card(newest),
            None => text += "The first loop opens in a moment.\n",
        }
        let measured = summary.loops.iter().filter_map(|one| Some((one.number, one.scenes?)));
        if let Some((number, best)) = measured.max_by(|a, b| a.1.rate().total_cmp(&b.1.rate())) {
            text += &format!("Best so far: loop {number} with {best}.\n");
        }
        text += &format!("Model calls of this mission: {}.", summary.spent);
        Ok(Reply::open(text))
    }

    pub(super) async fn loop_status(&self) -> Result<Reply, CommandError> {
        let Some(summary) = self.mission().await? else { return Ok(Reply::open(NO_MISSION)) };
        let Some(newest) = summary.loops.last() else {
            return Ok(Reply::open("The first loop opens in a moment."));
        };
        Ok(Reply::open(card(newest).trim_end()))
    }

    pub(super) async fn start(
        &self,
        asker: &Asker,
        preset: Option<String>,
        loops: Option<u32>,
        seed: Option<Seed>,
    ) -> Result<Reply, CommandError> {
        let preset_name = preset.unwrap_or_else(|| self.defaults.preset.clone());
        let order = MissionOrder {
            preset: self.preset(&preset_name)?.clone(),
            preset_name,
            goal: self.defaults.goal.clone(),
            loops: loops.unwrap_or(self.defaults.loops),
            target_success: self.defaults.target_success,
            seed: seed.unwrap_or(self.defaults.seed),
        };
        let mission = control::start(&self.store, &order, self.now()).await?;
        tracing::info!(%mission, by = asker.id, front = asker.front, "mission started");
        Ok(Reply::open(format!(
            "Mission {mission} starts: preset {}, {} {}, target {:.0} %, seed {}. The Watcher says in #mission-control \
             what comes next.",
            order.preset_name,
            order.loops,
            if order.loops == 1 { "loop" } else { "loops" },
            100.0 * order.target_success,
            order.seed.0,
        )))
    }

    fn preset(&self, name: &str) -> Result<&LoopPreset, CommandError> {
        self.presets.get(name).ok_or_else(|| {
            let known: Vec<&str> = self.presets.keys().map(String::as_str).collect();
            let near = words::nearest(name, known.iter().copied())
                .map_or(String::new(), |nearest| format!(" did you mean `{nearest}`?"));
            CommandError::Refused(format!(
                "there is no preset \"{}\";{near} Known are: {}",
                words::plain(name),
                known.join(", ")
            ))
        })
    }

    pub(super) async fn pause(&self, asker: &Asker) -> Result<Reply, CommandError> {
        control::pause(&self.store, &words::plain(&asker.name), self.now()).await?;
        Ok(Reply::open("Paused. The running job ends; nothing new starts until `/loop resume`."))
    }

    pub(super) async fn resume(&self, asker: &Asker) -> Result<Reply, CommandError> {
        control::resume(&self.store, &words::plain(&asker.name), self.now()).await?;
        Ok(Reply::open("Resumed."))
    }

    pub(super) async fn stop(&self, asker: &Asker) -> Result<Reply, CommandError> {
        control::stop(&self.store, &words::plain(&asker.name), self.now()).await?;
        Ok(Reply::open("Stopped. Everything made so far is kept; `/report` shows it."))
    }

    pub(super) async fn plan(&self) -> Result<Reply, CommandError> {
        let Some(summary) = self.mission().await? else {
            return Ok(Reply::open(self.plan_of_defaults()));
        };
        let Some(newest) = summary.loops.last() else {
            return Ok(Reply::open("The first loop opens in a moment; nothing is decided yet."));
        };
        let mut text = format!("**Loop {}, what was decided**\n", newest.number);
        for stage in Stage::ALL {
            let decision = self.store.decision_for(newest.id, *stage).await?;
            text += &decision_line(*stage, decision.as_ref());
        }
        if summary.mission.state == MissionState::Paused {
            text += "The mission is paused; `/loop resume` goes on.\n";
        }
        Ok(Reply::open(text.trim_end()))
    }

    /// What a start without arguments would do.
    fn plan_of_defaults(&self) -> String {
        let Some(preset) = self.presets.get(&self.defaults.preset) else { return NO_MISSION.to_owned() };
        format!(
            "{NO_MISSION} With preset {} it makes {} episodes, trains on {} samples and judges the policy on {} hidden \
             scenes, {} times over or until {:.0} % are solved.",
            self.defaults.preset,
            grouped(u64::from(preset.generate.first_episodes)),
            grouped(preset.train.first_samples),
            preset.evaluate.scenes,
            self.defaults.loops,
            100.0 * self.defaults.target_success,
        )
    }
}

/// A loop's state in a few lines.
fn card(one: &LoopSummary) -> String {
    let mut text = match (one.stage, one.progress) {
        (Some(stage), Some(progress)) => {
            let left = one.eta_s.map_or(String::new(), |eta| format!(", about {} left", words::seconds(eta)));
            format!(
                "**Loop {}, {stage}** `{}` {:.0} %{left}\n{}\n",
                one.number,
                bar(progress),
                100.0 * progress,
                one.doing
            )
        }
        (Some(stage), None) => format!("**Loop {}, {stage}**: {}\n", one.number, one.doing),
        (None, _) => format!("**Loop {}** {}\n", one.number, one.doing),
    };
    match (one.scenes, one.canary) {
        (Some(scenes), _) => text += &format!("Hidden scenes solved: {scenes}.\n"),
        (None, Some(canary)) => text += &format!("Newest canary rollouts: {canary}.\n"),
        (None, None) => text += "Success in closed loop: not measured yet.\n",
    }
    if !one.failures.is_empty() {
        text += &format!("Fails most by {}.\n", classes(&one.failures));
    }
    if !one.gate_reason.is_empty() {
        text += &format!("Gate: {}.\n", one.gate_reason.trim_end_matches('.'));
    }
    text
}

/// "wall_stuck (21), brick_lost (9)"
pub(super) fn classes(failures: &[(String, u32)]) -> String {
    let named: Vec<String> =
        failures.iter().take(MOST_CLASSES).map(|(class, count)| format!("{class} ({count})")).collect();
    named.join(", ")
}

/// The rate without its interval, for narrow tables; a dash when nothing was tried.
pub(super) fn short(share: Option<Proportion>) -> String {
    share.filter(|s| s.trials > 0).map_or("–".to_owned(), |s| format!("{:.1} %", 100.0 * s.rate()))
}

fn bar(progress: f64) -> String {
    let full = (progress.clamp(0.0, 1.0) * BAR_CELLS as f64).round() as usize;
    format!("{}{}", "█".repeat(full), "░".repeat(BAR_CELLS - full))
}

fn decision_line(stage: Stage, decision: Option<&DecisionRow>) -> String {
    let Some(decision) = decision else { return format!("- {stage}: not asked yet ({} decides)\n", stage.owner()) };
    match (&decision.plan, &decision.refusal) {
        (Some(plan), _) => {
            let by = decision.decided_by.as_deref().unwrap_or("unknown");
            format!("- {stage}, by {by}: {}\n", plan_in_words(plan))
        }
        (None, Some(refusal)) => {
            format!("- {stage}: {} decides; its last proposal was refused: {refusal}\n", decision.persona)
        }
        (None, None) => format!("- {stage}: {} decides now\n", decision.persona),
    }
}

/// A plan's fields as "episodes 400, dagger share 0.7". Maps are told by their size: they can be long.
fn plan_in_words(plan: &Value) -> String {
    let Some(fields) = plan.as_object() else { return plan.to_string() };
    let parts: Vec<String> = fields
        .iter()
        .filter(|(_, value)| !value.is_null())
        .map(|(name, value)| {
            let name = name.replace('_', " ");
            match value {
                Value::Object(map) if map.is_empty() => format!("{name} all alike"),
                Value::Object(map) => format!("{name} weighted ({})", map.len()),
                Value::Number(number) => {
                    format!("{name} {}", number.as_u64().map_or_else(|| number.to_string(), grouped))
                }
                Value::String(text) => format!("{name} {text}"),
                Value::Null | Value::Bool(_) | Value::Array(_) => format!("{name} {value}"),
            }
        })
        .collect();
    parts.join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_bar_is_always_as_wide() {
        for progress in [-1.0, 0.0, 0.5, 1.0, 7.0] {
            assert_eq!(bar(progress).chars().count(), BAR_CELLS);
        }
        assert!(bar(0.5).starts_with(&"█".repeat(10)));
    }

    #[test]
    fn a_plan_reads_as_words() {
        let plan = json!({"episodes": 4000, "families": {"corner": 1.0, "open": 0.4}, "stop": null, "start": "latest"});
        assert_eq!(plan_in_words(&plan), "episodes 4,000, families weighted (2), start latest");
    }
}
