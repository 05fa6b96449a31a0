//! The probe: what this machine does with a preset's sizes, measured in seconds, before anything is planned.
//!
//! Every part runs for a share of the time, does what the stages will do, and is counted in the stages' own units. A
//! part that fails leaves its rate at 0 and its reason in words: a forecast without it is better than no loop.

use super::preset::LoopPreset;
use super::rates::Rates;
use crate::base::{Cancel, EvaluationSeed, Seed};
use crate::dataset::{TrainingSet, encode_png, load_training_set};
use crate::episodes::{self, Order};
use crate::policy::{ActConfig, Observation, Policy, TrainEvent, TrainPlan, train};
use crate::render::{Camera, Renderer};
use crate::rollout::{Pilot, RolloutOptions, SceneSet, drive, evaluate, film};
use crate::sim::{self, World};
use std::path::{Path, PathBuf};
use std::sync::mpsc;
use std::time::{Duration, Instant};

/// Episodes of one lot of the factory; fewer leave threads idle.
const EPISODES_PER_LOT: u32 = 12;
/// Scenes of one lot of rollouts.
const SCENES_PER_LOT: u32 = 25;
/// Seconds of scene that are filmed.
const FILM_SCENE_S: f32 = 8.0;

/// How long the probe may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Effort {
    /// Some seconds: at the start of a mission, where people wait for the first number.
    Short,
    /// Up to a minute, for a steadier result.
    Full,
}

impl Effort {
    /// Seconds of one unit of the parts' shares; together they have about 6.
    fn unit_s(self) -> f64 {
        match self {
            Effort::Short => 1.0,
            Effort::Full => 6.0,
        }
    }

    /// Seconds it takes, about.
    pub fn about_s(self) -> f64 {
        7.0 * self.unit_s()
    }
}

/// What came of a probe.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Measured {
    /// The rates.
    pub rates: Rates,
    /// Parts that could not be measured, and why.
    pub missing: Vec<String>,
    /// How long it took.
    pub seconds: f64,
}

impl Measured {
    fn note(&mut self, part: &str, result: Result<(), String>) {
        if let Err(why) = result {
            self.missing.push(format!("{part}: {why}"));
        }
    }
}

/// Measures with the sizes of `preset` on `threads` threads. Files go into `scratch`, which is made and removed.
/// `on_part` is told what begins; a cancelled probe returns what it has.
pub fn probe(
    preset: &LoopPreset,
    threads: usize,
    scratch: &Path,
    effort: Effort,
    cancel: &Cancel,
    on_part: &mut dyn FnMut(&'static str),
) -> Measured {
    let began = Instant::now();
    let mut measured = Measured { rates: Rates { threads, ..Rates::default() }, ..Measured::default() };
    let bench = Bench { preset, threads, scratch: scratch.to_owned(), unit_s: effort.unit_s(), cancel };
    let rates = &mut Rates { threads, ..Rates::default() };
    on_part("physics, rendering, encoding");
    measured.note("physics", bench.physics().map(|rate| rates.physics_steps_per_s = rate));
    measured.note("rendering", bench.frames(rates));
    on_part("episodes");
    measured.note("episodes", std::fs::create_dir_all(scratch).map_err(words));
    let sets = bench.episodes(rates, &mut measured);
    if !cancel.is_cancelled() && !sets.is_empty() {
        on_part("training");
        match bench.training(&sets, rates) {
            Ok((policy, set)) => {
                on_part("inference, rollouts");
                measured.note("inference", bench.inference(&policy, &set).map(|r| rates.infer_observations_per_s = r));
                measured.note("rollouts", bench.rollouts(&policy, rates));
                measured.note("DAgger episodes", bench.dagger(&policy).map(|r| rates.dagger_episodes_per_s = r));
            }
            Err(why) => measured.note("training", Err(why)),
        }
    }
    measured.rates = rates.clone();
    if scratch.exists()
        && let Err(error) = std::fs::remove_dir_all(scratch)
    {
        tracing::warn!(%error, dir = %scratch.display(), "a folder of the probe stays");
    }
    measured.seconds = began.elapsed().as_secs_f64();
    measured
}

struct Bench<'a> {
    preset: &'a LoopPreset,
    threads: usize,
    scratch: PathBuf,
    unit_s: f64,
    cancel: &'a Cancel,
}

impl Bench<'_> {
    fn physics(&self) -> Result<f64, String> {
        let mut number = 0;
        let mut world = scene(number)?;
        per_second(0.3 * self.unit_s, || {
            for _ in 0..200 {
                let action = sim::expert(world.state());
                world.step(action);
                if world.is_done() {
                    number += 1;
                    world = scene(number)?;
                }
            }
            Ok(200)
        })
    }

    /// Rendering and encoding, of the cab camera at the preset's size.
    fn frames(&self, rates: &mut Rates) -> Result<(), String> {
        let (width, height) = (self.preset.width, self.preset.height);
        let worlds = (0..13).map(scene).collect::<Result<Vec<_>, _>>()?;
        let mut renderer = Renderer::new(Camera::cab(width, height));
        let mut frames = vec![vec![0; width * height * 3]; worlds.len()];
        rates.render_frames_per_s = per_second(0.2 * self.unit_s, || {
            for (world, rgb) in worlds.iter().zip(&mut frames) {
                renderer.render(world.state(), rgb);
            }
            Ok(frames.len() as u64)
        })?;
        let mut png = Vec::new();
        rates.encode_frames_per_s = per_second(0.2 * self.unit_s, || {
            for rgb in &frames {
                png.clear();
                encode_png(rgb, width, height, &mut png).map_err(words)?;
            }
            Ok(frames.len() as u64)
        })?;
        Ok(())
    }

    fn order(&self, episodes: u32, seed: u64) -> Order {
        let generate = &self.preset.generate;
        Order {
            episodes,
            bricks: (generate.bricks_min, generate.bricks_max),
            noisy_share: 0.0,
            bad_start_share: 0.0,
            dagger_share: 0.0,
            label_every: generate.label_every,
            chunk: self.preset.chunk,
            height: self.preset.height,
            width: self.preset.width,
            state: self.preset.state,
            seed: Seed(seed),
            threads: self.threads,
            ..Order::default()
        }
    }

    /// Episodes by the expert and from bad starts; the datasets that were made.
    fn episodes(&self, rates: &mut Rates, measured: &mut Measured) -> Vec<PathBuf> {
        let mut sets = Vec::new();
        let by_expert = self.made("expert", 0.8, None, |order| order.noisy_share = 1.0);
        measured.note(
            "expert episodes",
            by_expert.map(|(rate, dir)| {
                rates.expert_episodes_per_s = rate;
                sets.push(dir);
            }),
        );
        let from_bad_starts = self.made("bad-start", 0.5, None, |order| order.bad_start_share = 1.0);
        measured.note(
            "episodes from bad starts",
            from_bad_starts.map(|(rate, dir)| {
                rates.bad_start_episodes_per_s = rate;
                sets.push(dir);
            }),
        );
        sets
    }

    fn dagger(&self, policy: &Policy) -> Result<f64, String> {
        let steps = self.preset.evaluate.execute_steps;
        let (rate, _) = self.made("dagger", 0.8, Some((policy, steps)), |order| order.dagger_share = 1.0)?;
        Ok(rate)
    }

    /// Episodes per second of one kind: a small order first, and when there is time left, one that fills it.
    fn made(
        &self,
        name: &str,
        share: f64,
        policy: Option<(&Policy, u32)>,
        kind: impl Fn(&mut Order),
    ) -> Result<(f64, PathBuf), String> {
        let budget_s = share * self.unit_s;
        let lot = EPISODES_PER_LOT * u32::try_from(self.threads).unwrap_or(1);
        let make = |episodes: u32, part: u64| {
            let mut order = self.order(episodes, 7 + part);
            kind(&mut order);
            let dir = self.scratch.join(format!("{name}-{part}"));
            // A slow machine gets several times its share before the order is cut off.
            let outcome = within(4.0 * budget_s + 5.0, self.cancel, |cancel| {
                episodes::generate(&order, policy, &dir, cancel, &mut |_| {})
            })
            .map_err(words)?;
            Ok::<_, String>((f64::from(outcome.made) / outcome.seconds.max(1e-3), outcome.seconds, dir))
        };
        let (rate, seconds, dir) = make(lot, 0)?;
        let more = ((budget_s - seconds) / seconds.max(1e-3)).floor();
        if more < 1.0 || self.cancel.is_cancelled() {
            return Ok((rate, dir));
        }
        let (rate, _, dir) = make(lot * (more.min(60.0) as u32), 1)?;
        Ok((rate, dir))
    }

    /// Loading and training; the policy is as good as untaught.
    fn training(&self, sets: &[PathBuf], rates: &mut Rates) -> Result<(Policy, TrainingSet), String> {
        let began = Instant::now();
        let set = load_training_set(sets, self.preset.chunk, None).map_err(words)?;
        rates.load_samples_per_s = set.len() as f64 / began.elapsed().as_secs_f64().max(1e-3);
        let preset = self.preset;
        let config = ActConfig::preset(&preset.policy, set.height, set.width, set.state_dim, preset.chunk);
        let plan = TrainPlan {
            samples: 10_000_000,
            batch: preset.train.batch,
            threads: self.threads,
            seed: Seed(7),
            checkpoint_every_samples: u64::MAX,
            ..TrainPlan::default()
        };
        let mut windows = Vec::new();
        let outcome = within(2.2 * self.unit_s, self.cancel, |cancel| {
            train(&set, &config.map_err(words)?, None, &plan, &self.scratch.join("training"), cancel, &mut |event| {
                if let TrainEvent::Step { samples_per_s, .. } = event {
                    windows.push(samples_per_s);
                }
            })
            .map_err(words)
        })?;
        windows.sort_by(f64::total_cmp);
        let over_all = outcome.samples as f64 / outcome.seconds.max(1e-3);
        rates.train_samples_per_s = windows.get(windows.len() / 2).copied().unwrap_or(over_all);
        Ok((outcome.policy, set))
    }

    fn inference(&self, policy: &Policy, set: &TrainingSet) -> Result<f64, String> {
        let batch: Vec<Observation<'_>> =
            (0..set.len().min(25)).map(|i| Observation { image: set.image(i), state: set.state(i) }).collect();
        per_second(0.2 * self.unit_s, || {
            std::hint::black_box(policy.act(&batch).map_err(words)?);
            Ok(batch.len() as u64)
        })
    }

    fn rollouts(&self, policy: &Policy, rates: &mut Rates) -> Result<(), String> {
        let preset = self.preset;
        let steps = preset.evaluate.execute_steps;
        let pilot = Pilot::Policy { policy, state: preset.state, execute_steps: steps };
        let scenes = SCENES_PER_LOT * u32::try_from(self.threads).unwrap_or(1);
        let set = SceneSet { seed: EvaluationSeed(7), families: Vec::new(), bricks: 1, scenes };
        let options = RolloutOptions { seconds_per_brick: 20.0, threads: self.threads, ..RolloutOptions::default() };
        let evaluation =
            within(6.0 * self.unit_s, self.cancel, |cancel| evaluate(&pilot, &set, &options, cancel, &mut |_| {}))
                .map_err(words)?;
        let driven: u32 = evaluation.results.iter().map(|result| result.steps).sum();
        rates.rollout_steps_per_s = if evaluation.finished {
            f64::from(driven) / evaluation.seconds.max(1e-3)
        } else {
            // Too slow to finish: from its parts.
            let look_s = 1.0 / (f64::from(steps) * rates.infer_observations_per_s.max(1e-9));
            self.threads as f64 / (1.0 / rates.physics_steps_per_s.max(1e-9) + look_s)
        };
        let began = Instant::now();
        let (_, trace) = drive(&pilot, &set, 0, &options).map_err(words)?;
        let clip = film(&set, 0, &trace.actions, FILM_SCENE_S).map_err(words)?;
        clip.to_gif().map_err(words)?;
        rates.film_s_per_scene_s = began.elapsed().as_secs_f64() / f64::from(FILM_SCENE_S);
        Ok(())
    }
}

fn scene(number: u64) -> Result<World, String> {
    let families = sim::families();
    let family = &families[usize::try_from(number).unwrap_or(0) % families.len()];
    let mut rng = Seed(7).child("probe", number).rng();
    World::new(&family.sample(1, &mut rng).map_err(words)?).map_err(words)
}

fn words(error: impl std::fmt::Display) -> String {
    error.to_string()
}

/// Repeats `once` for about `seconds` and gives the units it did in a second.
fn per_second(seconds: f64, mut once: impl FnMut() -> Result<u64, String>) -> Result<f64, String> {
    let began = Instant::now();
    let mut units = 0;
    loop {
        units += once()?;
        let elapsed = began.elapsed().as_secs_f64();
        if elapsed >= seconds {
            return Ok(units as f64 / elapsed);
        }
    }
}

/// Runs `work`, and asks it to stop after `seconds`, or as soon as `outer` is cancelled.
fn within<T>(seconds: f64, outer: &Cancel, work: impl FnOnce(&Cancel) -> T) -> T {
    let deadline = Instant::now() + Duration::from_secs_f64(seconds);
    let cancel = Cancel::default();
    let (running, ended) = mpsc::channel::<()>();
    std::thread::scope(|scope| {
        let watched = cancel.clone();
        scope.spawn(move || {
            while Instant::now() < deadline && !outer.is_cancelled() {
                match ended.recv_timeout(Duration::from_millis(20)) {
                    Err(mpsc::RecvTimeoutError::Timeout) => {}
                    Ok(()) | Err(mpsc::RecvTimeoutError::Disconnected) => return,
                }
            }
            watched.cancel();
        });
        let result = work(&cancel);
        drop(running);
        result
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn work_that_takes_too_long_is_asked_to_stop() {
        let outer = Cancel::default();
        let stopped = within(0.02, &outer, |cancel| {
            let began = Instant::now();
            while !cancel.is_cancelled() && began.elapsed().as_secs() < 20 {
                std::thread::yield_now();
            }
            cancel.is_cancelled()
        });
        assert!(stopped && !outer.is_cancelled());
        assert_eq!(within(60.0, &outer, |_| 7), 7);
    }

    #[test]
    fn a_cancelled_probe_says_what_it_lacks_and_leaves_no_files() {
        let root = tempfile::tempdir().unwrap();
        let scratch = root.path().join("probe");
        let cancel = Cancel::default();
        cancel.cancel();
        let measured = probe(&LoopPreset::default(), 1, &scratch, Effort::Short, &cancel, &mut |_| {});
        assert!(measured.rates.physics_steps_per_s > 0.0);
        assert_eq!(measured.rates.train_samples_per_s, 0.0);
        assert!(measured.missing.iter().any(|line| line.starts_with("expert episodes: ")), "{:?}", measured.missing);
        assert!(!scratch.exists());
    }
}
