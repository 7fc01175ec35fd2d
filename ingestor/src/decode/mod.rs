//! From a stream's record to a row in COPY's binary format, or to the reason why it cannot be one.
//! Pure: no I/O, no clock. Never: the AWS SDK, the database driver.

mod array;
pub mod compression;
pub mod encode;
pub mod envelope;
pub mod event_time;
pub mod events;
mod fault;
mod gzip;
pub mod json;
pub mod kpl;
pub mod mapping;
pub mod path;
pub mod plan;
pub mod reading;
pub mod row;
pub mod rules;
pub mod scalar;
pub mod source;

pub use fault::Fault;

use crate::batch::{EventNumber, Reject, Row};
use crate::config;
use crate::decode::envelope::{Change, Opened, Opener, Operation};
use crate::decode::events::{InnerKey, Wrong, utf8};
use crate::decode::mapping::Mapping;
use crate::decode::plan::TablePlan;
use crate::decode::reading::Event;
use crate::decode::row::RowMaker;
use crate::decode::source::Origin;
use crate::stream::Record;
use std::sync::Arc;
use strata_core::copy::CopyBuffer;

/// The rows and rejects that a page of records became.
#[derive(Debug, Default)]
pub struct Decoded {
    /// Rows in COPY BINARY format, one after the other, without header and trailer. In rows of an event table the last
    /// column is the batch id, eight bytes not filled in yet.
    pub bytes: Vec<u8>,
    /// Where each row is, and what its batch must know of it.
    pub rows: Vec<Row>,
    /// The events that are no rows, or whole records.
    pub rejects: Vec<Reject>,
    /// Partition keys inside aggregated records, in the order of records and events.
    pub keys: Vec<InnerKey>,
    /// Events that concern no row of this table.
    pub skipped: usize,
    /// How many records this is: all, or as many as a chunk may hold.
    pub records: usize,
    /// Bytes of the rejects' reasons.
    reasons: usize,
}

/// A place in a [`Decoded`] to go back to.
struct Mark {
    rows: usize,
    rejects: usize,
    keys: usize,
    skipped: usize,
    reasons: usize,
}

impl Decoded {
    fn mark(&self) -> Mark {
        Mark {
            rows: self.rows.len(),
            rejects: self.rejects.len(),
            keys: self.keys.len(),
            skipped: self.skipped,
            reasons: self.reasons,
        }
    }

    fn rollback(&mut self, mark: &Mark) {
        self.rows.truncate(mark.rows);
        self.rejects.truncate(mark.rejects);
        self.keys.truncate(mark.keys);
        (self.skipped, self.reasons) = (mark.skipped, mark.reasons);
    }

    /// What it holds in memory beside the rows' bytes.
    fn beside(&self) -> usize {
        self.rows.len() * size_of::<Row>()
            + self.rejects.len() * size_of::<Reject>()
            + self.reasons
            + self.keys.len() * size_of::<InnerKey>()
    }
}

/// How much a record, and what is made of it, may come to.
#[derive(Debug, Clone, Copy)]
pub struct Bounds {
    /// A record as it is read.
    pub record_bytes: usize,
    /// What it decompresses to.
    pub decompressed_bytes: usize,
    /// Events of one record.
    pub record_events: u32,
    /// Rows of one chunk; one record may go beyond.
    pub chunk_bytes: usize,
}

impl Bounds {
    /// As configured. A batch is filled in quarters, so that what goes beyond its bound is less than one of them and
    /// one record.
    pub fn of(batch: &config::Batch) -> Self {
        Self {
            record_bytes: batch.record_bytes_max,
            decompressed_bytes: batch.decompressed_bytes_max,
            record_events: batch.record_events_max,
            chunk_bytes: batch.bytes_each() / 4,
        }
    }
}

/// Decodes the records of one feed.
pub struct Decoder {
    maker: RowMaker,
    opener: Opener,
    mapping: Arc<Mapping>,
    bounds: Bounds,
    inflater: gzip::Inflater,
    /// What a payload was decompressed to.
    whole: Vec<u8>,
    /// Bytes the rows of an average record have come to, to reserve memory by.
    record_bytes: usize,
}

impl Decoder {
    /// A decoder for one feed of a table.
    pub fn new(plan: Arc<TablePlan>, mapping: Arc<Mapping>, bounds: Bounds) -> Self {
        Self {
            opener: Opener::new(mapping.envelope),
            maker: RowMaker::new(plan, Arc::clone(&mapping)),
            mapping,
            bounds,
            record_bytes: 256,
            inflater: gzip::Inflater::default(),
            whole: Vec::new(),
        }
    }

    /// The same, for records of one shard.
    #[must_use]
    pub fn of_shard(mut self, stream: &str, shard: &str) -> Self {
        self.maker.reading.of_shard(stream, shard);
        self
    }

    /// Decodes a page of records, or as many from its beginning as one chunk may hold.
    pub fn decode(&mut self, records: &[Record]) -> Decoded {
        let mut copy = CopyBuffer::new(self.maker.plan().fields());
        // The writer sends one header for the chunks of a batch.
        copy.take(records.len().saturating_mul(self.record_bytes).min(self.bounds.chunk_bytes));
        let mut decoded = Decoded { rows: Vec::with_capacity(records.len()), ..Decoded::default() };
        for (index, record) in (0..).zip(records) {
            if record.data().len() > self.bounds.record_bytes {
                let (length, max) = (record.data().len(), self.bounds.record_bytes);
                let reason = format!("record of {length} bytes is over the limit of {max}");
                self.reject(index, EventNumber::WHOLE, (Fault::new("54000", reason), None), &mut decoded);
            } else if self.mapping.is_packed(record.data()) {
                self.unpack(index, record, &mut copy, &mut decoded);
            } else {
                let origin = Origin { record, key: None };
                self.place((index, EventNumber::WHOLE), origin, record.data(), &mut copy, &mut decoded);
            }
            decoded.records += 1;
            if copy.len() + decoded.beside() > self.bounds.chunk_bytes {
                break;
            }
        }
        decoded.bytes = copy.take(0);
        // What was reserved too much would stay until the commit.
        decoded.bytes.shrink_to_fit();
        decoded.rows.shrink_to_fit();
        if let Some(bytes) = decoded.bytes.len().checked_div(decoded.records).filter(|bytes| *bytes > 0) {
            self.record_bytes = bytes + bytes / 16;
        }
        decoded
    }

    /// Appends the rows of an event, or the reason why there is none.
    fn place(
        &mut self,
        (record, event): (u32, EventNumber),
        origin: Origin,
        data: &[u8],
        copy: &mut CopyBuffer,
        decoded: &mut Decoded,
    ) {
        let (mark, rows) = (copy.mark(), decoded.rows.len());
        if let Err(wrong) = self.rows((record, event), origin, data, copy, decoded) {
            copy.rollback(mark);
            decoded.rows.truncate(rows);
            self.reject(record, event, wrong, decoded);
        }
    }

    /// An event is one row; a change of a row's key is two.
    fn rows(
        &mut self,
        place: (u32, EventNumber),
        origin: Origin,
        data: &[u8],
        copy: &mut CopyBuffer,
        decoded: &mut Decoded,
    ) -> Result<(), Wrong> {
        let whole = |fault| (fault, None);
        if self.opener.is_tombstone(data) {
            decoded.skipped += 1;
            return Ok(());
        }
        let text = utf8(data).map_err(whole)?;
        if !self.maker.reading.find(text).map_err(whole)? {
            decoded.skipped += 1;
            return Ok(());
        }
        let Opened::Change(change) = self.opener.open(text).map_err(whole)? else {
            decoded.skipped += 1;
            return Ok(());
        };
        let event = Event { origin, text, change };
        if let Some(before) = self.maker.reading.former_key(&change).map_err(whole)? {
            let gone = Change { operation: Operation::Delete, image: Some(before), ..change };
            self.maker.append(place, &Event { change: gone, ..event }, copy, decoded)?;
        }
        self.maker.append(place, &event, copy, decoded)
    }

    /// Notes what is no row.
    fn reject(&self, record: u32, event: EventNumber, (fault, column): Wrong, decoded: &mut Decoded) {
        decoded.reasons += fault.reason.len();
        decoded.rejects.push(Reject {
            record,
            event,
            sqlstate: Some(fault.sqlstate.to_owned()),
            reason: fault.reason.into_owned(),
            column: column.map(|c| self.maker.plan().columns[c].name.clone()),
        });
    }
}

#[cfg(test)]
pub(crate) mod tests;
