//! `disk-low`: room on the disk that holds the data folder.

use super::{Check, Config, Finding, Status};
use crate::base::Timestamp;
use crate::store::StoreError;
use async_trait::async_trait;
use std::path::PathBuf;

pub(super) const NAME: &str = "disk-low";

const MIB: u64 = 1024 * 1024;

pub(super) struct Disk {
    data_dir: PathBuf,
    least_mib: u64,
}

impl Disk {
    pub fn new(data_dir: PathBuf, config: &Config) -> Self {
        Self { data_dir, least_mib: config.disk_free_mib }
    }
}

#[async_trait]
impl Check for Disk {
    fn name(&self) -> &'static str {
        NAME
    }

    async fn activate(&self, _now: Timestamp, _since: Timestamp) -> Result<Status, StoreError> {
        let free_mib = match rustix::fs::statvfs(&self.data_dir) {
            Ok(volume) => volume.f_bavail.saturating_mul(volume.f_frsize) / MIB,
            Err(error) => {
                let evidence = format!("the free space of {} cannot be read: {error}", self.data_dir.display());
                return Ok(Status::of(vec![Finding { subject: "disk".to_owned(), evidence }], String::new()));
            }
        };
        let findings = if free_mib < self.least_mib {
            let evidence =
                format!("{free_mib} MiB are free in {}, below {} MiB", self.data_dir.display(), self.least_mib);
            vec![Finding { subject: "disk".to_owned(), evidence }]
        } else {
            Vec::new()
        };
        Ok(Status::of(findings, format!("{free_mib} MiB free")))
    }
}
