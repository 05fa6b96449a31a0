//! `/ask`: the question goes into the channel, where everyone sees it, and into the agent's mailbox.

use super::{Asker, CommandError, Commands, Reply, Rights, words};
use crate::base::Persona;
use crate::store::{AuthorKind, MailKind, NewMessage};
use serde_json::json;

/// Questions an agent may have waiting; more would only age.
const MOST_WAITING: u32 = 8;
/// Where a question goes when the asker is in no channel of the team's.
const DEFAULT_CHANNEL: &str = "mission-control";
/// The team's channels.
const CHANNELS: [&str; 4] = ["mission-control", "training", "rollouts", "reports"];

impl Commands {
    pub(super) async fn ask(&self, asker: &Asker, agent: Option<&str>, question: &str) -> Result<Reply, CommandError> {
        let agents: Vec<String> = self.store.agents().await?.into_iter().map(|row| row.name).collect();
        if agents.is_empty() {
            return Err(CommandError::Refused("the team is still starting; ask again in a moment".to_owned()));
        }
        let agent = agent.unwrap_or(Persona::Watcher.as_str());
        if !agents.iter().any(|name| name == agent) {
            let near = words::nearest(agent, agents.iter().map(String::as_str))
                .map_or(String::new(), |nearest| format!(" did you mean {nearest}?"));
            return Err(CommandError::Refused(format!(
                "there is no agent \"{}\";{near} The team: {}",
                words::plain(agent),
                agents.join(", ")
            )));
        }
        if self.store.waiting_mail(agent).await? >= MOST_WAITING {
            return Err(CommandError::Refused(format!(
                "{agent} has {MOST_WAITING} things waiting already; ask again when some are done (`/agents` tells)"
            )));
        }
        self.post_question(asker, agent, question).await?;
        Ok(Reply::quiet(format!("Asked {agent}; the answer comes in #{}.", channel_of(asker))))
    }

    async fn post_question(&self, asker: &Asker, agent: &str, question: &str) -> Result<(), CommandError> {
        let channel = channel_of(asker);
        let loop_id = match self.store.current_mission().await? {
            Some(mission) => self.store.loops_of(mission.id).await?.last().map(|row| row.id),
            None => None,
        };
        let message = NewMessage {
            channel: channel.to_owned(),
            author: words::plain(&asker.name),
            author_kind: AuthorKind::Person,
            // A person's message says which front it came through: that front shows the words already.
            brain: Some(asker.front.to_owned()),
            text: format!("@{agent} {question}"),
            attachments: Vec::new(),
            loop_id,
            dedup: None,
        };
        let id = self.store.post(&message, self.now()).await?;
        let payload = json!({
            "message": id,
            "question": question,
            "reply_channel": channel,
            "asker": { "name": words::plain(&asker.name), "may_operate": asker.rights >= Rights::Operate },
            "loop": loop_id,
        });
        self.store.send_mail(agent, MailKind::Message, &payload, &format!("message-{id}"), self.now()).await?;
        Ok(())
    }
}

/// The channel the asker speaks in, when it is one of the team's.
fn channel_of(asker: &Asker) -> &'static str {
    CHANNELS.iter().find(|name| **name == asker.channel).copied().unwrap_or(DEFAULT_CHANNEL)
}
