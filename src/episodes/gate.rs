//! The expert's gate before any data is made: who drives the demonstrations must master every family.
//!
//! A family's result depends on the simulator's version, which the program carries, and on the family alone; so it is
//! found out once in a process, and a changed or proposed family is tried anew. A small order is a look at the data,
//! not something to learn from: there only proposed families are tried, as the simulator's own are tried with it.

use super::EpisodesError;
use crate::base::Seed;
use crate::sim::{self, Family, FamilyResult, GateReport, PROPOSAL_SEEDS, family_gate};
use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

/// An order of fewer episodes is small.
const FULL_GATE_EPISODES: u32 = 100;
/// Scenes of each of the simulator's own thirteen families: a thousand and one in all.
const SCENES_PER_FAMILY: usize = 77;
/// Bricks in those scenes.
const BRICKS: usize = 1;
/// Where the scenes of the gate begin; neither data nor evaluation draws from here.
const GATE_SEED: Seed = Seed(0x6761_7465);

/// What is known already, by the family as JSON. Only a memory: without it everything comes out the same, later.
static KNOWN: Mutex<BTreeMap<String, FamilyResult>> = Mutex::new(BTreeMap::new());

/// Refuses families that the expert does not master, with the table that shows it.
///
/// # Errors
/// [`EpisodesError::ExpertFails`].
pub(super) fn check_expert(families: &[Family], episodes: u32, threads: usize) -> Result<(), EpisodesError> {
    let tried = families.iter().filter(|family| episodes >= FULL_GATE_EPISODES || !is_own(family));
    let report = GateReport::new(BRICKS, tried.filter_map(|family| result(family, threads)).collect());
    if report.families.is_empty() || report.passes() {
        Ok(())
    } else {
        Err(EpisodesError::ExpertFails(report.to_string()))
    }
}

/// Whether the family came with the simulator.
fn is_own(family: &Family) -> bool {
    sim::family(&family.name).is_ok()
}

/// `None` only when nothing could be tried.
fn result(family: &Family, threads: usize) -> Option<FamilyResult> {
    let scenes = if is_own(family) { SCENES_PER_FAMILY } else { PROPOSAL_SEEDS };
    let key = serde_json::to_string(family).ok()?;
    let mut known = KNOWN.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(result) = known.get(&key) {
        return Some(result.clone());
    }
    let tried = family_gate(std::slice::from_ref(family), GATE_SEED, scenes, BRICKS, threads);
    let result = tried.families.into_iter().next()?;
    known.insert(key, result.clone());
    Some(result)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sim::{BrickPlace, families};

    #[test]
    fn a_proposed_family_that_the_expert_does_not_master_is_refused_with_the_table() {
        let first = BrickPlace::Wall { gap_m: [0.0, 0.05] };
        let family = Family { name: "pressed_to_the_wall".to_owned(), first, ..families()[3].clone() };
        let error = check_expert(&[family], 1, 2).unwrap_err().to_string();
        assert!(error.contains("pressed_to_the_wall") && error.contains("below 98 %"), "{error}");
    }

    #[test]
    fn the_simulators_own_families_are_tried_for_an_order_to_learn_from() {
        let tried = |episodes| {
            let first = BrickPlace::Wall { gap_m: [0.0, 0.05] };
            let changed = Family { first, ..families()[3].clone() };
            check_expert(&[changed], episodes, 2)
        };
        assert!(tried(FULL_GATE_EPISODES - 1).is_ok());
        assert!(matches!(tried(FULL_GATE_EPISODES), Err(EpisodesError::ExpertFails(_))));
    }
}
