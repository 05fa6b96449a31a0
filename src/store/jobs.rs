//! Jobs: blocking work that outlives the process that runs it.
//!
//! A runner claims a job under a lease and renews it while it works. A lease that ran out means that the runner died:
//! the next claim gets the same job again. A key names the work, so asking twice makes one job.

use super::column::{Json, MaybeJson, MaybeMillis, Millis, count, ms};
use super::mailbox::insert_mail;
use super::{Change, MailKind, Store, StoreError};
use crate::base::{JobId, JobKind, JobState, LoopId, Progress, Stage, Timestamp};
use serde::Serialize;
use serde_json::{Value, json};
use sqlx::SqliteConnection;

/// One job.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct JobRow {
    /// Its number.
    pub id: JobId,
    /// What it does.
    pub kind: JobKind,
    /// With which settings.
    pub spec: Value,
    /// The name of the work, for asking twice without doing it twice.
    pub key: String,
    /// The agent that its events wake.
    pub owner: String,
    /// The loop it works for.
    pub loop_id: Option<LoopId>,
    /// The stage it works for.
    pub stage: Option<Stage>,
    /// Where it stands.
    pub state: JobState,
    /// How often it was claimed.
    pub attempts: u32,
    /// Until when its runner holds it; none unless it runs.
    pub lease_until: Option<Timestamp>,
    /// Units done.
    pub done: u64,
    /// Units asked for; 0 until the first progress.
    pub total: u64,
    /// The unit, in the plural.
    pub unit: String,
    /// One short fragment about the progress.
    pub note: String,
    /// When it last told its progress.
    pub progress_at: Option<Timestamp>,
    /// What it made.
    pub result: Option<Value>,
    /// Why it failed.
    pub error: Option<String>,
    /// Whether somebody asked it to stop.
    pub cancel_requested: bool,
    /// When it was asked for.
    pub created_at: Timestamp,
    /// When it was first claimed.
    pub started_at: Option<Timestamp>,
    /// When it ended, however it did.
    pub finished_at: Option<Timestamp>,
}

/// Work to do.
#[derive(Debug, Clone, PartialEq)]
pub struct NewJob {
    /// What it does.
    pub kind: JobKind,
    /// With which settings.
    pub spec: Value,
    /// The name of the work, e.g. `mission1/loop1/train`.
    pub key: String,
    /// The agent that its events wake.
    pub owner: String,
    /// The loop it works for.
    pub loop_id: Option<LoopId>,
    /// The stage it works for.
    pub stage: Option<Stage>,
}

macro_rules! select_job {
    ($tail:tt $(, $arg:expr)*) => {
        sqlx::query_as!(
            JobRow,
            r#"SELECT id AS "id!: JobId", kind AS "kind!: JobKind", spec AS "spec!: Json", key AS "key!",
                owner AS "owner!", loop_id AS "loop_id?: LoopId", stage AS "stage?: Stage", state AS "state!: JobState",
                attempts AS "attempts!: u32", lease_until AS "lease_until!: MaybeMillis", done AS "done!: u64",
                total AS "total!: u64", unit AS "unit!", note AS "note!", progress_at AS "progress_at!: MaybeMillis",
                result AS "result!: MaybeJson", error, cancel_requested AS "cancel_requested!: bool",
                created_at AS "created_at!: Millis", started_at AS "started_at!: MaybeMillis",
                finished_at AS "finished_at!: MaybeMillis"
            FROM jobs "# + $tail
            $(, $arg)*
        )
    };
}

impl Store {
    /// Asks for work. Work with the same key was asked for before: that job's number.
    pub async fn enqueue(&self, new: &NewJob, at: Timestamp) -> Result<JobId, StoreError> {
        let mut tx = self.immediate().await?;
        sqlx::query!(
            "INSERT INTO jobs (kind, spec, key, owner, loop_id, stage, state, created_at)
            VALUES (?, ?, ?, ?, ?, ?, 'queued', ?) ON CONFLICT (key) DO NOTHING",
            new.kind,
            new.spec.to_string(),
            new.key,
            new.owner,
            new.loop_id,
            new.stage,
            ms(at)
        )
        .execute(&mut *tx)
        .await?;
        let id = select_job!("WHERE key = ?", new.key).fetch_one(&mut *tx).await?.id;
        tx.commit().await?;
        self.changed(Change::Job);
        Ok(id)
    }

    /// Claims the oldest job that is queued or whose runner's lease ran out, until `lease_until`. A job that was asked
    /// to stop and whose runner died ends as cancelled here.
    pub async fn claim_next_job(
        &self,
        worker: &str,
        lease_until: Timestamp,
        at: Timestamp,
    ) -> Result<Option<JobRow>, StoreError> {
        let mut tx = self.immediate().await?;
        let orphans = select_job!("WHERE state = 'running' AND lease_until <= ? AND cancel_requested = 1", ms(at))
            .fetch_all(&mut *tx)
            .await?;
        for job in &orphans {
            end_job(&mut tx, job.id, JobState::Cancelled, None, None, at).await?;
        }
        let next = select_job!(
            "WHERE state = 'queued' OR (state = 'running' AND lease_until <= ?) ORDER BY id LIMIT 1",
            ms(at)
        )
        .fetch_optional(&mut *tx)
        .await?;
        let claimed = match next {
            None => None,
            Some(job) => {
                sqlx::query!(
                    "UPDATE jobs SET state = 'running', worker = ?, lease_until = ?, attempts = attempts + 1,
                        started_at = coalesce(started_at, ?) WHERE id = ?",
                    worker,
                    ms(lease_until),
                    ms(at),
                    job.id
                )
                .execute(&mut *tx)
                .await?;
                select_job!("WHERE id = ?", job.id).fetch_optional(&mut *tx).await?
            }
        };
        tx.commit().await?;
        if claimed.is_some() || !orphans.is_empty() {
            self.changed(Change::Job);
        }
        Ok(claimed)
    }

    /// Holds a running job for longer. False when it does not run, or another worker has it by now.
    pub async fn renew_lease(
        &self,
        job: JobId,
        worker: &str,
        lease_until: Timestamp,
        _at: Timestamp,
    ) -> Result<bool, StoreError> {
        let done = sqlx::query!(
            "UPDATE jobs SET lease_until = ? WHERE id = ? AND worker = ? AND state = 'running'",
            ms(lease_until),
            job,
            worker
        )
        .execute(&self.writer)
        .await?;
        Ok(done.rows_affected() == 1)
    }

    /// Notes how far a running job is. Nothing happens when it does not run.
    pub async fn job_progress(&self, job: JobId, progress: &Progress, at: Timestamp) -> Result<(), StoreError> {
        sqlx::query!(
            "UPDATE jobs SET done = ?, total = ?, unit = ?, note = ?, progress_at = ? WHERE id = ? AND state = 'running'",
            count(progress.done),
            count(progress.total),
            progress.unit,
            progress.note,
            ms(at),
            job
        )
        .execute(&self.writer)
        .await?;
        self.changed(Change::Job);
        Ok(())
    }

    /// Ends a running job with its result, and mails its owner. False when it does not run.
    pub async fn finish_job(&self, job: JobId, result: &Value, at: Timestamp) -> Result<bool, StoreError> {
        self.end_running(job, JobState::Succeeded, Some(result), None, at).await
    }

    /// Ends a running job with an error, and mails its owner. A job that was asked to stop ends as cancelled instead.
    /// False when it does not run.
    pub async fn fail_job(&self, job: JobId, error: &str, at: Timestamp) -> Result<bool, StoreError> {
        self.end_running(job, JobState::Failed, None, Some(error), at).await
    }

    /// Asks a job to stop. One that waits ends at once; one that runs is flagged, and ends when its runner says so.
    pub async fn cancel_job(&self, job: JobId, at: Timestamp) -> Result<(), StoreError> {
        let mut tx = self.immediate().await?;
        sqlx::query!("UPDATE jobs SET cancel_requested = 1 WHERE id = ? AND state IN ('queued', 'running')", job)
            .execute(&mut *tx)
            .await?;
        let queued = select_job!("WHERE id = ? AND state = 'queued'", job).fetch_optional(&mut *tx).await?;
        if queued.is_some() {
            end_job(&mut tx, job, JobState::Cancelled, None, None, at).await?;
        }
        tx.commit().await?;
        self.changed(Change::Job);
        Ok(())
    }

    /// Lets every lease run out now. For the start of the one process that holds the data folder: whoever held a lease
    /// is dead. Their number.
    pub async fn release_leases(&self, at: Timestamp) -> Result<u64, StoreError> {
        let at = ms(at);
        let done = sqlx::query!("UPDATE jobs SET lease_until = ? WHERE state = 'running'", at)
            .execute(&self.writer)
            .await?;
        self.changed(Change::Job);
        Ok(done.rows_affected())
    }

    /// Gives a running job's lease back, so that it can be claimed again at once: a clean shutdown, which does not
    /// count as an attempt. A job that was asked to stop ends as cancelled instead.
    pub async fn requeue_job(&self, job: JobId, at: Timestamp) -> Result<(), StoreError> {
        let mut tx = self.immediate().await?;
        let running = select_job!("WHERE id = ? AND state = 'running'", job).fetch_optional(&mut *tx).await?;
        match running {
            None => return Ok(()),
            Some(row) if row.cancel_requested => {
                end_job(&mut tx, job, JobState::Cancelled, None, None, at).await?;
            }
            Some(_) => {
                sqlx::query!("UPDATE jobs SET state = 'queued', worker = NULL, lease_until = NULL, attempts = attempts - 1 WHERE id = ?", job)
                    .execute(&mut *tx)
                    .await?;
            }
        }
        tx.commit().await?;
        self.changed(Change::Job);
        Ok(())
    }

    /// One job.
    pub async fn job(&self, id: JobId) -> Result<Option<JobRow>, StoreError> {
        Ok(select_job!("WHERE id = ?", id).fetch_optional(&self.reader).await?)
    }

    /// The newest jobs, newest first.
    pub async fn jobs(&self, limit: u32) -> Result<Vec<JobRow>, StoreError> {
        Ok(select_job!("ORDER BY id DESC LIMIT ?", limit).fetch_all(&self.reader).await?)
    }

    /// The jobs that wait or run, oldest first.
    pub async fn open_jobs(&self) -> Result<Vec<JobRow>, StoreError> {
        Ok(select_job!("WHERE state IN ('queued', 'running') ORDER BY id").fetch_all(&self.reader).await?)
    }

    /// The jobs of a loop, oldest first.
    pub async fn jobs_of_loop(&self, loop_id: LoopId) -> Result<Vec<JobRow>, StoreError> {
        Ok(select_job!("WHERE loop_id = ? ORDER BY id", loop_id).fetch_all(&self.reader).await?)
    }

    async fn end_running(
        &self,
        job: JobId,
        state: JobState,
        result: Option<&Value>,
        error: Option<&str>,
        at: Timestamp,
    ) -> Result<bool, StoreError> {
        let mut tx = self.immediate().await?;
        let running = select_job!("WHERE id = ? AND state = 'running'", job).fetch_optional(&mut *tx).await?;
        let Some(row) = running else { return Ok(false) };
        let state = if state == JobState::Failed && row.cancel_requested { JobState::Cancelled } else { state };
        end_job(&mut tx, job, state, result, error, at).await?;
        tx.commit().await?;
        self.changed(Change::Job);
        self.changed(Change::Mailbox);
        Ok(true)
    }
}

/// Writes the end of a job and the mail about it.
async fn end_job(
    connection: &mut SqliteConnection,
    job: JobId,
    state: JobState,
    result: Option<&Value>,
    error: Option<&str>,
    at: Timestamp,
) -> Result<(), StoreError> {
    sqlx::query!(
        "UPDATE jobs SET state = ?, result = ?, error = ?, worker = NULL, lease_until = NULL, finished_at = ? WHERE id = ?",
        state,
        result.map(Value::to_string),
        error,
        ms(at),
        job
    )
    .execute(&mut *connection)
    .await?;
    let row = select_job!("WHERE id = ?", job).fetch_one(&mut *connection).await?;
    let payload = json!({
        "job": row.id, "kind": row.kind, "key": row.key, "loop": row.loop_id, "stage": row.stage,
        "state": row.state, "error": row.error,
    });
    insert_mail(connection, &row.owner, MailKind::JobEvent, &payload, &format!("job-{job}-finished"), at).await?;
    Ok(())
}
