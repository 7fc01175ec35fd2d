//! From a stream's record to a row in COPY's binary format, or to the reason why it cannot be one.
//! Pure: no I/O, no clock. Never: the AWS SDK, the database driver.

mod array;
pub mod compression;
pub mod encode;
pub mod event_time;
pub mod events;
pub mod json;
pub mod kpl;
pub mod path;
pub mod plan;
pub mod rules;
pub mod scalar;
pub mod source;

use crate::batch::{EventNumber, Reject, Row};
use crate::config;
use crate::decode::encode::{Encoder, Value};
use crate::decode::events::{InnerKey, Wrong, utf8};
use crate::decode::json::Span;
use crate::decode::plan::{Mapping, TablePlan};
use crate::decode::rules::Rules;
use crate::decode::source::{Beside, Origin, Source};
use crate::stream::Record;
use std::borrow::Cow;
use std::sync::Arc;
use strata_core::copy::CopyBuffer;
use strata_core::encoding::RowHasher;
use strata_core::time::format_timestamptz;

/// Why one value, and with it one record, cannot be stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// What PostgreSQL would say.
    pub sqlstate: &'static str,
    /// For a person.
    pub reason: Cow<'static, str>,
}

impl Fault {
    /// A fault with its SQLSTATE.
    pub fn new(sqlstate: &'static str, reason: impl Into<Cow<'static, str>>) -> Self {
        Self { sqlstate, reason: reason.into() }
    }
}

/// The rows and rejects that a page of records became.
#[derive(Debug, Default)]
pub struct Decoded {
    /// Rows in COPY BINARY format, one after the other, without header and trailer. The last column of each is the
    /// batch id, eight bytes not filled in yet.
    pub bytes: Vec<u8>,
    /// Where each row is, and what its batch must know of it.
    pub rows: Vec<Row>,
    /// The events that are no rows, or whole records.
    pub rejects: Vec<Reject>,
    /// Partition keys inside aggregated records, in the order of records and events.
    pub keys: Vec<InnerKey>,
    /// How many records this is: all, or as many as a chunk may hold.
    pub records: usize,
    /// Bytes of the rejects' reasons.
    reasons: usize,
}

impl Decoded {
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
            chunk_bytes: batch.bytes / 4,
        }
    }
}

/// Decodes the records of one feed.
pub struct Decoder {
    plan: Arc<TablePlan>,
    mapping: Arc<Mapping>,
    hasher: RowHasher,
    encoder: Encoder,
    spans: Vec<Span>,
    bounds: Bounds,
    /// Stream and shard the records come from.
    stream: String,
    shard: String,
    arrived: String,
    rest: String,
    /// Bytes the rows of an average record have come to, to reserve memory by.
    record_bytes: usize,
}

impl Decoder {
    /// A decoder for one feed of a table.
    pub fn new(plan: Arc<TablePlan>, mapping: Arc<Mapping>, bounds: Bounds) -> Self {
        Self {
            hasher: RowHasher::new(plan.table),
            encoder: Encoder::default(),
            spans: vec![Span::MISSING; mapping.root.last],
            bounds,
            stream: String::new(),
            shard: String::new(),
            arrived: String::new(),
            rest: String::new(),
            record_bytes: 256,
            plan,
            mapping,
        }
    }

    /// The same, for records of one shard.
    #[must_use]
    pub fn of_shard(mut self, stream: &str, shard: &str) -> Self {
        stream.clone_into(&mut self.stream);
        shard.clone_into(&mut self.shard);
        self
    }

    /// Decodes a page of records, or as many from its beginning as one chunk may hold.
    pub fn decode(&mut self, records: &[Record]) -> Decoded {
        let columns = i16::try_from(self.plan.columns.len() + 1).unwrap_or(i16::MAX);
        let mut copy = CopyBuffer::new(columns);
        // The writer sends one header for the chunks of a batch.
        copy.take(records.len().saturating_mul(self.record_bytes).min(self.bounds.chunk_bytes));
        let mut decoded = Decoded { rows: Vec::with_capacity(records.len()), ..Decoded::default() };
        for (index, record) in (0..).zip(records) {
            if record.data.len() > self.bounds.record_bytes {
                let (length, max) = (record.data.len(), self.bounds.record_bytes);
                let reason = format!("record of {length} bytes is over the limit of {max}");
                self.reject(index, EventNumber::WHOLE, (Fault::new("54000", reason), None), &mut decoded);
            } else if self.mapping.is_packed(&record.data) {
                self.unpack(index, record, &mut copy, &mut decoded);
            } else {
                let origin = Origin { record, key: None };
                self.place((index, EventNumber::WHOLE), origin, &record.data, &mut copy, &mut decoded);
            }
            decoded.records += 1;
            if copy.len() + decoded.beside() > self.bounds.chunk_bytes {
                break;
            }
        }
        decoded.bytes = copy.take(0);
        if let Some(bytes) = decoded.bytes.len().checked_div(decoded.records).filter(|bytes| *bytes > 0) {
            self.record_bytes = bytes + bytes / 16;
        }
        decoded
    }

    /// Appends one row and returns its event time; the hasher holds the row's leaf afterwards.
    fn row(&mut self, origin: Origin, data: &[u8], copy: &mut CopyBuffer) -> Result<i64, Wrong> {
        let whole = |fault| (fault, None);
        let text = utf8(data).map_err(whole)?;
        let broken = |e: serde_json::Error| {
            let reason = e.to_string();
            let what = if reason.starts_with("not an object") { "record is" } else { "record is not JSON:" };
            whole(Fault::new("22P02", format!("{what} {reason}")))
        };
        json::find(text, &self.mapping.root, &mut self.spans).map_err(broken)?;
        if let Some(taken) = &self.mapping.taken {
            json::rest(text, taken, &mut self.rest).map_err(broken)?;
        }
        if self.mapping.wants_arrival {
            self.arrived = origin.record.arrived_at.map(format_timestamptz).unwrap_or_default();
        }
        let key = self.mapping.wants_key.then(|| origin.partition_key());
        copy.begin_row();
        self.hasher.begin();
        let mut time = 0;
        let (plan, mapping) = (&*self.plan, &*self.mapping);
        for (at, (column, field)) in plan.columns.iter().zip(&mapping.fields).enumerate() {
            let value = match &field.source {
                Source::Slot(slot) => self.spans[*slot].text(text).map_or(Value::Missing, Value::Json),
                Source::Absent => Value::Missing,
                Source::Constant(json) => Value::Json(json),
                Source::Rest => Value::Json(&self.rest),
                Source::Beside(beside) => match beside {
                    Beside::Stream => Value::Plain(&self.stream),
                    Beside::Shard => Value::Plain(&self.shard),
                    Beside::SequenceNumber => Value::Plain(&origin.record.sequence_number),
                    Beside::PartitionKey => Value::Plain(key.as_deref().unwrap_or_default()),
                    Beside::ArrivedAt if self.arrived.is_empty() => Value::Missing,
                    Beside::ArrivedAt => Value::Plain(&self.arrived),
                },
            };
            let wrong = |mut fault: Fault| {
                fault.reason = format!("column \"{}\": {}", column.name, fault.reason).into();
                (fault, Some(at))
            };
            let present = self
                .encoder
                .column(column, field.epoch_unit, value, copy, &mut self.hasher)
                .map_err(wrong)?;
            if !present {
                absent(column.not_null || at == plan.time, field.rules.as_deref(), value).map_err(wrong)?;
                continue;
            }
            if let Some(rules) = &field.rules {
                rules.check(column.tag, copy.last_value()).map_err(wrong)?;
            }
            if at == plan.time {
                time = plan.time_type.axis(copy.last_value()).map_err(wrong)?;
            }
        }
        copy.i64(0);
        Ok(time)
    }
}

/// Whether a column may be NULL.
fn absent(not_null: bool, rules: Option<&Rules>, value: Value) -> Result<(), Fault> {
    let what = if value == Value::Missing { "missing value" } else { "null" };
    if not_null {
        Err(Fault::new("23502", format!("{what} for a column that is NOT NULL")))
    } else if rules.is_some_and(|rules| rules.required) {
        Err(Fault::new("23502", format!("{what} for a column that is required")))
    } else {
        Ok(())
    }
}

#[cfg(test)]
#[path = "tests.rs"]
mod tests;
