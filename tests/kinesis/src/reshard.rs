//! Splits, merges and `UpdateShardCount`, which is a series of both.
//! A change of topology is all that happens here; records stay where they are.

use std::sync::Arc;

use crate::error::{Refusal, Result};
use crate::limits::SHARD_COUNT_UPDATES_PER_DAY;
use crate::stream::{ACCOUNT, Shard, Stream, Topology, even_range};

const DAY_MS: u64 = 86_400_000;

impl Stream {
    /// Splits an open shard; `at` becomes the first hash key of the upper child.
    pub fn split(&self, shard_id: &str, at: u128, now_ms: u64) -> Result<()> {
        let mut topology = self.topology_mut();
        let position = self.open_position(&topology, shard_id, "SplitShard", now_ms)?;
        let (start, end) = topology.open[position].range;
        if at <= start.saturating_add(1) || at >= end {
            return Err(Refusal::invalid_argument(format!(
                "NewStartingHashKey {at} used in SplitShard() on shard {shard_id} in stream {} under account {ACCOUNT} \
                 is not both greater than one plus the shard's StartingHashKey {start} and less than the shard's \
                 EndingHashKey {end}.",
                self.name
            )));
        }
        topology.split(position, at, now_ms);
        Ok(())
    }

    /// Splits an open shard in the middle.
    pub fn split_evenly(&self, shard_id: &str, now_ms: u64) -> Result<()> {
        let range = self.shard(shard_id, now_ms)?.range;
        self.split(shard_id, range.0 + (range.1 - range.0) / 2 + 1, now_ms)
    }

    /// Merges two adjacent open shards.
    pub fn merge(&self, shard_id: &str, adjacent_id: &str, now_ms: u64) -> Result<()> {
        let mut topology = self.topology_mut();
        let first = self.open_position(&topology, shard_id, "MergeShards", now_ms)?;
        let second = self.open_position(&topology, adjacent_id, "MergeShards", now_ms)?;
        if first.abs_diff(second) != 1 {
            return Err(Refusal::invalid_argument(format!(
                "Shards {shard_id} and {adjacent_id} in stream {} under account {ACCOUNT} are not an adjacent pair of \
                 shards eligible for merging",
                self.name
            )));
        }
        topology.merge(first, second, now_ms);
        Ok(())
    }

    /// Brings the stream to `target` shards of even size and returns how many there were.
    pub fn update_shard_count(&self, target: usize, now_ms: u64) -> Result<usize> {
        let mut topology = self.topology_mut();
        let current = topology.open.len();
        if target == 0 || target > current * 2 || target * 2 < current {
            return Err(Refusal::limit(format!(
                "UpdateShardCount cannot scale stream {} from {current} to {target} shards: not below half, not above \
                 double.",
                self.name
            )));
        }
        topology.count_updates_ms.retain(|&at| at + DAY_MS > now_ms);
        if topology.count_updates_ms.len() >= SHARD_COUNT_UPDATES_PER_DAY {
            return Err(Refusal::limit(format!(
                "UpdateShardCount was called {SHARD_COUNT_UPDATES_PER_DAY} times within 24 hours on stream {}.",
                self.name
            )));
        }
        topology.count_updates_ms.push(now_ms);
        topology.rescale(target, now_ms);
        Ok(current)
    }

    fn open_position(
        &self,
        topology: &Topology,
        shard_id: &str,
        operation: &str,
        now_ms: u64,
    ) -> Result<usize> {
        if let Some(position) = topology.open.iter().position(|shard| shard.id == shard_id) {
            return Ok(position);
        }
        let closed =
            topology.shards.iter().any(|shard| shard.id == shard_id && !self.is_expired(shard, now_ms));
        Err(if closed {
            Refusal::invalid_argument(format!(
                "Shard {shard_id} used in {operation}() in stream {} under account {ACCOUNT} is closed.",
                self.name
            ))
        } else {
            Refusal::not_found(format!(
                "Could not find shard {shard_id} in stream {} under account {ACCOUNT}.",
                self.name
            ))
        })
    }
}

impl Topology {
    fn split(&mut self, position: usize, at: u128, now_ms: u64) {
        let now_ms = self.next_change(now_ms);
        let parent = Arc::clone(&self.open[position]);
        close(&parent, now_ms);
        let lower = self.add((parent.range.0, at - 1), vec![parent.index], now_ms);
        let upper = self.add((at, parent.range.1), vec![parent.index], now_ms);
        self.open.splice(position..=position, [lower, upper]);
    }

    fn merge(&mut self, first: usize, second: usize, now_ms: u64) {
        let now_ms = self.next_change(now_ms);
        let (parent, adjacent) = (Arc::clone(&self.open[first]), Arc::clone(&self.open[second]));
        close(&parent, now_ms);
        close(&adjacent, now_ms);
        let range = (parent.range.0.min(adjacent.range.0), parent.range.1.max(adjacent.range.1));
        let child = self.add(range, vec![parent.index, adjacent.index], now_ms);
        self.open.splice(first.min(second)..=first.max(second), [child]);
    }

    /// Splits at every boundary that is wanted, then merges what lies between two; children of a split may live for
    /// one step only, as they do in the service.
    fn rescale(&mut self, target: usize, now_ms: u64) {
        let ranges: Vec<_> = (0..target as u64).map(|index| even_range(index, target as u64)).collect();
        for &(start, _) in &ranges {
            let position = self.open.partition_point(|shard| shard.range.0 <= start).saturating_sub(1);
            if self.open[position].range.0 < start {
                self.split(position, start, now_ms);
            }
        }
        for (position, &(_, end)) in ranges.iter().enumerate() {
            while self.open[position].range.1 < end {
                self.merge(position, position + 1, now_ms);
            }
        }
    }

    fn add(&mut self, range: (u128, u128), parents: Vec<u64>, now_ms: u64) -> Arc<Shard> {
        let shard = Arc::new(Shard::new(self.shards.len() as u64, range, parents, now_ms));
        self.shards.push(Arc::clone(&shard));
        shard
    }

    fn next_change(&mut self, now_ms: u64) -> u64 {
        self.changed_ms = now_ms.max(self.changed_ms + 1);
        self.changed_ms
    }
}

fn close(shard: &Shard, now_ms: u64) {
    shard.state().closed_ms = Some(now_ms);
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn assert_covers(stream: &Stream) {
        let topology = stream.topology();
        let mut next = Some(0);
        for shard in &topology.open {
            assert_eq!(Some(shard.range.0), next, "{} leaves a gap", shard.id);
            next = shard.range.1.checked_add(1);
        }
        assert_eq!(next, None, "the last open shard ends before the last hash key");
    }

    #[test]
    fn every_rescale_covers_all_hash_keys_evenly() {
        for (from, to) in [(1, 2), (2, 1), (3, 5), (5, 3), (4, 7), (10, 9), (7, 7)] {
            let stream = Stream::new("s", 1, from, "PROVISIONED", 1_000);
            stream.update_shard_count(to, 1_000).unwrap();
            assert_covers(&stream);
            let ranges: Vec<_> = stream.topology().open.iter().map(|shard| shard.range).collect();
            let wanted: Vec<_> = (0..to as u64).map(|index| even_range(index, to as u64)).collect();
            assert_eq!(ranges, wanted, "{from} to {to}");
        }
    }

    #[test]
    fn a_parent_is_closed_when_its_children_are_made() {
        let stream = Stream::new("s", 1, 1, "PROVISIONED", 1_000);
        stream.split_evenly("shardId-000000000000", 1_000).unwrap();
        let topology = stream.topology();
        assert_eq!(topology.shards[0].state().closed_ms, Some(1_001));
        assert!(topology.children_of(0).iter().all(|child| child.created_ms == 1_001));
        drop(topology);
        stream.merge("shardId-000000000002", "shardId-000000000001", 5_000).unwrap();
        assert_covers(&stream);
        assert_eq!(stream.topology().children_of(1)[0].parents, [2, 1]);
    }

    #[test]
    fn an_eleventh_rescale_in_a_day_is_refused() {
        let stream = Stream::new("s", 1, 1, "PROVISIONED", 0);
        for target in [2, 1, 2, 1, 2, 1, 2, 1, 2, 1] {
            stream.update_shard_count(target, 5).unwrap();
        }
        assert_eq!(stream.update_shard_count(2, 5 + DAY_MS - 1).unwrap_err().code, "LimitExceededException");
        stream.update_shard_count(2, 5 + DAY_MS).unwrap();
    }
}
