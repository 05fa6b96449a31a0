//! `/cost` and `/budget`, and the posts about costs: after each loop and each day.

use super::costs::{CostOverview, Span, cost_of};
use super::parse::BudgetRequest;
use super::reports::draw;
use super::{Asker, CommandError, Commands, Reply};
use crate::base::{NanoUsd, Timestamp};
use crate::ledger::{Axis, BudgetKey};
use crate::report::cost_chart;
use crate::store::{AuthorKind, NewMessage};
use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// How often it is looked whether a post is due.
const EVERY: Duration = Duration::from_secs(20);

impl Commands {
    pub(super) async fn cost(&self, axis: Option<Axis>) -> Result<Reply, CommandError> {
        let span = if axis == Some(Axis::Day) { Span::Since(Timestamp::UNIX_EPOCH) } else { Span::Mission };
        let overview = CostOverview::read(&self.store, span, self.now()).await?;
        if overview.is_empty() {
            return Ok(Reply::open("Nothing spent: no agent has thought yet."));
        }
        self.cost_reply(&overview, axis.unwrap_or(Axis::Agent)).await
    }

    async fn cost_reply(&self, overview: &CostOverview, axis: Axis) -> Result<Reply, CommandError> {
        let mut reply = Reply::open(overview.text(axis));
        let (bar, names, bars) = overview.bars(axis);
        let dollars: f64 = bars.iter().flat_map(|bar| &bar.usd).sum();
        if dollars > 0.0 {
            let note = overview.note();
            let alt = format!("Dollars by {bar}, stacked by {}: {note}", names.join(", "));
            let chart = draw(move || cost_chart(&note, bar, &names, &bars)).await?;
            reply.attachments.push(self.keep_chart("cost.png", alt, chart).await?);
        }
        Ok(reply)
    }

    pub(super) async fn budget(&self, asker: &Asker, request: BudgetRequest) -> Result<Reply, CommandError> {
        let now = self.now();
        match request {
            BudgetRequest::Show => self.show_budgets().await,
            BudgetRequest::Set { key, amount } => {
                self.store.set_budget(key.as_str(), Some(amount), &asker.name, now).await?;
                tracing::info!(key = key.as_str(), %amount, by = asker.id, front = asker.front, "budget set");
                Ok(Reply::open(format!("`{}` is {amount} now, set by {}.", key.as_str(), asker.name)))
            }
            BudgetRequest::Reset { key } => {
                self.store.set_budget(key.as_str(), None, &asker.name, now).await?;
                tracing::info!(key = key.as_str(), by = asker.id, front = asker.front, "budget given back");
                let amount = self.budgets.amount(key);
                Ok(Reply::open(format!("`{}` is {amount} again, as configured.", key.as_str())))
            }
            BudgetRequest::Release { agent } => {
                if self.store.release_hold(&agent, &asker.name, now).await? {
                    tracing::info!(agent, by = asker.id, front = asker.front, "hold released");
                    return Ok(Reply::open(format!("{agent} may ask again; its budgets are as they were.")));
                }
                Err(CommandError::Refused(format!(
                    "{} is not on hold; `/budget show` lists who is",
                    super::words::plain(&agent)
                )))
            }
        }
    }

    async fn show_budgets(&self) -> Result<Reply, CommandError> {
        let overrides = self.store.budget_overrides().await?;
        let day = self.budgets.day_zone.day(self.now());
        let mission = self.store.current_mission().await?;
        let open = match &mission {
            Some(mission) => self.store.loops_of(mission.id).await?.into_iter().find(|row| row.ending.is_none()),
            None => None,
        };
        let mut text = "| budget | amount | spent and held | source |\n|---|---:|---:|---|\n".to_owned();
        for key in BudgetKey::ALL {
            let set = overrides.iter().find(|row| row.key == key.as_str());
            let (amount, source) = match set.and_then(|row| Some((row.amount?, row))) {
                Some((amount, row)) => (amount, format!("{}, {:.0}", row.set_by, row.set_at)),
                None => (self.budgets.amount(key), "agents.toml".to_owned()),
            };
            let spent = match (key, &mission, &open) {
                (BudgetKey::TotalPerDay, ..) => Some(self.store.spent_in("team-day", &day).await?),
                (BudgetKey::TotalPerMission, Some(row), _) => {
                    Some(self.store.spent_in("mission", &row.id.to_string()).await?)
                }
                (BudgetKey::PerLoop, _, Some(row)) => Some(self.store.spent_in("loop", &row.id.to_string()).await?),
                (
                    BudgetKey::TotalPerMission
                    | BudgetKey::PerLoop
                    | BudgetKey::PerAgentPerDay
                    | BudgetKey::PerWatchdogCall,
                    ..,
                ) => None,
            };
            let spent = spent.map_or("–".to_owned(), |spent: NanoUsd| spent.to_string());
            text += &format!("| `{}` | {amount} | {spent} | {source} |\n", key.as_str());
        }
        text += &format!("The day is {day} in {}.\n", self.budgets.day_zone.name());
        for hold in self.store.holds().await? {
            text += &format!(
                "**{}** makes no calls since {:.0}: `{}` of {} ({}).\n",
                hold.agent, hold.held_at, hold.source, hold.amount, hold.window
            );
        }
        Ok(Reply::open(text.trim_end()))
    }

    /// Posts what each loop and each day cost, once, until `stop`.
    pub async fn post_costs(self, stop: CancellationToken) {
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                () = tokio::time::sleep(EVERY) => {}
            }
            if let Err(error) = self.post_due_costs().await {
                tracing::warn!(%error, "the costs were not posted; it is tried again");
            }
        }
    }

    /// Posts what is due now: closed loops of the newest mission, and the day that ended.
    ///
    /// # Errors
    /// When the store fails or a chart cannot be kept.
    pub async fn post_due_costs(&self) -> Result<(), CommandError> {
        let Some(summary) = self.mission().await? else { return Ok(()) };
        for one in summary.loops.iter().filter(|one| one.ending.is_some()) {
            let dedup = format!("cost/loop/{}", one.id);
            if cost_of(one) == NanoUsd::ZERO || self.store.is_posted(&dedup).await? {
                continue;
            }
            let head = format!(
                "**Loop {} cost {}**: model calls {}, machines {} in {:.1} minutes.\n",
                one.number,
                cost_of(one),
                one.spent,
                one.machine,
                one.minutes
            );
            let overview = CostOverview::read(&self.store, Span::Mission, self.now()).await?;
            self.post_cost(&head, &self.cost_reply(&overview, Axis::Agent).await?, dedup).await?;
        }
        let yesterday = self.budgets.day_zone.day(self.now() - Duration::from_secs(24 * 3_600));
        let spent = self.store.spent_in("team-day", &yesterday).await?;
        let dedup = format!("cost/day/{yesterday}");
        if spent > NanoUsd::ZERO && !self.store.is_posted(&dedup).await? {
            let overview = CostOverview::read(&self.store, Span::Since(Timestamp::UNIX_EPOCH), self.now()).await?;
            let head = format!("**{yesterday}: {spent} for model calls**\n");
            self.post_cost(&head, &self.cost_reply(&overview, Axis::Day).await?, dedup).await?;
        }
        Ok(())
    }

    async fn post_cost(&self, head: &str, reply: &Reply, dedup: String) -> Result<(), CommandError> {
        let new = NewMessage {
            channel: "reports".to_owned(),
            author: "ledger".to_owned(),
            author_kind: AuthorKind::System,
            brain: None,
            text: format!("{head}{}", reply.text),
            attachments: reply.attachments.clone(),
            loop_id: None,
            dedup: Some(dedup),
        };
        self.store.post(&new, self.now()).await?;
        Ok(())
    }
}
