//! What came of a set of scenes: one result each, and what is counted over them.

use super::failure::FailureClass;
use crate::base::Proportion;
use crate::sim::geometry::CONTROL_STEP_S;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// How one scene went.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SceneResult {
    /// Number of the scene in its set.
    pub scene: u32,
    /// Name of its scenario family.
    pub family: String,
    /// Whether every brick ended in the box.
    pub success: bool,
    /// Bricks in the scene.
    pub bricks: u32,
    /// Bricks in the box at the end.
    pub delivered: u32,
    /// Control steps made.
    pub steps: u32,
    /// Why it failed, when it did.
    pub failure: Option<FailureClass>,
    /// Where the rear axle stood at the end.
    pub end_x_m: f32,
    /// See [`end_x_m`](Self::end_x_m).
    pub end_z_m: f32,
    /// Metres driven.
    pub distance_m: f32,
    /// Control steps with a wall or the box touched.
    pub contact_steps: u32,
}

/// What a pilot did on a set of scenes.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Evaluation {
    /// One result per scene, in the set's order.
    pub results: Vec<SceneResult>,
    /// Wall-clock time it took.
    pub seconds: f64,
    /// Whether all scenes of the set were run; false after a cancellation.
    pub finished: bool,
}

impl Evaluation {
    /// Scenes in which every brick was delivered.
    pub fn scenes(&self) -> Proportion {
        count(self.results.iter().map(|result| (u32::from(result.success), 1)))
    }

    /// Bricks delivered of all bricks.
    pub fn bricks(&self) -> Proportion {
        count(self.results.iter().map(|result| (result.delivered, result.bricks)))
    }

    /// Successful scenes by family, in the order of names.
    pub fn per_family(&self) -> Vec<(String, Proportion)> {
        let mut families: BTreeMap<&str, Vec<(u32, u32)>> = BTreeMap::new();
        for result in &self.results {
            families.entry(&result.family).or_default().push((u32::from(result.success), 1));
        }
        families.into_iter().map(|(family, counts)| (family.to_owned(), count(counts.into_iter()))).collect()
    }

    /// Failure classes with their counts, the most frequent first.
    pub fn failures(&self) -> Vec<(FailureClass, u32)> {
        let mut classes: BTreeMap<FailureClass, u32> = BTreeMap::new();
        for class in self.results.iter().filter_map(|result| result.failure) {
            *classes.entry(class).or_default() += 1;
        }
        let mut classes: Vec<_> = classes.into_iter().collect();
        classes.sort_by_key(|(class, n)| (std::cmp::Reverse(*n), *class));
        classes
    }

    /// Seconds of simulated time that the solved scenes took.
    pub fn time_to_finish_s(&self) -> Option<Spread> {
        let solved = self.results.iter().filter(|result| result.success);
        Spread::of(solved.map(|result| result.steps as f32 * CONTROL_STEP_S).collect())
    }

    /// Metres driven in a scene.
    pub fn distance_m(&self) -> Option<Spread> {
        Spread::of(self.results.iter().map(|result| result.distance_m).collect())
    }

    /// Scenes in which a wall or the box was touched.
    pub fn collisions(&self) -> Proportion {
        count(self.results.iter().map(|result| (u32::from(result.contact_steps > 0), 1)))
    }

    /// Numbers of the scenes that failed.
    pub fn failed_scenes(&self) -> Vec<u32> {
        self.results.iter().filter(|result| !result.success).map(|result| result.scene).collect()
    }
}

fn count(pairs: impl Iterator<Item = (u32, u32)>) -> Proportion {
    let (successes, trials) = pairs.fold((0, 0), |(a, b), (c, d)| (a + c, b + d));
    Proportion::new(successes, trials)
}

/// Where most of some values lie.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Spread {
    /// A tenth is below this.
    pub low: f32,
    /// Half are below this.
    pub median: f32,
    /// A tenth is above this.
    pub high: f32,
}

impl Spread {
    /// Of these values; none when there are none. What is no number is left out.
    pub fn of(mut values: Vec<f32>) -> Option<Spread> {
        values.retain(|value| value.is_finite());
        values.sort_by(f32::total_cmp);
        let at = |share: f32| values.get((share * (values.len().max(1) - 1) as f32).round() as usize).copied();
        Some(Spread { low: at(0.1)?, median: at(0.5)?, high: at(0.9)? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn result(scene: u32, success: bool, steps: u32) -> SceneResult {
        SceneResult {
            scene,
            family: "open_floor".to_owned(),
            success,
            bricks: 2,
            delivered: if success { 2 } else { 1 },
            steps,
            failure: (!success).then_some(FailureClass::Stall),
            end_x_m: 0.0,
            end_z_m: 0.0,
            distance_m: steps as f32,
            contact_steps: u32::from(scene == 0),
        }
    }

    #[test]
    fn figures_are_counted_over_scenes_and_bricks() {
        let results = vec![result(0, true, 100), result(1, false, 900), result(2, true, 300)];
        let evaluation = Evaluation { results, ..Evaluation::default() };
        assert_eq!(evaluation.scenes(), Proportion::new(2, 3));
        assert_eq!(evaluation.bricks(), Proportion::new(5, 6));
        assert_eq!(evaluation.collisions(), Proportion::new(1, 3));
        assert_eq!(evaluation.failed_scenes(), [1]);
        let time = evaluation.time_to_finish_s().unwrap();
        assert!(
            (time.low - 10.0).abs() < 1e-4 && (time.high - 30.0).abs() < 1e-4,
            "failed scenes do not count: {time:?}"
        );
        assert_eq!(Evaluation::default().time_to_finish_s(), None);
    }

    #[test]
    fn a_spread_names_the_tenths_and_the_middle() {
        let spread = Spread::of((0..=100).map(|v| v as f32).collect()).unwrap();
        assert_eq!((spread.low, spread.median, spread.high), (10.0, 50.0, 90.0));
        assert_eq!(Spread::of(vec![f32::NAN]), None);
    }
}
