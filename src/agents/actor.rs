//! The agent itself: takes mail, takes turns, says what it is doing, and rests.

use super::brain::{Brain, BrainError, TurnInput};
use super::config::AgentConfig;
use super::exchange_guard::ExchangeGuard;
use super::playbook::PlaybookBrain;
use super::turn::{Outcome, Turn, TurnLimits};
use super::{AgentError, BrainKind};
use crate::base::{JobId, LoopId, Timestamp, TurnId};
use crate::store::{Activity, AuthorKind, MailKind, MailRow, NewMessage, StoreError};
use crate::tools::{Asker, Caller, Registry, ToolContext, ToolDeps};
use jiff::SignedDuration;
use serde_json::Value;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

/// Mail that could not be dealt with this often is given up.
const MOST_ATTEMPTS: u32 = 3;
/// The agent looks into its mailbox at least this often, in case a wake-up was lost.
const POLL: Duration = Duration::from_secs(2);
/// An agent that rests shows at least this often that it has looked and found nothing.
const SHOW_EVERY: SignedDuration = SignedDuration::from_secs(30);
/// Recent messages shown to a brain that reads context.
const RECENT_MESSAGES: u32 = 20;

/// What every agent of a team works with.
#[derive(Clone)]
pub struct AgentDeps {
    /// Rooms that tools work with.
    pub tools: ToolDeps,
    /// All tools.
    pub registry: Registry,
    /// Bounds of a turn.
    pub limits: TurnLimits,
    /// Shared by the team: texts between two agents count wherever they begin. Held only while counting.
    pub guard: Arc<Mutex<ExchangeGuard>>,
}

impl AgentDeps {
    /// The standard tools and bounds over these rooms.
    pub fn new(tools: ToolDeps) -> Self {
        Self {
            tools,
            registry: Registry::standard(),
            limits: TurnLimits::default(),
            guard: Arc::new(Mutex::new(ExchangeGuard::default())),
        }
    }
}

/// One agent. The same type for all of them.
pub struct Agent {
    caller: Caller,
    brain: Arc<dyn Brain>,
    deps: AgentDeps,
    /// The channel knows that the brain does not answer; cleared when it answers again.
    told_outage: bool,
    shown_at: Option<Timestamp>,
}

impl Agent {
    /// An agent by `config` that thinks with `brain`, among `colleagues`.
    pub fn new(config: &AgentConfig, colleagues: Vec<String>, brain: Arc<dyn Brain>, deps: AgentDeps) -> Self {
        let marker = (config.brain == BrainKind::Playbook).then(|| config.brain.as_str().to_owned());
        let caller = Caller {
            agent: config.name.clone(),
            persona: config.persona,
            tools: config.tools.clone(),
            channels: config.channels.clone(),
            colleagues,
            brain: marker,
        };
        Self { caller, brain, deps, told_outage: false, shown_at: None }
    }

    /// Works through its mail whenever something may have come, until `stop` is cancelled.
    pub async fn run(mut self, mut wake: mpsc::Receiver<()>, stop: CancellationToken) {
        let name = self.caller.agent.clone();
        let store = self.deps.tools.store.clone();
        if let Err(error) = store.agent_started(&name, self.now()).await {
            tracing::warn!(agent = name, %error, "the start could not be noted");
        }
        while !stop.is_cancelled() {
            match self.work_through_mail(&stop).await {
                Ok(_) => {}
                Err(error) => tracing::warn!(agent = name, %error, "the mail stays and is taken again"),
            }
            tokio::select! {
                () = stop.cancelled() => {}
                _ = wake.recv() => {}
                () = tokio::time::sleep(POLL) => {}
            }
        }
        if let Err(error) = store.agent_progress(&name, Activity::Stopped, "", None, self.now()).await {
            tracing::warn!(agent = name, %error, "the stop could not be noted");
        }
    }

    /// Takes a turn for each piece of waiting mail, oldest first; the number of turns taken.
    ///
    /// # Errors
    /// When the store or a tool is broken: that mail stays and is taken again.
    pub async fn work_through_mail(&mut self, stop: &CancellationToken) -> Result<u32, AgentError> {
        let mut turns = 0;
        while !stop.is_cancelled() {
            // Looking is cheap, taking counts as an attempt: nothing is written while nothing waits.
            if self.deps.tools.store.waiting_mail(&self.caller.agent).await? == 0 {
                break;
            }
            let Some(mail) = self.deps.tools.store.next_mail(&self.caller.agent, self.now()).await? else { break };
            if mail.attempts > MOST_ATTEMPTS {
                self.give_up(&mail).await?;
                continue;
            }
            if !self.admit(&mail) {
                let reason = "held back: too many texts between two agents within a minute";
                self.deps.tools.store.abandon_mail(mail.id, reason, self.now()).await?;
                continue;
            }
            self.shown_at = None;
            turns += 1;
            self.take_turn(mail, stop).await?;
        }
        self.rest(stop).await?;
        Ok(turns)
    }

    /// Says that it rests, or waits for its job. Written when it begins to rest and every half minute after: each time
    /// the mailbox was looked into and found empty, so an agent that hangs cannot seem to rest.
    async fn rest(&mut self, stop: &CancellationToken) -> Result<(), AgentError> {
        let now = self.now();
        if stop.is_cancelled() || self.shown_at.is_some_and(|shown| now.duration_since(shown) < SHOW_EVERY) {
            return Ok(());
        }
        let jobs = self.deps.tools.store.open_jobs().await?;
        let own = jobs.iter().find(|job| job.owner == self.caller.agent);
        let (activity, doing, job) = match own {
            Some(job) => (Activity::Waiting, format!("for job {} ({})", job.id, job.kind), Some(job.id)),
            None => (Activity::Idle, String::new(), None),
        };
        self.deps.tools.store.agent_progress(&self.caller.agent, activity, &doing, job, now).await?;
        self.shown_at = Some(now);
        Ok(())
    }

    async fn take_turn(&mut self, mail: MailRow, stop: &CancellationToken) -> Result<(), AgentError> {
        let store = self.deps.tools.store.clone();
        let begun = self.now();
        let turn_id =
            store.begin_turn(&self.caller.agent, self.brain.kind(), self.brain.model(), Some(mail.id), begun).await?;
        if self.brain.kind() == BrainKind::Playbook.as_str() {
            self.deps.tools.ledger.book_playbook_turn(&self.caller.agent, turn_id).await?;
        }
        let loop_id = self.loop_of(&mail.payload).await?;
        let cause = format!("mail-{}", mail.id);
        let ctx = ToolContext::new(
            self.deps.tools.clone(),
            self.caller.clone(),
            turn_id,
            loop_id,
            asker(&mail),
            cause.clone(),
        );
        let deps = self.deps.clone();
        let mut turn = Turn::new(&deps, &ctx, stop);
        let input = self.input(turn_id, &mail, loop_id).await?;
        let result = turn.think_and_do(self.brain.as_ref(), input.clone()).await;
        let result = match result {
            Ok(Outcome::NoBrain(error)) => self.deputise(&error, &mail, loop_id, input, stop, &mut turn).await,
            other => {
                self.told_outage = false;
                other
            }
        };
        let calls = u32::try_from(turn.transcript.len()).unwrap_or(u32::MAX);
        let said = match &result {
            Ok(Outcome::Done(note)) => format!("done: {note}"),
            Ok(Outcome::Bound(bound)) => format!("bound: {bound}"),
            Ok(Outcome::NoBrain(error)) => format!("no brain: {error}"),
            Ok(Outcome::Stopped) => "stopped".to_owned(),
            Err(error) => format!("broken: {error}"),
        };
        store.end_turn(turn_id, &said, calls, &turn.transcript_json(), self.now()).await?;
        match result? {
            Outcome::Stopped => {}
            Outcome::Done(_) | Outcome::Bound(_) | Outcome::NoBrain(_) => {
                store.finish_mail(mail.id, self.now()).await?;
            }
        }
        Ok(())
    }

    /// The brain has no answer: the playbook takes this turn, and the channel is told once per outage.
    async fn deputise(
        &mut self,
        error: &BrainError,
        mail: &MailRow,
        loop_id: Option<LoopId>,
        input: TurnInput,
        stop: &CancellationToken,
        failed: &mut Turn<'_>,
    ) -> Result<Outcome, AgentError> {
        let agent = self.caller.agent.clone();
        if !self.told_outage {
            let text = format!("{error}. The playbook answers in my place until that changes.");
            self.note(&text, &format!("mail-{}/outage", mail.id), loop_id).await?;
            self.told_outage = true;
        }
        let mut caller = self.caller.clone();
        caller.brain = Some(BrainKind::Playbook.as_str().to_owned());
        let cause = format!("mail-{}/deputy", mail.id);
        let ctx = ToolContext::new(self.deps.tools.clone(), caller, failed.ctx.turn, loop_id, asker(mail), cause);
        let deps = self.deps.clone();
        let mut turn = Turn::new(&deps, &ctx, stop);
        let outcome = turn.think_and_do(&PlaybookBrain, input).await;
        failed.transcript.append(&mut turn.transcript);
        tracing::info!(agent, "the playbook took the turn");
        outcome
    }

    async fn input(&self, turn: TurnId, mail: &MailRow, loop_id: Option<LoopId>) -> Result<TurnInput, AgentError> {
        let store = &self.deps.tools.store;
        let (state_card, recent) = if self.brain.reads_context() {
            let card = crate::tools::state_card(store, self.now()).await?;
            let mut recent = store.latest_messages(None, RECENT_MESSAGES).await?;
            recent.retain(|message| self.caller.channels.contains(&message.channel));
            (card, recent)
        } else {
            (Value::Null, Vec::new())
        };
        Ok(TurnInput {
            turn,
            agent: self.caller.agent.clone(),
            persona: self.caller.persona,
            mail: mail.clone(),
            loop_id,
            state_card,
            recent,
            tools: self.deps.registry.specs_for(self.caller.persona, &self.caller.tools),
            exchanges: Vec::new(),
        })
    }

    /// The loop that the mail is about, or the one that is open.
    async fn loop_of(&self, payload: &Value) -> Result<Option<LoopId>, StoreError> {
        let store = &self.deps.tools.store;
        if let Some(id) = payload["loop"].as_i64() {
            return Ok(Some(LoopId(id)));
        }
        if let Some(id) = payload["job"].as_i64() {
            return Ok(store.job(JobId(id)).await?.and_then(|job| job.loop_id));
        }
        if let Some(id) = payload["decision"].as_i64() {
            return Ok(store.decision(crate::base::DecisionId(id)).await?.map(|decision| decision.loop_id));
        }
        let Some(mission) = store.current_mission().await? else { return Ok(None) };
        let loops = store.loops_of(mission.id).await?;
        Ok(loops.iter().rev().find(|row| row.ending.is_none()).map(|row| row.id))
    }

    /// Texts between agents are counted; anything that a person or the loop caused clears the count.
    fn admit(&self, mail: &MailRow) -> bool {
        let mut guard = self.deps.guard.lock().unwrap_or_else(PoisonError::into_inner);
        let from_agent = |name: &str| self.caller.colleagues.iter().any(|colleague| colleague == name);
        let sender = match mail.kind {
            MailKind::Message => asker(mail).map(|asker| asker.name),
            MailKind::Handoff => mail.payload["from"].as_str().map(str::to_owned),
            MailKind::DecisionAsked | MailKind::JobEvent | MailKind::LoopEvent | MailKind::Order => None,
        };
        match sender {
            Some(from) if from_agent(&from) => guard.admit(&from, &self.caller.agent, self.now()),
            Some(_) | None => {
                guard.reset();
                true
            }
        }
    }

    async fn give_up(&self, mail: &MailRow) -> Result<(), AgentError> {
        let reason = format!("given up after {MOST_ATTEMPTS} attempts");
        self.deps.tools.store.abandon_mail(mail.id, &reason, self.now()).await?;
        let text = format!(
            "I could not deal with mail {} ({}) in {MOST_ATTEMPTS} attempts and put it aside. The turns' outcomes say why.",
            mail.id, mail.kind
        );
        self.note(&text, &format!("mail-{}/given-up", mail.id), None).await?;
        Ok(())
    }

    /// A line of the program's own under the agent's name.
    async fn note(&self, text: &str, dedup: &str, loop_id: Option<LoopId>) -> Result<(), StoreError> {
        let message = NewMessage {
            channel: "mission-control".to_owned(),
            author: self.caller.agent.clone(),
            author_kind: AuthorKind::Agent,
            brain: Some(BrainKind::Playbook.as_str().to_owned()),
            text: text.to_owned(),
            attachments: Vec::new(),
            loop_id,
            dedup: Some(dedup.to_owned()),
        };
        self.deps.tools.store.post(&message, self.now()).await?;
        Ok(())
    }

    fn now(&self) -> Timestamp {
        self.deps.tools.clock.now()
    }
}

/// The person behind a piece of mail, as the front put it there.
fn asker(mail: &MailRow) -> Option<Asker> {
    let asker = &mail.payload["asker"];
    let name = asker.as_str().or_else(|| asker["name"].as_str())?;
    Some(Asker { name: name.to_owned(), may_operate: asker["may_operate"].as_bool().unwrap_or(false) })
}
