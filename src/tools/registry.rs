//! All tools by name, and the one place where it is decided whether an agent may call one.

use super::{Callers, Tool, ToolContext, ToolError, ToolOutput, tell};
use super::{
    agent_ages, cost_summary, hand_off, loop_status, post_message, propose_plan, read_decision, read_evaluation,
    read_job, success_chart, training_chart,
};
use crate::base::Persona;
use crate::llm::ToolSpec;
use serde_json::Value;
use std::collections::BTreeMap;
use std::sync::Arc;

/// In an agent's list of tools: everything its persona may call.
const ALL_ALLOWED: &str = "*";

/// The tools of the program.
#[derive(Clone)]
pub struct Registry {
    tools: BTreeMap<&'static str, Arc<dyn Tool>>,
}

impl Registry {
    /// Every tool there is.
    pub fn standard() -> Self {
        let tools: Vec<Arc<dyn Tool>> = vec![
            Arc::new(agent_ages::AgentAges),
            Arc::new(cost_summary::CostSummary),
            Arc::new(hand_off::HandOff),
            Arc::new(loop_status::LoopStatus),
            Arc::new(post_message::PostMessage),
            Arc::new(propose_plan::ProposePlan),
            Arc::new(read_decision::ReadDecision),
            Arc::new(read_evaluation::ReadEvaluation),
            Arc::new(read_job::ReadJob),
            Arc::new(success_chart::SuccessChart),
            Arc::new(training_chart::TrainingChart),
        ];
        Self { tools: tools.into_iter().map(|tool| (tool.name(), tool)).collect() }
    }

    /// Names of all tools, in alphabetical order.
    pub fn names(&self) -> Vec<&'static str> {
        self.tools.keys().copied().collect()
    }

    /// What an agent of `persona` with this list of tools is shown.
    pub fn specs_for(&self, persona: Persona, list: &[String]) -> Vec<ToolSpec> {
        self.tools
            .values()
            .filter(|tool| tool.callers().include(persona) && listed(list, tool.name()))
            .map(|tool| ToolSpec {
                name: tool.name().to_owned(),
                description: tool.description().to_owned(),
                parameters: tool.parameters(),
            })
            .collect()
    }

    /// Names in `list` that no tool has, each with the nearest one that exists: for the check of a configuration.
    pub fn unknown_names(&self, list: &[String]) -> Vec<(String, String)> {
        list.iter()
            .filter(|name| name.as_str() != ALL_ALLOWED && !self.tools.contains_key(name.as_str()))
            .map(|name| (name.clone(), self.nearest(name).to_owned()))
            .collect()
    }

    /// Runs the tool `name` for the caller in `ctx`, if that caller may. What it made is kept within reach of the turn.
    ///
    /// # Errors
    /// [`ToolError::TellModel`] for a tool that does not exist or is not the caller's, or arguments that do not fit;
    /// [`ToolError::Broken`] when the tool cannot work.
    pub async fn call(&self, ctx: &ToolContext, name: &str, args: Value) -> Result<ToolOutput, ToolError> {
        let Some(tool) = self.tools.get(name) else {
            return Err(tell(format!("there is no tool \"{name}\"; the nearest is \"{}\"", self.nearest(name))));
        };
        permit(tool.as_ref(), ctx)?;
        let output = tool.run(ctx, args).await?;
        ctx.keep(&output.attachments);
        Ok(output)
    }

    fn nearest(&self, name: &str) -> &'static str {
        let nearest = self
            .tools
            .keys()
            .max_by(|a, b| strsim::jaro_winkler(a, name).total_cmp(&strsim::jaro_winkler(b, name)));
        nearest.copied().unwrap_or("none")
    }
}

fn listed(list: &[String], name: &str) -> bool {
    list.iter().any(|entry| entry == ALL_ALLOWED || entry == name)
}

/// The caller's identity comes from the context, which the agent's own code made: a model cannot claim another one.
fn permit(tool: &dyn Tool, ctx: &ToolContext) -> Result<(), ToolError> {
    let persona = ctx.caller.persona;
    match tool.callers() {
        Callers::Everyone => {}
        Callers::Only(list) if list.contains(&persona) => {}
        Callers::Only(list) => {
            let names: Vec<_> = list.iter().map(|persona| persona.as_str()).collect();
            return Err(tell(format!("{} is not {persona}'s to use; it belongs to {}", tool.name(), names.join(", "))));
        }
    }
    if !listed(&ctx.caller.tools, tool.name()) {
        return Err(tell(format!("{} is not among the tools that {} is given", tool.name(), ctx.caller.agent)));
    }
    Ok(())
}
