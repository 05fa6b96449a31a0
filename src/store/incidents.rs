//! What the watchdog noticed, how it was cured, and what its checks last said.

use super::column::{MaybeMillis, Millis, ms};
use super::{Change, Store, StoreError};
use crate::base::Timestamp;
use serde::Serialize;

/// One thing that went wrong.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct IncidentRow {
    /// Its number.
    pub id: i64,
    /// What it is about: an agent's name, or `job 3`.
    pub subject: String,
    /// What kind of thing went wrong.
    pub kind: String,
    /// What was seen.
    pub evidence: String,
    /// When it was noticed.
    pub noticed_at: Timestamp,
    /// When it was cured.
    pub cured_at: Option<Timestamp>,
    /// What cured it.
    pub cure: Option<String>,
}

/// What a check last said.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct CheckRow {
    /// The check's name.
    pub name: String,
    /// Whether all was well.
    pub ok: bool,
    /// What it saw.
    pub detail: String,
    /// When it looked.
    pub at: Timestamp,
}

impl Store {
    /// Opens an incident: its number, and whether it is new. There is at most one open per subject and kind.
    pub async fn open_incident(
        &self,
        subject: &str,
        kind: &str,
        evidence: &str,
        at: Timestamp,
    ) -> Result<(i64, bool), StoreError> {
        let mut tx = self.immediate().await?;
        let done = sqlx::query!(
            "INSERT INTO incidents (subject, kind, evidence, noticed_at) VALUES (?, ?, ?, ?)
            ON CONFLICT (subject, kind) WHERE cured_at IS NULL DO NOTHING",
            subject,
            kind,
            evidence,
            ms(at)
        )
        .execute(&mut *tx)
        .await?;
        let id = sqlx::query_scalar!(
            r#"SELECT id AS "id!" FROM incidents WHERE subject = ? AND kind = ? AND cured_at IS NULL"#,
            subject,
            kind
        )
        .fetch_one(&mut *tx)
        .await?;
        tx.commit().await?;
        let is_new = done.rows_affected() == 1;
        if is_new {
            self.changed(Change::Incident);
        }
        Ok((id, is_new))
    }

    /// Closes the open incident of a subject and kind. False when there is none.
    pub async fn close_incident(
        &self,
        subject: &str,
        kind: &str,
        cure: &str,
        at: Timestamp,
    ) -> Result<bool, StoreError> {
        let done = sqlx::query!(
            "UPDATE incidents SET cured_at = ?, cure = ? WHERE subject = ? AND kind = ? AND cured_at IS NULL",
            ms(at),
            cure,
            subject,
            kind
        )
        .execute(&self.writer)
        .await?;
        let closed = done.rows_affected() == 1;
        if closed {
            self.changed(Change::Incident);
        }
        Ok(closed)
    }

    /// The newest incidents, newest first.
    pub async fn incidents(&self, limit: u32) -> Result<Vec<IncidentRow>, StoreError> {
        let rows = sqlx::query_as!(
            IncidentRow,
            r#"SELECT id AS "id!", subject AS "subject!", kind AS "kind!", evidence AS "evidence!",
                noticed_at AS "noticed_at!: Millis", cured_at AS "cured_at!: MaybeMillis", cure
            FROM incidents ORDER BY id DESC LIMIT ?"#,
            limit
        );
        Ok(rows.fetch_all(&self.reader).await?)
    }

    /// Notes what a check saw, in the place of what it saw before.
    pub async fn record_check(&self, name: &str, ok: bool, detail: &str, at: Timestamp) -> Result<(), StoreError> {
        sqlx::query!(
            "INSERT INTO checks (name, ok, detail, checked_at) VALUES (?, ?, ?, ?)
            ON CONFLICT (name) DO UPDATE SET ok = excluded.ok, detail = excluded.detail, checked_at = excluded.checked_at",
            name,
            ok,
            detail,
            ms(at)
        )
        .execute(&self.writer)
        .await?;
        self.changed(Change::Incident);
        Ok(())
    }

    /// What every check last saw, by name.
    pub async fn checks(&self) -> Result<Vec<CheckRow>, StoreError> {
        let rows = sqlx::query_as!(
            CheckRow,
            r#"SELECT name AS "name!", ok AS "ok!: bool", detail AS "detail!", checked_at AS "at!: Millis"
            FROM checks ORDER BY name"#
        );
        Ok(rows.fetch_all(&self.reader).await?)
    }
}
