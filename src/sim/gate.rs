//! The expert's gate: data from an expert that does not master its own scenes is refused.
//!
//! Scenes are split statically over the threads and counted per family, so the report is the same for any number of
//! threads.

use super::expert::expert;
use super::scenario::{Family, families};
use super::world::World;
use crate::base::{Proportion, Seed};
use serde::{Deserialize, Serialize};
use std::fmt;

/// Control steps an expert may take per brick: 50 s.
pub const STEPS_PER_BRICK: usize = 500;
/// Least success over all families.
const LEAST_RATE: f64 = 0.995;
/// Least success of one family.
const LEAST_FAMILY_RATE: f64 = 0.98;

/// The expert in one family.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct FamilyResult {
    /// Name of the family.
    pub family: String,
    /// Scenes with every brick delivered in time.
    pub success: Proportion,
    /// Mean control steps of the successful scenes, per brick.
    pub mean_steps_per_brick: f64,
    /// Numbers of the scenes that failed, at most eight.
    pub failed_scenes: Vec<u64>,
}

impl FamilyResult {
    /// Whether the expert masters this family.
    pub fn passes(&self) -> bool {
        self.success.rate() >= LEAST_FAMILY_RATE
    }
}

/// The table that people read: a line for each family, and what is needed.
impl fmt::Display for GateReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for family in &self.families {
            let (solved, of) = (family.success.successes, family.success.trials);
            write!(f, "  {:<24} {solved:>4}/{of:<4} {:>6.2} %", family.family, 100.0 * family.success.rate())?;
            write!(f, "  {:>4.0} steps a brick", family.mean_steps_per_brick)?;
            if !family.passes() {
                write!(f, "  below {:.0} %", 100.0 * LEAST_FAMILY_RATE)?;
            }
            if !family.failed_scenes.is_empty() {
                write!(f, "  failed: {:?}", family.failed_scenes)?;
            }
            writeln!(f)?;
        }
        let (solved, of, rate) = (self.total.successes, self.total.trials, 100.0 * self.total.rate());
        let verdict = if self.passes() { "passes" } else { "refused" };
        write!(f, "  {:<24} {solved:>4}/{of:<4} {rate:>6.2} %  {verdict}: at least ", "all")?;
        write!(f, "{:.1} % over all and {:.0} % in each", 100.0 * LEAST_RATE, 100.0 * LEAST_FAMILY_RATE)
    }
}

/// The expert over all families.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct GateReport {
    /// Bricks per scene.
    pub bricks: usize,
    /// One entry per family, in the file's order.
    pub families: Vec<FamilyResult>,
    /// All scenes together.
    pub total: Proportion,
}

impl GateReport {
    /// Adds the families up.
    pub fn new(bricks: usize, families: Vec<FamilyResult>) -> Self {
        let sum = |count: fn(Proportion) -> u32| families.iter().map(|family| count(family.success)).sum();
        let total = Proportion::new(sum(|p| p.successes), sum(|p| p.trials));
        Self { bricks, families, total }
    }

    /// Whether the expert is good enough to make data: 99.5 % over all and 98 % in every family.
    pub fn passes(&self) -> bool {
        self.total.rate() >= LEAST_RATE && self.families.iter().all(FamilyResult::passes)
    }
}

/// [`family_gate`] of the families that come with the simulator.
pub fn expert_gate(seed: Seed, scenes_per_family: usize, bricks: usize, threads: usize) -> GateReport {
    family_gate(families(), seed, scenes_per_family, bricks, threads)
}

/// Lets the expert drive `scenes_per_family` scenes of each family with this many bricks on `threads` threads.
/// A scene that cannot be drawn counts as failed.
pub fn family_gate(
    families: &[Family],
    seed: Seed,
    scenes_per_family: usize,
    bricks: usize,
    threads: usize,
) -> GateReport {
    let jobs: Vec<(&Family, u64)> =
        families.iter().flat_map(|family| (0..scenes_per_family as u64).map(move |index| (family, index))).collect();
    let share = jobs.len().div_ceil(threads.max(1)).max(1);
    let outcomes: Vec<Option<usize>> = std::thread::scope(|scope| {
        let workers: Vec<_> = jobs
            .chunks(share)
            .map(|part| {
                let run = move || part.iter().map(|(family, i)| drive(seed, family, *i, bricks)).collect::<Vec<_>>();
                (part.len(), scope.spawn(run))
            })
            .collect();
        // A thread that panicked counts as having failed its whole share.
        workers.into_iter().flat_map(|(len, worker)| worker.join().unwrap_or_else(|_| vec![None; len])).collect()
    });
    let results: Vec<FamilyResult> = families
        .iter()
        .zip(outcomes.chunks(scenes_per_family.max(1)))
        .map(|(family, part)| summarise(&family.name, part, bricks))
        .collect();
    GateReport::new(bricks, results)
}

/// Steps until every brick was delivered, `None` when time ran out.
fn drive(seed: Seed, family: &Family, index: u64, bricks: usize) -> Option<usize> {
    let mut rng = seed.child(&family.name, index).rng();
    let scene = family.sample(bricks, &mut rng).ok()?;
    let mut world = World::new(&scene).ok()?;
    for step in 0..STEPS_PER_BRICK * bricks {
        if world.is_done() {
            return Some(step);
        }
        let next = expert(world.state());
        world.step(next);
    }
    world.is_done().then_some(STEPS_PER_BRICK * bricks)
}

fn summarise(name: &str, outcomes: &[Option<usize>], bricks: usize) -> FamilyResult {
    let steps: Vec<usize> = outcomes.iter().copied().flatten().collect();
    let failed = outcomes.iter().zip(0_u64..).filter(|(outcome, _)| outcome.is_none()).map(|(_, index)| index);
    FamilyResult {
        family: name.to_owned(),
        success: Proportion::new(steps.len() as u32, outcomes.len() as u32),
        mean_steps_per_brick: steps.iter().sum::<usize>() as f64 / (steps.len() * bricks).max(1) as f64,
        failed_scenes: failed.take(8).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_report_does_not_depend_on_the_number_of_threads() {
        let report = |threads| expert_gate(Seed(3), 2, 1, threads);
        assert_eq!(report(1), report(3));
    }

    #[test]
    fn the_expert_masters_its_scenes() {
        let report = expert_gate(Seed(11), 8, 1, 2);
        assert!(report.total.rate() > 0.97, "{report:?}");
    }

    #[test]
    fn a_family_has_the_same_scenes_whichever_others_are_judged() {
        let alone = family_gate(&families()[4..5], Seed(3), 2, 1, 1);
        assert_eq!(alone.families[0], expert_gate(Seed(3), 2, 1, 2).families[4]);
    }

    #[test]
    fn one_weak_family_fails_the_gate() {
        let family = |name: &str, successes| FamilyResult {
            family: name.to_owned(),
            success: Proportion::new(successes, 100),
            mean_steps_per_brick: 200.0,
            failed_scenes: Vec::new(),
        };
        let good = (0..12).map(|_| family("good", 100));
        let report = GateReport {
            bricks: 1,
            families: good.chain([family("weak", 95)]).collect(),
            total: Proportion::new(1295, 1300),
        };
        assert!(report.total.rate() > LEAST_RATE && !report.passes());
        let table = report.to_string();
        assert!(table.contains("below 98 %") && table.contains("refused"), "{table}");
    }
}
