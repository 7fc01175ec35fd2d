//! What a column's value must be like, by the configuration: judged on the encoded value, so that a bound means what
//! the column's type says it means. Never: coercion, records.

use super::Fault;
use super::encode::{Encoder, Value};
use super::plan::Column;
use crate::config::{EpochUnit, RuleSettings};
use crate::error::{Error, Result};
use regex::bytes::Regex;
use std::cmp::Ordering;
use strata_core::copy::CopyBuffer;
use strata_core::encoding::Tag;

/// Memory a compiled pattern may take.
const PATTERN_BYTES_MAX: usize = 1 << 20;

/// The rules of one column.
#[derive(Debug)]
pub struct Rules {
    /// NULL is refused.
    pub required: bool,
    min: Option<Limit>,
    max: Option<Limit>,
    min_length: usize,
    max_length: usize,
    pattern: Option<Regex>,
    one_of: Vec<Vec<u8>>,
}

/// A bound: as encoded, and as written.
#[derive(Debug)]
struct Limit {
    value: Vec<u8>,
    written: String,
}

impl Rules {
    /// The rules of a column; `None`: there are none. A rule that its type cannot have is refused.
    pub fn of(settings: &RuleSettings, column: &Column, unit: EpochUnit) -> Result<Option<Self>> {
        if *settings == RuleSettings::default() {
            return Ok(None);
        }
        let refuse = |why: String| Error::usage(format!("column \"{}\": {why}", column.name));
        let limit = |json: &String| {
            if !is_ordered(column.tag) {
                return Err(refuse(format!("min and max do not go with type {}", column.type_name)));
            }
            let value = encoded(column, json, unit).map_err(|fault| refuse(fault.reason.into_owned()))?;
            Ok(Limit { value, written: json.clone() })
        };
        let lengths = settings.min_length.is_some() || settings.max_length.is_some();
        if lengths && !(is_text(column.tag) || matches!(column.tag, Tag::Bytea | Tag::Array)) {
            return Err(refuse(format!(
                "min_length and max_length do not go with type {}",
                column.type_name
            )));
        }
        if settings.pattern.is_some() && !is_text(column.tag) {
            return Err(refuse(format!("pattern does not go with type {}", column.type_name)));
        }
        if !settings.one_of.is_empty() && matches!(column.tag, Tag::Json | Tag::Jsonb | Tag::Array) {
            return Err(refuse(format!("one_of does not go with type {}", column.type_name)));
        }
        let compile = |pattern: &String| {
            let built = regex::bytes::RegexBuilder::new(pattern).size_limit(PATTERN_BYTES_MAX).build();
            built.map_err(|e| refuse(format!("pattern \"{pattern}\": {e}")))
        };
        let choice = |json: &String| {
            encoded(column, json, unit).map_err(|fault| refuse(format!("one_of: {}", fault.reason)))
        };
        Ok(Some(Self {
            required: settings.required,
            min: settings.min.as_ref().map(limit).transpose()?,
            max: settings.max.as_ref().map(limit).transpose()?,
            min_length: settings.min_length.unwrap_or(0),
            max_length: settings.max_length.unwrap_or(usize::MAX),
            pattern: settings.pattern.as_ref().map(compile).transpose()?,
            one_of: settings.one_of.iter().map(choice).collect::<Result<_>>()?,
        }))
    }

    /// Judges a value that is not NULL. What it says quotes the rule, never the value.
    pub fn check(&self, tag: Tag, value: &[u8]) -> Result<(), Fault> {
        let refuse = |why: String| Err(Fault::new("23514", why));
        if let Some(min) = self.min.as_ref().filter(|min| compare(tag, value, &min.value) == Ordering::Less) {
            return refuse(format!("value is below the minimum of {}", min.written));
        }
        if let Some(max) =
            self.max.as_ref().filter(|max| compare(tag, value, &max.value) == Ordering::Greater)
        {
            return refuse(format!("value is above the maximum of {}", max.written));
        }
        if self.min_length > 0 || self.max_length < usize::MAX {
            let length = length(tag, value);
            if length < self.min_length {
                return refuse(format!("length {length} is below the minimum of {}", self.min_length));
            }
            if length > self.max_length {
                return refuse(format!("length {length} is above the maximum of {}", self.max_length));
            }
        }
        if let Some(pattern) = self.pattern.as_ref().filter(|pattern| !pattern.is_match(value)) {
            return refuse(format!("value does not match the pattern {pattern}"));
        }
        let among = |choice: &Vec<u8>| compare(tag, value, choice) == Ordering::Equal;
        if !self.one_of.is_empty() && !self.one_of.iter().any(among) {
            return refuse("value is none of those in one_of".to_owned());
        }
        Ok(())
    }
}

/// A value of the configuration as the column has it.
fn encoded(column: &Column, json: &str, unit: EpochUnit) -> Result<Vec<u8>, Fault> {
    let mut copy = CopyBuffer::new(1);
    copy.begin_row();
    let present = Encoder::default().field(column, unit, Value::Json(json), &mut copy)?;
    if present { Ok(copy.last_value().to_vec()) } else { Err(Fault::new("22004", "null is no bound")) }
}

fn is_text(tag: Tag) -> bool {
    matches!(tag, Tag::Text | Tag::Varchar | Tag::Bpchar | Tag::Enum)
}

fn is_ordered(tag: Tag) -> bool {
    matches!(
        tag,
        Tag::Int2
            | Tag::Int4
            | Tag::Int8
            | Tag::Float4
            | Tag::Float8
            | Tag::Numeric
            | Tag::Date
            | Tag::Time
            | Tag::Timestamp
            | Tag::TimestampTz
    )
}

/// Characters of text, bytes of bytea, elements of an array.
fn length(tag: Tag, value: &[u8]) -> usize {
    match tag {
        Tag::Bytea => value.len(),
        Tag::Array => elements(value),
        // Every byte that does not go on with a character begins one.
        _ => value.iter().filter(|byte| **byte & 0xc0 != 0x80).count(),
    }
}

/// Elements of an array of one dimension or none, in COPY's format.
fn elements(value: &[u8]) -> usize {
    let count = value.get(12..16).and_then(|count| count.try_into().ok()).map(i32::from_be_bytes);
    usize::try_from(count.unwrap_or_default()).unwrap_or_default()
}

/// Two values of one type, in the order of that type; others than numbers and times bytewise.
fn compare(tag: Tag, a: &[u8], b: &[u8]) -> Ordering {
    match tag {
        Tag::Int2 | Tag::Int4 | Tag::Int8 | Tag::Date | Tag::Time | Tag::Timestamp | Tag::TimestampTz => {
            signed(a).cmp(&signed(b))
        }
        Tag::Float4 => single(a).total_cmp(&single(b)),
        Tag::Float8 => double(a).total_cmp(&double(b)),
        Tag::Numeric => numeric(a).cmp(&numeric(b)),
        _ => a.cmp(b),
    }
}

fn signed(bytes: &[u8]) -> i64 {
    let start = if bytes.first() > Some(&0x7f) { -1 } else { 0 };
    bytes.iter().fold(start, |value, byte| (value << 8) | i64::from(*byte))
}

/// PostgreSQL holds -0 for 0, and NaN for larger than all else.
fn single(bytes: &[u8]) -> f32 {
    let value = bytes.try_into().map(f32::from_be_bytes).unwrap_or_default();
    if value.is_nan() { f32::NAN } else { value + 0.0 }
}

fn double(bytes: &[u8]) -> f64 {
    let value = bytes.try_into().map(f64::from_be_bytes).unwrap_or_default();
    if value.is_nan() { f64::NAN } else { value + 0.0 }
}

/// What orders numerics: sign or kind, then weight and digits, which for negative ones count the other way round.
fn numeric(wire: &[u8]) -> (i8, i32, Vec<i32>) {
    let word = |at: usize| wire.get(at..at + 2).and_then(|w| w.try_into().ok()).map_or(0, i16::from_be_bytes);
    let digits =
        wire.get(8..).unwrap_or_default().chunks_exact(2).map(|d| i32::from(d[0]) << 8 | i32::from(d[1]));
    let digits: Vec<i32> = digits.collect();
    match word(4).cast_unsigned() {
        0xf000 => (-2, 0, Vec::new()),
        0xd000 => (2, 0, Vec::new()),
        0xc000 => (3, 0, Vec::new()),
        _ if digits.is_empty() => (0, 0, Vec::new()),
        0x4000 => {
            // Of two that begin alike the longer is further from zero: the end counts as more than any digit.
            let mut turned: Vec<i32> = digits.into_iter().map(|digit| -digit).collect();
            turned.push(1);
            (-1, -i32::from(word(2)), turned)
        }
        _ => (1, i32::from(word(2)), digits),
    }
}

#[cfg(test)]
#[path = "rules_tests.rs"]
mod tests;
