//! The job runner: one serial owner of blocking work.
//!
//! Two cores train one policy at a time, so jobs run one after another, oldest first. A job belongs to the runner by a
//! lease that it renews; a process that died leaves a lease that runs out, and the next runner goes on with the job
//! where its files say it was. A finished job is recorded before anything else is looked at, so that downtime never
//! turns a done job into a dead one.

use super::spec::JobSpec;
use super::stages::{self, WorkEnd, Workbench};
use crate::artifacts::Artifacts;
use crate::base::{Cancel, Clock, Fault, JobId};
use crate::store::{JobRow, Store, StoreError};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// A lease lasts this long unless it is renewed.
const LEASE: Duration = Duration::from_secs(60);
/// A lease is renewed, and a cancel request seen, this often.
const RENEW: Duration = Duration::from_secs(2);
/// The runner looks for work at least this often.
const POLL: Duration = Duration::from_secs(1);
/// A job that was started this often without an end is given up: it takes the process down with it.
const ATTEMPTS: u32 = 5;

/// Runs jobs one after another.
pub struct Runner {
    store: Store,
    artifacts: Artifacts,
    clock: Arc<dyn Clock>,
    data_dir: PathBuf,
    worker: String,
}

impl Runner {
    /// A runner that keeps the files of unfinished jobs under `data_dir/jobs`. `worker` names this process's leases.
    pub fn new(store: Store, artifacts: Artifacts, clock: Arc<dyn Clock>, data_dir: PathBuf, worker: String) -> Self {
        Self { store, artifacts, clock, data_dir, worker }
    }

    /// Claims and runs jobs until `stop` is cancelled; a running job is stopped at its next safe point then and given
    /// back to the queue.
    pub async fn run(&self, stop: CancellationToken) {
        let mut changes = self.store.changes();
        while !stop.is_cancelled() {
            match self.claim().await {
                Ok(Some(job)) => {
                    if let Err(error) = self.perform(job, &stop).await {
                        tracing::error!(%error, "a job's end could not be recorded; its lease runs out and it goes on");
                    }
                    continue;
                }
                Ok(None) => {}
                Err(error) => tracing::error!(%error, "no job can be claimed; trying again"),
            }
            tokio::select! {
                () = stop.cancelled() => return,
                _ = changes.recv() => {}
                () = tokio::time::sleep(POLL) => {}
            }
        }
    }

    async fn claim(&self) -> Result<Option<JobRow>, StoreError> {
        let now = self.clock.now();
        self.store.claim_next_job(&self.worker, now + LEASE, now).await
    }

    /// Runs one job to its end and records it.
    async fn perform(&self, job: JobRow, stop: &CancellationToken) -> Result<(), StoreError> {
        let id = job.id;
        if job.attempts > ATTEMPTS {
            let error = format!("given up after {} starts without an end; see the log", job.attempts - 1);
            self.store.fail_job_as(id, Fault::Crashed, &error, self.clock.now()).await?;
            return Ok(());
        }
        let spec: JobSpec = match serde_json::from_value(job.spec.clone()) {
            Ok(spec) => spec,
            Err(error) => {
                let error = format!("the job's specification cannot be read: {error}");
                self.store.fail_job(id, &error, self.clock.now()).await?;
                return Ok(());
            }
        };
        let started = self.clock.now();
        let job_dir = self.data_dir.join("jobs").join(id.to_string());
        let (cancel, overdue) = (Cancel::default(), Cancel::default());
        let limit = job.limit();
        let bench = Workbench {
            store: self.store.clone(),
            artifacts: self.artifacts.clone(),
            clock: Arc::clone(&self.clock),
            runtime: tokio::runtime::Handle::current(),
            job_dir: job_dir.clone(),
            cancel: cancel.clone(),
            overdue: overdue.clone(),
            job,
        };
        let mut work = tokio::task::spawn_blocking(move || stages::run(&bench, &spec));
        let time_is_over = async {
            match limit {
                Some(limit) => tokio::time::sleep(limit).await,
                None => std::future::pending().await,
            }
        };
        tokio::pin!(time_is_over);
        let end = loop {
            tokio::select! {
                end = &mut work => break end,
                () = &mut time_is_over, if !overdue.is_cancelled() => {
                    overdue.cancel();
                    cancel.cancel();
                }
                () = tokio::time::sleep(RENEW) => self.watch(id, &cancel).await?,
                () = stop.cancelled(), if !cancel.is_cancelled() => cancel.cancel(),
            }
        };
        let now = self.clock.now();
        match end {
            Ok(Ok(WorkEnd::Done(mut result))) => {
                result["wall_seconds"] = serde_json::json!(now.duration_since(started).as_secs_f64());
                self.store.finish_job(id, &result, now).await?;
                if let Err(error) = std::fs::remove_dir_all(&job_dir) {
                    tracing::debug!(%error, dir = %job_dir.display(), "a finished job's folder stays");
                }
            }
            Ok(Ok(WorkEnd::Cancelled)) => self.store.requeue_job(id, now).await?,
            Ok(Err(error)) => self.fail(id, error.fault(), &error.to_string(), &job_dir).await?,
            Err(panic) => self.fail(id, Fault::Crashed, &format!("the job crashed: {panic}"), &job_dir).await?,
        }
        Ok(())
    }

    /// Records a failure. Its files go: nobody goes on with a failed job, and a full disk needs the room.
    async fn fail(&self, id: JobId, fault: Fault, error: &str, job_dir: &Path) -> Result<(), StoreError> {
        if let Err(error) = std::fs::remove_dir_all(job_dir) {
            tracing::debug!(%error, dir = %job_dir.display(), "a failed job's folder stays");
        }
        self.store.fail_job_as(id, fault, error, self.clock.now()).await?;
        Ok(())
    }

    /// Renews the lease and passes a cancel request on.
    async fn watch(&self, id: JobId, cancel: &Cancel) -> Result<(), StoreError> {
        let now = self.clock.now();
        let held = self.store.renew_lease(id, &self.worker, now + LEASE, now).await?;
        let requested = self.store.job(id).await?.is_none_or(|job| job.cancel_requested);
        if !held || requested {
            cancel.cancel();
        }
        Ok(())
    }
}
