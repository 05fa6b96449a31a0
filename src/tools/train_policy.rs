//! `train_policy`: trains on the mission's data outside the loop.

use super::work_order::{enqueue, place, specify};
use super::{Callers, Tool, ToolContext, ToolError, ToolOutput, read_arguments, schema_of};
use crate::base::Persona;
use crate::cycle::plan::{Plan, TrainPlan};
use async_trait::async_trait;
use serde_json::Value;

/// See the module.
pub(crate) struct TrainPolicy;

#[async_trait]
impl Tool for TrainPolicy {
    fn name(&self) -> &'static str {
        "train_policy"
    }

    fn description(&self) -> &'static str {
        "Trains a policy on the mission's data outside the loop, as an experiment. It takes the machine's time from the \
         loop. Returns a job; you are woken when it ends."
    }

    fn parameters(&self) -> Value {
        schema_of::<TrainPlan>()
    }

    fn callers(&self) -> Callers {
        Callers::Only(&[Persona::Training])
    }

    async fn run(&self, ctx: &ToolContext, args: Value) -> Result<ToolOutput, ToolError> {
        let plan: TrainPlan = read_arguments(self.name(), args)?;
        let key = ctx.effect_key(self.name());
        let place = place(ctx).await?;
        let spec = specify(ctx, &place, &Plan::Train(plan), &key).await?;
        enqueue(ctx, &spec, key, None).await
    }
}
