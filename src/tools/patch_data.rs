//! `patch_data`: targeted episodes for a failure that was named. They join the open loop, so its next training draws
//! from them.

use super::work_order::{enqueue, place, specify};
use super::{Callers, Tool, ToolContext, ToolError, ToolOutput, read_arguments, schema_of, tell};
use crate::base::Persona;
use crate::cycle::plan::{GeneratePlan, Plan};
use async_trait::async_trait;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::Value;
use std::collections::BTreeMap;

/// Most episodes of one patch: it is meant to mend one thing.
const MOST_EPISODES: u32 = 1_000;

/// See the module.
pub(crate) struct PatchData;

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Arguments {
    /// Scenario families to make, with weights; at least one.
    families: BTreeMap<String, f64>,
    /// Episodes to make, 1 to 1,000.
    episodes: u32,
    /// Share that the policy drives while the expert labels, in [0, 1]; 0.5 if left out.
    #[serde(default = "half")]
    dagger_share: f64,
}

fn half() -> f64 {
    0.5
}

#[async_trait]
impl Tool for PatchData {
    fn name(&self) -> &'static str {
        "patch_data"
    }

    fn description(&self) -> &'static str {
        "Makes targeted episodes for a failure that was named; the open loop's next training draws from them. \
         Returns a job; you are woken when it ends."
    }

    fn parameters(&self) -> Value {
        schema_of::<Arguments>()
    }

    fn callers(&self) -> Callers {
        Callers::Only(&[Persona::Developer])
    }

    async fn run(&self, ctx: &ToolContext, args: Value) -> Result<ToolOutput, ToolError> {
        let Arguments { families, episodes, dagger_share } = read_arguments(self.name(), args)?;
        if families.is_empty() || !(1..=MOST_EPISODES).contains(&episodes) {
            return Err(tell(format!("a patch names at least one family and has 1 to {MOST_EPISODES} episodes")));
        }
        let key = ctx.effect_key(self.name());
        let place = place(ctx).await?;
        let Some(open) = place.open_loop() else {
            return Err(tell("no loop is open, so nothing would train on a patch"));
        };
        let plan = GeneratePlan {
            episodes,
            bricks_min: 1,
            bricks_max: 1,
            families,
            noisy_share: 0.5,
            bad_start_share: 0.5,
            dagger_share,
        };
        let spec = specify(ctx, &place, &Plan::Generate(plan), &key).await?;
        enqueue(ctx, &spec, key, Some(open)).await
    }
}
