//! Price lists and machine rates, each kept from the moment it was first used: an old row is priced with its own.

use super::column::{Json, Millis, ms};
use super::{Change, Store, StoreError};
use crate::base::Timestamp;
use serde_json::Value;

/// Most lists of one date.
const MOST_OF_A_DATE: u32 = 1_000;

impl Store {
    /// Keeps a price list, and says under which version: its date, with a number behind it when another list has that
    /// date already.
    pub async fn keep_price_book(&self, as_of: &str, content: &str, at: Timestamp) -> Result<String, StoreError> {
        let mut tx = self.immediate().await?;
        for number in 1..=MOST_OF_A_DATE {
            let version = if number == 1 { as_of.to_owned() } else { format!("{as_of}.{number}") };
            let kept = sqlx::query_scalar!(r#"SELECT content AS "c!" FROM price_books WHERE version = ?"#, version)
                .fetch_optional(&mut *tx)
                .await?;
            match kept {
                Some(kept) if kept == content => return Ok(version),
                Some(_) => {}
                None => {
                    sqlx::query!(
                        "INSERT INTO price_books (version, content, kept_at) VALUES (?, ?, ?)",
                        version,
                        content,
                        ms(at)
                    )
                    .execute(&mut *tx)
                    .await?;
                    tx.commit().await?;
                    self.changed(Change::Ledger);
                    return Ok(version);
                }
            }
        }
        Err(StoreError::Missing { what: "free version of a price list of that date", id: i64::from(MOST_OF_A_DATE) })
    }

    /// The price list of a version.
    pub async fn price_book(&self, version: &str) -> Result<Option<String>, StoreError> {
        let content = sqlx::query_scalar!(r#"SELECT content AS "c!" FROM price_books WHERE version = ?"#, version);
        Ok(content.fetch_optional(&self.reader).await?)
    }

    /// Every version with the moment it was first used, oldest first.
    pub async fn price_versions(&self) -> Result<Vec<(String, Timestamp)>, StoreError> {
        let rows = sqlx::query!(
            r#"SELECT version AS "version!", kept_at AS "at!: Millis" FROM price_books ORDER BY kept_at, version"#
        );
        Ok(rows.fetch_all(&self.reader).await?.into_iter().map(|row| (row.version, row.at.into())).collect())
    }

    /// Notes what the machines cost from now on, when that is another rate than before.
    pub async fn set_machine_rates(&self, content: &Value, at: Timestamp) -> Result<(), StoreError> {
        let text = content.to_string();
        sqlx::query!(
            "INSERT INTO machine_rates (since, content) SELECT ?1, ?2
            WHERE coalesce((SELECT content FROM machine_rates ORDER BY since DESC LIMIT 1), '') <> ?2
            ON CONFLICT (since) DO UPDATE SET content = excluded.content",
            ms(at),
            text
        )
        .execute(&self.writer)
        .await?;
        Ok(())
    }

    /// What the machines cost, with the moment from which on, oldest first.
    pub async fn machine_rates(&self) -> Result<Vec<(Timestamp, Value)>, StoreError> {
        let rows = sqlx::query!(
            r#"SELECT since AS "since!: Millis", content AS "content!: Json" FROM machine_rates ORDER BY since"#
        );
        Ok(rows.fetch_all(&self.reader).await?.into_iter().map(|row| (row.since.into(), row.content.into())).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::super::fixtures::at;
    use super::*;
    use serde_json::json;

    #[tokio::test]
    async fn lists_of_one_date_are_told_apart_and_the_same_list_is_kept_once() {
        let store = Store::in_memory().await.unwrap();
        let keep = async |content: &str| store.keep_price_book("2026-11-22", content, at(0)).await.unwrap();
        assert_eq!(keep("{\"a\":1}").await, "2026-11-22");
        assert_eq!(keep("{\"a\":2}").await, "2026-11-22.2");
        assert_eq!(keep("{\"a\":1}").await, "2026-11-22");
        assert_eq!(store.price_book("2026-11-22.2").await.unwrap().as_deref(), Some("{\"a\":2}"));
        assert_eq!(store.price_versions().await.unwrap().len(), 2);
    }

    #[tokio::test]
    async fn a_rate_is_noted_when_it_changes() {
        let store = Store::in_memory().await.unwrap();
        for (second, rate) in [(0, 1), (1, 1), (2, 3)] {
            store.set_machine_rates(&json!({ "usd": rate }), at(second)).await.unwrap();
        }
        let rates = store.machine_rates().await.unwrap();
        assert_eq!(rates.iter().map(|(since, _)| *since).collect::<Vec<_>>(), [at(0), at(2)]);
    }
}
