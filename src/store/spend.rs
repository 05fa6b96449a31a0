//! Money, as rows: one per reservation. The rules (prices, budgets) are the ledger's; what is here makes them hold when
//! many ask at once: the sum and the new row are one transaction, so one remaining dollar is given away once.

use super::column::{MaybeJson, MaybeMillis, Millis, count, ms, stored_states};
use super::{Change, Store, StoreError};
use crate::base::{LoopId, NanoUsd, Timestamp, TurnId};
use serde::Serialize;
use serde_json::Value;
use sqlx::SqliteConnection;

stored_states! {
    /// Where a reservation stands.
    SpendState {
        /// Held for a call that may still run.
        Reserved = "reserved",
        /// The call's cost is booked.
        Settled = "settled",
        /// Nobody said what the call cost; the whole reservation is booked, as an estimate.
        Expired = "expired",
    }
}

/// One call's money.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct SpendRow {
    /// Its number.
    pub id: i64,
    /// Who spends.
    pub agent: String,
    /// In which turn.
    pub turn_id: Option<TurnId>,
    /// Whom it is paid to.
    pub provider: String,
    /// Which model is called.
    pub model: String,
    /// What for.
    pub purpose: String,
    /// Where it stands.
    pub state: SpendState,
    /// What was held before the call.
    pub reserved: NanoUsd,
    /// What it came to.
    pub settled: Option<NanoUsd>,
    /// Input tokens that were not cached.
    pub uncached_input: u64,
    /// Input tokens read from the cache.
    pub cache_read: u64,
    /// Input tokens written to the cache for five minutes.
    pub cache_write_5m: u64,
    /// Input tokens written to the cache for an hour.
    pub cache_write_1h: u64,
    /// Output tokens, reasoning included.
    pub output: u64,
    /// The date of the price list that was used.
    pub price_version: String,
    /// The usage as the provider wrote it.
    pub raw_usage: Option<Value>,
    /// Whether the amount is an estimate, because the provider did not say.
    pub estimated: bool,
    /// The provider's name for the answer; it is booked once.
    pub response_id: Option<String>,
    /// When it was reserved.
    pub created_at: Timestamp,
    /// When it was settled or expired.
    pub settled_at: Option<Timestamp>,
}

/// A reservation to make.
#[derive(Debug, Clone, PartialEq)]
pub struct NewSpend {
    /// Who spends.
    pub agent: String,
    /// In which turn.
    pub turn_id: Option<TurnId>,
    /// Whom it is paid to.
    pub provider: String,
    /// Which model is called.
    pub model: String,
    /// What for.
    pub purpose: String,
    /// What the call can cost at most.
    pub reserved: NanoUsd,
    /// The date of the price list that was used.
    pub price_version: String,
}

/// Whose spend a limit counts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SpendScope {
    /// The whole team's.
    Everyone,
    /// One agent's.
    Agent(String),
}

/// A limit: the spend of `scope` since `since` may not exceed `amount`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SpendLimit {
    /// Whose spend counts.
    pub scope: SpendScope,
    /// From when on it counts.
    pub since: Timestamp,
    /// How much it may be.
    pub amount: NanoUsd,
}

/// The answer to a wish to spend.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reserve {
    /// The amount is held.
    Reserved {
        /// The row's number.
        id: i64,
    },
    /// It does not fit within the first of these limits.
    Refused {
        /// The limit.
        limit: SpendLimit,
        /// What counts against it already: settled, and held for calls that run.
        spent: NanoUsd,
    },
}

/// What a call came to.
#[derive(Debug, Clone, PartialEq)]
pub struct Settlement {
    /// The amount.
    pub settled: NanoUsd,
    /// Input tokens that were not cached.
    pub uncached_input: u64,
    /// Input tokens read from the cache.
    pub cache_read: u64,
    /// Input tokens written to the cache for five minutes.
    pub cache_write_5m: u64,
    /// Input tokens written to the cache for an hour.
    pub cache_write_1h: u64,
    /// Output tokens, reasoning included.
    pub output: u64,
    /// The usage as the provider wrote it.
    pub raw_usage: Option<Value>,
    /// Whether the amount is an estimate.
    pub estimated: bool,
    /// The provider's name for the answer.
    pub response_id: Option<String>,
}

/// What one agent spent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct AgentSpend {
    /// The agent.
    pub agent: String,
    /// Calls, reservations that still run included.
    pub calls: u32,
    /// Input tokens of all classes.
    pub input: u64,
    /// Output tokens.
    pub output: u64,
    /// The amount, what is held included.
    pub spent: NanoUsd,
}

/// What counts since a moment, for one agent or for all (`agent` NULL).
async fn spent_since(
    connection: &mut SqliteConnection,
    agent: Option<&str>,
    since: Timestamp,
) -> Result<NanoUsd, StoreError> {
    let spent = sqlx::query_scalar!(
        r#"SELECT coalesce(sum(coalesce(settled, reserved)), 0) AS "spent!: NanoUsd" FROM spend
        WHERE created_at >= ?1 AND (?2 IS NULL OR agent = ?2)"#,
        ms(since),
        agent
    );
    Ok(spent.fetch_one(connection).await?)
}

impl Store {
    /// Holds an amount when it fits within every limit, in one transaction: of callers that ask at once for the same
    /// remaining amount, one gets it.
    pub async fn reserve_within(
        &self,
        new: &NewSpend,
        limits: &[SpendLimit],
        at: Timestamp,
    ) -> Result<Reserve, StoreError> {
        let mut tx = self.immediate().await?;
        for limit in limits {
            let agent = match &limit.scope {
                SpendScope::Everyone => None,
                SpendScope::Agent(name) => Some(name.as_str()),
            };
            let spent = spent_since(&mut tx, agent, limit.since).await?;
            if spent.saturating_add(new.reserved) > limit.amount {
                return Ok(Reserve::Refused { limit: limit.clone(), spent });
            }
        }
        let done = sqlx::query!(
            "INSERT INTO spend (agent, turn_id, provider, model, purpose, state, reserved, price_version, created_at)
            VALUES (?, ?, ?, ?, ?, 'reserved', ?, ?, ?)",
            new.agent,
            new.turn_id,
            new.provider,
            new.model,
            new.purpose,
            new.reserved,
            new.price_version,
            ms(at)
        )
        .execute(&mut *tx)
        .await?;
        tx.commit().await?;
        self.changed(Change::Ledger);
        Ok(Reserve::Reserved { id: done.last_insert_rowid() })
    }

    /// Books what a call came to. A reservation that expired meanwhile is corrected. False when nothing was booked: the
    /// row was settled before, or the same answer is booked in another row; this one is released at nothing then.
    pub async fn settle(&self, id: i64, settlement: &Settlement, at: Timestamp) -> Result<bool, StoreError> {
        let mut tx = self.immediate().await?;
        let twin = sqlx::query_scalar!(
            r#"SELECT other.id AS "id!" FROM spend AS own JOIN spend AS other ON other.provider = own.provider
            WHERE own.id = ?1 AND other.id <> ?1 AND other.response_id = ?2"#,
            id,
            settlement.response_id
        )
        .fetch_optional(&mut *tx)
        .await?;
        let booked = match twin {
            None => book(&mut tx, id, settlement, at).await?,
            Some(_) => {
                sqlx::query!(
                    "UPDATE spend SET state = 'settled', settled = 0, estimated = 0, settled_at = ?
                    WHERE id = ? AND state <> 'settled'",
                    ms(at),
                    id
                )
                .execute(&mut *tx)
                .await?;
                false
            }
        };
        tx.commit().await?;
        self.changed(Change::Ledger);
        Ok(booked)
    }

    /// Books every reservation made before `older_than` that nobody settled, at its whole amount, as an estimate: the
    /// call may have been billed. Their numbers.
    pub async fn expire_reservations(&self, older_than: Timestamp, at: Timestamp) -> Result<Vec<i64>, StoreError> {
        let mut tx = self.immediate().await?;
        let ids = sqlx::query_scalar!(
            r#"SELECT id AS "id!" FROM spend WHERE state = 'reserved' AND created_at < ? ORDER BY id"#,
            ms(older_than)
        )
        .fetch_all(&mut *tx)
        .await?;
        sqlx::query!(
            "UPDATE spend SET state = 'expired', settled = reserved, estimated = 1, settled_at = ?
            WHERE state = 'reserved' AND created_at < ?",
            ms(at),
            ms(older_than)
        )
        .execute(&mut *tx)
        .await?;
        tx.commit().await?;
        if !ids.is_empty() {
            self.changed(Change::Ledger);
        }
        Ok(ids)
    }

    /// What every agent spent since a moment, by name. Turns of the playbook count as calls that cost nothing.
    pub async fn spend_by_agent(&self, since: Timestamp) -> Result<Vec<AgentSpend>, StoreError> {
        let rows = sqlx::query_as!(
            AgentSpend,
            r#"SELECT agent AS "agent!", count(*) AS "calls!: u32",
                sum(uncached_input + cache_read + cache_write_5m + cache_write_1h) AS "input!: u64",
                sum(output) AS "output!: u64", sum(coalesce(settled, reserved)) AS "spent!: NanoUsd"
            FROM spend WHERE created_at >= ? GROUP BY agent ORDER BY agent"#,
            ms(since)
        );
        Ok(rows.fetch_all(&self.reader).await?)
    }

    /// What was spent since a moment, by one agent or by all; what is held counts.
    pub async fn spent(&self, scope: &SpendScope, since: Timestamp) -> Result<NanoUsd, StoreError> {
        let agent = match scope {
            SpendScope::Everyone => None,
            SpendScope::Agent(name) => Some(name.as_str()),
        };
        let mut connection = self.reader.acquire().await?;
        spent_since(&mut connection, agent, since).await
    }

    /// What was spent while a loop was open.
    pub async fn spend_of_loop(&self, loop_id: LoopId) -> Result<NanoUsd, StoreError> {
        let spent = sqlx::query_scalar!(
            r#"SELECT coalesce(sum(coalesce(settled, reserved)), 0) AS "spent!: NanoUsd"
            FROM spend JOIN loops ON loops.id = ?
            WHERE spend.created_at >= opened_at AND (closed_at IS NULL OR spend.created_at < closed_at)"#,
            loop_id
        );
        Ok(spent.fetch_one(&self.reader).await?)
    }

    /// The newest rows, newest first.
    pub async fn spend(&self, limit: u32) -> Result<Vec<SpendRow>, StoreError> {
        let rows = sqlx::query_as!(
            SpendRow,
            r#"SELECT id AS "id!", agent AS "agent!", turn_id AS "turn_id?: TurnId", provider AS "provider!",
                model AS "model!", purpose AS "purpose!", state AS "state!: SpendState", reserved AS "reserved!: NanoUsd",
                settled AS "settled?: NanoUsd", uncached_input AS "uncached_input!: u64", cache_read AS "cache_read!: u64",
                cache_write_5m AS "cache_write_5m!: u64", cache_write_1h AS "cache_write_1h!: u64", output AS "output!: u64",
                price_version AS "price_version!", raw_usage AS "raw_usage!: MaybeJson", estimated AS "estimated!: bool",
                response_id, created_at AS "created_at!: Millis", settled_at AS "settled_at!: MaybeMillis"
            FROM spend ORDER BY id DESC LIMIT ?"#,
            limit
        );
        Ok(rows.fetch_all(&self.reader).await?)
    }
}

/// Writes what a call came to. False when the row was settled before.
async fn book(
    connection: &mut SqliteConnection,
    id: i64,
    settlement: &Settlement,
    at: Timestamp,
) -> Result<bool, StoreError> {
    let done = sqlx::query!(
        "UPDATE spend SET state = 'settled', settled = ?, uncached_input = ?, cache_read = ?, cache_write_5m = ?,
            cache_write_1h = ?, output = ?, raw_usage = ?, estimated = ?, response_id = ?, settled_at = ?
        WHERE id = ? AND state <> 'settled'",
        settlement.settled,
        count(settlement.uncached_input),
        count(settlement.cache_read),
        count(settlement.cache_write_5m),
        count(settlement.cache_write_1h),
        count(settlement.output),
        settlement.raw_usage.as_ref().map(Value::to_string),
        settlement.estimated,
        settlement.response_id,
        ms(at),
        id
    )
    .execute(connection)
    .await?;
    Ok(done.rows_affected() == 1)
}

#[cfg(test)]
mod tests;
