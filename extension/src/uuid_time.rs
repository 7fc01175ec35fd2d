//! The time in a UUID of version 7 (RFC 9562, section 5.7: 48 bits of Unix milliseconds come first). Never here: making
//! such UUIDs.

use pgrx::prelude::*;

const MICROS_PER_MILLI: i64 = 1_000;
/// Milliseconds from 1970-01-01 to 2000-01-01.
const POSTGRES_EPOCH_MS: i64 = 946_684_800_000;
const MILLIS_MAX: i64 = (1 << 48) - 1;

/// `strata.uuid_time(id uuid) RETURNS timestamptz`
#[pg_extern(sql = false)]
fn uuid_time(id: pgrx::datum::Uuid) -> Option<TimestampWithTimeZone> {
    let millis = id.as_bytes()[..6].iter().fold(0_i64, |sum, byte| sum << 8 | i64::from(*byte));
    TimestampWithTimeZone::try_from((millis - POSTGRES_EPOCH_MS) * MICROS_PER_MILLI).ok()
}

/// `strata._uuid_bound(ts timestamptz, high boolean) RETURNS uuid`: the lowest UUID whose time is at or after `ts`, or
/// the highest whose time is at or before it.
#[pg_extern(sql = false)]
fn uuid_bound(ts: TimestampWithTimeZone, high: bool) -> pgrx::datum::Uuid {
    let micros: i64 = ts.into();
    // infinities are the ends of the type
    let millis = match micros {
        i64::MIN => -1,
        i64::MAX => MILLIS_MAX + 1,
        finite if high => finite.div_euclid(MICROS_PER_MILLI) + POSTGRES_EPOCH_MS,
        finite => {
            finite.saturating_add(MICROS_PER_MILLI - 1).div_euclid(MICROS_PER_MILLI) + POSTGRES_EPOCH_MS
        }
    };
    let rest = if high { 0xff } else { 0 };
    let mut bytes = [rest; 16];
    if millis < 0 {
        bytes = [0; 16];
    } else if millis > MILLIS_MAX {
        bytes = [0xff; 16];
    } else {
        bytes[..6].copy_from_slice(&millis.to_be_bytes()[2..]);
    }
    pgrx::datum::Uuid::from_bytes(bytes)
}
