//! Evaluate: a checkpoint on hidden scenes. Every scene's outcome and trace is kept, failures are diagnosed, a failure is
//! filmed beside the expert and a success alone. Before, other ways of executing the chunks may be tried on scenes that
//! nobody is judged on.

use super::{WorkEnd, WorkError, Workbench};
use crate::base::ArtifactId;
use crate::cycle::spec::EvaluateSpec;
use crate::policy::Policy;
use crate::rollout::{
    Evaluation, Execution, FailedScene, Pairs, Phase, Pilot, Run, SweepRow, TraceWriter, diagnose, drive,
    evaluate_each, film, film_beside, preferred, sweep,
};
use crate::store::{ArtifactRow, EvaluationKind, NewEvaluation, SceneRow};
use serde_json::{Value, json};

/// A clip shows at most this much of a scene: as long as a brick may take, so that a solved scene is seen solved.
const CLIP_SECONDS: f32 = 50.0;
/// First deviations that are kept with an evaluation; the traces have them all.
const MOST_DEVIATIONS: usize = 60;

pub(super) fn run(bench: &Workbench, spec: &EvaluateSpec) -> Result<WorkEnd, WorkError> {
    let policy = bench.load_policy(spec.checkpoint)?;
    let Some(swept) = try_ways(bench, spec, &policy)? else { return Ok(WorkEnd::Cancelled) };
    let pilot = Pilot::executing(&policy, spec.state, swept.execution);
    let mut report = bench.reporter();
    let (mut traces, mut runs) = (TraceWriter::new(&spec.set)?, Vec::new());
    let evaluation =
        evaluate_each(&pilot, &spec.set, &spec.options, &bench.cancel, &mut report, &mut |result, trace| {
            traces.add(result, &trace)?;
            runs.push(Run { result: result.clone(), actions: trace.actions });
            Ok(())
        })?;
    if !evaluation.finished {
        let driven = format!("{} of {} scenes were driven by then", evaluation.results.len(), spec.set.scenes);
        return bench.stopped(&driven);
    }
    let failed = diagnose(&spec.set, &runs, spec.options.threads)?;
    let clips = film_some(bench, spec, &runs, &failed)?;
    let checkpoint = bench.wait(bench.store.checkpoint(spec.checkpoint))?;
    let mut figures = summary(&evaluation);
    figures["traces"] = json!(keep_traces(bench, traces)?);
    figures["sweep"] = swept.figures;
    figures["phases"] = json!(phases(&failed));
    figures["deviations"] = failed.iter().filter_map(deviation).take(MOST_DEVIATIONS).collect();
    let row = NewEvaluation {
        kind: if bench.job.stage.is_some() { EvaluationKind::Loop } else { EvaluationKind::AdHoc },
        loop_id: bench.job.loop_id,
        job_id: Some(bench.job.id),
        checkpoint_id: Some(spec.checkpoint),
        samples_seen: checkpoint.map_or(0, |row| row.samples_seen),
        execute_steps: swept.execution.steps(),
        scenes: evaluation.scenes(),
        bricks: evaluation.bricks(),
        summary: figures,
    };
    let scenes = scene_rows(&evaluation, &clips);
    let id = bench.wait(bench.store.add_evaluation(&row, &scenes, &bench.job.key, bench.now()))?;
    let rate = evaluation.results.len() as f64 / evaluation.seconds.max(1e-3);
    bench.wait(bench.store.set_measurement("evaluate.scenes_per_s", rate, "scenes/s", bench.now()))?;
    let mut result = summary(&evaluation);
    result["evaluation"] = json!(id);
    result["scenes"] = json!(evaluation.scenes());
    result["bricks"] = json!(evaluation.bricks());
    result["clips"] = clips.iter().map(Clip::to_json).collect();
    Ok(WorkEnd::Done(result))
}

/// What the sweep decided, and its figures; null figures when there was none.
struct Swept {
    execution: Execution,
    figures: Value,
}

/// Tries the ways of executing that the specification names. None: stopped on request.
fn try_ways(bench: &Workbench, spec: &EvaluateSpec, policy: &Policy) -> Result<Option<Swept>, WorkError> {
    let planned = Execution::Steps(spec.execute_steps);
    let Some(plan) = &spec.sweep else { return Ok(Some(Swept { execution: planned, figures: Value::Null })) };
    let mut report = bench.reporter();
    let rows = sweep((policy, spec.state), plan, &spec.options, &bench.cancel, &mut report)?;
    if rows.len() < plan.executions.len() {
        return Ok(None);
    }
    let execution = preferred(&rows, planned);
    let said = if execution == planned {
        format!("no other way is clearly better than {planned} on {} canary scenes", plan.set.scenes)
    } else {
        format!("{execution} instead of {planned}: clearly better on {} canary scenes", plan.set.scenes)
    };
    let rows: Vec<Value> = rows.iter().map(|row| way(row, &rows, planned)).collect();
    Ok(Some(Swept { execution, figures: json!({ "said": said, "rows": rows }) }))
}

fn way(row: &SweepRow, rows: &[SweepRow], planned: Execution) -> Value {
    let reference = rows.iter().find(|row| row.execution == planned);
    let pairs = reference.map(|reference| Pairs::of_evaluations(&row.evaluation, &reference.evaluation));
    json!({
        "name": row.execution.to_string(),
        "execution": row.execution,
        "scenes": row.evaluation.scenes(),
        "bricks": row.evaluation.bricks(),
        "against_planned": pairs.map(|pairs| pairs.to_string()),
        "seconds": row.evaluation.seconds,
    })
}

/// Keeps the traces as a file of their own.
fn keep_traces(bench: &Workbench, traces: TraceWriter) -> Result<ArtifactId, WorkError> {
    let file = traces.finish()?;
    let bytes = file.bytes.len() as u64;
    let id = bench.wait(bench.artifacts.put(file.bytes, "parquet"))?;
    let row = ArtifactRow {
        id: id.clone(),
        kind: "traces".to_owned(),
        bytes,
        producer: format!("job {}", bench.job.id),
        provenance: json!({ "job": bench.job.id, "key": bench.job.key, "kept": file.kept, "left_out": file.left_out }),
    };
    bench.wait(bench.store.add_artifact(&row, bench.now()))?;
    Ok(id)
}

/// A filmed scene.
pub(super) struct Clip {
    scene: u32,
    success: bool,
    artifact: ArtifactId,
}

impl Clip {
    fn to_json(&self) -> Value {
        let outcome = if self.success { "solved" } else { "failed" };
        json!({
            "artifact": self.artifact,
            "name": format!("scene-{}-{outcome}.gif", self.scene),
            "scene": self.scene,
            "success": self.success,
        })
    }
}

/// Films half of the clips from failed scenes, beside the expert, and half from solved ones, or all from one kind when
/// there is no other.
fn film_some(
    bench: &Workbench,
    spec: &EvaluateSpec,
    runs: &[Run],
    failed: &[FailedScene],
) -> Result<Vec<Clip>, WorkError> {
    let wanted = spec.clips as usize;
    let (solved, lost): (Vec<&Run>, Vec<&Run>) = runs.iter().partition(|run| run.result.success);
    let from_failed = wanted.div_ceil(2).max(wanted.saturating_sub(solved.len())).min(lost.len());
    let chosen = lost.iter().take(from_failed).chain(solved.iter().take(wanted - from_failed));
    let mut clips = Vec::with_capacity(wanted);
    for run in chosen {
        let (scene, success) = (run.result.scene, run.result.success);
        let clip = if success {
            film(&spec.set, scene, &run.actions, CLIP_SECONDS)?
        } else {
            let found = failed.iter().find(|one| one.result.scene == scene).and_then(|one| one.deviation);
            let (_, expert) = drive(&Pilot::Expert, &spec.set, scene, &spec.options)?;
            film_beside(&spec.set, scene, (&run.actions, &expert.actions), found.as_ref(), CLIP_SECONDS)?
        };
        let artifact = bench.wait(bench.artifacts.put(clip.to_gif()?, "gif"))?;
        clips.push(Clip { scene, success, artifact });
    }
    Ok(clips)
}

/// The figures of an evaluation that have no column of their own.
pub(super) fn summary(evaluation: &Evaluation) -> Value {
    let failures: Vec<_> = evaluation.failures().into_iter().map(|(class, count)| (class.as_str(), count)).collect();
    json!({
        "per_family": evaluation.per_family(),
        "failures": failures,
        "seconds": evaluation.seconds,
        "time_to_finish_s": evaluation.time_to_finish_s(),
        "distance_m": evaluation.distance_m(),
        "collisions": evaluation.collisions(),
    })
}

/// Failed scenes by what the loader was about when it first went wrong, most frequent first.
fn phases(failed: &[FailedScene]) -> Vec<(&'static str, usize)> {
    let count = |phase: Phase| {
        failed.iter().filter(|scene| scene.deviation.is_some_and(|deviation| deviation.phase == phase)).count()
    };
    let mut phases: Vec<_> = Phase::ALL.iter().map(|phase| (phase.as_str(), count(*phase))).collect();
    phases.retain(|(_, count)| *count > 0);
    phases.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
    phases
}

fn deviation(scene: &FailedScene) -> Option<Value> {
    let deviation = scene.deviation?;
    Some(json!({
        "scene": scene.result.scene,
        "class": scene.result.failure.map(|class| class.as_str()),
        "time_s": deviation.time_s(),
        "x_m": deviation.x_m,
        "z_m": deviation.z_m,
        "phase": deviation.phase,
        "text": deviation.to_string(),
    }))
}

/// One row for each scene.
pub(super) fn scene_rows(evaluation: &Evaluation, clips: &[Clip]) -> Vec<SceneRow> {
    evaluation
        .results
        .iter()
        .map(|result| SceneRow {
            scene: result.scene,
            family: result.family.clone(),
            success: result.success,
            bricks: result.bricks,
            delivered: result.delivered,
            steps: result.steps,
            failure: result.failure.map(|class| class.as_str().to_owned()),
            x_m: f64::from(result.end_x_m),
            z_m: f64::from(result.end_z_m),
            clip: clips.iter().find(|clip| clip.scene == result.scene).map(|clip| clip.artifact.clone()),
        })
        .collect()
}
