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

#[cfg(test)]
mod tests {
    use super::super::fixtures::at;
    use super::*;

    #[tokio::test]
    async fn one_incident_is_open_per_subject_and_kind() {
        let store = Store::in_memory().await.unwrap();
        let (id, is_new) = store.open_incident("training", "silent", "181 s", at(0)).await.unwrap();
        assert!(is_new);
        assert_eq!(store.open_incident("training", "silent", "240 s", at(1)).await.unwrap(), (id, false));
        assert!(store.close_incident("training", "silent", "restarted", at(2)).await.unwrap());
        assert!(!store.close_incident("training", "silent", "restarted", at(3)).await.unwrap());
        let (again, is_new) = store.open_incident("training", "silent", "190 s", at(4)).await.unwrap();
        assert!(is_new && again != id);
        let rows = store.incidents(10).await.unwrap();
        assert_eq!((rows[0].id, rows[1].cure.as_deref(), rows[1].cured_at), (again, Some("restarted"), Some(at(2))));
    }

    #[tokio::test]
    async fn checks_keep_their_last_word() {
        let store = Store::in_memory().await.unwrap();
        store.record_check("disk", false, "2 % free", at(0)).await.unwrap();
        store.record_check("disk", true, "40 % free", at(1)).await.unwrap();
        let expected = CheckRow { name: "disk".into(), ok: true, detail: "40 % free".into(), at: at(1) };
        assert_eq!(store.checks().await.unwrap(), [expected]);
    }
}
