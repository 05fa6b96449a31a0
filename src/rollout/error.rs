//! What can go wrong with a rollout.

use crate::policy::PolicyError;
use crate::render::RenderError;
use crate::sim::SimError;

/// Why scenes could not be run.
#[derive(Debug, thiserror::Error)]
pub enum RolloutError {
    /// The simulator refused a family or a scene.
    #[error(transparent)]
    Sim(#[from] SimError),
    /// A frame could not be drawn.
    #[error(transparent)]
    Render(#[from] RenderError),
    /// An order that makes no sense.
    #[error("these scenes cannot be run: {0}")]
    Order(String),
    /// A file of traces cannot be written or read.
    #[error("traces: {0}")]
    Trace(String),
    /// The policy failed.
    #[error("the policy failed in closed loop: {0}")]
    Policy(#[from] PolicyError),
    /// The policy's output cannot be an action.
    #[error("the policy answered {0}; its checkpoint is damaged or was trained to divergence")]
    Output(String),
}
