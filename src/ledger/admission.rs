//! Reserving before a call, settling after it.

use super::budgets::day_before;
use super::{Budgets, CostReport, LedgerError, PriceBook};
use crate::base::{Clock, NanoUsd, Timestamp, TurnId};
use crate::llm::{LlmError, Usage};
use crate::store::{NewSpend, Reserve, Settlement, SpendLimit, SpendScope, Store};
use serde_json::Value;
use std::sync::Arc;

/// The name that the playbook's turns are booked under, as provider and as model.
const PLAYBOOK: &str = "playbook";

/// The ledger. Cheap to clone; clones share the store.
#[derive(Clone)]
pub struct Ledger {
    store: Store,
    prices: Arc<PriceBook>,
    budgets: Budgets,
    clock: Arc<dyn Clock>,
}

/// An amount that is held for one call. Give it back with [`Ledger::settle`] or [`Ledger::settle_failure`]; one that is
/// lost is booked whole at the next start.
#[derive(Debug, PartialEq, Eq)]
#[must_use = "what is held counts against the budgets until it is settled"]
pub struct Reservation {
    id: i64,
    model: String,
    amount: NanoUsd,
}

impl Reservation {
    /// What is held.
    pub fn amount(&self) -> NanoUsd {
        self.amount
    }
}

/// The answer to the wish to make a call.
#[derive(Debug, PartialEq, Eq)]
pub enum Admission {
    /// The call may be made.
    Granted(Reservation),
    /// It may not: it would break a budget.
    Refused(Refusal),
}

/// Which budget a call would break. Asking again is of no use until money comes free or a person raises the budget.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// The budget, in the words of the configuration.
    pub budget: &'static str,
    /// How much it is.
    pub limit: NanoUsd,
    /// What of it is spent, or held for calls that run.
    pub spent: NanoUsd,
    /// What the call could cost.
    pub wanted: NanoUsd,
}

impl std::fmt::Display for Refusal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Refusal { budget, limit, spent, wanted } = self;
        write!(f, "the call could cost {wanted}, but {spent} of the {limit} of {budget} are spent or held")
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
        Self { store, prices: Arc::new(prices), budgets, clock }
    }

    /// The budgets in force.
    pub fn budgets(&self) -> &Budgets {
        &self.budgets
    }

    /// Holds what a call can cost at most, if every budget allows it. Of calls that ask at once for the same last
    /// dollar, one gets it.
    ///
    /// # Errors
    /// A model without a price is an error, not a free model. See [`LedgerError`].
    pub async fn reserve(
        &self,
        agent: &str,
        turn: Option<TurnId>,
        model: &str,
        estimate_input_tokens: u64,
        max_output_tokens: u32,
    ) -> Result<Admission, LedgerError> {
        let amount = self.prices.most(model, None, estimate_input_tokens, u64::from(max_output_tokens))?;
        let provider = self.prices.provider(model)?;
        let at = self.clock.now();
        let mission_since = self.store.current_mission().await?.map(|mission| mission.created_at);
        let limits = self.budgets.limits(agent, mission_since, at);
        match self.store.reserve_within(&self.spend(agent, turn, provider, model, amount), &limits, at).await? {
            Reserve::Reserved { id } => Ok(Admission::Granted(Reservation { id, model: model.to_owned(), amount })),
            Reserve::Refused { limit, spent } => {
                let budget = budget_name(&limit, mission_since);
                Ok(Admission::Refused(Refusal { budget, limit: limit.amount, spent, wanted: amount }))
            }
        }
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
        let known = if raw.is_null() { None } else { self.prices.cost(&reservation.model, None, usage).ok() };
        let booked = Booked { amount: known.unwrap_or(reservation.amount), estimated: known.is_none() };
        self.book(&reservation, booked, usage, raw, response_id).await?;
        Ok(booked)
    }

    /// Books a call that gave no answer: nothing when it surely was not made or was refused, the whole reservation when
    /// it may be billed.
    ///
    /// # Errors
    /// Only the store's.
    pub async fn settle_failure(&self, reservation: Reservation, error: &LlmError) -> Result<Booked, LedgerError> {
        let booked = if error.may_be_billed() {
            Booked { amount: reservation.amount, estimated: true }
        } else {
            Booked { amount: NanoUsd::ZERO, estimated: false }
        };
        self.book(&reservation, booked, &Usage::default(), &Value::Null, None).await?;
        Ok(booked)
    }

    /// Books a turn of the playbook: a row all the same, at no tokens and no cost.
    ///
    /// # Errors
    /// Only the store's.
    pub async fn book_playbook_turn(&self, agent: &str, turn: TurnId) -> Result<(), LedgerError> {
        let new = self.spend(agent, Some(turn), PLAYBOOK, PLAYBOOK, NanoUsd::ZERO);
        let free = Booked { amount: NanoUsd::ZERO, estimated: false };
        match self.store.reserve_within(&new, &[], self.clock.now()).await? {
            Reserve::Reserved { id } => {
                let reservation = Reservation { id, model: PLAYBOOK.to_owned(), amount: NanoUsd::ZERO };
                self.book(&reservation, free, &Usage::default(), &Value::Null, None).await
            }
            // Without limits nothing is refused.
            Reserve::Refused { .. } => Ok(()),
        }
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

    /// Who spent what since a moment.
    ///
    /// # Errors
    /// Only the store's.
    pub async fn cost_report(&self, since: Timestamp) -> Result<CostReport, LedgerError> {
        Ok(CostReport { since, rows: self.store.spend_by_agent(since).await? })
    }

    /// What the whole team may still spend before its budget for 24 hours is used up.
    ///
    /// # Errors
    /// Only the store's.
    pub async fn left_today(&self) -> Result<NanoUsd, LedgerError> {
        let spent = self.store.spent(&SpendScope::Everyone, day_before(self.clock.now())).await?;
        Ok(NanoUsd(self.budgets.total_per_day.0.saturating_sub(spent.0).max(0)))
    }

    fn spend(&self, agent: &str, turn: Option<TurnId>, provider: &str, model: &str, reserved: NanoUsd) -> NewSpend {
        NewSpend {
            agent: agent.to_owned(),
            turn_id: turn,
            provider: provider.to_owned(),
            model: model.to_owned(),
            purpose: "turn".to_owned(),
            reserved,
            price_version: self.prices.version().to_owned(),
        }
    }

    async fn book(
        &self,
        reservation: &Reservation,
        booked: Booked,
        usage: &Usage,
        raw: &Value,
        response_id: Option<&str>,
    ) -> Result<(), LedgerError> {
        let settlement = Settlement {
            settled: booked.amount,
            uncached_input: usage.uncached_input,
            cache_read: usage.cache_read,
            cache_write_5m: usage.cache_write_5m,
            cache_write_1h: usage.cache_write_1h,
            output: usage.output,
            raw_usage: (!raw.is_null()).then(|| raw.clone()),
            estimated: booked.estimated,
            response_id: response_id.map(str::to_owned),
        };
        self.store.settle(reservation.id, &settlement, self.clock.now()).await?;
        Ok(())
    }
}

fn budget_name(limit: &SpendLimit, mission_since: Option<Timestamp>) -> &'static str {
    match &limit.scope {
        SpendScope::Agent(_) => "per_agent_per_day_usd",
        SpendScope::Everyone if Some(limit.since) == mission_since => "total_per_mission_usd",
        SpendScope::Everyone => "total_per_day_usd",
    }
}

#[cfg(test)]
mod tests;
