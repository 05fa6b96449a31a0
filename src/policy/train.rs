//! Training: data-parallel, repeatable, resumable.
//!
//! Each worker thread runs its own graph on a fixed share of every batch over the same variables; gradients are
//! added in the order of the threads and one optimiser step is made while no graph runs. What a batch holds depends
//! on the update's number alone, so the state to save is weights, moments, averages and that number.

use super::PolicyError;
use super::batch;
use super::config::{ACTION_DIM, ActConfig};
use super::inference::{Origin, Policy};
use super::initial::initial_tensor;
use super::loss::LossScale;
use super::normalise::Statistics;
use super::ops::with_slice;
use super::optimiser::{Optimiser, Step, add_up};
use super::parameters::{Parameter, parameters};
use super::plan::TrainPlan;
use super::state_file::{self, Course, Identity, TrainState};
use super::worker::{Answer, Share, Worker};
use crate::base::Cancel;
use crate::dataset::TrainingSet;
use candle_core::{Device, Tensor, Var};
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::time::Instant;

/// Updates between two [`TrainEvent::Step`]s.
const UPDATES_PER_EVENT: u32 = 50;

/// What a training tells while it runs.
#[derive(Debug)]
pub enum TrainEvent<'a> {
    /// Every 50 updates.
    Step {
        /// Samples of this round so far.
        samples: u64,
        /// Mean loss since the last event.
        loss: f64,
        /// Learning rate now.
        learning_rate: f64,
        /// Rate since the last event.
        samples_per_s: f64,
    },
    /// At the plan's snapshot points: the averaged weights, ready for canary rollouts.
    Snapshot {
        /// Samples of this round so far.
        samples: u64,
        /// The policy.
        policy: &'a Policy,
    },
}

/// What a training gives.
#[derive(Debug)]
pub struct TrainOutcome {
    /// Whether the budget was used up; false when cancelled, with the state saved.
    pub finished: bool,
    /// Samples of this round.
    pub samples: u64,
    /// Mean loss of the last window; not a number when no window ended.
    pub final_loss: f64,
    /// Mean loss of each window of 50 updates, with the samples seen at its end.
    pub losses: Vec<(u64, f64)>,
    /// Seconds of training, over all interruptions.
    pub seconds: f64,
    /// The averaged weights.
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
        data: digest(set),
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
    let wanted = (config.height, config.width, config.state_dim, config.chunk_size, ACTION_DIM);
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

/// Tells data apart by states, labels and sources; equal ones with other images do not occur in practice, and
/// reading gigabytes of images at every start would.
fn digest(set: &TrainingSet) -> String {
    let mut hasher = blake3::Hasher::new();
    for numbers in [&set.states, &set.chunks] {
        for part in numbers.chunks(4096) {
            let bytes: Vec<u8> = part.iter().flat_map(|v| v.to_le_bytes()).collect();
            hasher.update(&bytes);
        }
    }
    hasher.update(&set.valid);
    for source in &set.sources {
        hasher.update(&(source.start as u64).to_le_bytes());
        hasher.update(&(source.end as u64).to_le_bytes());
    }
    hasher.finalize().to_hex().to_string()
}

/// The variables, in the order of `parameters.rs` and by name.
struct Weights {
    parameters: Vec<Parameter>,
    vars: Vec<Var>,
    named: BTreeMap<String, Tensor>,
}

impl Weights {
    fn new(config: &ActConfig, plan: &TrainPlan, start: Option<&Policy>) -> Result<Self, PolicyError> {
        let parameters = parameters(config);
        let seed = plan.seed.child("weights", 0);
        let mut vars = Vec::with_capacity(parameters.len());
        let mut named = BTreeMap::new();
        for parameter in &parameters {
            let tensor = match start.and_then(|start| start.parameters().get(&parameter.name)) {
                Some(tensor) => tensor.clone(),
                None => initial_tensor(parameter, seed)?,
            };
            let var = Var::from_tensor(&tensor.copy()?)?;
            named.insert(parameter.name.clone(), var.as_tensor().clone());
            vars.push(var);
        }
        Ok(Self { parameters, vars, named })
    }

    fn count(&self) -> usize {
        self.vars.iter().map(|var| var.elem_count()).sum()
    }

    fn flat(&self) -> Result<Vec<f32>, PolicyError> {
        let mut flat = Vec::with_capacity(self.count());
        for var in &self.vars {
            with_slice(var, |values| flat.extend_from_slice(values))?;
        }
        Ok(flat)
    }

    /// Tensors of a flat vector, by name.
    fn split(&self, flat: &[f32]) -> Result<BTreeMap<String, Tensor>, PolicyError> {
        let mut at = 0;
        let mut tensors = BTreeMap::new();
        for parameter in &self.parameters {
            let count: usize = parameter.shape.iter().product();
            let tensor = Tensor::from_slice(&flat[at..at + count], parameter.shape.as_slice(), &Device::Cpu)?;
            tensors.insert(parameter.name.clone(), tensor);
            at += count;
        }
        Ok(tensors)
    }

    fn set(&self, flat: &[f32]) -> Result<(), PolicyError> {
        let tensors = self.split(flat)?;
        for (parameter, var) in self.parameters.iter().zip(&self.vars) {
            if let Some(tensor) = tensors.get(&parameter.name) {
                var.set(tensor)?;
            }
        }
        Ok(())
    }
}

struct Training<'a> {
    set: &'a TrainingSet,
    identity: &'a Identity,
    weights: &'a Weights,
    work_dir: &'a Path,
    optimiser: Optimiser,
    course: Course,
    /// One flat gradient per worker, lent to it with each share.
    gradients: Vec<Vec<f32>>,
}

impl<'a> Training<'a> {
    fn new(
        set: &'a TrainingSet,
        identity: &'a Identity,
        weights: &'a Weights,
        work_dir: &'a Path,
    ) -> Result<Self, PolicyError> {
        let count = weights.count();
        let (optimiser, course) = match state_file::load(work_dir, identity, count)? {
            Some(state) => {
                weights.set(&state.weights)?;
                (state.optimiser, state.course)
            }
            None => (Optimiser::new(weights.flat()?), Course::default()),
        };
        let gradients = vec![vec![0.0; count]; identity.plan.threads];
        Ok(Self { set, identity, weights, work_dir, optimiser, course, gradients })
    }

    fn samples(&self) -> u64 {
        self.course.updates * self.identity.plan.batch as u64
    }

    fn run(
        &mut self,
        lines: &[Line],
        cancel: &Cancel,
        on_event: &mut dyn FnMut(TrainEvent<'_>),
    ) -> Result<(), PolicyError> {
        let plan = &self.identity.plan;
        let (started, seconds_before) = (Instant::now(), self.course.seconds);
        let mut event_at = (Instant::now(), self.samples());
        while self.course.updates < plan.updates() && !cancel.is_cancelled() {
            let loss = self.update(lines)?;
            self.course.seconds = seconds_before + started.elapsed().as_secs_f64();
            let (sum, count) = self.course.window;
            self.course.window = (sum + loss, count + 1);
            let samples = self.samples();
            if count + 1 >= UPDATES_PER_EVENT || self.course.updates == plan.updates() {
                let loss = (sum + loss) / f64::from(count + 1);
                self.course.window = (0.0, 0);
                self.course.losses.push((samples, loss));
                let seconds = event_at.0.elapsed().as_secs_f64().max(1e-9);
                on_event(TrainEvent::Step {
                    samples,
                    loss,
                    learning_rate: plan.learning_rate_at(self.course.updates - 1),
                    samples_per_s: (samples - event_at.1) as f64 / seconds,
                });
                event_at = (Instant::now(), samples);
            }
            if crosses(samples, plan.batch, plan.snapshot_every_samples) {
                on_event(TrainEvent::Snapshot { samples, policy: &self.policy()? });
                event_at = (Instant::now(), samples);
            }
            if crosses(samples, plan.batch, plan.checkpoint_every_samples) {
                self.save()?;
            }
        }
        self.save()
    }

    /// One update; returns the batch's loss.
    fn update(&mut self, lines: &[Line]) -> Result<f64, PolicyError> {
        let plan = &self.identity.plan;
        let update = self.course.updates;
        let samples = batch::draw(self.set, plan, update);
        let real: u64 = samples.iter().map(|i| u64::from(self.set.valid[*i])).sum();
        let scale = LossScale {
            real_numbers: (real * ACTION_DIM as u64) as f64,
            samples: samples.len() as f64,
            kl_weight: self.identity.config.kl_weight,
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
        let mut loss = 0.0;
        for (line, gradient) in lines.iter().zip(&mut self.gradients) {
            let answer = line.answers.recv().map_err(|_| PolicyError::WorkerLost)??;
            loss += answer.loss;
            *gradient = answer.gradient;
        }
        let norm = add_up(&mut self.gradients);
        let Some(gradient) = self.gradients.first() else { return Err(PolicyError::WorkerLost) };
        for (what, value) in [("loss", loss), ("gradient norm", norm)] {
            if !value.is_finite() {
                let samples = update * plan.batch as u64;
                return Err(PolicyError::Diverged { samples, what, value });
            }
        }
        let done = update + 1;
        let step = Step {
            learning_rate: plan.learning_rate_at(update),
            weight_decay: plan.weight_decay,
            gradient_scale: (plan.clip_norm / (norm + 1e-6)).min(1.0),
            ema_keep: done
                .is_multiple_of(TrainPlan::EMA_EVERY_UPDATES)
                .then(|| ema_keep(plan.ema_decay, done / TrainPlan::EMA_EVERY_UPDATES)),
        };
        self.optimiser.update(&self.weights.vars, gradient, step, plan.threads)?;
        self.course.updates = done;
        Ok(loss)
    }

    fn save(&self) -> Result<(), PolicyError> {
        let state = TrainState {
            course: self.course.clone(),
            weights: self.weights.flat()?,
            optimiser: self.optimiser.clone(),
        };
        state_file::save(self.work_dir, self.identity, &state)
    }

    fn policy(&self) -> Result<Policy, PolicyError> {
        let Identity { plan, config, statistics, earlier_samples, .. } = self.identity;
        let origin = Origin { seed: plan.seed.0, samples: earlier_samples + self.samples() };
        Policy::new(config.clone(), statistics.clone(), origin, self.weights.split(&self.optimiser.average)?)
    }

    fn outcome(self) -> Result<TrainOutcome, PolicyError> {
        Ok(TrainOutcome {
            finished: self.course.updates >= self.identity.plan.updates(),
            samples: self.samples(),
            final_loss: self.course.losses.last().map_or(f64::NAN, |(_, loss)| *loss),
            seconds: self.course.seconds,
            policy: self.policy()?,
            losses: self.course.losses,
        })
    }
}

/// Whether the last batch passed a multiple of `every`; never when that is 0.
fn crosses(samples: u64, batch: usize, every: u64) -> bool {
    every > 0 && samples / every != (samples - batch as u64) / every
}

/// Share of the average that is kept at its step numbered `step`: short at first, so that the beginning is forgotten.
fn ema_keep(decay: f64, step: u64) -> f64 {
    decay.min((1.0 + step as f64) / (10.0 + step as f64))
}

#[cfg(test)]
mod tests;
