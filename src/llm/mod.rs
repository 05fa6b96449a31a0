//! Language models behind one trait. The only room that knows providers' JSON.
//!
//! A [`Request`] is a dialogue, the tools that may be called and a limit on the output; a [`Response`] is text, tool
//! calls, and the tokens it cost in classes that do not overlap, whatever the provider calls them. What an answer costs
//! in money, and whether it may be asked for at all, is the ledger's business.
//!
//! Retries are few, visible here, and only of tries that cannot have been billed: a call that may have been paid for is
//! handed back to the caller, who books it.

mod anthropic;
mod billed;
mod dialogue;
mod error;
mod openai_chat;
mod openai_responses;
mod scripted;
mod transport;
#[cfg(test)]
mod twin;
mod usage;

pub use anthropic::Anthropic;
pub use billed::{Api, Billed};
pub use dialogue::{Message, Request, Response, Stop, ToolCall, ToolSpec};
pub use error::LlmError;
pub use openai_chat::OpenAiChat;
pub use openai_responses::OpenAiResponses;
pub use scripted::Scripted;
pub use transport::{Connection, Patience};
pub use usage::Usage;

use async_trait::async_trait;

/// A language model that can be asked.
#[async_trait]
pub trait Model: Send + Sync {
    /// Whom the answers are paid to: `openai`, `anthropic`.
    fn provider(&self) -> &str;

    /// The model's name in the price book.
    fn model(&self) -> &str;

    /// Asks for the next turn of the dialogue.
    ///
    /// # Errors
    /// See [`LlmError`]: after [`LlmError::is_permanent`] do not ask again before something changed; after
    /// [`LlmError::may_be_billed`] book an estimate.
    async fn respond(&self, request: &Request) -> Result<Response, LlmError>;
}
