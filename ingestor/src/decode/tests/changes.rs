//! Changes of rows, applied by key.

use super::*;

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
fn a_change_may_leave_columns_as_they_are() {
    let patch = Feed { missing: Missing::Keep, ..feed(&[]) };
    let mut subject = keyed(&[ID, NAME, ("n", 23, "integer", -1, true)], envelope::Kind::None, patch);
    let decoded = subject.decode(&[record(r#"{"id":1,"name":null}"#), record(r#"{"name":"x"}"#)]);
    let kept = row::kept_array(&[3]).unwrap();
    let id = 1_i64.to_be_bytes();
    assert_eq!(fields(&decoded, 0), [Some(&id[..]), None, None, Some(&kept[..]), Some(&[0])]);
    assert_eq!(decoded.rejects[0].column.as_deref(), Some("id"));
}
