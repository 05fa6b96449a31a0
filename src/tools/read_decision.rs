//! `read_decision`: what the loop asks, the evidence for it, and the schema of the answer.

use super::{Callers, Tool, ToolContext, ToolError, ToolOutput, read_arguments, schema_of, tell};
use crate::base::DecisionId;
use crate::cycle::plan::plan_schema;
use async_trait::async_trait;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Value, json};

/// See the module.
pub(crate) struct ReadDecision;

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Arguments {
    /// Number of the decision.
    decision: i64,
}

#[async_trait]
impl Tool for ReadDecision {
    fn name(&self) -> &'static str {
        "read_decision"
    }

    fn description(&self) -> &'static str {
        "Reads a decision of the loop: stage, evidence, the schema of the plan, why an earlier proposal was refused."
    }

    fn parameters(&self) -> Value {
        schema_of::<Arguments>()
    }

    fn callers(&self) -> Callers {
        Callers::Everyone
    }

    async fn run(&self, ctx: &ToolContext, args: Value) -> Result<ToolOutput, ToolError> {
        let Arguments { decision } = read_arguments(self.name(), args)?;
        let Some(row) = ctx.store().decision(DecisionId(decision)).await? else {
            return Err(tell(format!("there is no decision {decision}")));
        };
        Ok(json!({
            "decision": row.id,
            "stage": row.stage,
            "owner": row.persona,
            "evidence": row.evidence,
            "plan_schema": plan_schema(row.stage),
            "refused_because": row.refusal,
            "decided_by": row.decided_by,
            "plan": row.plan,
            "seconds_left": row.deadline_at.duration_since(ctx.now()).as_secs().max(0),
        })
        .into())
    }
}
