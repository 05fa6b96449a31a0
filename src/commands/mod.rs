//! What a person can ask, whichever front the person uses: one line and the asker's rights in, one reply out.
//!
//! Fronts only find out who asks and what that person may do, and show what comes back. Whether the person may do
//! *this* is decided here, at the moment the line is carried out.

mod agents;
mod approvals;
mod ask;
mod catalogue;
mod costs;
mod explain;
mod lineage;
mod missions;
mod money;
mod parse;
mod plan;
mod reports;
mod rights;
mod rollouts;
mod words;

pub use catalogue::{CommandInfo, catalogue};
pub use costs::{CostOverview, Span};
pub use missions::MissionDefaults;
pub use parse::{BudgetRequest, LoopRequest, MAX_LINE, ParseError, Request, parse};
pub use rights::{Asker, Operators, Rights};

use crate::artifacts::{ArtifactError, Artifacts};
use crate::base::{Clock, Timestamp};
use crate::cycle::control::ControlError;
use crate::cycle::preset::LoopPreset;
use crate::ledger::Budgets;
use crate::report::ReportError;
use crate::rollout::RolloutError;
use crate::store::{Attachment, Store, StoreError};
use serde::Serialize;
use std::collections::BTreeMap;
use std::sync::Arc;
use thiserror::Error;

/// What a person gets back.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Reply {
    /// Markdown as Discord's.
    pub text: String,
    /// Pictures that go with it.
    pub attachments: Vec<Attachment>,
    /// Whether it concerns the asker alone and is best shown to nobody else.
    pub ephemeral: bool,
}

impl Reply {
    /// A reply that everyone in the channel may see.
    fn open(text: impl Into<String>) -> Self {
        Self { text: text.into(), attachments: Vec::new(), ephemeral: false }
    }

    /// A reply for the asker alone.
    fn quiet(text: impl Into<String>) -> Self {
        Self { text: text.into(), attachments: Vec::new(), ephemeral: true }
    }
}

/// Why a command could not be carried out. Its text is what the asker reads.
#[derive(Debug, Error)]
pub enum CommandError {
    /// The line makes no sense.
    #[error(transparent)]
    Parse(#[from] ParseError),
    /// The asker may not do this.
    #[error("{0}")]
    Forbidden(String),
    /// What was asked for does not exist or cannot be done now; the text says what can.
    #[error("{0}")]
    Refused(String),
    /// The loop refused.
    #[error(transparent)]
    Control(#[from] ControlError),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A picture could not be kept.
    #[error(transparent)]
    Artifact(#[from] ArtifactError),
    /// A picture could not be drawn.
    #[error(transparent)]
    Report(#[from] ReportError),
    /// A scene could not be repeated or filmed.
    #[error(transparent)]
    Rollout(#[from] RolloutError),
}

impl CommandError {
    /// Whether the program is at fault, and not the line, the rights or the moment.
    fn is_ours(&self) -> bool {
        match self {
            CommandError::Parse(_) | CommandError::Forbidden(_) | CommandError::Refused(_) => false,
            CommandError::Control(error) => matches!(error, ControlError::Store(_)),
            CommandError::Store(_) | CommandError::Artifact(_) | CommandError::Report(_) | CommandError::Rollout(_) => {
                true
            }
        }
    }
}

/// Carries out what people ask. Cheap to clone; every front holds one.
#[derive(Clone)]
pub struct Commands {
    store: Store,
    artifacts: Artifacts,
    presets: Arc<BTreeMap<String, LoopPreset>>,
    defaults: Arc<MissionDefaults>,
    budgets: Arc<Budgets>,
    clock: Arc<dyn Clock>,
}

impl Commands {
    /// Commands over `store`; missions that people start take their sizes from `presets` and what they leave out from
    /// `defaults`; `budgets` are the configured ones.
    pub fn new(
        store: Store,
        artifacts: Artifacts,
        presets: BTreeMap<String, LoopPreset>,
        defaults: MissionDefaults,
        budgets: Budgets,
        clock: Arc<dyn Clock>,
    ) -> Self {
        let (presets, defaults, budgets) = (Arc::new(presets), Arc::new(defaults), Arc::new(budgets));
        Self { store, artifacts, presets, defaults, budgets, clock }
    }

    /// Carries out `line` for `asker`. There is always a reply: a refusal says what to do instead.
    pub async fn run(&self, asker: &Asker, line: &str) -> Reply {
        match self.answer(asker, line).await {
            Ok(reply) => reply,
            Err(error) if error.is_ours() => {
                tracing::error!(%error, front = asker.front, "a command failed");
                Reply::quiet(format!("That did not work: {error}"))
            }
            Err(error) => Reply::quiet(words::sentence(&error.to_string())),
        }
    }

    async fn answer(&self, asker: &Asker, line: &str) -> Result<Reply, CommandError> {
        let request = parse(line)?;
        asker.check(&request)?;
        match request {
            Request::Status => self.status().await,
            Request::Agents => self.agents().await,
            Request::Loop(LoopRequest::Start { preset, loops, seed }) => self.start(asker, preset, loops, seed).await,
            Request::Loop(LoopRequest::Pause) => self.pause(asker).await,
            Request::Loop(LoopRequest::Resume) => self.resume(asker).await,
            Request::Loop(LoopRequest::Stop) => self.stop(asker).await,
            Request::Loop(LoopRequest::Status) => self.loop_status().await,
            Request::Loop(LoopRequest::Plan) => self.plan().await,
            Request::Approve => self.approve(asker).await,
            Request::Veto { reason } => self.veto(asker, reason.as_deref()).await,
            Request::Lineage { artefact } => self.lineage(&artefact).await,
            Request::Cost { by } => self.cost(by).await,
            Request::Budget(request) => self.budget(asker, request).await,
            Request::Ask { agent, question } => self.ask(asker, agent.as_deref(), &question).await,
            Request::Report { number } => self.report(number).await,
            Request::RolloutWatch { scene } => self.watch(scene).await,
            Request::RolloutCompare { loops } => self.compare(loops).await,
            Request::Why => self.why().await,
            Request::Help { about } => catalogue::help(about.as_deref()),
        }
    }

    fn now(&self) -> Timestamp {
        self.clock.now()
    }
}

#[cfg(test)]
mod tests;
