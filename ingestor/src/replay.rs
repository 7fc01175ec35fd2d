//! `strata replay`: records of the past carried again, beside live ingestion, under checkpoints of their own: a replay
//! that was cut short goes on where it was, and one that has ended has nothing more to do. Never: how records are read.

use crate::cli;
use crate::clock::now;
use crate::config::Config;
use crate::error::{Error, Result};
use crate::ingest::{self, Options};
use crate::postgres::Database;
use crate::stop::{Stop, Stopper};
use crate::stream::{Record, compare_sequence};
use std::collections::HashMap;
use std::sync::Arc;
use strata_core::time::{format_timestamptz, parse_timestamptz};

/// Times of arrival are approximate: a record this much after the end of a window says that nothing of it comes any more.
const SLACK_US: i64 = 10_000_000;

/// What is to be carried again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Window {
    /// What arrived from one time on and before another (microseconds since 2000-01-01 UTC).
    Arrived(i64, i64),
    /// Ranges of records, both ends included, by stream (ARN) and shard, in their order.
    Records(HashMap<(String, String), Vec<(String, String)>>),
}

/// One replay.
#[derive(Debug)]
pub struct Replay {
    /// What its checkpoints are kept under, before the stream's ARN; without spaces.
    pub label: String,
    /// What is carried.
    pub window: Window,
    /// Records a second at most; 0 for no bound.
    pub rate: u64,
}

impl Window {
    /// Whether a record of a shard is to be carried.
    pub fn holds(&self, (stream, shard): (&str, &str), record: &Record) -> bool {
        match self {
            Self::Arrived(from, to) => record.arrived_at.is_some_and(|at| at >= *from && at < *to),
            Self::Records(_) => self.ranges(stream, shard).iter().any(|(first, last)| {
                compare_sequence(record.sequence_number(), first).is_ge()
                    && compare_sequence(record.sequence_number(), last).is_le()
            }),
        }
    }

    /// Whether nothing to be carried comes after a record.
    pub fn ends_with(&self, (stream, shard): (&str, &str), record: &Record) -> bool {
        match self {
            Self::Arrived(_, to) => record.arrived_at.is_some_and(|at| at >= to.saturating_add(SLACK_US)),
            Self::Records(_) => self
                .ranges(stream, shard)
                .last()
                .is_none_or(|(_, last)| compare_sequence(record.sequence_number(), last).is_ge()),
        }
    }

    /// The ranges of one shard.
    pub fn ranges(&self, stream: &str, shard: &str) -> &[(String, String)] {
        match self {
            Self::Arrived(..) => &[],
            Self::Records(ranges) => {
                ranges.get(&(stream.to_owned(), shard.to_owned())).map_or(&[], Vec::as_slice)
            }
        }
    }
}

/// Carries the window, then ends.
pub async fn run(mut config: Config, options: &cli::Replay, stopper: Stopper, stop: Stop) -> Result<()> {
    let replay = match options.reversion {
        Some(id) => of_reversion(&config, id, options.rate).await?,
        None => of_times(options)?,
    };
    if let Window::Arrived(from, _) = replay.window {
        config.feeds.iter_mut().for_each(|feed| feed.start = format_timestamptz(from));
    }
    // Leases go by name: those of a live process of the same name are not this one's.
    config.worker = format!("{} {}", config.worker(), replay.label);
    tracing::info!(replay = replay.label, "replaying");
    let options = Options { until_caught_up: true, maintain: false, replay: Some(Arc::new(replay)) };
    let (_, configs) = tokio::sync::watch::channel(std::sync::Arc::new(config.clone()));
    ingest::ingest(config, options, configs, stopper, stop).await
}

fn of_times(options: &cli::Replay) -> Result<Replay> {
    let time = |name: &str, value: &Option<String>| {
        let value = value.as_deref().ok_or_else(|| {
            Error::usage("what is to be replayed? give --from and --to, or --reversion with an id of strata.reversions")
        })?;
        parse_timestamptz(value)
            .map_err(|e| Error::usage(format!("--{name} \"{value}\" is no RFC 3339 time with offset ({e})")))
    };
    let (from, to) = (time("from", &options.from)?, time("to", &options.to)?);
    if from >= to {
        return Err(Error::usage("--from must be before --to"));
    }
    if to > now() {
        return Err(Error::usage("--to must not lie in the future: what has not arrived cannot be replayed"));
    }
    let label = format!("replay/{}/{}", format_timestamptz(from), format_timestamptz(to)).replace(' ', "T");
    Ok(Replay { label, window: Window::Arrived(from, to), rate: options.rate })
}

async fn of_reversion(config: &Config, id: i64, rate: u64) -> Result<Replay> {
    let session = Database::new(config)?.connect().await?;
    let mut ranges: HashMap<(String, String), Vec<(String, String)>> = HashMap::new();
    for (stream, shard, first, last) in session.reversion(id).await? {
        ranges.entry((stream, shard)).or_default().push((first, last));
    }
    if ranges.is_empty() {
        return Err(Error::usage(format!(
            "there is no reversion {id} with records that you may see; strata.reversions lists them"
        )));
    }
    for ranges in ranges.values_mut() {
        ranges.sort_by(|a, b| compare_sequence(&a.0, &b.0));
    }
    Ok(Replay { label: format!("replay/reversion-{id}"), window: Window::Records(ranges), rate })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(number: &str, arrived_at: i64) -> Record {
        Record::new(b"", number, "", Some(arrived_at))
    }

    #[test]
    fn a_window_of_times_takes_its_beginning_and_not_its_end() {
        let (window, shard) = (Window::Arrived(100, 200), ("s", "0"));
        let held: Vec<_> = [99, 100, 199, 200].map(|at| window.holds(shard, &record("1", at))).into();
        assert_eq!(held, [false, true, true, false]);
        assert!(!window.ends_with(shard, &record("1", 200)), "an earlier record may still come");
        assert!(window.ends_with(shard, &record("1", 200 + SLACK_US)));
    }

    #[test]
    fn a_window_of_records_takes_its_ranges() {
        let ranges = vec![("5".to_owned(), "9".to_owned()), ("12".to_owned(), "15".to_owned())];
        let window = Window::Records(HashMap::from([(("s".to_owned(), "0".to_owned()), ranges)]));
        let shard = ("s", "0");
        let held: Vec<_> =
            ["4", "5", "9", "10", "12", "15", "16"].map(|n| window.holds(shard, &record(n, 0))).into();
        assert_eq!(held, [false, true, true, false, true, true, false]);
        assert!(!window.ends_with(shard, &record("14", 0)));
        assert!(window.ends_with(shard, &record("15", 0)));
        assert!(window.ends_with(("s", "1"), &record("1", 0)));
    }
}
