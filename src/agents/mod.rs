//! The five agents: one [`Agent`] type whose persona, brain, tools and channels are data.
//!
//! An agent owns a mailbox in the store. A piece of mail causes one turn: its brain names tools, the turn calls them,
//! within bounds; then the mail is dealt with. Nothing else makes an agent think, so an idle agent costs nothing, and
//! mail that was not dealt with is taken again after a crash.

mod actor;
mod brain;
mod config;
mod exchange_guard;
mod model_brain;
mod playbook;
mod prompt;
mod providers;
mod team;
mod turn;

pub use actor::{Agent, AgentDeps};
pub use brain::{Brain, BrainError, Exchange, Step, ToolCall, TurnInput};
pub use config::{AgentConfig, BrainKind, CHANNELS, RosterError, check_roster, default_roster};
pub use exchange_guard::ExchangeGuard;
pub use model_brain::ModelBrain;
pub use playbook::PlaybookBrain;
pub use prompt::{PromptError, Prompts};
pub use providers::{AnthropicProvider, BrainUnavailable, Keys, OpenAiApi, OpenAiProvider, Providers, model_brains};
pub use team::{Brains, Team};
pub use turn::TurnLimits;

use crate::ledger::LedgerError;
use crate::store::StoreError;
use crate::tools::ToolError;

/// What stops an agent's work on a piece of mail; the mail stays and is taken again.
#[derive(Debug, thiserror::Error)]
pub enum AgentError {
    /// The store did not answer.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A tool cannot work now.
    #[error("tool {tool}: {source}")]
    Tool {
        /// The tool.
        tool: String,
        /// What broke.
        source: Box<ToolError>,
    },
    /// The ledger did not answer.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
    /// A roster that cannot work.
    #[error(transparent)]
    Roster(#[from] RosterError),
}

#[cfg(test)]
mod tests;
