use crate::support::{hex, unhex};
use proptest::prelude::*;
use strata_core::numeric::{NumericError, parse, parse_into, to_text, typmod};

/// Made by the server; the query is beside it.
const STORED: &str = include_str!("../data/numeric.tsv");

fn sqlstate(error: NumericError) -> &'static str {
    match error {
        NumericError::Syntax => "22P02",
        NumericError::OutOfRange | NumericError::FieldOverflow => "22003",
        NumericError::Wire => "22P03",
    }
}

#[test]
fn stores_what_the_server_stores() {
    let mut compared = 0;
    for line in STORED.lines() {
        let [text, precision, scale, expected, shown] = line.split('\t').collect::<Vec<_>>()[..] else {
            panic!("{line}");
        };
        let text: String = serde_json::from_str(text).unwrap();
        let typmod = (!precision.is_empty()).then(|| (precision.parse().unwrap(), scale.parse().unwrap()));
        match parse(&text, typmod) {
            Ok(wire) => {
                assert_eq!(hex(&wire), expected, "{line}");
                let printed = to_text(&wire).unwrap();
                assert!(shown.is_empty() || printed == shown, "{line}: {printed}");
                assert_eq!(parse(&printed, None).unwrap(), wire, "{line}: printed text means the same");
            }
            Err(error) => assert_eq!(sqlstate(error), expected, "{line}"),
        }
        compared += 1;
    }
    assert!(compared > 1500, "the vectors are there: {compared}");
}

#[test]
fn documented_vectors() {
    for (text, wire) in [
        ("-12345.678", "0003 0001 4000 0003 0001 0929 1a7c"),
        ("0", "0000 0000 0000 0000"),
        ("0.00", "0000 0000 0000 0002"),
        ("10000", "0001 0001 0000 0000 0001"),
        ("1e-5", "0001 fffe 0000 0005 03e8"),
        ("NaN", "0000 0000 c000 0000"),
        ("Infinity", "0000 0000 d000 0020"),
    ] {
        assert_eq!(parse(text, None), Ok(unhex(wire)), "{text}");
    }
}

#[test]
fn limits() {
    // Verified against the server: 131,072 digits before and 16,383 after the point.
    let largest = format!("{}.{}", "9".repeat(131_072), "8".repeat(16_383));
    let wire = parse(&largest, None).unwrap();
    assert_eq!(hex(&wire[..10]), "90007fff00003fff270f");
    assert_eq!(to_text(&wire).unwrap(), largest);
    assert_eq!(parse(&format!("1{}", "0".repeat(131_072)), None), Err(NumericError::OutOfRange));
    assert_eq!(parse(&format!("0.{}", "1".repeat(16_384)), None), Err(NumericError::OutOfRange));
    // Zeros in front count for nothing, and a column's scale rounds first.
    assert_eq!(parse(&format!("{}7", "0".repeat(200_000)), None), parse("7", None));
    assert_eq!(parse(&format!("0.{}", "1".repeat(20_000)), Some((5, 2))), parse("0.11", None));
    assert_eq!(parse(&format!("0.{}", "9".repeat(20_000)), Some((5, 2))), parse("1.00", None));
}

#[test]
fn a_short_text_makes_a_short_value() {
    for text in ["1e131071", "1e-16383", "-9e131000", "1e99999999999999999999999"] {
        assert!(parse(text, None).map_or(0, |wire| wire.capacity()) < 200, "{text}");
    }
}

#[test]
fn the_error_says_what_overflowed() {
    assert_eq!(parse("1e131072", None), Err(NumericError::OutOfRange));
    assert_eq!(parse("1000", Some((5, 2))), Err(NumericError::FieldOverflow));
    assert_eq!(parse("999.995", Some((5, 2))), Err(NumericError::FieldOverflow));
    assert_eq!(parse("-inf", Some((5, 2))), Err(NumericError::FieldOverflow));
}

#[test]
fn a_failure_appends_nothing() {
    let mut out = b"before".to_vec();
    for (text, typmod) in [("12x", None), ("1e131072", None), ("99999", Some((3, 0))), ("inf", Some((3, 0)))]
    {
        assert!(parse_into(text, typmod, &mut out).is_err());
        assert_eq!(out, b"before", "{text}");
    }
    parse_into("1", None, &mut out).unwrap();
    assert_eq!(hex(&out), "6265666f7265 0001 0000 0000 0000 0001".replace(' ', ""));
}

#[test]
fn typmods_as_the_catalog_keeps_them() {
    // SELECT atttypmod of columns numeric, numeric(5,2), numeric(1000,-1000), numeric(3,-2), numeric(1,1000)
    assert_eq!(typmod(-1), None);
    assert_eq!(typmod(327_686), Some((5, 2)));
    assert_eq!(typmod(65_537_052), Some((1000, -1000)));
    assert_eq!(typmod(198_658), Some((3, -2)));
    assert_eq!(typmod(66_540), Some((1, 1000)));
}

#[test]
fn broken_wire_bytes_are_refused() {
    for wire in [
        "",
        "0000 0000 0000",
        "0001 0000 0000 0000",
        "0000 0000 0000 0000 0001",
        "0001 0000 0000 0000 2710",
        "0000 0000 1000 0000",
        "0000 0000 0000 4000",
        "0001 0000 c000 0000 0001",
    ] {
        assert_eq!(to_text(&unhex(wire)), Err(NumericError::Wire), "{wire}");
    }
}

proptest! {
    #[test]
    fn any_text_is_parsed_or_refused(text in "[ +-]?[0-9]{0,9}[.]?[0-9]{0,9}([eE][+-]?[0-9]{1,6})?.?") {
        if let Ok(wire) = parse(&text, None) {
            let printed = to_text(&wire).unwrap();
            prop_assert_eq!(parse(&printed, None).unwrap(), wire);
        }
    }

    /// Rounding against integers, which need no algorithm of ours.
    #[test]
    fn rounds_half_away_from_zero(value in -9_999_999_999_999i64..9_999_999_999_999, dropped in 1u32..9) {
        let unit = 10i64.pow(dropped);
        let rounded = (value.abs() + unit / 2) / unit * unit * value.signum();
        let scale = -i16::try_from(dropped).unwrap();
        prop_assert_eq!(parse(&value.to_string(), Some((20, scale))), parse(&rounded.to_string(), None));
    }

    #[test]
    fn integers_are_their_digits(value: i64) {
        prop_assert_eq!(to_text(&parse(&value.to_string(), None).unwrap()).unwrap(), value.to_string());
    }
}
