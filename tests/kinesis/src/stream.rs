//! Streams and shards: who owns which hash keys, who came from whom, and where a record goes.
//! Puts hold the topology for reading and a reshard holds it for writing, so no record ever lands in a closed shard.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use crate::error::{Refusal, Result};
use crate::ids;
use crate::limits::{CallMeter, RECORD_BYTES_DEFAULT, ReadMeter, WriteMeter};
use crate::log::{Incoming, Log};
use crate::operations::consumers::Consumer;

/// The account all streams belong to.
pub const ACCOUNT: &str = "000000000000";
const RETENTION_HOURS_DEFAULT: u64 = 24;

/// Locks, even if another thread panicked meanwhile: every change here is whole or not begun.
pub fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A shard: fixed range and parents, changing records.
#[derive(Debug)]
pub struct Shard {
    /// Place among the stream's shards.
    pub index: u64,
    /// Its id.
    pub id: String,
    /// First and last hash key.
    pub range: (u128, u128),
    /// Parent and adjacent parent.
    pub parents: Vec<u64>,
    /// When it was made.
    pub created_ms: u64,
    /// What its sequence numbers begin with.
    pub prefix: String,
    /// What changes.
    pub state: Mutex<ShardState>,
}

/// The changing part of a shard, under its own lock.
#[derive(Debug)]
pub struct ShardState {
    /// Records.
    pub log: Log,
    /// When it was closed.
    pub closed_ms: Option<u64>,
    /// Read rates.
    pub reads: ReadMeter,
    /// `GetShardIterator` rate.
    pub iterators: CallMeter,
    /// Write rates.
    pub writes: WriteMeter,
}

impl Shard {
    /// An open, empty shard.
    pub fn new(index: u64, range: (u128, u128), parents: Vec<u64>, created_ms: u64) -> Self {
        let prefix = ids::sequence_prefix(created_ms, index);
        let log = Log::new(prefix.clone());
        let state = ShardState {
            log,
            closed_ms: None,
            reads: ReadMeter::default(),
            iterators: CallMeter::default(),
            writes: WriteMeter::new(),
        };
        Self { index, id: ids::shard_id(index), range, parents, created_ms, prefix, state: Mutex::new(state) }
    }

    /// The changing part.
    pub fn state(&self) -> MutexGuard<'_, ShardState> {
        lock(&self.state)
    }

    /// The sequence number of a record here.
    pub fn sequence_number(&self, counter: u64) -> String {
        ids::sequence_number(&self.prefix, counter)
    }
}

/// All shards ever, and the open ones by hash key.
#[derive(Debug)]
pub struct Topology {
    /// By index.
    pub shards: Vec<Arc<Shard>>,
    /// Open ones, by first hash key.
    pub open: Vec<Arc<Shard>>,
    /// When it last changed; two changes never share an instant.
    pub changed_ms: u64,
    /// When `UpdateShardCount` was called.
    pub count_updates_ms: Vec<u64>,
}

impl Topology {
    fn new(shard_count: u64, now_ms: u64) -> Self {
        let shards: Vec<_> = (0..shard_count)
            .map(|index| {
                let range = even_range(index, shard_count);
                Arc::new(Shard::new(index, range, Vec::new(), now_ms))
            })
            .collect();
        Self { open: shards.clone(), shards, changed_ms: now_ms, count_updates_ms: Vec::new() }
    }

    /// The open shard that owns a hash key.
    pub fn owner_of(&self, hash: u128) -> Option<&Arc<Shard>> {
        let after = self.open.partition_point(|shard| shard.range.0 <= hash);
        self.open.get(after.checked_sub(1)?)
    }

    /// The shards that came from this one.
    pub fn children_of(&self, index: u64) -> Vec<Arc<Shard>> {
        self.shards.iter().filter(|shard| shard.parents.contains(&index)).cloned().collect()
    }
}

/// The `index`th of `count` ranges of nearly equal size that cover all hash keys.
pub fn even_range(index: u64, count: u64) -> (u128, u128) {
    if count <= 1 {
        return (0, u128::MAX);
    }
    let (count, index) = (u128::from(count), u128::from(index));
    // The whole part of 2^128 / count; 2^128 itself does not fit.
    let width = u128::MAX / count + u128::from(u128::MAX % count == count - 1);
    let start = width * index;
    let end = if index + 1 >= count { u128::MAX } else { start + width - 1 };
    (start, end)
}

/// A stream.
#[derive(Debug)]
pub struct Stream {
    /// Its name.
    pub name: String,
    /// Its ARN.
    pub arn: String,
    /// Which of the streams that ever had this name.
    pub incarnation: u64,
    /// When it was made.
    pub created_ms: u64,
    /// `PROVISIONED` or `ON_DEMAND`.
    pub mode: &'static str,
    /// Hours that records are kept.
    pub retention_hours: AtomicU64,
    /// Largest record.
    pub record_bytes_max: AtomicU64,
    /// Records ever accepted.
    pub accepted: AtomicU64,
    /// Consumers with enhanced fan-out, by name.
    pub consumers: Mutex<BTreeMap<String, Consumer>>,
    topology: RwLock<Topology>,
}

impl Stream {
    /// A new, active stream.
    pub fn new(name: &str, incarnation: u64, shard_count: u64, mode: &'static str, now_ms: u64) -> Self {
        Self {
            name: name.to_owned(),
            arn: format!("arn:aws:kinesis:us-east-1:{ACCOUNT}:stream/{name}"),
            incarnation,
            created_ms: now_ms,
            mode,
            retention_hours: AtomicU64::new(RETENTION_HOURS_DEFAULT),
            record_bytes_max: AtomicU64::new(RECORD_BYTES_DEFAULT),
            accepted: AtomicU64::new(0),
            consumers: Mutex::default(),
            topology: RwLock::new(Topology::new(shard_count, now_ms)),
        }
    }

    /// The topology as it is.
    pub fn topology(&self) -> RwLockReadGuard<'_, Topology> {
        self.topology.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// The topology, to change it.
    pub fn topology_mut(&self) -> RwLockWriteGuard<'_, Topology> {
        self.topology.write().unwrap_or_else(PoisonError::into_inner)
    }

    /// Records older than this are gone.
    pub fn horizon_ms(&self, now_ms: u64) -> u64 {
        now_ms.saturating_sub(self.retention_hours.load(Ordering::Relaxed) * 3_600_000).max(self.created_ms)
    }

    /// Whether a shard was closed so long ago that none of its records is left.
    pub fn is_expired(&self, shard: &Shard, now_ms: u64) -> bool {
        shard.state().closed_ms.is_some_and(|closed| closed < self.horizon_ms(now_ms))
    }

    /// A shard that is still there.
    pub fn shard(&self, id: &str, now_ms: u64) -> Result<Arc<Shard>> {
        let index = ids::shard_index(id).and_then(|index| usize::try_from(index).ok());
        let found = index.and_then(|index| self.topology().shards.get(index).cloned());
        found.filter(|shard| !self.is_expired(shard, now_ms)).ok_or_else(|| {
            Refusal::not_found(format!(
                "Shard {id} in stream {} under account {ACCOUNT} does not exist",
                self.name
            ))
        })
    }

    /// Stores one record in an open shard and returns its counter. `limits` says whether the shard's rate counts.
    /// The caller holds the topology, so that the shard stays open.
    pub fn put(&self, shard: &Shard, record: Incoming<'_>, now_ms: u64, limits: bool) -> Result<u64> {
        let mut state = shard.state();
        if limits && !state.writes.admit(now_ms, record.size) {
            return Err(self.rate_exceeded(shard));
        }
        let counter = state.log.append(record, now_ms);
        // Cheap when nothing is old enough; keeps a long run from growing without bound.
        state.log.trim_before(self.horizon_ms(now_ms));
        drop(state);
        self.accepted.fetch_add(1, Ordering::AcqRel);
        Ok(counter)
    }

    /// The refusal of a shard that is asked too much.
    pub fn rate_exceeded(&self, shard: &Shard) -> Refusal {
        Refusal::throttled(format!(
            "Rate exceeded for shard {} in stream {} under account {ACCOUNT}.",
            shard.id, self.name
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_are_those_of_the_service() {
        assert_eq!(even_range(0, 1), (0, u128::MAX));
        assert_eq!(even_range(0, 2), (0, 170_141_183_460_469_231_731_687_303_715_884_105_727));
        assert_eq!(even_range(1, 2), (170_141_183_460_469_231_731_687_303_715_884_105_728, u128::MAX));
        assert_eq!(even_range(0, 3), (0, 113_427_455_640_312_821_154_458_202_477_256_070_484));
        assert_eq!(even_range(2, 3).1, u128::MAX);
    }
}
