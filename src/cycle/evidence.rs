//! What the decision maker of a stage is shown: computed by the program from stored rows, small enough for a prompt.

use super::plan::FeedbackPlan;
use super::preset::LoopPreset;
use super::rates::Rates;
use crate::base::{Fault, Proportion, Stage};
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// The case of one decision.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Evidence {
    /// The stage that asks.
    pub stage: Stage,
    /// The mission's goal in words.
    pub goal: String,
    /// The success rate per scene at which the mission is met.
    pub target_success: f64,
    /// This loop's number, from 1.
    pub loop_number: u32,
    /// Loops planned in all.
    pub planned_loops: u32,
    /// The loop's preset, with what the playbook would do by default.
    pub preset: LoopPreset,
    /// All scenario families by name.
    pub families: Vec<String>,
    /// The champion's figures, when there is a champion.
    pub champion: Option<EvaluationEvidence>,
    /// The newest full evaluation before this stage: of this loop at Feedback, of the last loop otherwise.
    pub last_evaluation: Option<EvaluationEvidence>,
    /// What the Feedback stage of the last loop asked for.
    pub advice: Option<FeedbackPlan>,
    /// Samples stored for training.
    pub samples_stored: u64,
    /// Samples that the newest checkpoint has been trained on in its life.
    pub samples_trained: u64,
    /// How fast this machine is and how much time this stage has; none when it was not measured.
    #[serde(default)]
    pub time: Option<TimeEvidence>,
    /// What went wrong with the last plan of this stage, when it is decided again.
    #[serde(default)]
    pub set_back: Option<SetBack>,
}

/// What a plan is measured against.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TimeEvidence {
    /// Seconds this stage may take.
    pub left_s: f64,
    /// By whose limit.
    pub whose: String,
    /// What the probe measured.
    pub rates: Rates,
}

/// A plan that could not be carried out.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SetBack {
    /// The kind of fault.
    pub fault: Fault,
    /// Why, in words.
    pub error: String,
    /// The plan.
    pub plan: Value,
    /// How often this stage was set back in this loop, this time included.
    pub times: u32,
}

/// A closed-loop evaluation in figures.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct EvaluationEvidence {
    /// Scenes solved whole.
    pub scenes: Proportion,
    /// Bricks delivered.
    pub bricks: Proportion,
    /// Scenes solved, family by family.
    pub per_family: Vec<(String, Proportion)>,
    /// Failure classes, most frequent first.
    pub failures: Vec<(String, u32)>,
}
