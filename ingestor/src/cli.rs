//! The command line. Never: what a subcommand does.

use crate::config::Overrides;
use clap::{Args, Parser, Subcommand};
use std::path::PathBuf;

/// Streams records into event tables of `pg_strata`, exactly once.
#[derive(Debug, Parser)]
#[command(name = "strata", version, about, disable_help_subcommand = true)]
#[command(
    after_help = "Exit codes: 0 done, 1 failed, 2 wrong usage or configuration, 3 a check did not hold."
)]
pub struct Cli {
    /// Settings for any subcommand.
    #[command(flatten)]
    pub settings: Settings,
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// Settings for any subcommand.
#[derive(Debug, Args)]
pub struct Settings {
    /// Configuration file (TOML); `strata config` prints one with every default
    #[arg(short, long, global = true, value_name = "FILE", env = "STRATA_CONFIG")]
    pub config: Option<PathBuf>,
    /// Override one setting; may be repeated
    #[arg(long = "set", global = true, value_name = "SECTION.KEY=VALUE")]
    pub set: Vec<String>,
    /// Stream of the single feed (name or ARN)
    #[arg(long, global = true)]
    pub stream: Option<String>,
    /// Event table of the single feed
    #[arg(long, global = true)]
    pub relation: Option<String>,
    /// Name leases are held under
    #[arg(long, global = true)]
    pub worker: Option<String>,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Carry records into their tables until stopped
    Ingest(Ingest),
    /// Ingest, refresh rollups and maintain partitions, in one process
    Run(Ingest),
    /// Carry records of the past again, beside live ingestion, and end
    Replay(Replay),
    /// Make partitions ahead, let go of those past retention, prune the ledger; once
    Maintain(Maintain),
    /// Check configuration, connections, streams, tables and columns; start nothing
    Check,
    /// Show the row or the dead-letter reason for records, one a line; write nothing
    Try(Try),
    /// Show shards, lag, batches, dead letters and rollups
    Status(Json),
    /// Put a realistic clickstream into a stream
    Produce(Produce),
    /// Look at records that could not become rows, try them again, delete them
    DeadLetters(DeadLetters),
    /// Make a key that digests of the audit log are signed with
    Keygen(Keygen),
    /// Seal the audit log, prove that it only grew, sign its digest and publish it
    Seal(Seal),
    /// Verify the audit log against a digest: 0 sound, 3 not
    Verify(Verify),
    /// Print the annotated default configuration
    Config,
}

/// Options of `keygen`.
#[derive(Debug, Args)]
pub struct Keygen {
    /// Name of the key, which stands in every signature: without white space or plus signs, like audit.example.com
    pub name: String,
    /// File to write the secret into; it must not be there. The public key goes to standard output
    pub key: PathBuf,
}

/// Options of `seal`.
#[derive(Debug, Args)]
pub struct Seal {
    /// File with the secret that `strata keygen` wrote
    #[arg(long, value_name = "FILE")]
    pub key: Option<PathBuf>,
    /// Directory, or `s3://bucket/prefix`, that digests are published into, and the last one is read from; may be repeated
    #[arg(long, value_name = "PLACE")]
    pub digests: Vec<String>,
    /// The database was lawfully restored to an earlier time, and why: begin another origin, which refers to the last digest
    #[arg(long, value_name = "REASON", conflicts_with = "every")]
    pub declare_restore: Option<String>,
    /// Go on, so often, also when nothing has changed
    #[arg(long, value_name = "SECONDS")]
    pub every: Option<u64>,
}

/// Options of `verify`.
#[derive(Debug, Args)]
#[allow(clippy::struct_excessive_bools)]
pub struct Verify {
    /// The audit log and the audited tables
    #[arg(long)]
    pub audit: bool,
    /// The public key that `strata keygen` printed, or a file with it
    #[arg(long, value_name = "KEY")]
    pub key: Option<String>,
    /// A digest that `strata seal` published, or a directory or `s3://bucket/prefix`: the last one there
    #[arg(long, value_name = "FILE")]
    pub digest: Option<String>,
    /// Compare the log with the digest, and no table with the log: takes no right to read tables
    #[arg(long)]
    pub log_only: bool,
    /// Leave histories out
    #[arg(long)]
    pub no_history: bool,
    /// Let the database verify itself as well (`strata.verify_audit`)
    #[arg(long)]
    pub server_check: bool,
    /// What was renamed and is not in the log yet is a fault, too
    #[arg(long)]
    pub strict: bool,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

/// Options of `ingest` and `run`.
#[derive(Debug, Args)]
pub struct Ingest {
    /// End with 0 once every shard is read to its tip and all of it is committed
    #[arg(long)]
    pub exit_when_caught_up: bool,
}

/// Options of `replay`.
#[derive(Debug, Args)]
pub struct Replay {
    /// Records that arrived at or after this RFC 3339 time …
    #[arg(long, value_name = "TIME")]
    pub from: Option<String>,
    /// … and before this one
    #[arg(long, value_name = "TIME")]
    pub to: Option<String>,
    /// The records of the batches that `strata.revert_batches` took out, by its id, instead of times
    #[arg(long, value_name = "ID", conflicts_with_all = ["from", "to"])]
    pub reversion: Option<i64>,
    /// Records a second at most, over all shards; 0 for as fast as it goes
    #[arg(long, default_value_t = 0)]
    pub rate: u64,
}

/// Options of `maintain`.
#[derive(Debug, Args)]
pub struct Maintain {
    /// Event table; may be repeated. Without it those of the feeds, and without feeds all this role may maintain
    #[arg(long, value_name = "NAME")]
    pub table: Vec<String>,
    /// Show what is past retention and what holds it back; do nothing
    #[arg(long)]
    pub dry_run: bool,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

/// Options of `try`.
#[derive(Debug, Args)]
pub struct Try {
    /// Records, one a line; standard input where it is missing or -
    pub file: Option<PathBuf>,
    /// The whole input is one record
    #[arg(long)]
    pub whole: bool,
}

/// Output for programs.
#[derive(Debug, Args)]
pub struct Json {
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

/// Options of `dead-letters`.
#[derive(Debug, Args)]
pub struct DeadLetters {
    /// What to show.
    #[command(subcommand)]
    pub command: DeadLettersCommand,
}

/// What to show of the dead letters.
#[derive(Debug, Subcommand)]
pub enum DeadLettersCommand {
    /// List the newest, of one table where --relation names it
    List {
        /// How many
        #[arg(long, default_value_t = 20)]
        limit: i64,
        /// Print JSON, one object a line
        #[arg(long)]
        json: bool,
    },
    /// Try them again through the mapping as it is now; those that become rows are dead letters no more
    Retry {
        /// Ids, as listed; all of the feeds' tables where there is none
        ids: Vec<i64>,
    },
    /// Delete those of one table (--relation) that were set aside so long ago
    Purge {
        /// Days
        #[arg(long, value_name = "DAYS")]
        older_than_days: u32,
    },
    /// Show one with its payload
    Show {
        /// Id, as listed
        id: i64,
        /// Print the payload alone, byte for byte
        #[arg(long)]
        payload: bool,
    },
}

/// Options of `produce`.
#[derive(Debug, Clone, Args)]
pub struct Produce {
    /// Records to put
    #[arg(long, default_value_t = 10_000)]
    pub count: u64,
    /// Records a second; 0 for as fast as it goes
    #[arg(long, default_value_t = 0)]
    pub rate: u64,
    /// Share of records that are late by minutes to hours
    #[arg(long, default_value_t = 0.02, value_name = "SHARE")]
    pub late_share: f64,
    /// Share of records that are malformed
    #[arg(long, default_value_t = 0.0, value_name = "SHARE")]
    pub malformed_share: f64,
    /// Users; their activity is skewed
    #[arg(long, default_value_t = 10_000)]
    pub users: u64,
    /// Items
    #[arg(long, default_value_t = 2_000)]
    pub items: u64,
    /// Spread event times evenly over the past so many hours, instead of now
    #[arg(long, default_value_t = 0.0, value_name = "HOURS")]
    pub span_hours: f64,
    /// Bytes of an average record, reached by filling `properties`; 0 for what it comes to
    #[arg(long, default_value_t = 0, value_name = "BYTES")]
    pub record_bytes: usize,
    /// Events of one record, aggregated as by the Kinesis Producer Library; 0: every event is a record
    #[arg(long, default_value_t = 0, value_name = "EVENTS")]
    pub aggregate: usize,
    /// Compress the payload of every event: none, gzip, zstd or lz4
    #[arg(long, default_value = "none", value_name = "FORMAT")]
    pub compression: String,
    /// Calls under way at one time
    #[arg(long, default_value_t = 4)]
    pub connections: usize,
    /// Seed of the records; without one they differ every time
    #[arg(long)]
    pub seed: Option<u64>,
    /// Write the event id of every acknowledged well-formed record to a file, one a line
    #[arg(long, value_name = "FILE")]
    pub acked: Option<PathBuf>,
    /// Write the records to standard output, one a line, instead of a stream
    #[arg(long)]
    pub dry_run: bool,
}

impl Settings {
    /// As layers of configuration.
    pub fn overrides(&self) -> Overrides {
        let worker = self.worker.as_ref().map(|worker| format!("worker={worker}"));
        Overrides {
            set: self.set.iter().cloned().chain(worker).collect(),
            stream: self.stream.clone(),
            relation: self.relation.clone(),
        }
    }
}
