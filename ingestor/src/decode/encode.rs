//! One JSON value into one column: coercion by the column's type, PostgreSQL's bytes, the row's hash. The table of
//! coercions is in docs/ingestor.md. Nothing is allocated per field. Never: mapping, batches.

use super::plan::Column;
use super::scalar::{self, Json};
use super::{Fault, array};
use crate::config;
use base64::Engine;
use std::borrow::Cow;
use strata_core::copy::CopyBuffer;
use strata_core::encoding::{RowHasher, Tag};
use strata_core::jsonb::{self, JsonbError};
use strata_core::numeric::{self, NumericError};
use strata_core::time::{self, EpochUnit, TimeError};

/// Length of the header that lengths in a typmod include.
const VARHDRSZ: i32 = 4;

/// What a column is to hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Value<'a> {
    /// NULL.
    Missing,
    /// What this JSON says.
    Json(&'a str),
    /// These characters.
    Plain(&'a str),
}

/// Encodes values; keeps its scratch memory.
#[derive(Default)]
pub struct Encoder {
    text: String,
    bytes: Vec<u8>,
}

impl Encoder {
    /// Appends a column's value to the row and to its hash; numbers that are times count in this unit. `false`: it is
    /// NULL.
    #[inline]
    pub fn column(
        &mut self,
        column: &Column,
        unit: config::EpochUnit,
        value: Value,
        copy: &mut CopyBuffer,
        hasher: &mut RowHasher,
    ) -> Result<bool, Fault> {
        let present = self.field(column, unit, value, copy)?;
        if present && column.tag == Tag::Jsonb {
            hasher.column(column.id, column.tag, &self.bytes);
        } else if present && column.is_hashed() {
            hasher.column(column.id, column.tag, copy.last_value());
        }
        Ok(present)
    }

    /// Appends a value to the row alone. `false`: it is NULL.
    #[inline]
    pub fn field(
        &mut self,
        column: &Column,
        unit: config::EpochUnit,
        value: Value,
        copy: &mut CopyBuffer,
    ) -> Result<bool, Fault> {
        let (json, raw) = match value {
            Value::Missing => (Json::Null, ""),
            Value::Json(text) => (Json::of(text), text),
            Value::Plain(text) => (Json::Plain(text), text),
        };
        if json == Json::Null {
            copy.null();
            return Ok(false);
        }
        self.value(column, unit, json, raw, copy)?;
        Ok(true)
    }

    fn value(
        &mut self,
        column: &Column,
        unit: config::EpochUnit,
        json: Json,
        raw: &str,
        copy: &mut CopyBuffer,
    ) -> Result<(), Fault> {
        match column.tag {
            Tag::Bool => copy.bool(boolean(json)?),
            Tag::Int2 => copy.i16(integer(json, "smallint")?),
            Tag::Int4 => copy.i32(integer(json, "integer")?),
            Tag::Int8 => copy.i64(integer(json, "bigint")?),
            Tag::Float4 => copy.f32(float::<f32>(json, "real", f32::is_infinite, |v| *v == 0.0)?),
            Tag::Float8 => copy.f64(float::<f64>(json, "double precision", f64::is_infinite, |v| *v == 0.0)?),
            Tag::Numeric => {
                let text = number_text(json, "numeric")?;
                copy.field(|out| numeric::parse_into(text, column.numeric, out)).map_err(numeric_fault)?;
            }
            Tag::Text => copy.bytes(self.string(json)?.as_bytes()),
            Tag::Varchar | Tag::Bpchar => {
                let limit = usize::try_from(column.typmod - VARHDRSZ).ok();
                let text = self.string(json)?;
                copy.bytes(fit(text, limit)?.as_bytes());
            }
            Tag::Uuid => {
                let uuid = scalar::uuid(self.quoted(json, "uuid")?)
                    .ok_or_else(|| Fault::new("22P02", "invalid input syntax for type uuid"))?;
                copy.bytes(&uuid);
            }
            Tag::TimestampTz => {
                let us = self.instant(json, unit, time::parse_timestamptz)?;
                copy.i64(round_time(us, column.typmod));
            }
            Tag::Timestamp => {
                let us = self.instant(json, unit, time::parse_timestamp)?;
                copy.i64(round_time(us, column.typmod));
            }
            Tag::Date => {
                copy.i32(self.date(json)?);
            }
            Tag::Time => {
                let us = time::parse_time(self.quoted(json, "time")?).map_err(time_fault)?;
                copy.i64(round_time(us, column.typmod));
            }
            Tag::Json => copy.bytes(document(json, raw).as_bytes()),
            Tag::Jsonb => {
                let raw = document(json, raw);
                self.bytes.clear();
                jsonb::canonical_into(&raw, &mut self.bytes).map_err(|e| jsonb_fault(&e))?;
                copy.jsonb_text(raw.as_bytes());
            }
            Tag::Bytea => {
                let text = characters(json, "bytea", &mut self.text)?;
                self.bytes.clear();
                base64::engine::general_purpose::STANDARD
                    .decode_vec(text, &mut self.bytes)
                    .map_err(|_| Fault::new("22P02", "bytea must be base64"))?;
                copy.bytes(&self.bytes);
            }
            Tag::Inet | Tag::Cidr => {
                let text = characters(json, "inet", &mut self.text)?;
                self.bytes.clear();
                scalar::inet(text, column.tag == Tag::Cidr, &mut self.bytes)
                    .ok_or_else(|| Fault::new("22P02", "invalid input syntax for type inet or cidr"))?;
                copy.bytes(&self.bytes);
            }
            // The server knows its labels, and they may change at any time: it is the judge.
            Tag::Enum => copy.bytes(self.quoted(json, "an enum")?.as_bytes()),
            Tag::Array => {
                let array = array::encode(column, unit, json, raw)?;
                copy.bytes(&array);
            }
            Tag::Null
            | Tag::TimeTz
            | Tag::Interval
            | Tag::Range
            | Tag::Multirange
            | Tag::Composite
            | Tag::Commitment => {
                return Err(Fault::new("0A000", "this type cannot be written from JSON"));
            }
        }
        Ok(())
    }

    /// Text of a string; numbers, booleans, objects and arrays as they are written.
    fn string<'a>(&'a mut self, json: Json<'a>) -> Result<&'a str, Fault> {
        match json {
            Json::String(_) | Json::Plain(_) => characters(json, "text", &mut self.text),
            Json::Number(text) | Json::Composite(text) => Ok(text),
            Json::Bool(value) => Ok(if value { "true" } else { "false" }),
            Json::Null => Ok(""),
        }
    }

    /// Text of what must be a string.
    fn quoted<'a>(&'a mut self, json: Json<'a>, what: &str) -> Result<&'a str, Fault> {
        characters(json, what, &mut self.text)
    }

    /// A time: ISO 8601 in a string, or a number since 1970 in this unit.
    fn instant(
        &mut self,
        json: Json,
        unit: config::EpochUnit,
        parse: fn(&str) -> Result<i64, TimeError>,
    ) -> Result<i64, Fault> {
        let unit = match unit {
            config::EpochUnit::S => EpochUnit::Seconds,
            config::EpochUnit::Ms => EpochUnit::Millis,
            config::EpochUnit::Us => EpochUnit::Micros,
        };
        match json {
            Json::Number(text) => time::parse_epoch(text, unit),
            _ => parse(self.quoted(json, "timestamp")?),
        }
        .map_err(time_fault)
    }

    /// A day: ISO 8601 in a string, or days since 1970.
    fn date(&mut self, json: Json) -> Result<i32, Fault> {
        match json {
            Json::Number(_) => time::date_from_epoch_days(integer(json, "date")?),
            _ => time::parse_date(self.quoted(json, "date")?),
        }
        .map_err(time_fault)
    }
}

/// The characters of what must be a string.
fn characters<'a>(json: Json<'a>, what: &str, scratch: &'a mut String) -> Result<&'a str, Fault> {
    match json {
        Json::String(inner) => scalar::unescape(inner, scratch),
        Json::Plain(text) if text.contains('\0') => Err(scalar::nul()),
        Json::Plain(text) => Ok(text),
        _ => Err(Fault::new("22P02", format!("{what} must be a string"))),
    }
}

/// The JSON text of a value.
fn document<'a>(json: Json, raw: &'a str) -> Cow<'a, str> {
    match json {
        Json::Plain(text) => Cow::Owned(serde_json::Value::from(text).to_string()),
        _ => Cow::Borrowed(raw),
    }
}

fn boolean(json: Json) -> Result<bool, Fault> {
    match json {
        Json::Bool(value) => Ok(value),
        Json::Number("1") | Json::String("true" | "t" | "1") | Json::Plain("true" | "t" | "1") => Ok(true),
        Json::Number("0") | Json::String("false" | "f" | "0") | Json::Plain("false" | "f" | "0") => Ok(false),
        _ => Err(Fault::new("22P02", "invalid input syntax for type boolean")),
    }
}

/// The digits of a number, which may stand in a string.
fn number_text<'a>(json: Json<'a>, what: &str) -> Result<&'a str, Fault> {
    match json {
        Json::Number(text) | Json::String(text) | Json::Plain(text) => Ok(text),
        _ => Err(Fault::new("22P02", format!("{what} must be a number"))),
    }
}

fn integer<T: TryFrom<i64>>(json: Json, what: &str) -> Result<T, Fault> {
    let text = number_text(json, what)?;
    // 42.0 is what some languages write for 42.
    let text = match text.split_once('.') {
        Some((whole, zeros)) if !zeros.is_empty() && zeros.bytes().all(|b| b == b'0') => whole,
        _ => text,
    };
    let digits = text.strip_prefix('-').unwrap_or(text);
    if digits.is_empty() || !digits.bytes().all(|b| b.is_ascii_digit()) {
        return Err(Fault::new("22P02", format!("invalid input syntax for type {what}")));
    }
    text.parse::<i64>()
        .ok()
        .and_then(|value| T::try_from(value).ok())
        .ok_or_else(|| Fault::new("22003", format!("value out of range for type {what}")))
}

fn float<T: std::str::FromStr + Copy>(
    json: Json,
    what: &str,
    infinite: fn(T) -> bool,
    zero: fn(&T) -> bool,
) -> Result<T, Fault> {
    let text = number_text(json, what)?;
    let syntax = || Fault::new("22P02", format!("invalid input syntax for type {what}"));
    let named = matches!(text, "NaN" | "Infinity" | "-Infinity");
    if !named && !text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'+' | b'-' | b'.' | b'e' | b'E')) {
        return Err(syntax());
    }
    let value: T = text.parse().map_err(|_| syntax())?;
    let mantissa = text.split(['e', 'E']).next().unwrap_or_default();
    let vanished = zero(&value) && mantissa.bytes().any(|b| matches!(b, b'1'..=b'9'));
    if vanished || (infinite(value) && !named) {
        return Err(Fault::new("22003", format!("value out of range for type {what}")));
    }
    Ok(value)
}

/// `varchar(n)` and `char(n)`: only spaces may be cut off.
fn fit(text: &str, limit: Option<usize>) -> Result<&str, Fault> {
    let Some(limit) = limit.filter(|limit| text.len() > *limit) else { return Ok(text) };
    match text.char_indices().nth(limit) {
        None => Ok(text),
        Some((end, _)) if text[end..].bytes().all(|b| b == b' ') => Ok(&text[..end]),
        Some(_) => Err(Fault::new("22001", format!("value too long for type character({limit})"))),
    }
}

/// `timestamp(p)` and `time(p)`: rounded half away from zero, as the server does when it receives them.
fn round_time(us: i64, typmod: i32) -> i64 {
    let Ok(digits @ 0..=5) = u32::try_from(typmod) else { return us };
    if us == i64::MAX || us == i64::MIN {
        return us;
    }
    let scale = 10_i64.pow(6 - digits);
    let half = scale / 2;
    if us >= 0 {
        (us.saturating_add(half)) / scale * scale
    } else {
        -((half.saturating_sub(us)) / scale * scale)
    }
}

fn numeric_fault(error: NumericError) -> Fault {
    let sqlstate = match error {
        NumericError::OutOfRange | NumericError::FieldOverflow => "22003",
        _ => "22P02",
    };
    Fault::new(sqlstate, error.to_string())
}

fn time_fault(error: TimeError) -> Fault {
    let sqlstate = if matches!(error, TimeError::OutOfRange) { "22008" } else { "22007" };
    Fault::new(sqlstate, error.to_string())
}

fn jsonb_fault(error: &JsonbError) -> Fault {
    let sqlstate = match error {
        JsonbError::Nul(_) => "22P05",
        JsonbError::NumberOutOfRange(_) => "22003",
        JsonbError::TooDeep(_) => "54001",
        JsonbError::TooLong => "54000",
        JsonbError::Syntax(_) | JsonbError::Surrogate(_) => "22P02",
    };
    Fault::new(sqlstate, error.to_string())
}
