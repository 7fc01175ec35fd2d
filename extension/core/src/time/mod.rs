//! Dates and times: an ISO 8601 / RFC 3339 subset and epoch numbers to PostgreSQL's values.
//!
//! What is accepted means exactly what the server would make of it; much that the server accepts is refused here,
//! because it depends on settings (`DateStyle`, `TimeZone`) or drops part of the text without a word.

mod parse;

use crate::civil::{self, DATE_END, DATE_MIN, DAY_US, TIMESTAMP_END, TIMESTAMP_MIN};
use crate::numeric;
pub use parse::{parse_date, parse_time, parse_timestamp, parse_timestamptz};

/// Microseconds from 1970-01-01 to 2000-01-01 UTC.
const EPOCH_US: i64 = 946_684_800_000_000;
/// Days from 1970-01-01 to 2000-01-01.
const EPOCH_DAYS: i64 = 10_957;

/// Why a text or number is no date or time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TimeError {
    /// Not in the accepted format (SQLSTATE 22007).
    #[error("invalid date or time syntax")]
    Syntax,
    /// A timestamp with time zone must name its offset (SQLSTATE 22007).
    #[error("timestamp lacks a UTC offset")]
    OffsetMissing,
    /// A timestamp without time zone must not name an offset (SQLSTATE 22007).
    #[error("timestamp without time zone has a UTC offset")]
    OffsetUnexpected,
    /// A field or the whole is outside what PostgreSQL stores (SQLSTATE 22008).
    #[error("date or time out of range")]
    OutOfRange,
}

/// The unit of an epoch number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EpochUnit {
    /// Seconds
    Seconds,
    /// Milliseconds
    Millis,
    /// Microseconds
    Micros,
}

impl EpochUnit {
    /// How many decimal digits of a number are microseconds or more.
    fn digits(self) -> i16 {
        match self {
            Self::Seconds => 6,
            Self::Millis => 3,
            Self::Micros => 0,
        }
    }
}

/// A whole number of units since 1970-01-01 UTC to microseconds since 2000-01-01 UTC.
pub fn from_epoch(value: i64, unit: EpochUnit) -> Result<i64, TimeError> {
    let factor = 10i64.pow(unit.digits().unsigned_abs().into());
    timestamp(i128::from(value) * i128::from(factor) - i128::from(EPOCH_US))
}

/// A decimal number of units since 1970-01-01 UTC, as JSON writes it (`1764547200.25`, `1.7E9`). Half a microsecond
/// is rounded away from zero.
pub fn parse_epoch(text: &str, unit: EpochUnit) -> Result<i64, TimeError> {
    let wire = numeric::parse(text, Some((30, unit.digits()))).map_err(|error| match error {
        numeric::NumericError::Syntax => TimeError::Syntax,
        _ => TimeError::OutOfRange,
    })?;
    let decimal = numeric::to_text(&wire).map_err(|_| TimeError::Syntax)?;
    // Rounded and padded to whole microseconds: without the point it is their number. NaN is none.
    let micros: i128 = decimal.replace('.', "").parse().map_err(|_| TimeError::OutOfRange)?;
    timestamp(micros - i128::from(EPOCH_US))
}

/// Days since 1970-01-01 to days since 2000-01-01.
pub fn date_from_epoch_days(days: i64) -> Result<i32, TimeError> {
    days.checked_sub(EPOCH_DAYS).ok_or(TimeError::OutOfRange).and_then(date)
}

/// RFC 3339 in UTC with `Z`, and the fraction only as long as it must be. Years before 1 are numbered as ISO 8601
/// does (`0000` is 1 BC).
pub fn format_timestamptz(us: i64) -> String {
    if us == i64::MAX {
        return "infinity".into();
    }
    if us == i64::MIN {
        return "-infinity".into();
    }
    let (year, month, day) = civil::date(us.div_euclid(DAY_US));
    let us = us.rem_euclid(DAY_US);
    let (second, fraction) = (us / 1_000_000, us % 1_000_000);
    let (hour, minute, second) = (second / 3600, second / 60 % 60, second % 60);
    let sign = if year < 0 { "-" } else { "" };
    let mut text = format!("{sign}{:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}", year.abs());
    if fraction != 0 {
        text.push_str(format!(".{fraction:06}").trim_end_matches('0'));
    }
    text.push('Z');
    text
}

/// Within the range of a timestamp.
fn timestamp(us: i128) -> Result<i64, TimeError> {
    match i64::try_from(us) {
        Ok(us) if (TIMESTAMP_MIN..TIMESTAMP_END).contains(&us) => Ok(us),
        _ => Err(TimeError::OutOfRange),
    }
}

/// Within the range of a date.
fn date(days: i64) -> Result<i32, TimeError> {
    if !(DATE_MIN..DATE_END).contains(&days) {
        return Err(TimeError::OutOfRange);
    }
    i32::try_from(days).map_err(|_| TimeError::OutOfRange)
}
