//! `strata.time_bucket` over PostgreSQL's own time zone database. The arithmetic is strata-core's.

use std::ffi::CString;

use pgrx::pg_sys;
use pgrx::prelude::*;
use strata_core::time_bucket::{
    BucketError, Span, Utc, Width, Zone, date_bucket, time_bucket as bucket_start, timestamp_bucket,
};

use crate::errors::raise;

const MICROS_PER_SECOND: i64 = 1_000_000;
/// Seconds from 1970-01-01 to 2000-01-01.
const POSTGRES_EPOCH: i64 = 946_684_800;

/// A time zone PostgreSQL has loaded; the backend keeps it for good.
#[derive(Clone, Copy)]
struct ServerZone(*mut pg_sys::pg_tz);

impl Zone for ServerZone {
    fn span_at(&self, us: i64) -> Span {
        let at: pg_sys::pg_time_t = us.div_euclid(MICROS_PER_SECOND) + POSTGRES_EPOCH;
        let (mut before, mut after): (std::ffi::c_long, std::ffi::c_long) = (0, 0);
        let (mut before_dst, mut after_dst) = (0, 0);
        let mut boundary: pg_sys::pg_time_t = 0;
        // SAFETY: the zone comes from pg_tzset; the rest are out-parameters.
        let found = unsafe {
            pg_sys::pg_next_dst_boundary(
                &raw const at,
                &raw mut before,
                &raw mut before_dst,
                &raw mut boundary,
                &raw mut after,
                &raw mut after_dst,
                self.0,
            )
        };
        let until =
            if found == 1 { (boundary - POSTGRES_EPOCH).saturating_mul(MICROS_PER_SECOND) } else { i64::MAX };
        Span { offset: before as i32, until }
    }
}

/// `strata.time_bucket(width interval, ts timestamptz, timezone text, origin timestamptz) RETURNS timestamptz`
#[pg_extern(sql = false)]
fn time_bucket(
    width: Option<pgrx::datum::Interval>,
    ts: Option<TimestampWithTimeZone>,
    timezone: Option<&str>,
    origin: Option<TimestampWithTimeZone>,
) -> Option<TimestampWithTimeZone> {
    let (width, ts) = (parts(&width?), micros(ts?));
    let origin = origin.map(micros);
    let result = match timezone.unwrap_or("UTC") {
        "UTC" => bucket_start(width, ts, &Utc, origin),
        name => bucket_start(width, ts, &zone(name), origin),
    };
    match result {
        Ok(start) => TimestampWithTimeZone::try_from(start).ok(),
        Err(error) => report(error),
    }
}

/// `strata.time_bucket(width interval, ts timestamp, origin timestamp) RETURNS timestamp`
#[pg_extern(sql = false)]
fn time_bucket_timestamp(
    width: Option<pgrx::datum::Interval>,
    ts: Option<Timestamp>,
    origin: Option<Timestamp>,
) -> Option<Timestamp> {
    match timestamp_bucket(parts(&width?), ts?.into(), origin.map(i64::from)) {
        Ok(start) => Timestamp::try_from(start).ok(),
        Err(error) => report(error),
    }
}

/// `strata.time_bucket(width interval, day date, origin date) RETURNS date`
#[pg_extern(sql = false)]
fn time_bucket_date(
    width: Option<pgrx::datum::Interval>,
    day: Option<Date>,
    origin: Option<Date>,
) -> Option<Date> {
    let days = |date: Date| -> i32 { date.to_pg_epoch_days() };
    match date_bucket(parts(&width?), days(day?), origin.map(days)) {
        // SAFETY: days in range of the type, as core returns them
        Ok(start) => Some(unsafe { Date::from_pg_epoch_days(start) }),
        Err(error) => report(error),
    }
}

fn parts(width: &pgrx::datum::Interval) -> Width {
    Width { months: width.months(), days: width.days(), micros: width.micros() }
}

fn micros(ts: TimestampWithTimeZone) -> i64 {
    ts.into()
}

fn zone(name: &str) -> ServerZone {
    let found = CString::new(name).map_or(std::ptr::null_mut(), |name| {
        // SAFETY: pg_tzset takes a C string and returns NULL for a name it does not know.
        unsafe { pg_sys::pg_tzset(name.as_ptr()) }
    });
    if found.is_null() {
        raise(
            PgSqlErrorCode::ERRCODE_INVALID_PARAMETER_VALUE,
            format!("time zone \"{name}\" not recognized"),
            "",
            "The view pg_timezone_names lists the names, for example 'Europe/Berlin'.",
        );
    }
    ServerZone(found)
}

fn report(error: BucketError) -> ! {
    let (code, hint) = match error {
        BucketError::OutOfRange => {
            (PgSqlErrorCode::ERRCODE_DATETIME_FIELD_OVERFLOW, "Timestamps run from 4713 BC to 294276 AD.")
        }
        BucketError::WidthNotPositive | BucketError::WidthNotWholeDays => (
            PgSqlErrorCode::ERRCODE_INVALID_PARAMETER_VALUE,
            "Write a width such as '1 hour', '1 day' or '1 month'.",
        ),
        BucketError::WidthMixed => (
            PgSqlErrorCode::ERRCODE_INVALID_PARAMETER_VALUE,
            "Write months alone ('1 month', '1 year'), or days and time ('7 days', '15 minutes').",
        ),
    };
    raise(code, error.to_string(), "", hint)
}
