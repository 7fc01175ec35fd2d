//! Counters of a running process and the one place from which progress leaves: a line on a terminal, an INFO event
//! elsewhere. Never: payloads, DSNs.

use std::collections::HashMap;
use std::io::{IsTerminal, Write};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Counters; all since the start.
#[derive(Debug, Default)]
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
    shards: Mutex<HashMap<String, ShardGauge>>,
}

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
}

/// A shard that says nothing for this long is behind by that time, whatever it said last.
const QUIET: Duration = Duration::from_secs(5);

impl Metrics {
    /// A shard was read: it is behind the tip by this.
    pub fn shard_read(&self, shard: &str, behind_ms: i64) {
        let behind = Duration::from_millis(u64::try_from(behind_ms).unwrap_or_default());
        let gauge = ShardGauge { behind, seen: Instant::now() };
        let mut shards = self.shards.lock().unwrap_or_else(PoisonError::into_inner);
        match shards.get_mut(shard) {
            Some(known) => *known = gauge,
            None => drop(shards.insert(shard.to_owned(), gauge)),
        }
    }

    /// A shard is no longer read here.
    pub fn shard_left(&self, shard: &str) {
        self.shards.lock().unwrap_or_else(PoisonError::into_inner).remove(shard);
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
        "{message}"
    );
}

fn line(p: &Progress) {
    let mut err = std::io::stderr().lock();
    // Nothing can be done about a terminal that is gone.
    let _ = write!(
        err,
        "\r\x1b[2K{} records  {} rows  {} rows/s  lag {}  {} dead letters  {} shards",
        p.records,
        p.rows,
        p.rows_per_second,
        duration(p.lag_ms),
        p.dead_letters,
        p.shards
    );
    let _ = err.flush();
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
        metrics.shard_read("a", 10);
        metrics.shard_read("b", 2_000);
        metrics.shard_read("b", 1_000);
        Metrics::add(&metrics.rows, 500);
        let progress = metrics.progress(100, Duration::from_secs(2));
        assert_eq!((progress.lag_ms, progress.rows_per_second, progress.shards), (1_000, 200, 2));
        metrics.shard_left("b");
        assert_eq!(metrics.progress(500, Duration::ZERO).lag_ms, 10);
    }

    #[test]
    fn durations_read_well() {
        assert_eq!(duration(5), "5 ms");
        assert_eq!(duration(1_234), "1.2 s");
        assert_eq!(duration(61_000), "1 min 1 s");
        assert_eq!(duration(90_000_000), "1 d 1 h");
    }
}
