//! How long blocking work tells what it has done, and learns that it should stop.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// What a piece of work has done so far, in its own unit ("episodes", "samples", "scenes").
#[derive(Debug, Clone, PartialEq)]
pub struct Progress {
    /// Units done.
    pub done: u64,
    /// Units asked for.
    pub total: u64,
    /// The unit, in the plural.
    pub unit: &'static str,
    /// One short fragment for people: "loss 0.081", "expert gate 99.7 %". May be empty.
    pub note: String,
}

impl Progress {
    /// The share done, between 0 and 1; nothing asked for counts as done.
    pub fn fraction(&self) -> f64 {
        if self.total == 0 { 1.0 } else { (self.done as f64 / self.total as f64).clamp(0.0, 1.0) }
    }
}

/// A flag that asks blocking work to stop at its next safe point. Clones share the flag.
#[derive(Debug, Clone, Default)]
pub struct Cancel(Arc<AtomicBool>);

impl Cancel {
    /// Asks for the stop. Cannot be taken back.
    pub fn cancel(&self) {
        self.0.store(true, Ordering::Release);
    }

    /// Whether the stop was asked for.
    pub fn is_cancelled(&self) -> bool {
        self.0.load(Ordering::Acquire)
    }
}
