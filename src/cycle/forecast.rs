//! What a plan will take, with an interval, and the largest plan that fits into the time there is.
//!
//! Pure: the probe's rates and what earlier stages really took go in, seconds come out. A first forecast rests on the
//! probe; every stage that ends corrects the next forecast of its kind.

use super::plan::Plan;
use super::preset::LoopPreset;
use super::rates::Rates;
use super::summary::{duration, grouped};
use crate::base::Stage;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Scenes that one thread drives together; see `rollout`.
const SCENES_PER_LOT: u32 = 25;
/// Control steps in a second of a scene.
const STEPS_PER_S: f64 = 10.0;
/// Before any rollout of the mission was seen: the share of its time that a scene takes. A policy that knows little
/// stands still and is given up, one that knows more drives until the end.
const SHARE_OF_LIMIT: f64 = 0.6;
/// Of the time that is left, the share that the largest fitting plan may be expected to take.
const MARGIN: f64 = 0.95;
/// Seconds of filming that an evaluation does: two clips of most of a scene.
const FILMED_S: f64 = 60.0;
/// Work that every stage has besides its plan: seconds.
const FIXED_S: f64 = 0.3;

/// What a plan is expected to take.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Forecast {
    /// Seconds, most likely.
    pub seconds: f64,
    /// Seconds at least …
    pub low_s: f64,
    /// … and at most.
    pub high_s: f64,
    /// Seconds by the probe alone.
    pub raw_s: f64,
}

impl std::fmt::Display for Forecast {
    /// "about 28 s (22 s to 34 s)"
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "about {} ({} to {})", duration(self.seconds), duration(self.low_s), duration(self.high_s))
    }
}

/// What earlier stages of one kind taught: they took `factor` times what the probe alone had said.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Learned {
    factor: f64,
    half_width: f64,
    facts: usize,
}

impl Learned {
    /// From the ratios of fact to raw forecast, oldest first; the newest counts most.
    pub fn from_ratios(ratios: &[f64]) -> Option<Learned> {
        let usable: Vec<f64> = ratios.iter().copied().filter(|r| r.is_finite() && *r > 0.02 && *r < 50.0).collect();
        let (mut sum, mut weights) = (0.0, 0.0);
        for (age, ratio) in usable.iter().rev().enumerate() {
            let weight = 0.5_f64.powi(i32::try_from(age).unwrap_or(i32::MAX));
            sum += weight * ratio.ln();
            weights += weight;
        }
        if usable.is_empty() {
            return None;
        }
        let factor = (sum / weights).exp();
        let spread = usable.iter().rev().take(4).map(|ratio| (ratio / factor - 1.0).abs()).fold(0.0, f64::max);
        let half_width = if usable.len() == 1 { 0.2 } else { spread.clamp(0.1, 0.35) };
        Some(Learned { factor, half_width, facts: usable.len() })
    }
}

/// Everything a forecast depends on besides the plan.
#[derive(Debug, Clone, PartialEq)]
pub struct Setting {
    /// The mission's preset.
    pub preset: LoopPreset,
    /// What the probe measured.
    pub rates: Rates,
    /// Whether there is a policy that could drive DAgger episodes.
    pub can_drive: bool,
    /// Samples stored for training.
    pub samples_stored: u64,
    /// Control steps that a brick took in the mission's newest rollouts.
    pub steps_per_brick: Option<f64>,
    /// Scenes that the gate has to drive the champion on.
    pub gate_scenes: u32,
    /// What earlier stages of this mission taught.
    pub learned: BTreeMap<Stage, Learned>,
}

impl Setting {
    /// What `plan` will take; none when the probe lacks a rate that it needs.
    pub fn forecast(&self, plan: &Plan) -> Option<Forecast> {
        let raw_s = self.raw(plan)?;
        let learned = self.learned.get(&plan.stage());
        let seconds = raw_s * learned.map_or(1.0, |learned| learned.factor);
        let half = learned.map_or_else(|| untaught(plan.stage()), |learned| learned.half_width);
        Some(Forecast { seconds, low_s: seconds * (1.0 - half), high_s: seconds * (1.0 + half), raw_s })
    }

    /// What a forecast of `stage` rests on, in words.
    pub fn basis(&self, stage: Stage) -> String {
        match self.learned.get(&stage).map(|learned| learned.facts) {
            None => "the probe".to_owned(),
            Some(1) => format!("the probe and 1 {stage} stage"),
            Some(facts) => format!("the probe and {facts} {stage} stages"),
        }
    }

    fn raw(&self, plan: &Plan) -> Option<f64> {
        let seconds = match plan {
            Plan::Generate(plan) => {
                let preset = &self.preset.generate;
                let bricks = f64::from(plan.bricks_min + plan.bricks_max)
                    / f64::from((preset.bricks_min + preset.bricks_max).max(1));
                let expert_s = bricks / measured(self.rates.expert_episodes_per_s)?;
                let bad_start_s = measured(self.rates.bad_start_episodes_per_s).map_or(expert_s, |rate| 1.0 / rate);
                let dagger_s = measured(self.rates.dagger_episodes_per_s).map_or(expert_s, |rate| bricks / rate);
                let dagger = if self.can_drive { plan.dagger_share } else { 0.0 };
                let bad = plan.bad_start_share.min(1.0) * (1.0 - dagger);
                let whole = (1.0 - dagger - bad).max(0.0);
                f64::from(plan.episodes) * (whole * expert_s + bad * bad_start_s + dagger * dagger_s)
            }
            Plan::Train(plan) => {
                let preset = &self.preset.train;
                let loaded = self.samples_stored.min(preset.memory_samples as u64) as f64;
                let load_s = measured(self.rates.load_samples_per_s).map_or(0.0, |rate| loaded / rate);
                // One canary more than asked for: the last falls on the end of the training.
                let canaries = if preset.canaries == 0 { 0 } else { preset.canaries + 1 };
                let canary_s = self.rollouts_s(preset.canary_scenes, 1).unwrap_or(0.0);
                load_s
                    + plan.samples as f64 / measured(self.rates.train_samples_per_s)?
                    + f64::from(canaries) * canary_s
            }
            Plan::Evaluate(plan) => {
                self.rollouts_s(plan.scenes, plan.bricks)? + FILMED_S * self.rates.film_s_per_scene_s
            }
            Plan::Feedback(_) if self.gate_scenes == 0 => 0.0,
            Plan::Feedback(_) => self.rollouts_s(self.gate_scenes, self.preset.evaluate.bricks)?,
        };
        Some(FIXED_S + seconds)
    }

    /// Seconds for driving scenes: whole lots on all threads, as long as the busiest thread drives.
    fn rollouts_s(&self, scenes: u32, bricks: u32) -> Option<f64> {
        let steps_per_s = measured(self.rates.rollout_steps_per_s)?;
        let threads = u32::try_from(self.rates.threads.max(1)).unwrap_or(1);
        let lots = scenes.div_ceil(SCENES_PER_LOT);
        let busiest = (lots.div_ceil(threads) * SCENES_PER_LOT).min(scenes);
        let limit_steps = f64::from(self.preset.evaluate.seconds_per_brick) * STEPS_PER_S;
        let steps = self.steps_per_brick.unwrap_or(SHARE_OF_LIMIT * limit_steps) * f64::from(bricks);
        Some(f64::from(busiest) * steps * f64::from(threads) / steps_per_s)
    }

    /// The largest plan like this one that is expected to fit into `left_s`; none when not even the smallest does.
    pub fn largest_fit(&self, plan: &Plan, left_s: f64) -> Option<Plan> {
        let asked = quantity(plan)?.0;
        let least = least(plan).min(asked);
        let fits = |count: u64| self.forecast(&resized(plan, count)).is_some_and(|f| f.seconds <= MARGIN * left_s);
        if !fits(least) {
            return None;
        }
        let (mut low, mut high) = (least, asked.max(least));
        while low < high {
            let middle = low + (high - low).div_ceil(2);
            if fits(middle) { low = middle } else { high = middle - 1 }
        }
        Some(resized(plan, round_down(low).max(least)))
    }

    /// Why `plan` does not fit into `left_s`, with the arithmetic and the largest that does. None when it fits, or when
    /// nothing is known.
    pub fn refusal(&self, plan: &Plan, left_s: f64, whose: &str) -> Option<Refusal> {
        let forecast = self.forecast(plan).filter(|forecast| forecast.seconds > left_s)?;
        let (count, unit) = quantity(plan)?;
        let threads = match self.rates.threads {
            1 => "1 thread".to_owned(),
            threads => format!("{threads} threads"),
        };
        let fits = self.largest_fit(plan, left_s);
        let most = match fits.as_ref().and_then(quantity) {
            Some((most, _)) => format!("at most {} fit", grouped(most)),
            None => format!("not even {} fit", grouped(least(plan).min(count))),
        };
        let words = format!(
            "{} {unit} at {} {unit}/s on {threads} take {} (±{:.0} %), {} are left until {whose}: {most}",
            grouped(count),
            pace(count as f64 / forecast.seconds),
            duration(forecast.seconds),
            100.0 * (forecast.high_s / forecast.seconds - 1.0),
            duration(left_s),
        );
        Some(Refusal { words, fits })
    }
}

/// Why a plan is refused.
#[derive(Debug, Clone, PartialEq)]
pub struct Refusal {
    /// The arithmetic in words.
    pub words: String,
    /// The largest plan that would fit.
    pub fits: Option<Plan>,
}

/// Half the width of the interval, as a share, before a stage of the kind was seen.
fn untaught(stage: Stage) -> f64 {
    match stage {
        Stage::Generate | Stage::Train => 0.2,
        Stage::Evaluate | Stage::Feedback => 0.35,
    }
}

fn measured(rate: f64) -> Option<f64> {
    (rate.is_finite() && rate > 0.0).then_some(rate)
}

/// What a plan's time grows with, and its unit; none for Feedback.
pub fn quantity(plan: &Plan) -> Option<(u64, &'static str)> {
    match plan {
        Plan::Generate(plan) => Some((u64::from(plan.episodes), "episodes")),
        Plan::Train(plan) => Some((plan.samples, "samples")),
        Plan::Evaluate(plan) => Some((u64::from(plan.scenes), "scenes")),
        Plan::Feedback(_) => None,
    }
}

/// The smallest plan that makes sense.
fn least(plan: &Plan) -> u64 {
    match plan {
        Plan::Generate(_) => 24,
        Plan::Train(_) => 500,
        Plan::Evaluate(_) => 13,
        Plan::Feedback(_) => 0,
    }
}

/// The same plan with another quantity.
pub fn resized(plan: &Plan, count: u64) -> Plan {
    let mut plan = plan.clone();
    let short = u32::try_from(count).unwrap_or(u32::MAX);
    match &mut plan {
        Plan::Generate(plan) => plan.episodes = short,
        Plan::Train(plan) => plan.samples = count,
        Plan::Evaluate(plan) => plan.scenes = short,
        Plan::Feedback(_) => {}
    }
    plan
}

/// Two leading digits: 3,417 becomes 3,400.
fn round_down(count: u64) -> u64 {
    let mut unit = 1;
    while count / unit >= 100 {
        unit *= 10;
    }
    count / unit * unit
}

fn pace(rate: f64) -> String {
    if rate >= 10.0 { grouped(rate.round() as u64) } else { format!("{rate:.1}") }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cycle::plan::{EvaluatePlan, GeneratePlan, StartFrom, TrainPlan};

    fn setting() -> Setting {
        let rates = Rates {
            threads: 2,
            expert_episodes_per_s: 50.0,
            bad_start_episodes_per_s: 250.0,
            dagger_episodes_per_s: 40.0,
            load_samples_per_s: 100_000.0,
            train_samples_per_s: 500.0,
            rollout_steps_per_s: 10_000.0,
            ..Rates::default()
        };
        Setting {
            preset: LoopPreset::default(),
            rates,
            can_drive: false,
            samples_stored: 60_000,
            steps_per_brick: None,
            gate_scenes: 0,
            learned: BTreeMap::new(),
        }
    }

    fn generate(episodes: u32, bad_start_share: f64, dagger_share: f64) -> Plan {
        Plan::Generate(GeneratePlan {
            episodes,
            bricks_min: 1,
            bricks_max: 2,
            families: BTreeMap::new(),
            noisy_share: 1.0 - bad_start_share,
            bad_start_share,
            dagger_share,
        })
    }

    #[test]
    fn a_forecast_follows_from_the_rates_by_hand() {
        let mut setting = setting();
        // 5,000 episodes, 20 % of them at 50/s and 80 % at 250/s.
        let forecast = setting.forecast(&generate(5_000, 0.8, 0.5)).unwrap();
        assert!((forecast.seconds - 36.3).abs() < 1e-9, "{forecast:?}");
        assert_eq!(forecast.to_string(), "about 36 s (29 s to 44 s)");
        setting.can_drive = true;
        let forecast = setting.forecast(&generate(5_000, 0.8, 0.5)).unwrap();
        assert!((forecast.seconds - (0.3 + 18.0 + 62.5)).abs() < 1e-9, "{forecast:?}");
        let train = Plan::Train(TrainPlan {
            samples: 90_000,
            learning_rate: 7e-4,
            newest_share: 0.0,
            start: StartFrom::Scratch,
        });
        // 180 s, 0.6 s to load, and 4 canaries of 26 scenes: 25 on one thread, 300 steps each, at 5,000 steps/s.
        setting.steps_per_brick = Some(300.0);
        let forecast = setting.forecast(&train).unwrap();
        assert!((forecast.seconds - (0.3 + 0.6 + 180.0 + 4.0 * 1.5)).abs() < 1e-9, "{forecast:?}");
        // 130 scenes are 6 lots, 3 for each thread: 75 scenes one after another.
        let evaluate = Plan::Evaluate(EvaluatePlan { scenes: 130, bricks: 1, execute_steps: 10 });
        let forecast = setting.forecast(&evaluate).unwrap();
        assert!((forecast.seconds - (0.3 + 75.0 * 300.0 / 5_000.0)).abs() < 1e-9, "{forecast:?}");
    }

    #[test]
    fn a_plan_that_does_not_fit_is_refused_with_the_arithmetic_and_the_largest_that_does() {
        let setting = setting();
        let plan = generate(5_000, 0.8, 0.0);
        assert_eq!(setting.refusal(&plan, 40.0, "the deadline"), None);
        let refusal = setting.refusal(&plan, 20.0, "the mission's deadline").unwrap();
        assert_eq!(
            refusal.words,
            "5,000 episodes at 138 episodes/s on 2 threads take 36 s (±20 %), 20 s are left until the mission's \
             deadline: at most 2,500 fit"
        );
        let fits = refusal.fits.unwrap();
        assert_eq!(quantity(&fits), Some((2_500, "episodes")));
        assert_eq!(setting.refusal(&fits, 20.0, "the deadline"), None, "what is offered fits");
        let none = setting.refusal(&plan, 0.2, "the deadline").unwrap();
        assert!(none.fits.is_none() && none.words.ends_with("not even 24 fit"), "{}", none.words);
    }

    #[test]
    fn facts_correct_the_next_forecast_and_narrow_its_interval() {
        assert_eq!(Learned::from_ratios(&[f64::NAN, 0.0]), None);
        let one = Learned::from_ratios(&[1.5]).unwrap();
        assert!((one.factor - 1.5).abs() < 1e-9 && one.half_width == 0.2);
        let steady = Learned::from_ratios(&[1.5, 1.5, 1.5]).unwrap();
        assert!((steady.factor - 1.5).abs() < 1e-9 && steady.half_width == 0.1);
        let moved = Learned::from_ratios(&[1.0, 2.0]).unwrap();
        assert!(moved.factor > 1.5, "the newest counts most: {moved:?}");
        let mut setting = setting();
        setting.learned.insert(Stage::Generate, one);
        let forecast = setting.forecast(&generate(5_000, 0.8, 0.0)).unwrap();
        assert!((forecast.seconds - 54.45).abs() < 1e-9 && (forecast.raw_s - 36.3).abs() < 1e-9, "{forecast:?}");
        assert_eq!(setting.basis(Stage::Generate), "the probe and 1 generate stage");
    }

    #[test]
    fn without_a_rate_nothing_is_claimed_and_nothing_refused() {
        let mut setting = setting();
        setting.rates = Rates { threads: 2, ..Rates::default() };
        assert_eq!(setting.forecast(&generate(5_000, 0.8, 0.0)), None);
        assert_eq!(setting.refusal(&generate(20_000, 0.0, 0.0), 1.0, "the deadline"), None);
    }
}
