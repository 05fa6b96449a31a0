//! Training: data-parallel, repeatable, resumable.
//!
//! Each worker thread runs its own graph on a fixed share of every batch over the same variables; gradients are
//! added in the order of the threads and one optimiser step is made while no graph runs. What a batch holds and
//! which noise it gets depend on the seed and the update's number alone, so the state to save is weights, moments,
//! averages and that number; there is no other generator.

mod weights;

use super::PolicyError;
use super::batch::Sampler;
use super::config::ActConfig;
use super::hold_out::{self, HoldOut};
use super::inference::{DatasetMark, Origin, Policy};
use super::loss::LossScale;
use super::normalise::Statistics;
use super::optimiser::{Optimiser, Step, add_up};
use super::plan::TrainPlan;
use super::state_file::{self, Course, Identity, TrainState};
use super::stop::{Stop, judge};
use super::worker::{Answer, LossParts, Share, Worker};
use crate::base::{Cancel, Proportion};
use crate::dataset::TrainingSet;
use serde::{Deserialize, Serialize};
use std::ops::Range;
use std::path::Path;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::time::Instant;
use weights::Weights;

/// Updates between two [`TrainEvent::Step`]s.
const UPDATES_PER_EVENT: u32 = 50;

/// What a training tells while it runs.
#[derive(Debug)]
pub enum TrainEvent<'a> {
    /// Every 50 updates.
    Step {
        /// Samples of this round so far.
        samples: u64,
        /// Mean loss since the last event: error and divergence together.
        loss: f64,
        /// The part of the loss that is the mean absolute error of the actions.
        l1: f64,
        /// The part that is the weighted KL divergence; 0 without a variational encoder.
        kl: f64,
        /// Learning rate now.
        learning_rate: f64,
        /// Rate since the last event.
        samples_per_s: f64,
        /// Seconds to the end of the budget at the mean rate so far, measurements and canaries included.
        seconds_left: f64,
    },
    /// At the plan's measurement points: losses on the held-out episodes, with the averaged weights.
    HoldOut(&'a HoldOut),
    /// At the plan's snapshot points: the averaged weights, ready for canary rollouts.
    Snapshot {
        /// Samples of this round so far.
        samples: u64,
        /// The policy.
        policy: &'a Policy,
        /// Where the listener puts the scenes it solved. The snapshot with the highest rate becomes the training's
        /// result; of equal ones the latest.
        scenes: &'a mut Option<Proportion>,
    },
}

/// The mean loss of a window of 50 updates.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WindowLoss {
    /// Samples of this round at its end.
    pub samples: u64,
    /// Mean absolute error of the normalised actions.
    pub l1: f64,
    /// Weighted KL divergence.
    pub kl: f64,
}

impl WindowLoss {
    /// Both parts together.
    pub fn loss(&self) -> f64 {
        self.l1 + self.kl
    }
}

/// A snapshot that was driven in closed loop.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Canary {
    /// Samples of this round when it was taken.
    pub samples: u64,
    /// Scenes it solved.
    pub scenes: Proportion,
}

/// What a training gives.
#[derive(Debug)]
pub struct TrainOutcome {
    /// Whether the training ended: its budget was used up or a stop rule fired. False when cancelled, with the state
    /// saved.
    pub finished: bool,
    /// The stop rule that ended it before its budget.
    pub stopped: Option<Stop>,
    /// Samples of this round.
    pub samples: u64,
    /// Mean loss of the last window; not a number when no window ended.
    pub final_loss: f64,
    /// Mean loss of each window of 50 updates.
    pub losses: Vec<WindowLoss>,
    /// Measurements on the held-out episodes.
    pub held_out: Vec<HoldOut>,
    /// Snapshots that were driven.
    pub canaries: Vec<Canary>,
    /// The one that drove best, if any was driven.
    pub best: Option<Canary>,
    /// Seconds of training, over all interruptions.
    pub seconds: f64,
    /// The averaged weights: of the best snapshot, else of the end.
    pub policy: Policy,
}

/// Trains a network on `set` by `plan`, from nothing or from the checkpoint `start`, whose statistics it keeps.
/// The state in `work_dir` is taken up when there is one; a training of other data, plan or network is refused.
pub fn train(
    set: &TrainingSet,
    config: &ActConfig,
    start: Option<&Path>,
    plan: &TrainPlan,
    work_dir: &Path,
    cancel: &Cancel,
    on_event: &mut dyn FnMut(TrainEvent<'_>),
) -> Result<TrainOutcome, PolicyError> {
    plan.check()?;
    config.check()?;
    check_shapes(set, config)?;
    let start = start.map(Policy::load).transpose()?;
    if let Some(start) = &start
        && start.config() != config
    {
        return Err(PolicyError::Config("the checkpoint to start from has another configuration".into()));
    }
    let identity = Identity {
        plan: plan.clone(),
        config: config.clone(),
        statistics: start.as_ref().map_or_else(|| Statistics::of(set), |s| s.statistics().clone()),
        datasets: marks(set),
        earlier_samples: start.as_ref().map_or(0, Policy::samples),
    };
    let weights = Weights::new(config, plan, start.as_ref())?;
    let mut training = Training::new(set, &identity, &weights, work_dir)?;
    let workers = (0..plan.threads)
        .map(|_| Worker::new(config, set, &identity.statistics, &weights.vars, &weights.named))
        .collect::<Result<Vec<_>, _>>()?;
    std::thread::scope(|scope| {
        let lines = workers
            .into_iter()
            .map(|worker| {
                let (orders, inbox) = sync_channel::<Share>(1);
                let (outbox, answers) = sync_channel::<Result<Answer, PolicyError>>(1);
                scope.spawn(move || {
                    for share in inbox {
                        if outbox.send(worker.run(share)).is_err() {
                            break;
                        }
                    }
                });
                Line { orders, answers }
            })
            .collect::<Vec<_>>();
        training.run(&lines, cancel, on_event)
    })?;
    training.outcome()
}

/// The way to one worker and back; at most one share is under way.
struct Line {
    orders: SyncSender<Share>,
    answers: Receiver<Result<Answer, PolicyError>>,
}

fn check_shapes(set: &TrainingSet, config: &ActConfig) -> Result<(), PolicyError> {
    if set.is_empty() {
        return Err(PolicyError::NoSamples);
    }
    let (height, width) = config.image_size().ok_or_else(|| {
        PolicyError::Config(format!("training takes one camera, the network has {}", config.cameras.len()))
    })?;
    let wanted = (height, width, config.state_dim, config.chunk_size, config.action_dim);
    let got = (set.height, set.width, set.state_dim, set.chunk, set.action_dim);
    if wanted != got {
        return Err(PolicyError::Shape {
            what: "training set (height, width, state, chunk, action)",
            wanted: format!("{wanted:?}"),
            got: format!("{got:?}"),
        });
    }
    Ok(())
}

/// Digests of each dataset's samples. States and labels tell data apart; equal ones with other images do not occur
/// in practice, and reading gigabytes of images at every start would.
fn marks(set: &TrainingSet) -> Vec<DatasetMark> {
    let whole = 0..set.len();
    let sources = if set.sources.is_empty() { std::slice::from_ref(&whole) } else { &set.sources[..] };
    let mark = |source: &Range<usize>| {
        let mut hasher = blake3::Hasher::new();
        for sample in source.clone() {
            let numbers = set.state(sample).iter().chain(set.chunk(sample));
            let bytes: Vec<u8> = numbers.flat_map(|v| v.to_le_bytes()).chain([set.valid[sample]]).collect();
            hasher.update(&bytes);
        }
        DatasetMark { samples: source.len() as u64, blake3: hasher.finalize().to_hex().to_string() }
    };
    sources.iter().map(mark).collect()
}

struct Training<'a> {
    set: &'a TrainingSet,
    identity: &'a Identity,
    weights: &'a Weights,
    work_dir: &'a Path,
    sampler: Sampler,
    /// The held-out samples that are measured.
    measured: Vec<usize>,
    optimiser: Optimiser,
    course: Course,
    /// Averaged weights of the best snapshot; empty while there is none.
    best: Vec<f32>,
    stopped: Option<Stop>,
    /// One flat gradient per worker, lent to it with each share.
    gradients: Vec<Vec<f32>>,
}

/// Since when the rates of events count.
struct Pace {
    started: Instant,
    samples_before: u64,
    seconds_before: f64,
    event: (Instant, u64),
}

impl<'a> Training<'a> {
    fn new(
        set: &'a TrainingSet,
        identity: &'a Identity,
        weights: &'a Weights,
        work_dir: &'a Path,
    ) -> Result<Self, PolicyError> {
        let count = weights.count();
        let (optimiser, course, best) = match state_file::load(work_dir, identity, count)? {
            Some(state) => {
                weights.set(&state.weights)?;
                (state.optimiser, state.course, state.best)
            }
            None => (Optimiser::new(weights.flat()?), Course::default(), Vec::new()),
        };
        let gradients = vec![vec![0.0; count]; identity.plan.threads];
        let sampler = Sampler::new(set, &identity.plan)?;
        let measured = hold_out::choose(&sampler.held_out);
        let stopped = judge(&identity.plan, &course.losses, &course.held_out);
        Ok(Self { set, identity, weights, work_dir, sampler, measured, optimiser, course, best, stopped, gradients })
    }

    fn samples(&self) -> u64 {
        self.course.updates * self.identity.plan.batch as u64
    }

    fn ended(&self) -> bool {
        self.course.updates >= self.identity.plan.updates() || self.stopped.is_some()
    }

    fn run(
        &mut self,
        lines: &[Line],
        cancel: &Cancel,
        on_event: &mut dyn FnMut(TrainEvent<'_>),
    ) -> Result<(), PolicyError> {
        let plan = &self.identity.plan;
        let mut pace = Pace {
            started: Instant::now(),
            samples_before: self.samples(),
            seconds_before: self.course.seconds,
            event: (Instant::now(), self.samples()),
        };
        // A state saved between a point's update and its looks still owes them.
        self.look(&mut pace, cancel, on_event)?;
        while !self.ended() && !cancel.is_cancelled() {
            let parts = self.update(lines)?;
            self.course.seconds = pace.seconds_before + pace.started.elapsed().as_secs_f64();
            self.course.window.add(parts);
            if self.course.window.updates >= UPDATES_PER_EVENT || self.course.updates == plan.updates() {
                self.close_window(&mut pace, on_event);
            }
            self.look(&mut pace, cancel, on_event)?;
            let samples = self.samples();
            if samples / plan.checkpoint_every_samples != (samples - plan.batch as u64) / plan.checkpoint_every_samples
            {
                self.save()?;
            }
        }
        self.save()
    }

    fn close_window(&mut self, pace: &mut Pace, on_event: &mut dyn FnMut(TrainEvent<'_>)) {
        let plan = &self.identity.plan;
        let samples = self.samples();
        let window = std::mem::take(&mut self.course.window);
        let (l1, kl) = window.means();
        self.course.losses.push(WindowLoss { samples, l1, kl });
        let seconds = pace.event.0.elapsed().as_secs_f64().max(1e-9);
        let mean_rate = (samples - pace.samples_before) as f64 / pace.started.elapsed().as_secs_f64().max(1e-9);
        on_event(TrainEvent::Step {
            samples,
            loss: l1 + kl,
            l1,
            kl,
            learning_rate: plan.learning_rate_at(self.course.updates - 1),
            samples_per_s: (samples - pace.event.1) as f64 / seconds,
            seconds_left: plan.samples.saturating_sub(samples) as f64 / mean_rate.max(1e-9),
        });
        pace.event = (Instant::now(), samples);
        self.stopped = judge(plan, &self.course.losses, &self.course.held_out);
    }

    /// Measures and shows the weights where the plan says so and it was not done yet.
    fn look(
        &mut self,
        pace: &mut Pace,
        cancel: &Cancel,
        on_event: &mut dyn FnMut(TrainEvent<'_>),
    ) -> Result<(), PolicyError> {
        let plan = &self.identity.plan;
        let (samples, updates) = (self.samples(), self.course.updates);
        let at_end = self.ended();
        let measure = (plan.measurement_is_due(updates) || (at_end && plan.measure_every_samples > 0))
            && self.course.held_out.last().is_none_or(|m| m.samples < samples);
        let show = (plan.snapshot_is_due(updates) || (at_end && plan.snapshots > 0))
            && self.course.canaries.last().is_none_or(|c| c.samples < samples);
        if !(measure || show) || updates == 0 || cancel.is_cancelled() {
            return Ok(());
        }
        let policy = self.policy(&self.optimiser.average)?;
        if measure && let Some(found) = hold_out::measure(&policy, self.set, &self.measured, plan.threads)? {
            self.course.held_out.push(HoldOut { samples, ..found });
            if let Some(found) = self.course.held_out.last() {
                on_event(TrainEvent::HoldOut(found));
            }
        }
        if show {
            let mut scenes = None;
            on_event(TrainEvent::Snapshot { samples, policy: &policy, scenes: &mut scenes });
            if let Some(scenes) = scenes {
                self.rank(Canary { samples, scenes });
            }
        }
        pace.event = (Instant::now(), samples);
        Ok(())
    }

    /// Keeps the weights of the snapshot that solved the largest share of its scenes; of equal ones the latest,
    /// which has seen more.
    fn rank(&mut self, canary: Canary) {
        self.course.canaries.push(canary);
        if self.course.best.is_none_or(|best| canary.scenes.rate() >= best.scenes.rate()) {
            self.course.best = Some(canary);
            self.best.clone_from(&self.optimiser.average);
        }
    }

    /// One update; returns the batch's loss.
    fn update(&mut self, lines: &[Line]) -> Result<LossParts, PolicyError> {
        let plan = &self.identity.plan;
        let update = self.course.updates;
        let samples = self.sampler.draw(plan, update);
        let real: u64 = samples.iter().map(|i| u64::from(self.set.valid[*i])).sum();
        let config = &self.identity.config;
        let numbers = config.action_dim as u64;
        let scale = LossScale {
            numbers: config.l1_mean.divisor(real * numbers, samples.len() as u64 * config.chunk_size as u64 * numbers),
            samples: samples.len() as f64,
            kl_weight: config.kl_weight,
        };
        let per_worker = samples.len().div_ceil(lines.len());
        let mut shares = samples.chunks(per_worker);
        for (i, line) in lines.iter().enumerate() {
            let share = Share {
                samples: shares.next().unwrap_or_default().to_vec(),
                scale,
                noise: plan.seed.child("noise", update).child("worker", i as u64),
                gradient: std::mem::take(&mut self.gradients[i]),
            };
            line.orders.send(share).map_err(|_| PolicyError::WorkerLost)?;
        }
        let mut loss = LossParts::default();
        for (line, gradient) in lines.iter().zip(&mut self.gradients) {
            let answer = line.answers.recv().map_err(|_| PolicyError::WorkerLost)??;
            loss.l1 += answer.loss.l1;
            loss.kl += answer.loss.kl;
            *gradient = answer.gradient;
        }
        let norm = add_up(&mut self.gradients);
        let Some(gradient) = self.gradients.first() else { return Err(PolicyError::WorkerLost) };
        for (what, value) in [("loss", loss.l1 + loss.kl), ("gradient norm", norm)] {
            if !value.is_finite() {
                let samples = update * plan.batch as u64;
                return Err(PolicyError::Diverged { samples, what, value });
            }
        }
        let done = update + 1;
        let step = Step {
            learning_rate: plan.learning_rate_at(update),
            backbone_learning_rate: plan.backbone_learning_rate_at(update),
            weight_decay: plan.weight_decay,
            gradient_scale: (plan.clip_norm / (norm + 1e-6)).min(1.0),
            ema_keep: done
                .is_multiple_of(TrainPlan::EMA_EVERY_UPDATES)
                .then(|| ema_keep(plan.ema_decay, done / TrainPlan::EMA_EVERY_UPDATES)),
        };
        self.optimiser.update(&self.weights.vars, &self.weights.backbone, gradient, step, plan.threads)?;
        self.course.updates = done;
        Ok(loss)
    }

    fn save(&self) -> Result<(), PolicyError> {
        let state = TrainState {
            course: self.course.clone(),
            weights: self.weights.flat()?,
            optimiser: self.optimiser.clone(),
            best: self.best.clone(),
        };
        state_file::save(self.work_dir, self.identity, &state)
    }

    fn policy(&self, flat: &[f32]) -> Result<Policy, PolicyError> {
        let Identity { plan, config, statistics, earlier_samples, .. } = self.identity;
        let samples = earlier_samples + self.samples();
        let origin = Origin { seed: plan.seed.0, samples, datasets: self.identity.datasets.clone() };
        let mut tensors = self.weights.split(flat)?;
        tensors.extend(self.weights.buffers.clone());
        Policy::new(config.clone(), statistics.clone(), origin, tensors)
    }

    fn outcome(self) -> Result<TrainOutcome, PolicyError> {
        let plan = &self.identity.plan;
        // Cancelled between the last update and its canary: the result is not known yet.
        let owed = plan.snapshots > 0
            && self.course.canaries.last().is_some_and(|c| c.samples < self.samples())
            && self.stopped.is_none();
        Ok(TrainOutcome {
            finished: self.ended() && !owed,
            stopped: self.stopped,
            samples: self.samples(),
            final_loss: self.course.losses.last().map_or(f64::NAN, WindowLoss::loss),
            seconds: self.course.seconds,
            policy: self.policy(if self.best.is_empty() { &self.optimiser.average } else { &self.best })?,
            losses: self.course.losses,
            held_out: self.course.held_out,
            canaries: self.course.canaries,
            best: self.course.best,
        })
    }
}

/// Share of the average that is kept at its step numbered `step`: short at first, so that the beginning is forgotten.
fn ema_keep(decay: f64, step: u64) -> f64 {
    decay.min((1.0 + step as f64) / (10.0 + step as f64))
}

#[cfg(test)]
mod tests;
