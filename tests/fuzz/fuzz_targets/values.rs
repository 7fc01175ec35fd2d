//! Texts of numbers, times and documents. No panic; a number that is read is written and read again as the same.
#![no_main]

use libfuzzer_sys::fuzz_target;
use strata_core::time::EpochUnit;
use strata_core::{jsonb, numeric, time};

fuzz_target!(|text: &str| {
    for typmod in [None, Some((10, 2)), Some((38, -3))] {
        if let Ok(wire) = numeric::parse(text, typmod) {
            let Ok(written) = numeric::to_text(&wire) else { panic!("{text} is not written") };
            assert_eq!(numeric::parse(&written, None).ok(), Some(wire), "{text} and {written}");
        }
    }
    let _ = numeric::to_text(text.as_bytes());
    for unit in [EpochUnit::Seconds, EpochUnit::Millis, EpochUnit::Micros] {
        let _ = time::parse_epoch(text, unit);
    }
    if let Ok(instant) = time::parse_timestamptz(text) {
        let _ = time::format_timestamptz(instant);
    }
    let _ = (time::parse_timestamp(text), time::parse_date(text), time::parse_time(text));
    let _ = jsonb::canonical(text);
});
