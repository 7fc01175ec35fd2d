//! The accepted texts: `2026-01-31`, `12:34[:56[.789]]`, both joined by `T` or a space, and `Z`, `±HH`, `±HHMM` or
//! `±HH:MM[:SS]` at the end. Years have four digits or more, from 0001 on. `infinity` and `-infinity` are themselves.

use super::{TimeError, date, timestamp};
use crate::civil::{self, DAY_US};

/// The largest offset the server takes is 15:59:59.
const OFFSET_HOUR_MAX: i64 = 15;

/// `2026-01-31T12:34:56.789Z` to microseconds since 2000-01-01 UTC. Needs `Z` or an offset; digits beyond microseconds
/// are rounded as the server rounds them.
pub fn parse_timestamptz(text: &str) -> Result<i64, TimeError> {
    if let Some(positive) = infinity(text) {
        return Ok(if positive { i64::MAX } else { i64::MIN });
    }
    let (local, mut rest) = date_and_time(text)?;
    let offset = rest.offset()?.ok_or(TimeError::OffsetMissing)?;
    rest.end()?;
    timestamp(local - i128::from(offset) * 1_000_000)
}

/// `2026-01-31T12:34:56.789`, without an offset. A date alone is its midnight.
pub fn parse_timestamp(text: &str) -> Result<i64, TimeError> {
    if let Some(positive) = infinity(text) {
        return Ok(if positive { i64::MAX } else { i64::MIN });
    }
    let (local, mut rest) = date_and_time(text)?;
    if rest.offset()?.is_some() {
        return Err(TimeError::OffsetUnexpected);
    }
    rest.end()?;
    timestamp(local)
}

/// `2026-01-31` to days since 2000-01-01.
pub fn parse_date(text: &str) -> Result<i32, TimeError> {
    if let Some(positive) = infinity(text) {
        return Ok(if positive { i32::MAX } else { i32::MIN });
    }
    let mut rest = Rest(text);
    let days = rest.date()?;
    rest.end()?;
    date(days)
}

/// `12:34:56.789` to microseconds since midnight, without an offset.
pub fn parse_time(text: &str) -> Result<i64, TimeError> {
    let mut rest = Rest(text);
    let us = rest.time()?;
    rest.end()?;
    Ok(us)
}

fn infinity(text: &str) -> Option<bool> {
    match text {
        "infinity" => Some(true),
        "-infinity" => Some(false),
        _ => None,
    }
}

/// Local microseconds since 2000-01-01, and what follows.
fn date_and_time(text: &str) -> Result<(i128, Rest<'_>), TimeError> {
    let mut rest = Rest(text);
    let days = rest.date()?;
    let us = if rest.take('T') || rest.take('t') || rest.take(' ') { rest.time()? } else { 0 };
    Ok((i128::from(days) * i128::from(DAY_US) + i128::from(us), rest))
}

/// What is left to read.
struct Rest<'a>(&'a str);

impl<'a> Rest<'a> {
    fn take(&mut self, wanted: char) -> bool {
        self.0.strip_prefix(wanted).map(|rest| self.0 = rest).is_some()
    }

    fn digits(&mut self) -> &'a str {
        let end = self.0.bytes().position(|byte| !byte.is_ascii_digit()).unwrap_or(self.0.len());
        let (digits, rest) = self.0.split_at(end);
        self.0 = rest;
        digits
    }

    /// A number written with exactly two digits.
    fn two(&mut self) -> Result<i64, TimeError> {
        let [tens @ b'0'..=b'9', ones @ b'0'..=b'9', ..] = self.0.as_bytes() else {
            return Err(TimeError::Syntax);
        };
        self.0 = &self.0[2..];
        Ok(i64::from((tens - b'0') * 10 + ones - b'0'))
    }

    fn end(&self) -> Result<(), TimeError> {
        if self.0.is_empty() { Ok(()) } else { Err(TimeError::Syntax) }
    }

    fn date(&mut self) -> Result<i64, TimeError> {
        let year = self.digits();
        if year.len() < 4 || !self.take('-') {
            return Err(TimeError::Syntax);
        }
        let month = self.two()?;
        if !self.take('-') {
            return Err(TimeError::Syntax);
        }
        let day = self.two()?;
        // No year PostgreSQL can store has more digits.
        let year: i64 = if year.len() > 7 { 0 } else { year.parse().map_err(|_| TimeError::Syntax)? };
        if year < 1 || !(1..=12).contains(&month) || day < 1 || day > civil::month_length(year, month) {
            return Err(TimeError::OutOfRange);
        }
        Ok(civil::days(year, month, day))
    }

    /// Microseconds since midnight. As for the server, a minute may have a second 60 and a day ends at 24:00.
    fn time(&mut self) -> Result<i64, TimeError> {
        let hour = self.two()?;
        if !self.take(':') {
            return Err(TimeError::Syntax);
        }
        let minute = self.two()?;
        let mut second = 0;
        let mut fraction = 0;
        if self.take(':') {
            second = self.two()?;
            if self.take('.') {
                fraction = self.fraction()?;
            }
        }
        let us = ((hour * 60 + minute) * 60 + second) * 1_000_000 + fraction;
        if hour > 24 || minute > 59 || second > 60 || us > DAY_US {
            return Err(TimeError::OutOfRange);
        }
        Ok(us)
    }

    fn fraction(&mut self) -> Result<i64, TimeError> {
        let digits = self.digits();
        if digits.is_empty() {
            return Err(TimeError::Syntax);
        }
        if digits.len() <= 6 {
            let padded = digits.bytes().chain(std::iter::repeat(b'0')).take(6);
            return Ok(padded.fold(0, |us, digit| us * 10 + i64::from(digit - b'0')));
        }
        let value: f64 = format!("0.{digits}").parse().map_err(|_| TimeError::Syntax)?;
        // Floats as the server uses them, or the last digit would sometimes differ. Between 0 and 1,000,000.
        #[allow(clippy::cast_possible_truncation)]
        Ok((value * 1e6).round_ties_even() as i64)
    }

    /// Seconds east of UTC.
    fn offset(&mut self) -> Result<Option<i64>, TimeError> {
        if self.take('Z') || self.take('z') {
            return Ok(Some(0));
        }
        let sign = match self.0.as_bytes() {
            [b'+', ..] => 1,
            [b'-', ..] => -1,
            _ => return Ok(None),
        };
        self.0 = &self.0[1..];
        let hours = self.two()?;
        let (mut minutes, mut seconds) = (0, 0);
        if self.take(':') {
            minutes = self.two()?;
            if self.take(':') {
                seconds = self.two()?;
            }
        } else if !self.0.is_empty() {
            minutes = self.two()?;
        }
        if hours > OFFSET_HOUR_MAX || minutes > 59 || seconds > 59 {
            return Err(TimeError::OutOfRange);
        }
        Ok(Some(sign * ((hours * 60 + minutes) * 60 + seconds)))
    }
}
