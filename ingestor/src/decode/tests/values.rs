//! Values of each type, as they are sent to the server.

use super::*;

#[test]
fn numbers() {
    assert_eq!(ok(INT2, "-2"), (-2_i16).to_be_bytes());
    assert_eq!(ok(INT4, "\"42\""), 42_i32.to_be_bytes());
    assert_eq!(ok(INT8, "9223372036854775807"), i64::MAX.to_be_bytes());
    assert_eq!(ok(INT4, "7.00"), 7_i32.to_be_bytes());
    for (json, state) in
        [("32768", "22003"), ("1.5", "22P02"), ("1e3", "22P02"), ("true", "22P02"), ("\"\"", "22P02")]
    {
        assert_eq!(one(INT2, json), Err(state.to_owned()), "{json}");
    }
    assert_eq!(one(INT8, "99999999999999999999"), Err("22003".to_owned()));
    assert_eq!(ok(FLOAT4, "0.1"), 0.1_f32.to_be_bytes());
    assert_eq!(ok(FLOAT8, "\"-Infinity\""), f64::NEG_INFINITY.to_be_bytes());
    assert_eq!(ok(FLOAT8, "-0.0"), (-0.0_f64).to_be_bytes());
    assert_eq!(one(FLOAT4, "1e39"), Err("22003".to_owned()));
    assert_eq!(one(FLOAT8, "1e-400"), Err("22003".to_owned()));
    assert_eq!(one(FLOAT8, "\"inf\""), Err("22P02".to_owned()));
    let numeric = ("c", 1700, "numeric(12,2)", ((12 << 16) | 2) + 4, false);
    assert_eq!(ok(numeric, "12.345"), strata_core::numeric::parse("12.35", None).unwrap());
    assert_eq!(ok(numeric, "\"12.3\""), strata_core::numeric::parse("12.30", None).unwrap());
    assert_eq!(one(numeric, "123456789012.34"), Err("22003".to_owned()));
    assert_eq!(one(numeric, "\"x\""), Err("22P02".to_owned()));
}

#[test]
fn texts() {
    assert_eq!(ok(TEXT, r#""a\u00e9\n""#), "aé\n".as_bytes());
    assert_eq!(ok(TEXT, "[1, 2]"), b"[1, 2]");
    assert_eq!(ok(TEXT, "1.50"), b"1.50");
    assert_eq!(ok(TEXT, "true"), b"true");
    assert_eq!(one(TEXT, r#""a\u0000""#), Err("22P05".to_owned()));
    assert_eq!(one(TEXT, r#""\ud800""#), Err("22P02".to_owned()));
    let varchar = ("c", 1043, "character varying(3)", 7, false);
    assert_eq!(ok(varchar, "\"äöü  \""), "äöü".as_bytes());
    assert_eq!(one(varchar, "\"abcd\""), Err("22001".to_owned()));
    assert_eq!(ok(("c", 1043, "character varying", -1, false), "\"abcd\""), b"abcd");
    let json = ("c", 114, "json", -1, false);
    assert_eq!(ok(json, r#"{"b":1, "a":"\u0000"}"#), br#"{"b":1, "a":"\u0000"}"#);
    assert_eq!(ok(JSONB, r#"{"b":1}"#), b"\x01{\"b\":1}");
    assert_eq!(one(JSONB, r#"{"b":"\u0000"}"#), Err("22P05".to_owned()));
    assert_eq!(one(JSONB, "null"), Ok(None));
}

#[test]
fn the_other_types() {
    assert_eq!(ok(("c", 16, "boolean", -1, false), "true"), [1]);
    assert_eq!(ok(("c", 16, "boolean", -1, false), "\"f\""), [0]);
    assert_eq!(one(("c", 16, "boolean", -1, false), "2"), Err("22P02".to_owned()));
    let uuid = ("c", 2950, "uuid", -1, false);
    assert_eq!(ok(uuid, "\"00000000-0000-0000-0000-0000000000ff\"")[15], 255);
    assert_eq!(one(uuid, "1"), Err("22P02".to_owned()));
    let stamp = ("c", 1114, "timestamp without time zone", -1, false);
    assert_eq!(ok(stamp, "\"2000-01-01T00:00:01\""), 1_000_000_i64.to_be_bytes());
    assert_eq!(one(stamp, "\"2000-01-01T00:00:01Z\""), Err("22007".to_owned()));
    assert_eq!(ok(("c", 1082, "date", -1, false), "\"2000-01-02\""), 1_i32.to_be_bytes());
    assert_eq!(ok(("c", 1083, "time", -1, false), "\"00:00:01\""), 1_000_000_i64.to_be_bytes());
    assert_eq!(ok(("c", 17, "bytea", -1, false), "\"AQID\""), [1, 2, 3]);
    assert_eq!(one(("c", 17, "bytea", -1, false), "\"A\""), Err("22P02".to_owned()));
    assert_eq!(ok(("c", 869, "inet", -1, false), "\"10.0.0.1/8\""), [2, 8, 0, 4, 10, 0, 0, 1]);
}

#[test]
fn times() {
    let seconds = |text: &str, typmod| {
        let spec = ("ts", 1184, "timestamptz", typmod, true);
        let decoded = decoder(&[spec], &feed(&[])).decode(&[record(format!("{{\"ts\":{text}}}"))]);
        decoded.rows.first().map(|row| row.time).ok_or_else(|| decoded.rejects[0].sqlstate.clone().unwrap())
    };
    assert_eq!(seconds("\"2000-01-01T01:00:01+01:00\"", -1), Ok(1_000_000));
    assert_eq!(seconds("946684801000", -1), Ok(1_000_000));
    assert_eq!(seconds("946684801000.5", -1), Ok(1_000_500));
    // Rounded half away from zero to the column's precision, as the server does.
    assert_eq!(seconds("\"2000-01-01T00:00:00.0005Z\"", 3), Ok(1_000));
    assert_eq!(seconds("\"1999-12-31T23:59:59.9995Z\"", 3), Ok(-1_000));
    assert_eq!(seconds("\"1999-12-31T23:59:59.999501Z\"", 3), Ok(0));
    assert_eq!(seconds("\"2026-01-01\"", -1).unwrap_err(), "22007");
    assert_eq!(seconds("\"2026-01-01T00:00:00\"", -1).unwrap_err(), "22007");
    assert_eq!(seconds("null", -1).unwrap_err(), "23502");
    let date = ("ts", 1082, "date", -1, true);
    let decoded = decoder(&[date], &feed(&[])).decode(&[record(r#"{"ts":"2000-01-03"}"#)]);
    assert_eq!(decoded.rows[0].time, 2 * 86_400_000_000);
}

#[test]
fn a_uuid_places_its_row_or_says_why_not() {
    let records = [
        r#"{"ts":"00dc6acfac01-7000-8000-000000000000"}"#,
        r#"{"ts":"00dc6acf-ac01-7000-8000-000000000000"}"#,
        r#"{"ts":"7d444840-9dc0-41d1-b245-5ffdce74fad2"}"#,
        r#"{"ts":null}"#,
    ];
    let decoded = decoder(&[("ts", 2950, "uuid", -1, true)], &feed(&[])).decode(&records.map(record));
    assert_eq!(decoded.rows.iter().map(|r| (r.record, r.time)).collect::<Vec<_>>(), [(1, 1_000)]);
    let states: Vec<_> = decoded.rejects.iter().map(|r| (r.record, r.sqlstate.as_deref().unwrap())).collect();
    assert_eq!(states, [(0, "22P02"), (2, "22007"), (3, "23502")]);
    assert!(decoded.rejects[1].reason.contains("version 7") && decoded.rejects[1].column.is_some());
}

#[test]
fn arrays_and_enums() {
    let ints = ("c", 1007, "integer[]", -1, false);
    let wire = "00000001000000000000001700000002000000010000000400000001 0000000400000002".replace(' ', "");
    assert_eq!(ok(ints, "[1, 2]"), unhex(&wire));
    assert_eq!(ok(ints, " [] ".trim()), unhex("000000000000000000000017"));
    assert_eq!(one(ints, "null"), Ok(None));
    let texts = ("c", 1009, "text[]", -1, false);
    let wire = "000000010000000100000019000000030000000100000001".to_owned() + "61ffffffff0000000162";
    assert_eq!(ok(texts, r#"["a",null,"b"]"#), unhex(&wire));
    let limited = ("c", 1015, "character varying(3)[]", 7, false);
    assert_eq!(one(limited, r#"["abcd"]"#), Err("22001".to_owned()));
    for (json, state) in [("[1,\"x\"]", "22P02"), ("[[1]]", "22P02"), ("{}", "22P02"), ("1", "22P02")] {
        assert_eq!(one(ints, json), Err(state.to_owned()), "{json}");
    }
    assert!(ok(("c", 3807, "jsonb[]", -1, false), "[[1],{}]").ends_with(b"\x01{}"));
    assert_eq!(ok(("c", ENUM, "mood", -1, false), "\"happy\""), b"happy");
    assert_eq!(one(("c", ENUM, "mood", -1, false), "5"), Err("22P02".to_owned()));
    assert!(ok(("c", LABELS, "mood[]", -1, false), "[\"sad\"]").ends_with(b"sad"));
    assert_eq!(ok(("c", 1082, "date", -1, false), "10957"), 0_i32.to_be_bytes());
}
