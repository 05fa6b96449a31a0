//! Posts what the store holds and Discord does not have yet, oldest first.
//!
//! Posting twice is prevented three times: the delivery is recorded with Discord's id; a bot's message carries its
//! number as an enforced nonce; and after an attempt whose outcome is unknown the channel is looked at before the part
//! is sent again. When Discord is away nothing counts as failed: the same message is tried again, in order.

use super::split::{LIMIT, split};
use super::webhooks::Webhooks;
use super::{Discord, DiscordError, FIRST_WAIT, FRONT, LONGEST_WAIT, format, is_transient};
use crate::artifacts::Artifacts;
use crate::base::{Clock, MessageId};
use crate::store::{AuthorKind, Change, MessageRow, Store};
use backon::{ExponentialBuilder, Retryable};
use serenity::all::{
    ChannelId, CreateAllowedMentions, CreateAttachment, CreateMessage, ExecuteWebhook, GetMessages, Http, Message,
    Nonce, StatusCode,
};
use serenity::http::HttpError;
use std::collections::BTreeMap;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::broadcast::error::RecvError;

/// Messages read at once.
const BATCH: u32 = 20;
/// Files in one message, and bytes of all of them.
const MAX_FILES: usize = 10;
const MAX_FILE_BYTES: usize = 10 * 1024 * 1024;
/// One part is tried for so long before the whole front waits.
const DEADLINE: Duration = Duration::from_secs(20);
/// A lost wake-up delays by this much at most.
const LOOK_ANYWAY: Duration = Duration::from_secs(2);
/// Newest messages of a channel that are compared after an unknown outcome.
const LOOK_BACK: u8 = 20;

/// The posting half of the front.
pub(super) struct Outbox {
    store: Store,
    artifacts: Artifacts,
    clock: Arc<dyn Clock>,
    http: Arc<Http>,
    channels: BTreeMap<String, ChannelId>,
    titles: BTreeMap<String, String>,
    webhooks: Webhooks,
    /// The message that is under way, how many of its parts arrived, and whether the next was tried before.
    under_way: Option<(MessageId, usize, bool)>,
}

impl Outbox {
    pub(super) fn new(front: &Discord, http: Arc<Http>, channels: BTreeMap<String, ChannelId>) -> Self {
        Self {
            store: front.store.clone(),
            artifacts: front.artifacts.clone(),
            clock: Arc::clone(&front.clock),
            http,
            channels,
            titles: front.titles.clone(),
            webhooks: Webhooks::default(),
            under_way: None,
        }
    }

    /// Posts for ever.
    pub(super) async fn run(mut self) -> Infallible {
        let mut changes = self.store.changes();
        let mut wait = FIRST_WAIT;
        loop {
            match self.post_waiting().await {
                Ok(()) => {
                    wait = FIRST_WAIT;
                    let woken = async {
                        loop {
                            match changes.recv().await {
                                Ok(Change::Message) | Err(RecvError::Lagged(_)) => return,
                                Ok(_) => {}
                                Err(RecvError::Closed) => std::future::pending().await,
                            }
                        }
                    };
                    // Elapsed or woken, the rows are looked at.
                    let _ = tokio::time::timeout(LOOK_ANYWAY, woken).await;
                }
                Err(error) => {
                    tracing::warn!(%error, wait_s = wait.as_secs(), "posting to Discord waits; messages are kept");
                    tokio::time::sleep(wait).await;
                    wait = (wait * 2).min(LONGEST_WAIT);
                }
            }
        }
    }

    /// Posts everything that waits. Stops at what may work later; steps over what never will.
    async fn post_waiting(&mut self) -> Result<(), DiscordError> {
        loop {
            let waiting = self.store.undelivered(FRONT, MessageId(0), BATCH).await?;
            if waiting.is_empty() {
                return Ok(());
            }
            for message in waiting {
                match self.post(&message).await {
                    Ok(external) => self.store.delivered(message.id, FRONT, &external, self.clock.now()).await?,
                    Err(error) if error.is_transient() => return Err(error),
                    Err(error) => {
                        tracing::warn!(%error, message = %message.id, "Discord refuses a message");
                        self.store.delivery_failed(message.id, FRONT, &error.to_string(), self.clock.now()).await?;
                    }
                }
            }
        }
    }

    /// Posts one message in as many parts as it needs; returns the id of the last.
    async fn post(&mut self, message: &MessageRow) -> Result<String, DiscordError> {
        if message.author_kind == AuthorKind::Person && message.brain.as_deref() == Some(FRONT) {
            return Ok("spoken here".to_owned());
        }
        let Some(channel) = self.channels.get(&message.channel).copied() else {
            return Ok(format!("no channel #{}", message.channel));
        };
        let (files, left_out) = self.files(message).await;
        let title = self.titles.get(&message.author).filter(|title| !title.is_empty());
        let author = title.unwrap_or(&message.author).clone();
        let through_webhook = message.author_kind == AuthorKind::Agent
            && self.webhooks.of(&self.http, channel, &message.author).await?.is_some();
        let parts = parts(message, &author, through_webhook, &left_out);
        let (mut arrived, mut tried) = match self.under_way {
            Some((id, arrived, tried)) if id == message.id => (arrived, tried),
            Some(_) | None => (0, false),
        };
        let mut external = String::new();
        while let Some(text) = parts.get(arrived) {
            let last = arrived + 1 == parts.len();
            self.under_way = Some((message.id, arrived, true));
            let there = if tried { self.already_there(channel, text, message).await? } else { None };
            let part = Part {
                channel,
                author: &author,
                nonce: format!("{}-{arrived}", message.id),
                text,
                files: if last { &files } else { &[] },
            };
            let posted = match there {
                Some(found) => found,
                None => self.send(message, &part, through_webhook).await?,
            };
            external = posted.id.to_string();
            arrived += 1;
            tried = false;
            self.under_way = Some((message.id, arrived, false));
        }
        self.under_way = None;
        Ok(external)
    }

    async fn send(
        &mut self,
        message: &MessageRow,
        part: &Part<'_>,
        through_webhook: bool,
    ) -> Result<Message, DiscordError> {
        let policy = ExponentialBuilder::new().with_jitter().with_max_times(6).with_total_delay(Some(DEADLINE));
        if !through_webhook {
            // The enforced nonce makes a repetition harmless.
            let http = &self.http;
            let attempt = || part.channel.send_message(http, part.as_bot());
            return Ok(attempt.retry(policy).when(is_transient).await?);
        }
        let Some(webhook) = self.webhooks.of(&self.http, part.channel, &message.author).await? else {
            return Ok(part.channel.send_message(&self.http, part.as_bot()).await?);
        };
        // Nothing makes a repeated webhook call harmless: only what surely was not carried out is repeated here.
        let http = &self.http;
        let attempt = || async move { webhook.execute(http, true, part.as_webhook()).await };
        match attempt.retry(policy).when(was_not_carried_out).await {
            Ok(Some(posted)) => Ok(posted),
            Ok(None) => Err(serenity::Error::Other("the webhook answered without its message").into()),
            Err(error) => {
                if is_gone(&error) {
                    self.webhooks.forget(part.channel);
                }
                Err(error.into())
            }
        }
    }

    /// The part among the channel's newest messages: an earlier attempt arrived although nobody said so.
    async fn already_there(
        &self,
        channel: ChannelId,
        text: &str,
        message: &MessageRow,
    ) -> Result<Option<Message>, DiscordError> {
        let written = message.created_at.as_second();
        let newest = channel.messages(&self.http, GetMessages::new().limit(LOOK_BACK)).await?;
        Ok(newest.into_iter().find(|there| {
            there.content.trim() == text.trim() && there.author.bot && there.timestamp.unix_timestamp() >= written
        }))
    }

    /// The attachments that Discord takes, and the names of those it does not.
    async fn files(&self, message: &MessageRow) -> (Vec<CreateAttachment>, Vec<String>) {
        let (mut files, mut left_out, mut bytes) = (Vec::new(), Vec::new(), 0);
        for attachment in &message.attachments {
            match self.artifacts.get(&attachment.artifact).await {
                Ok(data) if files.len() < MAX_FILES && bytes + data.len() <= MAX_FILE_BYTES => {
                    bytes += data.len();
                    files.push(CreateAttachment::bytes(data, &attachment.name).description(&attachment.alt));
                }
                Ok(_) => left_out.push(attachment.name.clone()),
                Err(error) => {
                    tracing::warn!(%error, name = attachment.name, "an attachment is left out");
                    left_out.push(attachment.name.clone());
                }
            }
        }
        (files, left_out)
    }
}

/// One message as Discord gets it.
struct Part<'a> {
    channel: ChannelId,
    author: &'a str,
    nonce: String,
    text: &'a str,
    files: &'a [CreateAttachment],
}

impl Part<'_> {
    fn as_bot(&self) -> CreateMessage {
        CreateMessage::new()
            .content(self.text)
            .files(self.files.to_vec())
            .allowed_mentions(CreateAllowedMentions::new())
            .nonce(Nonce::String(self.nonce.clone()))
            .enforce_nonce(true)
    }

    fn as_webhook(&self) -> ExecuteWebhook {
        ExecuteWebhook::new()
            .username(self.author)
            .content(self.text)
            .files(self.files.to_vec())
            .allowed_mentions(CreateAllowedMentions::new())
    }
}

/// The texts of a message, decorated first and divided afterwards.
fn parts(message: &MessageRow, author: &str, through_webhook: bool, left_out: &[String]) -> Vec<String> {
    let mut text = String::new();
    if !through_webhook {
        text += &format!("**{author}**: ");
    }
    text += &format::for_discord(&message.text);
    if let Some(brain) = message.brain.as_deref().filter(|brain| *brain == "playbook") {
        text += &format!("\n-# {brain}");
    }
    if !left_out.is_empty() {
        text += &format!("\n-# left out here: {}", left_out.join(", "));
    }
    split(&text, LIMIT)
}

/// Discord said no before doing anything: too many requests.
fn was_not_carried_out(error: &serenity::Error) -> bool {
    status(error) == Some(StatusCode::TOO_MANY_REQUESTS)
}

fn is_gone(error: &serenity::Error) -> bool {
    status(error) == Some(StatusCode::NOT_FOUND)
}

fn status(error: &serenity::Error) -> Option<StatusCode> {
    if let serenity::Error::Http(HttpError::UnsuccessfulRequest(response)) = error {
        return Some(response.status_code);
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::Timestamp;

    fn message(text: &str, brain: Option<&str>) -> MessageRow {
        MessageRow {
            id: MessageId(7),
            channel: "training".to_owned(),
            author: "training".to_owned(),
            author_kind: AuthorKind::Agent,
            brain: brain.map(str::to_owned),
            text: text.to_owned(),
            attachments: Vec::new(),
            loop_id: None,
            created_at: Timestamp::UNIX_EPOCH,
        }
    }

    #[test]
    fn decoration_counts_towards_the_limit() {
        let long = "x".repeat(LIMIT);
        let bot = parts(&message(&long, Some("playbook")), "Training", false, &[]);
        assert!(bot.iter().all(|part| part.encode_utf16().count() <= LIMIT));
        assert!(bot.len() == 2 && bot[0].starts_with("**Training**: x") && bot[1].ends_with("-# playbook"));
        assert_eq!(parts(&message(&long, None), "Training", true, &[]).len(), 1);
    }

    #[test]
    fn what_is_left_out_is_said() {
        let parts = parts(&message("Done.", None), "Training", true, &["film.gif".to_owned()]);
        assert_eq!(parts, ["Done.\n-# left out here: film.gif"]);
    }
}
