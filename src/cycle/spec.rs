//! Job specifications: everything a piece of work needs, as data. Equal specifications give equal artefacts.

use super::plan::FeedbackPlan;
use crate::base::{CheckpointId, DatasetId, EvaluationId, JobKind, LoopId};
use crate::episodes::Order;
use crate::policy::TrainPlan;
use crate::rollout::{RolloutOptions, SceneSet, SweepPlan};
use crate::sim::StatePreset;
use serde::{Deserialize, Serialize};

/// What a job is to do.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum JobSpec {
    /// Make episodes.
    Generate(GenerateSpec),
    /// Train a policy.
    Train(TrainSpec),
    /// Drive a policy in closed loop.
    Evaluate(EvaluateSpec),
    /// Apply the gate.
    Feedback(FeedbackSpec),
}

/// Make episodes.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct GenerateSpec {
    /// Which episodes.
    pub order: Order,
    /// The policy that drives the DAgger episodes.
    pub driver: Option<CheckpointId>,
    /// Actions of a chunk the driver carries out before it looks again.
    pub execute_steps: u32,
}

/// Train a policy.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TrainSpec {
    /// The policy's preset, by name.
    pub policy: String,
    /// Which numbers the policy is told besides the image.
    pub state: StatePreset,
    /// Actions in a chunk.
    pub chunk: usize,
    /// Datasets to draw from, oldest first.
    pub datasets: Vec<DatasetId>,
    /// Checkpoint to begin with; none for fresh weights.
    pub start: Option<CheckpointId>,
    /// How far and how fast.
    pub plan: TrainPlan,
    /// Samples kept in memory at most.
    pub memory_samples: usize,
    /// Scenes of each canary rollout.
    pub canary: SceneSet,
    /// Actions of a chunk the canary carries out before it looks again.
    pub execute_steps: u32,
    /// Limits of the canary rollouts.
    pub options: RolloutOptions,
}

/// Drive a policy in closed loop.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct EvaluateSpec {
    /// Which policy.
    pub checkpoint: CheckpointId,
    /// Which numbers the policy is told besides the image.
    pub state: StatePreset,
    /// On which scenes.
    pub set: SceneSet,
    /// Actions of a chunk carried out before the policy looks again.
    pub execute_steps: u32,
    /// Other ways of executing to try first, on scenes that nobody is judged on; the preferred one drives the set.
    #[serde(default)]
    pub sweep: Option<SweepPlan>,
    /// Limits of the rollouts.
    pub options: RolloutOptions,
    /// Clips to film: half of failures, half of successes.
    pub clips: u32,
}

/// Apply the gate.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct FeedbackSpec {
    /// The loop.
    pub loop_id: LoopId,
    /// The challenger's evaluation.
    pub evaluation: EvaluationId,
    /// How the challenger was driven: the champion is driven the same way.
    pub how: EvaluateSpec,
    /// What the persona asked for the next loop.
    pub plan: FeedbackPlan,
    /// The rate of solved scenes at which the mission is met.
    pub target_success: f64,
}

impl JobSpec {
    /// The kind of job.
    pub fn kind(&self) -> JobKind {
        match self {
            JobSpec::Generate(_) => JobKind::Generate,
            JobSpec::Train(_) => JobKind::Train,
            JobSpec::Evaluate(_) => JobKind::Evaluate,
            JobSpec::Feedback(_) => JobKind::Feedback,
        }
    }

    /// The specification as stored in a job's row.
    pub fn to_json(&self) -> serde_json::Value {
        // Plain structs with string keys: there is nothing that JSON cannot hold.
        serde_json::to_value(self).unwrap_or_default()
    }
}
