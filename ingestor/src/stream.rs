//! What a source of records looks like from inside: records, pages, shards, places. The seam between the pipeline
//! and Kinesis, so that another source is another module. Never: the AWS SDK.

use bytes::Bytes;
use std::cmp::Ordering;

/// A record as it was read. Payload, sequence number and partition key lie one after the other in a piece of memory
/// that the records of a page share.
#[derive(Debug, Clone, Default)]
pub struct Record {
    bytes: Bytes,
    /// Where the payload ends.
    data: u32,
    /// Where the sequence number ends.
    number: u32,
    /// Approximate arrival, microseconds since 2000-01-01 UTC.
    pub arrived_at: Option<i64>,
}

impl Record {
    /// A record by itself.
    pub fn new(data: &[u8], sequence_number: &str, partition_key: &str, arrived_at: Option<i64>) -> Self {
        let mut records = Records::default();
        records.payload().extend_from_slice(data);
        records.end(sequence_number, partition_key, arrived_at);
        records.finish().pop().unwrap_or_default()
    }

    /// Payload.
    pub fn data(&self) -> &[u8] {
        self.bytes.get(..self.data as usize).unwrap_or_default()
    }

    /// Place in its shard.
    pub fn sequence_number(&self) -> &str {
        let number = self.bytes.get(self.data as usize..self.number as usize).unwrap_or_default();
        std::str::from_utf8(number).unwrap_or_default()
    }

    /// Partition key.
    pub fn partition_key(&self) -> &str {
        let key = self.bytes.get(self.number as usize..).unwrap_or_default();
        std::str::from_utf8(key).unwrap_or_default()
    }

    /// What it takes in memory.
    pub fn weight(&self) -> usize {
        self.bytes.len() + size_of::<Self>()
    }
}

/// Records of one page under construction: each is its payload, written to the end of [`Records::payload`], and then
/// [`Records::end`].
#[derive(Debug, Default)]
pub struct Records {
    bytes: Vec<u8>,
    /// Of each record the ends of payload, sequence number and key, and its arrival.
    ends: Vec<(usize, usize, usize, Option<i64>)>,
}

impl Records {
    /// With room for so many bytes.
    pub fn with_capacity(bytes: usize) -> Self {
        Self { bytes: Vec::with_capacity(bytes), ends: Vec::new() }
    }

    /// Where the next payload is appended.
    pub fn payload(&mut self) -> &mut Vec<u8> {
        &mut self.bytes
    }

    /// Ends a record.
    pub fn end(&mut self, sequence_number: &str, partition_key: &str, arrived_at: Option<i64>) {
        let data = self.bytes.len();
        self.bytes.extend_from_slice(sequence_number.as_bytes());
        let number = self.bytes.len();
        self.bytes.extend_from_slice(partition_key.as_bytes());
        self.ends.push((data, number, self.bytes.len(), arrived_at));
    }

    /// The records. What is longer than 4 GiB is cut off, which no source sends.
    pub fn finish(mut self) -> Vec<Record> {
        self.bytes.shrink_to_fit();
        let bytes = Bytes::from(self.bytes);
        let mut start = 0;
        let record = |(data, number, end, arrived_at): (usize, usize, usize, Option<i64>)| {
            let within = |place: usize| u32::try_from(place - start).unwrap_or(u32::MAX);
            let (data, number) = (within(data), within(number));
            let bytes = bytes.slice(start..end);
            start = end;
            Record { bytes, data, number, arrived_at }
        };
        self.ends.into_iter().map(record).collect()
    }
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
    fn records_of_a_page_are_told_apart() {
        let mut records = Records::with_capacity(8);
        for (data, number, key) in [("one", "7", "k"), ("", "", ""), ("drei", "12", "ключ")] {
            records.payload().extend_from_slice(data.as_bytes());
            records.end(number, key, Some(1));
        }
        let records = records.finish();
        let told: Vec<_> =
            records.iter().map(|r| (r.data(), r.sequence_number(), r.partition_key())).collect();
        assert_eq!(told, [(&b"one"[..], "7", "k"), (b"", "", ""), (b"drei", "12", "ключ")]);
        let alone = Record::new(b"x", "1", "y", None);
        assert_eq!((alone.data(), alone.sequence_number(), alone.partition_key()), (&b"x"[..], "1", "y"));
        let empty = Record::default();
        assert_eq!((empty.data(), empty.sequence_number(), empty.partition_key()), (&b""[..], "", ""));
    }

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
