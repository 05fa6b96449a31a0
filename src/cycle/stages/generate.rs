//! Generate: episodes into a dataset. What is complete at a stop is kept, and the rest is made later.

use super::{WorkEnd, WorkError, Workbench};
use crate::base::{Progress, Proportion};
use crate::cycle::spec::GenerateSpec;
use crate::dataset::DatasetError;
use crate::episodes::{EpisodesError, Order, Outcome, generate};
use crate::store::{DatasetRow, NewDataset};
use serde_json::json;

pub(super) fn run(bench: &Workbench, spec: &GenerateSpec) -> Result<WorkEnd, WorkError> {
    let driver = match spec.driver {
        Some(checkpoint) => Some(bench.load_policy(checkpoint)?),
        None => None,
    };
    let made: u32 = parts(bench)?.iter().map(made_by).sum();
    if made < spec.order.episodes {
        let order = Order { skip: made, ..spec.order.clone() };
        let dir = bench.job_dir.join(format!("dataset-{made:06}"));
        let policy = driver.as_ref().map(|policy| (policy, spec.execute_steps));
        let mut report = bench.reporter();
        let mut report = |mut progress: Progress| {
            progress.done += u64::from(made);
            progress.total += u64::from(made);
            report(progress);
        };
        // A dataset that was finished but not yet recorded when the process died is found again, a begun one gone on
        // with. Only when the program changed in between is it made anew.
        let mut outcome = generate(&order, policy, &dir, &bench.cancel, &mut report);
        if let Err(EpisodesError::Dataset(DatasetError::Different { path, .. })) = &outcome {
            std::fs::remove_dir_all(path).map_err(|source| WorkError::Io { path: path.clone(), source })?;
            outcome = generate(&order, policy, &dir, &bench.cancel, &mut report);
        }
        let outcome = match outcome {
            Err(EpisodesError::Cancelled) => return end_early(bench, spec),
            outcome => outcome?,
        };
        if outcome.episodes > 0 {
            record(bench, &order, &dir, &outcome)?;
        }
        if !outcome.finished {
            return end_early(bench, spec);
        }
    }
    Ok(WorkEnd::Done(result(&parts(bench)?)))
}

/// The order was stopped: when its time is over, the episodes complete by then are what there is.
fn end_early(bench: &Workbench, spec: &GenerateSpec) -> Result<WorkEnd, WorkError> {
    let parts = parts(bench)?;
    if parts.is_empty() || !bench.overdue.is_cancelled() {
        return bench.stopped("no episode was complete by then");
    }
    let made: u32 = parts.iter().map(made_by).sum();
    let mut result = result(&parts);
    result["cut"] = bench.cut(u64::from(made), u64::from(spec.order.episodes), "episodes");
    Ok(WorkEnd::Done(result))
}

/// The datasets this job has already recorded.
fn parts(bench: &Workbench) -> Result<Vec<DatasetRow>, WorkError> {
    let all = bench.wait(bench.store.datasets())?;
    Ok(all.into_iter().filter(|row| row.job_id == Some(bench.job.id)).collect())
}

/// Episodes that a dataset accounts for, kept or discarded.
fn made_by(row: &DatasetRow) -> u32 {
    row.summary["made"].as_u64().and_then(|made| u32::try_from(made).ok()).unwrap_or(row.episodes)
}

fn record(bench: &Workbench, order: &Order, dir: &std::path::Path, outcome: &Outcome) -> Result<(), WorkError> {
    let (artifact, path) = bench.artifacts.adopt_dir(dir, "dataset")?;
    let row = NewDataset {
        loop_id: bench.job.loop_id,
        job_id: Some(bench.job.id),
        artifact,
        path: path.display().to_string(),
        episodes: outcome.episodes,
        frames: u32::try_from(outcome.summary.frames).unwrap_or(u32::MAX),
        samples: outcome.labelled_frames,
        strategy: if order.dagger_share > 0.0 { "dagger".to_owned() } else { "expert".to_owned() },
        summary: json!({
            "provenance": bench.provenance(),
            "made": outcome.made,
            "seconds": outcome.seconds,
            "expert_success": outcome.success,
            "discarded": outcome.discarded,
            "bytes": outcome.summary.bytes,
        }),
    };
    bench.wait(bench.store.add_dataset(&row, bench.now()))?;
    let rate = f64::from(outcome.episodes) / outcome.seconds.max(1e-3);
    bench.wait(bench.store.set_measurement("generate.episodes_per_s", rate, "episodes/s", bench.now()))?;
    Ok(())
}

fn result(parts: &[DatasetRow]) -> serde_json::Value {
    let sum = |key: &str| parts.iter().filter_map(|row| row.summary[key].as_f64()).sum::<f64>();
    let success: Vec<Proportion> =
        parts.iter().filter_map(|row| serde_json::from_value(row.summary["expert_success"].clone()).ok()).collect();
    json!({
        "dataset": parts.last().map(|row| row.id),
        "episodes": parts.iter().map(|row| row.episodes).sum::<u32>(),
        "frames": parts.iter().map(|row| row.frames).sum::<u32>(),
        "samples": parts.iter().map(|row| row.samples).sum::<u32>(),
        "seconds": sum("seconds"),
        "discarded": sum("discarded") as u64,
        "bytes": sum("bytes") as u64,
        "expert_success": Proportion::new(
            success.iter().map(|p| p.successes).sum(),
            success.iter().map(|p| p.trials).sum(),
        ),
    })
}
