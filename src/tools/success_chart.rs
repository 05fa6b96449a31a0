//! `success_chart`: closed-loop success over the mission's loops, as a picture.

use super::charts::keep_picture;
use super::{Callers, Fault, Tool, ToolContext, ToolError, ToolOutput, read_arguments, schema_of, tell};
use crate::cycle::summary::mission_summary;
use crate::report::{SuccessPoint, success_chart};
use async_trait::async_trait;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Value, json};

/// See the module.
pub(crate) struct SuccessChart;

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Arguments {}

#[async_trait]
impl Tool for SuccessChart {
    fn name(&self) -> &'static str {
        "success_chart"
    }

    fn description(&self) -> &'static str {
        "Draws closed-loop success with 95 % intervals over the mission's loops; the picture can be attached by name."
    }

    fn parameters(&self) -> Value {
        schema_of::<Arguments>()
    }

    fn callers(&self) -> Callers {
        Callers::Everyone
    }

    async fn run(&self, ctx: &ToolContext, args: Value) -> Result<ToolOutput, ToolError> {
        let Arguments {} = read_arguments(self.name(), args)?;
        let Some(mission) = ctx.store().latest_mission().await? else {
            return Err(tell("no mission has been started, so there is nothing to draw"));
        };
        let target = mission.target_success;
        let Some(summary) = mission_summary(ctx.store(), mission.id, ctx.now()).await? else {
            return Err(tell("the mission is gone"));
        };
        let points: Vec<SuccessPoint> = summary
            .loops
            .iter()
            .filter_map(|one| Some(SuccessPoint { loop_number: one.number, success: one.scenes? }))
            .collect();
        let Some(newest) = points.last().copied() else {
            return Err(tell("no loop has been evaluated yet, so there is nothing to draw"));
        };
        let png = tokio::task::spawn_blocking(move || success_chart(&points, Some(target)))
            .await
            .map_err(|error| Fault::Drawing(error.to_string()))?
            .map_err(|error| Fault::Drawing(error.to_string()))?;
        let alt = format!("Closed-loop success; loop {}: {}", newest.loop_number, newest.success);
        let provenance = json!({ "chart": "success", "mission": mission.id, "loop": newest.loop_number });
        keep_picture(ctx, png, format!("success-loop-{}.png", newest.loop_number), alt, provenance).await
    }
}
