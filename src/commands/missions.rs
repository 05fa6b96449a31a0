//! `/status`, `/loop …`: where the mission stands, and starting, pausing, resuming, stopping it.

use super::{Asker, CommandError, Commands, Reply, words};
use crate::base::{Proportion, Seed};
use crate::cycle::control::{self, MissionOrder};
use crate::cycle::preset::LoopPreset;
use crate::cycle::summary::{LoopSummary, MissionSummary, duration, grouped, mission_summary};
use crate::cycle::terms::Terms;
use crate::cycle::throughput::{outcomes, samples_used};
use crate::store::MissionRow;

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
    /// Deadline, budgets and approvals.
    pub terms: Terms,
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
        text += &self.limits(mission).await?;
        match summary.loops.last() {
            Some(newest) => text += &format!("{}{}", card(newest), self.forecast_line(newest).await?),
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
        let text = format!("{}{}", card(newest), self.forecast_line(newest).await?);
        Ok(Reply::open(text.trim_end()))
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
            terms: self.defaults.terms.clone(),
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

    /// "Train should take about 3 min 40 s (2 min 56 s to 4 min 24 s)." for the stage that runs.
    async fn forecast_line(&self, newest: &LoopSummary) -> Result<String, CommandError> {
        let times = outcomes(&self.store, newest.id).await?;
        let running = times.iter().find(|time| Some(time.stage) == newest.stage && time.fact_s.is_none());
        Ok(running.and_then(|time| time.forecast.as_ref()).map_or(String::new(), |forecast| {
            format!(
                "The {} stage should take about {} in all ({} to {}).\n",
                forecast.stage,
                duration(forecast.seconds),
                duration(forecast.low_s),
                duration(forecast.high_s)
            )
        }))
    }

    /// What is left of the mission's limits.
    async fn limits(&self, mission: &MissionRow) -> Result<String, CommandError> {
        let terms = Terms::of(&mission.terms);
        let mut parts = Vec::new();
        if let Some(left) = terms.seconds_left(mission.created_at, mission.ended_at.unwrap_or_else(|| self.now())) {
            parts.push(format!("{} of its time", duration(left)));
        }
        if let Some(budget) = terms.budget_samples {
            let left = budget.saturating_sub(samples_used(&self.store, mission).await?);
            parts.push(format!("{} of {} training samples", grouped(left), grouped(budget)));
        }
        if let Some(budget) = terms.budget_dollars {
            parts.push(format!("what is unspent of ${budget:.2}"));
        }
        Ok(if parts.is_empty() { String::new() } else { format!("Left: {}.\n", parts.join(", ")) })
    }

    /// What a start without arguments would do.
    pub(super) fn plan_of_defaults(&self) -> String {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bar_is_always_as_wide() {
        for progress in [-1.0, 0.0, 0.5, 1.0, 7.0] {
            assert_eq!(bar(progress).chars().count(), BAR_CELLS);
        }
        assert!(bar(0.5).starts_with(&"█".repeat(10)));
    }
}
