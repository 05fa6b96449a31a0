//! `generate_episodes`: makes a dataset outside the loop.

use super::work_order::{enqueue, place, specify};
use super::{Callers, Tool, ToolContext, ToolError, ToolOutput, read_arguments, schema_of};
use crate::base::Persona;
use crate::cycle::plan::{GeneratePlan, Plan};
use async_trait::async_trait;
use serde_json::Value;

/// See the module.
pub(crate) struct GenerateEpisodes;

#[async_trait]
impl Tool for GenerateEpisodes {
    fn name(&self) -> &'static str {
        "generate_episodes"
    }

    fn description(&self) -> &'static str {
        "Makes a dataset outside the loop, to look at. The loop does not train on it; use patch_data for that. \
         Returns a job; you are woken when it ends."
    }

    fn parameters(&self) -> Value {
        schema_of::<GeneratePlan>()
    }

    fn callers(&self) -> Callers {
        Callers::Only(&[Persona::Developer])
    }

    async fn run(&self, ctx: &ToolContext, args: Value) -> Result<ToolOutput, ToolError> {
        let plan: GeneratePlan = read_arguments(self.name(), args)?;
        let key = ctx.effect_key(self.name());
        let place = place(ctx).await?;
        let spec = specify(ctx, &place, &Plan::Generate(plan), &key).await?;
        enqueue(ctx, &spec, key, None).await
    }
}
