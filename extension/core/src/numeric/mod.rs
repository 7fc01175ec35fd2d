//! `numeric`: text to the bytes the server stores, and back.
//!
//! Follows `numeric_in` of PostgreSQL 15 step by step, so that what is sent and hashed here is what the server
//! would have made of the text. Values are never computed with, least of all as floats.

mod decimal;
mod output;

use decimal::Decimal;
pub use output::to_text;

/// Decimal digits in one digit of the stored form.
const GROUP: i64 = 4;
/// The largest display scale the stored form has room for.
const DSCALE_MAX: i64 = 0x3fff;
/// Bytes before the digits: their count, weight, sign and display scale.
const HEADER: usize = 8;

const NEGATIVE: u16 = 0x4000;
const NAN: u16 = 0xc000;
const PLUS_INFINITY: u16 = 0xd000;
const MINUS_INFINITY: u16 = 0xf000;
/// The display scale the server reports for infinities.
const INFINITY_DSCALE: u16 = 0x20;

/// Why a text is no numeric value of the wanted type.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NumericError {
    /// Not the text of a number (SQLSTATE 22P02).
    #[error("invalid input syntax for type numeric")]
    Syntax,
    /// More digits than `numeric` can hold (SQLSTATE 22003).
    #[error("value overflows numeric format")]
    OutOfRange,
    /// More digits than the column's precision and scale allow (SQLSTATE 22003).
    #[error("numeric field overflow")]
    FieldOverflow,
    /// Not the wire format of a numeric (SQLSTATE 22P03).
    #[error("invalid binary representation of numeric")]
    Wire,
}

/// Text to wire bytes exactly as `numeric_in` of a column with this (precision, scale) stores them: rounded half
/// away from zero, without leading or trailing zero digits, with the display scale kept.
pub fn parse(text: &str, typmod: Option<(u16, i16)>) -> Result<Vec<u8>, NumericError> {
    let mut out = Vec::with_capacity(HEADER + text.len().min(64));
    parse_into(text, typmod, &mut out)?;
    Ok(out)
}

/// [`parse`], appending to `out`, which is left as it was when that fails.
pub fn parse_into(text: &str, typmod: Option<(u16, i16)>, out: &mut Vec<u8>) -> Result<(), NumericError> {
    let text = trim(text.as_bytes());
    match special(text) {
        Some(sign) => write_special(sign, typmod, out),
        None => Decimal::scan(text)?.write(typmod, out),
    }
}

/// (precision, scale) of a column's `atttypmod`; `None` for a plain `numeric`.
pub fn typmod(atttypmod: i32) -> Option<(u16, i16)> {
    let packed = u32::try_from(atttypmod.checked_sub(4)?).ok()?;
    // The scale is a signed number of 11 bits.
    let scale = i16::try_from((packed & 0x7ff) ^ 0x400).ok()? - 0x400;
    Some((u16::try_from(packed >> 16).ok()?, scale))
}

/// What the C library takes for white space.
fn is_space(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t'..=b'\r')
}

fn trim(text: &[u8]) -> &[u8] {
    let start = text.iter().position(|&byte| !is_space(byte)).unwrap_or(text.len());
    let end = text.iter().rposition(|&byte| !is_space(byte)).map_or(start, |last| last + 1);
    &text[start..end]
}

fn special(text: &[u8]) -> Option<u16> {
    let is = |name: &str| text.eq_ignore_ascii_case(name.as_bytes());
    if is("nan") {
        Some(NAN)
    } else if is("infinity") || is("+infinity") || is("inf") || is("+inf") {
        Some(PLUS_INFINITY)
    } else if is("-infinity") || is("-inf") {
        Some(MINUS_INFINITY)
    } else {
        None
    }
}

fn write_special(sign: u16, typmod: Option<(u16, i16)>, out: &mut Vec<u8>) -> Result<(), NumericError> {
    if sign != NAN && typmod.is_some() {
        return Err(NumericError::FieldOverflow);
    }
    let dscale = if sign == NAN { 0 } else { INFINITY_DSCALE };
    push_header(out, 0, 0, sign, dscale);
    Ok(())
}

fn push_header(out: &mut Vec<u8>, groups: u16, weight: i16, sign: u16, dscale: u16) {
    out.extend_from_slice(&groups.to_be_bytes());
    out.extend_from_slice(&weight.to_be_bytes());
    out.extend_from_slice(&sign.to_be_bytes());
    out.extend_from_slice(&dscale.to_be_bytes());
}
