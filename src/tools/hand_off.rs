//! `hand_off`: passes a result to the colleague whose turn it is, as a typed row.
//!
//! A hand-off is not a message: it wakes one addressee, says what it is about, and asks for no reply. That is why two
//! agents cannot talk in circles with it.

use super::{Callers, Tool, ToolContext, ToolError, ToolOutput, read_arguments, schema_of, tell};
use crate::store::NewHandoff;
use async_trait::async_trait;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Map, Value, json};

/// Longest payload, in bytes of JSON.
const MOST_PAYLOAD: usize = 4_096;

/// See the module.
pub(crate) struct HandOff;

#[derive(Debug, Clone, Copy, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
enum Kind {
    /// New data is stored and valid.
    DatasetReady,
    /// A training ended and left a checkpoint.
    CheckpointReady,
    /// An evaluation is measured and can be read.
    EvaluationReady,
    /// A reading of failures, for whoever plans.
    FailuresRead,
    /// A request for targeted episodes.
    PatchWanted,
}

impl Kind {
    fn as_str(self) -> &'static str {
        match self {
            Kind::DatasetReady => "dataset_ready",
            Kind::CheckpointReady => "checkpoint_ready",
            Kind::EvaluationReady => "evaluation_ready",
            Kind::FailuresRead => "failures_read",
            Kind::PatchWanted => "patch_wanted",
        }
    }
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Arguments {
    /// Name of the agent who goes on.
    to: String,
    /// What is handed over.
    kind: Kind,
    /// Numbers of the rows it is about, such as {"loop": 1, "evaluation": 4}. At most 4,096 bytes.
    payload: Map<String, Value>,
}

#[async_trait]
impl Tool for HandOff {
    fn name(&self) -> &'static str {
        "hand_off"
    }

    fn description(&self) -> &'static str {
        "Hands a result to the colleague who goes on with it. Wakes that agent once; expects no reply."
    }

    fn parameters(&self) -> Value {
        schema_of::<Arguments>()
    }

    fn callers(&self) -> Callers {
        Callers::Everyone
    }

    async fn run(&self, ctx: &ToolContext, args: Value) -> Result<ToolOutput, ToolError> {
        let Arguments { to, kind, payload } = read_arguments(self.name(), args)?;
        if !ctx.caller.colleagues.contains(&to) {
            return Err(tell(format!(
                "there is no colleague \"{to}\" to hand off to; there are {}",
                ctx.caller.colleagues.join(", ")
            )));
        }
        let payload = Value::Object(payload);
        let bytes = payload.to_string().len();
        if bytes > MOST_PAYLOAD {
            return Err(tell(format!(
                "the payload is {bytes} bytes long; give row numbers, at most {MOST_PAYLOAD} bytes"
            )));
        }
        let handoff = NewHandoff {
            loop_id: ctx.loop_id,
            from_agent: ctx.caller.agent.clone(),
            to_agent: to.clone(),
            kind: kind.as_str().to_owned(),
            payload,
        };
        let new = ctx.store().hand_off(&handoff, &ctx.effect_key(self.name()), ctx.now()).await?;
        Ok(json!({ "handed_to": to, "already_done": !new }).into())
    }
}
