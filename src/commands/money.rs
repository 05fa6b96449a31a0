//! `/cost`: what the team's thinking has cost, from the booked rows.

use super::{CommandError, Commands, Reply};
use crate::base::{NanoUsd, Timestamp};
use crate::cycle::summary::grouped;

/// Loops that are listed, the newest.
const MOST_LOOPS: usize = 10;

impl Commands {
    pub(super) async fn cost(&self) -> Result<Reply, CommandError> {
        let rows = self.store.spend_by_agent(Timestamp::UNIX_EPOCH).await?;
        let total: NanoUsd = rows.iter().map(|row| row.spent).sum();
        if rows.is_empty() {
            return Ok(Reply::open("Nothing spent: no agent has thought yet."));
        }
        let mut text = format!("**Model calls so far: {total}**\n");
        text += "| agent | turns | tokens in | tokens out | cost |\n|---|---:|---:|---:|---:|\n";
        for row in &rows {
            text += &format!(
                "| {} | {} | {} | {} | {} |\n",
                row.agent,
                row.calls,
                grouped(row.input),
                grouped(row.output),
                row.spent
            );
        }
        if total == NanoUsd::ZERO {
            text += "The playbook's turns are rules on this machine: no tokens, no dollars.\n";
        }
        if let Some(summary) = self.mission().await? {
            let skipped = summary.loops.len().saturating_sub(MOST_LOOPS);
            let loops: Vec<String> =
                summary.loops.iter().skip(skipped).map(|one| format!("loop {}: {}", one.number, one.spent)).collect();
            if !loops.is_empty() {
                text += &format!("Mission {}: {} ({})", summary.mission.id, summary.spent, loops.join(", "));
            }
        }
        Ok(Reply::open(text.trim_end()))
    }
}
