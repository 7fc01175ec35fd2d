//! The whole of the endpoint's state, and the one place that names the operations.
//! Knows bodies in and bodies out; HTTP is `http`, the meaning of each operation is in `operations`.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use bytes::Bytes;
use serde::Deserialize;

use crate::clock::Clock;
use crate::error::{Refusal, Result};
use crate::faults::{Effect, Faults, Target, Transport};
use crate::iterator::Tokens;
use crate::limits::ITERATOR_TTL_MS;
use crate::operations::{consumers, records, shards, streams};
use crate::stream::{ACCOUNT, Stream, lock};

type Operation = fn(&Server, &[u8]) -> Result<Reply>;

/// Every operation there is; the hot ones first.
const OPERATIONS: [(&str, Operation); 22] = [
    ("GetRecords", records::get_records),
    ("PutRecords", records::put_records),
    ("PutRecord", records::put_record),
    ("GetShardIterator", records::get_shard_iterator),
    ("ListShards", shards::list),
    ("SplitShard", shards::split),
    ("MergeShards", shards::merge),
    ("UpdateShardCount", shards::update_count),
    ("CreateStream", streams::create),
    ("DeleteStream", streams::delete),
    ("DescribeStream", streams::describe),
    ("DescribeStreamSummary", streams::describe_summary),
    ("ListStreams", streams::list),
    ("DescribeLimits", streams::describe_limits),
    ("IncreaseStreamRetentionPeriod", streams::increase_retention),
    ("DecreaseStreamRetentionPeriod", streams::decrease_retention),
    ("UpdateMaxRecordSize", streams::update_max_record_size),
    ("SubscribeToShard", consumers::subscribe),
    ("RegisterStreamConsumer", consumers::register),
    ("DescribeStreamConsumer", consumers::describe),
    ("DeregisterStreamConsumer", consumers::deregister),
    ("ListStreamConsumers", consumers::list),
];

/// Whether the endpoint knows an operation.
pub fn is_operation(name: &str) -> bool {
    OPERATIONS.iter().any(|(known, _)| *known == name)
}

/// What may differ from the service.
#[derive(Debug, Clone)]
pub struct Options {
    /// Life of a shard iterator.
    pub iterator_ttl_ms: u64,
    /// Whether the per-shard rates count.
    pub enforce_limits: bool,
    /// The time.
    pub clock: Clock,
}

impl Default for Options {
    fn default() -> Self {
        Self { iterator_ttl_ms: ITERATOR_TTL_MS, enforce_limits: false, clock: Clock::system() }
    }
}

/// A split that waits for a record count.
#[derive(Debug, Clone)]
pub struct PlannedSplit {
    /// Stream name.
    pub stream: String,
    /// Shard id; the one that takes the record if absent.
    pub shard: Option<String>,
    /// The last record to go by the old topology.
    pub at_record: u64,
}

/// All streams and settings.
#[derive(Debug)]
pub struct Server {
    /// Settings.
    pub options: Options,
    /// Tokens.
    pub tokens: Tokens,
    /// Faults.
    pub faults: Faults,
    /// Whether any split is planned; spares the lock.
    pub splits_planned: AtomicBool,
    /// Planned splits.
    pub planned_splits: Mutex<Vec<PlannedSplit>>,
    /// Iterators issued so far.
    pub iterators_issued: AtomicU64,
    /// Iterators before this one are expired by order.
    pub iterators_expired: AtomicU64,
    streams: RwLock<BTreeMap<String, Arc<Stream>>>,
    streams_made: AtomicU64,
    calls: [AtomicU64; OPERATIONS.len()],
}

/// An answer: JSON in pieces.
#[derive(Debug, Default)]
pub struct Reply {
    /// The body.
    pub pieces: Vec<Bytes>,
    /// How it travels.
    pub transport: Transport,
    /// What comes after the pieces, as it happens: frames of an event stream.
    pub live: Option<tokio::sync::mpsc::Receiver<Bytes>>,
}

impl Reply {
    /// A JSON value.
    pub fn json(value: &serde_json::Value, effect: Effect) -> Self {
        Self { pieces: vec![Bytes::from(value.to_string())], transport: effect.transport, live: None }
    }

    /// No body.
    pub fn empty(effect: Effect) -> Self {
        Self { pieces: Vec::new(), transport: effect.transport, live: None }
    }
}

/// Reads an operation's input.
pub fn parse<'a, T: Deserialize<'a>>(body: &'a [u8]) -> Result<T> {
    serde_json::from_slice(if body.is_empty() { b"{}" } else { body }).map_err(Refusal::serialization)
}

impl Server {
    /// No streams yet.
    pub fn new(options: Options) -> Self {
        Self {
            options,
            tokens: Tokens::new(),
            faults: Faults::default(),
            splits_planned: AtomicBool::new(false),
            planned_splits: Mutex::default(),
            iterators_issued: AtomicU64::new(0),
            iterators_expired: AtomicU64::new(0),
            streams: RwLock::default(),
            streams_made: AtomicU64::new(0),
            calls: [const { AtomicU64::new(0) }; OPERATIONS.len()],
        }
    }

    /// Now.
    pub fn now_ms(&self) -> u64 {
        self.options.clock.now_ms()
    }

    /// Carries out one operation.
    pub fn call(&self, operation: &str, body: &[u8]) -> Result<Reply> {
        let known = OPERATIONS.iter().zip(&self.calls).find(|((name, _), _)| *name == operation);
        let ((_, run), calls) = known.ok_or_else(Refusal::unknown_operation)?;
        calls.fetch_add(1, Ordering::Relaxed);
        run(self, body)
    }

    /// Calls by operation.
    pub fn calls(&self) -> BTreeMap<&'static str, u64> {
        OPERATIONS
            .iter()
            .zip(&self.calls)
            .map(|((name, _), calls)| (*name, calls.load(Ordering::Relaxed)))
            .collect()
    }

    /// All streams by name.
    pub fn streams(&self) -> Vec<Arc<Stream>> {
        self.streams.read().unwrap_or_else(PoisonError::into_inner).values().cloned().collect()
    }

    /// Makes a stream.
    pub fn create_stream(&self, name: &str, shard_count: u64, mode: &'static str) -> Result<Arc<Stream>> {
        let mut streams = self.streams.write().unwrap_or_else(PoisonError::into_inner);
        if streams.contains_key(name) {
            return Err(Refusal::in_use(format!("Stream {name} under account {ACCOUNT} already exists.")));
        }
        let incarnation = self.streams_made.fetch_add(1, Ordering::Relaxed);
        let stream = Arc::new(Stream::new(name, incarnation, shard_count, mode, self.now_ms()));
        streams.insert(name.to_owned(), Arc::clone(&stream));
        Ok(stream)
    }

    /// Forgets a stream.
    pub fn delete_stream(&self, name: &str) {
        self.streams.write().unwrap_or_else(PoisonError::into_inner).remove(name);
    }

    /// A stream by name.
    pub fn stream(&self, name: &str) -> Result<Arc<Stream>> {
        let streams = self.streams.read().unwrap_or_else(PoisonError::into_inner);
        streams
            .get(name)
            .cloned()
            .ok_or_else(|| Refusal::not_found(format!("Stream {name} under account {ACCOUNT} not found.")))
    }

    /// A stream by name or ARN, which must agree if both are given.
    pub fn stream_of(&self, name: Option<&str>, arn: Option<&str>) -> Result<Arc<Stream>> {
        let from_arn = match arn {
            None => None,
            Some(arn) => Some(arn.split_once(":stream/").map(|(_, name)| name).ok_or_else(|| {
                Refusal::validation(format!("Value '{arn}' at 'streamARN' is not a stream's ARN."))
            })?),
        };
        let name = match (name, from_arn) {
            (Some(name), Some(other)) if name != other => {
                return Err(Refusal::invalid_argument("StreamName and StreamARN name different streams."));
            }
            (name, other) => name.or(other),
        };
        let name =
            name.ok_or_else(|| Refusal::invalid_argument("Either StreamName or StreamARN must be given."))?;
        let stream = self.stream(name)?;
        match arn {
            Some(arn) if arn != stream.arn => {
                Err(Refusal::not_found(format!("Stream {arn} under account {ACCOUNT} not found.")))
            }
            _ => Ok(stream),
        }
    }

    /// The shard to split now that a record was stored in `shard`, if one is planned.
    pub fn split_due(&self, stream: &Stream, shard: &str) -> Option<String> {
        if !self.splits_planned.load(Ordering::Acquire) {
            return None;
        }
        let mut plans = lock(&self.planned_splits);
        let accepted = stream.accepted.load(Ordering::Acquire);
        let due = plans.iter().position(|plan| plan.stream == stream.name && plan.at_record <= accepted)?;
        let plan = plans.remove(due);
        self.splits_planned.store(!plans.is_empty(), Ordering::Release);
        Some(plan.shard.unwrap_or_else(|| shard.to_owned()))
    }

    /// Asks the fault rules.
    pub fn strike(&self, operation: &str, stream: &Stream, shard: Option<&str>) -> Result<Effect> {
        self.faults.strike(Target { operation, stream: &stream.name, shard })
    }
}
