//! From a stream's record to a row in COPY's binary format, or to the reason why it cannot be one.
//! Pure: no I/O, no clock. Never: the AWS SDK, the database driver.

pub mod encode;
pub mod event_time;
pub mod json;
pub mod path;
pub mod plan;
pub mod scalar;

use crate::batch::{Reject, Row};
use crate::decode::encode::Encoder;
use crate::decode::json::Span;
use crate::decode::plan::{Mapping, TablePlan};
use crate::stream::Record;
use std::borrow::Cow;
use std::sync::Arc;
use strata_core::copy::CopyBuffer;
use strata_core::encoding::RowHasher;

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
    /// The records that are no rows.
    pub rejects: Vec<Reject>,
}

/// Decodes the records of one feed.
pub struct Decoder {
    plan: Arc<TablePlan>,
    mapping: Arc<Mapping>,
    hasher: RowHasher,
    encoder: Encoder,
    spans: Vec<Span>,
    record_bytes_max: usize,
    /// Bytes an average row has come to, to reserve memory by.
    row_bytes: usize,
}

impl Decoder {
    /// A decoder for one feed of a table.
    pub fn new(plan: Arc<TablePlan>, mapping: Arc<Mapping>, record_bytes_max: usize) -> Self {
        Self {
            hasher: RowHasher::new(plan.table),
            encoder: Encoder::new(mapping.epoch_unit),
            spans: vec![Span::MISSING; mapping.root.last],
            record_bytes_max,
            row_bytes: 256,
            plan,
            mapping,
        }
    }

    /// Decodes a page of records.
    pub fn decode(&mut self, records: &[Record]) -> Decoded {
        let columns = i16::try_from(self.plan.columns.len() + 1).unwrap_or(i16::MAX);
        let mut copy = CopyBuffer::new(columns);
        // The writer sends one header for the chunks of a batch.
        copy.take(records.len() * self.row_bytes);
        let mut decoded = Decoded { rows: Vec::with_capacity(records.len()), ..Decoded::default() };
        for (index, record) in records.iter().enumerate() {
            let index = u32::try_from(index).unwrap_or(u32::MAX);
            let mark = copy.mark();
            let start = copy.len();
            match self.row(&record.data, &mut copy) {
                Ok(time) => decoded.rows.push(Row {
                    record: index,
                    start: u32::try_from(start).unwrap_or(u32::MAX),
                    end: u32::try_from(copy.len()).unwrap_or(u32::MAX),
                    time,
                    hash: self.hasher.finish(),
                }),
                Err((fault, column)) => {
                    copy.rollback(mark);
                    decoded.rejects.push(Reject {
                        record: index,
                        sqlstate: Some(fault.sqlstate.to_owned()),
                        reason: fault.reason.into_owned(),
                        column: column.map(|c| self.plan.columns[c].name.clone()),
                    });
                }
            }
        }
        decoded.bytes = copy.take(0);
        if let Some(bytes) = decoded.bytes.len().checked_div(decoded.rows.len()) {
            self.row_bytes = bytes + bytes / 16;
        }
        decoded
    }

    /// Appends one row and returns its event time; the hasher holds the row's leaf afterwards.
    fn row(&mut self, data: &[u8], copy: &mut CopyBuffer) -> Result<i64, (Fault, Option<usize>)> {
        let whole = |fault| (fault, None);
        if data.len() > self.record_bytes_max {
            let reason =
                format!("record of {} bytes is over the limit of {}", data.len(), self.record_bytes_max);
            return Err(whole(Fault::new("54000", reason)));
        }
        let text = std::str::from_utf8(data).map_err(|e| {
            whole(Fault::new("22021", format!("record is not valid UTF-8 after byte {}", e.valid_up_to())))
        })?;
        json::find(text, &self.mapping.root, &mut self.spans).map_err(|e| {
            let reason = e.to_string();
            let what = if reason.starts_with("not an object") { "record is" } else { "record is not JSON:" };
            whole(Fault::new("22P02", format!("{what} {reason}")))
        })?;
        copy.begin_row();
        self.hasher.begin();
        let mut time = 0;
        for (at, column) in self.plan.columns.iter().enumerate() {
            let value = self.mapping.slots[at].and_then(|slot| self.spans[slot].text(text));
            let present = self
                .encoder
                .column(column, value, copy, &mut self.hasher)
                .map_err(|fault| (fault, Some(at)))?;
            if present && at == self.plan.time {
                time = self.plan.time_type.axis(copy.last_value()).map_err(|mut fault| {
                    fault.reason = format!("column \"{}\": {}", column.name, fault.reason).into();
                    (fault, Some(at))
                })?;
            }
            if !present && (column.not_null || at == self.plan.time) {
                let reason = if value.is_some() {
                    "null for a column that is NOT NULL"
                } else {
                    "missing value for a column that is NOT NULL"
                };
                return Err((Fault::new("23502", format!("column \"{}\": {reason}", column.name)), Some(at)));
            }
        }
        copy.i64(0);
        Ok(time)
    }
}

#[cfg(test)]
#[path = "tests.rs"]
mod tests;
