//! One turn: brain and tools take turns themselves, within stated bounds, and what happened is written down.

use super::brain::{Brain, BrainError, Exchange, Step, ToolCall, TurnInput};
use super::{AgentError, actor::AgentDeps};
use crate::store::Activity;
use crate::tools::{ToolContext, ToolError};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::time::Duration;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

/// Longest answer of a tool kept in a transcript, in bytes of JSON.
const MOST_KEPT: usize = 16 * 1024;

/// What one turn may use at most.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct TurnLimits {
    /// Rounds of thinking. Default 8.
    pub rounds: u32,
    /// Tool calls in all. Default 24.
    pub tool_calls: u32,
    /// Seconds for the whole turn. Default 300: several answers of a slow model.
    pub seconds: u64,
    /// Seconds for one tool call. Default 60: work that takes longer is a job.
    pub tool_seconds: u64,
}

impl Default for TurnLimits {
    fn default() -> Self {
        Self { rounds: 8, tool_calls: 24, seconds: 300, tool_seconds: 60 }
    }
}

/// How a turn ended.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Outcome {
    /// The brain said that it is done; with its note.
    Done(String),
    /// A bound was reached; which one.
    Bound(String),
    /// The brain had no answer.
    NoBrain(BrainError),
    /// The program stops; the mail is taken again later.
    Stopped,
}

/// A turn while it runs.
pub(super) struct Turn<'a> {
    pub deps: &'a AgentDeps,
    pub ctx: &'a ToolContext,
    pub stop: &'a CancellationToken,
    deadline: Instant,
    /// What was called, for the transcript: of every brain that thought in this turn.
    pub transcript: Vec<Exchange>,
}

impl<'a> Turn<'a> {
    pub fn new(deps: &'a AgentDeps, ctx: &'a ToolContext, stop: &'a CancellationToken) -> Self {
        let deadline = Instant::now() + Duration::from_secs(deps.limits.seconds);
        Self { deps, ctx, stop, deadline, transcript: Vec::new() }
    }

    /// Lets `brain` work on `input` until it is done or a bound is reached.
    ///
    /// # Errors
    /// When the store or a tool is broken.
    pub async fn think_and_do(&mut self, brain: &dyn Brain, mut input: TurnInput) -> Result<Outcome, AgentError> {
        for round in 0..self.deps.limits.rounds {
            if self.stop.is_cancelled() {
                return Ok(Outcome::Stopped);
            }
            self.progress(Activity::Thinking, &format!("on {} {}", input.mail.kind, input.mail.id)).await?;
            let step = tokio::select! {
                () = self.stop.cancelled() => return Ok(Outcome::Stopped),
                step = tokio::time::timeout_at(self.deadline, brain.think(&input)) => step,
            };
            let calls = match step {
                Err(_elapsed) => return Ok(Outcome::Bound(format!("{} s used", self.deps.limits.seconds))),
                Ok(Err(error)) => return Ok(Outcome::NoBrain(error)),
                Ok(Ok(Step::Done(note))) => return Ok(Outcome::Done(note)),
                Ok(Ok(Step::Calls(calls))) => calls,
            };
            for call in calls {
                if self.transcript.len() >= self.deps.limits.tool_calls as usize {
                    return Ok(Outcome::Bound(format!("{} tool calls used", self.deps.limits.tool_calls)));
                }
                let exchange = self.call(round, call).await?;
                self.transcript.push(exchange.clone());
                input.exchanges.push(exchange);
            }
        }
        Ok(Outcome::Bound(format!("{} rounds used", self.deps.limits.rounds)))
    }

    async fn call(&self, round: u32, call: ToolCall) -> Result<Exchange, AgentError> {
        self.progress(Activity::UsingTool, &call.tool).await?;
        let limit = Duration::from_secs(self.deps.limits.tool_seconds);
        let running = self.deps.registry.call(self.ctx, &call.tool, call.arguments.clone());
        let answer = match tokio::time::timeout(limit, running).await {
            Ok(Ok(output)) => {
                let made = output.attachments.iter().map(|attachment| attachment.name.clone()).collect();
                return Ok(Exchange { round, call, answer: Ok(output.value), made });
            }
            Ok(Err(ToolError::TellModel(text))) => text,
            Ok(Err(error @ ToolError::Broken(_))) => {
                return Err(AgentError::Tool { tool: call.tool, source: Box::new(error) });
            }
            Err(_elapsed) => format!("{} did not answer within {} s", call.tool, limit.as_secs()),
        };
        Ok(Exchange { round, call, answer: Err(answer), made: Vec::new() })
    }

    async fn progress(&self, activity: Activity, doing: &str) -> Result<(), AgentError> {
        let agent = &self.ctx.caller.agent;
        self.ctx.store().agent_progress(agent, activity, doing, None, self.ctx.now()).await?;
        Ok(())
    }

    /// The transcript as it is stored: long answers are replaced by their length.
    pub fn transcript_json(&self) -> Value {
        let kept: Vec<Value> = self
            .transcript
            .iter()
            .map(|exchange| {
                let answer = match &exchange.answer {
                    Ok(value) => {
                        let bytes = value.to_string().len();
                        if bytes > MOST_KEPT {
                            json!({ "ok": format!("{bytes} bytes, not kept") })
                        } else {
                            json!({ "ok": value })
                        }
                    }
                    Err(text) => json!({ "refused": text }),
                };
                json!({
                    "round": exchange.round,
                    "tool": exchange.call.tool,
                    "arguments": exchange.call.arguments,
                    "answer": answer,
                    "made": exchange.made,
                })
            })
            .collect();
        Value::Array(kept)
    }
}
