//! Whole records: those that become rows, and those that do not.

use super::*;
use proptest::prelude::*;
use strata_core::merkle::Hash;

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
    let full = br#"{"ts":946684800000,"a":{"s":946684801,"t":1},"b":[true],"shard":"x","fixed":8}"#;
    let full = Record::new(full, number, "user \\ \"1\"", Some(5_000_000));
    let none = Record::new(br#"{"ts":0}"#, "0", "", None);
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
    let nul = Record::new(br#"{"ts":0}"#, "", "a\0", None);
    assert_eq!(subject.decode(&[nul]).rejects.len(), 1);
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
