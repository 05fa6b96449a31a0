//! Webhooks give each agent its own name and face in a channel. They are looked up before one is made, and a channel
//! that does not permit them falls back to the bot's own voice.

use super::avatars::avatar;
use super::{DiscordError, is_transient};
use serenity::all::{ChannelId, CreateAttachment, CreateWebhook, Http, Webhook};
use std::collections::BTreeMap;

/// Webhooks of the team carry this before the agent's name, so that other people's are left alone.
const MARK: &str = "Ralphton ";

/// The webhooks that are known, by channel.
#[derive(Default)]
pub(super) struct Webhooks {
    /// By webhook name. An empty map: the channel permits none.
    known: BTreeMap<ChannelId, BTreeMap<String, Webhook>>,
}

impl Webhooks {
    /// The webhook through which `author` speaks in `channel`; none where webhooks are not permitted.
    ///
    /// # Errors
    /// When Discord is not reached.
    pub(super) async fn of(
        &mut self,
        http: &Http,
        channel: ChannelId,
        author: &str,
    ) -> Result<Option<&Webhook>, DiscordError> {
        if !self.known.contains_key(&channel) {
            let Some(there) = permitted(channel.webhooks(http).await, channel)? else {
                self.known.insert(channel, BTreeMap::new());
                return Ok(None);
            };
            let own = there.into_iter().filter(|hook| hook.token.is_some());
            let named = own.filter_map(|hook| Some((hook.name.clone().filter(|n| n.starts_with(MARK))?, hook)));
            self.known.insert(channel, named.collect());
        }
        let Some(hooks) = self.known.get_mut(&channel) else { return Ok(None) };
        let name = format!("{MARK}{author}");
        if !hooks.contains_key(&name) {
            let face = CreateAttachment::bytes(avatar(author), format!("{author}.png"));
            let make = CreateWebhook::new(name.clone()).avatar(&face);
            let Some(made) = permitted(channel.create_webhook(http, make).await, channel)? else { return Ok(None) };
            hooks.insert(name.clone(), made);
        }
        Ok(hooks.get(&name))
    }

    /// Forgets a channel's webhooks: one of them was deleted.
    pub(super) fn forget(&mut self, channel: ChannelId) {
        self.known.remove(&channel);
    }
}

/// None when Discord refuses for good; an error when it may work later.
fn permitted<T>(answer: Result<T, serenity::Error>, channel: ChannelId) -> Result<Option<T>, DiscordError> {
    match answer {
        Ok(value) => Ok(Some(value)),
        Err(error) if is_transient(&error) => Err(error.into()),
        Err(error) => {
            tracing::warn!(
                %error,
                %channel,
                "no webhook here: agents speak through the bot, without faces; allow Manage Webhooks"
            );
            Ok(None)
        }
    }
}
