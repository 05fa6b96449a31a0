//! Which scenes a policy is judged on.
//!
//! A [`SceneSet`] is a description, not a list: equal sets give equal scenes on every machine, which is what lets two
//! policies be compared scene by scene. Scenes come from an [`EvaluationSeed`] alone.

use super::RolloutError;
use crate::base::{EvaluationSeed, Rng};
use crate::sim::{self, Catalogue, Family, Scene};
use serde::{Deserialize, Serialize};

/// Bricks a scene may have.
pub const MAX_BRICKS: u32 = sim::BRICKS_MAX as u32;

/// Held-out scenes over scenario families.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SceneSet {
    /// Where the scenes come from.
    pub seed: EvaluationSeed,
    /// Family names and weights; empty means all families equally.
    pub families: Vec<(String, f64)>,
    /// Bricks in each scene, 1 to [`MAX_BRICKS`].
    pub bricks: u32,
    /// How many scenes.
    pub scenes: u32,
}

impl SceneSet {
    /// All scenes in order: the family and the start of each.
    ///
    /// # Errors
    /// Unknown families, weights that are not positive, or a number of bricks out of bounds.
    pub fn scenes(&self) -> Result<Vec<(Family, Scene)>, RolloutError> {
        if !(1..=MAX_BRICKS).contains(&self.bricks) {
            return Err(RolloutError::Order(format!("{} bricks; 1 to {MAX_BRICKS} are possible", self.bricks)));
        }
        let mix = FamilyMix::new(&self.families)?;
        let families = mix.spread(self.scenes as usize);
        let scene = |(index, family): (usize, &Family)| {
            let scene = family.sample(self.bricks as usize, &mut self.seed.scene(index as u64).rng())?;
            Ok((family.clone(), scene))
        };
        families.into_iter().enumerate().map(scene).collect()
    }

    /// One scene: its family and its start.
    ///
    /// # Errors
    /// As [`scenes`](Self::scenes), and when there is no scene of that number.
    pub fn scene(&self, number: u32) -> Result<(Family, Scene), RolloutError> {
        let missing = || RolloutError::Order(format!("scene {number} of a set of {}", self.scenes));
        if number >= self.scenes {
            return Err(missing());
        }
        // A longer set begins like a shorter one.
        let mut scenes = SceneSet { scenes: number + 1, ..self.clone() }.scenes()?;
        scenes.pop().ok_or_else(missing)
    }
}

/// Scenario families with their shares.
#[derive(Debug, Clone)]
pub(crate) struct FamilyMix {
    all: Vec<Family>,
    /// Indices into `all`, and weights.
    shares: Vec<(usize, f64)>,
}

impl FamilyMix {
    /// Of the simulator's own families. Checks names and weights; no weights at all means all families equally.
    pub(crate) fn new(weights: &[(String, f64)]) -> Result<Self, RolloutError> {
        Self::of(&Catalogue::default(), weights)
    }

    /// The same of a catalogue.
    pub(crate) fn of(catalogue: &Catalogue, weights: &[(String, f64)]) -> Result<Self, RolloutError> {
        let all = catalogue.families().to_vec();
        if weights.is_empty() {
            let shares = (0..all.len()).map(|index| (index, 1.0)).collect();
            return Ok(Self { all, shares });
        }
        let mut shares = Vec::with_capacity(weights.len());
        for (name, weight) in weights {
            catalogue.family(name)?;
            if !(weight.is_finite() && *weight >= 0.0) {
                return Err(RolloutError::Order(format!(
                    "family {name} has the weight {weight}; 0 or more is possible"
                )));
            }
            shares.extend(all.iter().position(|family| family.name == *name).map(|index| (index, *weight)));
        }
        if shares.iter().all(|(_, weight)| *weight <= 0.0) {
            return Err(RolloutError::Order("every family has the weight 0".to_owned()));
        }
        Ok(Self { all, shares })
    }

    /// Every family there is, also those without a share.
    pub(crate) fn all(&self) -> &[Family] {
        &self.all
    }

    /// `count` families in their shares, see [`apportion`].
    pub(crate) fn spread(&self, count: usize) -> Vec<&Family> {
        let weights: Vec<f64> = self.shares.iter().map(|(_, weight)| *weight).collect();
        apportion(&weights, count).into_iter().map(|index| &self.all[self.shares[index].0]).collect()
    }

    /// One family at random, by weight.
    pub(crate) fn draw(&self, rng: &mut Rng) -> &Family {
        use rand::Rng as _;
        let total: f64 = self.shares.iter().map(|(_, weight)| weight).sum();
        let mut left = rng.random::<f64>() * total;
        for (index, weight) in &self.shares {
            left -= weight;
            if left < 0.0 {
                return &self.all[*index];
            }
        }
        &self.all[self.shares[self.shares.len() - 1].0]
    }
}

/// `count` indices into `weights` that follow them as closely as whole numbers can, in every prefix too.
pub(crate) fn apportion(weights: &[f64], count: usize) -> Vec<usize> {
    let total: f64 = weights.iter().sum();
    let mut given = vec![0.0; weights.len()];
    (1..=count)
        .map(|n| {
            let lacks = |index: usize| weights[index] / total * n as f64 - given[index];
            // Equal within rounding: the first one.
            let most = (0..weights.len()).reduce(|a, b| if lacks(b) > lacks(a) + 1e-9 { b } else { a }).unwrap_or(0);
            given[most] += 1.0;
            most
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(families: &[(&str, f64)], scenes: u32) -> SceneSet {
        let families = families.iter().map(|(name, weight)| ((*name).to_owned(), *weight)).collect();
        SceneSet { seed: EvaluationSeed(5), families, bricks: 1, scenes }
    }

    #[test]
    fn every_family_gets_its_share_in_every_prefix() {
        let names: Vec<_> = sim::families().iter().map(|f| f.name.as_str()).collect();
        let all = FamilyMix::new(&[]).unwrap();
        let drawn: Vec<_> = all.spread(names.len()).iter().map(|f| f.name.as_str()).collect();
        assert_eq!(drawn, names);
        let mix = FamilyMix::new(&[(names[0].to_owned(), 3.0), (names[1].to_owned(), 1.0)]).unwrap();
        let firsts = |n| mix.spread(n).iter().filter(|family| family.name == names[0]).count();
        assert_eq!((firsts(4), firsts(8), firsts(100)), (3, 6, 75));
    }

    #[test]
    fn a_longer_set_begins_like_a_shorter_one() {
        let starts = |scenes| -> Vec<_> { set(&[], scenes).scenes().unwrap().into_iter().map(|(_, s)| s).collect() };
        assert_eq!(starts(20)[..7], starts(7)[..]);
    }

    #[test]
    fn unknown_families_and_senseless_numbers_are_refused() {
        let error = set(&[("on_the_moon", 1.0)], 3).scenes().unwrap_err().to_string();
        assert!(error.contains("on_the_moon"), "{error}");
        assert!(set(&[(&sim::families()[0].name, -1.0)], 3).scenes().is_err());
        assert!(SceneSet { bricks: 0, ..set(&[], 3) }.scenes().is_err());
    }
}
