//! Reserving before a call, settling after it.

use super::notices::{refusal_text, remedy, words};
use super::{Budgets, LedgerError, PriceBook};
use crate::base::{Clock, NanoUsd, TurnId};
use crate::llm::{Api, LlmError, Usage};
use crate::store::{BudgetScope, Limit, NewSpend, Reserve, Settlement, Store, Wish, Words};
use serde_json::Value;
use std::sync::Arc;

/// The name that the playbook's turns are booked under, as provider and as model.
const PLAYBOOK: &str = "playbook";

/// The ledger. Cheap to clone; clones share the store.
#[derive(Clone)]
pub struct Ledger {
    store: Store,
    prices: Arc<PriceBook>,
    budgets: Arc<Budgets>,
    words: Words,
    clock: Arc<dyn Clock>,
}

/// What a call is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// A turn of an agent.
    Turn,
    /// The watchdog thinks; each of its calls has a budget of its own.
    Watchdog,
}

impl Purpose {
    fn as_str(self) -> &'static str {
        match self {
            Purpose::Turn => "turn",
            Purpose::Watchdog => "watchdog",
        }
    }
}

/// A call that somebody wishes to make.
#[derive(Debug, Clone, Copy)]
pub struct Call<'a> {
    /// Who.
    pub agent: &'a str,
    /// In which turn.
    pub turn: Option<TurnId>,
    /// What for.
    pub purpose: Purpose,
    /// The model.
    pub model: &'a str,
    /// The tier of service that is asked for; none is the list price.
    pub tier: Option<&'a str>,
    /// The tokens of its input, estimated high.
    pub input_tokens: u64,
    /// The most tokens of its answer.
    pub max_output_tokens: u32,
}

impl<'a> Call<'a> {
    /// A call of a turn, at the list price.
    pub fn of_turn(
        agent: &'a str,
        turn: Option<TurnId>,
        model: &'a str,
        input_tokens: u64,
        max_output_tokens: u32,
    ) -> Self {
        Self { agent, turn, purpose: Purpose::Turn, model, tier: None, input_tokens, max_output_tokens }
    }
}

/// An amount that is held for one call. Give it back with [`Ledger::settle`] or [`Ledger::settle_failure`]; one that is
/// lost is booked whole at the next start.
#[must_use = "what is held counts against the budgets until it is settled"]
pub struct Reservation {
    id: i64,
    model: String,
    tier: Option<String>,
    amount: NanoUsd,
    limits: Vec<Limit>,
    /// The list that the row names.
    prices: Arc<PriceBook>,
}

impl std::fmt::Debug for Reservation {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Reservation {} of {} for {}", self.id, self.amount, self.model)
    }
}

impl Reservation {
    /// What is held.
    pub fn amount(&self) -> NanoUsd {
        self.amount
    }
}

/// The answer to the wish to make a call.
#[derive(Debug)]
pub enum Admission {
    /// The call may be made.
    Granted(Reservation),
    /// It may not: it would break a budget, or the agent was refused before.
    Refused(Refusal),
}

/// Which budget a call would break. Until the window or a person changes that, the agent is refused without a look.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// What the budget counts.
    pub scope: BudgetScope,
    /// The window it counts in: `day 2026-11-24`, `loop 7`, `mission 3`, `call`.
    pub window: String,
    /// The key of the configuration.
    pub source: &'static str,
    /// How much it is.
    pub limit: NanoUsd,
    /// What of it was spent, or held for calls that ran.
    pub spent: NanoUsd,
    /// What the refused call could have cost.
    pub wanted: NanoUsd,
    /// Whether an earlier call was refused and this one not even looked at.
    pub already: bool,
    /// What a person can do.
    pub remedy: String,
    text: String,
}

impl std::fmt::Display for Refusal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.text)
    }
}

/// What a call was booked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Booked {
    /// The amount.
    pub amount: NanoUsd,
    /// Whether it is an estimate: the provider did not say, or has no price for what it said.
    pub estimated: bool,
}

impl Ledger {
    /// A ledger over `store`.
    pub fn new(store: Store, prices: PriceBook, budgets: Budgets, clock: Arc<dyn Clock>) -> Self {
        let words = words(&budgets.day_zone);
        Self { store, prices: Arc::new(prices), budgets: Arc::new(budgets), words, clock }
    }

    /// The budgets as configured.
    pub fn budgets(&self) -> &Budgets {
        &self.budgets
    }

    /// Holds what a call can cost at most, if every budget allows it and the agent is not on hold. Of calls that ask at
    /// once for the same last dollar, one gets it.
    ///
    /// # Errors
    /// A model without a price is an error, not a free model. See [`LedgerError`].
    pub async fn reserve(&self, call: &Call<'_>) -> Result<Admission, LedgerError> {
        let output = u64::from(call.max_output_tokens);
        let amount = self.prices.most(call.model, call.tier, call.input_tokens, output)?;
        let provider = self.prices.provider(call.model)?;
        let limits = self.budgets.limits(call.purpose == Purpose::Watchdog);
        let new = NewSpend {
            turn_id: call.turn,
            purpose: call.purpose.as_str().to_owned(),
            tier: call.tier.map(str::to_owned),
            reserved: amount,
            estimate_input: call.input_tokens,
            max_output: output,
            ..self.row(call.agent, provider, call.model)
        };
        let wish = Wish { new, limits: limits.clone(), words: Arc::clone(&self.words) };
        Ok(match self.store.reserve_within(wish, self.clock.now()).await? {
            Reserve::Reserved { id } => Admission::Granted(Reservation {
                id,
                model: call.model.to_owned(),
                tier: call.tier.map(str::to_owned),
                amount,
                limits,
                prices: Arc::clone(&self.prices),
            }),
            Reserve::Refused(refused) => Admission::Refused(Refusal {
                text: refusal_text(call.agent, &refused, self.budgets.day_zone.name()),
                remedy: remedy(&refused.limit),
                scope: refused.limit.scope,
                window: refused.window,
                source: refused.limit.key,
                limit: refused.limit.amount,
                spent: refused.spent,
                wanted: refused.wanted,
                already: refused.already,
            }),
        })
    }

    /// Books what a call came to. `raw` is the usage as the provider wrote it, `null` when it did not say: the whole
    /// reservation is booked then, as an estimate, as it is for usage without a known price.
    ///
    /// # Errors
    /// Only the store's.
    pub async fn settle(
        &self,
        reservation: Reservation,
        usage: &Usage,
        raw: &Value,
        response_id: Option<&str>,
    ) -> Result<Booked, LedgerError> {
        let tier = reservation.tier.as_deref().filter(|_| raw["service_tier"].is_null());
        let known =
            if raw.is_null() { None } else { reservation.prices.cost_of_raw(&reservation.model, None, tier, raw).ok() };
        let mut settlement = Settlement {
            raw_usage: (!raw.is_null()).then(|| raw.clone()),
            response_id: response_id.map(str::to_owned),
            tier: reservation.tier.clone(),
            ..estimate(reservation.amount, usage)
        };
        if let Some((billed, cost)) = known {
            let provider = reservation.prices.provider(&reservation.model).unwrap_or_default();
            settlement = Settlement {
                settled: cost.total().rounded_up(),
                web_searches: billed.web_searches,
                fees: cost.web_search.rounded_up(),
                api: Some(Api::of_shape(provider, raw).as_str().to_owned()),
                estimated: false,
                raw_usage: settlement.raw_usage,
                response_id: settlement.response_id,
                tier: billed.tier,
                ..estimate(NanoUsd::ZERO, &billed.usage)
            };
        }
        let booked = Booked { amount: settlement.settled, estimated: settlement.estimated };
        self.book(reservation, settlement).await?;
        Ok(booked)
    }

    /// Books a call that gave no answer: nothing when it surely was not made or was refused, the whole reservation when
    /// it may be billed.
    ///
    /// # Errors
    /// Only the store's.
    pub async fn settle_failure(&self, reservation: Reservation, error: &LlmError) -> Result<Booked, LedgerError> {
        let mut settlement =
            Settlement { tier: reservation.tier.clone(), ..estimate(reservation.amount, &Usage::default()) };
        if !error.may_be_billed() {
            settlement.settled = NanoUsd::ZERO;
            settlement.estimated = false;
        }
        let booked = Booked { amount: settlement.settled, estimated: settlement.estimated };
        self.book(reservation, settlement).await?;
        Ok(booked)
    }

    /// Books a turn of the playbook: a row all the same, at no tokens and no cost.
    ///
    /// # Errors
    /// Only the store's.
    pub async fn book_playbook_turn(&self, agent: &str, turn: TurnId) -> Result<(), LedgerError> {
        let new = NewSpend { turn_id: Some(turn), ..self.row(agent, PLAYBOOK, PLAYBOOK) };
        Ok(self.store.book_free(&new, self.clock.now()).await?)
    }

    /// Books what an earlier process reserved and never settled, each reservation whole, as an estimate: its call may
    /// have been billed. To be called at start, before the first call. How many there were.
    ///
    /// # Errors
    /// Only the store's.
    pub async fn recover(&self) -> Result<usize, LedgerError> {
        let now = self.clock.now();
        Ok(self.store.expire_reservations(now, now).await?.len())
    }

    /// What the whole team may still spend before its configured budget for this day is used up.
    ///
    /// # Errors
    /// Only the store's.
    pub async fn left_today(&self) -> Result<NanoUsd, LedgerError> {
        let day = self.budgets.day_zone.day(self.clock.now());
        let spent = self.store.spent_in("team-day", &day).await?;
        Ok(NanoUsd(self.budgets.total_per_day.0.saturating_sub(spent.0).max(0)))
    }

    fn row(&self, agent: &str, provider: &str, model: &str) -> NewSpend {
        NewSpend {
            agent: agent.to_owned(),
            turn_id: None,
            provider: provider.to_owned(),
            model: model.to_owned(),
            purpose: Purpose::Turn.as_str().to_owned(),
            tier: None,
            reserved: NanoUsd::ZERO,
            estimate_input: 0,
            max_output: 0,
            day: self.budgets.day_zone.day(self.clock.now()),
            price_version: self.prices.version().to_owned(),
        }
    }

    async fn book(&self, reservation: Reservation, settlement: Settlement) -> Result<(), LedgerError> {
        let (words, now) = (Arc::clone(&self.words), self.clock.now());
        self.store.settle(reservation.id, settlement, reservation.limits, words, now).await?;
        Ok(())
    }
}

/// A booking at an amount that nobody confirmed.
fn estimate(amount: NanoUsd, usage: &Usage) -> Settlement {
    Settlement {
        settled: amount,
        uncached_input: usage.uncached_input,
        cache_read: usage.cache_read,
        cache_write_5m: usage.cache_write_5m,
        cache_write_1h: usage.cache_write_1h,
        output: usage.output,
        web_searches: 0,
        fees: NanoUsd::ZERO,
        api: None,
        tier: None,
        raw_usage: None,
        estimated: true,
        response_id: None,
    }
}

#[cfg(test)]
mod tests;
