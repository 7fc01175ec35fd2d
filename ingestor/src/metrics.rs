//! Counters of a running process and the one place from which progress leaves: a line on a terminal, an INFO event
//! elsewhere. Never: payloads, DSNs.

use crate::error::Error;
use crate::exposition::{Counters, Durations, Exposition};
use crate::process::Process;
use std::collections::{BTreeMap, HashMap, HashSet};
use std::io::{IsTerminal, Write};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::sync::{Mutex, PoisonError};
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
    tables_stopped: AtomicU64,
    /// Tables whose batches fail again and again.
    blocked: Mutex<HashSet<String>>,
    queues: Mutex<Vec<Queue>>,
    /// Bytes of files read, and of all.
    files: Mutex<Option<FileProgress>>,
    shards: Mutex<HashMap<ShardName, ShardGauge>>,
    started: AtomicBool,
    stopping: AtomicBool,
    database: AtomicBool,
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
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Readiness {
    /// Streams or tables have not been found yet.
    Starting,
    /// It does.
    Ready,
    /// The database does not answer.
    Away,
    /// It answers, and takes no rows.
    Blocked,
    /// It was asked to end.
    Stopping,
}

impl Readiness {
    /// For a person.
    pub fn text(self) -> &'static str {
        match self {
            Self::Starting => "starting",
            Self::Ready => "ready",
            Self::Away => "the database does not answer",
            Self::Blocked => "the database takes no rows",
            Self::Stopping => "stopping",
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

/// What progress tells.
#[derive(Debug, Clone, PartialEq)]
pub struct Progress {
    /// Records read.
    pub records: u64,
    /// Rows committed.
    pub rows: u64,
    /// Rows a second since the last progress.
    pub rows_per_second: u64,
    /// How far the slowest shard is behind.
    pub lag_ms: u64,
    /// Dead letters committed.
    pub dead_letters: u64,
    /// Batches committed.
    pub batches: u64,
    /// Shards being read.
    pub shards: usize,
    /// How much of all files was read.
    pub percent: Option<u64>,
}

/// A shard that says nothing for this long is behind by that time, whatever it said last.
const QUIET: Duration = Duration::from_secs(5);

impl Metrics {
    /// A shard was read: it is behind the tip by this.
    pub fn shard_read(&self, shard: &ShardName, behind_ms: i64) {
        let behind = Duration::from_millis(u64::try_from(behind_ms).unwrap_or_default());
        let gauge = ShardGauge { behind, seen: Instant::now() };
        let mut shards = self.shards.lock().unwrap_or_else(PoisonError::into_inner);
        match shards.get_mut(shard) {
            Some(known) => *known = gauge,
            None => drop(shards.insert(shard.clone(), gauge)),
        }
    }

    /// A shard is no longer read here.
    pub fn shard_left(&self, shard: &ShardName) {
        self.shards.lock().unwrap_or_else(PoisonError::into_inner).remove(shard);
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

    /// A table was stopped by an error.
    pub fn table_stopped(&self) {
        Self::add(&self.tables_stopped, 1);
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
        self.queues.lock().unwrap_or_else(PoisonError::into_inner).push(watched);
    }

    /// Follows the reading of files.
    pub fn follow(&self, files: impl Fn() -> (u64, u64) + Send + Sync + 'static) {
        *self.files.lock().unwrap_or_else(PoisonError::into_inner) = Some(Box::new(files));
    }

    /// How much of all files was read, in percent; nothing where there are none.
    fn percent(&self) -> Option<u64> {
        let files = self.files.lock().unwrap_or_else(PoisonError::into_inner);
        let (read, all) = files.as_ref()?();
        read.saturating_mul(100).checked_div(all).map(|percent| percent.min(100))
    }

    /// Streams and tables were found.
    pub fn started(&self) {
        self.started.store(true, Relaxed);
    }

    /// The end was asked for.
    pub fn stopping(&self) {
        self.stopping.store(true, Relaxed);
    }

    /// The database does or does not answer.
    pub fn database_answers(&self, answers: bool) {
        self.database.store(answers, Relaxed);
    }

    /// Batches of a table are or are not written.
    pub fn writing(&self, table: &str, works: bool) {
        let mut blocked = self.blocked.lock().unwrap_or_else(PoisonError::into_inner);
        if works {
            blocked.remove(table);
        } else {
            blocked.insert(table.to_owned());
        }
    }

    /// Whether the process does its work.
    pub fn readiness(&self) -> Readiness {
        if self.stopping.load(Relaxed) {
            Readiness::Stopping
        } else if !self.started.load(Relaxed) {
            Readiness::Starting
        } else if self.database.load(Relaxed) {
            let blocked = self.blocked.lock().unwrap_or_else(PoisonError::into_inner);
            if blocked.is_empty() { Readiness::Ready } else { Readiness::Blocked }
        } else {
            Readiness::Away
        }
    }

    /// All of it in Prometheus' text format.
    pub fn expose(&self) -> String {
        let mut text = Exposition::default();
        let version = (vec![env!("CARGO_PKG_VERSION").to_owned()], 1.0);
        text.gauges("strata_build_info", "The version that runs.", &["version"], vec![version]);
        let ready = u8::from(self.readiness() == Readiness::Ready);
        text.single("strata_ready", "gauge", "What /readyz answers: 1 is ready.", ready);
        let answers = u8::from(self.database.load(Relaxed));
        text.single("strata_postgres_up", "gauge", "Whether the database answered the last probe.", answers);
        let stream = ["relation", "stream"];
        text.counters("strata_records_total", "Records read.", &stream, &self.records_by);
        text.counters("strata_record_bytes_total", "Bytes of the records read.", &stream, &self.bytes_by);
        let skipped = "Events passed over: they concern another table, or no row.";
        text.counters("strata_skipped_events_total", skipped, &stream, &self.skipped_by);
        let repeated =
            "Rows left out: events that are there already, changes that a later one made unnecessary.";
        text.counters("strata_repeated_events_total", repeated, &["relation"], &self.repeated_by);
        text.counters("strata_rows_total", "Rows committed.", &["relation"], &self.rows_by);
        let outcome = ["relation", "outcome"];
        text.counters("strata_batches_total", "Attempts to write a batch.", &outcome, &self.outcomes);
        let reason = ["relation", "sqlstate"];
        text.counters("strata_dead_letters_total", "Dead letters committed.", &reason, &self.dead_by);
        text.counters(
            "strata_retries_total",
            "Attempts that failed and are repeated.",
            &["kind"],
            &self.retries_by,
        );
        text.counters("strata_lease_changes_total", "Leases claimed and lost.", &["change"], &self.leases);
        let refreshed = self.refreshed.load(Relaxed);
        text.single("strata_refreshed_batches_total", "counter", "Batches folded into rollups.", refreshed);
        text.durations("strata_copy_seconds", "Time the COPY of a batch took.", "relation", &self.copy);
        text.durations("strata_commit_seconds", "Time the COMMIT of a batch took.", "relation", &self.commit);
        let stopped = self.tables_stopped.load(Relaxed);
        text.single("strata_tables_stopped", "gauge", "Tables stopped by an error.", stopped);
        self.expose_gauges(&mut text);
        if let Some(process) = Process::now() {
            let cpu = "Processor time taken, user and system.";
            text.single("process_cpu_seconds_total", "counter", cpu, process.cpu_seconds);
            let memory = "Memory that is in RAM.";
            text.single("process_resident_memory_bytes", "gauge", memory, process.resident_bytes);
        }
        text.into_text()
    }

    fn expose_gauges(&self, text: &mut Exposition) {
        let queues = self.queues.lock().unwrap_or_else(PoisonError::into_inner);
        let fill = |queue: &Queue| Some((vec![queue.table.clone(), queue.name.to_owned()], (queue.fill)()?));
        // Of the same queue of several writers the fullest counts.
        let mut fullest: BTreeMap<Vec<String>, f64> = BTreeMap::new();
        for (labels, fill) in queues.iter().filter_map(fill) {
            fullest.entry(labels).and_modify(|most| *most = most.max(fill)).or_insert(fill);
        }
        let fills = fullest.into_iter().collect();
        let help =
            "How full a queue is, from 0 to 1; a full one means that what comes after it is the bottleneck.";
        text.gauges("strata_queue_fill_ratio", help, &["relation", "queue"], fills);
        let shards = self.shards.lock().unwrap_or_else(PoisonError::into_inner);
        let labels = ["relation", "stream", "shard"];
        let of_each = |value: fn(&ShardGauge) -> Duration| {
            let mut values: Vec<_> = shards
                .iter()
                .map(|((table, stream, shard), gauge)| {
                    (vec![table.clone(), stream.clone(), shard.clone()], value(gauge).as_secs_f64())
                })
                .collect();
            values.sort_by(|a, b| a.0.cmp(&b.0));
            values
        };
        let lag = "How far behind the tip of its shard the last read was.";
        text.gauges("strata_shard_lag_seconds", lag, &labels, of_each(|gauge| gauge.behind));
        let age = "Time since a shard was last read; one that grows is not being read.";
        text.gauges("strata_shard_read_age_seconds", age, &labels, of_each(|gauge| gauge.seen.elapsed()));
        text.single("strata_shards", "gauge", "Shards being read.", shards.len());
    }

    /// Adds to a counter.
    pub fn add(counter: &AtomicU64, n: usize) {
        counter.fetch_add(n as u64, Relaxed);
    }

    fn progress(&self, last_rows: u64, elapsed: Duration) -> Progress {
        let shards = self.shards.lock().unwrap_or_else(PoisonError::into_inner);
        let lag = shards.values().map(|gauge| {
            let quiet = gauge.seen.elapsed();
            gauge.behind + if quiet > QUIET { quiet } else { Duration::ZERO }
        });
        let lag_ms = lag.max().unwrap_or_default().as_millis();
        let rows = self.rows.load(Relaxed);
        let millis = u64::try_from(elapsed.as_millis()).unwrap_or(u64::MAX).max(1);
        Progress {
            records: self.records.load(Relaxed),
            rows,
            rows_per_second: (rows - last_rows).saturating_mul(1000) / millis,
            lag_ms: u64::try_from(lag_ms).unwrap_or(u64::MAX),
            dead_letters: self.dead_letters.load(Relaxed),
            batches: self.batches.load(Relaxed),
            shards: shards.len(),
            percent: self.percent(),
        }
    }
}

/// Reports progress until dropped.
pub async fn report(metrics: &Metrics, interval: Duration) {
    let terminal = std::io::stderr().is_terminal();
    let interval = if terminal { Duration::from_millis(500) } else { interval };
    let (mut rows, mut at) = (metrics.rows.load(Relaxed), Instant::now());
    let mut told = None;
    loop {
        tokio::time::sleep(interval).await;
        let progress = metrics.progress(rows, at.elapsed());
        (rows, at) = (progress.rows, Instant::now());
        if terminal {
            line(&progress);
        } else if told.as_ref() != Some(&progress) {
            event(&progress, "progress");
            told = Some(progress);
        }
    }
}

/// The last word: totals and the mean rate.
pub fn summary(metrics: &Metrics, elapsed: Duration) {
    if std::io::stderr().is_terminal() {
        eprintln!();
    }
    event(&metrics.progress(0, elapsed), "finished");
}

fn event(p: &Progress, message: &str) {
    tracing::info!(
        records = p.records,
        rows = p.rows,
        rows_per_second = p.rows_per_second,
        lag_ms = p.lag_ms,
        dead_letters = p.dead_letters,
        batches = p.batches,
        shards = p.shards,
        percent = p.percent,
        "{message}"
    );
}

fn line(p: &Progress) {
    let mut err = std::io::stderr().lock();
    // Nothing can be done about a terminal that is gone.
    let _ = write!(
        err,
        "\r\x1b[2K{}{} records  {} rows  {} rows/s  lag {}  {} dead letters  {} shards",
        p.percent.map(bar).unwrap_or_default(),
        p.records,
        p.rows,
        p.rows_per_second,
        duration(p.lag_ms),
        p.dead_letters,
        p.shards
    );
    let _ = err.flush();
}

/// A bar of twenty places.
fn bar(percent: u64) -> String {
    let full = usize::try_from(percent / 5).unwrap_or(20).min(20);
    format!("[{}{}] {percent:3} %  ", "#".repeat(full), " ".repeat(20 - full))
}

/// Milliseconds for a person.
pub fn duration(ms: u64) -> String {
    match ms {
        0..1_000 => format!("{ms} ms"),
        1_000..60_000 => format!("{}.{} s", ms / 1_000, ms % 1_000 / 100),
        60_000..3_600_000 => format!("{} min {} s", ms / 60_000, ms % 60_000 / 1_000),
        3_600_000..86_400_000 => format!("{} h {} min", ms / 3_600_000, ms % 3_600_000 / 60_000),
        _ => format!("{} d {} h", ms / 86_400_000, ms % 86_400_000 / 3_600_000),
    }
}

/// A size as a person reads it.
pub fn bytes(count: i64) -> String {
    let units = ["kB", "MB", "GB", "TB"];
    let exact = u64::try_from(count).unwrap_or_default();
    let mut unit = None;
    let mut whole = exact;
    for next in units {
        if whole < 10_240 {
            break;
        }
        whole /= 1_024;
        unit = Some(next);
    }
    format!("{whole} {}", unit.unwrap_or("bytes"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_read_well() {
        let cases = [(-1, "0 bytes"), (10_239, "10239 bytes"), (10_240, "10 kB"), (5_i64 << 40, "5120 GB")];
        for (count, text) in cases {
            assert_eq!(bytes(count), text);
        }
    }

    #[test]
    fn progress_takes_the_slowest_shard() {
        let metrics = Metrics::default();
        let shard = |name: &str| ("t".to_owned(), "s".to_owned(), name.to_owned());
        metrics.shard_read(&shard("a"), 10);
        metrics.shard_read(&shard("b"), 2_000);
        metrics.shard_read(&shard("b"), 1_000);
        Metrics::add(&metrics.rows, 500);
        let progress = metrics.progress(100, Duration::from_secs(2));
        assert_eq!((progress.lag_ms, progress.rows_per_second, progress.shards), (1_000, 200, 2));
        metrics.shard_left(&shard("b"));
        assert_eq!(metrics.progress(500, Duration::ZERO).lag_ms, 10);
    }

    #[test]
    fn files_have_a_bar() {
        let metrics = Metrics::default();
        assert_eq!(metrics.percent(), None);
        metrics.follow(|| (0, 0));
        assert_eq!(metrics.percent(), None);
        metrics.follow(|| (51, 100));
        assert_eq!(metrics.percent().map(bar).as_deref(), Some("[##########          ]  51 %  "));
        metrics.follow(|| (300, 100));
        assert_eq!(metrics.percent().map(bar).as_deref(), Some("[####################] 100 %  "));
    }

    #[test]
    fn durations_read_well() {
        assert_eq!(duration(5), "5 ms");
        assert_eq!(duration(1_234), "1.2 s");
        assert_eq!(duration(61_000), "1 min 1 s");
        assert_eq!(duration(90_000_000), "1 d 1 h");
    }
}
