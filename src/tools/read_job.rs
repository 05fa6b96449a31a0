//! `read_job`: where a piece of work stands, and what came of it.

use super::{Callers, Tool, ToolContext, ToolError, ToolOutput, read_arguments, schema_of, tell};
use crate::base::JobId;
use crate::cycle::summary::progress_text;
use crate::cycle::throughput::{StageTime, outcomes};
use async_trait::async_trait;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Value, json};

/// See the module.
pub(crate) struct ReadJob;

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Arguments {
    /// Number of the job.
    job: i64,
}

#[async_trait]
impl Tool for ReadJob {
    fn name(&self) -> &'static str {
        "read_job"
    }

    fn description(&self) -> &'static str {
        "Reads a job: its state, its progress, and its result or error once it ended."
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
        let end = row.finished_at.unwrap_or_else(|| ctx.now());
        let loop_row = match row.loop_id {
            Some(id) => ctx.store().loop_row(id).await?,
            None => None,
        };
        let time = match (row.loop_id, row.stage) {
            (Some(loop_id), Some(stage)) => {
                outcomes(ctx.store(), loop_id).await?.into_iter().find(|t| t.stage == stage)
            }
            (_, _) => None,
        };
        Ok(json!({
            "job": row.id,
            "kind": row.kind,
            "loop": row.loop_id,
            "loop_number": loop_row.map(|row| row.number),
            "owner": row.owner,
            "state": row.state,
            "progress": progress_text(&row),
            "attempts": row.attempts,
            "seconds": row.started_at.map(|start| end.duration_since(start).as_secs_f64()),
            "result": row.result,
            "error": row.error,
            "fault": row.fault,
            "forecast": time.as_ref().and_then(|time| time.forecast.as_ref()).map(|forecast| json!({
                "seconds": forecast.seconds,
                "low_s": forecast.low_s,
                "high_s": forecast.high_s,
                "took_s": time.as_ref().and_then(|time| time.fact_s),
                "in_words": time.as_ref().and_then(StageTime::in_words),
            })),
        })
        .into())
    }
}
