//! Dates and times: an ISO 8601 / RFC 3339 subset and epoch numbers to PostgreSQL's values.

/// Why a text or number is no date or time.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
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

/// `2026-01-31T12:34:56.789Z` to microseconds since 2000-01-01 UTC. Needs `Z` or an offset.
pub fn parse_timestamptz(_text: &str) -> Result<i64, TimeError> {
    Err(TimeError::Syntax)
}

/// `2026-01-31T12:34:56.789`, without an offset.
pub fn parse_timestamp(_text: &str) -> Result<i64, TimeError> {
    Err(TimeError::Syntax)
}

/// `2026-01-31` to days since 2000-01-01.
pub fn parse_date(_text: &str) -> Result<i32, TimeError> {
    Err(TimeError::Syntax)
}

/// `12:34:56.789` to microseconds since midnight.
pub fn parse_time(_text: &str) -> Result<i64, TimeError> {
    Err(TimeError::Syntax)
}

/// A whole number of units since 1970-01-01 UTC.
pub fn from_epoch(_value: i64, _unit: EpochUnit) -> Result<i64, TimeError> {
    Err(TimeError::OutOfRange)
}

/// A decimal number of units since 1970-01-01 UTC, as JSON writes it (`1764547200.25`, `1.7e9`); half a
/// microsecond is rounded away from zero.
pub fn parse_epoch(_text: &str, _unit: EpochUnit) -> Result<i64, TimeError> {
    Err(TimeError::OutOfRange)
}

/// Days since 1970-01-01 to days since 2000-01-01.
pub fn date_from_epoch_days(_days: i64) -> Result<i32, TimeError> {
    Err(TimeError::OutOfRange)
}

/// RFC 3339 in UTC with `Z`, and the fraction only as long as it must be.
pub fn format_timestamptz(_us: i64) -> String {
    String::new()
}
