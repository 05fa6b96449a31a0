//! Train: samples into a checkpoint, with canary rollouts on the way, since loss does not rank policies.

use super::{WorkEnd, WorkError, Workbench};
use crate::base::{Progress, Proportion};
use crate::cycle::spec::TrainSpec;
use crate::dataset::{TrainingSet, load_training_set};
use crate::policy::{ActConfig, HoldOut, Policy, TrainEvent, TrainOutcome, train};
use crate::rollout::{Evaluation, Pilot, evaluate};
use crate::store::{EvaluationKind, NewCheckpoint, NewEvaluation};
use serde_json::json;
use std::path::PathBuf;

pub(super) fn run(bench: &Workbench, spec: &TrainSpec) -> Result<WorkEnd, WorkError> {
    let set = load(bench, spec)?;
    let start = match spec.start {
        Some(checkpoint) => {
            // Loaded once to see that it is what was saved, before hours are built on it.
            bench.load_policy(checkpoint)?;
            Some(bench.checkpoint_dir(checkpoint)?)
        }
        None => None,
    };
    let seen_before = match spec.start {
        Some(checkpoint) => bench.wait(bench.store.checkpoint(checkpoint))?.map_or(0, |row| row.samples_seen),
        None => 0,
    };
    let config = ActConfig::preset(&spec.policy, set.height, set.width, set.state_dim, spec.chunk)?;
    let work_dir = bench.job_dir.join("training");
    let mut report = bench.reporter();
    let mut failure: Option<WorkError> = None;
    let outcome = train(&set, &config, start.as_deref(), &spec.plan, &work_dir, &bench.cancel, &mut |event| {
        let handled = match event {
            TrainEvent::Step { samples, loss, learning_rate, samples_per_s, seconds_left, .. } => {
                report(Progress {
                    done: samples,
                    total: spec.plan.samples,
                    unit: "samples",
                    note: format!("loss {loss:.3}, {samples_per_s:.0} samples/s, {seconds_left:.0} s left"),
                });
                let row = bench.store.add_training_point(bench.job.id, samples, loss, learning_rate);
                bench.wait(row).map_err(WorkError::from)
            }
            TrainEvent::HoldOut(found) => {
                log_hold_out(found);
                Ok(())
            }
            TrainEvent::Snapshot { samples, policy, scenes } => {
                canary(bench, spec, policy, samples, seen_before + samples).map(|solved| *scenes = solved)
            }
        };
        if let Err(error) = handled {
            // The first error ends the training at its next safe point; later ones are consequences.
            failure.get_or_insert(error);
            bench.cancel.cancel();
        }
    })?;
    if let Some(error) = failure {
        return Err(error);
    }
    if outcome.finished {
        return finish(bench, spec, &outcome, seen_before).map(WorkEnd::Done);
    }
    if !bench.overdue.is_cancelled() || !outcome.final_loss.is_finite() {
        return bench.stopped("too few samples were trained by then to keep the weights");
    }
    let mut result = finish(bench, spec, &outcome, seen_before)?;
    result["cut"] = bench.cut(outcome.samples, spec.plan.samples, "samples");
    Ok(WorkEnd::Done(result))
}

fn load(bench: &Workbench, spec: &TrainSpec) -> Result<TrainingSet, WorkError> {
    let mut dirs = Vec::with_capacity(spec.datasets.len());
    for id in &spec.datasets {
        let row = bench.wait(bench.store.dataset(*id))?;
        let row = row.ok_or_else(|| WorkError::Missing(format!("dataset {id} is not in the store any more")))?;
        dirs.push(PathBuf::from(row.path));
    }
    bench.reporter()(Progress {
        done: 0,
        total: spec.plan.samples,
        unit: "samples",
        note: format!("reading {} dataset(s)", dirs.len()),
    });
    Ok(load_training_set(&dirs, spec.chunk, Some(spec.memory_samples))?)
}

/// A short closed-loop rollout of the weights as they are now; the scenes solved, unless it was cancelled.
fn canary(
    bench: &Workbench,
    spec: &TrainSpec,
    policy: &Policy,
    samples: u64,
    samples_seen: u64,
) -> Result<Option<Proportion>, WorkError> {
    let pilot = Pilot::Policy { policy, state: spec.state, execute_steps: spec.execute_steps };
    let evaluation = evaluate(&pilot, &spec.canary, &spec.options, &bench.cancel, &mut |_| {})?;
    if !evaluation.finished {
        return Ok(None);
    }
    let row = NewEvaluation {
        kind: EvaluationKind::Canary,
        loop_id: bench.job.loop_id,
        job_id: Some(bench.job.id),
        checkpoint_id: None,
        samples_seen,
        execute_steps: spec.execute_steps,
        scenes: evaluation.scenes(),
        bricks: evaluation.bricks(),
        summary: super::evaluate::summary(&evaluation),
    };
    let key = format!("{}/canary-{samples}", bench.job.key);
    bench.wait(bench.store.add_evaluation(&row, &super::evaluate::scene_rows(&evaluation, &[]), &key, bench.now()))?;
    log_canary(&evaluation, samples);
    Ok(Some(evaluation.scenes()))
}

fn log_hold_out(found: &HoldOut) {
    let HoldOut { samples, loss, blank_image, shuffled_images, previous_action, mean_action, .. } = *found;
    tracing::info!(samples, loss, blank_image, shuffled_images, previous_action, mean_action, "held-out episodes");
}

fn log_canary(evaluation: &Evaluation, samples: u64) {
    tracing::info!(samples, scenes = %evaluation.scenes(), "canary rollout");
}

fn finish(
    bench: &Workbench,
    spec: &TrainSpec,
    outcome: &TrainOutcome,
    seen_before: u64,
) -> Result<serde_json::Value, WorkError> {
    let dir = bench.job_dir.join("checkpoint");
    if dir.exists() {
        std::fs::remove_dir_all(&dir).map_err(|source| WorkError::Io { path: dir.clone(), source })?;
    }
    outcome.policy.save(&dir)?;
    let (artifact, path) = bench.artifacts.adopt_dir(&dir, "checkpoint")?;
    let rate = outcome.samples as f64 / outcome.seconds.max(1e-3);
    let row = NewCheckpoint {
        loop_id: bench.job.loop_id,
        job_id: Some(bench.job.id),
        parent: spec.start,
        artifact,
        path: path.display().to_string(),
        samples_seen: seen_before + outcome.samples,
        final_loss: outcome.final_loss,
        summary: json!({
            "provenance": bench.provenance(),
            "seconds": outcome.seconds,
            "best": outcome.best,
            "held_out": outcome.held_out.last(),
        }),
    };
    let checkpoint = bench.wait(bench.store.add_checkpoint(&row, bench.now()))?;
    bench.wait(bench.store.set_measurement("train.samples_per_s", rate, "samples/s", bench.now()))?;
    let evaluations = bench.wait(bench.store.evaluations(bench.job.loop_id))?;
    let canaries: Vec<_> = evaluations
        .iter()
        .filter(|e| e.job_id == Some(bench.job.id) && e.kind == EvaluationKind::Canary)
        .map(|e| -> (u64, Proportion) { (e.samples_seen - seen_before, e.scenes) })
        .map(|(samples, scenes)| json!({ "samples": samples, "scenes": scenes }))
        .collect();
    Ok(json!({
        "checkpoint": checkpoint,
        "samples": outcome.samples,
        "final_loss": outcome.final_loss,
        "seconds": outcome.seconds,
        "samples_per_s": rate,
        "canaries": canaries,
        "best": outcome.best,
        "stopped": outcome.stopped.map(|stop| stop.to_string()),
        "held_out": outcome.held_out.last(),
    }))
}
