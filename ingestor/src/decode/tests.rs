#![allow(clippy::unwrap_used)]

use super::plan::{CatalogColumn, CatalogTable, CatalogTarget, Dedupe, Shape, plan};
use super::source::Source;
use super::*;
use crate::config::{ColumnSetting, EpochUnit, Events, Feed, Missing};
use proptest::prelude::*;
use std::collections::BTreeMap;
use strata_core::merkle::Hash;

/// Name, type's OID and name, type modifier, NOT NULL.
pub(crate) type Spec = (&'static str, u32, &'static str, i32, bool);

pub(crate) const TS: Spec = ("ts", 1184, "timestamp with time zone", -1, true);

/// Of the types the tests have: an enum, and arrays.
fn shape(oid: u32) -> Shape {
    let array = |oid, typmod| Shape::Array { oid, base: oid, labels: false, typmod };
    match oid {
        ENUM => Shape::Enum,
        1007 => array(23, -1),
        1009 => array(25, -1),
        1015 => array(1043, 3 + 4),
        1185 => array(1184, -1),
        3807 => array(3802, -1),
        LABELS => Shape::Array { oid: ENUM, base: ENUM, labels: true, typmod: -1 },
        _ => Shape::Plain,
    }
}

const ENUM: u32 = 70_000;
const LABELS: u32 = 70_001;

fn catalog(specs: &[Spec]) -> CatalogTable {
    let column = |(i, spec): (usize, &Spec)| CatalogColumn {
        id: i32::try_from(i + 1).unwrap(),
        name: spec.0.to_owned(),
        type_oid: spec.1,
        type_name: spec.2.to_owned(),
        typmod: spec.3,
        not_null: spec.4,
        is_generated: false,
        has_default: false,
        shape: shape(spec.1),
    };
    CatalogTable {
        relation: "public.t".to_owned(),
        target: CatalogTarget::Events { table: [7; 16], time_column: "ts".to_owned() },
        fingerprint: 0,
        columns: specs.iter().enumerate().map(column).collect(),
    }
}

pub(crate) fn feed(columns: &[(&str, &str)]) -> Feed {
    Feed {
        stream: "s".to_owned(),
        relation: "t".to_owned(),
        consumer: String::new(),
        start: "TRIM_HORIZON".to_owned(),
        epoch_unit: EpochUnit::Ms,
        compression: compression::Setting::Auto,
        events: Events::One,
        envelope: envelope::Kind::None,
        missing: Missing::Null,
        dedupe: String::new(),
        dedupe_window_ms: 0,
        only: BTreeMap::new(),
        skip_columns: Vec::new(),
        columns: columns
            .iter()
            .map(|(c, p)| ((*c).to_owned(), ColumnSetting::from(*p)))
            .collect::<BTreeMap<_, _>>(),
    }
}

/// A decoder of columns with settings.
pub(crate) fn decoder_with(
    specs: &[Spec],
    columns: &[(&str, ColumnSetting)],
) -> crate::error::Result<Decoder> {
    let mut feed = feed(&[]);
    feed.columns = columns.iter().map(|(name, setting)| ((*name).to_owned(), setting.clone())).collect();
    let (plan, mut mappings) = plan(&catalog(specs), &[&feed])?;
    Ok(Decoder::new(Arc::new(plan), Arc::new(mappings.remove(0)), BOUNDS))
}

impl Decoder {
    /// What is written.
    pub(crate) fn plan(&self) -> &TablePlan {
        self.maker.plan()
    }
}

pub(crate) const BOUNDS: Bounds =
    Bounds { record_bytes: 1 << 20, decompressed_bytes: 1 << 20, record_events: 1_000, chunk_bytes: 1 << 20 };

pub(crate) fn decoder(specs: &[Spec], feed: &Feed) -> Decoder {
    let (plan, mut mappings) = plan(&catalog(specs), &[feed]).unwrap();
    Decoder::new(Arc::new(plan), Arc::new(mappings.remove(0)), BOUNDS)
}

/// Bytes from hexadecimal digits.
pub(crate) fn unhex(text: &str) -> Vec<u8> {
    let digit = |d: u8| u8::try_from(char::from(d).to_digit(16).unwrap()).unwrap();
    text.as_bytes().chunks(2).map(|pair| digit(pair[0]) << 4 | digit(pair[1])).collect()
}

/// Records that other libraries made.
pub(crate) fn vectors() -> Vec<serde_json::Value> {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/data/kpl/vectors.json");
    let mut all: serde_json::Value = serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
    serde_json::from_value(all["sound"].take()).unwrap()
}

pub(crate) fn record(data: impl Into<Vec<u8>>) -> Record {
    Record { data: data.into(), ..Record::default() }
}

/// The bytes of one column's value beside a valid time, `None` for NULL; or SQLSTATE.
fn one(spec: Spec, json: &str) -> Result<Option<Vec<u8>>, String> {
    let mut subject = decoder(&[TS, spec], &feed(&[]));
    let text = format!("{{\"ts\":\"2026-01-01T00:00:00Z\",\"{}\":{json}}}", spec.0);
    let decoded = subject.decode(&[record(text)]);
    if let Some(reject) = decoded.rejects.first() {
        assert!(decoded.bytes.is_empty() && decoded.rows.is_empty());
        return Err(reject.sqlstate.clone().unwrap());
    }
    // Column count, length and value of the time; then length and value of the column; then the batch id.
    let value = &decoded.bytes[2 + 4 + 8..decoded.bytes.len() - 12];
    assert_eq!(decoded.bytes[..2], [0, 3]);
    let length = i32::from_be_bytes(value[..4].try_into().unwrap());
    assert_eq!(usize::try_from(length.max(0)).unwrap(), value.len() - 4);
    Ok((length >= 0).then(|| value[4..].to_vec()))
}

fn ok(spec: Spec, json: &str) -> Vec<u8> {
    one(spec, json).unwrap().unwrap()
}

const INT4: Spec = ("c", 23, "integer", -1, false);
const INT2: Spec = ("c", 21, "smallint", -1, false);
const INT8: Spec = ("c", 20, "bigint", -1, false);
const TEXT: Spec = ("c", 25, "text", -1, false);
const FLOAT4: Spec = ("c", 700, "real", -1, false);
const FLOAT8: Spec = ("c", 701, "double precision", -1, false);
const JSONB: Spec = ("c", 3802, "jsonb", -1, false);

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
fn records_that_are_no_rows() {
    let specs = [TS, ("kind", 25, "text", -1, true)];
    let mut subject = decoder(&specs, &feed(&[("kind", "$.meta.kind")]));
    let good = r#"{"ts":0,"meta":{"kind":"x"}}"#;
    let mut large = good.as_bytes().to_vec();
    large.resize((1 << 20) + 1, b' ');
    let records: Vec<Record> = [
        b"nonsense".to_vec(),
        good.into(),
        br#"{"ts":0}"#.to_vec(),
        b"{\"ts\":0,\"meta\":{\"kind\":\"\xff\"}}".to_vec(),
        large,
        br#"{"meta":{"kind":"x"}}"#.to_vec(),
        b"[]".to_vec(),
        br#"{"ts":0,"meta":{"kind":null}}"#.to_vec(),
    ]
    .map(record)
    .into();
    let decoded = subject.decode(&records);
    assert_eq!(decoded.rows.iter().map(|r| r.record).collect::<Vec<_>>(), [1]);
    let rejects: Vec<_> = decoded
        .rejects
        .iter()
        .map(|r| (r.record, r.sqlstate.as_deref().unwrap(), r.column.as_deref()))
        .collect();
    let expected = [
        (0, "22P02", None),
        (2, "23502", Some("kind")),
        (3, "22021", None),
        (4, "54000", None),
        (5, "23502", Some("ts")),
        (6, "22P02", None),
        (7, "23502", Some("kind")),
    ];
    assert_eq!(rejects, expected);
    assert!(decoded.rejects.iter().all(|r| !r.reason.contains("nonsense")), "a reason quotes no payload");
}

#[test]
fn wrong_mappings_are_refused_by_name() {
    let refuse = |specs: &[Spec], feed: Feed| plan(&catalog(specs), &[&feed]).unwrap_err().message;
    let unknown = refuse(&[TS], feed(&[("kind", "$.kind")]));
    assert_eq!(unknown, "table public.t has no column \"kind\": it has ts");
    assert!(refuse(&[TS, ("i", 1186, "interval", -1, false)], feed(&[])).contains("\"i\" has type interval"));
    assert!(refuse(&[TS, ("p", 600, "point", -1, false)], feed(&[])).contains("skip_columns"));
    assert!(refuse(&[TS], feed(&[("ts", "ts")])).contains("must begin with $"));
    assert!(
        refuse(&[TS], Feed { skip_columns: vec!["ts".to_owned()], ..feed(&[]) })
            .contains("cannot be skipped")
    );
    assert!(refuse(&[("ts", 20, "bigint", -1, true)], feed(&[])).contains("\"ts\" has type bigint"));
}

#[test]
fn feeds_of_one_table_share_its_columns() {
    let specs = [TS, TEXT, ("d", 600, "point", -1, false)];
    let skip = |columns: &[&str]| columns.iter().map(|c| (*c).to_owned()).collect::<Vec<_>>();
    let (a, b) = (
        Feed { skip_columns: skip(&["d"]), ..feed(&[("c", "$.x")]) },
        Feed { skip_columns: skip(&["c", "d"]), ..feed(&[]) },
    );
    let (plan, mappings) = plan(&catalog(&specs), &[&a, &b]).unwrap();
    assert_eq!(plan.columns.iter().map(|c| c.name.as_str()).collect::<Vec<_>>(), ["ts", "c"]);
    assert_eq!(mappings[0].fields[1].shown, "$.x");
    assert_eq!(mappings[1].fields[1].source, Source::Absent);
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

#[test]
fn values_come_from_beside_the_event_too() {
    let specs = [
        TS,
        ("stream", 25, "text", -1, true),
        ("shard", 25, "text", -1, true),
        ("number", 1700, "numeric", -1, true),
        ("key", 25, "text", -1, true),
        ("at", 1184, "timestamp with time zone", -1, false),
        ("fixed", 23, "integer", -1, true),
        ("rest", 3802, "jsonb", -1, true),
        ("seconds", 1184, "timestamp with time zone", -1, false),
    ];
    let source = |column: &'static str, from: &str| (column, ColumnSetting::from(from));
    let columns = [
        source("stream", "$stream"),
        source("shard", "$shard"),
        source("number", "$sequence_number"),
        source("key", "$partition_key"),
        source("at", "$arrived_at"),
        source("rest", "$rest"),
        ("fixed", ColumnSetting { constant: Some("7".to_owned()), ..ColumnSetting::default() }),
        ("seconds", ColumnSetting { epoch_unit: Some(EpochUnit::S), ..ColumnSetting::from("$.a.s") }),
    ];
    let mut subject = decoder_with(&specs, &columns).unwrap().of_shard("clicks", "shard-1");
    let number = "49590338271490256608559692538361571095921575989136588898";
    let full = Record {
        data: br#"{"ts":946684800000,"a":{"s":946684801,"t":1},"b":[true],"shard":"x","fixed":8}"#.to_vec(),
        sequence_number: number.to_owned(),
        partition_key: "user \\ \"1\"".to_owned(),
        arrived_at: Some(5_000_000),
    };
    let none = Record { sequence_number: "0".to_owned(), ..record(r#"{"ts":0}"#) };
    let decoded = subject.decode(&[full, none]);
    assert!(decoded.rejects.is_empty(), "{:?}", decoded.rejects);
    let fields = |row: &Row| {
        let mut rest = &decoded.bytes[row.start as usize + 2..row.end as usize];
        let mut fields = Vec::new();
        while let Some((head, after)) = rest.split_first_chunk::<4>() {
            let length = usize::try_from(i32::from_be_bytes(*head)).ok();
            fields.push(length.map(|length| after[..length].to_vec()));
            rest = &after[length.unwrap_or(0)..];
        }
        fields
    };
    let found = fields(&decoded.rows[0]);
    let expected: [&[u8]; 7] = [
        b"clicks",
        b"shard-1",
        &strata_core::numeric::parse(number, None).unwrap(),
        b"user \\ \"1\"",
        &5_000_000_i64.to_be_bytes(),
        &7_i32.to_be_bytes(),
        // A member of which a part is used stays whole: nothing is lost.
        b"\x01{\"a\":{\"s\":946684801,\"t\":1},\"b\":[true],\"shard\":\"x\",\"fixed\":8}",
    ];
    for (found, expected) in found[1..8].iter().zip(expected) {
        assert_eq!(found.as_deref(), Some(expected), "{:?}", String::from_utf8_lossy(expected));
    }
    assert_eq!(found[8].as_deref(), Some(&1_000_000_i64.to_be_bytes()[..]));
    assert_eq!(fields(&decoded.rows[1])[5], None);
    let nul = Record { partition_key: "a\0".to_owned(), ..record(r#"{"ts":0}"#) };
    assert_eq!(subject.decode(&[nul]).rejects.len(), 1);
}

#[test]
fn a_wrong_dedupe_is_refused() {
    let by = |dedupe: &str, specs: &[Spec]| {
        let feed = Feed { dedupe: dedupe.to_owned(), dedupe_window_ms: 5, ..feed(&[]) };
        plan(&catalog(specs), &[&feed]).map(|(plan, _)| plan.dedupe)
    };
    let uuid = ("id", 2950, "uuid", -1, true);
    assert_eq!(by("id", &[TS, uuid]).unwrap(), Some(Dedupe { column: 1, window_ms: 5 }));
    assert_eq!(by("", &[TS, uuid]).unwrap(), None);
    assert!(by("x", &[TS, uuid]).unwrap_err().message.contains("no such column"));
    assert!(by("c", &[TS, JSONB]).unwrap_err().message.contains("differ in bytes"));
    assert!(by("id", &[("ts", 1082, "date", -1, true), uuid]).unwrap_err().message.contains("timestamptz"));
    let (one, other) = (Feed { dedupe: "id".to_owned(), ..feed(&[]) }, feed(&[]));
    assert!(plan(&catalog(&[TS, uuid]), &[&one, &other]).unwrap_err().message.contains("the same"));
}

/// The leaf as docs/formats.md defines it, put together by hand.
fn leaf(columns: &[(u32, u8, &[u8])]) -> Hash {
    let mut data = vec![1];
    data.extend_from_slice(&[7; 16]);
    for (id, tag, bytes) in columns {
        data.extend_from_slice(&id.to_be_bytes());
        data.push(*tag);
        data.extend_from_slice(&u32::try_from(bytes.len()).unwrap().to_be_bytes());
        data.extend_from_slice(bytes);
    }
    strata_core::merkle::leaf_hash(&data)
}

#[test]
fn the_hash_covers_what_is_stored_and_leaves_null_out() {
    let specs = [
        TS,
        ("n", 25, "text", -1, false),
        ("j", 3802, "jsonb", -1, false),
        ("k", 1042, "character(4)", 8, false),
    ];
    let mut subject = decoder(&specs, &feed(&[]));
    let rows = [r#"{"ts":946684800001,"j":{"bb":1.0,"a":2},"k":"x  "}"#, r#"{"ts":946684800001,"n":null}"#];
    let decoded = subject.decode(&rows.map(record));
    let ts = 1_000_i64.to_be_bytes();
    let canonical = strata_core::jsonb::canonical(r#"{"a":2,"bb":1.0}"#).unwrap();
    assert_eq!(decoded.rows[0].hash, leaf(&[(1, 16, &ts), (3, 22, &canonical), (4, 10, b"x")]));
    assert_eq!(decoded.rows[1].hash, leaf(&[(1, 16, &ts)]));
}

/// Fields of a row, `None` for NULL.
fn fields(decoded: &Decoded, row: usize) -> Vec<Option<&[u8]>> {
    let row = &decoded.rows[row];
    crate::changes::split(&decoded.bytes[row.start as usize..row.end as usize])
}

/// A decoder that applies changes to a table by its column `id`.
pub(crate) fn keyed(specs: &[Spec], kind: envelope::Kind, feed: Feed) -> Decoder {
    let key = CatalogTarget::Keyed { key: vec!["id".to_owned()] };
    let catalog = CatalogTable { target: key, ..catalog(specs) };
    let (plan, mut mappings) = plan(&catalog, &[&Feed { envelope: kind, ..feed }]).unwrap();
    Decoder::new(Arc::new(plan), Arc::new(mappings.remove(0)), BOUNDS)
}

pub(crate) const ID: Spec = ("id", 20, "bigint", -1, true);
const NAME: Spec = ("name", 25, "text", -1, false);

#[test]
fn changes_become_rows_with_what_to_do() {
    let message = |op: &str, before: &str, after: &str| {
        format!(r#"{{"before":{before},"after":{after},"source":{{"table":"users"}},"op":"{op}","ts_ms":1}}"#)
    };
    let only = BTreeMap::from([("$.source.table".to_owned(), vec![toml::Value::from("users")])]);
    let subject = Feed { only, ..feed(&[("note", "@.more.note")]) };
    let mut subject = keyed(&[ID, NAME, ("note", 25, "text", -1, true)], envelope::Kind::Debezium, subject);
    let records = [
        message("c", "null", r#"{"id":1,"name":"a","more":{"note":"x"}}"#),
        message("d", r#"{"id":1,"name":null}"#, "null"),
        String::new(),
        message("u", "null", r#"{"id":2,"name":"__debezium_unavailable_value","more":{"note":"y"}}"#),
        message("c", "null", r#"{"id":3,"name":"a"}"#).replace("users", "others"),
        message("t", "null", "null"),
        message("d", r#"{"name":"a"}"#, "null"),
        message("u", "null", r#"{"id":4,"name":"z"}"#),
    ];
    let decoded = subject.decode(&records.map(record));
    let id = |id: i64| id.to_be_bytes();
    let (set, gone): (&[u8], &[u8]) = (&[0], &[1]);
    assert_eq!(fields(&decoded, 0), [Some(&id(1)[..]), Some(b"a"), Some(b"x"), None, Some(set)]);
    assert_eq!(fields(&decoded, 1), [Some(&id(1)[..]), None, None, None, Some(gone)]);
    let kept = row::kept_array(&[2]).unwrap();
    assert_eq!(fields(&decoded, 2), [Some(&id(2)[..]), None, Some(b"y"), Some(&kept[..]), Some(set)]);
    assert_eq!((decoded.rows.len(), decoded.skipped), (3, 2));
    let rejects: Vec<_> = decoded
        .rejects
        .iter()
        .map(|r| (r.record, r.sqlstate.as_deref().unwrap(), r.column.as_deref()))
        .collect();
    assert_eq!(rejects, [(5, "0A000", None), (6, "23502", Some("id")), (7, "23502", Some("note"))]);
}

#[test]
fn a_changed_key_is_a_delete_and_an_upsert() {
    let message = |before: &str| {
        format!(
            r#"{{"data":{{"id":2,"name":"b"}},{before}"metadata":{{"record-type":"data","operation":"update"}}}}"#
        )
    };
    let mut subject = keyed(&[ID, NAME], envelope::Kind::Dms, feed(&[]));
    for (before, ids) in [
        (r#""before-image":{"id":1},"#, &[(1, true), (2, false)][..]),
        (r#""before-image":{"id":2},"#, &[(2, false)]),
        (r#""before-image":{"name":"a"},"#, &[(2, false)]),
        ("", &[(2, false)]),
    ] {
        let decoded = subject.decode(&[record(message(before))]);
        let found: Vec<(i64, bool)> = (0..decoded.rows.len())
            .map(|row| {
                let fields = fields(&decoded, row);
                (i64::from_be_bytes(fields[0].unwrap().try_into().unwrap()), fields[3] == Some(&[1]))
            })
            .collect();
        assert_eq!(found, ids, "{before}");
    }
}

#[test]
fn captured_values_are_read_as_their_source_means_them() {
    let specs = [
        ID,
        ("at", 1184, "timestamp with time zone", -1, false),
        ("wall", 1114, "timestamp without time zone", -1, false),
        ("time", 1083, "time without time zone", -1, false),
        ("price", 1700, "numeric", -1, false),
        ("doc", 3802, "jsonb", -1, false),
        ("day", 1082, "date", -1, false),
    ];
    let schema = r#"{"type":"struct","fields":[{"field":"after","fields":[
        {"field":"at","name":"io.debezium.time.MicroTimestamp"},{"field":"wall","name":"io.debezium.time.Timestamp"},
        {"field":"time","name":"io.debezium.time.MicroTime"},
        {"field":"price","name":"org.apache.kafka.connect.data.Decimal","parameters":{"scale":"2"}}]}]}"#;
    let after = r#"{"id":1,"at":946684801000000,"wall":946684801000,"time":1000000,"price":"BNI=","doc":"{\"a\": 1}","day":10957}"#;
    let text = format!(r#"{{"schema":{schema},"payload":{{"op":"c","after":{after}}}}}"#);
    let decoded = keyed(&specs, envelope::Kind::Debezium, feed(&[])).decode(&[record(text)]);
    assert!(decoded.rejects.is_empty(), "{:?}", decoded.rejects);
    let found = fields(&decoded, 0);
    let second = 1_000_000_i64.to_be_bytes();
    assert_eq!(found[1..4], [Some(&second[..]); 3]);
    assert_eq!(found[4], Some(&strata_core::numeric::parse("12.34", None).unwrap()[..]));
    assert_eq!(found[5], Some(&b"\x01{\"a\": 1}"[..]));
    assert_eq!(found[6], Some(&0_i32.to_be_bytes()[..]));
    let dms = r#"{"data":{"id":1,"wall":"2000-01-01T00:00:01Z","doc":"nonsense"},"metadata":{"operation":"insert"}}"#;
    let decoded = keyed(&specs, envelope::Kind::Dms, feed(&[])).decode(&[record(dms)]);
    assert_eq!(decoded.rejects[0].column.as_deref(), Some("doc"));
    let dms = dms.replace("nonsense", "[1]");
    let decoded = keyed(&specs, envelope::Kind::Dms, feed(&[])).decode(&[record(dms)]);
    assert_eq!((fields(&decoded, 0)[2], fields(&decoded, 0)[5]), (Some(&second[..]), Some(&b"\x01[1]"[..])));
}

#[test]
fn a_cloud_event_is_a_row_of_its_data() {
    let mut feed = feed(&[("source", "$.source"), ("rest", "$rest"), ("what", "$operation")]);
    feed.envelope = envelope::Kind::CloudEvents;
    let specs = [
        TS,
        ("source", 25, "text", -1, true),
        ("rest", 3802, "jsonb", -1, true),
        ("what", 25, "text", -1, true),
    ];
    let event =
        r#"{"specversion":"1.0","id":"1","source":"/shop","type":"t","data":{"ts":946684801000,"a":1}}"#;
    let decoded = decoder(&specs, &feed).decode(&[record(event), record("{}")]);
    assert_eq!(decoded.rows[0].time, 1_000_000);
    let found = fields(&decoded, 0);
    assert_eq!(found[1..4], [Some(&b"/shop"[..]), Some(b"\x01{\"a\":1}"), Some(b"insert")]);
    assert!(decoded.rejects.len() == 1 && decoded.rejects[0].reason.contains("CloudEvents"));
}

#[test]
fn a_change_may_leave_columns_as_they_are() {
    let patch = Feed { missing: Missing::Keep, ..feed(&[]) };
    let mut subject = keyed(&[ID, NAME, ("n", 23, "integer", -1, true)], envelope::Kind::None, patch);
    let decoded = subject.decode(&[record(r#"{"id":1,"name":null}"#), record(r#"{"name":"x"}"#)]);
    let kept = row::kept_array(&[3]).unwrap();
    let id = 1_i64.to_be_bytes();
    assert_eq!(fields(&decoded, 0), [Some(&id[..]), None, None, Some(&kept[..]), Some(&[0])]);
    assert_eq!(decoded.rejects[0].column.as_deref(), Some("id"));
}

proptest! {
    #[test]
    fn noise_never_panics_and_loses_no_record(records in proptest::collection::vec(".{0,80}", 0..8)) {
        let specs = [TS, INT4, ("j", 3802, "jsonb", -1, false)];
        let records: Vec<Record> = records.into_iter().map(record).collect();
        let decoded = decoder(&specs, &feed(&[])).decode(&records);
        prop_assert_eq!(decoded.rows.len() + decoded.rejects.len(), records.len());
    }

    #[test]
    fn rows_lie_end_to_end(values in proptest::collection::vec((any::<i32>(), ".{0,10}", any::<bool>()), 0..20)) {
        let specs = [TS, ("a", 23, "integer", -1, true), ("b", 25, "text", -1, false)];
        let records: Vec<Record> = values.iter().map(|(a, b, bad)| {
            let a = if *bad { serde_json::Value::Null } else { (*a).into() };
            record(serde_json::json!({"b": b.replace('\0', ""), "ts": 0, "a": a}).to_string())
        }).collect();
        let decoded = decoder(&specs, &feed(&[])).decode(&records);
        let mut at = 0;
        for row in &decoded.rows {
            prop_assert_eq!(row.start, at);
            at = row.end;
            let (a, b, _) = &values[row.record as usize];
            let bytes = &decoded.bytes[row.start as usize..row.end as usize];
            prop_assert_eq!(&bytes[..2], &[0, 4]);
            prop_assert_eq!(&bytes[18..22], &a.to_be_bytes());
            let text = b.replace('\0', "");
            prop_assert_eq!(&bytes[26..26 + text.len()], text.as_bytes());
        }
        prop_assert_eq!(at as usize, decoded.bytes.len());
        prop_assert_eq!(decoded.rows.len(), values.iter().filter(|(_, _, bad)| !bad).count());
    }
}
