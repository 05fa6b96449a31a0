//! Datasets and the artefacts behind everything the work made. The store holds where they are, never their bytes.

use super::column::{Json, Millis, count, ms};
use super::{Change, Store, StoreError};
use crate::base::{ArtifactId, DatasetId, JobId, LoopId, Timestamp};
use serde::Serialize;
use serde_json::Value;

/// One dataset on disk.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct DatasetRow {
    /// Its number.
    pub id: DatasetId,
    /// The loop it was made in.
    pub loop_id: Option<LoopId>,
    /// The job that made it.
    pub job_id: Option<JobId>,
    /// The hash of its manifest.
    pub artifact: ArtifactId,
    /// Its folder.
    pub path: String,
    /// Episodes in it.
    pub episodes: u32,
    /// Frames in it.
    pub frames: u32,
    /// Training samples in it.
    pub samples: u32,
    /// The strategy that made it.
    pub strategy: String,
    /// What else is known of it.
    pub summary: Value,
    /// When it was stored.
    pub created_at: Timestamp,
}

/// A dataset to enter.
#[derive(Debug, Clone, PartialEq)]
pub struct NewDataset {
    /// The loop it was made in.
    pub loop_id: Option<LoopId>,
    /// The job that made it.
    pub job_id: Option<JobId>,
    /// The hash of its manifest.
    pub artifact: ArtifactId,
    /// Its folder.
    pub path: String,
    /// Episodes in it.
    pub episodes: u32,
    /// Frames in it.
    pub frames: u32,
    /// Training samples in it.
    pub samples: u32,
    /// The strategy that made it.
    pub strategy: String,
    /// What else is known of it.
    pub summary: Value,
}

/// One artefact: bytes that are named by their content.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ArtifactRow {
    /// The hash of its content.
    pub id: ArtifactId,
    /// What it is: `clip`, `chart`, `dataset`, `checkpoint`.
    pub kind: String,
    /// Its size in bytes.
    pub bytes: u64,
    /// What made it: `job 3`, `chart`.
    pub producer: String,
    /// From which inputs and settings.
    pub provenance: Value,
}

macro_rules! select_dataset {
    ($tail:tt $(, $arg:expr)*) => {
        sqlx::query_as!(
            DatasetRow,
            r#"SELECT id AS "id!: DatasetId", loop_id AS "loop_id?: LoopId", job_id AS "job_id?: JobId",
                artifact AS "artifact!: ArtifactId", path AS "path!", episodes AS "episodes!: u32",
                frames AS "frames!: u32", samples AS "samples!: u32", strategy AS "strategy!",
                summary AS "summary!: Json", created_at AS "created_at!: Millis"
            FROM datasets "# + $tail
            $(, $arg)*
        )
    };
}

impl Store {
    /// Enters a dataset. The same job entered the same artefact before: that row's number.
    pub async fn add_dataset(&self, new: &NewDataset, at: Timestamp) -> Result<DatasetId, StoreError> {
        let mut tx = self.immediate().await?;
        sqlx::query!(
            "INSERT INTO datasets (loop_id, job_id, artifact, path, episodes, frames, samples, strategy, summary, created_at)
            VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (job_id, artifact) DO NOTHING",
            new.loop_id,
            new.job_id,
            new.artifact,
            new.path,
            new.episodes,
            new.frames,
            new.samples,
            new.strategy,
            new.summary.to_string(),
            ms(at)
        )
        .execute(&mut *tx)
        .await?;
        let id =
            select_dataset!("WHERE artifact = ? AND job_id IS ? ORDER BY id DESC LIMIT 1", new.artifact, new.job_id)
                .fetch_one(&mut *tx)
                .await?
                .id;
        tx.commit().await?;
        self.changed(Change::Evaluation);
        Ok(id)
    }

    /// One dataset.
    pub async fn dataset(&self, id: DatasetId) -> Result<Option<DatasetRow>, StoreError> {
        Ok(select_dataset!("WHERE id = ?", id).fetch_optional(&self.reader).await?)
    }

    /// Every dataset, oldest first.
    pub async fn datasets(&self) -> Result<Vec<DatasetRow>, StoreError> {
        Ok(select_dataset!("ORDER BY id").fetch_all(&self.reader).await?)
    }

    /// Enters an artefact. The same content again changes nothing.
    pub async fn add_artifact(&self, row: &ArtifactRow, at: Timestamp) -> Result<(), StoreError> {
        sqlx::query!(
            "INSERT INTO artifacts (id, kind, bytes, producer, provenance, created_at) VALUES (?, ?, ?, ?, ?, ?)
            ON CONFLICT (id) DO NOTHING",
            row.id,
            row.kind,
            count(row.bytes),
            row.producer,
            row.provenance.to_string(),
            ms(at)
        )
        .execute(&self.writer)
        .await?;
        Ok(())
    }

    /// Artefacts whose hash begins with `prefix`, a few at most.
    pub async fn artifacts_like(&self, prefix: &str) -> Result<Vec<ArtifactRow>, StoreError> {
        let rows = sqlx::query_as!(
            ArtifactRow,
            r#"SELECT id AS "id!: ArtifactId", kind AS "kind!", bytes AS "bytes!: u64", producer AS "producer!",
                provenance AS "provenance!: Json"
            FROM artifacts WHERE substr(id, 1, length(?1)) = ?1 ORDER BY id LIMIT 8"#,
            prefix
        );
        Ok(rows.fetch_all(&self.reader).await?)
    }

    /// One artefact.
    pub async fn artifact(&self, id: &ArtifactId) -> Result<Option<ArtifactRow>, StoreError> {
        let row = sqlx::query_as!(
            ArtifactRow,
            r#"SELECT id AS "id!: ArtifactId", kind AS "kind!", bytes AS "bytes!: u64", producer AS "producer!",
                provenance AS "provenance!: Json"
            FROM artifacts WHERE id = ?"#,
            id
        );
        Ok(row.fetch_optional(&self.reader).await?)
    }
}

#[cfg(test)]
mod tests {
    use super::super::fixtures::{at, job};
    use super::*;
    use serde_json::json;

    #[tokio::test]
    async fn what_a_job_made_is_entered_once_and_equal_work_of_another_job_has_its_own_row() {
        let store = Store::in_memory().await.unwrap();
        let first = store.enqueue(&job("a"), at(0)).await.unwrap();
        let second = store.enqueue(&job("b"), at(0)).await.unwrap();
        let new = NewDataset {
            loop_id: None,
            job_id: Some(first),
            artifact: ArtifactId("ab".into()),
            path: "datasets/1".into(),
            episodes: 2,
            frames: 300,
            samples: 280,
            strategy: "expert".into(),
            summary: json!({"families": {"open": 2}}),
        };
        let id = store.add_dataset(&new, at(0)).await.unwrap();
        assert_eq!(store.add_dataset(&new, at(1)).await.unwrap(), id);
        let rows = store.datasets().await.unwrap();
        assert_eq!((rows.len(), rows[0].frames, rows[0].created_at), (1, 300, at(0)));
        assert_eq!(store.dataset(id).await.unwrap().as_ref(), rows.first());
        let other = NewDataset { job_id: Some(second), ..new };
        assert_ne!(store.add_dataset(&other, at(2)).await.unwrap(), id);
    }

    #[tokio::test]
    async fn artefacts_keep_what_made_them() {
        let store = Store::in_memory().await.unwrap();
        let row = ArtifactRow {
            id: ArtifactId("cd".into()),
            kind: "clip".into(),
            bytes: 5_000_000_000,
            producer: "job 3".into(),
            provenance: json!({"scene": 4}),
        };
        store.add_artifact(&row, at(0)).await.unwrap();
        store.add_artifact(&row, at(1)).await.unwrap();
        assert_eq!(store.artifacts_like("c").await.unwrap(), std::slice::from_ref(&row));
        assert_eq!(store.artifact(&row.id).await.unwrap(), Some(row));
        assert_eq!(store.artifact(&ArtifactId("no".into())).await.unwrap(), None);
    }
}
