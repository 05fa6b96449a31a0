//! `propose_plan`: answers a decision of the loop. The plan is checked here first, so that a caller learns at once what
//! does not fit, and checked again by the loop before it runs.

use super::{Callers, Tool, ToolContext, ToolError, ToolOutput, read_arguments, schema_of, tell};
use crate::base::DecisionId;
use crate::cycle::evidence::Evidence;
use crate::cycle::plan::Plan;
use crate::cycle::throughput::{Outlook, outlook};
use crate::store::DecisionRow;
use async_trait::async_trait;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Map, Value, json};

/// Longest reason, in characters.
const MOST_REASON: usize = 600;

/// See the module.
pub(crate) struct ProposePlan;

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Arguments {
    /// Number of the decision that was asked.
    decision: i64,
    /// The plan, as its stage's schema says; read_decision returns that schema.
    plan: Map<String, Value>,
    /// Why, in a sentence or two, at most 600 characters.
    reason: String,
}

#[async_trait]
impl Tool for ProposePlan {
    fn name(&self) -> &'static str {
        "propose_plan"
    }

    fn description(&self) -> &'static str {
        "Proposes the plan for a decision that you were asked for. It is checked at once, also against the time that is \
         left; the answer says how long it will take. The loop takes it from there."
    }

    fn parameters(&self) -> Value {
        schema_of::<Arguments>()
    }

    fn callers(&self) -> Callers {
        Callers::Everyone
    }

    async fn run(&self, ctx: &ToolContext, args: Value) -> Result<ToolOutput, ToolError> {
        let Arguments { decision, plan, reason } = read_arguments(self.name(), args)?;
        let characters = reason.chars().count();
        if reason.trim().is_empty() || characters > MOST_REASON {
            return Err(tell(format!("the reason has {characters} characters; give 1 to {MOST_REASON}")));
        }
        let Some(row) = ctx.store().decision(DecisionId(decision)).await? else {
            return Err(tell(format!("there is no decision {decision}")));
        };
        if row.persona != ctx.caller.persona {
            return Err(tell(format!(
                "decision {decision} ({}) is the {}'s, not the {}'s",
                row.stage, row.persona, ctx.caller.persona
            )));
        }
        if let Some(by) = &row.decided_by {
            return Err(tell(format!("decision {decision} is taken already, by {by}; nothing is left to propose")));
        }
        let evidence: Evidence = serde_json::from_value(row.evidence.clone())
            .map_err(|error| tell(format!("the evidence of decision {decision} cannot be read: {error}")))?;
        let plan = Plan::from_json(row.stage, &Value::Object(plan), &evidence.families).map_err(tell)?;
        let outlook = outlook_of(ctx, &row, &plan).await?;
        if let Some(refusal) = outlook.refusal {
            return Err(tell(refusal.words));
        }
        let open = ctx.store().propose(row.id, &ctx.caller.agent, &plan.to_json(), ctx.now()).await?;
        if !open {
            return Err(tell(format!("decision {decision} was taken a moment ago, without this proposal")));
        }
        Ok(json!({
            "decision": decision,
            "stage": row.stage,
            "proposed": true,
            "takes": outlook.forecast.map(|forecast| forecast.to_string()),
            "forecast": outlook.forecast,
        })
        .into())
    }
}

/// What `plan` will take as the plan of this decision's mission.
pub(super) async fn outlook_of(ctx: &ToolContext, row: &DecisionRow, plan: &Plan) -> Result<Outlook, ToolError> {
    let Some(loop_row) = ctx.store().loop_row(row.loop_id).await? else { return Ok(Outlook::default()) };
    let Some(mission) = ctx.store().mission(loop_row.mission_id).await? else { return Ok(Outlook::default()) };
    Ok(outlook(ctx.store(), &mission, plan, ctx.now()).await?)
}
