//! A row from an event: every column's value encoded and judged. Never: where values lie.

use super::encode::{Encoder, Value};
use super::events::Wrong;
use super::mapping::Mapping;
use super::plan::{TablePlan, Target};
use super::reading::{Event, Found, Reading};
use super::rules::Rules;
use super::{Decoded, Fault};
use crate::batch::{EventNumber, Row};
use crate::decode::envelope::Operation;
use std::sync::Arc;
use strata_core::copy::CopyBuffer;
use strata_core::encoding::RowHasher;

/// Makes rows of one table from the events of one feed.
pub struct RowMaker {
    /// Where values lie.
    pub reading: Reading,
    hasher: RowHasher,
    encoder: Encoder,
    /// A value that its envelope has in another form.
    scratch: String,
    /// Numbers of the columns that keep their value.
    kept: Vec<i16>,
}

impl RowMaker {
    /// For one feed of a table.
    pub fn new(plan: Arc<TablePlan>, mapping: Arc<Mapping>) -> Self {
        let table = match plan.target {
            Target::Events { table, .. } => table,
            Target::Keyed { .. } => [0; 16],
        };
        Self {
            reading: Reading::new(plan, mapping),
            hasher: RowHasher::new(table),
            encoder: Encoder::default(),
            scratch: String::new(),
            kept: Vec::new(),
        }
    }

    /// What is written.
    pub fn plan(&self) -> &TablePlan {
        &self.reading.plan
    }

    /// Appends one row.
    pub fn append(
        &mut self,
        (record, number): (u32, EventNumber),
        event: &Event,
        copy: &mut CopyBuffer,
        decoded: &mut Decoded,
    ) -> Result<(), Wrong> {
        let start = copy.len();
        let time = self.row(event, copy)?;
        decoded.rows.push(Row {
            record,
            start: u32::try_from(start).unwrap_or(u32::MAX),
            end: u32::try_from(copy.len()).unwrap_or(u32::MAX),
            event: number,
            time,
            hash: if self.plan().is_keyed() { [0; 32] } else { self.hasher.finish() },
        });
        Ok(())
    }

    /// The row, and its event time; the hasher holds its leaf afterwards.
    fn row(&mut self, event: &Event, copy: &mut CopyBuffer) -> Result<i64, Wrong> {
        let Self { reading, hasher, encoder, scratch, kept } = self;
        reading.prepare(event).map_err(|fault| (fault, None))?;
        let (plan, mapping) = (&*reading.plan, &*reading.mapping);
        let key = mapping.wants_key.then(|| event.origin.partition_key());
        let deleted = event.change.operation == Operation::Delete;
        copy.begin_row();
        hasher.begin();
        kept.clear();
        let mut event_time = Row::NO_TIME;
        for (at, (column, field)) in plan.columns.iter().zip(&mapping.fields).enumerate() {
            let wrong = |mut fault: Fault| {
                fault.reason = format!("column \"{}\": {}", column.name, fault.reason).into();
                (fault, Some(at))
            };
            let (is_key, is_time) = match &plan.target {
                Target::Events { time, .. } => (false, *time == at),
                Target::Keyed { key } if key.contains(&at) => (true, false),
                Target::Keyed { .. } if deleted => {
                    copy.null();
                    continue;
                }
                Target::Keyed { .. } => (false, false),
            };
            let value = match reading.value(event, key.as_ref(), column, field, scratch).map_err(wrong)? {
                Found::Value(value) => value,
                Found::Kept if is_key => Value::Missing,
                Found::Kept => {
                    kept.push(i16::try_from(at + 1).unwrap_or(i16::MAX));
                    copy.null();
                    continue;
                }
            };
            if !encoder.column(column, field.epoch_unit, value, copy, hasher).map_err(wrong)? {
                let not_null = column.not_null || is_time || is_key;
                absent(not_null, field.rules.as_deref(), value).map_err(wrong)?;
                continue;
            }
            if let Some(rules) = &field.rules {
                rules.check(column.tag, copy.last_value()).map_err(wrong)?;
            }
            if let (true, Some(time_type)) = (is_time, plan.time_type()) {
                event_time = time_type.axis(copy.last_value()).map_err(wrong)?;
            }
        }
        if !plan.is_keyed() {
            copy.i64(0);
            return Ok(event_time);
        }
        // Columns that keep their value, and whether the row goes.
        match kept_array(kept) {
            None => copy.null(),
            Some(array) => copy.bytes(&array),
        }
        copy.bool(deleted);
        Ok(event_time)
    }
}

/// Numbers of columns as `smallint[]`, `None` for none.
pub fn kept_array(kept: &[i16]) -> Option<Vec<u8>> {
    if kept.is_empty() {
        return None;
    }
    let count = i32::try_from(kept.len()).unwrap_or(i32::MAX);
    // One dimension, no NULL, elements of type smallint, from 1 on.
    let mut array: Vec<u8> = [1, 0, 21, count, 1].iter().flat_map(|word: &i32| word.to_be_bytes()).collect();
    for number in kept {
        array.extend(2_i32.to_be_bytes());
        array.extend(number.to_be_bytes());
    }
    Some(array)
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
