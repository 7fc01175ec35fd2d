//! Time buckets: the start of the bucket an instant belongs to.

/// The width of a bucket, as the three parts of an `interval`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Width {
    /// Months; excludes the other parts
    pub months: i32,
    /// Days
    pub days: i32,
    /// Microseconds
    pub micros: i64,
}

/// A stretch of time during which a zone's offset does not change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span {
    /// Seconds east of UTC.
    pub offset: i32,
    /// The first instant after the one asked for at which the offset may change; `i64::MAX` = never.
    pub until: i64,
}

/// A time zone.
pub trait Zone {
    /// The offset in force at an instant, and until when. Asked only forward: an implementation needs no way to
    /// find the change *before* an instant. (`pg_next_dst_boundary` answers it in one call.)
    fn span_at(&self, us: i64) -> Span;
}

/// UTC.
#[derive(Clone, Copy, Debug)]
pub struct Utc;

impl Zone for Utc {
    fn span_at(&self, _us: i64) -> Span {
        Span { offset: 0, until: i64::MAX }
    }
}

/// Why there is no bucket.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BucketError {
    /// The width is zero or negative.
    #[error("bucket width must be positive")]
    WidthNotPositive,
    /// Months together with days or time.
    #[error("bucket width cannot mix months with days or time")]
    WidthMixed,
    /// The width, the origin or the start of the bucket lies outside what a timestamp can hold.
    #[error("timestamp out of range")]
    OutOfRange,
}

/// The start of the bucket of `ts` in `zone`.
pub fn time_bucket(
    _width: Width,
    _ts: i64,
    _zone: &impl Zone,
    _origin: Option<i64>,
) -> Result<i64, BucketError> {
    Err(BucketError::OutOfRange)
}

/// The same for a `timestamp` without time zone.
pub fn timestamp_bucket(_width: Width, _ts: i64, _origin: Option<i64>) -> Result<i64, BucketError> {
    Err(BucketError::OutOfRange)
}

/// The same for a `date`, in days since 2000-01-01.
pub fn date_bucket(_width: Width, _date: i32, _origin: Option<i32>) -> Result<i32, BucketError> {
    Err(BucketError::OutOfRange)
}
