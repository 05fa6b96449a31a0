//! Reads `agents.toml` and the environment into the configuration that each room defines for itself.
//!
//! The file that comes with the program is the default; a file of the user's replaces it whole, so that what runs is
//! what one file says. An unknown key is refused with its line and the nearest known key. Keys come from the
//! environment only, and only as [`SecretString`]s, which never print.

mod explain;

use crate::agents::{AgentConfig, Providers, check_roster};
use crate::base::Stage;
use crate::cycle::preset::LoopPreset;
use crate::cycle::terms::{Terms, Unanswered};
use crate::ledger::{Budgets, Machine};
use crate::tools::Registry;
use crate::{discord, watchdog};
use secrecy::SecretString;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use thiserror::Error;

/// The file that comes with the program.
pub const EMBEDDED: &str = include_str!("../../agents.toml");
/// The file that is read when none is named and it lies in the working folder.
pub const FILE_NAME: &str = "agents.toml";

/// Why the configuration was refused.
#[derive(Debug, Error)]
pub enum ConfigError {
    /// The file cannot be read.
    #[error("{path}: {source}; name another file with --config, or leave it out to use the embedded defaults")]
    Unreadable {
        /// Which file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The file does not fit. The text names the key, the line and the nearest known key.
    #[error("{0}")]
    Refused(String),
}

/// Everything that can be configured.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// What the team is to reach.
    pub mission: MissionConfig,
    /// The embedded chat.
    pub console: ConsoleConfig,
    /// Discord.
    #[serde(default)]
    pub discord: discord::Config,
    /// Spending limits.
    #[serde(default)]
    pub budgets: Budgets,
    /// What the machines cost.
    #[serde(default)]
    pub machine: Machine,
    /// The watchdog.
    #[serde(default)]
    pub watchdog: watchdog::Config,
    /// Where model providers are reached.
    #[serde(default)]
    pub providers: Providers,
    /// The team.
    pub agents: Vec<AgentConfig>,
    /// Loop presets by name.
    pub presets: BTreeMap<String, LoopPreset>,
}

/// What the team is to reach when `ralphton up` starts a mission.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MissionConfig {
    /// The goal in words; models read it.
    pub goal: String,
    /// The preset of the loops, by name.
    pub preset: String,
    /// Loops to run.
    pub loops: u32,
    /// The share of hidden scenes solved at which the mission is met, above 0 and at most 1.
    pub target_success: f64,
    /// Where all randomness begins.
    pub seed: u64,
    /// Minutes from the start to the end.
    #[serde(default)]
    pub deadline_minutes: Option<f64>,
    /// Samples that all trainings together may draw.
    #[serde(default)]
    pub budget_samples: Option<u64>,
    /// Dollars that the thinking may cost.
    #[serde(default)]
    pub budget_dollars: Option<f64>,
    /// Loops in a row without a promotion that end the mission.
    #[serde(default = "patience_loops")]
    pub patience_loops: u32,
    /// Stages whose plans wait for a person.
    #[serde(default)]
    pub approve: Vec<Stage>,
    /// Minutes such a plan waits.
    #[serde(default = "approve_wait_minutes")]
    pub approve_wait_minutes: f64,
    /// What happens then.
    #[serde(default)]
    pub approve_unanswered: Unanswered,
}

fn patience_loops() -> u32 {
    Terms::default().patience_loops
}

fn approve_wait_minutes() -> f64 {
    Terms::default().approve_wait_minutes
}

impl MissionConfig {
    /// Deadline, budgets and approvals of a mission that starts now.
    pub fn terms(&self) -> Terms {
        Terms {
            deadline_minutes: self.deadline_minutes,
            budget_samples: self.budget_samples,
            budget_dollars: self.budget_dollars,
            patience_loops: self.patience_loops,
            approve: self.approve.clone(),
            approve_wait_minutes: self.approve_wait_minutes,
            approve_unanswered: self.approve_unanswered,
        }
    }
}

/// The embedded chat.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ConsoleConfig {
    /// Address and port of the page.
    pub listen: SocketAddr,
}

/// Keys from the environment. Printing it shows none of them.
#[derive(Debug, Clone, Default)]
pub struct Secrets {
    /// `DISCORD_TOKEN`: one bot for the whole team.
    pub discord_token: Option<SecretString>,
    /// `OPENAI_API_KEY`.
    pub openai_api_key: Option<SecretString>,
    /// `ANTHROPIC_API_KEY`.
    pub anthropic_api_key: Option<SecretString>,
}

impl Secrets {
    /// Reads the environment; an empty variable counts as absent.
    pub fn from_env() -> Self {
        let read = |name| std::env::var(name).ok().filter(|text| !text.trim().is_empty()).map(SecretString::from);
        Self {
            discord_token: read("DISCORD_TOKEN"),
            openai_api_key: read("OPENAI_API_KEY"),
            anthropic_api_key: read("ANTHROPIC_API_KEY"),
        }
    }
}

impl Config {
    /// Reads `path`; without one, `agents.toml` in the working folder; without that, the embedded default. The second
    /// value says in words what was read.
    ///
    /// # Errors
    /// [`ConfigError`], which says what to change.
    pub fn load(path: Option<&Path>) -> Result<(Config, String), ConfigError> {
        let local = Path::new(FILE_NAME);
        let path = path.or_else(|| local.exists().then_some(local));
        let Some(path) = path else {
            return Ok((Config::parse(EMBEDDED, FILE_NAME)?, "embedded defaults".to_owned()));
        };
        let text = std::fs::read_to_string(path)
            .map_err(|source| ConfigError::Unreadable { path: path.to_owned(), source })?;
        let name = path.display().to_string();
        Ok((Config::parse(&text, &name)?, name))
    }

    /// Reads the text of a file called `name`.
    ///
    /// # Errors
    /// [`ConfigError::Refused`] with the line, the key and what it may be.
    pub fn parse(text: &str, name: &str) -> Result<Config, ConfigError> {
        let config: Config =
            toml::from_str(text).map_err(|error| ConfigError::Refused(explain::explain(text, name, &error)))?;
        config.check().map_err(|reason| ConfigError::Refused(format!("{name}: {reason}")))?;
        Ok(config)
    }

    /// The preset called `name`.
    ///
    /// # Errors
    /// In words, with the nearest known name.
    pub fn preset(&self, name: &str) -> Result<&LoopPreset, ConfigError> {
        self.presets.get(name).ok_or_else(|| {
            let known: Vec<&str> = self.presets.keys().map(String::as_str).collect();
            ConfigError::Refused(format!(
                "there is no preset \"{name}\"{}; known are: {}",
                explain::did_you_mean(name, &known),
                known.join(", ")
            ))
        })
    }

    fn check(&self) -> Result<(), String> {
        self.preset(&self.mission.preset).map_err(|error| format!("[mission] preset: {error}"))?;
        if !(self.mission.target_success > 0.0 && self.mission.target_success <= 1.0) {
            return Err(format!(
                "[mission] target_success is {}; give a share above 0 and at most 1",
                self.mission.target_success
            ));
        }
        if self.mission.loops == 0 {
            return Err("[mission] loops is 0; give at least 1".to_owned());
        }
        self.mission.terms().check().map_err(|error| format!("[mission] {error}"))?;
        for (name, preset) in &self.presets {
            preset.deadlines.check().map_err(|error| format!("[presets.{name}] {error}"))?;
        }
        check_roster(&self.agents, &Registry::standard()).map_err(|error| error.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_embedded_default_is_a_whole_configuration() {
        let config = Config::parse(EMBEDDED, FILE_NAME).unwrap();
        assert_eq!(config.agents.len(), 5);
        assert!(config.presets.contains_key("quick"));
    }

    #[test]
    fn an_unknown_key_is_named_with_its_line_and_the_nearest_known_key() {
        let text = EMBEDDED.replacen("target_success =", "target_succes =", 1);
        let line = 1 + text.lines().position(|line| line.starts_with("target_succes ")).unwrap();
        let error = Config::parse(&text, "my.toml").unwrap_err().to_string();
        assert!(error.starts_with(&format!("my.toml line {line}: ")), "{error}");
        assert!(error.contains("unknown key `target_succes`"), "{error}");
        assert!(error.contains("did you mean `target_success`?"), "{error}");
    }

    #[test]
    fn an_unknown_preset_is_refused_with_the_known_ones() {
        let text = EMBEDDED.replacen("preset = \"quick\"", "preset = \"quik\"", 1);
        let error = Config::parse(&text, "my.toml").unwrap_err().to_string();
        assert!(error.contains("there is no preset \"quik\"; did you mean `quick`?"), "{error}");
    }

    #[test]
    fn secrets_do_not_print() {
        let secrets = Secrets { openai_api_key: Some(SecretString::from("sk-very-secret")), ..Secrets::default() };
        assert!(!format!("{secrets:?}").contains("very-secret"));
    }
}
