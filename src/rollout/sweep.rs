//! The same policy on the same scenes, executed in several ways: what can be won without any training.

use super::evaluate::{Pilot, RolloutOptions, evaluate};
use super::evaluation::Evaluation;
use super::pairs::Pairs;
use super::{Execution, RolloutError, SceneSet};
use crate::base::{Cancel, Progress};
use crate::policy::Policy;
use crate::sim::StatePreset;
use serde::{Deserialize, Serialize};

/// Another way of executing must be better with at most this chance of luck, one-sided, to be preferred.
const LUCK: f64 = 0.1;

/// A sweep's order.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SweepPlan {
    /// The scenes; never those a policy is judged on, when the sweep is to choose.
    pub set: SceneSet,
    /// The ways of executing.
    pub executions: Vec<Execution>,
}

/// One way of executing, and what came of it.
#[derive(Debug, Clone, PartialEq)]
pub struct SweepRow {
    /// The way.
    pub execution: Execution,
    /// What came of it.
    pub evaluation: Evaluation,
}

/// The ways that are worth trying for chunks of `chunk` actions: 1, 5, 10 and 20 steps, and LeRobot's ensembling.
pub fn usual_executions(chunk: usize) -> Vec<Execution> {
    let steps = [1, 5, 10, 20].into_iter().filter(|steps| *steps as usize <= chunk).map(Execution::Steps);
    steps.chain([Execution::Ensemble { coefficient: 0.01 }]).collect()
}

/// Drives the scenes once for each way of executing. Cancelled: the rows finished by then.
///
/// # Errors
/// As [`evaluate`].
pub fn sweep(
    (policy, state): (&Policy, StatePreset),
    plan: &SweepPlan,
    options: &RolloutOptions,
    cancel: &Cancel,
    on_progress: &mut dyn FnMut(Progress),
) -> Result<Vec<SweepRow>, RolloutError> {
    let total = u64::from(plan.set.scenes) * plan.executions.len() as u64;
    let mut rows: Vec<SweepRow> = Vec::with_capacity(plan.executions.len());
    for execution in &plan.executions {
        let pilot = Pilot::executing(policy, state, *execution);
        let before = u64::from(plan.set.scenes) * rows.len() as u64;
        let evaluation = evaluate(&pilot, &plan.set, options, cancel, &mut |progress| {
            let note = format!("executing {execution}");
            on_progress(Progress { done: before + progress.done, total, unit: "scenes", note });
        })?;
        if !evaluation.finished {
            break;
        }
        rows.push(SweepRow { execution: *execution, evaluation });
    }
    Ok(rows)
}

/// The way to prefer over `usual`: the one that solves most, if luck hardly explains its gain over `usual` on the same
/// scenes. Few scenes decide nothing, and then `usual` stays.
pub fn preferred(rows: &[SweepRow], usual: Execution) -> Execution {
    let Some(reference) = rows.iter().find(|row| row.execution == usual) else { return usual };
    let better = rows.iter().filter(|row| {
        let pairs = Pairs::of_evaluations(&row.evaluation, &reference.evaluation);
        pairs.gained > pairs.lost && pairs.chance() <= LUCK
    });
    let solved = |row: &SweepRow| (row.evaluation.scenes().successes, row.evaluation.bricks().successes);
    better.max_by_key(|row| solved(row)).map_or(usual, |row| row.execution)
}

#[cfg(test)]
mod tests {
    use super::super::SceneResult;
    use super::super::testing::{CHUNK, green_policy};
    use super::*;
    use crate::base::EvaluationSeed;

    fn row(steps: u32, solved: &[bool]) -> SweepRow {
        let result = |(scene, solved): (usize, &bool)| SceneResult {
            scene: scene as u32,
            family: "open_floor".to_owned(),
            success: *solved,
            bricks: 1,
            delivered: u32::from(*solved),
            steps: 100,
            failure: None,
            end_x_m: 0.0,
            end_z_m: 0.0,
            distance_m: 0.0,
            contact_steps: 0,
        };
        let results = solved.iter().enumerate().map(result).collect();
        SweepRow { execution: Execution::Steps(steps), evaluation: Evaluation { results, ..Evaluation::default() } }
    }

    #[test]
    fn the_usual_way_stays_unless_another_is_clearly_better() {
        let usual = Execution::Steps(10);
        let (mut some, mut most) = ([false; 20], [false; 20]);
        some[..2].fill(true);
        most[..8].fill(true);
        assert_eq!(preferred(&[row(5, &some), row(10, &[false; 20])], usual), usual, "2 of 20 is luck");
        assert_eq!(preferred(&[row(5, &some), row(10, &[false; 20]), row(20, &most)], usual), Execution::Steps(20));
        assert_eq!(preferred(&[row(5, &most)], usual), usual, "nothing to compare with");
        assert_eq!(preferred(&[], usual), usual);
    }

    #[test]
    fn every_way_drives_the_same_scenes() {
        let policy = green_policy();
        let set = SceneSet { seed: EvaluationSeed(2), families: vec![], bricks: 1, scenes: 3 };
        let plan = SweepPlan { set, executions: usual_executions(CHUNK) };
        let options = RolloutOptions { seconds_per_brick: 1.5, ..RolloutOptions::default() };
        let with = (&policy, StatePreset::Full);
        let rows = sweep(with, &plan, &options, &Cancel::default(), &mut |_| ()).unwrap();
        let named: Vec<String> = rows.iter().map(|row| row.execution.to_string()).collect();
        assert_eq!(named, ["1 step", "5 steps", "ensemble 0.01"]);
        assert!(rows.iter().all(|row| row.evaluation.results.len() == 3));
    }
}
