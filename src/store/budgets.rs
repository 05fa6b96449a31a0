//! What people set in place of the configured budgets, and which agents are on hold.

use super::admission::release;
use super::column::{Millis, ms};
use super::{Change, Store, StoreError};
use crate::base::{NanoUsd, Timestamp};
use sqlx::SqliteConnection;
use std::collections::BTreeMap;

/// A budget that a person set.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OverrideRow {
    /// The configuration's key.
    pub key: String,
    /// The amount; none gave it back to the configuration.
    pub amount: Option<NanoUsd>,
    /// Who.
    pub set_by: String,
    /// When.
    pub set_at: Timestamp,
}

/// An agent that makes no calls.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HoldRow {
    /// The agent.
    pub agent: String,
    /// The configuration's key of the budget that refused.
    pub source: String,
    /// The window it counted in.
    pub window: String,
    /// The budget when it refused.
    pub amount: NanoUsd,
    /// Since when.
    pub held_at: Timestamp,
}

/// A running total.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TotalRow {
    /// `team-day`, `agent-day`, `loop`, `mission`.
    pub scope: String,
    /// The window within it.
    pub name: String,
    /// What counts in it, as kept.
    pub kept: NanoUsd,
    /// What its rows add up to.
    pub summed: NanoUsd,
}

/// The amounts in force that people set, with who did.
pub(super) async fn effective(
    connection: &mut SqliteConnection,
) -> Result<BTreeMap<String, (NanoUsd, String)>, StoreError> {
    let rows = sqlx::query!(
        r#"SELECT key AS "key!", amount AS "amount?: NanoUsd", set_by AS "set_by!" FROM budget_overrides
        WHERE id IN (SELECT max(id) FROM budget_overrides GROUP BY key)"#
    )
    .fetch_all(connection)
    .await?;
    Ok(rows.into_iter().filter_map(|row| Some((row.key, (row.amount?, row.set_by)))).collect())
}

impl Store {
    /// Sets a budget in place of the configuration, or gives it back to it. People are told of its use anew.
    pub async fn set_budget(
        &self,
        key: &str,
        amount: Option<NanoUsd>,
        by: &str,
        at: Timestamp,
    ) -> Result<(), StoreError> {
        let mut tx = self.immediate().await?;
        sqlx::query!(
            "INSERT INTO budget_overrides (key, amount, set_by, set_at) VALUES (?, ?, ?, ?)",
            key,
            amount,
            by,
            ms(at)
        )
        .execute(&mut *tx)
        .await?;
        sqlx::query!("UPDATE spend_totals SET warned = 0 WHERE warned <> 0").execute(&mut *tx).await?;
        tx.commit().await?;
        self.changed(Change::Ledger);
        Ok(())
    }

    /// What people set, the newest row of each key, by key.
    pub async fn budget_overrides(&self) -> Result<Vec<OverrideRow>, StoreError> {
        let rows = sqlx::query_as!(
            OverrideRow,
            r#"SELECT key AS "key!", amount AS "amount?: NanoUsd", set_by AS "set_by!", set_at AS "set_at!: Millis"
            FROM budget_overrides WHERE id IN (SELECT max(id) FROM budget_overrides GROUP BY key) ORDER BY key"#
        );
        Ok(rows.fetch_all(&self.reader).await?)
    }

    /// Agents on hold, by name.
    pub async fn holds(&self) -> Result<Vec<HoldRow>, StoreError> {
        let rows = sqlx::query_as!(
            HoldRow,
            r#"SELECT agent AS "agent!", source AS "source!", window AS "window!", amount AS "amount!: NanoUsd",
                held_at AS "held_at!: Millis"
            FROM holds WHERE released_at IS NULL ORDER BY agent"#
        );
        Ok(rows.fetch_all(&self.reader).await?)
    }

    /// Lets an agent ask again. False when it was not on hold.
    pub async fn release_hold(&self, agent: &str, by: &str, at: Timestamp) -> Result<bool, StoreError> {
        let mut tx = self.immediate().await?;
        let hold =
            sqlx::query_scalar!(r#"SELECT id AS "id!" FROM holds WHERE agent = ? AND released_at IS NULL"#, agent)
                .fetch_optional(&mut *tx)
                .await?;
        if let Some(hold) = hold {
            release(&mut tx, hold, by, at).await?;
        }
        tx.commit().await?;
        self.changed(Change::Ledger);
        Ok(hold.is_some())
    }

    /// What counts in the windows of now: the team's day, the loop and the mission, by scope.
    pub async fn spent_in(&self, scope: &str, name: &str) -> Result<NanoUsd, StoreError> {
        let spent = sqlx::query_scalar!(
            r#"SELECT spent AS "spent!: NanoUsd" FROM spend_totals WHERE scope = ? AND name = ?"#,
            scope,
            name
        );
        Ok(spent.fetch_optional(&self.reader).await?.unwrap_or_default())
    }

    /// Running totals that are not what their rows add up to. There are none.
    pub async fn wrong_totals(&self) -> Result<Vec<TotalRow>, StoreError> {
        let rows = sqlx::query_as!(
            TotalRow,
            r#"SELECT scope AS "scope!", name AS "name!", spent AS "kept!: NanoUsd", summed AS "summed!: NanoUsd" FROM (
                SELECT scope, name, spent, CASE scope
                    WHEN 'team-day' THEN (SELECT coalesce(sum(coalesce(settled, reserved)), 0) FROM spend WHERE day = name)
                    WHEN 'agent-day' THEN (SELECT coalesce(sum(coalesce(settled, reserved)), 0) FROM spend
                        WHERE agent || ' ' || day = name)
                    WHEN 'loop' THEN (SELECT coalesce(sum(coalesce(settled, reserved)), 0) FROM spend
                        WHERE loop_id = CAST(name AS INTEGER))
                    ELSE (SELECT coalesce(sum(coalesce(settled, reserved)), 0) FROM spend
                        WHERE mission_id = CAST(name AS INTEGER))
                END AS summed FROM spend_totals)
            WHERE spent <> summed ORDER BY scope, name"#
        );
        Ok(rows.fetch_all(&self.reader).await?)
    }
}
