//! `[discord]` of `agents.toml`. The token is not here: it comes from the environment.

use super::DiscordError;
use crate::commands::Operators;
use serde::{Deserialize, Serialize};
use serenity::all::{ChannelId, GuildId};
use std::collections::BTreeMap;

/// The team's channels.
pub(super) const CHANNELS: [&str; 4] = ["mission-control", "training", "rollouts", "reports"];

/// Where the team lives in Discord, and who may steer it there.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// The id of the one server (guild) that is served. Without it nobody is. Default: none.
    pub guild: Option<String>,
    /// Ids of Discord channels by the team's channel names; one that is left out is found by its name. Default: none.
    pub channels: BTreeMap<String, String>,
    /// Ids of people and roles who may start, stop and ask. Empty means nobody. Default: empty.
    pub operators: Operators,
    /// Another address that speaks Discord's API, for proxies. Default: Discord itself.
    pub api_base: Option<String>,
}

impl Config {
    /// The guild that is served.
    ///
    /// # Errors
    /// [`DiscordError::NoGuild`], [`DiscordError::BadId`].
    pub(super) fn guild_id(&self) -> Result<GuildId, DiscordError> {
        let guild = self.guild.as_deref().filter(|id| !id.trim().is_empty()).ok_or(DiscordError::NoGuild)?;
        Ok(GuildId::new(id("guild", guild)?))
    }

    /// The configured id of one of the team's channels.
    ///
    /// # Errors
    /// [`DiscordError::BadId`].
    pub(super) fn channel_id(&self, name: &str) -> Result<Option<ChannelId>, DiscordError> {
        let Some(text) = self.channels.get(name) else { return Ok(None) };
        Ok(Some(ChannelId::new(id(&format!("channels.{name}"), text)?)))
    }

    /// Looks at every id before anything is started.
    ///
    /// # Errors
    /// [`DiscordError::BadId`] for the first that is none, or for a channel that the team does not have.
    pub(super) fn check(&self) -> Result<(), DiscordError> {
        for (name, text) in &self.channels {
            id(&format!("channels.{name}"), text)?;
            if !CHANNELS.contains(&name.as_str()) {
                let known = format!("channels.{name} (the team's channels are {})", CHANNELS.join(", "));
                return Err(DiscordError::BadId { key: known, value: text.clone() });
            }
        }
        for operator in self.operators.ids() {
            id("operators", operator)?;
        }
        Ok(())
    }
}

fn id(key: &str, text: &str) -> Result<u64, DiscordError> {
    let digits = text.trim();
    match digits.parse::<u64>() {
        Ok(number) if number > 0 && digits.len() >= 15 => Ok(number),
        Ok(_) | Err(_) => Err(DiscordError::BadId { key: key.to_owned(), value: text.to_owned() }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Config {
        toml::from_str(text).unwrap()
    }

    #[test]
    fn nothing_configured_serves_nobody() {
        assert!(matches!(Config::default().guild_id(), Err(DiscordError::NoGuild)));
        assert!(matches!(read("guild = \" \"").guild_id(), Err(DiscordError::NoGuild)));
    }

    #[test]
    fn ids_are_checked_before_anything_starts() {
        let config = read(
            "guild = \"123456789012345678\"\noperators = [\"223456789012345678\"]\n[channels]\ntraining = \"323456789012345678\"",
        );
        assert_eq!(config.guild_id().unwrap().get(), 123_456_789_012_345_678);
        assert!(config.check().is_ok());
        assert_eq!(config.channel_id("training").unwrap().unwrap().get(), 323_456_789_012_345_678);
        assert_eq!(config.channel_id("reports").unwrap(), None);
        assert!(read("operators = [\"kim\"]").check().unwrap_err().to_string().contains("\"kim\""));
        let unknown = read("[channels]\nlobby = \"323456789012345678\"").check().unwrap_err().to_string();
        assert!(unknown.contains("the team's channels are mission-control"), "{unknown}");
    }

    #[test]
    fn unknown_keys_are_refused() {
        assert!(toml::from_str::<Config>("token = \"x\"").is_err());
    }
}
