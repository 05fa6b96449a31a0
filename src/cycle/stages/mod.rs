//! The four stages: from an accepted plan to a job specification, and from a specification to artefacts.
//!
//! [`spec`] decides everything that a job depends on, [`run`] only carries it out. All randomness comes from the
//! mission's seed; the seeds of evaluation are made here and shown to nobody.

mod evaluate;
mod feedback;
mod generate;
mod train;

use super::plan::{Plan, StartFrom};
use super::preset::LoopPreset;
use super::spec::{EvaluateSpec, FeedbackSpec, GenerateSpec, JobSpec, TrainSpec};
use super::summary::duration;
use crate::artifacts::{ArtifactError, Artifacts};
use crate::base::{Cancel, CheckpointId, Clock, EvaluationSeed, Fault, LoopId, Progress, Seed, Timestamp};
use crate::dataset::DatasetError;
use crate::episodes::{EpisodesError, Order};
use crate::policy::{Policy, PolicyError, TrainPlan};
use crate::render::RenderError;
use crate::rollout::{Execution, RolloutError, RolloutOptions, SceneSet, SweepPlan};
use crate::sim;
use crate::store::{CheckpointRow, EvaluationKind, JobRow, LoopRow, MissionRow, Store, StoreError};
use std::future::Future;
use std::path::PathBuf;
use std::sync::Arc;
use thiserror::Error;

/// Clips filmed at each full evaluation.
const CLIPS: u32 = 2;
/// Progress is written to the store at most this often.
const PROGRESS_EVERY_MS: i64 = 700;

/// Why a piece of work failed.
#[derive(Debug, Error)]
pub enum WorkError {
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// An artefact could not be kept or read.
    #[error(transparent)]
    Artifact(#[from] ArtifactError),
    /// A dataset could not be read.
    #[error(transparent)]
    Dataset(#[from] DatasetError),
    /// Making episodes failed.
    #[error(transparent)]
    Episodes(#[from] EpisodesError),
    /// The policy could not be read, trained or run.
    #[error(transparent)]
    Policy(#[from] PolicyError),
    /// The rollouts failed.
    #[error(transparent)]
    Rollout(#[from] RolloutError),
    /// A clip could not be encoded.
    #[error(transparent)]
    Render(#[from] RenderError),
    /// A checkpoint is not what was saved. It is out of use from then on.
    #[error("checkpoint {checkpoint} failed its certificate: {source}")]
    Certificate {
        /// Which one.
        checkpoint: CheckpointId,
        /// What does not fit.
        source: PolicyError,
    },
    /// Its time was over before there was anything to keep.
    #[error("cut at its deadline of {limit}: {what}")]
    Overdue {
        /// How long it could take, in words.
        limit: String,
        /// How far it came.
        what: String,
    },
    /// Something the specification names does not exist any more.
    #[error("{0}")]
    Missing(String),
    /// The file system refused.
    #[error("{path}: {source}")]
    Io {
        /// Where.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
}

impl WorkError {
    /// What kind of fault it is: the loop answers each in its own way.
    pub fn fault(&self) -> Fault {
        use EpisodesError::{ExpertBelowGate, ExpertFails, NothingKept};
        if is_disk_full(self) {
            return Fault::DiskFull;
        }
        let not_finite = matches!(self, WorkError::Store(StoreError::NotFinite { .. }));
        if not_finite || matches!(self, WorkError::Policy(PolicyError::Diverged { .. })) {
            return Fault::Diverged;
        }
        if matches!(self, WorkError::Policy(PolicyError::NoSamples) | WorkError::Episodes(NothingKept(_))) {
            return Fault::EmptyData;
        }
        if matches!(self, WorkError::Episodes(ExpertBelowGate(..) | ExpertFails(..))) {
            return Fault::ExpertGate;
        }
        if matches!(self, WorkError::Certificate { .. }) {
            return Fault::Certificate;
        }
        if matches!(self, WorkError::Overdue { .. }) { Fault::Overdue } else { Fault::Other }
    }
}

/// Whether the disk ran full, however deep the error lies. Some libraries keep only the words.
fn is_disk_full(error: &(dyn std::error::Error + 'static)) -> bool {
    let mut cause = Some(error);
    while let Some(error) = cause {
        let by_system = error.downcast_ref::<std::io::Error>().is_some_and(|error| {
            matches!(error.kind(), std::io::ErrorKind::StorageFull | std::io::ErrorKind::QuotaExceeded)
        });
        let text = error.to_string().to_lowercase();
        if by_system || text.contains("no space left on") || text.contains("disk is full") {
            return true;
        }
        cause = error.source();
    }
    false
}

/// How a piece of work ended.
#[derive(Debug, Clone, PartialEq)]
pub enum WorkEnd {
    /// Done; the result goes into the job's row.
    Done(serde_json::Value),
    /// Stopped at a safe point on request; the same job goes on from there when it is claimed again.
    Cancelled,
}

/// What blocking work has at hand.
pub struct Workbench {
    /// Rows.
    pub store: Store,
    /// Files.
    pub artifacts: Artifacts,
    /// Time.
    pub clock: Arc<dyn Clock>,
    /// The runtime that the store's calls are made on; the work itself runs on a blocking thread.
    pub runtime: tokio::runtime::Handle,
    /// A folder of this job's own, kept until it succeeded.
    pub job_dir: PathBuf,
    /// Asks for a stop at the next safe point.
    pub cancel: Cancel,
    /// Set, together with `cancel`, when the stop is for the job's time limit: what is complete is kept then, and the
    /// stage ends.
    pub overdue: Cancel,
    /// The job.
    pub job: JobRow,
}

impl Workbench {
    /// Waits for a call of the store or the artefacts from blocking work.
    fn wait<T>(&self, future: impl Future<Output = T>) -> T {
        self.runtime.block_on(future)
    }

    fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// A function that writes progress to the job's row, but not more often than people can read.
    fn reporter(&self) -> impl FnMut(Progress) + '_ {
        let mut last: Option<Timestamp> = None;
        move |progress| {
            let now = self.now();
            let due = last.is_none_or(|last| now.as_millisecond() - last.as_millisecond() >= PROGRESS_EVERY_MS);
            if due || progress.done >= progress.total {
                last = Some(now);
                if let Err(error) = self.wait(self.store.job_progress(self.job.id, &progress, now)) {
                    tracing::warn!(%error, job = %self.job.id, "progress could not be written");
                }
            }
        }
    }

    /// Where the weights of `checkpoint` lie.
    fn checkpoint_dir(&self, checkpoint: CheckpointId) -> Result<PathBuf, WorkError> {
        let row = self.wait(self.store.checkpoint(checkpoint))?;
        row.map(|row| PathBuf::from(row.path))
            .ok_or_else(|| WorkError::Missing(format!("checkpoint {checkpoint} is not in the store any more")))
    }

    /// The policy of `checkpoint`, checked against its certificate. One that fails is taken out of use.
    fn load_policy(&self, checkpoint: CheckpointId) -> Result<Policy, WorkError> {
        let dir = self.checkpoint_dir(checkpoint)?;
        Policy::load(&dir).map_err(|source| {
            if let Err(error) = self.wait(self.store.refuse_checkpoint(checkpoint, &source.to_string())) {
                return WorkError::Store(error);
            }
            WorkError::Certificate { checkpoint, source }
        })
    }

    /// How long the job may run, in words.
    fn limit_in_words(&self) -> String {
        self.job.limit().map_or_else(|| "none".to_owned(), |limit| duration(limit.as_secs_f64()))
    }

    /// What a result says when its job was cut at its time limit.
    fn cut(&self, done: u64, asked: u64, unit: &str) -> serde_json::Value {
        serde_json::json!({ "limit": self.limit_in_words(), "done": done, "asked": asked, "unit": unit })
    }

    /// The end of work that was stopped and has nothing to keep: an error when its time was over.
    fn stopped(&self, what: &str) -> Result<WorkEnd, WorkError> {
        if self.overdue.is_cancelled() {
            return Err(WorkError::Overdue { limit: self.limit_in_words(), what: what.to_owned() });
        }
        Ok(WorkEnd::Cancelled)
    }

    fn provenance(&self) -> serde_json::Value {
        serde_json::json!({
            "job": self.job.id,
            "key": self.job.key,
            "spec": self.job.spec,
            "ralphton": env!("CARGO_PKG_VERSION"),
            "sim": sim::SIM_VERSION,
            "rapier3d": sim::RAPIER_VERSION,
        })
    }
}

/// Carries out a job on the calling thread.
///
/// # Errors
/// In words for the channel; the job can be enqueued again under another key.
pub fn run(bench: &Workbench, spec: &JobSpec) -> Result<WorkEnd, WorkError> {
    std::fs::create_dir_all(&bench.job_dir).map_err(|source| WorkError::Io { path: bench.job_dir.clone(), source })?;
    match spec {
        JobSpec::Generate(spec) => generate::run(bench, spec),
        JobSpec::Train(spec) => train::run(bench, spec),
        JobSpec::Evaluate(spec) => evaluate::run(bench, spec),
        JobSpec::Feedback(spec) => feedback::run(bench, spec),
    }
}

/// The names of all scenario families.
pub fn family_names() -> Vec<String> {
    sim::families().iter().map(|family| family.name.clone()).collect()
}

/// The hidden scenes that every loop of a mission is judged on.
pub fn hidden_scenes(mission_seed: Seed, scenes: u32, bricks: u32) -> SceneSet {
    SceneSet { seed: EvaluationSeed(mission_seed.0), families: Vec::new(), bricks, scenes }
}

/// The scenes of canary rollouts and of sweeps: nobody is judged on them.
fn canary_scenes(mission_seed: Seed, scenes: u32) -> SceneSet {
    let seed = EvaluationSeed(mission_seed.child("canary", 0).0);
    SceneSet { seed, families: Vec::new(), bricks: 1, scenes }
}

/// The sweep before an evaluation; none when the preset names no other way that the chunk allows.
fn sweep_plan(mission_seed: Seed, preset: &LoopPreset, planned_steps: u32) -> Option<SweepPlan> {
    let possible = |steps: &u32| (1..=preset.chunk).contains(&(*steps as usize));
    let mut steps: Vec<u32> = preset.evaluate.sweep.iter().copied().filter(possible).collect();
    steps.retain(|other| *other != planned_steps);
    if steps.is_empty() || preset.train.canary_scenes == 0 {
        return None;
    }
    steps.push(planned_steps);
    steps.sort_unstable();
    steps.dedup();
    Some(SweepPlan {
        set: canary_scenes(mission_seed, preset.train.canary_scenes),
        executions: steps.into_iter().map(Execution::Steps).collect(),
    })
}

/// The job specification of an accepted plan; none when an earlier stage left nothing to work on. `again` counts how
/// often the stage was set back: new data and new weights begin elsewhere then.
///
/// # Errors
/// When the store fails.
pub async fn spec(
    store: &Store,
    mission: &MissionRow,
    preset: &LoopPreset,
    row: &LoopRow,
    plan: &Plan,
    threads: usize,
    again: u32,
) -> Result<Option<JobSpec>, StoreError> {
    let seed = mission.seed.child("loop", u64::from(row.number));
    let options =
        RolloutOptions { seconds_per_brick: preset.evaluate.seconds_per_brick, threads, ..RolloutOptions::default() };
    let ours = Ours::of(store, mission).await?;
    Ok(match plan {
        Plan::Generate(plan) => {
            let driver = if plan.dagger_share > 0.0 { ours.latest().map(|c| c.id) } else { None };
            let order = Order {
                episodes: plan.episodes,
                bricks: (plan.bricks_min, plan.bricks_max),
                families: plan.families.iter().map(|(name, weight)| (name.clone(), *weight)).collect(),
                noisy_share: plan.noisy_share,
                bad_start_share: plan.bad_start_share,
                dagger_share: if driver.is_some() { plan.dagger_share } else { 0.0 },
                label_every: preset.generate.label_every,
                chunk: preset.chunk,
                height: preset.height,
                width: preset.width,
                state: preset.state,
                seed: seed.child("generate", u64::from(again)),
                threads,
                ..Order::default()
            };
            Some(JobSpec::Generate(GenerateSpec { order, driver, execute_steps: preset.evaluate.execute_steps }))
        }
        Plan::Train(plan) => {
            let datasets: Vec<_> = store
                .datasets()
                .await?
                .into_iter()
                .filter(|d| d.loop_id.is_some_and(|id| ours.loops.contains(&id)))
                .map(|d| d.id)
                .collect();
            let start = match plan.start {
                StartFrom::Scratch => None,
                StartFrom::Latest => ours.latest().map(|c| c.id),
                StartFrom::Champion => store.champion().await?.map(|c| c.id),
            };
            let train = &preset.train;
            (!datasets.is_empty()).then(|| {
                JobSpec::Train(TrainSpec {
                    policy: preset.policy.clone(),
                    state: preset.state,
                    chunk: preset.chunk,
                    datasets,
                    start,
                    plan: TrainPlan {
                        samples: plan.samples,
                        batch: train.batch,
                        learning_rate: plan.learning_rate,
                        newest_share: plan.newest_share,
                        snapshots: train.canaries,
                        threads,
                        seed: seed.child("train", u64::from(again)),
                        ..TrainPlan::default()
                    },
                    memory_samples: train.memory_samples,
                    canary: canary_scenes(mission.seed, train.canary_scenes),
                    execute_steps: preset.evaluate.execute_steps,
                    options,
                })
            })
        }
        Plan::Evaluate(plan) => ours.checkpoint_of(row.id).map(|checkpoint| {
            JobSpec::Evaluate(EvaluateSpec {
                checkpoint: checkpoint.id,
                state: preset.state,
                set: hidden_scenes(mission.seed, plan.scenes, plan.bricks),
                execute_steps: plan.execute_steps,
                sweep: sweep_plan(mission.seed, preset, plan.execute_steps),
                options,
                clips: CLIPS,
            })
        }),
        Plan::Feedback(plan) => {
            let evaluations = store.evaluations(Some(row.id)).await?;
            let jobs = store.jobs_of_loop(row.id).await?;
            let how = jobs.iter().find_map(|job| match serde_json::from_value(job.spec.clone()) {
                Ok(JobSpec::Evaluate(spec)) if job.stage.is_some() => Some(spec),
                Ok(JobSpec::Generate(_) | JobSpec::Train(_) | JobSpec::Evaluate(_) | JobSpec::Feedback(_)) | Err(_) => {
                    None
                }
            });
            let full = evaluations.iter().rev().find(|e| e.kind == EvaluationKind::Loop);
            full.zip(how).map(|(evaluation, how)| {
                // As it was driven, which a sweep may have decided otherwise than planned.
                let how = EvaluateSpec { execute_steps: evaluation.execute_steps, ..how };
                JobSpec::Feedback(FeedbackSpec {
                    loop_id: row.id,
                    evaluation: evaluation.id,
                    how,
                    plan: plan.clone(),
                    target_success: mission.target_success,
                })
            })
        }
    })
}

/// What belongs to a mission.
struct Ours {
    loops: Vec<LoopId>,
    checkpoints: Vec<CheckpointRow>,
}

impl Ours {
    async fn of(store: &Store, mission: &MissionRow) -> Result<Self, StoreError> {
        let loops: Vec<LoopId> = store.loops_of(mission.id).await?.iter().map(|row| row.id).collect();
        let checkpoints = store
            .checkpoints()
            .await?
            .into_iter()
            .filter(|c| c.refused.is_none() && c.loop_id.is_some_and(|id| loops.contains(&id)))
            .collect();
        Ok(Self { loops, checkpoints })
    }

    fn latest(&self) -> Option<&CheckpointRow> {
        self.checkpoints.last()
    }

    fn checkpoint_of(&self, loop_id: LoopId) -> Option<&CheckpointRow> {
        self.checkpoints.iter().rfind(|c| c.loop_id == Some(loop_id))
    }
}
