//! What each operation means, by subject.
//! Input and output shapes live next to the operation; state is in `stream`, bounds in `limits`.

pub mod consumers;
pub mod put;
pub mod records;
pub mod shards;
pub mod streams;

use serde_json::{Value, json};

use crate::stream::{Shard, Topology};

/// Milliseconds as the protocol writes a time: seconds with a fraction.
pub fn timestamp(ms: u64) -> Value {
    json!(std::time::Duration::from_millis(ms).as_secs_f64())
}

/// A time of the protocol in milliseconds; what is before 1970 becomes 1970.
#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)] // `as` saturates, which is what is wanted
pub fn milliseconds(seconds: f64) -> u64 {
    (seconds * 1000.0).round() as u64
}

fn parent_id(topology: &Topology, shard: &Shard, which: usize) -> Option<String> {
    let index = usize::try_from(*shard.parents.get(which)?).ok()?;
    Some(topology.shards.get(index)?.id.clone())
}

/// A shard as `ListShards` and `DescribeStream` show it.
pub fn shard_json(topology: &Topology, shard: &Shard) -> Value {
    let mut sequence_numbers = json!({ "StartingSequenceNumber": shard.sequence_number(0) });
    let state = shard.state();
    if state.closed_ms.is_some() {
        sequence_numbers["EndingSequenceNumber"] = json!(shard.sequence_number(state.log.next_counter()));
    }
    drop(state);
    let mut out = json!({
        "ShardId": shard.id,
        "HashKeyRange": hash_range_json(shard),
        "SequenceNumberRange": sequence_numbers,
    });
    for (which, name) in ["ParentShardId", "AdjacentParentShardId"].into_iter().enumerate() {
        if let Some(id) = parent_id(topology, shard, which) {
            out[name] = json!(id);
        }
    }
    out
}

/// A shard as the last page of its parent shows it.
pub fn child_json(topology: &Topology, shard: &Shard) -> Value {
    let parents: Vec<_> =
        (0..shard.parents.len()).filter_map(|which| parent_id(topology, shard, which)).collect();
    json!({ "ShardId": shard.id, "ParentShards": parents, "HashKeyRange": hash_range_json(shard) })
}

fn hash_range_json(shard: &Shard) -> Value {
    json!({
        "StartingHashKey": shard.range.0.to_string(),
        "EndingHashKey": shard.range.1.to_string(),
    })
}
