//! `agent_ages`: how long ago each agent last made progress, and at what.

use super::{Callers, Tool, ToolContext, ToolError, ToolOutput, read_arguments, schema_of};
use crate::base::Timestamp;
use crate::store::AgentRow;
use async_trait::async_trait;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Value, json};

/// See the module.
pub(crate) struct AgentAges;

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Arguments {}

#[async_trait]
impl Tool for AgentAges {
    fn name(&self) -> &'static str {
        "agent_ages"
    }

    fn description(&self) -> &'static str {
        "Lists the team's agents with what each is doing and the seconds since it last made progress."
    }

    fn parameters(&self) -> Value {
        schema_of::<Arguments>()
    }

    fn callers(&self) -> Callers {
        Callers::Everyone
    }

    async fn run(&self, ctx: &ToolContext, args: Value) -> Result<ToolOutput, ToolError> {
        let Arguments {} = read_arguments(self.name(), args)?;
        let agents = ctx.store().agents().await?;
        let now = ctx.now();
        Ok(json!({ "agents": agents.iter().map(|row| line(row, now)).collect::<Vec<_>>() }).into())
    }
}

fn line(row: &AgentRow, now: Timestamp) -> Value {
    json!({
        "agent": row.name,
        "activity": row.activity,
        "doing": row.doing,
        "waiting_for_job": row.waiting_for,
        "progress_age_s": now.duration_since(row.progress_at).as_secs().max(0),
    })
}
