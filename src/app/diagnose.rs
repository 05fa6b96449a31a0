//! `ralphton diagnose`: why a checkpoint fails, as a report in Markdown with its charts, clips and traces.

use super::Ending;
use super::cli::{parse_threads, say};
use super::rollouts::{options, state_of};
use super::standalone::{ProgressLine, families, preset};
use crate::base::{Cancel, EvaluationSeed};
use crate::config::Config;
use crate::cycle::summary::title_case;
use crate::dataset::load_states;
use crate::policy::Policy;
use crate::render::{Camera, Renderer};
use crate::report::{
    AuditLine, DiagnosisReport, DistanceGroup, FailedLine, FailureCount, FailurePoint, TwinView, deviation_map,
    diagnosis_markdown, distance_chart, failure_chart, heat_map, twin_picture,
};
use crate::rollout::{
    self, Audit, Distances, Evaluation, Execution, FailedScene, Finding, Observer, Pilot, RolloutOptions, Run,
    SceneSet, StateCloud, TraceBytes, TraceWriter, Variable,
};
use crate::sim::{self, StatePreset, WorldState};
use anyhow::{Context, bail};
use clap::Args;
use std::path::{Path, PathBuf};

/// Training states that distances are measured to.
const DATA_STATES: usize = 40_000;
/// States that the audit examines.
const AUDIT_STATES: usize = 1500;
/// Clips of failed scenes beside the expert, one of each of the most frequent classes.
const CLIPS: usize = 2;
/// A clip shows at most this much of a scene.
const CLIP_SECONDS: f32 = 60.0;
/// Failed scenes are off the data when this share of their states is …
const OFF_SHARE: f64 = 0.1;
/// … and so many times that of the solved scenes.
const OFF_FACTOR: f64 = 2.0;

#[derive(Debug, Args)]
pub struct DiagnoseArgs {
    /// Checkpoint folder to diagnose
    #[arg(long, value_name = "DIR")]
    pub checkpoint: PathBuf,
    /// Dataset folder it was trained on; may be repeated; without it no distances are told
    #[arg(long, value_name = "DIR")]
    pub dataset: Vec<PathBuf>,
    /// Folder for the report; must not exist or be empty
    #[arg(long, value_name = "DIR")]
    pub out: PathBuf,
    /// Where the scenes begin; equal numbers give equal scenes
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub seed_base: u64,
    /// Scenes to drive
    #[arg(long, value_name = "M", default_value_t = 130, value_parser = clap::value_parser!(u32).range(1..=10_000))]
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
    /// Audit as if arms, bucket and load were not in the camera's picture
    #[arg(long)]
    pub bucket_hidden: bool,
    /// Sizes from this preset of agents.toml [default: the mission's]
    #[arg(long, value_name = "NAME")]
    pub preset: Option<String>,
    /// Threads [default: all]
    #[arg(long, value_name = "N", value_parser = parse_threads)]
    pub threads: Option<usize>,
}

pub fn run(config: &Config, args: &DiagnoseArgs) -> anyhow::Result<Ending> {
    let preset = preset(config, args.preset.as_deref())?;
    make_folder(&args.out)?;
    let policy = Policy::load(&args.checkpoint)?;
    let case = Case {
        set: SceneSet {
            seed: EvaluationSeed(args.seed_base),
            families: families(&sim::Catalogue::default(), &args.scenario)?,
            bricks: args.bricks,
            scenes: args.episodes,
        },
        options: options(preset, args.threads),
        state: state_of(&policy)?,
        execution: Execution::Steps(args.execute_steps.unwrap_or(preset.evaluate.execute_steps)),
        policy,
    };
    let driven = drive(&case)?;
    let failed = rollout::diagnose(&case.set, &driven.runs, case.options.threads)?;
    let distances = distances(&case, &args.dataset, &driven.runs)?;
    let (audit, observer) = audit(&case, args.bucket_hidden, &driven.runs)?;
    let mut folder = Folder { dir: &args.out, pictures: Vec::new() };
    draw(&mut folder, &case, &driven, &failed, &distances)?;
    draw_twins(&mut folder, &audit, &observer)?;
    let report = DiagnosisReport {
        policy: args.checkpoint.display().to_string(),
        facts: facts(&case, &driven.evaluation, args),
        scenes: driven.evaluation.scenes(),
        bricks: driven.evaluation.bricks(),
        families: driven.evaluation.per_family().into_iter().map(|(name, share)| (title_case(&name), share)).collect(),
        failures: classes(&driven.evaluation),
        failed: failed.iter().map(failed_line).collect(),
        solved_that_deviate: rollout::solved_that_deviate(&case.set, &driven.runs, case.options.threads)?,
        shift: shift(&distances),
        distances: distances.iter().filter_map(group).collect(),
        audit: audit.findings.iter().map(audit_line).collect(),
        verdict: audit.verdict(),
        pictures: folder.pictures.clone(),
    };
    let results = serde_json::json!({
        "results": driven.evaluation.results, "failed": failed, "distances": distances, "audit": audit,
    });
    folder.write("results.json", serde_json::to_string_pretty(&results)?.as_bytes())?;
    folder.write("traces.parquet", &driven.traces.bytes)?;
    folder.write("diagnosis.md", diagnosis_markdown(&report).as_bytes())?;
    say(&format!("scenes solved: {}", report.scenes));
    say(&format!("distance from the data: {}", report.shift));
    say(&format!("observability: {}", report.verdict));
    say(&format!("report: {}", args.out.join("diagnosis.md").display()));
    Ok(Ending::Done)
}

/// What is diagnosed, and how it is driven.
struct Case {
    set: SceneSet,
    options: RolloutOptions,
    state: StatePreset,
    execution: Execution,
    policy: Policy,
}

struct Driven {
    evaluation: Evaluation,
    runs: Vec<Run>,
    traces: TraceBytes,
}

/// The report's folder, with the pictures in it.
struct Folder<'a> {
    dir: &'a Path,
    pictures: Vec<(String, String)>,
}

impl Folder<'_> {
    fn write(&self, name: &str, bytes: &[u8]) -> anyhow::Result<()> {
        let path = self.dir.join(name);
        std::fs::write(&path, bytes).with_context(|| format!("{} cannot be written", path.display()))
    }

    fn picture(&mut self, title: &str, name: &str, bytes: &[u8]) -> anyhow::Result<()> {
        self.write(name, bytes)?;
        self.pictures.push((title.to_owned(), name.to_owned()));
        Ok(())
    }
}

fn make_folder(dir: &Path) -> anyhow::Result<()> {
    std::fs::create_dir_all(dir).with_context(|| format!("{} cannot be made", dir.display()))?;
    if std::fs::read_dir(dir)?.next().is_some() {
        bail!("{} is not empty; name a new folder with --out", dir.display());
    }
    Ok(())
}

fn drive(case: &Case) -> anyhow::Result<Driven> {
    let pilot = Pilot::executing(&case.policy, case.state, case.execution);
    let mut bar = ProgressLine::new("rollout");
    let (mut writer, mut runs) = (TraceWriter::new(&case.set)?, Vec::new());
    let mut keep = |result: &rollout::SceneResult, trace: rollout::Trace| {
        writer.add(result, &trace)?;
        runs.push(Run { result: result.clone(), actions: trace.actions });
        Ok(())
    };
    let cancel = Cancel::default();
    let evaluation =
        rollout::evaluate_each(&pilot, &case.set, &case.options, &cancel, &mut |p| bar.show(&p), &mut keep)?;
    bar.end();
    Ok(Driven { evaluation, runs, traces: writer.finish()? })
}

fn distances(case: &Case, datasets: &[PathBuf], runs: &[Run]) -> anyhow::Result<Vec<Distances>> {
    if datasets.is_empty() {
        return Ok(Vec::new());
    }
    let table = load_states(datasets, DATA_STATES)?;
    if table.dim != case.state.dim() {
        bail!("the datasets have states of {} numbers, the checkpoint wants {}", table.dim, case.state.dim());
    }
    let cloud = StateCloud::new(&table);
    Ok(rollout::distances_from_data(&case.set, runs, &cloud, case.state, case.options.threads)?)
}

/// The audit, over states that the policy visited and states that the expert visits on the same scenes.
fn audit(case: &Case, bucket_hidden: bool, runs: &[Run]) -> anyhow::Result<(Audit, Observer)> {
    let config = case.policy.config();
    let (height, width) = config.image_size().unwrap_or_default();
    let camera = Camera::cab(width, height);
    let camera = if bucket_hidden { camera.without_bucket() } else { camera };
    let steps: usize = runs.iter().map(|run| run.actions.len() + 1).sum();
    let every = (2 * steps).div_ceil(AUDIT_STATES).max(1);
    let mut states: Vec<WorldState> = Vec::with_capacity(AUDIT_STATES);
    let scenes = case.set.scenes()?;
    for (run, (_, start)) in runs.iter().zip(&scenes) {
        states.extend(rollout::visited_states(start, &run.actions, every)?);
    }
    states.extend(rollout::sampled_states(&Pilot::Expert, &case.set, &case.options, every)?);
    let observer = Observer { camera, state: case.state };
    Ok((rollout::audit(&states, &observer), observer))
}

fn draw(
    folder: &mut Folder<'_>,
    case: &Case,
    driven: &Driven,
    failed: &[FailedScene],
    distances: &[Distances],
) -> anyhow::Result<()> {
    let class = |scene: &FailedScene| scene.result.failure.map_or("failed", |class| class.title()).to_owned();
    if !failed.is_empty() {
        folder.picture("Failure classes", "failures.png", &failure_chart(&classes(&driven.evaluation))?)?;
        let ends: Vec<FailurePoint> = failed
            .iter()
            .map(|scene| FailurePoint { x_m: scene.result.end_x_m, z_m: scene.result.end_z_m, class: class(scene) })
            .collect();
        folder.picture("Where it failed", "where.png", &heat_map(&ends)?)?;
        let first: Vec<FailurePoint> = failed
            .iter()
            .filter_map(|scene| {
                let deviation = scene.deviation?;
                Some(FailurePoint { x_m: deviation.x_m, z_m: deviation.z_m, class: class(scene) })
            })
            .collect();
        folder.picture("Where it first went wrong", "first-deviations.png", &deviation_map(&first)?)?;
    }
    if !distances.is_empty() {
        let groups: Vec<DistanceGroup> = distances.iter().filter_map(group).collect();
        folder.picture("How far from the training data", "distances.png", &distance_chart(&groups)?)?;
    }
    for (failure, _) in driven.evaluation.failures().into_iter().take(CLIPS) {
        let of_class = |scene: &&FailedScene| scene.result.failure == Some(failure) && scene.deviation.is_some();
        let Some(scene) = failed.iter().find(of_class) else { continue };
        let number = scene.result.scene;
        let Some(run) = driven.runs.iter().find(|run| run.result.scene == number) else { continue };
        let (_, expert) = rollout::drive(&Pilot::Expert, &case.set, number, &case.options)?;
        let both = (run.actions.as_slice(), expert.actions.as_slice());
        let clip = rollout::film_beside(&case.set, number, both, scene.deviation.as_ref(), CLIP_SECONDS)?;
        let title = format!("Policy and expert in scene {number}: {}", failure.title());
        folder.picture(&title, &format!("scene-{number}-{failure}.gif"), &clip.to_gif()?)?;
    }
    Ok(())
}

/// One pair of twins for each missing variable.
fn draw_twins(folder: &mut Folder<'_>, audit: &Audit, observer: &Observer) -> anyhow::Result<()> {
    let mut eye = Renderer::new(observer.camera);
    for finding in audit.missing() {
        let Some(twins) = &finding.example else { continue };
        let images = [0, 1].map(|side: usize| {
            let mut rgb = vec![0; eye.frame_len()];
            eye.render(&twins[side], &mut rgb);
            rgb
        });
        let views = [0, 1].map(|side: usize| TwinView {
            rgb: &images[side],
            variable: value_of(finding.variable, &twins[side]),
            action: in_words(&twins[side]),
        });
        let title = format!("{} cannot be told", title_case(finding.variable.as_str()));
        let png = twin_picture(&title, eye.size(), &views)?;
        folder.picture(&title, &format!("missing-{}.png", finding.variable), &png)?;
    }
    Ok(())
}

fn value_of(variable: Variable, state: &WorldState) -> String {
    let loader = &state.loader;
    match variable {
        Variable::Lift => format!("lift {:.2} m", loader.lift_m),
        Variable::Bucket => format!("bucket {:+.2}", loader.tilt),
        Variable::Load => (if state.is_loaded() { "a brick is held" } else { "nothing is held" }).to_owned(),
        Variable::Speed => format!("speed {:+.2} m/s", loader.speed_mps),
        Variable::Steering => format!("steering {:+.2} rad", loader.steering_rad),
        Variable::Brick => {
            let seen = state.bricks.iter().any(|brick| sim::visible(state, brick));
            (if seen { "a brick ahead" } else { "no brick ahead" }).to_owned()
        }
    }
}

fn in_words(state: &WorldState) -> String {
    let action = sim::expert(state);
    format!(
        "steer {:+.1}, drive {:+.1}, bucket {:+.1}, lift {:+.1}",
        action.steering, action.throttle, action.bucket, action.lift
    )
}

fn facts(case: &Case, evaluation: &Evaluation, args: &DiagnoseArgs) -> Vec<String> {
    let config = case.policy.config();
    let (height, width) = config.image_size().unwrap_or_default();
    let mut facts = vec![
        format!(
            "{} executed of each chunk of {}; {width}×{height} pixels, state of {} numbers; trained on {} samples",
            case.execution,
            config.chunk_size,
            config.state_dim,
            case.policy.samples()
        ),
        format!(
            "{} scenes with {} brick(s) from seed base {}, at most {:.0} s a brick",
            args.episodes, args.bricks, args.seed_base, case.options.seconds_per_brick
        ),
    ];
    if let Some(time) = evaluation.time_to_finish_s() {
        facts.push(format!("solved scenes took {:.1} s (most {:.1} to {:.1} s)", time.median, time.low, time.high));
    }
    facts.push(format!("wall or box touched in {}", evaluation.collisions()));
    facts.push(format!(
        "ralphton {}, world {}, rapier3d {}",
        env!("CARGO_PKG_VERSION"),
        sim::SIM_VERSION,
        sim::RAPIER_VERSION
    ));
    facts
}

fn classes(evaluation: &Evaluation) -> Vec<FailureCount> {
    let classes = evaluation.failures().into_iter();
    classes.map(|(class, count)| FailureCount { class: class.title().to_owned(), count }).collect()
}

fn failed_line(scene: &FailedScene) -> FailedLine {
    FailedLine {
        scene: scene.result.scene,
        family: title_case(&scene.result.family),
        class: scene.result.failure.map_or("failed", |class| class.title()).to_owned(),
        deviation: scene.deviation.map(|deviation| deviation.to_string()),
        phase: scene.deviation.map(|deviation| deviation.phase.to_string()),
    }
}

fn group(distances: &Distances) -> Option<DistanceGroup> {
    let spread = distances.spread?;
    Some(DistanceGroup {
        name: distances.name.clone(),
        states: distances.states,
        nearer_than: (spread.low, spread.median, spread.high),
        off_data: distances.off_data,
    })
}

/// What the distances say about covariate shift.
fn shift(distances: &[Distances]) -> String {
    let [_, solved, failed] = distances else {
        return "not measured; name the training data with --dataset".to_owned();
    };
    if failed.states == 0 {
        return "no failed scene to measure".to_owned();
    }
    let told = format!(
        "{:.1} % of the states of failed scenes are off the data, {:.1} % of solved ones",
        100.0 * failed.off_data,
        100.0 * solved.off_data
    );
    if failed.off_data >= OFF_SHARE && failed.off_data >= OFF_FACTOR * solved.off_data {
        format!("covariate shift: {told}")
    } else {
        format!("no covariate shift to speak of: {told}")
    }
}

fn audit_line(finding: &Finding) -> AuditLine {
    AuditLine {
        variable: finding.variable.to_string(),
        twins: finding.twins,
        alike: finding.alike,
        conflicts: finding.conflicts,
        missing: finding.is_missing(),
    }
}
