//! The wall clock, in the database's unit. Never: what is decided by it; the database's own clock decides on leases.

use std::time::{SystemTime, UNIX_EPOCH};

/// Seconds from 1970 to 2000.
pub const EPOCH_2000: i64 = 946_684_800;

/// Microseconds since 2000-01-01 UTC.
pub fn now() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_micros()).unwrap_or(i64::MAX) - EPOCH_2000 * 1_000_000
}
