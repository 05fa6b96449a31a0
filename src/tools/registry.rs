//! All tools by name, and the one place where it is decided whether an agent may call one.

use super::{Callers, Tool, ToolContext, ToolError, ToolOutput, tell};
use super::{
    agent_ages, cost_summary, forecast_plan, generate_episodes, hand_off, lineage, loop_status, patch_data,
    post_message, propose_plan, read_decision, read_evaluation, read_job, run_rollouts, success_chart, train_policy,
    training_chart,
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
            Arc::new(forecast_plan::ForecastPlan),
            Arc::new(generate_episodes::GenerateEpisodes),
            Arc::new(hand_off::HandOff),
            Arc::new(lineage::Lineage),
            Arc::new(loop_status::LoopStatus),
            Arc::new(patch_data::PatchData),
            Arc::new(post_message::PostMessage),
            Arc::new(propose_plan::ProposePlan),
            Arc::new(read_decision::ReadDecision),
            Arc::new(read_evaluation::ReadEvaluation),
            Arc::new(read_job::ReadJob),
            Arc::new(run_rollouts::RunRollouts),
            Arc::new(success_chart::SuccessChart),
            Arc::new(train_policy::TrainPolicy),
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
        let nearest =
            self.tools.keys().max_by(|a, b| strsim::jaro_winkler(a, name).total_cmp(&strsim::jaro_winkler(b, name)));
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_tool_has_a_closed_schema_and_says_what_it_does() {
        for tool in Registry::standard().tools.values() {
            let schema = tool.parameters();
            assert_eq!(schema["type"], "object", "{}", tool.name());
            assert_eq!(schema["additionalProperties"], false, "{}", tool.name());
            assert!(schema["properties"].is_object() && tool.description().len() > 30, "{}", tool.name());
        }
    }

    #[test]
    fn work_belongs_to_the_persona_that_owns_its_stage() {
        let registry = Registry::standard();
        let all = ["*".to_owned()];
        let names = |persona| registry.specs_for(persona, &all).into_iter().map(|spec| spec.name).collect::<Vec<_>>();
        assert!(names(Persona::Developer).contains(&"generate_episodes".to_owned()));
        assert!(!names(Persona::Training).contains(&"generate_episodes".to_owned()));
        assert!(names(Persona::Evaluation).contains(&"run_rollouts".to_owned()));
        assert!(!names(Persona::Watcher).contains(&"train_policy".to_owned()));
        assert!(registry.specs_for(Persona::Watcher, &[]).is_empty(), "an empty list is nothing");
    }

    #[test]
    fn a_misspelt_tool_in_a_configuration_is_named_with_its_neighbour() {
        let unknown = Registry::standard().unknown_names(&["*".to_owned(), "read_jub".to_owned()]);
        assert_eq!(unknown, [("read_jub".to_owned(), "read_job".to_owned())]);
    }
}
