//! Feedback: the gate compares challenger and champion on the same hidden scenes and writes down what follows.

use super::{WorkEnd, WorkError, Workbench};
use crate::base::{EvaluationId, Progress};
use crate::cycle::gate::{Outcome, judge};
use crate::cycle::spec::FeedbackSpec;
use crate::rollout::{Pilot, evaluate};
use crate::store::{CheckpointRow, EvaluationKind};
use serde_json::json;

pub(super) fn run(bench: &Workbench, spec: &FeedbackSpec) -> Result<WorkEnd, WorkError> {
    let challenger = outcomes(bench, spec.evaluation)?;
    let champion = bench.wait(bench.store.champion())?;
    let before = match &champion {
        // The same job ran before and was cut off after its promotion: the verdict is in the row already.
        Some(champion) if champion.id == spec.how.checkpoint => return Ok(WorkEnd::Done(again(bench, spec)?)),
        Some(champion) => match drive(bench, spec, champion)? {
            Some(outcomes) => outcomes,
            None => return bench.stopped("the champion had not driven all scenes by then"),
        },
        None => Vec::new(),
    };
    let verdict = judge(&challenger, &before);
    if verdict.promoted {
        bench.wait(bench.store.promote(spec.how.checkpoint, bench.now()))?;
    }
    Ok(WorkEnd::Done(result(bench, spec, verdict.promoted, &verdict.reason)?))
}

fn outcomes(bench: &Workbench, evaluation: EvaluationId) -> Result<Vec<Outcome>, WorkError> {
    let scenes = bench.wait(bench.store.scenes_of(evaluation))?;
    Ok(scenes.into_iter().map(|row| Outcome { scene: row.scene, family: row.family, solved: row.success }).collect())
}

/// Drives the champion on the challenger's scenes, with as many executed steps as it was crowned with. None: stopped on
/// request.
fn drive(bench: &Workbench, spec: &FeedbackSpec, champion: &CheckpointRow) -> Result<Option<Vec<Outcome>>, WorkError> {
    let mut execute_steps = spec.how.execute_steps;
    // Its own loop may have driven exactly these scenes already.
    for row in bench.wait(bench.store.evaluations(champion.loop_id))? {
        let job = match row.job_id {
            Some(id) => bench.wait(bench.store.job(id))?,
            None => None,
        };
        let how = job.and_then(|job| serde_json::from_value(job.spec).ok());
        let same = match how {
            Some(crate::cycle::spec::JobSpec::Evaluate(how)) => {
                if how.checkpoint == champion.id && row.kind == EvaluationKind::Loop {
                    execute_steps = row.execute_steps;
                }
                how.checkpoint == champion.id && how.set == spec.how.set && how.options == spec.how.options
            }
            _ => false,
        };
        if same {
            return outcomes(bench, row.id).map(Some);
        }
    }
    let policy = bench.load_policy(champion.id)?;
    let pilot = Pilot::Policy { policy: &policy, state: spec.how.state, execute_steps };
    let mut report = bench.reporter();
    let evaluation = evaluate(&pilot, &spec.how.set, &spec.how.options, &bench.cancel, &mut |progress| {
        report(Progress { note: "the champion drives the same scenes".to_owned(), ..progress });
    })?;
    if !evaluation.finished {
        return Ok(None);
    }
    let outcomes = evaluation
        .results
        .into_iter()
        .map(|result| Outcome { scene: result.scene, family: result.family, solved: result.success })
        .collect();
    Ok(Some(outcomes))
}

/// The result of a job that promoted and was cut off before its row was finished.
fn again(bench: &Workbench, spec: &FeedbackSpec) -> Result<serde_json::Value, WorkError> {
    result(bench, spec, true, "promoted; the comparison was made before a restart")
}

fn result(
    bench: &Workbench,
    spec: &FeedbackSpec,
    promoted: bool,
    reason: &str,
) -> Result<serde_json::Value, WorkError> {
    let evaluation = bench.wait(bench.store.evaluation(spec.evaluation))?;
    let scenes = evaluation
        .map(|row| row.scenes)
        .ok_or_else(|| WorkError::Missing(format!("evaluation {} is not in the store any more", spec.evaluation)))?;
    Ok(json!({
        "promoted": promoted,
        "reason": reason,
        "target_met": promoted && scenes.rate() >= spec.target_success,
        "scenes": scenes,
        "next": spec.plan,
    }))
}
