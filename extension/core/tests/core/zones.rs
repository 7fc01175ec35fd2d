//! Time zones for tests: jiff's bundled database, asked as the extension asks PostgreSQL's.

use jiff::Timestamp;
use jiff::tz::TimeZone;
use strata_core::time_bucket::{Span, Zone};

/// Microseconds from 1970 to 2000.
pub const EPOCH_US: i64 = 946_684_800_000_000;

/// Zones with a story: half an hour, a day skipped, clocks back over midnight, gaps at midnight, two hours at a time,
/// changes twice around Ramadan, one minute past midnight, back at the stroke of midnight.
pub const ZONES: [&str; 12] = [
    "America/St_Johns",
    "America/Havana",
    "Asia/Amman",
    "Europe/Berlin",
    "Australia/Lord_Howe",
    "Asia/Kathmandu",
    "Pacific/Apia",
    "UTC",
    "America/New_York",
    "Africa/Casablanca",
    "Antarctica/Troll",
    "America/Sao_Paulo",
];

pub struct Tz(pub TimeZone);

impl Tz {
    pub fn named(name: &str) -> Self {
        // The server's abbreviation.
        Self(if name == "PST" { TimeZone::fixed(jiff::tz::offset(-8)) } else { TimeZone::get(name).unwrap() })
    }

    /// Changes between two instants, also those that change no offset.
    pub fn changes(&self, from: i64, to: i64) -> Vec<i64> {
        self.0
            .following(instant(from))
            .map(|change| us(change.timestamp()))
            .take_while(|us| *us < to)
            .collect()
    }

    pub fn offset_us(&self, at: i64) -> i64 {
        i64::from(self.0.to_offset(instant(at)).seconds()) * 1_000_000
    }
}

pub fn instant(us: i64) -> Timestamp {
    Timestamp::from_microsecond(us + EPOCH_US).unwrap()
}

pub fn us(instant: Timestamp) -> i64 {
    instant.as_microsecond() - EPOCH_US
}

impl Zone for Tz {
    fn span_at(&self, us_at: i64) -> Span {
        let at = instant(us_at);
        let until = self.0.following(at).next().map_or(i64::MAX, |change| us(change.timestamp()));
        Span { offset: self.0.to_offset(at).seconds(), until }
    }
}
