//! Closed-loop evaluations, scene by scene, and how fast this machine was measured to be.

use super::column::{Json, Millis, count, ms, stored_states};
use super::error::finite;
use super::{Change, Store, StoreError};
use crate::base::{ArtifactId, CheckpointId, EvaluationId, JobId, LoopId, Proportion, Timestamp};
use serde::Serialize;
use serde_json::Value;

stored_states! {
    /// What an evaluation is for.
    EvaluationKind {
        /// A few scenes while training runs.
        Canary = "canary",
        /// The evaluation that the gate decides by.
        Loop = "loop",
        /// Somebody asked.
        AdHoc = "ad-hoc",
    }
}

/// One evaluation of one checkpoint.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct EvaluationRow {
    /// Its number.
    pub id: EvaluationId,
    /// What it is for.
    pub kind: EvaluationKind,
    /// The loop it belongs to.
    pub loop_id: Option<LoopId>,
    /// The job that ran it.
    pub job_id: Option<JobId>,
    /// The checkpoint that drove; none for weights that were not stored.
    pub checkpoint_id: Option<CheckpointId>,
    /// Samples the policy was trained on by then.
    pub samples_seen: u64,
    /// How many actions of a chunk were carried out before the next look.
    pub execute_steps: u32,
    /// Whole scenes solved.
    pub scenes: Proportion,
    /// Bricks delivered.
    pub bricks: Proportion,
    /// What else is known of it.
    pub summary: Value,
    /// When it was stored.
    pub created_at: Timestamp,
}

/// An evaluation to enter.
#[derive(Debug, Clone, PartialEq)]
pub struct NewEvaluation {
    /// What it is for.
    pub kind: EvaluationKind,
    /// The loop it belongs to.
    pub loop_id: Option<LoopId>,
    /// The job that ran it.
    pub job_id: Option<JobId>,
    /// The checkpoint that drove.
    pub checkpoint_id: Option<CheckpointId>,
    /// Samples the policy was trained on by then.
    pub samples_seen: u64,
    /// How many actions of a chunk were carried out before the next look.
    pub execute_steps: u32,
    /// Whole scenes solved.
    pub scenes: Proportion,
    /// Bricks delivered.
    pub bricks: Proportion,
    /// What else is known of it.
    pub summary: Value,
}

/// How one scene of an evaluation went.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct SceneRow {
    /// Its number within the evaluation; the same number is the same scene in paired evaluations.
    pub scene: u32,
    /// Its scenario family.
    pub family: String,
    /// Whether every brick was delivered.
    pub success: bool,
    /// Bricks in the scene.
    pub bricks: u32,
    /// Bricks delivered.
    pub delivered: u32,
    /// Control steps it took.
    pub steps: u32,
    /// The kind of failure; none after success.
    pub failure: Option<String>,
    /// Where the loader ended, metres.
    pub x_m: f64,
    /// Where the loader ended, metres.
    pub z_m: f64,
    /// The clip of it.
    pub clip: Option<ArtifactId>,
}

macro_rules! select_evaluation {
    ($tail:tt $(, $arg:expr)*) => {
        sqlx::query!(
            r#"SELECT id AS "id!: EvaluationId", kind AS "kind!: EvaluationKind", loop_id AS "loop_id?: LoopId",
                job_id AS "job_id?: JobId", checkpoint_id AS "checkpoint_id?: CheckpointId",
                samples_seen AS "samples_seen!: u64", execute_steps AS "execute_steps!: u32",
                scenes_solved AS "scenes_solved!: u32", scenes_tried AS "scenes_tried!: u32",
                bricks_delivered AS "bricks_delivered!: u32", bricks_given AS "bricks_given!: u32",
                summary AS "summary!: Json", created_at AS "created_at!: Millis"
            FROM evaluations "# + $tail
            $(, $arg)*
        )
        .map(|row| EvaluationRow {
            id: row.id,
            kind: row.kind,
            loop_id: row.loop_id,
            job_id: row.job_id,
            checkpoint_id: row.checkpoint_id,
            samples_seen: row.samples_seen,
            execute_steps: row.execute_steps,
            scenes: Proportion::new(row.scenes_solved, row.scenes_tried),
            bricks: Proportion::new(row.bricks_delivered, row.bricks_given),
            summary: row.summary.into(),
            created_at: row.created_at.into(),
        })
    };
}

impl Store {
    /// Enters an evaluation with its scenes, all or nothing. The same `key` was entered before: that row's number.
    ///
    /// # Errors
    /// [`StoreError::NotFinite`] for a position that is no number.
    pub async fn add_evaluation(
        &self,
        new: &NewEvaluation,
        scenes: &[SceneRow],
        key: &str,
        at: Timestamp,
    ) -> Result<EvaluationId, StoreError> {
        let mut tx = self.immediate().await?;
        let done = sqlx::query!(
            "INSERT INTO evaluations (key, kind, loop_id, job_id, checkpoint_id, samples_seen, execute_steps,
                scenes_solved, scenes_tried, bricks_delivered, bricks_given, summary, created_at)
            VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (key) DO NOTHING",
            key,
            new.kind,
            new.loop_id,
            new.job_id,
            new.checkpoint_id,
            count(new.samples_seen),
            new.execute_steps,
            new.scenes.successes,
            new.scenes.trials,
            new.bricks.successes,
            new.bricks.trials,
            new.summary.to_string(),
            ms(at)
        )
        .execute(&mut *tx)
        .await?;
        let is_new = done.rows_affected() == 1;
        let id = select_evaluation!("WHERE key = ?", key).fetch_one(&mut *tx).await?.id;
        for scene in scenes.iter().filter(|_| is_new) {
            sqlx::query!(
                "INSERT INTO evaluation_scenes
                    (evaluation_id, scene, family, success, bricks, delivered, steps, failure, x_m, z_m, clip)
                VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
                id,
                scene.scene,
                scene.family,
                scene.success,
                scene.bricks,
                scene.delivered,
                scene.steps,
                scene.failure,
                finite("x_m", scene.x_m)?,
                finite("z_m", scene.z_m)?,
                scene.clip
            )
            .execute(&mut *tx)
            .await?;
        }
        tx.commit().await?;
        self.changed(Change::Evaluation);
        Ok(id)
    }

    /// One evaluation.
    pub async fn evaluation(&self, id: EvaluationId) -> Result<Option<EvaluationRow>, StoreError> {
        Ok(select_evaluation!("WHERE id = ?", id).fetch_optional(&self.reader).await?)
    }

    /// The evaluations of a loop, or all of them; oldest first.
    pub async fn evaluations(&self, loop_id: Option<LoopId>) -> Result<Vec<EvaluationRow>, StoreError> {
        Ok(select_evaluation!("WHERE ?1 IS NULL OR loop_id = ?1 ORDER BY id", loop_id).fetch_all(&self.reader).await?)
    }

    /// The scenes of an evaluation, by number.
    pub async fn scenes_of(&self, evaluation: EvaluationId) -> Result<Vec<SceneRow>, StoreError> {
        let rows = sqlx::query_as!(
            SceneRow,
            r#"SELECT scene AS "scene!: u32", family AS "family!", success AS "success!: bool", bricks AS "bricks!: u32",
                delivered AS "delivered!: u32", steps AS "steps!: u32", failure, x_m AS "x_m!", z_m AS "z_m!",
                clip AS "clip?: ArtifactId"
            FROM evaluation_scenes WHERE evaluation_id = ? ORDER BY scene"#,
            evaluation
        );
        Ok(rows.fetch_all(&self.reader).await?)
    }

    /// Filmed scenes whose clip's hash begins with `prefix`, a few at most.
    pub async fn clips_like(&self, prefix: &str) -> Result<Vec<(EvaluationId, u32, ArtifactId)>, StoreError> {
        let rows = sqlx::query!(
            r#"SELECT evaluation_id AS "evaluation!: EvaluationId", scene AS "scene!: u32", clip AS "clip!: ArtifactId"
            FROM evaluation_scenes WHERE substr(clip, 1, length(?1)) = ?1 ORDER BY evaluation_id LIMIT 8"#,
            prefix
        )
        .fetch_all(&self.reader)
        .await?;
        Ok(rows.into_iter().map(|row| (row.evaluation, row.scene, row.clip)).collect())
    }

    /// Notes how fast something was measured to be, in the place of any earlier measurement: `train.samples_per_s`.
    ///
    /// # Errors
    /// [`StoreError::NotFinite`] for a value that is no number.
    pub async fn set_measurement(&self, name: &str, value: f64, unit: &str, at: Timestamp) -> Result<(), StoreError> {
        sqlx::query!(
            "INSERT INTO measurements (name, value, unit, measured_at) VALUES (?, ?, ?, ?)
            ON CONFLICT (name) DO UPDATE SET value = excluded.value, unit = excluded.unit, measured_at = excluded.measured_at",
            name,
            finite("measurement", value)?,
            unit,
            ms(at)
        )
        .execute(&self.writer)
        .await?;
        Ok(())
    }

    /// What was last measured under that name.
    pub async fn measurement(&self, name: &str) -> Result<Option<f64>, StoreError> {
        let value = sqlx::query_scalar!(r#"SELECT value AS "value!" FROM measurements WHERE name = ?"#, name);
        Ok(value.fetch_optional(&self.reader).await?)
    }
}

#[cfg(test)]
mod tests {
    use super::super::fixtures::{at, first_loop};
    use super::*;
    use serde_json::json;

    fn scene(number: u32, success: bool) -> SceneRow {
        SceneRow {
            scene: number,
            family: "open-floor".into(),
            success,
            bricks: 2,
            delivered: if success { 2 } else { 1 },
            steps: 300,
            failure: (!success).then(|| "wall-stuck".into()),
            x_m: -7.5,
            z_m: 2.25,
            clip: success.then(|| ArtifactId("ab".into())),
        }
    }

    #[tokio::test]
    async fn an_evaluation_is_entered_once_with_all_its_scenes() {
        let store = Store::in_memory().await.unwrap();
        let loop_id = first_loop(&store).await;
        let new = NewEvaluation {
            kind: EvaluationKind::Loop,
            loop_id: Some(loop_id),
            job_id: None,
            checkpoint_id: None,
            samples_seen: 64_000,
            execute_steps: 8,
            scenes: Proportion::new(1, 2),
            bricks: Proportion::new(3, 4),
            summary: json!({"seed": 1}),
        };
        let scenes = [scene(0, true), scene(1, false)];
        let id = store.add_evaluation(&new, &scenes, "loop1", at(0)).await.unwrap();
        assert_eq!(store.add_evaluation(&new, &scenes, "loop1", at(1)).await.unwrap(), id);
        assert_eq!(store.scenes_of(id).await.unwrap(), scenes);
        let row = store.evaluation(id).await.unwrap().unwrap();
        assert_eq!((row.scenes, row.bricks, row.kind), (new.scenes, new.bricks, EvaluationKind::Loop));
        assert_eq!(store.clips_like("a").await.unwrap(), [(id, 0, ArtifactId("ab".into()))]);
        assert_eq!(store.clips_like("%").await.unwrap(), []);
        let ad_hoc = NewEvaluation { kind: EvaluationKind::AdHoc, loop_id: None, ..new.clone() };
        store.add_evaluation(&ad_hoc, &[], "asked", at(2)).await.unwrap();
        assert_eq!(store.evaluations(Some(loop_id)).await.unwrap(), [row]);
        assert_eq!(store.evaluations(None).await.unwrap().len(), 2);
        let lost = SceneRow { x_m: f64::INFINITY, ..scene(0, false) };
        assert!(matches!(
            store.add_evaluation(&new, &[lost], "bad", at(3)).await,
            Err(StoreError::NotFinite { what: "x_m", .. })
        ));
        assert_eq!(store.evaluations(None).await.unwrap().len(), 2, "all or nothing");
    }

    #[tokio::test]
    async fn the_last_measurement_counts() {
        let store = Store::in_memory().await.unwrap();
        assert_eq!(store.measurement("train.samples_per_s").await.unwrap(), None);
        store.set_measurement("train.samples_per_s", 120.5, "samples/s", at(0)).await.unwrap();
        store.set_measurement("train.samples_per_s", 130.0, "samples/s", at(1)).await.unwrap();
        assert_eq!(store.measurement("train.samples_per_s").await.unwrap(), Some(130.0));
    }
}
