use crate::zones::{Tz, ZONES, instant, us};
use proptest::prelude::*;
use strata_core::time::{parse_date, parse_timestamp, parse_timestamptz};
use strata_core::time_bucket::{
    BucketError, Span, Utc, Width, Zone, date_bucket, time_bucket, timestamp_bucket,
};

const MINUTE: i64 = 60_000_000;
const HOUR: i64 = 60 * MINUTE;
const DAY: i64 = 24 * HOUR;

fn months(months: i32) -> Width {
    Width { months, days: 0, micros: 0 }
}

fn days(days: i32) -> Width {
    Width { months: 0, days, micros: 0 }
}

fn micros(micros: i64) -> Width {
    Width { months: 0, days: 0, micros }
}

fn interval(text: &str) -> Width {
    let mut width = micros(0);
    let words: Vec<&str> = text.split_whitespace().collect();
    let (pairs, rest) = words.as_chunks::<2>();
    for [count, unit] in pairs {
        let count: i32 = count.parse().unwrap();
        match unit.trim_end_matches('s') {
            "year" => width.months += 12 * count,
            "month" => width.months += count,
            "week" => width.days += 7 * count,
            "day" => width.days += count,
            "hour" => width.micros += i64::from(count) * HOUR,
            "minute" => width.micros += i64::from(count) * MINUTE,
            "second" => width.micros += i64::from(count) * 1_000_000,
            _ => panic!("{text}"),
        }
    }
    for days in rest {
        width.days += days.strip_suffix('d').unwrap().parse::<i32>().unwrap();
    }
    width
}

/// Adds an offset as `timestamptz + interval` does in a session of this zone.
fn shift(ts: i64, by: Width, sign: i32, zone: &Tz) -> i64 {
    if ts == i64::MIN || ts == i64::MAX {
        return ts;
    }
    let span = jiff::Span::new().days(by.days * sign).microseconds(by.micros * i64::from(sign));
    us(instant(ts).to_zoned(zone.0.clone()).checked_add(span).unwrap().timestamp())
}

const EXPECTED: &str = include_str!("../data/time_bucket.csv");

#[test]
fn agrees_with_timescaledb() {
    let mut compared = 0;
    for line in EXPECTED.lines().filter(|line| line.starts_with("timestamp") || line.starts_with("date")) {
        let [kind, width, ts, zone, origin, offset, expected, _] = line.split(',').collect::<Vec<_>>()[..]
        else {
            panic!("{line}");
        };
        let zone = Tz::named(if zone.is_empty() { "UTC" } else { zone });
        let width = interval(width);
        let offset = offset.split(" (").next().map(interval).unwrap();
        let origin = origin.split(" (").next().filter(|origin| !origin.is_empty());
        let origin = origin.map(|origin| parse_timestamp(origin).unwrap());
        let bucket = match kind {
            "date" => parse_date(ts).map(|date| {
                let by = if date == i32::MIN || date == i32::MAX { 0 } else { offset.days };
                let origin = origin.map(|us| i32::try_from(us / DAY).unwrap());
                date_bucket(width, date - by, origin).map(|start| i64::from(start + by))
            }),
            "timestamp" => parse_timestamp(ts).map(|ts| {
                let start = timestamp_bucket(width, shift(ts, offset, -1, &zone), origin);
                start.map(|start| shift(start, offset, 1, &zone))
            }),
            "timestamptz" => parse_timestamptz(ts).map(|ts| {
                let origin = origin.map(|local| local - zone.offset_us(local));
                let start = time_bucket(width, shift(ts, offset, -1, &zone), &zone, origin);
                start.map(|start| shift(start, offset, 1, &zone))
            }),
            _ => panic!("{line}"),
        };
        let wanted = match (expected, kind) {
            ("ERROR month intervals cannot have day or time component", _) => Err(BucketError::WidthMixed),
            (error, "date") if error.starts_with("ERROR interval must") => {
                Err(BucketError::WidthNotWholeDays)
            }
            (_, "date") => Ok(i64::from(parse_date(expected).unwrap())),
            (_, "timestamp") => Ok(parse_timestamp(expected).unwrap()),
            _ => Ok(parse_timestamptz(expected).unwrap()),
        };
        assert_eq!(bucket.unwrap(), wanted, "{line}");
        compared += 1;
    }
    assert_eq!(compared, 526, "every row of these types");
}

/// (zone, width, instant, start of its bucket), where clocks make it hard.
#[test]
fn where_clocks_change() {
    for (zone, width, ts, start) in [
        // No midnight: the day starts at the change.
        ("America/Havana", days(1), "2024-03-10T12:00:00Z", "2024-03-10T05:00:00Z"),
        ("America/Havana", days(1), "2024-03-10T04:59:59Z", "2024-03-09T05:00:00Z"),
        ("Asia/Amman", days(1), "2021-03-25T22:00:00Z", "2021-03-25T22:00:00Z"),
        // Midnight twice: the day starts at the first.
        ("America/Havana", days(1), "2024-11-03T05:30:00Z", "2024-11-03T04:00:00Z"),
        // Midnight, a minute, and back into the day before: it is over all the same.
        ("America/St_Johns", days(1), "2010-11-07T02:30:30Z", "2010-11-07T02:30:00Z"),
        ("America/St_Johns", days(1), "2010-11-07T03:00:00Z", "2010-11-07T02:30:00Z"),
        ("America/St_Johns", days(1), "2010-11-07T02:29:59Z", "2010-11-06T02:30:00Z"),
        // Back at the very stroke of midnight, which is not shown: an hour more of the day.
        ("America/Sao_Paulo", days(1), "2018-02-18T01:59:59Z", "2018-02-17T02:00:00Z"),
        ("America/Sao_Paulo", days(1), "2018-02-18T02:00:00Z", "2018-02-17T02:00:00Z"),
        ("America/Sao_Paulo", days(1), "2018-02-18T02:59:59Z", "2018-02-17T02:00:00Z"),
        ("America/Sao_Paulo", days(1), "2018-02-18T03:00:00Z", "2018-02-18T03:00:00Z"),
        // 2011-12-30 did not happen.
        ("Pacific/Apia", days(1), "2011-12-30T10:00:00Z", "2011-12-30T10:00:00Z"),
        ("Pacific/Apia", days(1), "2011-12-30T09:59:59Z", "2011-12-29T10:00:00Z"),
        ("Pacific/Apia", days(7), "2012-01-01T00:00:00Z", "2011-12-26T10:00:00Z"),
        // Days of 23 and 25 hours, in hours too.
        ("Europe/Berlin", days(1), "2024-03-31T21:59:59Z", "2024-03-30T23:00:00Z"),
        ("Europe/Berlin", micros(24 * HOUR), "2024-10-27T22:59:59Z", "2024-10-26T22:00:00Z"),
        // The hour that comes twice is two hours; a longer bucket is cut at the change.
        ("Europe/Berlin", micros(HOUR), "2024-10-27T00:30:00Z", "2024-10-27T00:00:00Z"),
        ("Europe/Berlin", micros(HOUR), "2024-10-27T01:30:00Z", "2024-10-27T01:00:00Z"),
        ("Europe/Berlin", micros(2 * HOUR), "2024-10-27T00:30:00Z", "2024-10-27T00:00:00Z"),
        ("Europe/Berlin", micros(2 * HOUR), "2024-10-27T01:30:00Z", "2024-10-27T01:00:00Z"),
        ("Europe/Berlin", micros(2 * HOUR), "2024-10-27T02:30:00Z", "2024-10-27T01:00:00Z"),
        ("Europe/Berlin", micros(6 * HOUR), "2024-10-27T02:30:00Z", "2024-10-27T01:00:00Z"),
        // Offsets that are no whole hours.
        ("Asia/Kathmandu", micros(HOUR), "2024-01-01T00:20:00Z", "2024-01-01T00:15:00Z"),
        ("Asia/Kathmandu", micros(HOUR), "2024-01-01T00:10:00Z", "2023-12-31T23:15:00Z"),
        ("Australia/Lord_Howe", micros(HOUR), "2024-04-06T15:10:00Z", "2024-04-06T15:00:00Z"),
        ("Australia/Lord_Howe", micros(HOUR), "2024-04-06T15:40:00Z", "2024-04-06T15:30:00Z"),
        // Months.
        ("America/New_York", months(1), "2024-03-31T12:00:00Z", "2024-03-01T05:00:00Z"),
        ("America/New_York", months(12), "2024-03-31T12:00:00Z", "2024-01-01T05:00:00Z"),
        ("America/New_York", months(1), "2024-12-01T04:59:59.999999Z", "2024-11-01T04:00:00Z"),
    ] {
        let bucket = time_bucket(width, parse_timestamptz(ts).unwrap(), &Tz::named(zone), None);
        assert_eq!(
            bucket,
            parse_timestamptz(start).map_err(|_| BucketError::OutOfRange),
            "{zone} {width:?} {ts}"
        );
    }
}

/// A made-up zone: offsets in hours, and from when.
struct Steps(&'static [(i64, i32)]);

impl Zone for Steps {
    fn span_at(&self, us: i64) -> Span {
        let next = self.0.partition_point(|(from, _)| from * HOUR <= us);
        let hours = next.checked_sub(1).map_or(0, |at| self.0[at].1);
        Span { offset: hours * 3600, until: self.0.get(next).map_or(i64::MAX, |(from, _)| from * HOUR) }
    }
}

#[test]
fn the_last_of_several_changes_counts() {
    let zone = Steps(&[(10, 1), (12, 0), (14, 0)]);
    for (ts, start) in [(9, 8), (10, 10), (11, 10), (12, 12), (15, 12), (16, 16)] {
        let bucket = time_bucket(micros(8 * HOUR), ts * HOUR, &zone, None);
        assert_eq!(bucket, Ok(start * HOUR), "{ts}");
    }
    // A clock put back twice still shows the day before; both its midnights belong to the first.
    let zone = Steps(&[(0, 2), (23, 1), (24, 0), (25, -1)]);
    for ts in [22, 23, 24, 25, 26, 30] {
        assert_eq!(time_bucket(days(1), ts * HOUR, &zone, None), Ok(22 * HOUR), "{ts}");
    }
    // Offsets of nearly a day, either way.
    let zone = Steps(&[(-100, 23), (5, -23)]);
    for (ts, start) in [(0, -23), (1, 1), (5, 1), (30, 1), (70, 1), (71, 71)] {
        assert_eq!(time_bucket(days(1), ts * HOUR, &zone, None), Ok(start * HOUR), "{ts}");
    }
}

#[test]
fn origins() {
    let utc = |text: &str| parse_timestamptz(text).unwrap();
    let ts = utc("2024-05-15T13:20:00Z");
    let bucket = |width, origin: &str| time_bucket(width, ts, &Utc, Some(utc(origin)));
    assert_eq!(time_bucket(days(7), ts, &Utc, None), Ok(utc("2024-05-13T00:00:00Z")), "a Monday");
    assert_eq!(bucket(days(7), "1999-01-03T06:00:00Z"), Ok(utc("2024-05-12T06:00:00Z")), "Sundays at six");
    assert_eq!(bucket(micros(15 * MINUTE), "2030-01-01T00:05:00Z"), Ok(utc("2024-05-15T13:20:00Z")));
    assert_eq!(
        bucket(months(6), "1990-03-20T00:00:00Z"),
        Ok(utc("2024-03-01T00:00:00Z")),
        "only its month counts"
    );
    // An origin is read on the zone's clock: still 01:00 there in summer.
    let berlin = Tz::named("Europe/Berlin");
    let origin = utc("2000-01-03T00:00:00Z");
    assert_eq!(time_bucket(days(1), ts, &berlin, Some(origin)), Ok(utc("2024-05-14T23:00:00Z")));
}

#[test]
fn refusals() {
    let bucket = |width| time_bucket(width, 0, &Utc, None);
    for width in [months(0), months(-1), days(-1), micros(-1), Width { months: 0, days: 1, micros: -DAY }] {
        assert_eq!(bucket(width), Err(BucketError::WidthNotPositive), "{width:?}");
        assert_eq!(time_bucket(width, i64::MAX, &Utc, None), Err(BucketError::WidthNotPositive));
    }
    assert_eq!(bucket(Width { months: 1, days: 1, micros: 0 }), Err(BucketError::WidthMixed));
    assert_eq!(bucket(Width { months: 1, days: 0, micros: -1 }), Err(BucketError::WidthMixed));
    assert_eq!(bucket(Width { months: 0, days: i32::MAX, micros: 0 }), Err(BucketError::OutOfRange));
    assert_eq!(time_bucket(days(1), 0, &Utc, Some(i64::MAX)), Err(BucketError::OutOfRange));
    // The first instant of all is a Monday; four weeks from 2000-01-03 do not start there.
    let (first, end) = (-211_813_488_000_000_000, 9_223_371_331_200_000_000);
    assert_eq!(time_bucket(days(7), first, &Utc, None), Ok(first));
    assert_eq!(time_bucket(days(28), first, &Utc, None), Err(BucketError::OutOfRange));
    assert_eq!(time_bucket(days(1), first - 1, &Utc, None), Err(BucketError::OutOfRange));
    assert_eq!(time_bucket(micros(1), end - 1, &Utc, None), Ok(end - 1));
    assert_eq!(time_bucket(micros(1), end, &Utc, None), Err(BucketError::OutOfRange));
    assert_eq!(time_bucket(days(2), end, &Utc, Some(end - 1)), Err(BucketError::OutOfRange));
    for extreme in [micros(i64::MAX), months(i32::MAX), days(100_000_000)] {
        for ts in [first, end - 1] {
            let _ =
                (time_bucket(extreme, ts, &Utc, Some(first)), time_bucket(extreme, ts, &Utc, Some(end - 1)));
        }
    }
    assert_eq!(date_bucket(days(1), i32::MIN, None), Ok(i32::MIN));
    assert_eq!(time_bucket(months(1), i64::MIN, &Utc, None), Ok(i64::MIN));
}

const WIDTHS: [Width; 12] = [
    Width { months: 0, days: 0, micros: 7 * MINUTE },
    Width { months: 0, days: 0, micros: 15 * MINUTE },
    Width { months: 0, days: 0, micros: HOUR },
    Width { months: 0, days: 0, micros: 2 * HOUR },
    Width { months: 0, days: 0, micros: 7 * HOUR },
    Width { months: 0, days: 0, micros: 36 * HOUR },
    Width { months: 0, days: 1, micros: -MINUTE },
    Width { months: 0, days: 1, micros: 0 },
    Width { months: 0, days: 2, micros: 0 },
    Width { months: 0, days: 7, micros: 0 },
    Width { months: 1, days: 0, micros: 0 },
    Width { months: 3, days: 0, micros: 0 },
];

/// Every zone's instants of 1970 to 2037, half of them within hours of a change of clocks.
fn zone_and_instant() -> impl Strategy<Value = (&'static str, i64)> {
    let anywhere = parse_timestamptz("1970-01-01T00:00:00Z").unwrap()
        ..parse_timestamptz("2037-01-01T00:00:00Z").unwrap();
    let near = -30 * HOUR..30 * HOUR;
    (proptest::sample::select(&ZONES[..]), anywhere, near, any::<bool>()).prop_map(
        |(name, ts, near, jump)| {
            let change = Tz::named(name).changes(ts, i64::MAX).first().copied();
            (name, if jump { change.unwrap_or(ts) + near } else { ts })
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1000))]

    #[test]
    fn a_start_is_not_after_its_instant_and_starts_itself(
        (name, ts) in zone_and_instant(),
        width in proptest::sample::select(&WIDTHS[..]),
    ) {
        let zone = Tz::named(name);
        let start = time_bucket(width, ts, &zone, None).unwrap();
        prop_assert!(start <= ts);
        prop_assert_eq!(time_bucket(width, start, &zone, None).unwrap(), start);
    }

    #[test]
    fn starts_never_go_back(
        (name, ts) in zone_and_instant(),
        later in prop_oneof![0..2 * HOUR, 0..3 * DAY, 0..400 * DAY],
        width in proptest::sample::select(&WIDTHS[..]),
    ) {
        let zone = Tz::named(name);
        let (first, second) = (time_bucket(width, ts, &zone, None), time_bucket(width, ts + later, &zone, None));
        prop_assert!(first.unwrap() <= second.unwrap());
    }

    /// The definition, minute by minute: the latest of the earliest minutes at which the clock shows, or has just
    /// passed, a label. A day's labels are midnights.
    #[test]
    fn days_start_at_the_earliest_midnight((name, ts) in zone_and_instant()) {
        let zone = Tz::named(name);
        let day_at = |us: i64| (us + zone.offset_us(us)).div_euclid(DAY);
        let minute = ts.div_euclid(MINUTE) * MINUTE;
        let mut start = minute - 4 * DAY;
        let mut latest = day_at(start);
        let mut at = start;
        while at <= minute {
            if day_at(at) > latest {
                (start, latest) = (at, day_at(at));
            }
            at += MINUTE;
        }
        prop_assert_eq!(time_bucket(days(1), ts, &zone, None).unwrap(), start);
    }

    /// The other definition: rounded down on the clock as it is, but not past a change.
    #[test]
    fn hours_are_cut_at_changes((name, ts) in zone_and_instant(), hours in 1i64..24) {
        let zone = Tz::named(name);
        let (offset, width) = (zone.offset_us(ts), hours * HOUR);
        let rounded = ts - (ts + offset - 2 * DAY).rem_euclid(width);
        let changed = |at: &i64| *at <= ts && zone.offset_us(*at) != zone.offset_us(*at - 1);
        let last_change = zone.changes(ts - 3 * DAY, ts + 1).into_iter().rfind(changed).unwrap_or(i64::MIN);
        prop_assert_eq!(time_bucket(micros(width), ts, &zone, None).unwrap(), rounded.max(last_change));
    }
}
