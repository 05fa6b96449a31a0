//! `job-stalled`: a running job whose own progress clock stands still.

use super::{Check, Config, Finding, Status};
use crate::base::{JobState, Timestamp};
use crate::store::{JobRow, Store, StoreError};
use async_trait::async_trait;

pub(super) const NAME: &str = "job-stalled";

pub(super) struct JobStalled {
    store: Store,
    limit_s: i64,
}

impl JobStalled {
    pub fn new(store: Store, config: &Config) -> Self {
        Self { store, limit_s: i64::from(config.stalled_after_s) }
    }

    fn stalled(&self, job: &JobRow, now: Timestamp, since: Timestamp) -> Option<Finding> {
        if job.state != JobState::Running {
            return None;
        }
        let last = [job.progress_at, job.started_at, Some(since)].into_iter().flatten().max()?;
        let age_s = now.duration_since(last).as_secs();
        (age_s >= self.limit_s).then(|| Finding {
            subject: format!("job {}", job.id),
            evidence: format!("job {} ({}) has not moved for {age_s} s", job.id, job.kind),
        })
    }
}

#[async_trait]
impl Check for JobStalled {
    fn name(&self) -> &'static str {
        NAME
    }

    async fn activate(&self, now: Timestamp, since: Timestamp) -> Result<Status, StoreError> {
        let jobs = self.store.open_jobs().await?;
        let findings = jobs.iter().filter_map(|job| self.stalled(job, now, since)).collect();
        Ok(Status::of(findings, format!("{} open jobs", jobs.len())))
    }
}
