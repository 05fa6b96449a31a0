//! Checkpoints, who of them is champion, and the training curves that led there.

use super::column::{Json, MaybeMillis, Millis, count, ms};
use super::error::finite;
use super::{Change, Store, StoreError};
use crate::base::{ArtifactId, CheckpointId, JobId, LoopId, Timestamp};
use serde::Serialize;
use serde_json::Value;

/// One checkpoint on disk.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct CheckpointRow {
    /// Its number.
    pub id: CheckpointId,
    /// The loop it was trained in.
    pub loop_id: Option<LoopId>,
    /// The job that trained it.
    pub job_id: Option<JobId>,
    /// The checkpoint its training began from.
    pub parent: Option<CheckpointId>,
    /// The hash of its manifest.
    pub artifact: ArtifactId,
    /// Its folder.
    pub path: String,
    /// Samples it was trained on, its parents' included.
    pub samples_seen: u64,
    /// The last training loss; it ranks nothing.
    pub final_loss: f64,
    /// What else is known of it.
    pub summary: Value,
    /// Since when it is champion; none when it is not.
    pub champion_since: Option<Timestamp>,
    /// Why it may not be used any more; none when it may.
    pub refused: Option<String>,
    /// When it was stored.
    pub created_at: Timestamp,
}

/// A checkpoint to enter.
#[derive(Debug, Clone, PartialEq)]
pub struct NewCheckpoint {
    /// The loop it was trained in.
    pub loop_id: Option<LoopId>,
    /// The job that trained it.
    pub job_id: Option<JobId>,
    /// The checkpoint its training began from.
    pub parent: Option<CheckpointId>,
    /// The hash of its manifest.
    pub artifact: ArtifactId,
    /// Its folder.
    pub path: String,
    /// Samples it was trained on, its parents' included.
    pub samples_seen: u64,
    /// The last training loss.
    pub final_loss: f64,
    /// What else is known of it.
    pub summary: Value,
}

macro_rules! select_checkpoint {
    ($tail:tt $(, $arg:expr)*) => {
        sqlx::query_as!(
            CheckpointRow,
            r#"SELECT id AS "id!: CheckpointId", loop_id AS "loop_id?: LoopId", job_id AS "job_id?: JobId",
                parent AS "parent?: CheckpointId", artifact AS "artifact!: ArtifactId", path AS "path!",
                samples_seen AS "samples_seen!: u64", final_loss AS "final_loss!", summary AS "summary!: Json",
                champion_since AS "champion_since!: MaybeMillis", refused, created_at AS "created_at!: Millis"
            FROM checkpoints "# + $tail
            $(, $arg)*
        )
    };
}

impl Store {
    /// Enters a checkpoint. The same job entered the same artefact before: that row's number.
    ///
    /// # Errors
    /// [`StoreError::NotFinite`] for a loss that is no number.
    pub async fn add_checkpoint(&self, new: &NewCheckpoint, at: Timestamp) -> Result<CheckpointId, StoreError> {
        let final_loss = finite("final_loss", new.final_loss)?;
        let mut tx = self.immediate().await?;
        sqlx::query!(
            "INSERT INTO checkpoints (loop_id, job_id, parent, artifact, path, samples_seen, final_loss, summary, created_at)
            VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (job_id, artifact) DO NOTHING",
            new.loop_id,
            new.job_id,
            new.parent,
            new.artifact,
            new.path,
            count(new.samples_seen),
            final_loss,
            new.summary.to_string(),
            ms(at)
        )
        .execute(&mut *tx)
        .await?;
        let id =
            select_checkpoint!("WHERE artifact = ? AND job_id IS ? ORDER BY id DESC LIMIT 1", new.artifact, new.job_id)
                .fetch_one(&mut *tx)
                .await?
                .id;
        tx.commit().await?;
        self.changed(Change::Evaluation);
        Ok(id)
    }

    /// One checkpoint.
    pub async fn checkpoint(&self, id: CheckpointId) -> Result<Option<CheckpointRow>, StoreError> {
        Ok(select_checkpoint!("WHERE id = ?", id).fetch_optional(&self.reader).await?)
    }

    /// Every checkpoint, oldest first.
    pub async fn checkpoints(&self) -> Result<Vec<CheckpointRow>, StoreError> {
        Ok(select_checkpoint!("ORDER BY id").fetch_all(&self.reader).await?)
    }

    /// The checkpoint that won the last promotion.
    pub async fn champion(&self) -> Result<Option<CheckpointRow>, StoreError> {
        Ok(select_checkpoint!("WHERE champion_since IS NOT NULL").fetch_optional(&self.reader).await?)
    }

    /// Makes a checkpoint the only champion. One that is champion already keeps its date.
    ///
    /// # Errors
    /// [`StoreError::Missing`] when there is no such checkpoint; the champion stays then.
    pub async fn promote(&self, checkpoint: CheckpointId, at: Timestamp) -> Result<(), StoreError> {
        let mut tx = self.immediate().await?;
        sqlx::query!(
            "UPDATE checkpoints SET champion_since = NULL WHERE champion_since IS NOT NULL AND id <> ?",
            checkpoint
        )
        .execute(&mut *tx)
        .await?;
        let done = sqlx::query!(
            "UPDATE checkpoints SET champion_since = coalesce(champion_since, ?) WHERE id = ?",
            ms(at),
            checkpoint
        )
        .execute(&mut *tx)
        .await?;
        if done.rows_affected() == 0 {
            return Err(StoreError::Missing { what: "checkpoint", id: checkpoint.0 });
        }
        tx.commit().await?;
        self.changed(Change::Evaluation);
        Ok(())
    }

    /// Takes a checkpoint out of use, for good: it failed its certificate. It is no champion any more. The first reason
    /// stays.
    pub async fn refuse_checkpoint(&self, checkpoint: CheckpointId, why: &str) -> Result<(), StoreError> {
        let done = sqlx::query!(
            "UPDATE checkpoints SET refused = coalesce(refused, ?), champion_since = NULL WHERE id = ?",
            why,
            checkpoint
        )
        .execute(&self.writer)
        .await?;
        if done.rows_affected() == 0 {
            return Err(StoreError::Missing { what: "checkpoint", id: checkpoint.0 });
        }
        self.changed(Change::Evaluation);
        Ok(())
    }

    /// Enters a point of a job's training curve: the loss and the learning rate after `samples` samples. Training that
    /// was resumed writes over the points it repeats.
    ///
    /// # Errors
    /// [`StoreError::NotFinite`] for a loss or rate that is no number: training has diverged.
    pub async fn add_training_point(&self, job: JobId, samples: u64, loss: f64, lr: f64) -> Result<(), StoreError> {
        sqlx::query!(
            "INSERT INTO training_points (job_id, samples, loss, lr) VALUES (?, ?, ?, ?)
            ON CONFLICT (job_id, samples) DO UPDATE SET loss = excluded.loss, lr = excluded.lr",
            job,
            count(samples),
            finite("loss", loss)?,
            finite("lr", lr)?
        )
        .execute(&self.writer)
        .await?;
        self.changed(Change::Evaluation);
        Ok(())
    }

    /// A job's training curve: samples and loss, in the order of samples.
    pub async fn training_points(&self, job: JobId) -> Result<Vec<(u64, f64)>, StoreError> {
        let points = sqlx::query!(
            r#"SELECT samples AS "samples!: u64", loss AS "loss!" FROM training_points WHERE job_id = ? ORDER BY samples"#,
            job
        )
        .fetch_all(&self.reader)
        .await?;
        Ok(points.into_iter().map(|point| (point.samples, point.loss)).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::super::fixtures::{at, job};
    use super::*;
    use serde_json::json;

    fn checkpoint(artifact: &str, parent: Option<CheckpointId>) -> NewCheckpoint {
        NewCheckpoint {
            loop_id: None,
            job_id: None,
            parent,
            artifact: ArtifactId(artifact.into()),
            path: format!("checkpoints/{artifact}"),
            samples_seen: 1000,
            final_loss: 0.25,
            summary: json!({}),
        }
    }

    #[tokio::test]
    async fn there_is_one_champion_and_promoting_nothing_keeps_it() {
        let store = Store::in_memory().await.unwrap();
        assert_eq!(store.champion().await.unwrap(), None);
        let job_id = Some(store.enqueue(&job("a"), at(0)).await.unwrap());
        let of_job = NewCheckpoint { job_id, ..checkpoint("a", None) };
        let first = store.add_checkpoint(&of_job, at(0)).await.unwrap();
        assert_eq!(store.add_checkpoint(&of_job, at(1)).await.unwrap(), first);
        let second = store.add_checkpoint(&checkpoint("b", Some(first)), at(1)).await.unwrap();
        store.promote(first, at(2)).await.unwrap();
        store.promote(second, at(3)).await.unwrap();
        store.promote(second, at(4)).await.unwrap();
        let champion = store.champion().await.unwrap().unwrap();
        assert_eq!((champion.id, champion.parent, champion.champion_since), (second, Some(first), Some(at(3))));
        assert_eq!(store.checkpoint(first).await.unwrap().unwrap().champion_since, None);
        assert!(matches!(store.promote(CheckpointId(99), at(5)).await, Err(StoreError::Missing { .. })));
        assert_eq!(store.champion().await.unwrap().map(|row| row.id), Some(second));
        assert_eq!(store.checkpoints().await.unwrap().len(), 2);
        store.refuse_checkpoint(second, "its weights are damaged").await.unwrap();
        store.refuse_checkpoint(second, "still").await.unwrap();
        assert_eq!(store.champion().await.unwrap(), None, "what may not be used is no champion");
        let refused = store.checkpoint(second).await.unwrap().unwrap().refused;
        assert_eq!(refused.as_deref(), Some("its weights are damaged"));
    }

    #[tokio::test]
    async fn resumed_training_writes_over_its_points_and_divergence_is_named() {
        let store = Store::in_memory().await.unwrap();
        let job = store.enqueue(&job("a"), at(0)).await.unwrap();
        for (samples, loss) in [(64, 1.0), (128, 0.5), (64, 0.9)] {
            store.add_training_point(job, samples, loss, 1e-4).await.unwrap();
        }
        assert_eq!(store.training_points(job).await.unwrap(), [(64, 0.9), (128, 0.5)]);
        let error = store.add_training_point(job, 192, f64::NAN, 1e-4).await.unwrap_err();
        assert_eq!(error.to_string(), "loss is NaN: only finite numbers can be stored");
    }
}
