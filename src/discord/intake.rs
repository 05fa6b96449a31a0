//! What people write in the guild, handed to the commands with the rights of whoever wrote it.
//!
//! Slash commands, `!` before a command, and an agent's name at the beginning of a message end in the same line for
//! [`Commands::run`]. Nothing is decided here but who asks.

use super::split::{LIMIT, split};
use super::{Discord, DiscordError, format};
use crate::artifacts::Artifacts;
use crate::commands::{Asker, Commands, Operators, Reply, Rights, catalogue};
use poise::CreateReply;
use serenity::all::{
    ChannelId, CreateAllowedMentions, CreateAttachment, CreateAutocompleteResponse, CreateMessage, FullEvent, GuildId,
    Message, MessageId, RoleId,
};
use std::collections::{BTreeMap, VecDeque};
use std::sync::{Mutex, PoisonError};

/// Messages that are remembered, so that an event that comes twice is answered once.
const REMEMBERED: usize = 256;
/// Suggestions that Discord shows.
const MAX_CHOICES: usize = 25;
/// Files in one answer, and bytes of all of them.
const MAX_FILES: usize = 10;
const MAX_FILE_BYTES: usize = 10 * 1024 * 1024;

type Context<'a> = poise::Context<'a, Intake, DiscordError>;

/// The listening half of the front.
pub(super) struct Intake {
    commands: Commands,
    artifacts: Artifacts,
    operators: Operators,
    guild: GuildId,
    /// The team's names of the channels that are listened in.
    channels: BTreeMap<ChannelId, String>,
    /// The agents that can be spoken to by name.
    agents: Vec<String>,
    /// Held only while looking; the newest messages that were answered.
    answered: Mutex<VecDeque<MessageId>>,
}

impl Intake {
    pub(super) fn new(front: &Discord, guild: GuildId, channels: &BTreeMap<String, ChannelId>) -> Self {
        Self {
            commands: front.commands.clone(),
            artifacts: front.artifacts.clone(),
            operators: front.config.operators.clone(),
            guild,
            channels: channels.iter().map(|(name, id)| (*id, name.clone())).collect(),
            agents: front.titles.keys().cloned().collect(),
            answered: Mutex::new(VecDeque::with_capacity(REMEMBERED)),
        }
    }

    fn asker(&self, id: &str, name: &str, roles: &[RoleId], channel: ChannelId) -> Asker {
        let roles: Vec<String> = roles.iter().map(ToString::to_string).collect();
        Asker {
            id: id.to_owned(),
            name: name.to_owned(),
            front: super::FRONT,
            channel: self.channels.get(&channel).cloned().unwrap_or_default(),
            rights: self.rights(id, &roles),
        }
    }

    fn rights(&self, id: &str, roles: &[String]) -> Rights {
        self.operators.rights(id, roles.iter().map(String::as_str))
    }

    /// Whether the message is seen for the first time.
    fn is_new(&self, id: MessageId) -> bool {
        let mut answered = self.answered.lock().unwrap_or_else(PoisonError::into_inner);
        if answered.contains(&id) {
            return false;
        }
        if answered.len() == REMEMBERED {
            answered.pop_front();
        }
        answered.push_back(id);
        true
    }

    async fn files(&self, reply: &Reply) -> Vec<CreateAttachment> {
        let (mut files, mut bytes) = (Vec::new(), 0);
        for attachment in reply.attachments.iter().take(MAX_FILES) {
            match self.artifacts.get(&attachment.artifact).await {
                Ok(data) if bytes + data.len() <= MAX_FILE_BYTES => {
                    bytes += data.len();
                    files.push(CreateAttachment::bytes(data, &attachment.name).description(&attachment.alt));
                }
                Ok(_) => {}
                Err(error) => tracing::warn!(%error, name = attachment.name, "an attachment is left out"),
            }
        }
        files
    }
}

/// The framework with every command of the catalogue; texts and descriptions come from there.
pub(super) fn framework(intake: Intake) -> poise::Framework<Intake, DiscordError> {
    let guild = intake.guild;
    let options = poise::FrameworkOptions {
        commands: slash_commands(),
        allowed_mentions: Some(CreateAllowedMentions::new()),
        event_handler: |framework, event| Box::pin(heard(framework, event)),
        on_error: |error| Box::pin(failed(error)),
        ..Default::default()
    };
    poise::Framework::builder()
        .options(options)
        // Rights come from the configuration; whoever owns the application has none by that.
        .initialize_owners(false)
        .setup(move |ctx, _ready, framework| {
            Box::pin(async move {
                register(ctx, guild, &framework.options().commands).await;
                Ok(intake)
            })
        })
        .build()
}

/// Registers the commands in the guild when they are not what is registered there already.
async fn register(ctx: &serenity::all::Context, guild: GuildId, commands: &[poise::Command<Intake, DiscordError>]) {
    let wanted = names(commands);
    let there = match guild.get_commands(&ctx.http).await {
        Ok(there) => there.into_iter().map(|command| (command.name, command.description)).collect::<BTreeMap<_, _>>(),
        Err(error) => {
            tracing::warn!(%error, "the registered slash commands cannot be read");
            return;
        }
    };
    if there == wanted {
        return;
    }
    if let Err(error) = poise::builtins::register_in_guild(&ctx.http, commands, guild).await {
        tracing::warn!(%error, "the slash commands were not registered; commands after ! work");
    }
}

fn names(commands: &[poise::Command<Intake, DiscordError>]) -> BTreeMap<String, String> {
    commands
        .iter()
        .map(|command| (command.name.to_string(), command.description.as_deref().unwrap_or_default().to_owned()))
        .collect()
}

fn slash_commands() -> Vec<poise::Command<Intake, DiscordError>> {
    let mut commands = vec![
        status(),
        agents(),
        loop_(),
        approve(),
        veto(),
        cost(),
        budget(),
        ask(),
        report(),
        rollout(),
        lineage(),
        why(),
        help(),
    ];
    for command in &mut commands {
        describe(command, "");
    }
    commands
}

/// Gives a command and its parts the catalogue's help as description.
fn describe(command: &mut poise::Command<Intake, DiscordError>, parent: &str) {
    let name = format!("{parent}{}", command.name);
    if let Some(entry) = catalogue().iter().find(|entry| entry.name == name) {
        command.description = Some(entry.help.into());
    }
    for part in &mut command.subcommands {
        describe(part, &format!("{name} "));
    }
}

/// Where the mission stands.
#[poise::command(slash_command, guild_only)]
async fn status(ctx: Context<'_>) -> Result<(), DiscordError> {
    carry_out(ctx, "/status".to_owned(), false).await
}

/// What the agents do.
#[poise::command(slash_command, guild_only)]
async fn agents(ctx: Context<'_>) -> Result<(), DiscordError> {
    carry_out(ctx, "/agents".to_owned(), false).await
}

/// The loop: start, pause, resume, stop, status, plan.
#[poise::command(
    slash_command,
    guild_only,
    rename = "loop",
    subcommands("loop_start", "loop_pause", "loop_resume", "loop_stop", "loop_status", "loop_plan"),
    subcommand_required
)]
async fn loop_(_ctx: Context<'_>) -> Result<(), DiscordError> {
    Ok(())
}

/// Start a mission.
#[poise::command(slash_command, guild_only, rename = "start")]
async fn loop_start(
    ctx: Context<'_>,
    #[description = "Preset of agents.toml"] preset: Option<String>,
    #[description = "Loops to run"]
    #[min = 1]
    loops: Option<u32>,
    #[description = "Where all randomness begins"]
    #[min = 0]
    seed: Option<i64>,
) -> Result<(), DiscordError> {
    let mut line = "/loop start".to_owned();
    if let Some(preset) = preset {
        // One word: what follows a blank would be read as another flag.
        line += &format!(" --preset={}", preset.split_whitespace().collect::<Vec<_>>().join("_"));
    }
    if let Some(loops) = loops {
        line += &format!(" --loops={loops}");
    }
    if let Some(seed) = seed {
        line += &format!(" --seed={seed}");
    }
    carry_out(ctx, line, false).await
}

/// Pause.
#[poise::command(slash_command, guild_only, rename = "pause")]
async fn loop_pause(ctx: Context<'_>) -> Result<(), DiscordError> {
    carry_out(ctx, "/loop pause".to_owned(), false).await
}

/// Resume.
#[poise::command(slash_command, guild_only, rename = "resume")]
async fn loop_resume(ctx: Context<'_>) -> Result<(), DiscordError> {
    carry_out(ctx, "/loop resume".to_owned(), false).await
}

/// Stop.
#[poise::command(slash_command, guild_only, rename = "stop")]
async fn loop_stop(ctx: Context<'_>) -> Result<(), DiscordError> {
    carry_out(ctx, "/loop stop".to_owned(), false).await
}

/// Where the running loop stands.
#[poise::command(slash_command, guild_only, rename = "status")]
async fn loop_status(ctx: Context<'_>) -> Result<(), DiscordError> {
    carry_out(ctx, "/loop status".to_owned(), false).await
}

/// What was decided.
#[poise::command(slash_command, guild_only, rename = "plan")]
async fn loop_plan(ctx: Context<'_>) -> Result<(), DiscordError> {
    carry_out(ctx, "/loop plan".to_owned(), false).await
}

/// Let a plan run.
#[poise::command(slash_command, guild_only)]
async fn approve(ctx: Context<'_>) -> Result<(), DiscordError> {
    carry_out(ctx, "/approve".to_owned(), false).await
}

/// Send a plan back.
#[poise::command(slash_command, guild_only)]
async fn veto(ctx: Context<'_>, #[description = "Why"] reason: Option<String>) -> Result<(), DiscordError> {
    carry_out(ctx, reason.map_or("/veto".to_owned(), |reason| format!("/veto {reason}")), false).await
}

/// What made an artefact.
#[poise::command(slash_command, guild_only)]
async fn lineage(
    ctx: Context<'_>,
    #[description = "The first characters of its hash, or `champion`"] artefact: String,
) -> Result<(), DiscordError> {
    carry_out(ctx, format!("/lineage {artefact}"), false).await
}

/// What was spent.
#[poise::command(slash_command, guild_only)]
async fn cost(
    ctx: Context<'_>,
    #[description = "A row for each agent, model, loop, day or stage"] by: Option<String>,
) -> Result<(), DiscordError> {
    carry_out(ctx, format!("/cost {}", by.unwrap_or_default()).trim_end().to_owned(), false).await
}

/// The budgets: show, set, reset, release.
#[poise::command(
    slash_command,
    guild_only,
    subcommands("budget_show", "budget_set", "budget_reset", "budget_release"),
    subcommand_required
)]
async fn budget(_ctx: Context<'_>) -> Result<(), DiscordError> {
    Ok(())
}

/// Show the budgets.
#[poise::command(slash_command, guild_only, rename = "show")]
async fn budget_show(ctx: Context<'_>) -> Result<(), DiscordError> {
    carry_out(ctx, "/budget show".to_owned(), false).await
}

/// Set a budget.
#[poise::command(slash_command, guild_only, rename = "set")]
async fn budget_set(
    ctx: Context<'_>,
    #[description = "Its key under [budgets] in agents.toml"] key: String,
    #[description = "US dollars"] dollars: f64,
) -> Result<(), DiscordError> {
    carry_out(ctx, format!("/budget set {key} {dollars}"), false).await
}

/// Give a budget back to the configuration.
#[poise::command(slash_command, guild_only, rename = "reset")]
async fn budget_reset(
    ctx: Context<'_>,
    #[description = "Its key under [budgets] in agents.toml"] key: String,
) -> Result<(), DiscordError> {
    carry_out(ctx, format!("/budget reset {key}"), false).await
}

/// Let an agent ask again.
#[poise::command(slash_command, guild_only, rename = "release")]
async fn budget_release(
    ctx: Context<'_>,
    #[description = "Which agent"]
    #[autocomplete = "agent_names"]
    agent: String,
) -> Result<(), DiscordError> {
    carry_out(ctx, format!("/budget release {agent}"), false).await
}

/// Ask an agent.
#[poise::command(slash_command, guild_only)]
async fn ask(
    ctx: Context<'_>,
    #[description = "Whom"]
    #[autocomplete = "agent_names"]
    agent: String,
    #[description = "What"] question: String,
) -> Result<(), DiscordError> {
    let agent: String = agent.split_whitespace().collect::<Vec<_>>().join("-");
    carry_out(ctx, format!("/ask {agent} {question}"), false).await
}

async fn agent_names(ctx: Context<'_>, typed: &str) -> CreateAutocompleteResponse {
    let typed = typed.to_lowercase();
    let fitting = ctx.data().agents.iter().filter(|name| name.contains(&typed)).take(MAX_CHOICES);
    fitting.fold(CreateAutocompleteResponse::new(), |choices, name| choices.add_string_choice(name, name))
}

/// Results.
#[poise::command(slash_command, guild_only)]
async fn report(
    ctx: Context<'_>,
    #[description = "One loop's number"]
    #[min = 1]
    number: Option<u32>,
) -> Result<(), DiscordError> {
    carry_out(ctx, number.map_or("/report".to_owned(), |n| format!("/report {n}")), false).await
}

/// Rollouts: watch, compare.
#[poise::command(slash_command, guild_only, subcommands("rollout_watch", "rollout_compare"), subcommand_required)]
async fn rollout(_ctx: Context<'_>) -> Result<(), DiscordError> {
    Ok(())
}

/// Clips of the newest evaluation.
#[poise::command(slash_command, guild_only, rename = "watch")]
async fn rollout_watch(
    ctx: Context<'_>,
    #[description = "A scene's number"]
    #[min = 0]
    scene: Option<u32>,
) -> Result<(), DiscordError> {
    carry_out(ctx, scene.map_or("/rollout watch".to_owned(), |n| format!("/rollout watch {n}")), false).await
}

/// Two loops on the same scenes.
#[poise::command(slash_command, guild_only, rename = "compare")]
async fn rollout_compare(
    ctx: Context<'_>,
    #[description = "The earlier loop's number"]
    #[min = 1]
    before: Option<u32>,
    #[description = "The later loop's number"]
    #[min = 1]
    after: Option<u32>,
) -> Result<(), DiscordError> {
    let line = match (before, after) {
        (Some(before), Some(after)) => format!("/rollout compare {before} {after}"),
        (Some(one), None) | (None, Some(one)) => format!("/rollout compare {one}"),
        (None, None) => "/rollout compare".to_owned(),
    };
    carry_out(ctx, line, false).await
}

/// Why nothing moves.
#[poise::command(slash_command, guild_only)]
async fn why(ctx: Context<'_>) -> Result<(), DiscordError> {
    carry_out(ctx, "/why".to_owned(), false).await
}

/// What can be asked.
#[poise::command(slash_command, guild_only)]
async fn help(ctx: Context<'_>) -> Result<(), DiscordError> {
    carry_out(ctx, "/help".to_owned(), true).await
}

/// Answers an interaction: acknowledged at once, because Discord gives three seconds, carried out afterwards.
async fn carry_out(ctx: Context<'_>, line: String, quiet: bool) -> Result<(), DiscordError> {
    if quiet {
        ctx.defer_ephemeral().await?;
    } else {
        ctx.defer().await?;
    }
    let intake = ctx.data();
    if ctx.guild_id() != Some(intake.guild) {
        ctx.say("This server is not the team's.").await?;
        return Ok(());
    }
    let roles = ctx.author_member().await.map(|member| member.roles.clone()).unwrap_or_default();
    let user = ctx.author();
    let asker = intake.asker(&user.id.to_string(), user.display_name(), &roles, ctx.channel_id());
    let mut reply = intake.commands.run(&asker, &line).await;
    if let Some(question) = line.strip_prefix("/ask ") {
        // The others in the channel see what was asked.
        reply.text = format!("> {}\n{}", question.replace('\n', " "), reply.text);
    }
    let mut files = intake.files(&reply).await;
    let parts = split(&format::for_discord(&reply.text), LIMIT);
    let last = parts.len().saturating_sub(1);
    for (i, text) in parts.into_iter().enumerate() {
        let mut message = CreateReply::default().content(text).ephemeral(quiet);
        if i == last {
            message = files.drain(..).fold(message, CreateReply::attachment);
        }
        ctx.send(message).await?;
    }
    Ok(())
}

/// The line that a message is to the team; none when it is not meant for it.
fn line_of(content: &str, agents: &[String]) -> Option<String> {
    let content = content.trim();
    if let Some(command) = content.strip_prefix('!') {
        return command.starts_with(char::is_alphabetic).then(|| format!("/{command}"));
    }
    let (first, rest) = content.split_once(char::is_whitespace)?;
    let name = first.trim_start_matches('@').trim_end_matches([',', ':']).to_lowercase();
    // A bare name is only an address when it is set off: "training: how far?", "@training how far?".
    let addressed = first.starts_with('@') || first.ends_with([',', ':']);
    (addressed && agents.contains(&name) && !rest.trim().is_empty()).then(|| format!("/ask {name} {}", rest.trim()))
}

async fn heard(
    framework: poise::FrameworkContext<'_, Intake, DiscordError>,
    event: &FullEvent,
) -> Result<(), DiscordError> {
    let FullEvent::Message { new_message } = event else { return Ok(()) };
    let intake = framework.user_data().await;
    if let Some(line) = line_for(intake, new_message) {
        answer(framework.serenity_context, intake, new_message, &line).await?;
    }
    Ok(())
}

fn line_for(intake: &Intake, message: &Message) -> Option<String> {
    let ours = message.guild_id == Some(intake.guild) && intake.channels.contains_key(&message.channel_id);
    let person = !message.author.bot && message.webhook_id.is_none();
    let line = line_of(&message.content, &intake.agents)?;
    (ours && person && intake.is_new(message.id)).then_some(line)
}

async fn answer(
    ctx: &serenity::all::Context,
    intake: &Intake,
    message: &Message,
    line: &str,
) -> Result<(), DiscordError> {
    let roles = message.member.as_ref().map(|member| member.roles.clone()).unwrap_or_default();
    let user = &message.author;
    let asker = intake.asker(&user.id.to_string(), user.display_name(), &roles, message.channel_id);
    let reply = intake.commands.run(&asker, line).await;
    let mut files = intake.files(&reply).await;
    let parts = split(&format::for_discord(&reply.text), LIMIT);
    let last = parts.len().saturating_sub(1);
    for (i, text) in parts.into_iter().enumerate() {
        let mut answer = CreateMessage::new().content(text).allowed_mentions(CreateAllowedMentions::new());
        if i == 0 {
            answer = answer.reference_message(message);
        }
        if i == last {
            answer = answer.files(files.drain(..));
        }
        message.channel_id.send_message(&ctx.http, answer).await?;
    }
    Ok(())
}

/// A command or an answer that failed: Discord was not reached, or refused. The store is not touched by it.
async fn failed(error: poise::FrameworkError<'_, Intake, DiscordError>) {
    tracing::warn!(%error, "Discord did not take an answer");
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(content: &str) -> Option<String> {
        line_of(content, &["training".to_owned(), "domain-expert".to_owned()])
    }

    #[test]
    fn an_agent_is_addressed_by_its_name_set_off() {
        assert_eq!(line("@training how far?"), Some("/ask training how far?".to_owned()));
        assert_eq!(line("Domain-Expert: why?"), Some("/ask domain-expert why?".to_owned()));
        assert_eq!(line("training is slow today"), None);
        assert_eq!(line("@nobody hello"), None);
        assert_eq!(line("@training"), None);
    }

    #[test]
    fn a_bang_is_a_slash() {
        assert_eq!(line("!loop stop"), Some("/loop stop".to_owned()));
        assert_eq!(line("!"), None);
        assert_eq!(line("!!!"), None);
    }

    #[test]
    fn every_command_of_the_catalogue_is_a_slash_command_with_its_help() {
        let mut found = BTreeMap::new();
        for command in slash_commands() {
            for part in &command.subcommands {
                found.insert(format!("{} {}", command.name, part.name), part.description.clone());
            }
            if command.subcommands.is_empty() {
                found.insert(command.name.to_string(), command.description.clone());
            }
        }
        for entry in catalogue() {
            let description = found.remove(entry.name).flatten();
            assert_eq!(description.as_deref(), Some(entry.help), "{}", entry.name);
        }
        assert!(found.is_empty(), "{found:?}");
    }
}
