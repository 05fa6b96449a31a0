//! Bursts of random actions that push the expert off its path.
//!
//! All bursts of an episode are drawn before it begins. So it is known at every step how long the expert will be left
//! alone, and where that is a whole chunk, the executed actions are the label and nothing has to be simulated twice.

use crate::base::Rng;
use crate::sim::Action;
use rand::Rng as _;

/// Chance that a burst begins at a step.
const BURST_CHANCE: f64 = 0.025;
/// Fewest and most steps of a burst.
const BURST_STEPS: (u32, u32) = (3, 14);
/// Chance that a burst also takes the bucket, and likewise the lift.
const ARM_CHANCE: f64 = 1.0 / 3.0;
/// Spread of the jitter on what a burst leaves to the expert.
const JITTER: f32 = 0.1;

/// A stretch in which the expert's action is overridden.
#[derive(Debug, Clone, PartialEq)]
struct Burst {
    first: u32,
    end: u32,
    steering: f32,
    throttle: f32,
    bucket: Option<f32>,
    lift: Option<f32>,
}

/// The bursts of an episode, in order, apart from each other.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Bursts(Vec<Burst>);

impl Bursts {
    /// Draws the bursts of an episode of this many steps.
    pub(super) fn draw(steps: u32, rng: &mut Rng) -> Self {
        let mut bursts = Vec::new();
        let mut step = 0;
        while step < steps {
            if !rng.random_bool(BURST_CHANCE) {
                step += 1;
                continue;
            }
            let end = step + rng.random_range(BURST_STEPS.0..=BURST_STEPS.1);
            let any = |rng: &mut Rng| rng.random_range(-1.0..=1.0);
            bursts.push(Burst {
                first: step,
                end,
                steering: any(rng),
                throttle: any(rng),
                bucket: rng.random_bool(ARM_CHANCE).then(|| any(rng)),
                lift: rng.random_bool(ARM_CHANCE).then(|| any(rng)),
            });
            step = end + 1;
        }
        Self(bursts)
    }

    /// How many steps from `step` on the expert is left alone; 0 within a burst.
    pub(super) fn calm_steps(&self, step: u32) -> u32 {
        let next = self.0.iter().find(|burst| burst.end > step);
        next.map_or(u32::MAX, |burst| burst.first.saturating_sub(step))
    }

    /// The expert's action, or what a burst makes of it.
    pub(super) fn disturb(&self, step: u32, expert: Action, rng: &mut Rng) -> Action {
        let Some(burst) = self.0.iter().find(|burst| (burst.first..burst.end).contains(&step)) else {
            return expert;
        };
        let mut jittered = |value: f32| value + JITTER * gaussian(rng);
        Action::from_array([
            burst.steering,
            burst.throttle,
            burst.bucket.unwrap_or_else(|| jittered(expert.bucket)),
            burst.lift.unwrap_or_else(|| jittered(expert.lift)),
        ])
    }
}

/// A standard normal number, by Box and Muller.
fn gaussian(rng: &mut Rng) -> f32 {
    let radius = (-2.0 * (1.0 - rng.random::<f32>()).ln()).sqrt();
    radius * (std::f32::consts::TAU * rng.random::<f32>()).cos()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::Seed;

    #[test]
    fn calm_stretches_are_calm_and_the_rest_is_not() {
        let mut rng = Seed(4).rng();
        let bursts = Bursts::draw(2000, &mut rng);
        let expert = Action { steering: 0.3, throttle: 1.0, bucket: 0.0, lift: -1.0 };
        let disturbed: Vec<bool> = (0..2000).map(|step| bursts.disturb(step, expert, &mut rng) != expert).collect();
        for step in 0..1950 {
            let calm = bursts.calm_steps(step) as usize;
            let seen = disturbed[step as usize..].iter().take_while(|d| !**d).count();
            assert!(calm == seen || seen == disturbed.len() - step as usize, "step {step}: {calm} against {seen}");
        }
        let share = disturbed.iter().filter(|d| **d).count() as f64 / 2000.0;
        assert!((0.1..0.3).contains(&share), "{share}");
    }

    #[test]
    fn disturbed_actions_stay_in_bounds() {
        let mut rng = Seed(9).rng();
        let bursts = Bursts::draw(500, &mut rng);
        for step in 0..500 {
            let action = bursts.disturb(step, Action { lift: 1.0, ..Action::default() }, &mut rng);
            assert!(action.to_array().iter().all(|value| (-1.0..=1.0).contains(value)));
        }
    }
}
