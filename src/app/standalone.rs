//! `generate` alone: data without a team, a database or a network.

use super::cli::{GenerateArgs, Strategy, VideoCodec, say, say_error};
use super::preview::{self, Preview};
use super::{Ending, threads};
use crate::base::{Cancel, Progress, Seed};
use crate::config::Config;
use crate::cycle::preset::LoopPreset;
use crate::cycle::summary::grouped;
use crate::episodes::{self, Order};
use crate::sim;
use anyhow::Context;
use std::io::IsTerminal;
use std::time::{Duration, Instant};

/// Progress lines on something that is not a terminal come at most this often.
const LINE_EVERY: Duration = Duration::from_secs(10);

pub(super) fn preset<'a>(config: &'a Config, name: Option<&str>) -> anyhow::Result<&'a LoopPreset> {
    Ok(config.preset(name.unwrap_or(&config.mission.preset))?)
}

/// Equal weights for the named families of a catalogue; none named means all.
pub(super) fn families(catalogue: &sim::Catalogue, names: &[String]) -> anyhow::Result<Vec<(String, f64)>> {
    names
        .iter()
        .map(|name| {
            let family = catalogue.family(name)?;
            Ok((family.name.clone(), 1.0))
        })
        .collect()
}

/// Bricks in a scene of a preview: enough to touch and to cluster.
const PREVIEW_BRICKS: u32 = 3;

pub fn generate(config: &Config, args: &GenerateArgs) -> anyhow::Result<Ending> {
    let proposed = args.scenario_file.as_deref().map(super::scenario::read).transpose()?.unwrap_or_default();
    let colours = super::scenario::colours(&args.colours)?;
    let catalogue = sim::Catalogue::with(&proposed)?.painted(&colours);
    if let Some(dir) = &args.preview {
        let bricks = args.bricks.map_or(PREVIEW_BRICKS, |(_, most)| most) as usize;
        let (families, seed, stills_only) = (args.scenario.as_slice(), Seed(args.seed), args.stills_only);
        preview::run(&Preview { dir, catalogue: &catalogue, families, bricks, seed, stills_only })?;
        return Ok(Ending::Done);
    }
    let out = args.out.as_deref().context("name the dataset's folder with --out")?;
    let preset = preset(config, args.preset.as_deref())?;
    let sizes = &preset.generate;
    let (noisy_share, bad_start_share) = match args.strategy {
        Strategy::None => (0.0, 0.0),
        Strategy::Noise => (1.0, 0.0),
        Strategy::BadStart => (0.0, 1.0),
        Strategy::Mixed => (sizes.noisy_share, sizes.bad_start_share),
    };
    let order = Order {
        episodes: args.episodes,
        bricks: args.bricks.unwrap_or((sizes.bricks_min, sizes.bricks_max)),
        families: families(&catalogue, &args.scenario)?,
        proposed,
        colours,
        noisy_share,
        bad_start_share,
        dagger_share: 0.0,
        label_every: sizes.label_every,
        chunk: preset.chunk,
        height: preset.height,
        width: preset.width,
        state: preset.state,
        seed: Seed(args.seed),
        threads: args.threads.unwrap_or_else(threads),
        ..Order::default()
    };
    let mut bar = ProgressLine::new("generate");
    let outcome = episodes::generate(&order, None, out, &Cancel::default(), &mut |p| bar.show(&p))?;
    bar.end();
    if args.video {
        let video = out.with_file_name(format!("{}-video", out.file_name().unwrap_or_default().display()));
        let summary = super::dataset::export(out, &video, VideoCodec::H264)?;
        say(&format!("video: {} ({:.1} MB)", video.display(), summary.bytes as f64 / 1e6));
    }
    if outcome.already_there {
        say(&format!(
            "nothing to do: {} holds exactly this already ({} episodes, {} frames)",
            out.display(),
            outcome.episodes,
            grouped(outcome.summary.frames as u64),
        ));
        return Ok(Ending::Done);
    }
    say(&format!(
        "{} episodes, {} frames, {} labelled, in {:.1} s ({:.1} episodes/s); expert {}; {} discarded",
        outcome.episodes,
        grouped(outcome.summary.frames as u64),
        grouped(u64::from(outcome.labelled_frames)),
        outcome.seconds,
        f64::from(outcome.episodes) / outcome.seconds.max(1e-3),
        outcome.success,
        outcome.discarded,
    ));
    say(&format!("dataset: {} ({:.1} MB, LeRobot v3)", out.display(), outcome.summary.bytes as f64 / 1e6));
    Ok(Ending::Done)
}

/// One line that is written over on a terminal, and a line now and then elsewhere.
pub(super) struct ProgressLine {
    name: &'static str,
    terminal: bool,
    silent: bool,
    started: Instant,
    last: Option<Instant>,
}

impl ProgressLine {
    pub fn new(name: &'static str) -> Self {
        Self { name, terminal: std::io::stderr().is_terminal(), silent: false, started: Instant::now(), last: None }
    }

    pub fn silent() -> Self {
        Self { silent: true, ..Self::new("") }
    }

    pub fn show(&mut self, progress: &Progress) {
        let elapsed = self.started.elapsed().as_secs_f64();
        let fraction = progress.fraction();
        let left = if fraction > 0.02 {
            format!(", {:.0} s left", elapsed * (1.0 - fraction) / fraction)
        } else {
            String::new()
        };
        self.write(progress, &left);
    }

    /// Progress whose note already tells the time left.
    pub fn show_as_told(&mut self, progress: &Progress) {
        self.write(progress, "");
    }

    fn write(&mut self, progress: &Progress, left: &str) {
        let every = if self.terminal { Duration::from_millis(200) } else { LINE_EVERY };
        if self.silent || self.last.is_some_and(|last| last.elapsed() < every) {
            return;
        }
        self.last = Some(Instant::now());
        let note = if progress.note.is_empty() { String::new() } else { format!(", {}", progress.note) };
        let text = format!(
            "{}: {} of {} {}{note}{left}",
            self.name,
            grouped(progress.done),
            grouped(progress.total),
            progress.unit
        );
        if self.terminal { write_over(&text) } else { say_error(&text) }
    }

    pub fn end(&self) {
        if self.terminal && !self.silent && self.last.is_some() {
            write_over("");
        }
    }
}

#[expect(clippy::print_stderr, reason = "progress is for the terminal, results go to standard output")]
fn write_over(text: &str) {
    eprint!("\r\x1b[2K{text}");
}
