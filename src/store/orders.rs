//! Orders: how a lower room asks a higher one to act, such as the watchdog that wants an agent restarted.

use super::column::{Json, Millis, ms};
use super::{Change, Store, StoreError};
use crate::base::Timestamp;
use serde::Serialize;
use serde_json::Value;

/// One order that waits to be carried out.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct OrderRow {
    /// Its number.
    pub id: i64,
    /// What to do: `restart_agent`, `pause`, `wake`.
    pub kind: String,
    /// To whom or what.
    pub subject: String,
    /// With which details.
    pub payload: Value,
    /// When it was placed.
    pub created_at: Timestamp,
}

impl Store {
    /// Places an order. None when the same `dedup` was ordered before, carried out or not.
    pub async fn place_order(
        &self,
        kind: &str,
        subject: &str,
        payload: &Value,
        dedup: &str,
        at: Timestamp,
    ) -> Result<Option<i64>, StoreError> {
        let done = sqlx::query!(
            "INSERT INTO orders (kind, subject, payload, dedup, created_at) VALUES (?, ?, ?, ?, ?)
            ON CONFLICT (dedup) DO NOTHING",
            kind,
            subject,
            payload.to_string(),
            dedup,
            ms(at)
        )
        .execute(&self.writer)
        .await?;
        if done.rows_affected() == 0 {
            return Ok(None);
        }
        self.changed(Change::Order);
        Ok(Some(done.last_insert_rowid()))
    }

    /// The orders that are not carried out, oldest first.
    pub async fn open_orders(&self) -> Result<Vec<OrderRow>, StoreError> {
        let rows = sqlx::query_as!(
            OrderRow,
            r#"SELECT id AS "id!", kind AS "kind!", subject AS "subject!", payload AS "payload!: Json",
                created_at AS "created_at!: Millis"
            FROM orders WHERE finished_at IS NULL ORDER BY id"#
        );
        Ok(rows.fetch_all(&self.reader).await?)
    }

    /// Marks an order as carried out, and how. Twice is once.
    pub async fn finish_order(&self, id: i64, outcome: &str, at: Timestamp) -> Result<(), StoreError> {
        sqlx::query!(
            "UPDATE orders SET finished_at = ?, outcome = ? WHERE id = ? AND finished_at IS NULL",
            ms(at),
            outcome,
            id
        )
        .execute(&self.writer)
        .await?;
        self.changed(Change::Order);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::super::fixtures::at;
    use super::*;
    use serde_json::json;

    #[tokio::test]
    async fn an_order_is_placed_once_and_waits_until_it_is_carried_out() {
        let store = Store::in_memory().await.unwrap();
        let payload = json!({});
        let place = || store.place_order("restart_agent", "training", &payload, "incident 1", at(0));
        let id = place().await.unwrap().unwrap();
        assert_eq!(place().await.unwrap(), None);
        assert_eq!(store.open_orders().await.unwrap()[0].id, id);
        store.finish_order(id, "restarted", at(1)).await.unwrap();
        assert!(store.open_orders().await.unwrap().is_empty());
        assert_eq!(place().await.unwrap(), None);
    }
}
