//! Where and how the audit log is sealed by `strata run`, and how digests lie in buckets.

use crate::error::{Error, Result};
use crate::s3::Lock;
use serde::Deserialize;

/// Sealing of the audit log.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Audit {
    /// File with the secret that digests are signed with, empty for no sealing.
    pub key_file: String,
    /// Directories, and buckets as `s3://bucket/prefix`, that digests are published into.
    pub digests: Vec<String>,
    /// Time between two seals.
    pub interval_ms: u64,
    /// Time between two digests of a log that has not changed.
    pub idle_interval_ms: u64,
    /// Region of buckets, empty for the default chain's.
    pub s3_region: String,
    /// Endpoint of buckets, empty for AWS's.
    pub s3_endpoint_url: String,
    /// The bucket is in the path, not in the host's name.
    pub s3_path_style: bool,
    /// GOVERNANCE or COMPLIANCE, empty for what the bucket does by default.
    pub s3_lock_mode: String,
    /// How long digests are locked.
    pub s3_lock_days: u32,
}

impl Audit {
    /// How objects are locked.
    pub fn lock(&self) -> Option<Lock> {
        let days = self.s3_lock_days;
        (!self.s3_lock_mode.is_empty()).then(|| Lock { mode: self.s3_lock_mode.clone(), days })
    }

    /// What must hold between them.
    pub(super) fn validate(&self) -> Result<()> {
        if !self.key_file.is_empty() && self.digests.is_empty() {
            return Err(Error::usage(
                "audit.key_file takes audit.digests: a directory or bucket to publish digests into",
            ));
        } else if !matches!(self.s3_lock_mode.as_str(), "" | "GOVERNANCE" | "COMPLIANCE") {
            return Err(Error::usage(format!(
                "audit.s3_lock_mode must be GOVERNANCE or COMPLIANCE or empty, not \"{}\"",
                self.s3_lock_mode
            )));
        } else if !self.s3_lock_mode.is_empty() && !(1..=36_500).contains(&self.s3_lock_days) {
            return Err(Error::usage("audit.s3_lock_days must be from 1 to 36500"));
        } else if self.idle_interval_ms < self.interval_ms {
            return Err(Error::usage("audit.idle_interval_ms must be at least audit.interval_ms"));
        }
        Ok(())
    }
}
