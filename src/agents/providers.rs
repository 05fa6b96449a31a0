//! Which brains a roster needs, and where their models are reached.

use super::brain::Brain;
use super::config::{AgentConfig, BrainKind};
use super::model_brain::ModelBrain;
use super::prompt::Prompts;
use super::team::Brains;
use crate::base::Clock;
use crate::ledger::Ledger;
use crate::llm::{Anthropic, Connection, LlmError, Model, OpenAiChat, OpenAiResponses, Patience};
use secrecy::SecretString;
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use std::time::Duration;

/// Where models are reached: the `[providers]` section of `agents.toml`. Keys come from the environment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Providers {
    /// OpenAI, or a server that speaks its language.
    pub openai: OpenAiProvider,
    /// Anthropic.
    pub anthropic: AnthropicProvider,
    /// Seconds for one answer over all tries. Default 120; more would look like silence.
    pub deadline_s: u32,
}

/// OpenAI, or a server that speaks its language.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct OpenAiProvider {
    /// Where its API begins. Default `https://api.openai.com/v1`.
    pub base_url: String,
    /// Which of its APIs. Default `responses`.
    pub api: OpenAiApi,
}

/// OpenAI's two APIs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum OpenAiApi {
    /// OpenAI's own; the `-pro` models answer only there.
    #[default]
    Responses,
    /// The older one, which compatible servers speak.
    Chat,
}

/// Anthropic.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct AnthropicProvider {
    /// Where its API begins. Default `https://api.anthropic.com`.
    pub base_url: String,
}

impl Default for Providers {
    fn default() -> Self {
        Self { openai: OpenAiProvider::default(), anthropic: AnthropicProvider::default(), deadline_s: 120 }
    }
}

impl Default for OpenAiProvider {
    fn default() -> Self {
        Self { base_url: "https://api.openai.com/v1".to_owned(), api: OpenAiApi::default() }
    }
}

impl Default for AnthropicProvider {
    fn default() -> Self {
        Self { base_url: "https://api.anthropic.com".to_owned() }
    }
}

/// The providers' keys.
#[derive(Debug, Clone, Default)]
pub struct Keys {
    /// OpenAI's; a local server may need none.
    pub openai: Option<SecretString>,
    /// Anthropic's.
    pub anthropic: Option<SecretString>,
}

/// A brain that cannot be made.
#[derive(Debug, thiserror::Error)]
#[error("agent \"{agent}\": {source}")]
pub struct BrainUnavailable {
    /// The agent.
    pub agent: String,
    /// Why.
    pub source: LlmError,
}

/// A brain for every agent of `roster` that does not think by the playbook.
///
/// # Errors
/// When a client cannot be made, such as for a key that cannot be sent.
pub fn model_brains(
    roster: &[AgentConfig],
    providers: &Providers,
    keys: &Keys,
    prompts: &Prompts,
    ledger: &Ledger,
    clock: &Arc<dyn Clock>,
) -> Result<Brains, BrainUnavailable> {
    let mut brains = Brains::new();
    for agent in roster {
        let model = model_of(agent, providers, keys)
            .map_err(|source| BrainUnavailable { agent: agent.name.clone(), source })?;
        let Some(model) = model else { continue };
        let prompt = prompts.of(agent.persona).to_owned();
        let brain: Arc<dyn Brain> =
            Arc::new(ModelBrain::new(model, ledger.clone(), Arc::clone(clock), prompt, agent.max_output_tokens));
        brains.insert(agent.name.clone(), brain);
    }
    Ok(brains)
}

fn model_of(agent: &AgentConfig, providers: &Providers, keys: &Keys) -> Result<Option<Arc<dyn Model>>, LlmError> {
    let patience = Patience { deadline: Duration::from_secs(u64::from(providers.deadline_s)), ..Patience::default() };
    let connection = |base_url: &str, key: &Option<SecretString>| Connection {
        base_url: base_url.to_owned(),
        model: agent.model.clone(),
        key: key.clone(),
        patience,
    };
    Ok(match agent.brain {
        BrainKind::Playbook => None,
        BrainKind::OpenAi => {
            let connection = connection(&providers.openai.base_url, &keys.openai);
            Some(match providers.openai.api {
                OpenAiApi::Responses => Arc::new(OpenAiResponses::new(connection)?),
                OpenAiApi::Chat => Arc::new(OpenAiChat::new("openai", connection)?),
            })
        }
        BrainKind::Anthropic => {
            Some(Arc::new(Anthropic::new(connection(&providers.anthropic.base_url, &keys.anthropic))?))
        }
    })
}
