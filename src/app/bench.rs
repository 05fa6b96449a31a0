//! `ralphton bench`: how fast this machine does each part of a loop, measured now.
//!
//! Every figure is the median of several short runs, since machines are noisy. Quote it with the machine.

use super::cli::{BenchArgs, BenchPart, UpArgs, say};
use super::{Ending, bench_policy, threads, up};
use crate::base::{Cancel, EvaluationSeed, Seed, Stage};
use crate::config::{Config, Secrets};
use crate::cycle::preset::LoopPreset;
use crate::cycle::summary::mission_summary;
use crate::cycle::throughput::outcomes;
use crate::dataset::{TrainingSet, load_training_set};
use crate::episodes::{self, Order};
use crate::policy::{ActConfig, Observation, Policy, TrainEvent, TrainPlan};
use crate::render::{Camera, Renderer};
use crate::rollout::{Pilot, RolloutOptions, SceneSet};
use crate::sim::{self, World};
use anyhow::Context;
use std::borrow::Cow;
use std::path::Path;
use std::time::Instant;

/// Runs of which the median is taken.
const RUNS: usize = 5;

/// A measured figure.
pub(super) struct Figure {
    name: Cow<'static, str>,
    value: f64,
    unit: &'static str,
}

impl Figure {
    /// A figure whose name is put together.
    pub fn new(name: &str, value: f64, unit: &'static str) -> Self {
        Self { name: Cow::Owned(name.to_owned()), value, unit }
    }
}

pub fn run(config: &Config, source: &str, args: &BenchArgs) -> anyhow::Result<Ending> {
    let preset = config.preset(&config.mission.preset)?;
    let mut figures = Vec::new();
    let scratch = Scratch::new()?;
    let all = args.what == BenchPart::All;
    if all || args.what == BenchPart::Sim {
        sim_figures(&mut figures)?;
    }
    if all || args.what == BenchPart::Render {
        render_figures(&mut figures)?;
    }
    if all || args.what == BenchPart::Data || args.what == BenchPart::Train {
        let dataset = scratch.path.join("dataset");
        if all || args.what == BenchPart::Data {
            encode_figures(&mut figures)?;
        }
        data_figures(preset, &dataset, &mut figures)?;
        if all || args.what == BenchPart::Train {
            train_figures(preset, &dataset, &scratch.path, &mut figures)?;
        }
    }
    if args.what == BenchPart::Policy {
        bench_policy::figures(&args.python, &scratch.path, &mut figures)?;
    }
    if all || args.what == BenchPart::Ledger {
        let measured = super::block_on(super::ledger_bench::measure(&scratch.path))?;
        figures.extend(measured.into_iter().map(|(name, value, unit)| Figure { name: name.into(), value, unit }));
    }
    if args.what == BenchPart::Loop {
        loop_figures(config, source, &scratch.path, &mut figures)?;
    }
    print(&figures, args.json)?;
    Ok(Ending::Done)
}

fn print(figures: &[Figure], json: bool) -> anyhow::Result<()> {
    if json {
        let mut object = serde_json::json!({ "threads": threads(), "ralphton": env!("CARGO_PKG_VERSION") });
        for figure in figures {
            object[figure.name.as_ref()] = serde_json::json!({ "value": figure.value, "unit": figure.unit });
        }
        say(&serde_json::to_string_pretty(&object)?);
        return Ok(());
    }
    say(&format!("{} threads", threads()));
    for Figure { name, value, unit } in figures {
        let value = if *value >= 100.0 { format!("{value:.0}") } else { format!("{value:.2}") };
        say(&format!("{name:<44} {value:>10} {unit}"));
    }
    Ok(())
}

/// The median of [`RUNS`] measurements.
fn median(mut measure: impl FnMut() -> anyhow::Result<f64>) -> anyhow::Result<f64> {
    let mut values = Vec::with_capacity(RUNS);
    for _ in 0..RUNS {
        values.push(measure()?);
    }
    Ok(median_of(values))
}

/// The middle one of some values; 0 of none.
pub(super) fn median_of(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or_default()
}

fn a_world(index: u64) -> anyhow::Result<World> {
    let family = &sim::families()[usize::try_from(index)? % sim::families().len()];
    let mut rng = Seed(7).child("bench", index).rng();
    Ok(World::new(&family.sample(1, &mut rng)?)?)
}

fn sim_figures(figures: &mut Vec<Figure>) -> anyhow::Result<()> {
    let steps = 2_000_u32;
    let value = median(|| {
        let mut world = a_world(0)?;
        let started = Instant::now();
        for _ in 0..steps {
            let action = sim::expert(world.state());
            world.step(action);
            if world.is_done() {
                world = a_world(0)?;
            }
        }
        Ok(f64::from(steps) / started.elapsed().as_secs_f64())
    })?;
    figures.push(Figure { name: "sim: control steps with the expert, 1 thread".into(), value, unit: "steps/s" });
    let worlds: Vec<World> = (0..40).map(a_world).collect::<anyhow::Result<_>>()?;
    let value = median(|| {
        let started = Instant::now();
        for world in &worlds {
            std::hint::black_box(sim::expert_chunk(world, 20));
        }
        Ok(started.elapsed().as_secs_f64() * 1e3 / worlds.len() as f64)
    })?;
    figures.push(Figure { name: "sim: fork and label 20 steps, 1 thread".into(), value, unit: "ms" });
    Ok(())
}

fn render_figures(figures: &mut Vec<Figure>) -> anyhow::Result<()> {
    let worlds: Vec<World> = (0..13).map(a_world).collect::<anyhow::Result<_>>()?;
    for (name, width, height) in [("render: cab 96×72, 1 thread", 96, 72), ("render: cab 320×240, 1 thread", 320, 240)]
    {
        let mut renderer = Renderer::new(Camera::cab(width, height));
        let mut rgb = vec![0; width * height * 3];
        let value = median(|| {
            let rounds = 30;
            let started = Instant::now();
            for _ in 0..rounds {
                for world in &worlds {
                    renderer.render(world.state(), &mut rgb);
                }
            }
            Ok((rounds * worlds.len()) as f64 / started.elapsed().as_secs_f64())
        })?;
        figures.push(Figure { name: name.into(), value, unit: "frames/s" });
    }
    Ok(())
}

fn data_figures(preset: &LoopPreset, dataset: &Path, figures: &mut Vec<Figure>) -> anyhow::Result<()> {
    let order = Order {
        episodes: 60,
        bricks: (preset.generate.bricks_min, preset.generate.bricks_max),
        noisy_share: preset.generate.noisy_share,
        bad_start_share: preset.generate.bad_start_share,
        label_every: preset.generate.label_every,
        chunk: preset.chunk,
        height: preset.height,
        width: preset.width,
        state: preset.state,
        seed: Seed(7),
        threads: threads(),
        ..Order::default()
    };
    let outcome = episodes::generate(&order, None, dataset, &Cancel::default(), &mut |_| {})?;
    let seconds = outcome.seconds.max(1e-3);
    figures.push(Figure {
        name: "data: episodes into a dataset".into(),
        value: f64::from(outcome.episodes) / seconds,
        unit: "episodes/s",
    });
    figures.push(Figure {
        name: "data: stored frames".into(),
        value: outcome.summary.frames as f64 / seconds,
        unit: "frames/s",
    });
    figures.push(Figure {
        name: "data: labelled samples".into(),
        value: f64::from(outcome.labelled_frames) / seconds,
        unit: "samples/s",
    });
    Ok(())
}

/// How fast rendered frames become PNG, and how large they are.
fn encode_figures(figures: &mut Vec<Figure>) -> anyhow::Result<()> {
    let worlds: Vec<World> = (0..13).map(a_world).collect::<anyhow::Result<_>>()?;
    let sizes = [
        ("data: PNG encoding 96×72, 1 thread", "data: a PNG of 96×72", 96, 72),
        ("data: PNG encoding 320×240, 1 thread", "data: a PNG of 320×240", 320, 240),
    ];
    for (name, size_name, width, height) in sizes {
        let mut renderer = Renderer::new(Camera::cab(width, height));
        let mut frames = Vec::new();
        for world in &worlds {
            let mut rgb = vec![0; width * height * 3];
            renderer.render(world.state(), &mut rgb);
            frames.push(rgb);
        }
        let (rounds, mut png) = (if width > 200 { 8 } else { 60 }, Vec::new());
        let value = median(|| {
            let started = Instant::now();
            for _ in 0..rounds {
                png.clear();
                for rgb in &frames {
                    crate::dataset::encode_png(rgb, width, height, &mut png)?;
                }
            }
            Ok((rounds * frames.len()) as f64 / started.elapsed().as_secs_f64())
        })?;
        figures.push(Figure { name: name.into(), value, unit: "frames/s" });
        figures.push(Figure {
            name: size_name.into(),
            value: png.len() as f64 / frames.len() as f64 / 1e3,
            unit: "kB",
        });
    }
    Ok(())
}

fn train_figures(preset: &LoopPreset, dataset: &Path, scratch: &Path, figures: &mut Vec<Figure>) -> anyhow::Result<()> {
    let set = load_training_set(&[dataset.to_owned()], preset.chunk, None)?;
    let config = ActConfig::preset(&preset.policy, set.height, set.width, set.state_dim, preset.chunk)?;
    let plan = TrainPlan {
        samples: 4_000,
        batch: preset.train.batch,
        threads: threads(),
        seed: Seed(7),
        ..TrainPlan::default()
    };
    let mut rates = Vec::new();
    let outcome = crate::policy::train(
        &set,
        &config,
        None,
        &plan,
        &scratch.join("training"),
        &Cancel::default(),
        &mut |event| {
            if let TrainEvent::Step { samples_per_s, .. } = event {
                rates.push(samples_per_s);
            }
        },
    )?;
    rates.sort_by(f64::total_cmp);
    let value = rates.get(rates.len() / 2).copied().unwrap_or_default();
    figures.push(Figure { name: "train: quick policy".into(), value, unit: "samples/s" });
    inference_figure(&outcome.policy, &set, figures)?;
    let set = SceneSet { seed: EvaluationSeed(7), families: Vec::new(), bricks: 1, scenes: 26 };
    let options = RolloutOptions { threads: threads(), ..RolloutOptions::default() };
    let pilot =
        Pilot::Policy { policy: &outcome.policy, state: preset.state, execute_steps: preset.evaluate.execute_steps };
    let evaluation = crate::rollout::evaluate(&pilot, &set, &options, &Cancel::default(), &mut |_| {})?;
    let value = evaluation.results.len() as f64 / evaluation.seconds.max(1e-3);
    figures.push(Figure { name: "rollout: one-brick scenes of an untaught policy".into(), value, unit: "scenes/s" });
    Ok(())
}

fn inference_figure(policy: &Policy, set: &TrainingSet, figures: &mut Vec<Figure>) -> anyhow::Result<()> {
    let count = set.len().min(32);
    let batch: Vec<Observation<'_>> =
        (0..count).map(|i| Observation { image: set.image(i), state: set.state(i) }).collect();
    let value = median(|| {
        let started = Instant::now();
        for _ in 0..4 {
            std::hint::black_box(policy.act(&batch)?);
        }
        Ok(4.0 * count as f64 / started.elapsed().as_secs_f64())
    })?;
    figures.push(Figure { name: "infer: batches of 32, 1 thread".into(), value, unit: "observations/s" });
    Ok(())
}

/// One whole quick loop with the team, the page and the store, in a folder of its own.
fn loop_figures(config: &Config, source: &str, scratch: &Path, figures: &mut Vec<Figure>) -> anyhow::Result<()> {
    let data = scratch.join("data");
    let args =
        UpArgs { loops: Some(1), exit_when_done: true, listen: Some(([127, 0, 0, 1], 0).into()), ..UpArgs::default() };
    let started = Instant::now();
    super::block_on(up::run(&data, config, source, &Secrets::default(), &args))?;
    let wall = started.elapsed().as_secs_f64() / 60.0;
    let (summary, times) = super::block_on(async {
        let store = super::data_dir::open_store(&data).await?;
        let mission = store.latest_mission().await?.context("no mission was made")?;
        let now = mission.ended_at.unwrap_or(mission.created_at);
        let summary = mission_summary(&store, mission.id, now).await?.context("no mission was made")?;
        let first = summary.loops.first().context("no loop was made")?;
        let times = outcomes(&store, first.id).await?;
        store.close().await;
        Ok((summary, times))
    })?;
    let first = summary.loops.first().context("no loop was made")?;
    figures.push(Figure { name: "loop: process, start to end".into(), value: wall, unit: "minutes" });
    figures.push(Figure { name: "loop: Generate to Feedback".into(), value: first.minutes, unit: "minutes" });
    if let Some(value) = first.first_number_minutes {
        figures.push(Figure { name: "loop: first closed-loop number after".into(), value, unit: "minutes" });
    }
    if let Some(scenes) = first.scenes {
        figures.push(Figure { name: "loop: hidden scenes solved".into(), value: scenes.rate() * 100.0, unit: "%" });
        figures.push(Figure {
            name: "loop: hidden scenes driven".into(),
            value: f64::from(scenes.trials),
            unit: "scenes",
        });
    }
    for time in &times {
        let [forecast_name, fact_name] = time_names(time.stage);
        if let Some(forecast) = &time.forecast {
            figures.push(Figure { name: forecast_name.into(), value: forecast.seconds, unit: "s" });
        }
        if let Some(value) = time.fact_s {
            figures.push(Figure { name: fact_name.into(), value, unit: "s" });
        }
    }
    if let Some(mib) = super::doctor::peak_memory_mib() {
        figures.push(Figure { name: "loop: peak resident memory".into(), value: mib, unit: "MiB" });
    }
    Ok(())
}

/// What forecast and fact of a stage are called.
fn time_names(stage: Stage) -> [&'static str; 2] {
    match stage {
        Stage::Generate => ["loop: generate, forecast", "loop: generate, took"],
        Stage::Train => ["loop: train, forecast", "loop: train, took"],
        Stage::Evaluate => ["loop: evaluate, forecast", "loop: evaluate, took"],
        Stage::Feedback => ["loop: feedback, forecast", "loop: feedback, took"],
    }
}

/// A folder that is removed at the end.
struct Scratch {
    path: std::path::PathBuf,
}

impl Scratch {
    fn new() -> anyhow::Result<Self> {
        let path = std::env::temp_dir().join(format!("ralphton-bench-{}", std::process::id()));
        std::fs::create_dir_all(&path).with_context(|| format!("{} cannot be made", path.display()))?;
        Ok(Self { path })
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        if let Err(error) = std::fs::remove_dir_all(&self.path) {
            tracing::warn!(%error, dir = %self.path.display(), "a folder of the measurement stays");
        }
    }
}
