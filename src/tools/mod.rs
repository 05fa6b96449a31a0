//! What an agent can do: one file per tool, each with its arguments, their schema, who may call it, and the work.
//!
//! The idea to know: a tool checks *everything* it is given, because what calls it may be a language model. Errors are
//! of two kinds: [`ToolError::TellModel`] (say what is wrong, the caller can try again) and [`ToolError::Broken`]
//! (stop the turn). Effects carry a key made from the mail that caused them, so a turn that is repeated after a crash
//! does nothing twice.

mod agent_ages;
mod arguments;
mod charts;
mod context;
mod cost_summary;
mod forecast_plan;
mod generate_episodes;
mod hand_off;
mod lineage;
mod loop_status;
mod patch_data;
mod post_message;
mod propose_plan;
mod read_decision;
mod read_evaluation;
mod read_job;
mod registry;
mod run_rollouts;
mod success_chart;
mod train_policy;
mod training_chart;
mod work_order;

use crate::artifacts::ArtifactError;
use crate::base::JobId;
use crate::store::{Attachment, StoreError};
use async_trait::async_trait;
use serde_json::Value;

pub use context::{Asker, Caller, ToolContext, ToolDeps};
pub use registry::Registry;

pub(crate) use arguments::{read_arguments, schema_of};
pub(crate) use loop_status::state_card;

/// One thing an agent can do.
#[async_trait]
pub trait Tool: Send + Sync {
    /// The name it is called by, in snake case.
    fn name(&self) -> &'static str;
    /// What it does and when to use it, for a model's eyes.
    fn description(&self) -> &'static str;
    /// The JSON Schema of its arguments: a closed object.
    fn parameters(&self) -> Value;
    /// The personas that may call it.
    fn callers(&self) -> Callers;
    /// Does it.
    ///
    /// # Errors
    /// [`ToolError::TellModel`] when the caller can do better, [`ToolError::Broken`] when it cannot.
    async fn run(&self, ctx: &ToolContext, args: Value) -> Result<ToolOutput, ToolError>;
}

/// Which personas may call a tool.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Callers {
    /// All of them.
    Everyone,
    /// These alone. An empty list is nobody.
    Only(&'static [crate::base::Persona]),
}

impl Callers {
    /// Whether `persona` is among them.
    pub fn include(self, persona: crate::base::Persona) -> bool {
        match self {
            Callers::Everyone => true,
            Callers::Only(list) => list.contains(&persona),
        }
    }
}

/// What a tool gives back.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct ToolOutput {
    /// The result as the caller sees it.
    pub value: Value,
    /// Charts and clips that later messages of the same turn can attach by name.
    pub attachments: Vec<Attachment>,
    /// The job whose end will wake the caller.
    pub waits_for: Option<JobId>,
}

impl From<Value> for ToolOutput {
    fn from(value: Value) -> Self {
        Self { value, ..Self::default() }
    }
}

/// Why a tool did not do it.
#[derive(Debug, thiserror::Error)]
pub enum ToolError {
    /// The call was wrong; the text says how, and what would be right.
    #[error("{0}")]
    TellModel(String),
    /// The tool cannot work now, whatever the call.
    #[error("{0}")]
    Broken(#[from] Fault),
}

/// What broke under a tool.
#[derive(Debug, thiserror::Error)]
pub enum Fault {
    /// The store did not answer.
    #[error("store: {0}")]
    Store(#[from] StoreError),
    /// An artefact could not be kept.
    #[error("artefacts: {0}")]
    Artifacts(#[from] ArtifactError),
    /// A picture could not be drawn.
    #[error("drawing: {0}")]
    Drawing(String),
}

impl From<StoreError> for ToolError {
    fn from(error: StoreError) -> Self {
        ToolError::Broken(Fault::Store(error))
    }
}

/// Shorthand for [`ToolError::TellModel`].
pub(crate) fn tell(text: impl Into<String>) -> ToolError {
    ToolError::TellModel(text.into())
}
