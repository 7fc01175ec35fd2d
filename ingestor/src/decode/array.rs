//! JSON arrays into PostgreSQL arrays of one dimension. Never: types of elements, which `encode` knows.

use super::encode::{Encoder, Value};
use super::plan::Column;
use super::scalar::Json;
use super::{Fault, json};
use crate::config::EpochUnit;
use strata_core::copy::CopyBuffer;
use strata_core::encoding::Tag;

/// Elements an array may have: what one row buffer can count.
const ELEMENTS_MAX: usize = 32_767;

/// The wire format of an array column's value.
pub fn encode(column: &Column, unit: EpochUnit, json: Json, raw: &str) -> Result<Vec<u8>, Fault> {
    let (Some(element), Json::Composite(_), true) = (&column.element, json, raw.starts_with('[')) else {
        return Err(Fault::new("22P02", format!("{} must be a JSON array", column.type_name)));
    };
    let texts = json::elements(raw).map_err(|e| Fault::new("22P02", format!("array is not JSON: {e}")))?;
    let count = i16::try_from(texts.len()).map_err(|_| {
        Fault::new("54000", format!("array has {} elements, more than {ELEMENTS_MAX}", texts.len()))
    })?;
    // An array's elements are laid out as a row's columns are.
    let mut row = CopyBuffer::new(count);
    row.take(raw.len() + 4 * texts.len());
    row.begin_row();
    let mut encoder = Encoder::default();
    let mut nulls = false;
    for (at, text) in texts.iter().enumerate() {
        let nested = text.starts_with('[') && !matches!(element.column.tag, Tag::Json | Tag::Jsonb);
        let present = if nested {
            Err(Fault::new("22P02", "arrays in arrays are not taken"))
        } else {
            encoder.field(&element.column, unit, Value::Json(text), &mut row)
        };
        let present = present.map_err(|fault| {
            Fault::new(fault.sqlstate, format!("element {at} of the array: {}", fault.reason))
        })?;
        nulls |= !present;
    }
    let fields = row.take(0);
    let dimensions = i32::from(count > 0);
    let mut wire = Vec::with_capacity(fields.len() + 20);
    wire.extend(dimensions.to_be_bytes());
    wire.extend(i32::from(nulls).to_be_bytes());
    wire.extend(element.oid.to_be_bytes());
    if count > 0 {
        wire.extend(i32::from(count).to_be_bytes());
        wire.extend(1_i32.to_be_bytes());
    }
    wire.extend(fields.get(2..).unwrap_or_default());
    Ok(wire)
}
