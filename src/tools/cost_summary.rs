//! `cost_summary`: what the team's thinking has cost, from the booked rows.

use super::{Callers, Tool, ToolContext, ToolError, ToolOutput, read_arguments, schema_of, tell};
use crate::base::NanoUsd;
use async_trait::async_trait;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Value, json};
use std::time::Duration;

/// Longest window that can be asked for: ten years.
const MOST_HOURS: u32 = 87_600;

/// See the module.
pub(crate) struct CostSummary;

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Arguments {
    /// Hours to look back, 1 to 87,600; left out: 24.
    #[serde(default = "a_day")]
    hours: u32,
}

fn a_day() -> u32 {
    24
}

#[async_trait]
impl Tool for CostSummary {
    fn name(&self) -> &'static str {
        "cost_summary"
    }

    fn description(&self) -> &'static str {
        "Sums up calls, tokens and dollars per agent over the last hours, as booked in the ledger."
    }

    fn parameters(&self) -> Value {
        schema_of::<Arguments>()
    }

    fn callers(&self) -> Callers {
        Callers::Everyone
    }

    async fn run(&self, ctx: &ToolContext, args: Value) -> Result<ToolOutput, ToolError> {
        let Arguments { hours } = read_arguments(self.name(), args)?;
        if !(1..=MOST_HOURS).contains(&hours) {
            return Err(tell(format!("hours is {hours}; it must lie between 1 and {MOST_HOURS}")));
        }
        let since = ctx.now() - Duration::from_secs(u64::from(hours) * 3_600);
        let rows = ctx.store().spend_by_agent(since).await?;
        let total: NanoUsd = rows.iter().map(|row| row.spent).sum();
        let agents: Vec<Value> = rows
            .iter()
            .map(|row| {
                json!({
                    "agent": row.agent,
                    "calls": row.calls,
                    "input_tokens": row.input,
                    "output_tokens": row.output,
                    "dollars": row.spent.to_string(),
                })
            })
            .collect();
        Ok(json!({ "hours": hours, "total_dollars": total.to_string(), "agents": agents }).into())
    }
}
