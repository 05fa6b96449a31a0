//! Evaluate: a checkpoint on hidden scenes, every scene's outcome kept, a failure and a success filmed.

use super::{WorkEnd, WorkError, Workbench};
use crate::base::ArtifactId;
use crate::cycle::spec::EvaluateSpec;
use crate::rollout::{Evaluation, Pilot, evaluate, film};
use crate::store::{EvaluationKind, NewEvaluation, SceneRow};
use serde_json::json;

/// A clip shows at most this much of a scene: as long as a brick may take, so that a solved scene is seen solved.
const CLIP_SECONDS: f32 = 50.0;

pub(super) fn run(bench: &Workbench, spec: &EvaluateSpec) -> Result<WorkEnd, WorkError> {
    let policy = bench.load_policy(spec.checkpoint)?;
    let pilot = Pilot::Policy { policy: &policy, state: spec.state, execute_steps: spec.execute_steps };
    let mut report = bench.reporter();
    let evaluation = evaluate(&pilot, &spec.set, &spec.options, &bench.cancel, &mut report)?;
    if !evaluation.finished {
        let driven = format!("{} of {} scenes were driven by then", evaluation.results.len(), spec.set.scenes);
        return bench.stopped(&driven);
    }
    let clips = film_some(bench, &pilot, spec, &evaluation)?;
    let checkpoint = bench.wait(bench.store.checkpoint(spec.checkpoint))?;
    let row = NewEvaluation {
        kind: if bench.job.stage.is_some() { EvaluationKind::Loop } else { EvaluationKind::AdHoc },
        loop_id: bench.job.loop_id,
        job_id: Some(bench.job.id),
        checkpoint_id: Some(spec.checkpoint),
        samples_seen: checkpoint.map_or(0, |row| row.samples_seen),
        execute_steps: spec.execute_steps,
        scenes: evaluation.scenes(),
        bricks: evaluation.bricks(),
        summary: summary(&evaluation),
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

/// A filmed scene.
pub(super) struct Clip {
    scene: u32,
    success: bool,
    artifact: ArtifactId,
}

impl Clip {
    fn to_json(&self) -> serde_json::Value {
        let outcome = if self.success { "solved" } else { "failed" };
        json!({
            "artifact": self.artifact,
            "name": format!("scene-{}-{outcome}.gif", self.scene),
            "scene": self.scene,
            "success": self.success,
        })
    }
}

/// Films half of the clips from failed scenes and half from solved ones, or all from one kind when there is no other.
fn film_some(
    bench: &Workbench,
    pilot: &Pilot<'_>,
    spec: &EvaluateSpec,
    evaluation: &Evaluation,
) -> Result<Vec<Clip>, WorkError> {
    let wanted = spec.clips as usize;
    let (solved, failed): (Vec<_>, Vec<_>) = evaluation.results.iter().partition(|result| result.success);
    let from_failed = wanted.div_ceil(2).max(wanted.saturating_sub(solved.len())).min(failed.len());
    let chosen = failed.iter().take(from_failed).chain(solved.iter().take(wanted - from_failed));
    let mut clips = Vec::with_capacity(wanted);
    for result in chosen {
        let film = film(pilot, &spec.set, result.scene, &spec.options, CLIP_SECONDS)?;
        let artifact = bench.wait(bench.artifacts.put(film.to_gif()?, "gif"))?;
        clips.push(Clip { scene: result.scene, success: result.success, artifact });
    }
    Ok(clips)
}

/// The figures of an evaluation that have no column of their own.
pub(super) fn summary(evaluation: &Evaluation) -> serde_json::Value {
    let failures: Vec<_> = evaluation.failures().into_iter().map(|(class, count)| (class.as_str(), count)).collect();
    json!({
        "per_family": evaluation.per_family(),
        "failures": failures,
        "seconds": evaluation.seconds,
    })
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
