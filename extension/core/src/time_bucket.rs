//! Time buckets: the start of the bucket an instant belongs to.
//!
//! A start is never after its instant, is its own bucket's start, and never goes back as instants go on, whatever
//! clocks do. Time zones are the caller's: here is only the arithmetic.

use crate::civil::{self, DAY_US, TIMESTAMP_END, TIMESTAMP_MIN};

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

impl Span {
    fn offset_us(self) -> i64 {
        i64::from(self.offset) * 1_000_000
    }
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
    #[inline]
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
    /// Hours or less for dates.
    #[error("bucket width for dates must be whole days or months")]
    WidthNotWholeDays,
    /// The width, the origin or the start of the bucket lies outside what a timestamp can hold.
    #[error("timestamp out of range")]
    OutOfRange,
}

/// No zone's clock is ever a day or more away from UTC.
const OFFSET_END_US: i64 = DAY_US;
/// The origin of days and everything shorter or longer that has no months: Monday, 2000-01-03.
const MONDAY: i64 = 2 * DAY_US;

/// The start of the bucket of `ts` in `zone`; infinity is its own. Buckets are counted from `origin`, read in `zone`:
/// by default Monday 2000-01-03, or 2000-01-01 for months, for which only the origin's month counts.
///
/// Width of a day or more: buckets begin where the wall clock first shows their label, a multiple of the width from
/// the origin. Width below a day: the wall clock at `ts` is rounded down, but not beyond the last change of offset.
pub fn time_bucket(width: Width, ts: i64, zone: &impl Zone, origin: Option<i64>) -> Result<i64, BucketError> {
    let grid = Grid::new(width, origin.map(|origin| local(origin, zone)).transpose()?)?;
    if ts == i64::MIN || ts == i64::MAX {
        return Ok(ts);
    }
    let ts = in_range(ts)?;
    match grid {
        Grid::Micros { width, .. } if width < DAY_US => short_bucket(grid, ts, zone),
        _ => long_bucket(grid, ts, zone),
    }
    .and_then(in_range)
}

/// The same for a `timestamp` without time zone.
pub fn timestamp_bucket(width: Width, ts: i64, origin: Option<i64>) -> Result<i64, BucketError> {
    time_bucket(width, ts, &Utc, origin)
}

/// The same for a `date`, in days since 2000-01-01; the width is whole days or months.
pub fn date_bucket(width: Width, date: i32, origin: Option<i32>) -> Result<i32, BucketError> {
    if width.micros % DAY_US != 0 {
        return Err(BucketError::WidthNotWholeDays);
    }
    let midnight = |date: i32| match date {
        i32::MIN => Ok(i64::MIN),
        i32::MAX => Ok(i64::MAX),
        _ => i64::from(date).checked_mul(DAY_US).ok_or(BucketError::OutOfRange),
    };
    let start = timestamp_bucket(width, midnight(date)?, origin.map(midnight).transpose()?)?;
    match start {
        i64::MIN | i64::MAX => Ok(date),
        _ => i32::try_from(start.div_euclid(DAY_US)).map_err(|_| BucketError::OutOfRange),
    }
}

/// The labels of buckets on the wall clock.
#[derive(Clone, Copy)]
enum Grid {
    /// Every `width` microseconds, of which one is `phase`, 0 <= phase < width.
    Micros { width: i64, phase: i64 },
    /// The first of every `width`-th month, of which one is `phase`, counted from year 0.
    Months { width: i64, phase: i64 },
}

impl Grid {
    fn new(width: Width, origin: Option<i64>) -> Result<Self, BucketError> {
        let exact = i128::from(width.days) * i128::from(DAY_US) + i128::from(width.micros);
        if width.months != 0 {
            if width.days != 0 || width.micros != 0 {
                return Err(BucketError::WidthMixed);
            }
            let width = positive(width.months.into())?;
            return Ok(Self::Months { width, phase: month(origin.unwrap_or(0)).rem_euclid(width) });
        }
        let width = positive(exact)?;
        Ok(Self::Micros { width, phase: origin.unwrap_or(MONDAY).rem_euclid(width) })
    }

    /// The latest label not after a wall clock time.
    fn floor(self, wall: i64) -> Result<i64, BucketError> {
        match self {
            Self::Micros { width, phase } => {
                let past = wall.checked_sub(phase).ok_or(BucketError::OutOfRange)?.rem_euclid(width);
                wall.checked_sub(past).ok_or(BucketError::OutOfRange)
            }
            Self::Months { width, phase } => {
                let month = month(wall);
                let month = month - (month - phase).rem_euclid(width);
                let label = civil::days(month.div_euclid(12), month.rem_euclid(12) + 1, 1);
                label.checked_mul(DAY_US).ok_or(BucketError::OutOfRange)
            }
        }
    }
}

fn positive(width: i128) -> Result<i64, BucketError> {
    if width <= 0 {
        return Err(BucketError::WidthNotPositive);
    }
    i64::try_from(width).map_err(|_| BucketError::OutOfRange)
}

/// Months since year 0.
fn month(us: i64) -> i64 {
    let (year, month, _) = civil::date(us.div_euclid(DAY_US));
    year * 12 + month - 1
}

fn in_range(us: i64) -> Result<i64, BucketError> {
    if (TIMESTAMP_MIN..TIMESTAMP_END).contains(&us) { Ok(us) } else { Err(BucketError::OutOfRange) }
}

/// The wall clock at an instant. Instants in range leave room for any offset.
fn local(us: i64, zone: &impl Zone) -> Result<i64, BucketError> {
    Ok(in_range(us)? + zone.span_at(us).offset_us())
}

/// Rounds the wall clock down, but not beyond the last change of offset.
fn short_bucket(grid: Grid, ts: i64, zone: &impl Zone) -> Result<i64, BucketError> {
    let offset = zone.span_at(ts).offset_us();
    let start = grid.floor(ts + offset)? - offset;
    let mut last_change = start;
    let mut span = zone.span_at(start);
    while span.until <= ts {
        let next = zone.span_at(span.until);
        if next.offset != span.offset {
            last_change = span.until;
        }
        span = next;
    }
    Ok(last_change)
}

/// The first instant at which the wall clock shows the latest label it has shown up to `ts`. (After a change
/// backwards it shows labels again; those buckets have begun already.)
fn long_bucket(grid: Grid, ts: i64, zone: &impl Zone) -> Result<i64, BucketError> {
    // A wall clock time before two days ago cannot be later than the present one.
    let mut from = ts - 2 * OFFSET_END_US;
    let mut latest = i64::MIN;
    loop {
        let span = zone.span_at(from);
        if span.until > ts {
            latest = latest.max(ts + span.offset_us());
            break;
        }
        latest = latest.max(span.until - 1 + span.offset_us());
        from = span.until;
    }
    let label = grid.floor(latest)?;
    // The label cannot be shown before this.
    let mut from = label.checked_sub(OFFSET_END_US).ok_or(BucketError::OutOfRange)?;
    loop {
        let span = zone.span_at(from);
        let shown = label - span.offset_us();
        if shown < span.until {
            return Ok(shown.max(from));
        }
        from = span.until;
    }
}
