//! `report`, `cost`, `watchdog` and the status line: reads rows beside a running team and shows them.

use super::cli::{ReportArgs, WatchdogArgs, say};
use super::{Ending, data_dir};
use crate::base::{Clock, MissionId, Proportion, SystemClock, Timestamp};
use crate::config::Config;
use crate::cycle::summary::{LoopSummary, MissionSummary, duration, mission_summary};
use crate::cycle::throughput::outcomes;
use crate::report::{
    FailureCount, FailurePoint, LoopLine, RunReport, StageTimeLine, SuccessPoint, failure_chart, heat_map, loops_table,
    run_report_markdown, success_chart, times_chart,
};
use crate::store::Store;
use crate::watchdog;
use anyhow::Context;
use std::path::Path;
use std::sync::Arc;

pub async fn report(data: &Path, args: &ReportArgs) -> anyhow::Result<Ending> {
    let store = data_dir::open_store(data).await?;
    let now = SystemClock.now();
    let mission = match args.mission {
        Some(number) => MissionId(number),
        None => match store.latest_mission().await? {
            Some(mission) => mission.id,
            None => {
                say("No mission has run here yet; start one with `ralphton up`.");
                return Ok(Ending::Done);
            }
        },
    };
    match &args.out {
        None => say(&report_text(&store, mission, now).await?),
        Some(out) => {
            write_report(&store, mission, now, out).await?;
            say(&format!("report: {}", out.join("report.md").display()));
        }
    }
    store.close().await;
    Ok(Ending::Done)
}

async fn summary_of(store: &Store, mission: MissionId, now: Timestamp) -> anyhow::Result<MissionSummary> {
    mission_summary(store, mission, now)
        .await?
        .with_context(|| format!("there is no mission {mission} here; `ralphton report` shows the newest"))
}

/// The table of loops and where their artefacts lie.
///
/// # Errors
/// When the store fails or there is no such mission.
pub async fn report_text(store: &Store, mission: MissionId, now: Timestamp) -> anyhow::Result<String> {
    let summary = summary_of(store, mission, now).await?;
    let lines: Vec<LoopLine> = summary.loops.iter().map(line_of).collect();
    let mut text = format!("\n{}\n", loops_table(&lines));
    for row in &summary.loops {
        if let Some(scenes) = row.scenes {
            text.push_str(&format!("\nLoop {}: scenes solved {scenes}", row.number));
        }
        if let Some(bricks) = row.bricks {
            text.push_str(&format!("\n        bricks delivered {bricks}"));
        }
        if !row.gate_reason.is_empty() {
            text.push_str(&format!("\n        gate: {}", row.gate_reason));
        }
        for time in outcomes(store, row.id).await? {
            if let Some(words) = time.in_words() {
                text.push_str(&format!("\n        {}: {}", time.stage, words.to_lowercase().trim_end_matches('.')));
            }
        }
        for (what, path) in [("dataset", &row.dataset), ("checkpoint", &row.checkpoint)] {
            if let Some(path) = path {
                text.push_str(&format!("\n        {what}: {path}"));
            }
        }
    }
    if let Some(champion) = &summary.champion {
        text.push_str(&format!("\nChampion: {}\n", champion.path));
    }
    Ok(text)
}

fn line_of(row: &LoopSummary) -> LoopLine {
    LoopLine {
        number: row.number,
        episodes: row.episodes,
        samples: row.samples,
        minutes: row.minutes,
        success_per_scene: row.scenes.unwrap_or_default(),
        success_per_brick: row.bricks.unwrap_or_default(),
        failures: counts(&row.failures),
        spent: row.spent.saturating_add(row.machine),
        promoted: row.promoted.unwrap_or(false),
    }
}

fn counts(failures: &[(String, u32)]) -> Vec<FailureCount> {
    failures.iter().map(|(class, count)| FailureCount { class: class.clone(), count: *count }).collect()
}

/// Writes `report.md` with its charts into `out`.
async fn write_report(store: &Store, mission: MissionId, now: Timestamp, out: &Path) -> anyhow::Result<()> {
    let summary = summary_of(store, mission, now).await?;
    std::fs::create_dir_all(out).with_context(|| format!("{} cannot be made", out.display()))?;
    let write = |name: &str, bytes: &[u8]| -> anyhow::Result<()> {
        let path = out.join(name);
        std::fs::write(&path, bytes).with_context(|| format!("{} cannot be written", path.display()))
    };
    let points: Vec<SuccessPoint> = summary
        .loops
        .iter()
        .filter_map(|row| row.scenes.map(|success| SuccessPoint { loop_number: row.number, success }))
        .collect();
    write("success.png", &success_chart(&points, Some(summary.mission.target_success))?)?;
    let newest = summary.loops.iter().rev().find(|row| row.evaluation.is_some());
    if let Some(row) = newest {
        write("failures.png", &failure_chart(&counts(&row.failures))?)?;
        if let Some(evaluation) = &row.evaluation {
            let scenes = store.scenes_of(evaluation.id).await?;
            let failed: Vec<FailurePoint> = scenes
                .into_iter()
                .filter_map(|scene| {
                    scene.failure.map(|class| FailurePoint { x_m: scene.x_m as f32, z_m: scene.z_m as f32, class })
                })
                .collect();
            write("failure-map.png", &heat_map(&failed)?)?;
        }
    }
    let times = stage_times(store, &summary).await?;
    let report = RunReport { times, ..run_report(&summary, now) };
    let mut markdown = run_report_markdown(&report);
    markdown.push_str("\n![success over loops](success.png)\n");
    if !report.times.is_empty() {
        write("times.png", &times_chart(&report.times)?)?;
        markdown.push_str("\n![forecast against fact](times.png)\n");
    }
    if newest.is_some() {
        markdown.push_str("\n![failures](failures.png)\n\n![where it failed](failure-map.png)\n");
    }
    write("report.md", markdown.as_bytes())
}

/// Forecast and fact of every stage that had a forecast.
async fn stage_times(store: &Store, summary: &MissionSummary) -> anyhow::Result<Vec<StageTimeLine>> {
    let mut lines = Vec::new();
    for row in &summary.loops {
        for time in outcomes(store, row.id).await? {
            let Some(forecast) = time.forecast else { continue };
            lines.push(StageTimeLine {
                loop_number: row.number,
                stage: time.stage.to_string(),
                forecast_s: forecast.seconds,
                low_s: forecast.low_s,
                high_s: forecast.high_s,
                took_s: time.fact_s,
            });
        }
    }
    Ok(lines)
}

fn run_report(summary: &MissionSummary, now: Timestamp) -> RunReport {
    let mission = &summary.mission;
    let best = summary
        .loops
        .iter()
        .filter_map(|row| row.scenes)
        .max_by(|a, b| a.rate().total_cmp(&b.rate()))
        .unwrap_or_default();
    let artefacts = summary
        .loops
        .iter()
        .flat_map(|row| {
            let named = |what: &str, path: &Option<String>| {
                path.clone().map(|path| (format!("loop {} {what}", row.number), path))
            };
            [named("dataset", &row.dataset), named("checkpoint", &row.checkpoint)].into_iter().flatten()
        })
        .collect();
    let versions = mission
        .versions
        .as_object()
        .map(|map| map.iter().map(|(k, v)| (k.clone(), v.as_str().unwrap_or_default().to_owned())).collect())
        .unwrap_or_default();
    RunReport {
        title: format!("Mission {}: {}", mission.id, mission.preset),
        goal: mission.goal.clone(),
        ending: mission.ending.clone(),
        started: mission.created_at,
        until: mission.ended_at.unwrap_or(now),
        best,
        target: Some(mission.target_success),
        seed: mission.seed,
        loops: summary.loops.iter().map(line_of).collect(),
        failures: summary
            .loops
            .iter()
            .rev()
            .find(|row| !row.failures.is_empty())
            .map(|row| counts(&row.failures))
            .unwrap_or_default(),
        times: Vec::new(),
        spent: summary.spent,
        machine: summary.machine,
        artefacts,
        versions,
    }
}

/// The mission and its loops, one line each.
///
/// # Errors
/// When the store fails.
pub async fn status_text(store: &Store, now: Timestamp) -> anyhow::Result<String> {
    let Some(mission) = store.latest_mission().await? else {
        return Ok("No mission has run here yet; start one with `ralphton up`.".to_owned());
    };
    let summary = summary_of(store, mission.id, now).await?;
    let mut lines = vec![format!(
        "Mission {} ({}, seed {}) is {}{}",
        mission.id,
        mission.preset,
        mission.seed.0,
        mission.state,
        mission.ending.as_deref().map(|ending| format!(": {ending}")).unwrap_or_default()
    )];
    for row in &summary.loops {
        let success = row.scenes.map_or_else(
            || row.canary.map_or_else(|| "no number yet".to_owned(), |canary| format!("canary {canary}")),
            |scenes: Proportion| scenes.to_string(),
        );
        let eta = row.eta_s.map(|s| format!(", about {} left", duration(s))).unwrap_or_default();
        lines.push(format!("  loop {} of {}: {}{eta}; {success}", row.number, mission.planned_loops, row.doing));
    }
    Ok(lines.join("\n"))
}

pub async fn watchdog(data: &Path, config: &Config, args: &WatchdogArgs) -> anyhow::Result<Ending> {
    let store = data_dir::open_store(data).await?;
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let now = clock.now();
    let mut ending = Ending::Done;
    if args.once {
        let watchdog = watchdog::Watchdog::new(config.watchdog.clone(), store.clone(), clock, data.to_owned())?;
        for (name, status) in watchdog.tick(now).await? {
            if !status.ok {
                ending = Ending::CheckFailed;
            }
            say(&format!("{}  {name:<16} {}", if status.ok { "ok " } else { "BAD" }, status.detail));
        }
        say("");
    }
    let agents = store.agents().await?;
    if agents.is_empty() {
        say("No agent has started here yet; start the team with `ralphton up`.");
    } else {
        say(&format!("{:<16} {:<12} {:>16}  {}", "agent", "activity", "progress", "doing"));
        for agent in agents {
            let age = now.duration_since(agent.progress_at).as_secs_f64();
            say(&format!("{:<16} {:<12} {:>13.0} s ago  {}", agent.name, agent.activity.as_str(), age, agent.doing));
        }
    }
    store.close().await;
    Ok(ending)
}
