//! What data is asked for, and the plan of episodes that follows from it.
//!
//! The plan is pure: the episode numbered `i` of an order is the same whoever makes it and whenever, which is what
//! makes data independent of the number of threads.

use super::EpisodesError;
use crate::base::{Rng, Seed};
use crate::rollout::{FamilyMix, MAX_BRICKS, apportion};
use crate::sim::geometry::CONTROL_STEP_S;
use crate::sim::{self, BrickState, Catalogue, Colour, Family, Scene, StatePreset, WorldState};
use rand::Rng as _;
use serde::{Deserialize, Serialize};

/// How an episode is driven.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Strategy {
    /// The expert, undisturbed, from a family's start to the end.
    Expert,
    /// The expert, jittered and now and then pushed off its path; its labels show the way back.
    Noise,
    /// The same, for a short while from a start that no demonstration would reach, until a brick is picked up.
    BadStart,
    /// The policy drives, the expert takes over now and then, and labels everything.
    Dagger,
}

impl Strategy {
    /// Every strategy.
    pub const ALL: &'static [Strategy] = &[Strategy::Expert, Strategy::Noise, Strategy::BadStart, Strategy::Dagger];

    /// The name in datasets.
    pub fn as_str(self) -> &'static str {
        match self {
            Strategy::Expert => "expert",
            Strategy::Noise => "noise",
            Strategy::BadStart => "bad_start",
            Strategy::Dagger => "dagger",
        }
    }
}

/// Control steps in a second of driving.
const CONTROL_STEPS_PER_S: u32 = (1.0 / CONTROL_STEP_S) as u32;

/// What data is asked for.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Order {
    /// How many episodes.
    pub episodes: u32,
    /// Of those, the first ones that an earlier dataset of the same order holds already; they are not made again.
    pub skip: u32,
    /// Fewest and most bricks of a scene.
    pub bricks: (u32, u32),
    /// Family names and weights; empty means all families equally.
    pub families: Vec<(String, f64)>,
    /// Families besides the simulator's own that may be named, each checked before.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub proposed: Vec<Family>,
    /// Colours of all bricks; empty leaves each family its own.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub colours: Vec<Colour>,
    /// Share of the episodes that the expert drives with [`Strategy::Noise`]. What this share and the next leave is
    /// [`Strategy::Expert`].
    pub noisy_share: f64,
    /// Share of the episodes that the expert drives with [`Strategy::BadStart`].
    pub bad_start_share: f64,
    /// Share of all episodes with [`Strategy::Dagger`]; the expert drives the others.
    pub dagger_share: f64,
    /// In those, the chance that the expert drives the next stretch.
    pub expert_share_in_dagger: f64,
    /// Every n-th control step is stored and gets the expert's chunk as its label. Divides 10, so that the dataset has
    /// a whole number of frames per second; 1 makes a dataset of 10 Hz for other trainers.
    pub label_every: u32,
    /// Time limit of an episode for each of its bricks.
    pub seconds_per_brick: f32,
    /// Longest episode with [`Strategy::BadStart`]; it ends sooner when a brick was picked up.
    pub bad_start_seconds: f32,
    /// Actions in a label.
    pub chunk: usize,
    /// Image height in pixels.
    pub height: usize,
    /// Image width in pixels.
    pub width: usize,
    /// State numbers stored.
    pub state: StatePreset,
    /// Where all randomness begins.
    pub seed: Seed,
    /// Threads. Changes how long it takes and nothing else.
    pub threads: usize,
}

impl Default for Order {
    fn default() -> Self {
        Self {
            episodes: 5000,
            skip: 0,
            bricks: (1, 2),
            families: Vec::new(),
            proposed: Vec::new(),
            colours: Vec::new(),
            noisy_share: 0.13,
            bad_start_share: 0.85,
            dagger_share: 0.0,
            expert_share_in_dagger: 0.3,
            label_every: 10,
            seconds_per_brick: 45.0,
            bad_start_seconds: 12.0,
            chunk: 20,
            height: 72,
            width: 96,
            state: StatePreset::Full,
            seed: Seed(1),
            threads: 1,
        }
    }
}

/// One episode to be made.
#[derive(Debug, Clone)]
pub(super) struct Planned {
    pub(super) seed: Seed,
    pub(super) strategy: Strategy,
    pub(super) limit_s: f32,
    bricks: u32,
}

impl Order {
    /// Frames per second of the dataset.
    pub fn fps(&self) -> u32 {
        CONTROL_STEPS_PER_S / self.label_every.max(1)
    }

    /// Refuses what cannot be made.
    ///
    /// # Errors
    /// [`EpisodesError::Order`] naming the first value that is out of bounds.
    pub fn validate(&self) -> Result<(), EpisodesError> {
        let refuse = |why: String| Err(EpisodesError::Order(why));
        let (least, most) = self.bricks;
        if self.episodes == 0 {
            return refuse("0 episodes; ask for at least 1".to_owned());
        }
        if self.skip >= self.episodes {
            return refuse(format!("all {} episodes are skipped; nothing is left to make", self.episodes));
        }
        if least == 0 || least > most || most > MAX_BRICKS {
            return refuse(format!("{least} to {most} bricks; 1 to {MAX_BRICKS} are possible"));
        }
        for (name, share) in [
            ("noisy_share", self.noisy_share),
            ("bad_start_share", self.bad_start_share),
            ("dagger_share", self.dagger_share),
            ("expert_share_in_dagger", self.expert_share_in_dagger),
        ] {
            if !(0.0..=1.0).contains(&share) {
                return refuse(format!("{name} is {share}; a share lies in 0 to 1"));
            }
        }
        let shares = self.noisy_share + self.bad_start_share;
        if shares > 1.0 + 1e-9 {
            return refuse(format!("noisy_share and bad_start_share add up to {shares}; at most 1 is possible"));
        }
        if self.label_every == 0 || !CONTROL_STEPS_PER_S.is_multiple_of(self.label_every) {
            return refuse(format!("label_every is {}; 1, 2, 5 and 10 are possible", self.label_every));
        }
        for (name, seconds) in
            [("seconds_per_brick", self.seconds_per_brick), ("bad_start_seconds", self.bad_start_seconds)]
        {
            if !(1.0..=600.0).contains(&seconds) {
                return refuse(format!("{name} is {seconds}; 1 to 600 are possible"));
            }
        }
        if self.chunk == 0 {
            return refuse("labels of 0 actions; at least 1 is needed".to_owned());
        }
        self.mix()?;
        Ok(())
    }

    /// The families that scenes are drawn from.
    pub(super) fn mix(&self) -> Result<FamilyMix, EpisodesError> {
        Ok(FamilyMix::of(&Catalogue::with(&self.proposed)?.painted(&self.colours), &self.families)?)
    }

    /// The episodes in order, without those to skip. Every prefix of the order holds the strategies in their shares.
    pub(super) fn plan(&self) -> Vec<Planned> {
        let undisturbed = (1.0 - self.noisy_share - self.bad_start_share).max(0.0);
        let by_expert = [undisturbed, self.noisy_share, self.bad_start_share].map(|s| s * (1.0 - self.dagger_share));
        let shares = [by_expert[0], by_expert[1], by_expert[2], self.dagger_share];
        let strategies = apportion(&shares, self.episodes as usize);
        strategies
            .into_iter()
            .enumerate()
            .skip(self.skip as usize)
            .map(|(i, s)| self.episode(i as u64, Strategy::ALL[s]))
            .collect()
    }

    fn episode(&self, index: u64, strategy: Strategy) -> Planned {
        let seed = self.seed.child("episode", index);
        let bricks = seed.child("bricks", 0).rng().random_range(self.bricks.0..=self.bricks.1);
        let limit_s = match strategy {
            Strategy::Expert | Strategy::Noise => self.seconds_per_brick * bricks as f32,
            Strategy::Dagger => self.seconds_per_brick.min(DAGGER_SECONDS_PER_BRICK) * bricks as f32,
            Strategy::BadStart => self.bad_start_seconds,
        };
        Planned { seed, strategy, limit_s, bricks }
    }
}

impl Planned {
    /// The scene this episode begins with.
    pub(super) fn scene(&self, mix: &FamilyMix) -> Result<Scene, EpisodesError> {
        let mut rng: Rng = self.seed.child("scene", 0).rng();
        let off_path = match self.strategy {
            Strategy::Expert | Strategy::Noise => false,
            Strategy::BadStart => true,
            Strategy::Dagger => rng.random_bool(DAGGER_BAD_STARTS),
        };
        if off_path {
            self.bad_start(mix, &mut rng)
        } else {
            Ok(mix.draw(&mut rng).sample(self.bricks as usize, &mut rng)?)
        }
    }

    /// A start off the path, mostly with something to fetch in sight: that is what takes a policy longest to learn.
    fn bad_start(&self, mix: &FamilyMix, rng: &mut Rng) -> Result<Scene, EpisodesError> {
        let any = rng.random_bool(ANY_BAD_START);
        let mut scene = sim::bad_start(mix.all(), self.bricks as usize, rng)?;
        for _ in 0..SIGHT_TRIES {
            if any || sees_brick_to_fetch(&scene) {
                break;
            }
            scene = sim::bad_start(mix.all(), self.bricks as usize, rng)?;
        }
        Ok(scene)
    }
}

fn sees_brick_to_fetch(scene: &Scene) -> bool {
    let state = WorldState { loader: scene.loader, bricks: scene.bricks.clone(), step: 0 };
    let near = |brick: &BrickState| {
        let (forward_m, left_m) = state.in_loader_frame(brick.position_m[0], brick.position_m[2]);
        forward_m.hypot(left_m) < NEAR_M
    };
    !state.is_loaded() && state.bricks.iter().any(|brick| near(brick) && sim::visible(&state, brick))
}

/// Share of the bad starts that are taken as they come: loaded, without a brick in sight.
const ANY_BAD_START: f64 = 0.35;
/// A brick within this distance is one to fetch.
const NEAR_M: f32 = 7.0;
/// Bad starts drawn at most for one with a brick in sight.
const SIGHT_TRIES: u32 = 30;
/// DAgger episodes end after this long for each brick: what a lost policy sees later teaches nothing new.
const DAGGER_SECONDS_PER_BRICK: f32 = 30.0;
/// Share of the DAgger episodes that begin off the path.
const DAGGER_BAD_STARTS: f64 = 0.3;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strategies_follow_their_shares() {
        let order =
            Order { episodes: 100, noisy_share: 0.5, bad_start_share: 0.3, dagger_share: 0.1, ..Order::default() };
        let plan = order.plan();
        let count = |strategy| plan.iter().filter(|planned| planned.strategy == strategy).count();
        assert_eq!(Strategy::ALL.iter().map(|s| count(*s)).collect::<Vec<_>>(), [18, 45, 27, 10]);
    }

    #[test]
    fn a_longer_order_begins_like_a_shorter_one() {
        let seeds = |episodes| -> Vec<_> {
            Order { episodes, ..Order::default() }.plan().iter().map(|p| (p.seed, p.strategy, p.bricks)).collect()
        };
        assert_eq!(seeds(50)[..20], seeds(20)[..]);
    }

    #[test]
    fn senseless_orders_are_refused_by_name() {
        let refused = |order: Order| order.validate().unwrap_err().to_string();
        assert!(refused(Order { episodes: 0, ..Order::default() }).contains("0 episodes"));
        assert!(refused(Order { bricks: (3, 2), ..Order::default() }).contains("3 to 2 bricks"));
        assert!(refused(Order { noisy_share: 0.8, bad_start_share: 0.3, ..Order::default() }).contains("1.1"));
        assert!(refused(Order { dagger_share: f64::NAN, ..Order::default() }).contains("dagger_share"));
        assert!(refused(Order { label_every: 3, ..Order::default() }).contains("label_every"));
        assert!(refused(Order { families: vec![("moon".into(), 1.0)], ..Order::default() }).contains("moon"));
        Order::default().validate().unwrap();
    }
}
