//! `ralphton dataset`: look into datasets on disk, check them, and export them to video.

use super::Ending;
use super::cli::{DatasetAction, DatasetArgs, VideoCodec, say, say_error};
use super::standalone::ProgressLine;
use crate::base::Progress;
use crate::cycle::summary::{grouped, title_case};
use crate::dataset::{self, Codec, DatasetSummary, EpisodeView};
use crate::report::{EpisodeSheet, episode_sheet};
use anyhow::Context;
use std::path::{Path, PathBuf};

/// Frames of an episode that are shown as pictures.
const KEY_FRAMES: usize = 6;
/// Columns of a timeline in the terminal.
const COLUMNS: usize = 60;

pub fn run(args: &DatasetArgs) -> anyhow::Result<Ending> {
    match &args.action {
        DatasetAction::Check { dir } => check(dir),
        DatasetAction::Summary { dir } => {
            say(&summary_words(&dataset::summary(dir)?));
            Ok(Ending::Done)
        }
        DatasetAction::List { dir } => list(dir),
        DatasetAction::Show { dir, episode, png } => show(dir, *episode, png.as_deref()),
        DatasetAction::Export { dir, out, codec } => {
            let summary = export(dir, out, *codec)?;
            say(&format!("{}: {:.1} MB of video in LeRobot v3 form", out.display(), summary.bytes as f64 / 1e6));
            Ok(Ending::Done)
        }
    }
}

fn check(dir: &Path) -> anyhow::Result<Ending> {
    let findings = dataset::examine(dir)?;
    for defect in &findings.defects {
        say(&defect.to_string());
    }
    for note in &findings.unjudged {
        say_error(&format!("note: {note}"));
    }
    let read = format!("{} episodes, {} frames read", findings.episodes, grouped(findings.frames as u64));
    if findings.defects.is_empty() {
        say(&format!("{}: no defect ({read})", dir.display()));
        Ok(Ending::Done)
    } else {
        say_error(&format!("{} defects ({read})", findings.defects.len()));
        Ok(Ending::CheckFailed)
    }
}

/// Exports to video, with progress.
pub fn export(dir: &Path, out: &Path, codec: VideoCodec) -> anyhow::Result<DatasetSummary> {
    let codec = match codec {
        VideoCodec::H264 => Codec::H264,
        VideoCodec::Av1 => Codec::Av1,
    };
    let total = dataset::summary(dir)?.frames as u64;
    let mut bar = ProgressLine::new("export");
    let summary = dataset::export_video(dir, out, codec, &mut |done| {
        bar.show(&Progress { done: done as u64, total, unit: "frames", note: String::new() });
    })?;
    bar.end();
    Ok(summary)
}

fn summary_words(summary: &DatasetSummary) -> String {
    let mut lines = vec![
        summary.dir.display().to_string(),
        format!(
            "{} episodes, {} frames at {} Hz ({:.1} minutes), {:.1} MB",
            grouped(summary.episodes as u64),
            grouped(summary.frames as u64),
            summary.fps,
            summary.duration_s() / 60.0,
            summary.bytes as f64 / 1e6
        ),
    ];
    if summary.labelled_frames > 0 {
        lines.push(format!("{} frames with an expert label", grouped(summary.labelled_frames as u64)));
    }
    for (name, shares) in [("strategies", &summary.strategies), ("scenarios", &summary.scenarios)] {
        if !shares.is_empty() {
            lines.push(format!("{name}:"));
        }
        for (name, share) in shares {
            lines.push(format!(
                "  {:<28} {:>6} episodes, {:>6} solved",
                title_case(name),
                share.episodes,
                share.successes
            ));
        }
    }
    lines.join("\n")
}

/// Every dataset in a folder, one line each.
fn list(dir: &Path) -> anyhow::Result<Ending> {
    let mut found: Vec<PathBuf> = std::fs::read_dir(dir)
        .with_context(|| format!("{} cannot be read", dir.display()))?
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|path| path.join("meta/info.json").is_file())
        .collect();
    found.sort();
    if found.is_empty() {
        say(&format!("no dataset in {}; make one with `ralphton generate --out {0}/first`", dir.display()));
    }
    for path in found {
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        match dataset::summary(&path) {
            Ok(summary) => say(&format!(
                "{name:<28} {:>7} episodes {:>10} frames {:>9.1} MB",
                grouped(summary.episodes as u64),
                grouped(summary.frames as u64),
                summary.bytes as f64 / 1e6
            )),
            Err(error) => say(&format!("{name:<28} cannot be read: {error}")),
        }
    }
    Ok(Ending::Done)
}

fn show(dir: &Path, episode: usize, png: Option<&Path>) -> anyhow::Result<Ending> {
    let view = dataset::read_episode(dir, episode, KEY_FRAMES)?;
    say(&words(&view));
    if let Some(path) = png {
        let picture = episode_sheet(&sheet(&view))?;
        std::fs::write(path, picture).with_context(|| format!("{} cannot be written", path.display()))?;
        say(&format!("timeline with key frames: {}", path.display()));
    }
    Ok(Ending::Done)
}

fn headline(view: &EpisodeView) -> String {
    format!("Episode {}", view.episode)
}

fn subline(view: &EpisodeView) -> String {
    let seconds = view.states.len() as f64 / f64::from(view.fps.max(1));
    let mut parts = vec![format!("{:.1} s, {} frames at {} Hz", seconds, view.states.len(), view.fps)];
    if let Some(origin) = &view.origin {
        parts.push(title_case(&origin.scenario));
        parts.push(origin.strategy.replace('_', " "));
        parts.push(if origin.success { "solved" } else { "not solved" }.to_owned());
    }
    parts.join(" · ")
}

fn words(view: &EpisodeView) -> String {
    let mut lines = vec![format!("{}: {}", headline(view), view.task), subline(view)];
    if let Some(origin) = &view.origin {
        lines.push(format!("seed {}, {} bricks", origin.seed, origin.bricks));
    }
    let width =
        view.action_names.iter().chain(&view.state_names).map(|name| name.chars().count()).max().unwrap_or(0).max(6);
    lines.push(String::new());
    if !view.notes.is_empty() {
        let columns = COLUMNS.min(view.notes.len());
        let at = |column: usize| &view.notes[column * view.notes.len() / columns.max(1)];
        let letters = |f: &dyn Fn(usize) -> char| (0..columns).map(f).collect::<String>();
        let first = |text: &str| text.chars().next().unwrap_or('?');
        lines.push(format!("{:<width$} {}", "actor", letters(&|c| at(c).0.map_or('?', |actor| first(actor.as_str())))));
        lines.push(format!("{:<width$} {}", "phase", letters(&|c| first(&at(c).1))));
        lines.push(format!(
            "{:<width$} (actor: e expert, n noise, p policy; phase: s search/scoop, a approach, c carry, d drop/done)",
            ""
        ));
    }
    for (rows, names) in [(&view.actions, &view.action_names), (&view.states, &view.state_names)] {
        for (at, name) in names.iter().enumerate() {
            let values: Vec<f32> = rows.iter().filter_map(|row| row.get(at).copied()).collect();
            let (low, high) =
                values.iter().fold((f32::INFINITY, f32::NEG_INFINITY), |(l, h), v| (l.min(*v), h.max(*v)));
            lines.push(format!("{name:<width$} {}  {low:.2} … {high:.2}", sparkline(&values, low, high)));
        }
        lines.push(String::new());
    }
    lines.pop();
    lines.join("\n")
}

/// One block character per column, the mean of its values.
fn sparkline(values: &[f32], low: f32, high: f32) -> String {
    const BLOCKS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];
    let columns = COLUMNS.min(values.len());
    (0..columns)
        .map(|column| {
            let part = &values[column * values.len() / columns..((column + 1) * values.len() / columns).max(1)];
            let mean = part.iter().sum::<f32>() / part.len().max(1) as f32;
            let share = if high > low { (mean - low) / (high - low) } else { 0.0 };
            BLOCKS[((share * 7.0).round() as usize).min(7)]
        })
        .collect()
}

fn sheet(view: &EpisodeView) -> EpisodeSheet<'_> {
    EpisodeSheet {
        headline: if view.task.is_empty() { headline(view) } else { format!("{}: {}", headline(view), view.task) },
        subline: subline(view),
        fps: view.fps,
        size: view.size,
        key_frames: view.key_frames.iter().map(|(frame, rgb)| (*frame, rgb.as_slice())).collect(),
        groups: vec![
            ("action", view.action_names.as_slice(), view.actions.as_slice()),
            ("state", view.state_names.as_slice(), view.states.as_slice()),
        ],
        phases: view.notes.iter().map(|(_, phase)| phase.as_str()).collect(),
        actors: view.notes.iter().map(|(actor, _)| actor.map_or("?", dataset::Actor::as_str)).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sparkline_spans_its_range() {
        assert_eq!(sparkline(&[0.0, 0.5, 1.0], 0.0, 1.0), "▁▅█");
        assert_eq!(sparkline(&[2.0, 2.0], 2.0, 2.0), "▁▁");
        assert_eq!(sparkline(&[], 0.0, 0.0), "");
        assert_eq!(sparkline(&vec![1.0; 1000], 0.0, 1.0).chars().count(), COLUMNS);
    }
}
