//! Noise on the expert's actions: a jitter at every step, and bursts that push it off its path.
//!
//! The jitter keeps the loader's own speed and steering from telling what the expert does next, so that the policy has
//! to look; the bursts lead to places from which the labels show the way back.

use crate::base::Rng;
use crate::sim::{ACTION_DIM, Action};
use rand::Rng as _;

/// Chance that a burst begins at a step without one.
const BURST_CHANCE: f64 = 0.025;
/// Fewest and most steps of a burst.
const BURST_STEPS: (u32, u32) = (3, 14);
/// Chance that a burst also takes the bucket, and likewise the lift.
const ARM_CHANCE: f64 = 1.0 / 3.0;
/// Standard deviation of the jitter on what no burst has taken.
const JITTER: f32 = 0.1;

/// A stretch in which a random action overrides the expert's.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Burst {
    steps_left: u32,
    /// Steering, throttle, bucket, lift; `None` leaves the expert's.
    overrides: [Option<f32>; ACTION_DIM],
}

impl Burst {
    fn draw(rng: &mut Rng) -> Self {
        let steps_left = rng.random_range(BURST_STEPS.0..=BURST_STEPS.1);
        let overrides = [1.0, 1.0, ARM_CHANCE, ARM_CHANCE]
            .map(|chance| rng.random_bool(chance).then(|| rng.random_range(-1.0..=1.0)));
        Self { steps_left, overrides }
    }
}

/// Disturbs one episode.
#[derive(Debug, Clone, Default)]
pub(super) struct Noise {
    burst: Option<Burst>,
}

impl Noise {
    /// The action to execute at the next step instead of the expert's.
    pub(super) fn disturb(&mut self, expert: Action, rng: &mut Rng) -> Action {
        if self.burst.is_none() && rng.random_bool(BURST_CHANCE) {
            self.burst = Some(Burst::draw(rng));
        }
        let overrides = self.burst.map_or([None; ACTION_DIM], |burst| burst.overrides);
        self.burst = self.burst.and_then(|burst| {
            let steps_left = burst.steps_left - 1;
            (steps_left > 0).then_some(Burst { steps_left, ..burst })
        });
        let mut values = expert.to_array();
        for (value, forced) in values.iter_mut().zip(overrides) {
            *value = forced.unwrap_or_else(|| *value + JITTER * gaussian(rng));
        }
        Action::from_array(values)
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
    fn bursts_take_a_fifth_of_the_time_and_the_rest_only_jitters() {
        let mut rng = Seed(4).rng();
        let mut noise = Noise::default();
        let expert = Action { steering: 0.0, throttle: 0.0, bucket: 0.0, lift: 0.0 };
        let far = |action: Action| action.steering.abs().max(action.throttle.abs()) > 5.0 * JITTER;
        let disturbed = (0..20_000).filter(|_| far(noise.disturb(expert, &mut rng))).count() as f64 / 20_000.0;
        // 8.5 steps of a mean cycle of 8.5 + 39, of which 3 in 4 are stronger than the threshold in one of two.
        assert!((0.1..0.17).contains(&disturbed), "{disturbed}");
    }

    #[test]
    fn disturbed_actions_stay_in_bounds() {
        let mut rng = Seed(9).rng();
        let mut noise = Noise::default();
        for _ in 0..500 {
            let action = noise.disturb(Action { lift: 1.0, ..Action::default() }, &mut rng);
            assert!(action.to_array().iter().all(|value| (-1.0..=1.0).contains(value)));
        }
    }
}
