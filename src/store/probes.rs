//! What a machine was measured to do, and what accepted plans were expected to take.

use super::column::{Json, Millis, ms};
use super::error::finite;
use super::{Change, Store, StoreError};
use crate::base::{LoopId, Stage, Timestamp};
use serde::Serialize;
use serde_json::Value;

/// One measurement of a machine.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ProbeRow {
    /// Its number.
    pub id: i64,
    /// What makes two measurements comparable: processor, threads, system, build.
    pub machine: String,
    /// The hash of the preset whose sizes were used.
    pub preset_hash: String,
    /// Versions of what was measured.
    pub versions: Value,
    /// What was measured.
    pub rates: Value,
    /// Why nothing was measured.
    pub error: Option<String>,
    /// How long the measuring took.
    pub seconds: f64,
    /// When it was done.
    pub measured_at: Timestamp,
}

/// A measurement to enter.
#[derive(Debug, Clone, PartialEq)]
pub struct NewProbe {
    /// What makes two measurements comparable.
    pub machine: String,
    /// The hash of the preset whose sizes were used.
    pub preset_hash: String,
    /// Versions of what was measured.
    pub versions: Value,
    /// What was measured.
    pub rates: Value,
    /// Why nothing was measured; none when something was.
    pub error: Option<String>,
    /// How long the measuring took.
    pub seconds: f64,
}

/// What an accepted plan was expected to take.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ForecastRow {
    /// The loop.
    pub loop_id: LoopId,
    /// The stage.
    pub stage: Stage,
    /// Seconds, most likely.
    pub seconds: f64,
    /// Seconds at least …
    pub low_s: f64,
    /// … and at most.
    pub high_s: f64,
    /// Seconds by the probe alone, before what earlier stages taught.
    pub raw_s: f64,
    /// What it rests on, in words.
    pub basis: String,
}

impl Store {
    /// Enters a measurement.
    ///
    /// # Errors
    /// [`StoreError::NotFinite`] for a duration that is no number.
    pub async fn add_probe(&self, new: &NewProbe, at: Timestamp) -> Result<i64, StoreError> {
        let done = sqlx::query!(
            "INSERT INTO probes (machine, preset_hash, versions, rates, error, seconds, measured_at)
            VALUES (?, ?, ?, ?, ?, ?, ?)",
            new.machine,
            new.preset_hash,
            new.versions.to_string(),
            new.rates.to_string(),
            new.error,
            finite("seconds", new.seconds)?,
            ms(at)
        )
        .execute(&self.writer)
        .await?;
        self.changed(Change::Mission);
        Ok(done.last_insert_rowid())
    }

    /// The newest measurement of this machine with this preset.
    pub async fn newest_probe(&self, machine: &str, preset_hash: &str) -> Result<Option<ProbeRow>, StoreError> {
        let row = sqlx::query_as!(
            ProbeRow,
            r#"SELECT id AS "id!", machine AS "machine!", preset_hash AS "preset_hash!", versions AS "versions!: Json",
                rates AS "rates!: Json", error, seconds AS "seconds!", measured_at AS "measured_at!: Millis"
            FROM probes WHERE machine = ? AND preset_hash = ? ORDER BY id DESC LIMIT 1"#,
            machine,
            preset_hash
        );
        Ok(row.fetch_optional(&self.reader).await?)
    }

    /// Enters what a plan is expected to take, in the place of an earlier forecast of the same stage.
    ///
    /// # Errors
    /// [`StoreError::NotFinite`] for a duration that is no number.
    pub async fn set_forecast(&self, row: &ForecastRow, at: Timestamp) -> Result<(), StoreError> {
        sqlx::query!(
            "INSERT INTO forecasts (loop_id, stage, seconds, low_s, high_s, raw_s, basis, made_at)
            VALUES (?, ?, ?, ?, ?, ?, ?, ?)
            ON CONFLICT (loop_id, stage) DO UPDATE SET seconds = excluded.seconds, low_s = excluded.low_s,
                high_s = excluded.high_s, raw_s = excluded.raw_s, basis = excluded.basis, made_at = excluded.made_at",
            row.loop_id,
            row.stage,
            finite("seconds", row.seconds)?,
            finite("low_s", row.low_s)?,
            finite("high_s", row.high_s)?,
            finite("raw_s", row.raw_s)?,
            row.basis,
            ms(at)
        )
        .execute(&self.writer)
        .await?;
        Ok(())
    }

    /// What the plan of a stage was expected to take.
    pub async fn forecast(&self, loop_id: LoopId, stage: Stage) -> Result<Option<ForecastRow>, StoreError> {
        let row = sqlx::query_as!(
            ForecastRow,
            r#"SELECT loop_id AS "loop_id!: LoopId", stage AS "stage!: Stage", seconds AS "seconds!", low_s AS "low_s!",
                high_s AS "high_s!", raw_s AS "raw_s!", basis AS "basis!"
            FROM forecasts WHERE loop_id = ? AND stage = ?"#,
            loop_id,
            stage
        );
        Ok(row.fetch_optional(&self.reader).await?)
    }
}

#[cfg(test)]
mod tests {
    use super::super::fixtures::{at, first_loop};
    use super::*;
    use serde_json::json;

    #[tokio::test]
    async fn the_newest_measurement_of_the_same_machine_and_sizes_counts() {
        let store = Store::in_memory().await.unwrap();
        let probe = |machine: &str, rate: f64| NewProbe {
            machine: machine.to_owned(),
            preset_hash: "ab".to_owned(),
            versions: json!({ "ralphton": "0" }),
            rates: json!({ "train_samples_per_s": rate }),
            error: None,
            seconds: 6.0,
        };
        for (machine, rate) in [("this", 100.0), ("other", 900.0), ("this", 120.0)] {
            store.add_probe(&probe(machine, rate), at(1)).await.unwrap();
        }
        let row = store.newest_probe("this", "ab").await.unwrap().unwrap();
        assert_eq!((row.rates["train_samples_per_s"].as_f64(), row.measured_at), (Some(120.0), at(1)));
        assert_eq!(store.newest_probe("this", "cd").await.unwrap(), None);
    }

    #[tokio::test]
    async fn a_stage_that_is_planned_again_has_the_new_forecast() {
        let store = Store::in_memory().await.unwrap();
        let loop_id = first_loop(&store).await;
        let row = |seconds: f64| ForecastRow {
            loop_id,
            stage: Stage::Train,
            seconds,
            low_s: 0.8 * seconds,
            high_s: 1.2 * seconds,
            raw_s: seconds,
            basis: "the probe".to_owned(),
        };
        store.set_forecast(&row(200.0), at(1)).await.unwrap();
        store.set_forecast(&row(90.0), at(2)).await.unwrap();
        assert_eq!(store.forecast(loop_id, Stage::Train).await.unwrap(), Some(row(90.0)));
        assert_eq!(store.forecast(loop_id, Stage::Generate).await.unwrap(), None);
        assert!(store.set_forecast(&row(f64::NAN), at(3)).await.is_err());
    }
}
