use crate::support::hex;
use proptest::prelude::*;
use strata_core::time::{
    EpochUnit, TimeError, date_from_epoch_days, format_timestamptz, from_epoch, parse_date, parse_epoch,
    parse_time, parse_timestamp, parse_timestamptz,
};

/// Made by the server; the query is beside it.
const STORED: &str = include_str!("../data/time.tsv");

fn sqlstates(error: TimeError) -> &'static [&'static str] {
    match error {
        TimeError::Syntax | TimeError::OffsetMissing | TimeError::OffsetUnexpected => &["22007"],
        // 22009: the offset is out of range.
        TimeError::OutOfRange => &["22008", "22009"],
    }
}

#[test]
fn means_what_the_server_makes_of_it() {
    let (mut accepted, mut refused) = (0, 0);
    for line in STORED.lines() {
        let [kind, text, expected, ours] = line.split('\t').collect::<Vec<_>>()[..] else {
            panic!("{line}");
        };
        let text: String = serde_json::from_str(text).unwrap();
        let wide = |value: i64| hex(&value.to_be_bytes());
        let parsed = match kind {
            "date" => parse_date(&text).map(|days| hex(&days.to_be_bytes())),
            "time" => parse_time(&text).map(wide),
            "timestamp" => parse_timestamp(&text).map(wide),
            "timestamptz" => parse_timestamptz(&text).map(wide),
            _ => panic!("{line}"),
        };
        match parsed {
            Ok(value) => {
                assert_eq!((value.as_str(), ours), (expected, "t"), "{line}");
                accepted += 1;
            }
            Err(_) if ours == "f" => {}
            Err(error) => {
                assert!(sqlstates(error).contains(&expected), "{line}: {error}");
                refused += 1;
            }
        }
    }
    assert!(accepted > 700 && refused > 80, "the vectors are there: {accepted}, {refused}");
}

#[test]
fn offsets_are_neither_guessed_nor_dropped() {
    assert_eq!(parse_timestamptz("2026-01-01T00:00:00"), Err(TimeError::OffsetMissing));
    assert_eq!(parse_timestamptz("2026-01-01"), Err(TimeError::OffsetMissing));
    assert_eq!(parse_timestamp("2026-01-01T00:00:00Z"), Err(TimeError::OffsetUnexpected));
    assert_eq!(parse_timestamp("2026-01-01T00:00:00-08"), Err(TimeError::OffsetUnexpected));
}

#[test]
fn epoch_numbers() {
    let day = 86_400_000_000;
    for (text, unit, expected) in [
        ("946684800", EpochUnit::Seconds, Ok(0)),
        ("946684800.25", EpochUnit::Seconds, Ok(250_000)),
        ("9.4668480025E8", EpochUnit::Seconds, Ok(250_000)),
        ("946684800000.5", EpochUnit::Millis, Ok(500)),
        ("946684800000000.5", EpochUnit::Micros, Ok(1)),
        ("946684800000000.4999", EpochUnit::Micros, Ok(0)),
        ("0", EpochUnit::Micros, Ok(-10_957 * day)),
        ("-0.0000005", EpochUnit::Seconds, Ok(-10_957 * day - 1)),
        ("-1e3", EpochUnit::Millis, Ok(-10_957 * day - 1_000_000)),
        ("1e30", EpochUnit::Micros, Err(TimeError::OutOfRange)),
        ("1e131073", EpochUnit::Micros, Err(TimeError::OutOfRange)),
        ("9224318016000", EpochUnit::Seconds, Err(TimeError::OutOfRange)),
        ("9224318015999.999999", EpochUnit::Seconds, Ok(9_223_371_331_199_999_999)),
        ("-210866803200", EpochUnit::Seconds, Ok(-211_813_488_000_000_000)),
        ("-210866803200.000001", EpochUnit::Seconds, Err(TimeError::OutOfRange)),
        ("NaN", EpochUnit::Seconds, Err(TimeError::OutOfRange)),
        ("Infinity", EpochUnit::Seconds, Err(TimeError::OutOfRange)),
        ("12x", EpochUnit::Seconds, Err(TimeError::Syntax)),
    ] {
        assert_eq!(parse_epoch(text, unit), expected, "{text} {unit:?}");
    }
    assert_eq!(from_epoch(i64::MAX, EpochUnit::Seconds), Err(TimeError::OutOfRange));
    assert_eq!(from_epoch(i64::MIN, EpochUnit::Micros), Err(TimeError::OutOfRange));
    assert_eq!(date_from_epoch_days(10_957), Ok(0));
    assert_eq!(date_from_epoch_days(i64::MIN), Err(TimeError::OutOfRange));
    // 4714-11-24 BC and 5874897-12-31, first and last of all dates.
    assert_eq!(date_from_epoch_days(-2_440_588), Ok(-2_451_545));
    assert_eq!(date_from_epoch_days(-2_440_589), Err(TimeError::OutOfRange));
    assert_eq!(date_from_epoch_days(2_145_042_905), parse_date("5874897-12-31"));
    assert_eq!(date_from_epoch_days(2_145_042_906), Err(TimeError::OutOfRange));
}

#[test]
fn formatting() {
    for (us, text) in [
        (0, "2000-01-01T00:00:00Z"),
        (-1, "1999-12-31T23:59:59.999999Z"),
        (1_500_000, "2000-01-01T00:00:01.5Z"),
        (1_000_010, "2000-01-01T00:00:01.00001Z"),
        (-211_813_488_000_000_000, "-4713-11-24T00:00:00Z"),
        (9_223_371_331_199_999_999, "294276-12-31T23:59:59.999999Z"),
        (i64::MAX, "infinity"),
        (i64::MIN, "-infinity"),
    ] {
        assert_eq!(format_timestamptz(us), text);
    }
}

#[test]
fn no_day_is_skipped_or_shown_twice() {
    let (first, last) = (parse_date("0001-01-01").unwrap(), parse_date("2401-01-01").unwrap());
    for day in first..last {
        let text = format_timestamptz(i64::from(day) * 86_400_000_000);
        assert_eq!(parse_date(&text[..10]), Ok(day), "{text}");
    }
}

/// The years jiff knows, in microseconds since 2000-01-01.
const KNOWN: std::ops::Range<i64> = -63_000_000_000_000_000..252_000_000_000_000_000;

proptest! {
    #[test]
    fn formatted_is_parsed_back(us in -63_082_281_600_000_000..9_223_371_331_200_000_000i64) {
        prop_assert_eq!(parse_timestamptz(&format_timestamptz(us)), Ok(us));
    }

    /// The calendar against another one.
    #[test]
    fn formats_as_jiff_does(us in KNOWN) {
        let expected = jiff::Timestamp::from_microsecond(us + 946_684_800_000_000).unwrap();
        prop_assert_eq!(format_timestamptz(us), expected.to_string());
    }

    #[test]
    fn epoch_units_agree(micros in -200_000_000_000_000_000i64..9_000_000_000_000_000_000) {
        let us = from_epoch(micros, EpochUnit::Micros);
        prop_assert!(us.is_ok());
        prop_assert_eq!(from_epoch(micros.div_euclid(1000), EpochUnit::Millis).map(|us| us + micros.rem_euclid(1000)), us);
        let (sign, size) = (if micros < 0 { "-" } else { "" }, micros.abs());
        let seconds = format!("{sign}{}.{:06}", size / 1_000_000, size % 1_000_000);
        prop_assert_eq!(parse_epoch(&seconds, EpochUnit::Seconds), us);
    }

    #[test]
    fn any_text_is_parsed_or_refused(text in r"[0-9]{0,5}-?[0-9]{0,3}-?[0-9]{0,2}[T é]?[0-9]{0,3}:?[0-9]{0,3}(:[0-9.]{0,9})?[Z+\-]?[0-9:]{0,9}") {
        let _ = (parse_timestamptz(&text), parse_timestamp(&text), parse_date(&text), parse_time(&text));
    }
}
