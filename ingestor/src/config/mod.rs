//! The configuration: `ingestor/strata.toml`, embedded, is its documentation, its list of known keys and its
//! defaults, all in one. Here are the typed settings and what must hold between them; `load` merges the layers.
//! Never: connections, anything that starts.

mod audit;
mod column;
mod feed;
mod load;
mod secret;

pub use audit::Audit;
pub use column::{ColumnSetting, RuleSettings};
pub use feed::{EpochUnit, Events, Feed, Missing, Start};
pub use load::{Overrides, load};
pub use secret::Secret;

use crate::error::{Error, Result};
use serde::Deserialize;
use std::net::SocketAddr;
use std::time::Duration;

/// The annotated default.
pub const DEFAULT: &str = include_str!("../../strata.toml");

/// All settings.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Name leases are held under.
    pub worker: String,
    /// Connection to the database.
    pub postgres: Postgres,
    /// Reading of streams.
    pub kinesis: Kinesis,
    /// Leases on shards.
    pub lease: Lease,
    /// Bounds of a batch.
    pub batch: Batch,
    /// Tables that were stopped.
    pub retry: Retry,
    /// Refreshing of rollups.
    pub refresh: Refresh,
    /// Making of partitions and letting go of them.
    pub maintain: Maintain,
    /// Sealing of the audit log.
    pub audit: Audit,
    /// Metrics and probes.
    pub http: Http,
    /// Logs.
    pub log: Log,
    /// Ending.
    pub shutdown: Shutdown,
    /// Which stream goes into which table.
    pub feeds: Vec<Feed>,
}

/// Connection to the database.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Postgres {
    /// Connection string.
    pub dsn: Secret,
    /// File holding it.
    pub dsn_file: String,
    /// File holding the password.
    pub password_file: String,
    /// How much of TLS is asked for, where the connection string does not say.
    pub sslmode: String,
    /// Authorities to trust.
    pub sslrootcert: String,
    /// Certificate to show.
    pub sslcert: String,
    /// Its key.
    pub sslkey: String,
    /// Bound on one attempt to connect.
    pub connect_timeout_ms: u64,
    /// The server's bound on our silence inside a transaction.
    pub idle_in_transaction_timeout_ms: u64,
    /// What a commit waits for.
    pub synchronous_commit: String,
}

impl Postgres {
    /// The connection string, from wherever it is kept.
    pub fn dsn(&self) -> Result<Secret> {
        if !self.dsn.reveal().is_empty() {
            return Ok(self.dsn.clone());
        }
        if !self.dsn_file.is_empty() {
            return secret_of("postgres.dsn_file", &self.dsn_file);
        }
        Err(Error::usage(
            "no database is configured: set STRATA_POSTGRES_DSN, postgres.dsn or postgres.dsn_file",
        ))
    }

    /// The password, where it lies apart.
    pub fn password(&self) -> Result<Option<Secret>> {
        if self.password_file.is_empty() {
            return Ok(None);
        }
        secret_of("postgres.password_file", &self.password_file).map(Some)
    }
}

/// What a file holds, without the line's end.
fn secret_of(key: &str, file: &str) -> Result<Secret> {
    let text = std::fs::read_to_string(file)
        .map_err(|e| Error::usage(format!("{key} \"{file}\" cannot be read: {e}")))?;
    Ok(Secret::new(text.trim()))
}

/// Reading of streams.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Kinesis {
    /// Region, empty for the default chain's.
    pub region: String,
    /// Endpoint, empty for AWS's.
    pub endpoint_url: String,
    /// Least time between two calls for one shard.
    pub poll_interval_ms: u64,
    /// The same when there was nothing.
    pub idle_interval_ms: u64,
    /// Bound on one shard's reading, 0 for none.
    pub shard_bytes_per_second: u64,
    /// Records asked for at most.
    pub page_records: u32,
    /// Bytes one call should return.
    pub page_bytes: u64,
    /// Calls under way at one time.
    pub fetches: usize,
    /// How often shards are listed.
    pub list_interval_ms: u64,
    /// What to do about a checkpoint older than the stream keeps records.
    pub on_gap: OnGap,
}

/// Leases on shards.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Lease {
    /// Life of a lease without renewal.
    pub duration_ms: u32,
    /// How often shards are shared out.
    pub balance_interval_ms: u64,
}

/// Bounds of a batch.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Batch {
    /// Rows.
    pub rows: usize,
    /// Payloads and encoded rows together.
    pub bytes: usize,
    /// Payloads and encoded rows of all batches of a table.
    pub table_bytes: usize,
    /// Transactions side by side for one table.
    pub writers: usize,
    /// Waiting for company.
    pub linger_ms: u64,
    /// Largest record taken.
    pub record_bytes_max: usize,
    /// What a record may decompress to.
    pub decompressed_bytes_max: usize,
    /// Events one record may hold.
    pub record_events_max: u32,
    /// Rows the server may refuse one by one.
    pub refused_rows_max: usize,
    /// Share of events that may be no rows.
    pub bad_percent_max: u8,
    /// Fewer events than this say nothing about that share.
    pub bad_events_min: usize,
}

impl Batch {
    /// What one batch may take, so that the two of each writer stay within what the table may.
    pub fn bytes_each(&self) -> usize {
        self.bytes.min(self.table_bytes / self.writers.saturating_mul(2).max(1))
    }
}

/// Tables that were stopped by an error.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Retry {
    /// The first rest, 0 for no further try.
    pub first_ms: u64,
    /// The longest.
    pub last_ms: u64,
}

/// Refreshing of rollups.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Refresh {
    /// Time between two refreshes, 0 for none.
    pub interval_ms: u64,
    /// Rows between two refreshes, 0 for time alone.
    pub rows: u64,
}

/// Making of partitions and letting go of them.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Maintain {
    /// Time between two rounds.
    pub interval_ms: u64,
    /// Bound on waiting for one lock.
    pub lock_timeout_ms: u64,
    /// Attempts to get it in one round.
    pub lock_attempts: u32,
    /// Bound on one DETACH CONCURRENTLY.
    pub detach_timeout_ms: u64,
}

/// Metrics and probes.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Http {
    /// Address and port, empty for none.
    pub listen: String,
}

impl Http {
    /// Where to listen, if anywhere.
    pub fn address(&self) -> Result<Option<SocketAddr>> {
        if self.listen.is_empty() {
            return Ok(None);
        }
        let refused = |_| {
            Error::usage(format!(
                "http.listen \"{}\" is not an address and port, as in 127.0.0.1:9464",
                self.listen
            ))
        };
        self.listen.parse().map(Some).map_err(refused)
    }
}

/// Logs.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Log {
    /// Filter.
    pub level: String,
    /// human, json or auto.
    pub format: String,
    /// Time between two lines of progress.
    pub progress_interval_ms: u64,
}

/// Ending.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Shutdown {
    /// Bound on draining.
    pub timeout_ms: u64,
}

/// What to do where records may be lost.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum OnGap {
    /// Stop the table.
    Stop,
    /// Go on with the oldest record there is, and write the gap down.
    Skip,
}

impl Config {
    /// What one call should return: with many writers less, so that the pages under way do not grow with them.
    pub fn page_bytes(&self) -> u64 {
        (self.kinesis.page_bytes / self.batch.writers.div_ceil(2).max(1) as u64).max(1)
    }

    /// What must hold for any subcommand.
    fn validate(&self) -> Result<()> {
        let positive = [
            ("kinesis.page_records", u64::from(self.kinesis.page_records)),
            ("kinesis.page_bytes", self.kinesis.page_bytes),
            ("kinesis.fetches", self.kinesis.fetches as u64),
            ("kinesis.list_interval_ms", self.kinesis.list_interval_ms),
            ("lease.balance_interval_ms", self.lease.balance_interval_ms),
            ("batch.rows", self.batch.rows as u64),
            ("batch.bytes", self.batch.bytes as u64),
            ("batch.writers", self.batch.writers as u64),
            ("batch.table_bytes", self.batch.table_bytes as u64),
            ("batch.record_bytes_max", self.batch.record_bytes_max as u64),
            ("batch.decompressed_bytes_max", self.batch.decompressed_bytes_max as u64),
            ("batch.record_events_max", u64::from(self.batch.record_events_max)),
            ("retry.last_ms", self.retry.last_ms),
            ("maintain.interval_ms", self.maintain.interval_ms),
            ("maintain.lock_timeout_ms", self.maintain.lock_timeout_ms),
            ("maintain.lock_attempts", u64::from(self.maintain.lock_attempts)),
            ("maintain.detach_timeout_ms", self.maintain.detach_timeout_ms),
            ("audit.interval_ms", self.audit.interval_ms),
            ("log.progress_interval_ms", self.log.progress_interval_ms),
            ("postgres.connect_timeout_ms", self.postgres.connect_timeout_ms),
        ];
        for (key, value) in positive {
            if value == 0 {
                return Err(Error::usage(format!("{key} must be above 0")));
            }
        }
        if self.kinesis.page_records > 10_000 {
            return Err(Error::usage(
                "kinesis.page_records must be at most 10000, which is what Kinesis allows",
            ));
        }
        // The server counts its timeouts in 32 bits.
        if self.maintain.lock_timeout_ms.max(self.maintain.detach_timeout_ms) > i32::MAX.unsigned_abs().into()
        {
            return Err(Error::usage(
                "maintain.lock_timeout_ms and detach_timeout_ms must be at most 2147483647",
            ));
        }
        if self.lease.duration_ms < 1_000 {
            return Err(Error::usage("lease.duration_ms must be at least 1000"));
        }
        let waits = ["off", "local", "remote_write", "on", "remote_apply"];
        if !waits.contains(&self.postgres.synchronous_commit.as_str()) {
            return Err(Error::usage(format!(
                "postgres.synchronous_commit must be one of {}, not \"{}\"",
                waits.join(", "),
                self.postgres.synchronous_commit
            )));
        }
        self.http.address()?;
        self.audit.validate()?;
        if !matches!(self.log.format.as_str(), "auto" | "human" | "json") {
            return Err(Error::usage(format!(
                "log.format \"{}\" is none of auto, human, json",
                self.log.format
            )));
        }
        Ok(())
    }

    /// What must hold where feeds are used.
    pub fn feeds(&self) -> Result<&[Feed]> {
        if self.feeds.is_empty() {
            return Err(Error::usage(
                "no feed is configured: add a [[feeds]] section, or give --stream and --relation",
            ));
        }
        for (i, feed) in self.feeds.iter().enumerate() {
            for (key, value) in [("stream", &feed.stream), ("relation", &feed.relation)] {
                if value.is_empty() {
                    return Err(Error::usage(format!("feeds[{i}].{key} is empty")));
                }
            }
            feed.start()?;
        }
        Ok(&self.feeds)
    }

    /// The name leases are held under.
    pub fn worker(&self) -> String {
        if !self.worker.is_empty() {
            return self.worker.clone();
        }
        let from_file = std::fs::read_to_string("/etc/hostname").map(|name| name.trim().to_owned());
        from_file
            .ok()
            .or_else(|| std::env::var("HOSTNAME").ok())
            .filter(|name| !name.is_empty())
            .unwrap_or_else(|| "strata".to_owned())
    }

    /// Life of a lease.
    pub fn lease_duration(&self) -> Duration {
        Duration::from_millis(u64::from(self.lease.duration_ms))
    }
}
