//! What a tool is given besides its arguments: the rooms it works with and on whose behalf it is called.

use crate::artifacts::Artifacts;
use crate::base::{Clock, LoopId, Persona, Timestamp, TurnId};
use crate::ledger::Ledger;
use crate::store::{Attachment, Store};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

/// The rooms that tools work with; the same for every turn of every agent.
#[derive(Clone)]
pub struct ToolDeps {
    /// Rows.
    pub store: Store,
    /// Files.
    pub artifacts: Artifacts,
    /// Money.
    pub ledger: Ledger,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// Threads that jobs may use.
    pub threads: usize,
}

/// The agent on whose behalf a tool runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Caller {
    /// The agent's name, which is also its mailbox.
    pub agent: String,
    /// Its role.
    pub persona: Persona,
    /// Tools it is configured to use; `"*"` stands for all that its persona may call. Empty is none.
    pub tools: Vec<String>,
    /// Channels it may write to. Empty is none.
    pub channels: Vec<String>,
    /// Other agents of the team, to whom it can hand off.
    pub colleagues: Vec<String>,
    /// What its messages are marked with: `playbook`, or nothing for a language model.
    pub brain: Option<String>,
}

/// The person on whose behalf an agent answers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Asker {
    /// How the front calls the person.
    pub name: String,
    /// Whether the person may start work, as the front established it.
    pub may_operate: bool,
}

/// One turn's view of the world.
pub struct ToolContext {
    /// Rooms and clock.
    pub deps: ToolDeps,
    /// Who calls.
    pub caller: Caller,
    /// The turn it happens in.
    pub turn: TurnId,
    /// The loop the turn belongs to, when there is one.
    pub loop_id: Option<LoopId>,
    /// The person who asked, when a person's question caused the turn.
    pub asker: Option<Asker>,
    /// Begins every key of an effect: the mail that caused the turn, or the turn itself.
    cause: String,
    /// How often each tool has already asked for a key. Held only while counting.
    counts: Mutex<BTreeMap<&'static str, u32>>,
    /// What this turn's tools made and later messages can attach. Held only while looking.
    shelf: Mutex<Vec<Attachment>>,
}

impl ToolContext {
    /// A fresh context; `cause` must be the same when the same mail is worked on again.
    pub fn new(
        deps: ToolDeps,
        caller: Caller,
        turn: TurnId,
        loop_id: Option<LoopId>,
        asker: Option<Asker>,
        cause: String,
    ) -> Self {
        Self {
            deps,
            caller,
            turn,
            loop_id,
            asker,
            cause,
            counts: Mutex::new(BTreeMap::new()),
            shelf: Mutex::new(Vec::new()),
        }
    }

    /// The store.
    pub fn store(&self) -> &Store {
        &self.deps.store
    }

    /// The present moment.
    pub fn now(&self) -> Timestamp {
        self.deps.clock.now()
    }

    /// The key of `tool`'s next effect in this turn: `mail-12/post_message-1`. A turn that is repeated for the same
    /// mail gets the same keys in the same order, so the store recognises what was done before.
    pub fn effect_key(&self, tool: &'static str) -> String {
        let mut counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        let count = counts.entry(tool).or_insert(0);
        *count += 1;
        format!("{}/{tool}-{count}", self.cause)
    }

    /// Puts what a tool made within reach of later messages.
    pub fn keep(&self, attachments: &[Attachment]) {
        self.shelf.lock().unwrap_or_else(PoisonError::into_inner).extend_from_slice(attachments);
    }

    /// What was made in this turn under `name`, or with an artefact id that begins with it (12 characters at least).
    pub fn kept(&self, name: &str) -> Option<Attachment> {
        let shelf = self.shelf.lock().unwrap_or_else(PoisonError::into_inner);
        shelf
            .iter()
            .rev()
            .find(|item| item.name == name || (name.len() >= 12 && item.artifact.0.starts_with(name)))
            .cloned()
    }

    /// Names of everything within reach.
    pub fn kept_names(&self) -> Vec<String> {
        self.shelf.lock().unwrap_or_else(PoisonError::into_inner).iter().map(|item| item.name.clone()).collect()
    }
}
