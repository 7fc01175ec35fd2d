//! What a source of records looks like from inside: records, pages, shards, places. The seam between the pipeline
//! and Kinesis, so that another source is another module. Never: the AWS SDK.

use std::cmp::Ordering;

/// A record as it was read.
#[derive(Debug, Clone, Default)]
pub struct Record {
    /// Payload.
    pub data: Vec<u8>,
    /// Place in its shard.
    pub sequence_number: String,
    /// Partition key.
    pub partition_key: String,
    /// Approximate arrival, microseconds since 2000-01-01 UTC.
    pub arrived_at: Option<i64>,
}

/// What one call returned.
#[derive(Debug, Default)]
pub struct Page {
    /// Records in order.
    pub records: Vec<Record>,
    /// Where to go on; `None` at the end of a closed shard.
    pub next: Option<String>,
    /// How far behind the tip of the shard this is.
    pub behind_ms: i64,
}

/// A stream that exists.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stream {
    /// Name.
    pub name: String,
    /// ARN.
    pub arn: String,
    /// What checkpoints are kept under: the ARN, or for a replay that with words of its own before it.
    pub label: String,
    /// Open shards.
    pub open_shards: i32,
    /// How long records are kept, in hours.
    pub retention_hours: i32,
    /// Records may be put into any shard, whatever their key.
    pub ignores_keys: bool,
}

/// A shard that is listed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shard {
    /// Id.
    pub id: String,
    /// The shards it came from by a split or merge.
    pub parents: Vec<String>,
}

/// Where in a shard reading begins.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Position {
    /// The oldest record kept.
    TrimHorizon,
    /// The first that arrived at or after a time (microseconds since 2000-01-01 UTC).
    At(i64),
    /// The one after this.
    After(String),
    /// This very one.
    Record(String),
}

/// Which shards to list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Listing {
    /// All there are.
    All,
    /// Those that take records now.
    Open,
    /// Those that took records at a time.
    OpenAt(i64),
}

/// Sequence numbers are decimal integers of any length without leading zeros.
pub fn compare_sequence(a: &str, b: &str) -> Ordering {
    a.len().cmp(&b.len()).then_with(|| a.cmp(b))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sequence_numbers_compare_as_integers() {
        assert_eq!(compare_sequence("9", "10"), Ordering::Less);
        assert_eq!(
            compare_sequence(
                "49590338271490256608559692538361571095921575989136588898",
                "49590338271490256608559692538361571095921575989136588899"
            ),
            Ordering::Less
        );
        assert_eq!(compare_sequence("10", "10"), Ordering::Equal);
    }
}
