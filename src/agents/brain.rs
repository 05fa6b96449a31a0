//! What thinks for an agent: shown a turn so far, it names tools to call or ends the turn.
//!
//! A brain has no hands. It sees a [`TurnInput`] and answers with a [`Step`]; the turn carries the step out, within
//! its bounds, and comes back with the answers. So the playbook and a language model are the same to everything else.

use crate::base::{LoopId, Persona, TurnId};
use crate::llm::ToolSpec;
use crate::store::{MailRow, MessageRow};
use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// Thinks.
#[async_trait]
pub trait Brain: Send + Sync {
    /// The kind of brain, as turns and messages record it: `playbook`, `openai`, …
    fn kind(&self) -> &str;
    /// The model's name; empty for the playbook.
    fn model(&self) -> &str;
    /// Whether it needs the state card and the recent messages in its [`TurnInput`]; rules read rows by tools instead.
    fn reads_context(&self) -> bool;
    /// The next step of the turn.
    ///
    /// # Errors
    /// [`BrainError`] when there is no answer to be had; the turn goes on with the playbook.
    async fn think(&self, turn: &TurnInput) -> Result<Step, BrainError>;
}

/// A tool that a brain wants called.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ToolCall {
    /// The brain's own name for this call; unique within a turn.
    pub id: String,
    /// The tool.
    pub tool: String,
    /// Its arguments.
    pub arguments: Value,
}

/// What a brain answers.
#[derive(Debug, Clone, PartialEq)]
pub enum Step {
    /// Call these, in this order, then ask again.
    Calls(Vec<ToolCall>),
    /// The turn is over. The text is a note for the transcript, not a message.
    Done(String),
}

/// One tool call of a turn and its answer.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Exchange {
    /// The round of thinking that asked for it, from 0.
    pub round: u32,
    /// What was called.
    pub call: ToolCall,
    /// What came back: the result, or what was wrong with the call.
    pub answer: Result<Value, String>,
    /// Names of charts and clips that it put within reach.
    pub made: Vec<String>,
}

/// A turn as a brain sees it.
#[derive(Debug, Clone, PartialEq)]
pub struct TurnInput {
    /// The turn.
    pub turn: TurnId,
    /// The agent's name.
    pub agent: String,
    /// Its role.
    pub persona: Persona,
    /// The mail that caused the turn.
    pub mail: MailRow,
    /// The loop that is open, when one is.
    pub loop_id: Option<LoopId>,
    /// The mission in figures, as `loop_status` returns it.
    pub state_card: Value,
    /// The newest messages of the agent's channels, oldest first.
    pub recent: Vec<MessageRow>,
    /// The tools it may call.
    pub tools: Vec<ToolSpec>,
    /// What was called so far, in order.
    pub exchanges: Vec<Exchange>,
}

impl TurnInput {
    /// The newest answer of `tool` in this turn, if it was called.
    pub fn answer(&self, tool: &str) -> Option<&Result<Value, String>> {
        self.exchanges.iter().rev().find(|exchange| exchange.call.tool == tool).map(|exchange| &exchange.answer)
    }

    /// The newest result of `tool` in this turn, if it was called and worked.
    pub fn result(&self, tool: &str) -> Option<&Value> {
        self.answer(tool).and_then(|answer| answer.as_ref().ok())
    }

    /// Whether `tool` was called in this turn, with whatever answer.
    pub fn called(&self, tool: &str) -> bool {
        self.answer(tool).is_some()
    }

    /// Names of charts and clips that `tool` put within reach.
    pub fn made_by(&self, tool: &str) -> Vec<String> {
        let by_tool = self.exchanges.iter().filter(|exchange| exchange.call.tool == tool);
        by_tool.flat_map(|exchange| exchange.made.iter().cloned()).collect()
    }
}

/// Why a brain has no answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BrainError {
    /// The provider refused for good, or every try failed.
    #[error("no answer from {model}: {why}")]
    NoAnswer {
        /// The model.
        model: String,
        /// Why, in words for people.
        why: String,
    },
    /// The budget does not allow the call.
    #[error("{0}")]
    OverBudget(String),
}
