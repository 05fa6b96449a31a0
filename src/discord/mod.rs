//! Discord: the same messages and the same commands in channels of one guild. The only room that knows serenity and
//! poise.
//!
//! Two halves that know nothing of each other share one bot: [`outbox`] posts what the store holds and was not
//! delivered yet, [`intake`] hands what people write to [`Commands`] with the rights of whoever wrote it. Discord being
//! away stops neither the loop nor the other fronts; what was missed is posted afterwards, in order.

mod avatars;
mod config;
mod format;
mod intake;
mod outbox;
mod split;
mod webhooks;

pub use config::Config;

use crate::artifacts::Artifacts;
use crate::base::Clock;
use crate::commands::Commands;
use crate::store::{Store, StoreError};
use outbox::Outbox;
use secrecy::{ExposeSecret, SecretString};
use serenity::all::{
    ChannelId, ChannelType, ClientBuilder, CreateAllowedMentions, GatewayError, GatewayIntents, GuildId, Http,
    HttpBuilder, StatusCode,
};
use serenity::http::HttpError;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use thiserror::Error;
use tokio_util::sync::CancellationToken;

/// The name of this front in the store.
const FRONT: &str = "discord";
/// First wait before Discord is tried again, and the longest.
const FIRST_WAIT: Duration = Duration::from_secs(2);
const LONGEST_WAIT: Duration = Duration::from_secs(60);

/// What ends or hinders the Discord front.
#[derive(Debug, Error)]
pub enum DiscordError {
    /// No guild is configured, so nobody is served.
    #[error("no guild is allowed: set guild = \"…\" in [discord] of agents.toml to the id of your server")]
    NoGuild,
    /// An id in the configuration is none.
    #[error(
        "[discord] {key}: \"{value}\" is no Discord id; copy it with Developer Mode on, it has 17 to 20 digits"
    )]
    BadId {
        /// The key.
        key: String,
        /// What stands there.
        value: String,
    },
    /// The token was refused.
    #[error("Discord refuses the token; set DISCORD_TOKEN to the bot's token from the Developer Portal")]
    BadToken,
    /// Discord refused or was not reached.
    #[error("Discord: {0}")]
    Discord(#[from] Box<serenity::Error>),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl From<serenity::Error> for DiscordError {
    fn from(error: serenity::Error) -> Self {
        DiscordError::Discord(Box::new(error))
    }
}

impl DiscordError {
    /// Whether trying again later can help without anybody changing something.
    fn is_transient(&self) -> bool {
        match self {
            DiscordError::NoGuild | DiscordError::BadId { .. } | DiscordError::BadToken => false,
            DiscordError::Discord(error) => is_transient(error),
            DiscordError::Store(_) => true,
        }
    }
}

/// Whether the same request may succeed later: Discord was not reached, is overloaded, or asks to slow down.
fn is_transient(error: &serenity::Error) -> bool {
    if let serenity::Error::Http(HttpError::UnsuccessfulRequest(response)) = error {
        let status = response.status_code;
        return status.is_server_error() || status == StatusCode::TOO_MANY_REQUESTS;
    }
    // What serenity may add later is not hammered on.
    matches!(
        error,
        serenity::Error::Http(HttpError::Request(_)) | serenity::Error::Io(_) | serenity::Error::Tungstenite(_)
    )
}

/// The Discord front, not yet started.
pub struct Discord {
    config: Config,
    store: Store,
    artifacts: Artifacts,
    commands: Commands,
    clock: Arc<dyn Clock>,
    titles: BTreeMap<String, String>,
}

impl Discord {
    /// A front over `store` and `commands`; `titles` are the agents' names for people, by agent.
    pub fn new(
        config: Config,
        store: Store,
        artifacts: Artifacts,
        commands: Commands,
        clock: Arc<dyn Clock>,
        titles: BTreeMap<String, String>,
    ) -> Self {
        Self { config, store, artifacts, commands, clock, titles }
    }

    /// Posts and listens until `stop` is cancelled.
    ///
    /// # Errors
    /// Only what somebody must change first: no guild, a bad id, a refused token. Everything else is waited out.
    pub async fn run(self, token: SecretString, stop: CancellationToken) -> Result<(), DiscordError> {
        let guild = self.config.guild_id()?;
        self.config.check()?;
        if self.config.operators.is_empty() {
            tracing::warn!("[discord] operators is empty: everybody in the guild may read, nobody may operate");
        }
        if !self.store.front_seen(FRONT).await? {
            self.store.mark_all_delivered(FRONT, self.clock.now()).await?;
        }
        let http = Arc::new(self.http(&token));
        let work = async {
            let channels = self.find_channels(&http, guild).await?;
            let outbox = Outbox::new(&self, Arc::clone(&http), channels.clone());
            tokio::select! {
                ended = self.listen(&token, guild, &channels, &stop) => ended,
                never = outbox.run() => match never {},
            }
        };
        tokio::select! {
            ended = work => ended,
            () = stop.cancelled() => Ok(()),
        }
    }

    fn http(&self, token: &SecretString) -> Http {
        let builder = HttpBuilder::new(token.expose_secret()).default_allowed_mentions(CreateAllowedMentions::new());
        match &self.config.api_base {
            // serenity's own rate limiter always speaks to discord.com, so it is off behind another address.
            Some(base) => builder.proxy(base.clone()).ratelimiter_disabled(true).build(),
            None => builder.build(),
        }
    }

    /// The guild's text channels by the team's names: those configured, else those of the same name.
    async fn find_channels(&self, http: &Http, guild: GuildId) -> Result<BTreeMap<String, ChannelId>, DiscordError> {
        let there = with_patience("the guild's channels", || async { Ok(guild.channels(http).await?) }).await?;
        let mut channels = BTreeMap::new();
        for name in config::CHANNELS {
            let found = match self.config.channel_id(name)? {
                Some(id) => there.contains_key(&id).then_some(id),
                None => there.values().find(|c| c.kind == ChannelType::Text && c.name == name).map(|c| c.id),
            };
            match found {
                Some(id) => {
                    channels.insert(name.to_owned(), id);
                }
                None => tracing::warn!(
                    channel = name,
                    "the guild has no such channel; create it, or name another in [discord.channels], and start again"
                ),
            }
        }
        Ok(channels)
    }

    /// Holds the gateway connection; serenity resumes it, this starts it again when it ends.
    async fn listen(
        &self,
        token: &SecretString,
        guild: GuildId,
        channels: &BTreeMap<String, ChannelId>,
        stop: &CancellationToken,
    ) -> Result<(), DiscordError> {
        let mut intents = GatewayIntents::GUILDS | GatewayIntents::GUILD_MESSAGES | GatewayIntents::MESSAGE_CONTENT;
        let mut wait = FIRST_WAIT;
        while !stop.is_cancelled() {
            let framework = intake::framework(intake::Intake::new(self, guild, channels));
            let mut client = ClientBuilder::new_with_http(self.http(token), intents).framework(framework).await?;
            let error = match client.start().await {
                Ok(()) => return Ok(()),
                Err(error) => error,
            };
            if let serenity::Error::Gateway(GatewayError::InvalidAuthentication) = error {
                return Err(DiscordError::BadToken);
            }
            let no_content = matches!(error, serenity::Error::Gateway(GatewayError::DisallowedGatewayIntents));
            if no_content && intents.contains(GatewayIntents::MESSAGE_CONTENT) {
                tracing::warn!(
                    "the Message Content intent is off in the Developer Portal: slash commands work, talking to agents \
                     by name does not"
                );
                intents.remove(GatewayIntents::MESSAGE_CONTENT);
                continue;
            }
            tracing::warn!(%error, wait_s = wait.as_secs(), "the connection to Discord ended; trying again");
            tokio::time::sleep(wait).await;
            wait = (wait * 2).min(LONGEST_WAIT);
        }
        Ok(())
    }
}

/// Tries until it works, with growing waits; gives up only on what waiting cannot cure.
async fn with_patience<T, F, Fut>(what: &str, mut attempt: F) -> Result<T, DiscordError>
where
    F: FnMut() -> Fut,
    Fut: Future<Output = Result<T, DiscordError>>,
{
    let mut wait = FIRST_WAIT;
    loop {
        match attempt().await {
            Ok(value) => return Ok(value),
            Err(error) if error.is_transient() => {
                tracing::warn!(%error, what, wait_s = wait.as_secs(), "Discord is not reached; trying again");
                tokio::time::sleep(wait).await;
                wait = (wait * 2).min(LONGEST_WAIT);
            }
            Err(DiscordError::Discord(error)) if is_unauthorised(&error) => return Err(DiscordError::BadToken),
            Err(error) => return Err(error),
        }
    }
}

fn is_unauthorised(error: &serenity::Error) -> bool {
    matches!(error, serenity::Error::Http(HttpError::UnsuccessfulRequest(response))
        if response.status_code == StatusCode::UNAUTHORIZED)
}
