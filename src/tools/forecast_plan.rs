//! `forecast_plan`: what a plan would take, and the largest one like it that fits, before anything is proposed.

use super::propose_plan::outlook_of;
use super::{Callers, Tool, ToolContext, ToolError, ToolOutput, read_arguments, schema_of, tell};
use crate::base::DecisionId;
use crate::cycle::plan::Plan;
use crate::cycle::stages::family_names;
use async_trait::async_trait;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Map, Value, json};

/// See the module.
pub(crate) struct ForecastPlan;

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Arguments {
    /// Number of the decision that the plan would be for.
    decision: i64,
    /// The plan, as its stage's schema says; read_decision returns that schema.
    plan: Map<String, Value>,
}

#[async_trait]
impl Tool for ForecastPlan {
    fn name(&self) -> &'static str {
        "forecast_plan"
    }

    fn description(&self) -> &'static str {
        "Says how long a plan would take on this machine, with an interval, whether that fits, and the largest plan \
         like it that does. Proposes nothing."
    }

    fn parameters(&self) -> Value {
        schema_of::<Arguments>()
    }

    fn callers(&self) -> Callers {
        Callers::Everyone
    }

    async fn run(&self, ctx: &ToolContext, args: Value) -> Result<ToolOutput, ToolError> {
        let Arguments { decision, plan } = read_arguments(self.name(), args)?;
        let Some(row) = ctx.store().decision(DecisionId(decision)).await? else {
            return Err(tell(format!("there is no decision {decision}")));
        };
        let plan = Plan::from_json(row.stage, &Value::Object(plan), &family_names()).map_err(tell)?;
        let outlook = outlook_of(ctx, &row, &plan).await?;
        let refusal = outlook.refusal.as_ref();
        Ok(json!({
            "decision": decision,
            "takes": outlook.forecast.map(|forecast| forecast.to_string()),
            "forecast": outlook.forecast,
            "rests_on": outlook.basis,
            "fits": refusal.is_none(),
            "why_not": refusal.map(|refusal| refusal.words.clone()),
            "largest_that_fits": refusal.and_then(|refusal| refusal.fits.as_ref()).map(Plan::to_json),
        })
        .into())
    }
}
