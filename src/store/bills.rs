//! What providers say they counted and billed, day by day, beside what the ledger booked on that day.

use super::column::{count, ms, stored_states};
use super::{Store, StoreError};
use crate::base::{NanoUsd, Timestamp};

stored_states! {
    /// What kind of figures an export holds.
    BillKind {
        /// Tokens.
        Usage = "usage",
        /// Dollars.
        Cost = "cost",
    }
}

/// One provider's figures for one model on one UTC day.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bill {
    /// The provider.
    pub provider: String,
    /// Tokens or dollars.
    pub kind: BillKind,
    /// The UTC day, `2026-11-24`.
    pub day: String,
    /// The model; empty where the provider does not say.
    pub model: String,
    /// The tier of service; empty where it does not say.
    pub tier: String,
    /// Whether these calls were bound to the United States.
    pub us_inference: bool,
    /// Calls.
    pub requests: u64,
    /// Input tokens that were not cached.
    pub uncached_input: u64,
    /// Input tokens read from the cache.
    pub cache_read: u64,
    /// Input tokens written to the cache for five minutes.
    pub cache_write_5m: u64,
    /// Input tokens written to the cache for an hour.
    pub cache_write_1h: u64,
    /// Output tokens.
    pub output: u64,
    /// Searches.
    pub web_searches: u64,
    /// What was billed; none in usage.
    pub amount: Option<NanoUsd>,
}

/// What the ledger booked for one model on one UTC day.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CountedDay {
    /// The provider.
    pub provider: String,
    /// The UTC day.
    pub day: String,
    /// The model.
    pub model: String,
    /// Calls that may have been billed.
    pub calls: u32,
    /// Calls whose amount is an estimate.
    pub estimated: u32,
    /// Input tokens of all classes.
    pub input: u64,
    /// Output tokens.
    pub output: u64,
    /// The amount.
    pub spent: NanoUsd,
}

impl Store {
    /// Takes over an export. Figures for the same day, model and tier replace those of an earlier import.
    pub async fn import_bills(&self, bills: &[Bill], file: &str, at: Timestamp) -> Result<(), StoreError> {
        let mut tx = self.immediate().await?;
        for bill in bills {
            sqlx::query!(
                "INSERT INTO provider_bills (provider, kind, day, model, tier, us_inference, requests, uncached_input,
                    cache_read, cache_write_5m, cache_write_1h, output, web_searches, amount, file, imported_at)
                VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
                ON CONFLICT (provider, kind, day, model, tier, us_inference) DO UPDATE SET requests = excluded.requests,
                    uncached_input = excluded.uncached_input, cache_read = excluded.cache_read,
                    cache_write_5m = excluded.cache_write_5m, cache_write_1h = excluded.cache_write_1h,
                    output = excluded.output, web_searches = excluded.web_searches, amount = excluded.amount,
                    file = excluded.file, imported_at = excluded.imported_at",
                bill.provider,
                bill.kind,
                bill.day,
                bill.model,
                bill.tier,
                bill.us_inference,
                count(bill.requests),
                count(bill.uncached_input),
                count(bill.cache_read),
                count(bill.cache_write_5m),
                count(bill.cache_write_1h),
                count(bill.output),
                count(bill.web_searches),
                bill.amount,
                file,
                ms(at)
            )
            .execute(&mut *tx)
            .await?;
        }
        tx.commit().await?;
        Ok(())
    }

    /// Everything that was imported, by day.
    pub async fn bills(&self) -> Result<Vec<Bill>, StoreError> {
        let rows = sqlx::query_as!(
            Bill,
            r#"SELECT provider AS "provider!", kind AS "kind!: BillKind", day AS "day!", model AS "model!",
                tier AS "tier!", us_inference AS "us_inference!: bool", requests AS "requests!: u64",
                uncached_input AS "uncached_input!: u64", cache_read AS "cache_read!: u64",
                cache_write_5m AS "cache_write_5m!: u64", cache_write_1h AS "cache_write_1h!: u64",
                output AS "output!: u64", web_searches AS "web_searches!: u64", amount AS "amount?: NanoUsd"
            FROM provider_bills ORDER BY day, provider, model, tier, us_inference"#
        );
        Ok(rows.fetch_all(&self.reader).await?)
    }

    /// What was booked by UTC day and model, without the playbook's turns.
    pub async fn counted_days(&self) -> Result<Vec<CountedDay>, StoreError> {
        let rows = sqlx::query_as!(
            CountedDay,
            r#"SELECT provider AS "provider!", date(created_at / 1000, 'unixepoch') AS "day!: String", model AS "model!",
                count(*) AS "calls!: u32", sum(estimated) AS "estimated!: u32",
                sum(uncached_input + cache_read + cache_write_5m + cache_write_1h) AS "input!: u64",
                sum(output) AS "output!: u64", sum(coalesce(settled, reserved)) AS "spent!: NanoUsd"
            FROM spend WHERE coalesce(settled, reserved) > 0
            GROUP BY provider, date(created_at / 1000, 'unixepoch'), model ORDER BY 2, 1, 3"#
        );
        Ok(rows.fetch_all(&self.reader).await?)
    }
}
