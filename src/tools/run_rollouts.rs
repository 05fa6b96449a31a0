//! `run_rollouts`: drives the loop's newest policy in closed loop on scenes of its own, outside the loop.

use super::work_order::{enqueue, place, specify};
use super::{Callers, Tool, ToolContext, ToolError, ToolOutput, read_arguments, schema_of};
use crate::base::Persona;
use crate::cycle::plan::{EvaluatePlan, Plan};
use async_trait::async_trait;
use serde_json::Value;

/// See the module.
pub(crate) struct RunRollouts;

#[async_trait]
impl Tool for RunRollouts {
    fn name(&self) -> &'static str {
        "run_rollouts"
    }

    fn description(&self) -> &'static str {
        "Drives the loop's newest policy in closed loop on scenes of its own, for a diagnosis; the gate does not see the \
         result. Returns a job; you are woken when it ends."
    }

    fn parameters(&self) -> Value {
        schema_of::<EvaluatePlan>()
    }

    fn callers(&self) -> Callers {
        Callers::Only(&[Persona::Evaluation])
    }

    async fn run(&self, ctx: &ToolContext, args: Value) -> Result<ToolOutput, ToolError> {
        let plan: EvaluatePlan = read_arguments(self.name(), args)?;
        let key = ctx.effect_key(self.name());
        let place = place(ctx).await?;
        let spec = specify(ctx, &place, &Plan::Evaluate(plan), &key).await?;
        enqueue(ctx, &spec, key, None).await
    }
}
