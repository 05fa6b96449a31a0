//! Jobs: blocking work that outlives the process that runs it.
//!
//! A runner claims a job under a lease and renews it while it works. A lease that ran out means that the runner died:
//! the next claim gets the same job again. A key names the work, so asking twice makes one job.

use super::column::{Json, MaybeJson, MaybeMillis, Millis, count, ms};
use super::mailbox::insert_mail;
use super::{Change, MailKind, Store, StoreError};
use crate::base::{Fault, JobId, JobKind, JobState, LoopId, Progress, Stage, Timestamp};
use serde::Serialize;
use serde_json::{Value, json};
use sqlx::SqliteConnection;
use std::time::Duration;

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
    /// When its runner took it up, the last time.
    pub claimed_at: Option<Timestamp>,
    /// When it ended, however it did.
    pub finished_at: Option<Timestamp>,
    /// How long it may run from then on, in milliseconds; none for as long as it takes.
    pub limit_ms: Option<i64>,
    /// The kind of fault, when it failed.
    pub fault: Option<Fault>,
}

impl JobRow {
    /// How long it may run from when it was taken up.
    pub fn limit(&self) -> Option<Duration> {
        self.limit_ms.and_then(|ms| u64::try_from(ms).ok()).map(Duration::from_millis)
    }

    /// Seconds from its first claim to its end, when it ran in one go; what was interrupted tells nothing of its pace.
    pub fn seconds_in_one_go(&self) -> Option<f64> {
        let (started, claimed, finished) = (self.started_at?, self.claimed_at?, self.finished_at?);
        (started == claimed).then(|| finished.duration_since(started).as_secs_f64())
    }
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
    /// How long it may run, counted from when a runner takes it up; none for as long as it takes.
    pub limit: Option<Duration>,
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
                claimed_at AS "claimed_at!: MaybeMillis", finished_at AS "finished_at!: MaybeMillis", limit_ms,
                fault AS "fault?: Fault"
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
            "INSERT INTO jobs (kind, spec, key, owner, loop_id, stage, state, limit_ms, created_at)
            VALUES (?, ?, ?, ?, ?, ?, 'queued', ?, ?) ON CONFLICT (key) DO NOTHING",
            new.kind,
            new.spec.to_string(),
            new.key,
            new.owner,
            new.loop_id,
            new.stage,
            new.limit.map(|limit| i64::try_from(limit.as_millis().max(1)).unwrap_or(i64::MAX)),
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
                        started_at = coalesce(started_at, ?), claimed_at = ? WHERE id = ?",
                    worker,
                    ms(lease_until),
                    ms(at),
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
        self.fail_job_as(job, Fault::Other, error, at).await
    }

    /// The same, with the kind of fault.
    pub async fn fail_job_as(&self, job: JobId, fault: Fault, error: &str, at: Timestamp) -> Result<bool, StoreError> {
        self.end_running(job, JobState::Failed, None, Some((fault, error)), at).await
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
        let done =
            sqlx::query!("UPDATE jobs SET lease_until = ? WHERE state = 'running'", at).execute(&self.writer).await?;
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
        error: Option<(Fault, &str)>,
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
    error: Option<(Fault, &str)>,
    at: Timestamp,
) -> Result<(), StoreError> {
    sqlx::query!(
        "UPDATE jobs SET state = ?, result = ?, error = ?, fault = ?, worker = NULL, lease_until = NULL,
            finished_at = ? WHERE id = ?",
        state,
        result.map(Value::to_string),
        error.map(|(_, text)| text),
        error.map(|(fault, _)| fault),
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

#[cfg(test)]
mod tests {
    use super::super::fixtures::{at, job};
    use super::*;

    #[tokio::test]
    async fn the_same_key_is_the_same_job() {
        let store = Store::in_memory().await.unwrap();
        let first = store.enqueue(&job("mission1/loop1/train"), at(0)).await.unwrap();
        assert_eq!(store.enqueue(&job("mission1/loop1/train"), at(1)).await.unwrap(), first);
        assert_ne!(store.enqueue(&job("mission1/loop2/train"), at(1)).await.unwrap(), first);
        assert_eq!(store.jobs(10).await.unwrap().len(), 2);
    }

    #[tokio::test]
    async fn a_job_is_held_while_its_lease_is_renewed_and_claimed_again_after_it_ran_out() {
        let store = Store::in_memory().await.unwrap();
        let id = store.enqueue(&job("a"), at(0)).await.unwrap();
        let claimed = store.claim_next_job("one", at(30), at(10)).await.unwrap().unwrap();
        assert_eq!((claimed.id, claimed.state, claimed.attempts), (id, JobState::Running, 1));
        assert_eq!(store.claim_next_job("two", at(60), at(29)).await.unwrap(), None);
        assert!(store.renew_lease(id, "one", at(50), at(29)).await.unwrap());
        assert_eq!(store.claim_next_job("two", at(60), at(49)).await.unwrap(), None);
        let again = store.claim_next_job("two", at(80), at(50)).await.unwrap().unwrap();
        assert_eq!((again.id, again.attempts, again.started_at), (id, 2, Some(at(10))));
        assert!(!store.renew_lease(id, "one", at(99), at(51)).await.unwrap(), "another worker has it");
        store.requeue_job(id, at(52)).await.unwrap();
        assert!(store.claim_next_job("three", at(80), at(52)).await.unwrap().is_some());
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 4)]
    async fn many_workers_never_hold_the_same_job() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(&folder.path().join("s.db")).await.unwrap();
        for number in 0..4 {
            store.enqueue(&job(&format!("job {number}")), at(0)).await.unwrap();
        }
        let mut tasks = tokio::task::JoinSet::new();
        for worker in 0..8 {
            let store = store.clone();
            tasks.spawn(async move { store.claim_next_job(&format!("w{worker}"), at(60), at(1)).await.unwrap() });
        }
        let mut held: Vec<_> = tasks.join_all().await.into_iter().flatten().map(|job| job.id).collect();
        held.sort();
        held.dedup();
        assert_eq!(held.len(), 4);
    }

    #[tokio::test]
    async fn a_job_ends_once_and_its_owner_gets_one_mail() {
        let store = Store::in_memory().await.unwrap();
        let id = store.enqueue(&job("a"), at(0)).await.unwrap();
        assert!(!store.finish_job(id, &json!({}), at(1)).await.unwrap(), "it does not run yet");
        store.claim_next_job("one", at(60), at(1)).await.unwrap();
        let progress = Progress { done: 3, total: 4, unit: "samples", note: "loss 0.1".into() };
        store.job_progress(id, &progress, at(2)).await.unwrap();
        assert!(store.finish_job(id, &json!({"checkpoint": 1}), at(3)).await.unwrap());
        assert!(!store.fail_job(id, "too late", at(4)).await.unwrap());
        let row = store.job(id).await.unwrap().unwrap();
        assert_eq!((row.state, row.result, row.error), (JobState::Succeeded, Some(json!({"checkpoint": 1})), None));
        assert_eq!((row.done, row.total, row.note.as_str(), row.finished_at), (3, 4, "loss 0.1", Some(at(3))));
        assert_eq!(store.waiting_mail("training").await.unwrap(), 1);
        let mail = store.next_mail("training", at(5)).await.unwrap().unwrap();
        assert_eq!((mail.kind, mail.payload["state"].as_str()), (MailKind::JobEvent, Some("succeeded")));
        assert!(store.open_jobs().await.unwrap().is_empty());
    }

    #[tokio::test]
    async fn a_job_that_is_asked_to_stop_ends_as_cancelled_however_its_runner_ends() {
        let store = Store::in_memory().await.unwrap();
        let mut ids = Vec::new();
        for key in ["waits", "fails", "is requeued", "loses its runner"] {
            ids.push(store.enqueue(&job(key), at(0)).await.unwrap());
        }
        store.cancel_job(ids[0], at(1)).await.unwrap();
        for _ in 0..3 {
            store.claim_next_job("one", at(60), at(2)).await.unwrap();
        }
        for id in &ids[1..] {
            store.cancel_job(*id, at(3)).await.unwrap();
            assert!(store.job(*id).await.unwrap().unwrap().cancel_requested);
        }
        assert!(store.fail_job(ids[1], "stopped at sample 500", at(4)).await.unwrap());
        store.requeue_job(ids[2], at(4)).await.unwrap();
        assert_eq!(store.claim_next_job("two", at(200), at(100)).await.unwrap(), None);
        for id in ids {
            assert_eq!(store.job(id).await.unwrap().unwrap().state, JobState::Cancelled, "job {id}");
        }
        assert_eq!(store.waiting_mail("training").await.unwrap(), 4);
    }
}
