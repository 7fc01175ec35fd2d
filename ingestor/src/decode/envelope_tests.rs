#![allow(clippy::unwrap_used)]

use super::*;
use proptest::prelude::*;

/// Operation and image.
type Seen = Option<(Operation, Option<String>)>;

/// Operation and image of an envelope, `None` where there is nothing, or SQLSTATE and reason.
fn opened(kind: Kind, text: &str) -> Result<Seen, (String, String)> {
    let mut opener = Opener::new(kind);
    match opener.open(text) {
        Ok(Opened::Nothing) => Ok(None),
        Ok(Opened::Change(change)) => Ok(Some((change.operation, change.image.map(str::to_owned)))),
        Err(fault) => Err((fault.sqlstate.to_owned(), fault.reason.into_owned())),
    }
}

#[allow(clippy::unnecessary_wraps)]
fn change(operation: Operation, image: &str) -> Seen {
    Some((operation, Some(image.to_owned())))
}

#[test]
fn cloud_events() {
    let event = |rest: &str| format!(r#"{{"specversion":"1.0","id":"1","source":"/s","type":"t"{rest}}}"#);
    let open = |rest: &str| opened(Kind::CloudEvents, &event(rest));
    assert_eq!(open(r#","data":{"a":1}"#).unwrap(), change(Operation::Insert, r#"{"a":1}"#));
    assert_eq!(open(r#","data_base64":"eyJhIjoxfQ==""#).unwrap(), change(Operation::Insert, r#"{"a":1}"#));
    assert_eq!(open("").unwrap(), Some((Operation::Insert, None)));
    assert_eq!(open(r#","data":1,"data_base64":"AA==""#).unwrap_err().0, "22P02");
    assert_eq!(open(r#","data_base64":"*""#).unwrap_err().0, "22P02");
    assert_eq!(open(r#","data_base64":"/w==""#).unwrap_err().0, "22P02");
    let other = opened(Kind::CloudEvents, &event("").replace("1.0", "0.3")).unwrap_err();
    assert_eq!(other.0, "0A000");
    for lacks in ["specversion", "id", "source", "type"] {
        let text = event("").replace(&format!("\"{lacks}\""), "\"x\"");
        let (state, reason) = opened(Kind::CloudEvents, &text).unwrap_err();
        assert!(state == "22P02" && reason.contains(lacks), "{reason}");
    }
}

#[test]
fn dms() {
    let data = r#"{"age":31,"attributes":"{\"baz\": \"qux\"}","id":46,"name":"Jane"}"#;
    let message = |operation: &str, kind: &str, body: &str| {
        format!(
            r#"{{ {body}
                "metadata": {{"timestamp":"2024-07-29T00:58:17.983670Z","record-type":"{kind}","operation":"{operation}",
                "schema-name":"public","table-name":"foo","transaction-id":1139}} }}"#
        )
    };
    let body = format!("\"data\":{data},");
    for (name, operation) in [
        ("load", Operation::Load),
        ("insert", Operation::Insert),
        ("update", Operation::Update),
        ("delete", Operation::Delete),
    ] {
        assert_eq!(opened(Kind::Dms, &message(name, "data", &body)).unwrap(), change(operation, data));
    }
    let control = r#""control":{"table-def":{"columns":{"id":{"type":"INT32","nullable":false}},"primary-key":["id"]}},"#;
    assert_eq!(opened(Kind::Dms, &message("create-table", "control", control)).unwrap(), None);
    let bare = r#"{"control":{},"metadata":{"record-type":"control"}}"#;
    assert_eq!(opened(Kind::Dms, bare).unwrap(), None);
    for (name, words) in [("truncate-table", "truncate"), ("add-column", "add-column"), ("x\\n", "unknown")] {
        let (state, reason) = opened(Kind::Dms, &message(name, "control", control)).unwrap_err();
        assert!(state == "0A000" && reason.contains(words), "{reason}");
    }
    assert_eq!(opened(Kind::Dms, r#"{"id":1}"#).unwrap_err().0, "22P02");
    assert_eq!(opened(Kind::Dms, &message("insert", "data", "")).unwrap_err().0, "22P02");
}

/// A message of the PostgreSQL connector, as Debezium Server 3.0 sends it.
const DEBEZIUM: &str = r#"{"before":BEFORE,"after":AFTER,
    "source":{"version":"3.0.8.Final","connector":"postgresql","name":"booking","ts_ms":1790866917741,"snapshot":"false",
    "db":"booking_db","sequence":"[\"34893696\",\"34893816\"]","schema":"public","table":"bookings","txId":910,"lsn":34893816,"xmin":null},
    "transaction":null,"op":"OP","ts_ms":1790866917817}"#;

fn message(op: &str, before: &str, after: &str) -> String {
    DEBEZIUM.replace("OP", op).replace("BEFORE", before).replace("AFTER", after)
}

#[test]
fn debezium_with_and_without_schema() {
    let (old, new) = (r#"{"id":1,"name":"Alice"}"#, r#"{"id":1,"name":"Bob"}"#);
    for (op, before, after, operation, image) in [
        ("r", "null", new, Operation::Load, new),
        ("c", "null", new, Operation::Insert, new),
        ("u", old, new, Operation::Update, new),
        ("d", old, "null", Operation::Delete, old),
    ] {
        let bare = message(op, before, after);
        assert_eq!(opened(Kind::Debezium, &bare).unwrap(), change(operation, image));
        let wrapped = format!(r#"{{"schema":{{"type":"struct"}},"payload":{bare}}}"#);
        assert_eq!(opened(Kind::Debezium, &wrapped).unwrap(), change(operation, image));
    }
    let (state, reason) = opened(Kind::Debezium, &message("d", "null", "null")).unwrap_err();
    assert!(state == "22P02" && reason.contains("REPLICA IDENTITY"), "{reason}");
}

#[test]
fn debezium_says_other_things_too() {
    let mut opener = Opener::new(Kind::Debezium);
    for nothing in ["", " ", "default", "null"] {
        assert!(opener.is_tombstone(nothing.as_bytes()), "{nothing}");
    }
    assert!(!Opener::new(Kind::Dms).is_tombstone(b""));
    for nothing in [
        r#"{"schema":{},"payload":null}"#.to_owned(),
        r#"{"ts_ms":1790866917817}"#.to_owned(),
        r#"{"status":"BEGIN","id":"571:53195829","ts_ms":1,"event_count":null}"#.to_owned(),
        message("m", "null", "null"),
    ] {
        assert_eq!(opener.open(&nothing).unwrap(), Opened::Nothing, "{nothing}");
    }
    let truncate = opened(Kind::Debezium, &message("t", "null", "null")).unwrap_err();
    assert!(truncate.0 == "0A000" && truncate.1.contains("truncate"));
    let ddl = r#"{"source":{"db":"d"},"ts_ms":1,"databaseName":"d","ddl":"alter x","tableChanges":[]}"#;
    assert_eq!(opened(Kind::Debezium, ddl).unwrap_err().0, "0A000");
    for stranger in ["{}", "5", r#"{"payload":5}"#, r#"{"op":"x","source":{}}"#, r#"{"op":5}"#] {
        assert_eq!(opened(Kind::Debezium, stranger).unwrap_err().0, "22P02", "{stranger}");
    }
}

proptest! {
    #[test]
    fn noise_never_panics(text in ".{0,80}") {
        for kind in [Kind::None, Kind::CloudEvents, Kind::Dms, Kind::Debezium] {
            let _ = opened(kind, &text);
            let _ = opened(kind, &format!("{{\"payload\":{text},\"data\":{text},\"op\":\"c\",\"after\":{{}},\"metadata\":{{\"operation\":\"insert\"}}}}"));
        }
    }
}
