//! `post_message`: writes into a channel, with charts and clips attached by name.

use super::{Callers, Tool, ToolContext, ToolError, ToolOutput, read_arguments, schema_of, tell};
use crate::base::ArtifactId;
use crate::store::{Attachment, AuthorKind, NewMessage};
use async_trait::async_trait;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Value, json};

/// Longest text of one message, in characters. Fronts split it where their service allows less.
const MOST_CHARACTERS: usize = 4_000;
/// Most attachments of one message; Discord takes ten.
const MOST_ATTACHMENTS: usize = 10;

/// See the module.
pub(crate) struct PostMessage;

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Arguments {
    /// Channel, without the #.
    channel: String,
    /// The message in Markdown, at most 4,000 characters.
    text: String,
    /// Names of charts or clips that tools of this turn returned, or ids of stored artefacts. At most 10.
    #[serde(default)]
    attach: Vec<String>,
}

#[async_trait]
impl Tool for PostMessage {
    fn name(&self) -> &'static str {
        "post_message"
    }

    fn description(&self) -> &'static str {
        "Writes a message into a channel under your name. Figures in it must come from tool results of this turn."
    }

    fn parameters(&self) -> Value {
        schema_of::<Arguments>()
    }

    fn callers(&self) -> Callers {
        Callers::Everyone
    }

    async fn run(&self, ctx: &ToolContext, args: Value) -> Result<ToolOutput, ToolError> {
        let Arguments { channel, text, attach } = read_arguments(self.name(), args)?;
        if !ctx.caller.channels.contains(&channel) {
            return Err(tell(format!(
                "{} does not write to \"{channel}\"; its channels are {}",
                ctx.caller.agent,
                ctx.caller.channels.join(", ")
            )));
        }
        check_text(&text)?;
        if attach.len() > MOST_ATTACHMENTS {
            return Err(tell(format!("{} attachments; at most {MOST_ATTACHMENTS} go with a message", attach.len())));
        }
        let mut attachments = Vec::with_capacity(attach.len());
        for name in &attach {
            attachments.push(find(ctx, name).await?);
        }
        let message = NewMessage {
            channel,
            author: ctx.caller.agent.clone(),
            author_kind: AuthorKind::Agent,
            brain: ctx.caller.brain.clone(),
            text,
            attachments,
            loop_id: ctx.loop_id,
            dedup: Some(ctx.effect_key(self.name())),
        };
        let id = ctx.store().post(&message, ctx.now()).await?;
        Ok(json!({ "message": id }).into())
    }
}

fn check_text(text: &str) -> Result<(), ToolError> {
    let characters = text.chars().count();
    if text.trim().is_empty() {
        return Err(tell("the text is empty; say something or post nothing"));
    }
    if characters > MOST_CHARACTERS {
        return Err(tell(format!(
            "the text has {characters} characters; at most {MOST_CHARACTERS} fit, so shorten it"
        )));
    }
    Ok(())
}

/// Looks among what the turn's tools made, then among all stored artefacts.
async fn find(ctx: &ToolContext, name: &str) -> Result<Attachment, ToolError> {
    if let Some(attachment) = ctx.kept(name) {
        return Ok(attachment);
    }
    let id = ArtifactId(name.to_owned());
    if let Some(row) = ctx.store().artifact(&id).await?
        && let Some((extension, media_type)) = shown_as(&row.kind)
    {
        let name = format!("{}.{extension}", id.short());
        return Ok(Attachment { artifact: id, name, media_type: media_type.to_owned(), alt: row.producer });
    }
    let names = ctx.kept_names();
    let within_reach = if names.is_empty() { "nothing yet".to_owned() } else { names.join(", ") };
    Err(tell(format!("there is no chart or clip \"{name}\"; within reach in this turn: {within_reach}")))
}

/// File extension and media type of the kinds of artefact that people can look at.
fn shown_as(kind: &str) -> Option<(&'static str, &'static str)> {
    match kind {
        "clip" => Some(("gif", "image/gif")),
        "chart" | "picture" => Some(("png", "image/png")),
        _ => None,
    }
}
