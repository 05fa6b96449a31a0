//! What the decision maker of a stage is shown: computed by the program from stored rows, small enough for a prompt.

use super::plan::FeedbackPlan;
use super::preset::LoopPreset;
use crate::base::{Proportion, Stage};
use serde::{Deserialize, Serialize};

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
