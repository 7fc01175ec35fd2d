//! The way in for tests and demonstrations: order a fault, move time, look inside.
//! Not part of the service; what stands here has no counterpart in the SDK.

use std::sync::atomic::Ordering;

use serde::Deserialize;
use serde_json::{Value, json};

use crate::error::{Refusal, Result};
use crate::faults::Rule;
use crate::server::{PlannedSplit, Server, is_operation};
use crate::stream::lock;

/// An order.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Command {
    /// Calls that shall go wrong.
    Fault(Rule),
    /// No more faults, no more planned splits.
    Clear,
    /// All iterators issued so far expire.
    ExpireIterators,
    /// Time moves forward.
    AdvanceMs(u64),
    /// A split once a stream has taken so many records.
    SplitAt(SplitAt),
    /// The oldest records of a shard are gone, as after the retention period.
    Trim(Trim),
}

/// See [`Command::SplitAt`].
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SplitAt {
    /// Stream name.
    pub stream: String,
    /// Shard id; the one that took the record if absent.
    pub shard: Option<String>,
    /// The last record before the split, counted over the stream's whole life.
    pub record: u64,
}

/// See [`Command::Trim`].
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Trim {
    /// Stream name.
    pub stream: String,
    /// Shard id.
    pub shard: String,
    /// How many.
    pub records: usize,
}

impl Server {
    /// Carries out an order.
    pub fn apply(&self, command: Command) -> Result<()> {
        match command {
            Command::Fault(rule) => {
                if let Some(operation) = rule.operation.as_deref()
                    && !(is_operation(operation) && rule.kind.fits(operation))
                {
                    return Err(Refusal::invalid_argument(format!(
                        "{:?} cannot happen to {operation}",
                        rule.kind
                    )));
                }
                self.faults.add(rule);
            }
            Command::Clear => {
                self.faults.clear();
                lock(&self.planned_splits).clear();
                self.splits_planned.store(false, Ordering::Release);
            }
            Command::ExpireIterators => {
                self.iterators_expired
                    .store(self.iterators_issued.load(Ordering::Acquire), Ordering::Release);
            }
            Command::AdvanceMs(ms) => self.options.clock.advance_ms(ms),
            Command::SplitAt(SplitAt { stream, shard, record }) => {
                let known = self.stream(&stream)?;
                if let Some(id) = &shard {
                    known.shard(id, self.now_ms())?;
                }
                lock(&self.planned_splits).push(PlannedSplit { stream, shard, at_record: record });
                self.splits_planned.store(true, Ordering::Release);
            }
            Command::Trim(Trim { stream, shard, records }) => {
                self.stream(&stream)?.shard(&shard, self.now_ms())?.state().log.trim_count(records);
            }
        }
        Ok(())
    }

    /// All that is inside, without the records.
    pub fn inspect(&self) -> Value {
        let streams: Vec<_> = self
            .streams()
            .iter()
            .map(|stream| {
                let shards: Vec<_> = stream
                    .topology()
                    .shards
                    .iter()
                    .map(|shard| {
                        let state = shard.state();
                        let bounds = state.log.bounds();
                        json!({
                            "shard_id": shard.id,
                            "open": state.closed_ms.is_none(),
                            "parents": shard.parents,
                            "records": state.log.len(),
                            "accepted": state.log.appended(),
                            "first": bounds.map(|(first, _)| shard.sequence_number(first)),
                            "last": bounds.map(|(_, last)| shard.sequence_number(last)),
                        })
                    })
                    .collect();
                json!({
                    "name": stream.name,
                    "arn": stream.arn,
                    "accepted": stream.accepted.load(Ordering::Acquire),
                    "shards": shards,
                })
            })
            .collect();
        json!({
            "now_ms": self.now_ms(),
            "streams": streams,
            "calls": self.calls(),
            "faults_pending": self.faults.pending(),
            "splits_planned": lock(&self.planned_splits).len(),
        })
    }
}
