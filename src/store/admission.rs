//! Holding and booking money for many at once. The check of every budget, the hold that a refusal leaves, and the new row
//! are one transaction, so one remaining dollar is given away once.
//!
//! Callers that come together share a transaction: what waits when the writer is free is carried out in one go and put on
//! disk once, in the order in which it came. A wish that fails brings its companions down with the transaction; each is
//! then carried out alone.

use super::budgets::effective;
use super::column::{count, ms};
use super::messages::insert_message;
use super::spend::book;
use super::{Change, NewMessage, NewSpend, Settlement, Store, StoreError};
use crate::base::{LoopId, MissionId, NanoUsd, Stage, Timestamp};
use sqlx::SqliteConnection;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use tokio::sync::oneshot;

/// Most wishes in one transaction: nobody waits for more companions than this.
const MOST_TOGETHER: usize = 64;
/// Shares of a budget, in percent, that people are told of once.
const LEVELS: [i64; 3] = [100, 80, 50];

/// What a budget counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum BudgetScope {
    /// The whole team's spend on a calendar day.
    TeamDay,
    /// One agent's spend on a calendar day.
    AgentDay,
    /// The spend in one loop.
    Loop,
    /// The spend in one mission.
    Mission,
    /// A single call.
    Call,
}

/// A budget: what counts may not exceed `amount`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limit {
    /// What counts.
    pub scope: BudgetScope,
    /// The key of the configuration it comes from; people may set another amount under this key.
    pub key: &'static str,
    /// How much it may be.
    pub amount: NanoUsd,
    /// Who set this amount in place of the configuration.
    pub set_by: Option<String>,
}

/// A wish to spend, with the budgets it must fit in, and the words for what people are to be told.
#[derive(Clone)]
pub struct Wish {
    /// The row to make.
    pub new: NewSpend,
    /// The budgets, as configured.
    pub limits: Vec<Limit>,
    /// What is written into the channel.
    pub words: Words,
}

/// Finds the words for a notice.
pub type Words = Arc<dyn Fn(&Notice) -> NewMessage + Send + Sync>;

/// What people are told once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Notice {
    /// So much of a budget is used.
    Used {
        /// Percent: 50, 80 or 100.
        percent: i64,
        /// The budget.
        limit: Limit,
        /// The window it counts in: `day 2026-11-24`, `loop 7`.
        window: String,
        /// Whose it is; none is the team's.
        agent: Option<String>,
        /// What is spent and held.
        spent: NanoUsd,
    },
    /// An agent was refused and makes no further call for now.
    Held {
        /// The agent.
        agent: String,
        /// The refusal.
        refused: Refused,
    },
}

/// Why an amount is not held.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refused {
    /// The number of the hold on the agent.
    pub hold: i64,
    /// Whether the agent was on hold already: nothing was looked at then.
    pub already: bool,
    /// The budget.
    pub limit: Limit,
    /// The window it counts in.
    pub window: String,
    /// What counted against it when it refused: booked, and held for calls that run.
    pub spent: NanoUsd,
    /// What the refused call could have cost.
    pub wanted: NanoUsd,
}

/// The answer to a wish to spend.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reserve {
    /// The amount is held.
    Reserved {
        /// The row's number.
        id: i64,
    },
    /// It does not fit.
    Refused(Refused),
}

/// What waits for the next transaction. Clones share it.
#[derive(Clone, Default)]
pub(super) struct Queue(Arc<Mutex<Waiting>>);

#[derive(Default)]
struct Waiting {
    orders: Vec<Order>,
    /// Whether somebody carries them out.
    attended: bool,
}

impl std::fmt::Debug for Queue {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Queue")
    }
}

enum Order {
    Reserve(Box<Wish>, Timestamp, oneshot::Sender<Result<Reserve, StoreError>>),
    Settle(Box<Booking>, Timestamp, oneshot::Sender<Result<bool, StoreError>>),
}

struct Booking {
    id: i64,
    settlement: Settlement,
    limits: Vec<Limit>,
    words: Words,
}

/// What every order of a transaction sees alike.
struct Moment {
    mission: Option<MissionId>,
    loop_id: Option<LoopId>,
    stage: Option<Stage>,
    overrides: BTreeMap<String, (NanoUsd, String)>,
}

enum Done {
    Reserve(Reserve),
    Settle(bool),
}

impl Store {
    /// Holds an amount when it fits within every budget and the agent is not on hold. A refusal puts it on hold.
    pub async fn reserve_within(&self, wish: Wish, at: Timestamp) -> Result<Reserve, StoreError> {
        let (tell, told) = oneshot::channel();
        self.order(Order::Reserve(Box::new(wish), at, tell));
        told.await.map_err(|_| sqlx::Error::WorkerCrashed)?
    }

    /// Books what a call came to, and tells people when that is much of a budget. A reservation that expired meanwhile is
    /// corrected. False when nothing was booked: the row was settled before, or the same answer is booked in another row;
    /// this one is released at nothing then.
    pub async fn settle(
        &self,
        id: i64,
        settlement: Settlement,
        limits: Vec<Limit>,
        words: Words,
        at: Timestamp,
    ) -> Result<bool, StoreError> {
        let (tell, told) = oneshot::channel();
        self.order(Order::Settle(Box::new(Booking { id, settlement, limits, words }), at, tell));
        told.await.map_err(|_| sqlx::Error::WorkerCrashed)?
    }

    /// Books a turn that costs nothing: a row all the same.
    pub async fn book_free(&self, new: &NewSpend, at: Timestamp) -> Result<(), StoreError> {
        let mut tx = self.immediate().await?;
        let moment = moment(&mut tx).await?;
        let id = insert(&mut tx, new, &moment, at).await?;
        sqlx::query!("UPDATE spend SET state = 'settled', settled = 0, settled_at = ? WHERE id = ?", ms(at), id)
            .execute(&mut *tx)
            .await?;
        tx.commit().await?;
        self.changed(Change::Ledger);
        Ok(())
    }

    /// Puts an order into the queue, and sees to it that somebody attends to it. Nobody waits for that task but by the
    /// answers: a caller who goes away cannot leave the others' transaction half done.
    fn order(&self, order: Order) {
        let mut waiting = self.admissions.0.lock().unwrap_or_else(PoisonError::into_inner);
        waiting.orders.push(order);
        if !waiting.attended {
            waiting.attended = true;
            let attendant = Attendant { store: self.clone(), finished: false };
            tokio::spawn(async move { attendant.run().await });
        }
    }

    async fn carry_out_together(&self, orders: &[Order]) -> Result<(Vec<Done>, bool), StoreError> {
        let mut tx = self.immediate().await?;
        let moment = moment(&mut tx).await?;
        let (mut done, mut posted) = (Vec::with_capacity(orders.len()), false);
        for order in orders {
            done.push(match order {
                Order::Reserve(wish, at, _) => Done::Reserve(reserve(&mut tx, wish, &moment, *at, &mut posted).await?),
                Order::Settle(booking, at, _) => {
                    Done::Settle(settle(&mut tx, booking, &moment, *at, &mut posted).await?)
                }
            });
        }
        tx.commit().await?;
        Ok((done, posted))
    }
}

/// Carries out what waits until nothing does.
struct Attendant {
    store: Store,
    /// Whether it saw that nothing waits any more; only then may the next caller's attendant have begun.
    finished: bool,
}

impl Attendant {
    async fn run(mut self) {
        loop {
            let orders: Vec<Order> = {
                let mut waiting = self.store.admissions.0.lock().unwrap_or_else(PoisonError::into_inner);
                if waiting.orders.is_empty() {
                    waiting.attended = false;
                    self.finished = true;
                    return;
                }
                let most = waiting.orders.len().min(MOST_TOGETHER);
                waiting.orders.drain(..most).collect()
            };
            match self.store.carry_out_together(&orders).await {
                Ok(outcome) => self.answer(orders, outcome),
                Err(error) if orders.len() == 1 => fail(orders, error),
                Err(_) => {
                    for order in orders {
                        let alone = vec![order];
                        match self.store.carry_out_together(&alone).await {
                            Ok(outcome) => self.answer(alone, outcome),
                            Err(error) => fail(alone, error),
                        }
                    }
                }
            }
        }
    }

    fn answer(&self, orders: Vec<Order>, (done, posted): (Vec<Done>, bool)) {
        self.store.changed(Change::Ledger);
        if posted {
            self.store.changed(Change::Message);
        }
        for (order, done) in orders.into_iter().zip(done) {
            // A caller who went away does not listen; what was done stands in its row.
            match (order, done) {
                (Order::Reserve(_, _, tell), Done::Reserve(answer)) => drop(tell.send(Ok(answer))),
                (Order::Settle(_, _, tell), Done::Settle(answer)) => drop(tell.send(Ok(answer))),
                (Order::Reserve(..), Done::Settle(_)) | (Order::Settle(..), Done::Reserve(_)) => {}
            }
        }
    }
}

impl Drop for Attendant {
    /// When the program stops, or an order made it fail: whoever waits is told so, and who comes next begins anew.
    fn drop(&mut self) {
        if self.finished {
            return;
        }
        let mut waiting = self.store.admissions.0.lock().unwrap_or_else(PoisonError::into_inner);
        waiting.attended = false;
        waiting.orders.clear();
    }
}

fn fail(orders: Vec<Order>, error: StoreError) {
    if let Some(order) = orders.into_iter().next() {
        match order {
            Order::Reserve(_, _, tell) => drop(tell.send(Err(error))),
            Order::Settle(_, _, tell) => drop(tell.send(Err(error))),
        }
    }
}

/// The mission, the loop and its stage now, and what people set.
async fn moment(connection: &mut SqliteConnection) -> Result<Moment, StoreError> {
    let row = sqlx::query!(
        r#"SELECT missions.id AS "mission?: MissionId", loops.id AS "loop_id?: LoopId",
            (SELECT stage FROM decisions WHERE loop_id = loops.id ORDER BY id DESC LIMIT 1) AS "stage?: Stage"
        FROM missions LEFT JOIN loops ON loops.mission_id = missions.id AND loops.ending IS NULL
        WHERE missions.state IN ('running', 'paused') ORDER BY missions.id DESC, loops.id DESC LIMIT 1"#
    )
    .fetch_optional(&mut *connection)
    .await?;
    let overrides = effective(connection).await?;
    Ok(match row {
        Some(row) => Moment { mission: row.mission, loop_id: row.loop_id, stage: row.stage, overrides },
        None => Moment { mission: None, loop_id: None, stage: None, overrides },
    })
}

impl Moment {
    /// The budget with the amount that holds now.
    fn in_force(&self, limit: &Limit) -> Limit {
        match self.overrides.get(limit.key) {
            Some((amount, by)) => Limit { amount: *amount, set_by: Some(by.clone()), ..limit.clone() },
            None => limit.clone(),
        }
    }
}

/// The window of a row that a budget counts in, in words; none when there is no such window now.
fn window_of(scope: BudgetScope, day: &str, loop_id: Option<LoopId>, mission: Option<MissionId>) -> Option<String> {
    match scope {
        BudgetScope::TeamDay | BudgetScope::AgentDay => Some(format!("day {day}")),
        BudgetScope::Loop => loop_id.map(|id| format!("loop {id}")),
        BudgetScope::Mission => mission.map(|id| format!("mission {id}")),
        BudgetScope::Call => Some("call".to_owned()),
    }
}

async fn reserve(
    connection: &mut SqliteConnection,
    wish: &Wish,
    moment: &Moment,
    at: Timestamp,
    posted: &mut bool,
) -> Result<Reserve, StoreError> {
    let Wish { new, limits, words } = wish;
    let agent_day = format!("{} {}", new.agent, new.day);
    let row = sqlx::query!(
        r#"SELECT
            (SELECT spent FROM spend_totals WHERE scope = 'team-day' AND name = ?1) AS "team?: NanoUsd",
            (SELECT spent FROM spend_totals WHERE scope = 'agent-day' AND name = ?2) AS "agent?: NanoUsd",
            (SELECT spent FROM spend_totals WHERE scope = 'loop' AND name = CAST(?3 AS TEXT)) AS "in_loop?: NanoUsd",
            (SELECT spent FROM spend_totals WHERE scope = 'mission' AND name = CAST(?4 AS TEXT)) AS "in_mission?: NanoUsd",
            holds.id AS "hold?", holds.source AS "source?", holds.window AS "window?", holds.amount AS "amount?: NanoUsd",
            holds.spent AS "spent?: NanoUsd", holds.wanted AS "wanted?: NanoUsd"
        FROM (SELECT 1) LEFT JOIN holds ON holds.agent = ?5 AND holds.released_at IS NULL"#,
        new.day,
        agent_day,
        moment.loop_id,
        moment.mission,
        new.agent
    )
    .fetch_one(&mut *connection)
    .await?;
    let of = |limit: &Limit| window_of(limit.scope, &new.day, moment.loop_id, moment.mission);
    if let (Some(hold), Some(source)) = (row.hold, &row.source) {
        let still = limits.iter().filter(|limit| limit.key == source.as_str()).map(|limit| moment.in_force(limit));
        let still = still.into_iter().find(|limit| of(limit) == row.window && Some(limit.amount) == row.amount);
        if let (Some(limit), Some(window)) = (still, row.window) {
            let (spent, wanted) = (row.spent.unwrap_or_default(), row.wanted.unwrap_or_default());
            return Ok(Reserve::Refused(Refused { hold, already: true, limit, window, spent, wanted }));
        }
        release(connection, hold, "the window or the budget changed", at).await?;
    }
    for limit in limits.iter().map(|limit| moment.in_force(limit)) {
        let Some(window) = of(&limit) else { continue };
        let spent = match limit.scope {
            BudgetScope::TeamDay => row.team,
            BudgetScope::AgentDay => row.agent,
            BudgetScope::Loop => row.in_loop,
            BudgetScope::Mission => row.in_mission,
            BudgetScope::Call => None,
        };
        let spent = spent.unwrap_or_default();
        if spent.saturating_add(new.reserved) > limit.amount {
            let refused = Refused { hold: 0, already: false, limit, window, spent, wanted: new.reserved };
            *posted = true;
            return Ok(Reserve::Refused(hold(connection, &new.agent, refused, words, at).await?));
        }
    }
    Ok(Reserve::Reserved { id: insert(connection, new, moment, at).await? })
}

/// Puts the agent on hold, and tells people.
async fn hold(
    connection: &mut SqliteConnection,
    agent: &str,
    refused: Refused,
    words: &Words,
    at: Timestamp,
) -> Result<Refused, StoreError> {
    let done = sqlx::query!(
        "INSERT INTO holds (agent, source, window, amount, spent, wanted, held_at) VALUES (?, ?, ?, ?, ?, ?, ?)",
        agent,
        refused.limit.key,
        refused.window,
        refused.limit.amount,
        refused.spent,
        refused.wanted,
        ms(at)
    )
    .execute(&mut *connection)
    .await?;
    let refused = Refused { hold: done.last_insert_rowid(), ..refused };
    let notice = Notice::Held { agent: agent.to_owned(), refused: refused.clone() };
    insert_message(connection, &words(&notice), at).await?;
    Ok(refused)
}

/// Ends a hold.
pub(super) async fn release(
    connection: &mut SqliteConnection,
    hold: i64,
    by: &str,
    at: Timestamp,
) -> Result<(), StoreError> {
    sqlx::query!(
        "UPDATE holds SET released_at = ?, released_by = ? WHERE id = ? AND released_at IS NULL",
        ms(at),
        by,
        hold
    )
    .execute(connection)
    .await?;
    Ok(())
}

async fn insert(
    connection: &mut SqliteConnection,
    new: &NewSpend,
    moment: &Moment,
    at: Timestamp,
) -> Result<i64, StoreError> {
    let done = sqlx::query!(
        "INSERT INTO spend (agent, turn_id, provider, model, purpose, state, tier, reserved, estimate_input, max_output, day,
            mission_id, loop_id, stage, price_version, created_at)
        VALUES (?, ?, ?, ?, ?, 'reserved', ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        new.agent,
        new.turn_id,
        new.provider,
        new.model,
        new.purpose,
        new.tier,
        new.reserved,
        count(new.estimate_input),
        count(new.max_output),
        new.day,
        moment.mission,
        moment.loop_id,
        moment.stage,
        new.price_version,
        ms(at)
    )
    .execute(connection)
    .await?;
    Ok(done.last_insert_rowid())
}

async fn settle(
    connection: &mut SqliteConnection,
    booking: &Booking,
    moment: &Moment,
    at: Timestamp,
    posted: &mut bool,
) -> Result<bool, StoreError> {
    let Booking { id, settlement, .. } = booking;
    if let Some(response_id) = &settlement.response_id {
        let twin = sqlx::query_scalar!(
            r#"SELECT other.id AS "id!" FROM spend AS own JOIN spend AS other ON other.provider = own.provider
            WHERE own.id = ?1 AND other.id <> ?1 AND other.response_id = ?2"#,
            id,
            response_id
        )
        .fetch_optional(&mut *connection)
        .await?;
        if twin.is_some() {
            sqlx::query!(
                "UPDATE spend SET state = 'settled', settled = 0, estimated = 0, settled_at = ?
                WHERE id = ? AND state <> 'settled'",
                ms(at),
                id
            )
            .execute(&mut *connection)
            .await?;
            return Ok(false);
        }
    }
    let booked = book(connection, *id, settlement, at).await?;
    if booked && settlement.settled > NanoUsd::ZERO {
        tell_of_use(connection, booking, moment, at, posted).await?;
    }
    Ok(booked)
}

/// Tells people once of each window that this booking brought to 50, 80 or 100 % of its budget.
async fn tell_of_use(
    connection: &mut SqliteConnection,
    booking: &Booking,
    moment: &Moment,
    at: Timestamp,
    posted: &mut bool,
) -> Result<(), StoreError> {
    let totals = sqlx::query!(
        r#"SELECT total.scope AS "scope!", total.name AS "name!", total.spent AS "spent!: NanoUsd",
            total.warned AS "warned!", own.agent AS "agent!", own.day AS "day!", own.loop_id AS "loop_id?: LoopId",
            own.mission_id AS "mission_id?: MissionId"
        FROM spend AS own JOIN spend_totals AS total ON (total.scope = 'team-day' AND total.name = own.day)
            OR (total.scope = 'agent-day' AND total.name = own.agent || ' ' || own.day)
            OR (total.scope = 'loop' AND total.name = CAST(own.loop_id AS TEXT))
            OR (total.scope = 'mission' AND total.name = CAST(own.mission_id AS TEXT))
        WHERE own.id = ? AND own.day IS NOT NULL"#,
        booking.id
    )
    .fetch_all(&mut *connection)
    .await?;
    for total in totals {
        let scope = match total.scope.as_str() {
            "team-day" => BudgetScope::TeamDay,
            "agent-day" => BudgetScope::AgentDay,
            "loop" => BudgetScope::Loop,
            _ => BudgetScope::Mission,
        };
        let Some(limit) = booking.limits.iter().find(|limit| limit.scope == scope) else { continue };
        let limit = moment.in_force(limit);
        let used = i128::from(total.spent.0) * 100;
        let reached = LEVELS.into_iter().find(|level| used >= i128::from(limit.amount.0) * i128::from(*level));
        let Some(percent) = reached.filter(|percent| *percent > total.warned) else { continue };
        sqlx::query!(
            "UPDATE spend_totals SET warned = ? WHERE scope = ? AND name = ?",
            percent,
            total.scope,
            total.name
        )
        .execute(&mut *connection)
        .await?;
        let Some(window) = window_of(scope, &total.day, total.loop_id, total.mission_id) else { continue };
        let agent = (scope == BudgetScope::AgentDay).then_some(total.agent);
        let notice = Notice::Used { percent, limit, window, agent, spent: total.spent };
        insert_message(connection, &(booking.words)(&notice), at).await?;
        *posted = true;
    }
    Ok(())
}
