//! The proleptic Gregorian calendar, counted in days since 2000-01-01, and the range of what PostgreSQL stores.

/// Microseconds in a day.
pub const DAY_US: i64 = 86_400_000_000;
/// The first instant a timestamp can hold: 4714-11-24 BC.
pub const TIMESTAMP_MIN: i64 = -211_813_488_000_000_000;
/// The first instant it cannot: the year 294277.
pub const TIMESTAMP_END: i64 = 9_223_371_331_200_000_000;
/// The first date that can be stored.
pub const DATE_MIN: i64 = -2_451_545;
/// The first date that cannot: in the year 5874898.
pub const DATE_END: i64 = 2_145_031_949;

/// Days in 400 years.
const ERA: i64 = 146_097;
/// Days from 0000-03-01 to 2000-01-01. Counting years from March puts the leap day last.
const EPOCH: i64 = 730_425;

/// Days since 2000-01-01. The month is 1 to 12; any day of the month is counted on.
pub fn days(year: i64, month: i64, day: i64) -> i64 {
    let year = if month > 2 { year } else { year - 1 };
    let (era, of_era) = (year.div_euclid(400), year.rem_euclid(400));
    let of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    era * ERA + of_era * 365 + of_era / 4 - of_era / 100 + of_year - EPOCH
}

/// Year, month and day.
pub fn date(days: i64) -> (i64, i64, i64) {
    let (era, of_era) = ((days + EPOCH).div_euclid(ERA), (days + EPOCH).rem_euclid(ERA));
    let year = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year + year / 4 - year / 100);
    let month = (5 * of_year + 2) / 153;
    let day = of_year - (153 * month + 2) / 5 + 1;
    let year = era * 400 + year;
    if month < 10 { (year, month + 3, day) } else { (year + 1, month - 9, day) }
}

/// How many days a month has.
pub fn month_length(year: i64, month: i64) -> i64 {
    let (next_year, next_month) = if month < 12 { (year, month + 1) } else { (year + 1, 1) };
    days(next_year, next_month, 1) - days(year, month, 1)
}
