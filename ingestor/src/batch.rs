//! Chunks (one page of one shard, decoded) and batches of them (one transaction). Sorting of rows into leaves, the
//! roots of the leaves, dead letters. Pure. Never: I/O, the database driver, the AWS SDK.

use crate::changes::{LastByKey, last_by_key};
use crate::decode::event_time::TimeType;
use crate::decode::events::InnerKey;
use crate::decode::plan::{TablePlan, Target};
use crate::layout::Layout;
use crate::lease::Lease;
use crate::stream::{Record, compare_sequence};
use bytes::{Bytes, BytesMut};
use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use strata_core::merkle::{Hash, sorted_root};

/// A row inside its chunk.
#[derive(Debug, Clone, Copy)]
pub struct Row {
    /// Index of the record it came from.
    pub record: u32,
    /// Where its bytes begin.
    pub start: u32,
    /// Where they end; the eight before are the batch id.
    pub end: u32,
    /// Which event of the record it is.
    pub event: EventNumber,
    /// Event time on the axis, microseconds since 2000-01-01; of a change there is none.
    pub time: i64,
    /// Its leaf in the batch checksum; of a change there is none.
    pub hash: Hash,
}

impl Row {
    /// The event time of what has none.
    pub const NO_TIME: i64 = i64::MIN;
}

/// Which event of its record, counted from 0; `WHOLE` where a record is its event, or is refused as a whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct EventNumber(u32);

impl EventNumber {
    /// The record itself.
    pub const WHOLE: Self = Self(u32::MAX);

    /// One of several.
    pub fn new(number: u32) -> Self {
        Self(number)
    }

    /// Its number among several.
    pub fn number(self) -> Option<u32> {
        (self != Self::WHOLE).then_some(self.0)
    }

    /// Its place behind the record's sequence number.
    pub fn sub_sequence(self) -> i32 {
        i32::try_from(self.number().unwrap_or_default()).unwrap_or(i32::MAX)
    }
}

/// A record, or one event of it, that is no row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reject {
    /// Index of the record in its chunk.
    pub record: u32,
    /// Which event of the record.
    pub event: EventNumber,
    /// What PostgreSQL said, or would have.
    pub sqlstate: Option<String>,
    /// For a person.
    pub reason: String,
    /// The column at fault.
    pub column: Option<String>,
}

/// One page of one shard, decoded.
#[derive(Debug)]
pub struct Chunk {
    /// Whose it is.
    pub lease: Arc<Lease>,
    /// The records, kept until the commit for those that the server refuses.
    pub records: Vec<Record>,
    /// Rows in COPY's format.
    pub bytes: Bytes,
    /// Where each is.
    pub rows: Vec<Row>,
    /// Events that are no rows, or whole records.
    pub rejects: Vec<Reject>,
    /// Partition keys inside aggregated records, in the order of records and events.
    pub keys: Vec<InnerKey>,
    /// The shard ends with this chunk.
    pub ended: bool,
    /// Its page, from the call for it to the commit.
    pub trace: tracing::Span,
}

impl Chunk {
    /// What it holds in memory.
    pub fn weight(&self) -> usize {
        self.bytes.len()
            + self.records.iter().map(Record::weight).sum::<usize>()
            + self.rows.len() * size_of::<Row>()
            + self.rejects.iter().map(|r| size_of::<Reject>() + r.reason.len()).sum::<usize>()
            + self.keys.len() * size_of::<InnerKey>()
    }

    /// The partition key an event was put with: its own inside an aggregated record.
    pub fn partition_key(&self, reject: &Reject) -> Cow<'_, str> {
        let record = &self.records[reject.record as usize];
        let place = (reject.record, reject.event.number().unwrap_or_default());
        let before = self.keys.partition_point(|key| (key.record, key.event) <= place);
        let inner = before.checked_sub(1).map(|at| &self.keys[at]).filter(|key| key.record == reject.record);
        match inner.and_then(|key| record.data().get(key.start as usize..key.end as usize)) {
            Some(key) => String::from_utf8_lossy(key),
            None => Cow::Borrowed(record.partition_key()),
        }
    }
}

/// What one transaction writes.
#[derive(Debug, Default)]
pub struct Batch {
    /// In the order they are written; those of one shard in its order.
    pub chunks: Vec<Chunk>,
    rows: usize,
    weight: usize,
    arranged: Option<Arranged>,
}

/// What a batch's rows come to in a layout: worked out while the writer is busy with the batch before.
#[derive(Debug)]
pub struct Arranged {
    /// Rows that a leaf takes.
    pub places: Vec<Place>,
    /// Dead letters for those none takes.
    pub unplaced: Vec<Refused>,
    /// Count and root per leaf, if the server refuses no row.
    pub roots: Vec<LeafRoot>,
    /// Of a change, the one before it of the same key, which it makes unnecessary.
    pub before: HashMap<Place, Place>,
}

/// Place of a row in a batch: chunk and row.
pub type Place = (u32, u32);

/// A dead letter's place and reason.
#[derive(Debug, Clone)]
pub struct Refused {
    /// Which chunk.
    pub chunk: u32,
    /// Which of its rows, where it was one.
    pub row: Option<u32>,
    /// What and why.
    pub reject: Reject,
}

/// What a shard's checkpoint moves by.
#[derive(Debug, Clone)]
pub struct Advance {
    /// Whose it is.
    pub lease: Arc<Lease>,
    /// First record of it in the batch.
    pub first: Option<String>,
    /// Last record of it.
    pub last: Option<String>,
    /// Arrival of the first.
    pub first_arrived_at: Option<i64>,
    /// Arrival of the last.
    pub arrived_at: Option<i64>,
    /// Rows stored.
    pub rows: i64,
    /// The shard has ended.
    pub ended: bool,
}

/// Count and root of the rows that go into one leaf.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LeafRoot {
    /// The leaf.
    pub oid: u32,
    /// Its rows of this batch.
    pub rows: i64,
    /// Sorted-leaf root over them.
    pub root: Hash,
}

impl Batch {
    /// Takes a chunk in.
    pub fn push(&mut self, chunk: Chunk) {
        self.rows += chunk.rows.len();
        self.weight += chunk.weight();
        self.chunks.push(chunk);
        self.arranged = None;
    }

    /// Whether there is nothing to write.
    pub fn is_empty(&self) -> bool {
        self.chunks.is_empty()
    }

    /// Rows before any is set aside.
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// Records of all chunks.
    pub fn records(&self) -> usize {
        self.chunks.iter().map(|c| c.records.len()).sum()
    }

    /// Events the decoder refused, of all: too many of them are no bad data, but a wrong mapping or a broken producer.
    pub fn refused_share(&self) -> (usize, usize) {
        let refused: usize = self.chunks.iter().map(|c| c.rejects.len()).sum();
        (refused, refused + self.rows)
    }

    /// Payloads and rows in memory.
    pub fn weight(&self) -> usize {
        self.weight
    }

    /// Drops what belongs to shards that are no longer ours; returns how many records that were.
    pub fn drop_lost(&mut self) -> usize {
        let before = self.records();
        let chunks = self.chunks.len();
        self.chunks.retain(|chunk| !chunk.lease.is_lost());
        self.rows = self.chunks.iter().map(|c| c.rows.len()).sum();
        self.weight = self.chunks.iter().map(Chunk::weight).sum();
        // Places are by chunk, and the end of a shard is one without a record.
        if self.chunks.len() < chunks {
            self.arranged = None;
        }
        before - self.records()
    }

    /// Arranges the rows, unless that is done.
    pub fn arrange(&mut self, layout: &Layout, plan: &TablePlan) {
        if self.arranged.is_some() {
            return;
        }
        self.arranged = Some(match &plan.target {
            Target::Events { time_type, .. } => {
                let (mut places, unplaced) = self.place(layout, *time_type);
                if let Some(dedupe) = plan.dedupe {
                    places = self.first_by_id(places, dedupe);
                }
                let roots = self.roots(&places, layout);
                Arranged { places, unplaced, roots, before: HashMap::new() }
            }
            Target::Keyed { key } => {
                let LastByKey { places, before } = last_by_key(self, &plan.columns, key);
                Arranged { places, unplaced: Vec::new(), roots: Vec::new(), before }
            }
        });
    }

    /// Arranges the rows in another layout.
    pub fn rearrange(&mut self, layout: &Layout, plan: &TablePlan) {
        self.arranged = None;
        self.arrange(layout, plan);
    }

    /// What [`Batch::arrange`] has worked out.
    pub fn arranged(&self) -> Option<&Arranged> {
        self.arranged.as_ref()
    }

    /// Lowest and highest event time.
    pub fn range(&self) -> Option<(i64, i64)> {
        let rows = || self.chunks.iter().flat_map(|c| &c.rows);
        let times = || rows().map(|r| r.time).filter(|time| *time != Row::NO_TIME);
        Some((times().min()?, times().max()?))
    }

    /// The row at a place.
    pub fn row(&self, (chunk, row): Place) -> &Row {
        &self.chunks[chunk as usize].rows[row as usize]
    }

    /// The places of rows that a leaf takes, and a dead letter for each row none takes.
    pub fn place(&self, layout: &Layout, time_type: TimeType) -> (Vec<Place>, Vec<Refused>) {
        let mut places = Vec::with_capacity(self.rows);
        let mut refused = Vec::new();
        let (from, to) = layout.accepted;
        for (c, chunk) in (0..).zip(&self.chunks) {
            for (r, row) in (0..).zip(&chunk.rows) {
                let reason = if row.time < from || row.time > to {
                    "event time is outside the accepted window"
                } else if layout.leaf_of(row.time).is_none() {
                    "no partition takes the event time"
                } else {
                    places.push((c, r));
                    continue;
                };
                let reason = format!("{reason}: {}", time_type.show(row.time));
                let reject = Reject {
                    record: row.record,
                    event: row.event,
                    sqlstate: Some("23514".to_owned()),
                    reason,
                    column: None,
                };
                refused.push(Refused { chunk: c, row: Some(r), reject });
            }
        }
        (places, refused)
    }

    /// Lowest and highest event time of some rows.
    pub fn range_of(&self, places: &[Place]) -> Option<(i64, i64)> {
        let times = || places.iter().map(|p| self.row(*p).time);
        Some((times().min()?, times().max()?))
    }

    /// Count and root per leaf of some rows. None where leaves overlap: then their times do not tell them apart.
    pub fn roots(&self, places: &[Place], layout: &Layout) -> Vec<LeafRoot> {
        if layout.leaves.windows(2).any(|pair| pair[0].upper > pair[1].lower) {
            return Vec::new();
        }
        let mut hashes: BTreeMap<usize, Vec<Hash>> = BTreeMap::new();
        for place in places {
            let row = self.row(*place);
            if let Some(leaf) = layout.leaf_of(row.time) {
                hashes.entry(leaf).or_default().push(row.hash);
            }
        }
        let root = |(leaf, mut hashes): (usize, Vec<Hash>)| LeafRoot {
            oid: layout.leaves[leaf].oid,
            rows: i64::try_from(hashes.len()).unwrap_or(i64::MAX),
            root: sorted_root(&mut hashes),
        };
        hashes.into_iter().map(root).collect()
    }

    /// Writes the batch id into every row.
    pub fn stamp(&mut self, batch_id: i64) {
        for chunk in &mut self.chunks {
            let mut bytes = BytesMut::from(std::mem::take(&mut chunk.bytes));
            for row in &chunk.rows {
                let end = row.end as usize;
                bytes[end - 8..end].copy_from_slice(&batch_id.to_be_bytes());
            }
            chunk.bytes = bytes.freeze();
        }
    }

    /// The bytes of some rows, in as few slices as may be; none is copied.
    pub fn slices<'a>(&'a self, places: &'a [Place]) -> impl Iterator<Item = Bytes> + 'a {
        let mut rest = places;
        std::iter::from_fn(move || {
            let (&first, mut tail) = rest.split_first()?;
            let start = self.row(first).start;
            let (chunk, mut end) = (first.0, self.row(first).end);
            while let Some((&next, after)) = tail.split_first() {
                let row = self.row(next);
                if next.0 != chunk || row.start != end || end - start >= SLICE {
                    break;
                }
                end = row.end;
                tail = after;
            }
            rest = tail;
            Some(self.chunks[chunk as usize].bytes.slice(start as usize..end as usize))
        })
    }

    /// What each shard's checkpoint moves by, when these rows are stored; sorted by stream and shard.
    pub fn advances(&self, places: &[Place]) -> Vec<Advance> {
        let mut stored = vec![0_i64; self.chunks.len()];
        for (chunk, _) in places {
            stored[*chunk as usize] += 1;
        }
        let mut by_shard: BTreeMap<(&str, &str), Advance> = BTreeMap::new();
        for (chunk, rows) in self.chunks.iter().zip(stored) {
            let lease = &chunk.lease;
            let advance = by_shard.entry((&lease.stream, &lease.shard)).or_insert_with(|| Advance {
                lease: Arc::clone(lease),
                first: None,
                last: None,
                first_arrived_at: None,
                arrived_at: None,
                rows: 0,
                ended: false,
            });
            if let (Some(first), Some(last)) = (chunk.records.first(), chunk.records.last()) {
                if advance.first.is_none() {
                    advance.first = Some(first.sequence_number().to_owned());
                    advance.first_arrived_at = first.arrived_at;
                }
                advance.last = Some(last.sequence_number().to_owned());
                advance.arrived_at = last.arrived_at.or(advance.arrived_at);
            }
            advance.rows += rows;
            advance.ended |= chunk.ended;
        }
        by_shard.into_values().collect()
    }

    /// Rejects of the decoder.
    pub fn rejected(&self) -> impl Iterator<Item = Refused> + '_ {
        (0..).zip(&self.chunks).flat_map(|(chunk, c)| {
            c.rejects.iter().map(move |r| Refused { chunk, row: None, reject: r.clone() })
        })
    }
}

/// Bytes sent in one message at least, where so many lie together.
const SLICE: u32 = 128 * 1024;

impl Advance {
    /// Whether a checkpoint that reads thus has this advance behind it.
    pub fn is_covered_by(&self, sequence: Option<&str>, ended: bool) -> bool {
        if self.ended {
            return ended;
        }
        match (&self.last, sequence) {
            (Some(last), Some(sequence)) => compare_sequence(sequence, last).is_ge(),
            (None, _) => true,
            (Some(_), None) => false,
        }
    }
}

#[cfg(test)]
#[path = "batch_tests.rs"]
mod tests;
