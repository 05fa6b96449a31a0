//! Money, as rows: one per reservation, each with all that its amount can be computed from again.
//!
//! Holding and booking many at once is in [`super::admission`]; what the rows add up to is in [`super::costs`].

use super::column::{MaybeJson, MaybeMillis, Millis, count, ms, stored_states};
use super::{Change, Store, StoreError};
use crate::base::{LoopId, MissionId, NanoUsd, Stage, Timestamp, TurnId};
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
    /// Searches that the provider made.
    pub web_searches: u64,
    /// The part of the amount that is no tokens.
    pub fees: NanoUsd,
    /// The API of the call: `responses`, `chat`, `messages`.
    pub api: Option<String>,
    /// The tier of service that was billed; none is the list price.
    pub tier: Option<String>,
    /// The input tokens that the reservation was computed from.
    pub estimate_input: Option<u64>,
    /// The output tokens that the reservation was computed from.
    pub max_output: Option<u64>,
    /// The calendar day it counts in.
    pub day: Option<String>,
    /// The mission it counts in.
    pub mission_id: Option<MissionId>,
    /// The loop it counts in.
    pub loop_id: Option<LoopId>,
    /// The stage that the loop was in.
    pub stage: Option<Stage>,
    /// The version of the price list that was used.
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
    /// The tier of service that is asked for.
    pub tier: Option<String>,
    /// What the call can cost at most.
    pub reserved: NanoUsd,
    /// The input tokens that this was computed from.
    pub estimate_input: u64,
    /// The output tokens that this was computed from.
    pub max_output: u64,
    /// The calendar day it counts in.
    pub day: String,
    /// The version of the price list that was used.
    pub price_version: String,
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
    /// Searches that the provider made.
    pub web_searches: u64,
    /// The part of the amount that is no tokens.
    pub fees: NanoUsd,
    /// The API of the call.
    pub api: Option<String>,
    /// The tier of service that was billed.
    pub tier: Option<String>,
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

macro_rules! select_spend {
    ($tail:tt $(, $arg:expr)*) => {
        sqlx::query_as!(
            SpendRow,
            r#"SELECT id AS "id!", agent AS "agent!", turn_id AS "turn_id?: TurnId", provider AS "provider!",
                model AS "model!", purpose AS "purpose!", state AS "state!: SpendState", reserved AS "reserved!: NanoUsd",
                settled AS "settled?: NanoUsd", uncached_input AS "uncached_input!: u64", cache_read AS "cache_read!: u64",
                cache_write_5m AS "cache_write_5m!: u64", cache_write_1h AS "cache_write_1h!: u64", output AS "output!: u64",
                web_searches AS "web_searches!: u64", fees AS "fees!: NanoUsd", api, tier,
                estimate_input AS "estimate_input?: u64", max_output AS "max_output?: u64", day,
                mission_id AS "mission_id?: MissionId", loop_id AS "loop_id?: LoopId", stage AS "stage?: Stage",
                price_version AS "price_version!", raw_usage AS "raw_usage!: MaybeJson", estimated AS "estimated!: bool",
                response_id, created_at AS "created_at!: Millis", settled_at AS "settled_at!: MaybeMillis"
            FROM spend "# + $tail
            $(, $arg)*
        )
    };
}

impl Store {
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

    /// What was spent in a loop; what is held counts.
    pub async fn spend_of_loop(&self, loop_id: LoopId) -> Result<NanoUsd, StoreError> {
        let spent = sqlx::query_scalar!(
            r#"SELECT coalesce(sum(coalesce(settled, reserved)), 0) AS "spent!: NanoUsd" FROM spend WHERE loop_id = ?"#,
            loop_id
        );
        Ok(spent.fetch_one(&self.reader).await?)
    }

    /// The newest rows, newest first.
    pub async fn spend(&self, limit: u32) -> Result<Vec<SpendRow>, StoreError> {
        Ok(select_spend!("ORDER BY id DESC LIMIT ?", limit).fetch_all(&self.reader).await?)
    }

    /// At most `limit` rows after the row `after`, oldest first.
    pub async fn spend_after(&self, after: i64, limit: u32) -> Result<Vec<SpendRow>, StoreError> {
        Ok(select_spend!("WHERE id > ? ORDER BY id LIMIT ?", after, limit).fetch_all(&self.reader).await?)
    }
}

/// Writes what a call came to. False when the row was settled before.
pub(super) async fn book(
    connection: &mut SqliteConnection,
    id: i64,
    settlement: &Settlement,
    at: Timestamp,
) -> Result<bool, StoreError> {
    let done = sqlx::query!(
        "UPDATE spend SET state = 'settled', settled = ?, uncached_input = ?, cache_read = ?, cache_write_5m = ?,
            cache_write_1h = ?, output = ?, web_searches = ?, fees = ?, api = ?, tier = ?, raw_usage = ?, estimated = ?,
            response_id = ?, settled_at = ?
        WHERE id = ? AND state <> 'settled'",
        settlement.settled,
        count(settlement.uncached_input),
        count(settlement.cache_read),
        count(settlement.cache_write_5m),
        count(settlement.cache_write_1h),
        count(settlement.output),
        count(settlement.web_searches),
        settlement.fees,
        settlement.api,
        settlement.tier,
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
