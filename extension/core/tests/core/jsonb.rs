use crate::support::{hex, jsonb_text, unhex};
use proptest::prelude::*;
use strata_core::jsonb::{DEPTH_MAX, JsonbError, canonical, canonical_into};

/// Made by the server; the query is beside it.
const STORED: &str = include_str!("../data/jsonb.tsv");

fn sqlstates(error: JsonbError) -> &'static [&'static str] {
    match error {
        JsonbError::Syntax(_) | JsonbError::Surrogate(_) => &["22P02"],
        JsonbError::Nul(_) => &["22P05"],
        JsonbError::NumberOutOfRange(_) => &["22003"],
        JsonbError::TooDeep(_) => &["54001"],
        JsonbError::TooLong => &["54000"],
    }
}

#[test]
fn means_what_the_server_stores() {
    let (mut stored, mut refused) = (0, 0);
    for line in STORED.lines() {
        let (text, expected) = line.split_once('\t').unwrap();
        let text: String = serde_json::from_str(text).unwrap();
        match canonical(&text) {
            Ok(bytes) => {
                assert_eq!(jsonb_text(&bytes), expected, "{text}");
                assert_eq!(
                    canonical(expected).unwrap(),
                    bytes,
                    "{text}: what the server prints is the same value"
                );
                stored += 1;
            }
            Err(error) => {
                assert!(sqlstates(error).contains(&expected), "{text}: {error}, the server: {expected}");
                refused += 1;
            }
        }
    }
    assert!(stored > 250 && refused > 50, "the vectors are there: {stored}, {refused}");
}

#[test]
fn layout() {
    let bytes = canonical(r#"{"bb": [null, true, false], "a": -1.50, "c": "é"}"#).unwrap();
    let expected = "01 06 00000003 \
        00000001 61 03 0000000c 0002 0000 4000 0002 0001 1388 \
        00000001 63 04 00000002 c3a9 \
        00000002 6262 05 00000003 00 02 01";
    assert_eq!(hex(&bytes), hex(&unhex(expected)));
}

#[test]
fn errors_say_where() {
    for (text, error) in [
        ("[1, x]", JsonbError::Syntax(4)),
        ("[1, 2", JsonbError::Syntax(5)),
        (r#"["a\u0000"]"#, JsonbError::Nul(3)),
        (r#"["a\ud800"]"#, JsonbError::Surrogate(3)),
        ("[1e999999]", JsonbError::NumberOutOfRange(1)),
        ("\"é", JsonbError::Syntax(3)),
    ] {
        assert_eq!(canonical(text), Err(error), "{text}");
    }
}

#[test]
fn nesting_is_bounded() {
    let nested = |depth: usize| format!("{}{}", "[".repeat(depth), "]".repeat(depth));
    assert!(canonical(&nested(DEPTH_MAX)).is_ok());
    assert_eq!(canonical(&nested(DEPTH_MAX + 1)), Err(JsonbError::TooDeep(DEPTH_MAX)));
    assert_eq!(canonical(&"[".repeat(10_000_000)), Err(JsonbError::TooDeep(DEPTH_MAX)));
    let objects = format!("{}1{}", r#"{"a":"#.repeat(DEPTH_MAX + 1), "}".repeat(DEPTH_MAX + 1));
    assert_eq!(canonical(&objects), Err(JsonbError::TooDeep(5 * DEPTH_MAX)));
    // Depth, not how many there are.
    assert!(canonical(&format!("[{}[]]", "[],".repeat(2 * DEPTH_MAX))).is_ok());
}

#[test]
fn a_failure_appends_nothing() {
    let mut out = b"before".to_vec();
    assert!(canonical_into(r#"{"a": [1, "#, &mut out).is_err());
    assert_eq!(out, b"before");
    canonical_into("null", &mut out).unwrap();
    assert_eq!(out, b"before\x01\x00");
}

proptest! {
    /// What is JSON is decided as by serde_json, numbers out of its range and escapes aside.
    #[test]
    fn accepts_what_is_json(text in r#"[\[\]{}:, "\\a0-9eE.+\-tnfu]{0,12}|(\[|\{"a":)?[0-9eE.\-"ab\\:,]{0,8}[\]}]?"#) {
        let is_json = serde_json::from_str::<&serde_json::value::RawValue>(&text).is_ok();
        match canonical(&text) {
            Ok(_) => prop_assert!(is_json),
            Err(JsonbError::Syntax(_)) => prop_assert!(!is_json),
            Err(_) => {}
        }
    }

    /// Whatever the order of distinct keys, the bytes are the same, and the last of equal keys wins.
    #[test]
    fn order_of_keys_does_not_matter(
        values in proptest::collection::btree_map("[a-dé]{0,3}", any::<i32>(), 1..20),
        seed: u64,
    ) {
        let entry = |(key, value): (&String, &i32)| format!("\"{key}\":{value}");
        let sorted: Vec<String> = values.iter().map(entry).collect();
        let mut shuffled = sorted.clone();
        shuffled.sort_by_key(|text| text.bytes().fold(seed, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)));
        let stale = values.keys().next().map(|key| format!("\"{key}\":\"stale\",")).unwrap();
        let expected = canonical(&format!("{{{}}}", sorted.join(","))).unwrap();
        prop_assert_eq!(&canonical(&format!("{{{}}}", shuffled.join(","))).unwrap(), &expected);
        prop_assert_eq!(&canonical(&format!("{{{stale}{}}}", shuffled.join(","))).unwrap(), &expected);
    }

    /// Canonical bytes tell every two strings apart and lose nothing.
    #[test]
    fn strings_survive(value in any::<String>().prop_filter("no NUL", |value| !value.contains('\0'))) {
        let text = serde_json::to_string(&value).unwrap();
        let bytes = canonical(&text).unwrap();
        prop_assert_eq!(&bytes[6..], value.as_bytes());
        let escape = |text: String, unit: u16| text + &format!("\\u{unit:04X}");
        let escaped = value.encode_utf16().fold(String::new(), escape);
        prop_assert_eq!(canonical(&format!("\"{escaped}\"")).unwrap(), bytes);
    }
}
