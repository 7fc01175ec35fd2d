//! Counters of a running process, and whether it does its work. Never: payloads, DSNs.

mod expose;
mod progress;

pub use progress::{report, summary};

use crate::error::Error;
use crate::exposition::{Counters, Durations};
use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::mpsc::Sender;

/// Counters; all since the start.
#[derive(Default)]
pub struct Metrics {
    /// Records read.
    pub records: AtomicU64,
    /// Bytes of these.
    pub bytes: AtomicU64,
    /// Rows committed.
    pub rows: AtomicU64,
    /// Batches committed.
    pub batches: AtomicU64,
    /// Dead letters committed.
    pub dead_letters: AtomicU64,
    /// Attempts after a failure, of any kind.
    pub retries: AtomicU64,
    /// Batches folded into rollups.
    pub refreshed: AtomicU64,
    /// Batches by table and what became of them.
    pub outcomes: Counters,
    /// Leases by what happened to them.
    pub leases: Counters,
    /// Time a batch's COPY took, by table.
    pub copy: Durations,
    /// Time its COMMIT took.
    pub commit: Durations,
    records_by: Counters,
    bytes_by: Counters,
    skipped_by: Counters,
    repeated_by: Counters,
    rows_by: Counters,
    dead_by: Counters,
    retries_by: Counters,
    /// Tables stopped by an error, and when each is tried again.
    stopped: Mutex<BTreeMap<String, Option<i64>>>,
    tables: AtomicU64,
    /// What fails again and again, by table, and why.
    blocked: Mutex<BTreeMap<(String, String), String>>,
    queues: Mutex<Vec<Queue>>,
    /// Bytes of files read, and of all.
    files: Mutex<Option<FileProgress>>,
    shards: Mutex<HashMap<ShardName, ShardGauge>>,
    started: AtomicBool,
    stopping: AtomicBool,
    database: AtomicBool,
    /// Why it does not answer.
    away: Mutex<String>,
    /// Leaves of the last digest of the audit log that this process published, and when.
    digest: Mutex<Option<(u64, i64)>>,
    seal_failures: Counters,
}

/// Table, stream and shard.
pub type ShardName = (String, String, String);

/// Tells how far reading of files has come.
type FileProgress = Box<dyn Fn() -> (u64, u64) + Send + Sync>;

/// How full a queue is, while it is there.
struct Queue {
    table: String,
    name: &'static str,
    fill: Box<dyn Fn() -> Option<f64> + Send + Sync>,
}

/// Whether the process does its work.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Readiness {
    /// Streams or tables have not been found yet.
    Starting,
    /// It does.
    Ready,
    /// The database does not answer, and why.
    Away(String),
    /// It answers, and takes no rows; a table, and why.
    Blocked(String, String),
    /// Every table is stopped by an error.
    Stopped,
    /// It was asked to end.
    Stopping,
}

impl Readiness {
    /// For a person.
    pub fn text(&self) -> String {
        match self {
            Self::Starting => "starting".to_owned(),
            Self::Ready => "ready".to_owned(),
            Self::Away(why) => format!("the database does not answer: {why}"),
            Self::Blocked(table, why) => format!("the database takes no rows of {table}: {why}"),
            Self::Stopped => "every table is stopped by an error".to_owned(),
            Self::Stopping => "stopping".to_owned(),
        }
    }
}

/// SQLSTATEs told apart for one table: triggers raise what they like.
const STATES_MAX: usize = 40;

#[derive(Debug)]
struct ShardGauge {
    behind: Duration,
    seen: Instant,
}

impl Metrics {
    /// A shard was read: it is behind the tip by this.
    pub fn shard_read(&self, shard: &ShardName, behind_ms: i64) {
        let behind = Duration::from_millis(u64::try_from(behind_ms).unwrap_or_default());
        let gauge = ShardGauge { behind, seen: Instant::now() };
        let mut shards = lock(&self.shards);
        match shards.get_mut(shard) {
            Some(known) => *known = gauge,
            None => drop(shards.insert(shard.clone(), gauge)),
        }
    }

    /// A shard is no longer read here.
    pub fn shard_left(&self, shard: &ShardName) {
        lock(&self.shards).remove(shard);
    }

    /// Records came in.
    pub fn read(&self, (table, stream, _): &ShardName, records: usize, bytes: usize) {
        Self::add(&self.records, records);
        Self::add(&self.bytes, bytes);
        self.records_by.add(&[table, stream], records);
        self.bytes_by.add(&[table, stream], bytes);
    }

    /// Events were passed over.
    pub fn skipped(&self, (table, stream, _): &ShardName, events: usize) {
        if events > 0 {
            self.skipped_by.add(&[table, stream], events);
        }
    }

    /// A batch is in the database.
    pub fn committed(&self, table: &str, rows: usize, dead_letters: &[Option<String>]) {
        Self::add(&self.rows, rows);
        Self::add(&self.batches, 1);
        Self::add(&self.dead_letters, dead_letters.len());
        self.rows_by.add(&[table], rows);
        for state in dead_letters {
            self.dead_by.add_bounded(table, state.as_deref().unwrap_or("none"), STATES_MAX, 1);
        }
    }

    /// Rows were left out.
    pub fn repeated(&self, table: &str, rows: usize) {
        if rows > 0 {
            self.repeated_by.add(&[table], rows);
        }
    }

    /// Something is to be tried again.
    pub fn retry(&self, error: &Error) {
        Self::add(&self.retries, 1);
        self.retries_by.add(&[error.retry_kind()], 1);
    }

    /// A table was stopped by an error; it is tried again at a time (microseconds since 2000-01-01 UTC), or never.
    pub fn table_stopped(&self, table: &str, next_try: Option<i64>) {
        lock(&self.stopped).insert(table.to_owned(), next_try);
    }

    /// It is tried again.
    pub fn table_tried_again(&self, table: &str) {
        lock(&self.stopped).remove(table);
    }

    /// Whether it is stopped.
    pub fn is_stopped(&self, table: &str) -> bool {
        lock(&self.stopped).contains_key(table)
    }

    /// Watches how full a queue is, for as long as anybody else sends into it.
    pub fn watch<T: Send + 'static>(&self, table: &str, name: &'static str, queue: &Sender<T>) {
        let queue = queue.downgrade();
        #[allow(clippy::cast_precision_loss)]
        let fill = move || {
            let queue = queue.upgrade()?;
            Some(1.0 - queue.capacity() as f64 / queue.max_capacity() as f64)
        };
        let watched = Queue { table: table.to_owned(), name, fill: Box::new(fill) };
        lock(&self.queues).push(watched);
    }

    /// Follows the reading of files.
    pub fn follow(&self, files: impl Fn() -> (u64, u64) + Send + Sync + 'static) {
        *lock(&self.files) = Some(Box::new(files));
    }

    /// Streams and tables were found, so many.
    pub fn started(&self, tables: usize) {
        self.tables.store(tables as u64, Relaxed);
        self.started.store(true, Relaxed);
    }

    /// The end was asked for.
    pub fn stopping(&self) {
        self.stopping.store(true, Relaxed);
    }

    /// The database does not answer, for a reason, or it does.
    pub fn database_answers(&self, failure: Option<&Error>) {
        self.database.store(failure.is_none(), Relaxed);
        *lock(&self.away) = failure.map(|error| error.message.clone()).unwrap_or_default();
    }

    /// A digest of the audit log was published.
    pub fn sealed(&self, leaves: u64) {
        *lock(&self.digest) = Some((leaves, crate::clock::now()));
    }

    /// The audit log was not sealed, or not signed, and why: refused, database, publishing.
    pub fn seal_failed(&self, why: &str) {
        self.seal_failures.add(&[why], 1);
    }

    /// The database keeps refusing what a table's batches need.
    pub fn blocked(&self, table: &str, what: &str, error: &Error) {
        lock(&self.blocked).insert((table.to_owned(), what.to_owned()), error.message.clone());
    }

    /// It does no longer; of everything of the table, where nothing is named.
    pub fn unblocked(&self, table: &str, what: Option<&str>) {
        lock(&self.blocked).retain(|(t, w), _| t != table || what.is_some_and(|what| what != w));
    }

    /// Whether the process does its work.
    pub fn readiness(&self) -> Readiness {
        if self.stopping.load(Relaxed) {
            return Readiness::Stopping;
        }
        if !self.started.load(Relaxed) {
            return Readiness::Starting;
        }
        if !self.database.load(Relaxed) {
            return Readiness::Away(lock(&self.away).clone());
        }
        if let Some(((table, _), why)) = lock(&self.blocked).first_key_value() {
            return Readiness::Blocked(table.clone(), why.clone());
        }
        let (stopped, tables) = (lock(&self.stopped).len() as u64, self.tables.load(Relaxed));
        if stopped > 0 && stopped >= tables { Readiness::Stopped } else { Readiness::Ready }
    }

    /// Adds to a counter.
    pub fn add(counter: &AtomicU64, n: usize) {
        counter.fetch_add(n as u64, Relaxed);
    }
}

/// A lock that a panic elsewhere does not take away.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
