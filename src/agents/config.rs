//! An agent as data: one `[[agents]]` entry of `agents.toml`.

use crate::base::Persona;
use crate::tools::Registry;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;

/// Most agents in a team.
const MOST_AGENTS: usize = 32;
/// The channels of a team.
pub const CHANNELS: [&str; 4] = ["mission-control", "training", "rollouts", "reports"];

/// What thinks for an agent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum BrainKind {
    /// Rules that come with the program: no account, no network, no cost.
    #[default]
    Playbook,
    /// A model behind OpenAI's API or a compatible server.
    OpenAi,
    /// A model behind Anthropic's API.
    Anthropic,
}

impl BrainKind {
    /// The name in the configuration, in turns and in messages.
    pub fn as_str(self) -> &'static str {
        match self {
            BrainKind::Playbook => "playbook",
            BrainKind::OpenAi => "openai",
            BrainKind::Anthropic => "anthropic",
        }
    }
}

/// One agent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AgentConfig {
    /// Its name: its mailbox and the author of its messages. Lower case, digits and hyphens.
    pub name: String,
    /// Its role. The loop asks each role once, so every role has exactly one agent.
    pub persona: Persona,
    /// How people see it, such as "Evaluation". Default: the name.
    #[serde(default)]
    pub title: String,
    /// Its face: an emoji. Default: 🤖.
    #[serde(default = "face")]
    pub face: String,
    /// Its colour as `#rrggbb`. Default: `#607d8b`.
    #[serde(default = "colour")]
    pub colour: String,
    /// What thinks for it. Default: `playbook`.
    #[serde(default)]
    pub brain: BrainKind,
    /// The model's name at its provider; needed unless the brain is the playbook.
    #[serde(default)]
    pub model: String,
    /// Most tokens of one answer; each call reserves the price of this many. Default: 2,000.
    #[serde(default = "max_output_tokens")]
    pub max_output_tokens: u32,
    /// Tools it may use; `"*"` is everything its role may call, an empty list is nothing. Default: `["*"]`.
    #[serde(default = "all_tools")]
    pub tools: Vec<String>,
    /// Channels it reads and writes, without the #; an empty list is none. Default: all four.
    #[serde(default = "all_channels")]
    pub channels: Vec<String>,
}

fn face() -> String {
    "🤖".to_owned()
}

fn colour() -> String {
    "#607d8b".to_owned()
}

fn max_output_tokens() -> u32 {
    2_000
}

fn all_tools() -> Vec<String> {
    vec!["*".to_owned()]
}

fn all_channels() -> Vec<String> {
    CHANNELS.map(str::to_owned).to_vec()
}

/// Why a roster cannot work.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RosterError {
    /// One agent's entry is wrong.
    #[error("agent \"{agent}\": {what}")]
    Agent {
        /// Its name.
        agent: String,
        /// What is wrong and what would be right.
        what: String,
    },
    /// The team as a whole is wrong.
    #[error("{0}")]
    Team(String),
}

/// The embedded team: five playbook agents.
pub fn default_roster() -> Vec<AgentConfig> {
    let agent = |persona: Persona, title: &str, face: &str, colour: &str| AgentConfig {
        name: persona.as_str().to_owned(),
        persona,
        title: title.to_owned(),
        face: face.to_owned(),
        colour: colour.to_owned(),
        brain: BrainKind::Playbook,
        model: String::new(),
        max_output_tokens: max_output_tokens(),
        tools: all_tools(),
        channels: all_channels(),
    };
    vec![
        agent(Persona::Watcher, "Watcher", "🧭", "#3f6fb5"),
        agent(Persona::DomainExpert, "Domain Expert", "🚜", "#b5843f"),
        agent(Persona::Developer, "Developer", "🧱", "#4f9d69"),
        agent(Persona::Training, "Training", "📈", "#8a5fb0"),
        agent(Persona::Evaluation, "Evaluation", "🎯", "#c0564b"),
    ]
}

/// Checks that `roster` is a team that works: one agent per role, names that are mailboxes, tools and channels that exist.
///
/// # Errors
/// The first thing that is wrong, and what would be right.
pub fn check_roster(roster: &[AgentConfig], registry: &Registry) -> Result<(), RosterError> {
    if roster.len() > MOST_AGENTS {
        return Err(RosterError::Team(format!("{} agents; a team has at most {MOST_AGENTS}", roster.len())));
    }
    let mut names = BTreeSet::new();
    for agent in roster {
        let wrong = |what: String| Err(RosterError::Agent { agent: agent.name.clone(), what });
        if let Some(what) = wrong_in(agent, registry) {
            return wrong(what);
        }
        if !names.insert(agent.name.as_str()) {
            return wrong("the name is given twice".to_owned());
        }
    }
    for persona in Persona::ALL {
        let holders: Vec<_> = roster.iter().filter(|agent| agent.persona == *persona).collect();
        if holders.len() != 1 {
            return Err(RosterError::Team(format!(
                "{} agents have the persona {persona}; the loop needs exactly one",
                holders.len()
            )));
        }
        if holders[0].name != persona.as_str() {
            let what =
                format!("its persona's mail goes to \"{persona}\", so it must be named so; set title for people");
            return Err(RosterError::Agent { agent: holders[0].name.clone(), what });
        }
    }
    Ok(())
}

fn wrong_in(agent: &AgentConfig, registry: &Registry) -> Option<String> {
    let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    if agent.name.is_empty() || agent.name.len() > 32 || !agent.name.chars().all(plain) {
        return Some("a name has 1 to 32 lower-case letters, digits and hyphens".to_owned());
    }
    if let Some((name, nearest)) = registry.unknown_names(&agent.tools).into_iter().next() {
        return Some(format!("there is no tool \"{name}\"; the nearest is \"{nearest}\""));
    }
    if let Some(channel) = agent.channels.iter().find(|channel| !CHANNELS.contains(&channel.as_str())) {
        return Some(format!("there is no channel \"{channel}\"; there are {}", CHANNELS.join(", ")));
    }
    if agent.brain != BrainKind::Playbook && agent.model.is_empty() {
        return Some(format!("brain = \"{}\" needs a model", agent.brain.as_str()));
    }
    if !(16..=128_000).contains(&agent.max_output_tokens) {
        return Some(format!("max_output_tokens is {}; it must lie between 16 and 128000", agent.max_output_tokens));
    }
    let hex = agent.colour.strip_prefix('#').unwrap_or_default();
    if hex.len() != 6 || !hex.chars().all(|c| c.is_ascii_hexdigit()) {
        return Some(format!("colour is \"{}\"; write it as #rrggbb", agent.colour));
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_embedded_team_works() {
        assert_eq!(check_roster(&default_roster(), &Registry::standard()), Ok(()));
    }

    #[test]
    fn unknown_keys_tools_and_channels_are_refused_with_what_exists() {
        let error =
            toml::from_str::<AgentConfig>("name = \"a\"\npersona = \"watcher\"\nbrian = \"playbook\"").unwrap_err();
        assert!(error.to_string().contains("brian"), "{error}");
        let mut roster = default_roster();
        roster[0].tools = vec!["post_mesage".to_owned()];
        let error = check_roster(&roster, &Registry::standard()).unwrap_err().to_string();
        assert!(error.contains("\"post_message\""), "{error}");
        roster[0].tools = Vec::new();
        roster[0].channels = vec!["rollout".to_owned()];
        assert!(check_roster(&roster, &Registry::standard()).unwrap_err().to_string().contains("rollouts"));
    }

    #[test]
    fn every_role_has_exactly_one_agent() {
        let mut roster = default_roster();
        roster.pop();
        let error = check_roster(&roster, &Registry::standard()).unwrap_err().to_string();
        assert_eq!(error, "0 agents have the persona evaluation; the loop needs exactly one");
    }

    #[test]
    fn a_short_entry_gets_the_documented_defaults() {
        let agent: AgentConfig = toml::from_str("name = \"watcher\"\npersona = \"watcher\"").unwrap();
        assert_eq!((agent.brain, agent.max_output_tokens), (BrainKind::Playbook, 2_000));
        assert_eq!(agent.tools, ["*"]);
        assert_eq!(agent.channels, CHANNELS);
    }
}
