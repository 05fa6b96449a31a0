//! `training_chart`: a training's loss and its canaries, as a picture.

use super::charts::keep_picture;
use super::{Callers, Fault, Tool, ToolContext, ToolError, ToolOutput, read_arguments, schema_of, tell};
use crate::base::JobId;
use crate::report::{CanaryPoint, LossPoint, training_chart};
use crate::store::EvaluationKind;
use async_trait::async_trait;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Value, json};

/// See the module.
pub(crate) struct TrainingChart;

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Arguments {
    /// Number of the training job.
    job: i64,
}

#[async_trait]
impl Tool for TrainingChart {
    fn name(&self) -> &'static str {
        "training_chart"
    }

    fn description(&self) -> &'static str {
        "Draws a training's loss and canary rollouts over its samples; the picture can be attached by name."
    }

    fn parameters(&self) -> Value {
        schema_of::<Arguments>()
    }

    fn callers(&self) -> Callers {
        Callers::Everyone
    }

    async fn run(&self, ctx: &ToolContext, args: Value) -> Result<ToolOutput, ToolError> {
        let Arguments { job } = read_arguments(self.name(), args)?;
        let Some(row) = ctx.store().job(JobId(job)).await? else {
            return Err(tell(format!("there is no job {job}")));
        };
        let points = ctx.store().training_points(row.id).await?;
        if points.is_empty() {
            return Err(tell(format!("job {job} ({}) has no training curve", row.kind)));
        }
        let losses: Vec<LossPoint> = points.into_iter().map(|(samples, loss)| LossPoint { samples, loss }).collect();
        let evaluations = ctx.store().evaluations(row.loop_id).await?;
        let canaries: Vec<CanaryPoint> = evaluations
            .iter()
            .filter(|e| e.kind == EvaluationKind::Canary && e.job_id == Some(row.id))
            .map(|e| CanaryPoint { samples: e.samples_seen, success: e.scenes })
            .collect();
        let png = tokio::task::spawn_blocking(move || training_chart(&losses, &canaries))
            .await
            .map_err(|error| Fault::Drawing(error.to_string()))?
            .map_err(|error| Fault::Drawing(error.to_string()))?;
        let provenance = json!({ "chart": "training", "job": job });
        let alt = format!("Loss and canary rollouts of training job {job}");
        keep_picture(ctx, png, format!("training-job-{job}.png"), alt, provenance).await
    }
}
