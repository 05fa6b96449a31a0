//! `ralphton rollout`: a checkpoint or the expert in closed loop, alone: figures, sweeps, traces and clips.

use super::cli::{parse_threads, say};
use super::standalone::{ProgressLine, families, preset};
use super::{Ending, threads};
use crate::base::{Cancel, EvaluationSeed, Proportion};
use crate::config::Config;
use crate::cycle::preset::LoopPreset;
use crate::cycle::summary::title_case;
use crate::policy::Policy;
use crate::render::Clip;
use crate::report::{SweepLine, sweep_table};
use crate::rollout::{
    self, Evaluation, Execution, FailedScene, Pairs, Pilot, RolloutError, RolloutOptions, Run, SceneSet, Spread,
    SweepPlan, SweepRow, TraceFile, TraceWriter,
};
use crate::sim::{self, StatePreset};
use anyhow::{Context, bail};
use clap::Args;
use serde_json::{Value, json};
use std::path::{Path, PathBuf};

/// A clip shows at most this much of a scene.
const CLIP_SECONDS: f32 = 60.0;
/// The file of traces in the folder of `--traces`.
const TRACES: &str = "traces.parquet";
/// What is known of each scene, beside the traces.
const RESULTS: &str = "results.json";

#[derive(Debug, Args)]
pub struct RolloutArgs {
    /// Checkpoint folder to drive
    #[arg(long, value_name = "DIR", required_unless_present_any = ["policy", "replay"], conflicts_with_all = ["policy", "replay"])]
    pub checkpoint: Option<PathBuf>,
    /// Drive the expert instead of a checkpoint
    #[arg(long, value_name = "NAME", conflicts_with = "replay")]
    pub policy: Option<ExpertName>,
    /// Read kept traces instead of driving: a traces.parquet of --traces
    #[arg(long, value_name = "FILE", conflicts_with_all = ["sweep", "traces", "execute_steps", "ensemble"])]
    pub replay: Option<PathBuf>,
    /// Where the scenes begin; equal numbers give equal scenes
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub seed_base: u64,
    /// Scenes to drive
    #[arg(long, visible_alias = "seeds", value_name = "M", default_value_t = 130, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    pub episodes: u32,
    /// Bricks in a scene
    #[arg(long, value_name = "K", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=10))]
    pub bricks: u32,
    /// Scenario family; may be repeated [default: all alike]
    #[arg(long, value_name = "NAME")]
    pub scenario: Vec<String>,
    /// Actions of a chunk carried out before the policy looks again [default: from the preset]
    #[arg(long, value_name = "N")]
    pub execute_steps: Option<u32>,
    /// Look at every step and average the chunks over time; C is LeRobot's coefficient, usually 0.01
    #[arg(long, value_name = "C", conflicts_with = "execute_steps", allow_negative_numbers = true)]
    pub ensemble: Option<f32>,
    /// Drive the same scenes with 1, 5, 10 and 20 executed steps and with ensembling, and compare
    #[arg(long, requires = "checkpoint", conflicts_with_all = ["film", "traces", "ensemble"])]
    pub sweep: bool,
    /// Print one JSON object instead of words
    #[arg(long)]
    pub json: bool,
    /// Film this scene's number into a GIF
    #[arg(long, value_name = "SCENE", requires = "out")]
    pub film: Option<u32>,
    /// Show the expert beside it, and mark where they part
    #[arg(long, requires = "film")]
    pub beside_expert: bool,
    /// Where the GIF goes
    #[arg(long, value_name = "FILE", requires = "film")]
    pub out: Option<PathBuf>,
    /// Keep every scene's trace in this folder: traces.parquet, one row per control step, and results.json
    #[arg(long, value_name = "DIR", conflicts_with = "film")]
    pub traces: Option<PathBuf>,
    /// Sizes from this preset of agents.toml [default: the mission's]
    #[arg(long, value_name = "NAME")]
    pub preset: Option<String>,
    /// Threads [default: all]
    #[arg(long, value_name = "N", value_parser = parse_threads)]
    pub threads: Option<usize>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum ExpertName {
    /// The memoryless expert that labels the data
    Expert,
}

pub fn run(config: &Config, args: &RolloutArgs) -> anyhow::Result<Ending> {
    if let Some(file) = &args.replay {
        return replay(file, args);
    }
    let preset = preset(config, args.preset.as_deref())?;
    let set = SceneSet {
        seed: EvaluationSeed(args.seed_base),
        families: families(&sim::Catalogue::default(), &args.scenario)?,
        bricks: args.bricks,
        scenes: args.episodes,
    };
    let options = options(preset, args.threads);
    let policy = args.checkpoint.as_deref().map(Policy::load).transpose()?;
    let execution = match args.ensemble {
        Some(coefficient) => Execution::Ensemble { coefficient },
        None => Execution::Steps(args.execute_steps.unwrap_or(preset.evaluate.execute_steps)),
    };
    let pilot = match &policy {
        None => Pilot::Expert,
        Some(policy) => Pilot::executing(policy, state_of(policy)?, execution),
    };
    if let (Some(scene), Some(out)) = (args.film, &args.out) {
        // A scene stands for itself: it need not lie within --episodes.
        let set = SceneSet { scenes: args.episodes.max(scene.saturating_add(1)), ..set };
        let (result, trace) = rollout::drive(&pilot, &set, scene, &options)?;
        return film(&set, &Run { result, actions: trace.actions }, args.beside_expert, out);
    }
    if let (Some(policy), true) = (&policy, args.sweep) {
        return sweep(policy, set, execution, &options, args.json);
    }
    let driven = drive(&pilot, &set, &options, args)?;
    if args.json {
        say(&serde_json::to_string_pretty(&object(args, policy.as_ref().map(|_| execution), &driven))?);
    } else {
        say(&words(&driven.evaluation));
        for line in deviations(&driven.failed) {
            say(&line);
        }
        if let Some(note) = &driven.note {
            say(note);
        }
    }
    Ok(Ending::Done)
}

/// How rollouts of a preset are run.
pub(super) fn options(preset: &LoopPreset, asked_threads: Option<usize>) -> RolloutOptions {
    RolloutOptions {
        seconds_per_brick: preset.evaluate.seconds_per_brick,
        threads: asked_threads.unwrap_or_else(threads),
        ..RolloutOptions::default()
    }
}

/// Which state preset a checkpoint was trained with, by the number of its state's numbers.
pub(super) fn state_of(policy: &Policy) -> anyhow::Result<StatePreset> {
    let dim = policy.config().state_dim;
    [StatePreset::Full, StatePreset::Seed].into_iter().find(|preset| preset.dim() == dim).with_context(|| {
        format!("the checkpoint wants a state of {dim} numbers; this simulator tells 10 (full) or 4 (seed)")
    })
}

/// What driving a set left.
struct Driven {
    evaluation: Evaluation,
    failed: Vec<FailedScene>,
    note: Option<String>,
}

fn drive(pilot: &Pilot<'_>, set: &SceneSet, options: &RolloutOptions, args: &RolloutArgs) -> anyhow::Result<Driven> {
    let mut bar = if args.json { ProgressLine::silent() } else { ProgressLine::new("rollout") };
    let mut writer = args.traces.as_ref().map(|_| TraceWriter::new(set)).transpose()?;
    let mut runs = Vec::new();
    let evaluation = rollout::evaluate_each(
        pilot,
        set,
        options,
        &Cancel::default(),
        &mut |p| bar.show(&p),
        &mut |result, trace| {
            if let Some(writer) = &mut writer {
                writer.add(result, &trace)?;
            }
            if !result.success {
                runs.push(Run { result: result.clone(), actions: trace.actions });
            }
            Ok::<(), RolloutError>(())
        },
    )?;
    bar.end();
    let failed = rollout::diagnose(set, &runs, options.threads)?;
    let note = match (writer, &args.traces) {
        (Some(writer), Some(dir)) => Some(keep(writer, dir, &evaluation, &failed)?),
        _ => None,
    };
    Ok(Driven { evaluation, failed, note })
}

/// Writes the traces, and beside them what is known of each scene.
fn keep(writer: TraceWriter, dir: &Path, evaluation: &Evaluation, failed: &[FailedScene]) -> anyhow::Result<String> {
    std::fs::create_dir_all(dir).with_context(|| format!("{} cannot be made", dir.display()))?;
    let file = writer.finish()?;
    let path = dir.join(TRACES);
    std::fs::write(&path, &file.bytes).with_context(|| format!("{} cannot be written", path.display()))?;
    let results = json!({ "results": evaluation.results, "failed": failed });
    let results_path = dir.join(RESULTS);
    std::fs::write(&results_path, serde_json::to_string_pretty(&results)?)
        .with_context(|| format!("{} cannot be written", results_path.display()))?;
    let left_out = if file.left_out > 0 { format!(", {} scenes left out", file.left_out) } else { String::new() };
    Ok(format!(
        "traces of {} scenes: {} ({:.1} MB{left_out}); film one with `ralphton rollout --replay {} --film SCENE --out FILE`",
        file.kept,
        path.display(),
        file.bytes.len() as f64 / 1e6,
        path.display()
    ))
}

fn replay(file: &Path, args: &RolloutArgs) -> anyhow::Result<Ending> {
    let traces = TraceFile::open(file)?;
    if let (Some(scene), Some(out)) = (args.film, &args.out) {
        let Some(run) = traces.run(scene) else {
            bail!("scene {scene} is not in {}; it has {} scenes", file.display(), traces.runs.len());
        };
        return film(&traces.set, run, args.beside_expert, out);
    }
    let failed = rollout::diagnose(&traces.set, &traces.runs, args.threads.unwrap_or_else(threads))?;
    if args.json {
        let results: Vec<_> = traces.runs.iter().map(|run| &run.result).collect();
        say(&serde_json::to_string_pretty(
            &json!({ "results": results, "failed": failed, "left_out": traces.left_out }),
        )?);
        return Ok(Ending::Done);
    }
    let results = traces.runs.iter().map(|run| run.result.clone()).collect();
    say(&words(&Evaluation { results, ..Evaluation::default() }));
    for line in deviations(&failed) {
        say(&line);
    }
    Ok(Ending::Done)
}

fn film(set: &SceneSet, run: &Run, beside_expert: bool, out: &Path) -> anyhow::Result<Ending> {
    let scene = run.result.scene;
    let clip: Clip = if beside_expert {
        let (_, start) = set.scene(scene)?;
        let deviation = if run.result.success { None } else { rollout::first_deviation(&start, &run.actions)? };
        if let Some(deviation) = &deviation {
            say(&format!("first deviation: {deviation}"));
        }
        let (_, expert) = rollout::drive(&Pilot::Expert, set, scene, &RolloutOptions::default())?;
        rollout::film_beside(set, scene, (&run.actions, &expert.actions), deviation.as_ref(), CLIP_SECONDS)?
    } else {
        rollout::film(set, scene, &run.actions, CLIP_SECONDS)?
    };
    let gif = clip.to_gif()?;
    std::fs::write(out, &gif).with_context(|| format!("{} cannot be written", out.display()))?;
    let how = run.result.failure.map_or("solved", |class| class.title());
    say(&format!("scene {scene} ({}): {how}; {} ({:.1} MB)", run.result.family, out.display(), gif.len() as f64 / 1e6));
    Ok(Ending::Done)
}

fn sweep(
    policy: &Policy,
    set: SceneSet,
    usual: Execution,
    options: &RolloutOptions,
    as_json: bool,
) -> anyhow::Result<Ending> {
    let mut executions = rollout::usual_executions(policy.config().chunk_size);
    if !executions.contains(&usual) {
        executions.push(usual);
    }
    let plan = SweepPlan { set, executions };
    let mut bar = if as_json { ProgressLine::silent() } else { ProgressLine::new("sweep") };
    let rows = rollout::sweep((policy, state_of(policy)?), &plan, options, &Cancel::default(), &mut |p| bar.show(&p))?;
    bar.end();
    let preferred = rollout::preferred(&rows, usual);
    if as_json {
        let rows: Vec<Value> = rows.iter().map(|row| sweep_object(row, &rows, usual)).collect();
        let object = json!({
            "seed_base": plan.set.seed,
            "bricks_per_scene": plan.set.bricks,
            "usual": usual,
            "preferred": preferred,
            "rows": rows,
        });
        say(&serde_json::to_string_pretty(&object)?);
        return Ok(Ending::Done);
    }
    say(sweep_table(&sweep_lines(&rows, usual), &usual.to_string()).trim_end());
    say(&if preferred == usual {
        format!("no other way is clearly better than {usual} on these scenes")
    } else {
        format!("{preferred} is better than {usual} on these scenes; judge it on others before you rely on it")
    });
    Ok(Ending::Done)
}

/// A sweep as the table's lines.
pub(super) fn sweep_lines(rows: &[SweepRow], usual: Execution) -> Vec<SweepLine> {
    let reference = rows.iter().find(|row| row.execution == usual);
    rows.iter()
        .map(|row| SweepLine {
            execution: row.execution.to_string(),
            scenes: row.evaluation.scenes(),
            bricks: row.evaluation.bricks(),
            against_usual: reference
                .filter(|reference| reference.execution != row.execution)
                .map(|reference| Pairs::of_evaluations(&row.evaluation, &reference.evaluation).difference()),
            seconds: row.evaluation.seconds,
        })
        .collect()
}

fn sweep_object(row: &SweepRow, rows: &[SweepRow], usual: Execution) -> Value {
    let reference = rows.iter().find(|row| row.execution == usual);
    let paired = reference.map(|reference| {
        let pairs = Pairs::of_evaluations(&row.evaluation, &reference.evaluation);
        let (difference, low, high) = pairs.difference();
        json!({ "gained": pairs.gained, "lost": pairs.lost, "difference": difference, "interval_95": [low, high] })
    });
    json!({
        "execution": row.execution,
        "name": row.execution.to_string(),
        "scenes": with_interval(row.evaluation.scenes()),
        "bricks": with_interval(row.evaluation.bricks()),
        "against_usual": paired,
        "failures": failures(&row.evaluation),
        "seconds": row.evaluation.seconds,
    })
}

/// Everything about a rollout as one object.
fn object(args: &RolloutArgs, execution: Option<Execution>, driven: &Driven) -> Value {
    let evaluation = &driven.evaluation;
    let driver = args.checkpoint.as_ref().map_or_else(|| "expert".to_owned(), |dir| dir.display().to_string());
    json!({
        "policy": driver,
        "seed_base": args.seed_base,
        "bricks_per_scene": args.bricks,
        "execution": execution,
        "execute_steps": execution.map(Execution::steps),
        "scenes": with_interval(evaluation.scenes()),
        "bricks": with_interval(evaluation.bricks()),
        "time_to_finish_s": spread(evaluation.time_to_finish_s()),
        "distance_m": spread(evaluation.distance_m()),
        "collisions": with_interval(evaluation.collisions()),
        "seconds": evaluation.seconds,
        "scenes_per_s": evaluation.results.len() as f64 / evaluation.seconds.max(1e-3),
        "per_family": per_family(evaluation),
        "failures": failures(evaluation),
        "results": evaluation.results,
        "failed": driven.failed,
        "versions": { "ralphton": env!("CARGO_PKG_VERSION"), "sim": sim::SIM_VERSION, "rapier3d": sim::RAPIER_VERSION },
    })
}

fn with_interval(proportion: Proportion) -> Value {
    let (low, high) = proportion.wilson_95();
    json!({
        "successes": proportion.successes,
        "trials": proportion.trials,
        "rate": proportion.rate(),
        "wilson_95": [low, high],
    })
}

fn spread(spread: Option<Spread>) -> Value {
    spread.map_or(Value::Null, |spread| json!({ "p10": spread.low, "median": spread.median, "p90": spread.high }))
}

fn per_family(evaluation: &Evaluation) -> serde_json::Map<String, Value> {
    evaluation.per_family().into_iter().map(|(family, solved)| (family, with_interval(solved))).collect()
}

fn failures(evaluation: &Evaluation) -> Vec<Value> {
    let classes = evaluation.failures().into_iter();
    classes.map(|(class, count)| json!({ "class": class.as_str(), "count": count })).collect()
}

/// The figures for people.
pub(super) fn words(evaluation: &Evaluation) -> String {
    let mut lines =
        vec![format!("scenes solved: {}", evaluation.scenes()), format!("bricks delivered: {}", evaluation.bricks())];
    if let Some(time) = evaluation.time_to_finish_s() {
        lines.push(format!("time to finish: {:.1} s (most within {:.1} to {:.1} s)", time.median, time.low, time.high));
    }
    if let Some(distance) = evaluation.distance_m() {
        lines.push(format!(
            "distance driven: {:.1} m (most within {:.1} to {:.1} m); wall or box touched in {} of {} scenes",
            distance.median,
            distance.low,
            distance.high,
            evaluation.collisions().successes,
            evaluation.collisions().trials
        ));
    }
    if evaluation.seconds > 0.0 {
        let rate = evaluation.results.len() as f64 / evaluation.seconds.max(1e-3);
        lines.push(format!("{:.1} s, {rate:.1} scenes/s", evaluation.seconds));
    }
    lines.push(String::new());
    for (family, solved) in evaluation.per_family() {
        lines.push(format!("  {:<28} {:>3}/{:<3}", title_case(&family), solved.successes, solved.trials));
    }
    let failures = evaluation.failures();
    if !failures.is_empty() {
        lines.push(String::new());
        lines.push("failures:".to_owned());
        for (class, count) in failures {
            lines.push(format!("  {:>4} {}", count, class.title()));
        }
    }
    lines.join("\n")
}

/// Deviations that are listed; more would not be read.
const MOST_LISTED: usize = 8;

fn deviations(failed: &[FailedScene]) -> Vec<String> {
    let told = failed.iter().filter_map(|scene| Some((scene, scene.deviation?)));
    let mut lines: Vec<String> = told
        .take(MOST_LISTED)
        .map(|(scene, deviation)| {
            let class = scene.result.failure.map_or("failed", |class| class.title());
            format!("  scene {:<4} {:<17} {deviation}", scene.result.scene, class)
        })
        .collect();
    if !lines.is_empty() {
        lines.insert(0, "\nfirst deviations from the expert:".to_owned());
    }
    if failed.len() > MOST_LISTED {
        lines.push(format!("  … {} more: --json, --traces or `ralphton diagnose`", failed.len() - MOST_LISTED));
    }
    lines
}
