//! Who spent what.

use crate::base::{NanoUsd, Timestamp};
use crate::store::AgentSpend;
use serde::Serialize;

/// The spend since a moment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct CostReport {
    /// From when on.
    pub since: Timestamp,
    /// By agent, by name. Turns of the playbook are calls of no tokens and no cost.
    pub rows: Vec<AgentSpend>,
}

impl CostReport {
    /// What all agents spent together.
    pub fn total(&self) -> NanoUsd {
        self.rows.iter().fold(NanoUsd::ZERO, |sum, row| sum.saturating_add(row.spent))
    }

    /// The calls of all agents together.
    pub fn calls(&self) -> u32 {
        self.rows.iter().fold(0, |sum, row| sum.saturating_add(row.calls))
    }
}
