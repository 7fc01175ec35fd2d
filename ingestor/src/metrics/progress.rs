//! The one place from which progress leaves: a line on a terminal, an INFO event elsewhere. Never: counting.

use super::{Metrics, lock};
use crate::human::duration;
use std::io::{IsTerminal, Write};
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};

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
    /// How much of all files was read, in percent; nothing where there are none.
    fn percent(&self) -> Option<u64> {
        let files = lock(&self.files);
        let (read, all) = files.as_ref()?();
        read.saturating_mul(100).checked_div(all).map(|percent| percent.min(100))
    }

    fn progress(&self, last_rows: u64, elapsed: Duration) -> Progress {
        let shards = lock(&self.shards);
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

#[cfg(test)]
mod tests {
    use super::*;

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
}
