//! Debezium's change events as JSON, inside `{"schema": …, "payload": …}` or bare. Tombstones, heartbeats, transaction
//! boundaries and logical messages are passed over; truncates and schema changes are set aside.

use super::{Change, Look, Opened, Operation, object, set_aside, stranger};
use crate::decode::Fault;

/// What a message with its schema is made of.
pub const OUTER: &[&[&str]] = &[&["payload"], &["schema"]];
/// What a change is made of, and by what other messages are known.
pub const INNER: &[&[&str]] =
    &[&["op"], &["before"], &["after"], &["ddl"], &["tableChanges"], &["status"], &["ts_ms"], &["source"]];

/// What a value that an update did not carry is replaced by, plain and as base64.
pub const UNAVAILABLE: [&str; 2] =
    ["\"__debezium_unavailable_value\"", "\"X19kZWJleml1bV91bmF2YWlsYWJsZV92YWx1ZQ==\""];

/// After a delete Debezium sends a message without a value; the sink to Kinesis makes these words of it.
pub fn is_tombstone(data: &[u8]) -> bool {
    matches!(data.trim_ascii(), b"" | b"null" | b"default")
}

pub(super) fn open<'a>(outer: &mut Look, inner: &mut Look, text: &'a str) -> Result<Opened<'a>, Fault> {
    outer.at(text)?;
    let payload = outer.value(text, 0);
    let schema = object(outer.value(text, 1));
    let text = match (payload, schema) {
        (Some(payload), _) => payload,
        (None, Some(_)) => return Ok(Opened::Nothing),
        (None, None) => text,
    };
    if object(Some(text.trim_ascii_start())).is_none() {
        return Err(stranger("Debezium", "op"));
    }
    inner.at(text)?;
    let operation = match inner.word(text, 0) {
        Some("r") => Operation::Load,
        Some("c") => Operation::Insert,
        Some("u") => Operation::Update,
        Some("d") => Operation::Delete,
        Some("m") => return Ok(Opened::Nothing),
        Some("t") => return Err(set_aside("a truncate of the source table")),
        Some(_) => return Err(stranger("Debezium", "op that is known")),
        None if inner.value(text, 3).is_some() || inner.value(text, 4).is_some() => {
            return Err(set_aside("a change of the source's schema"));
        }
        // Transaction boundaries have a status, heartbeats nothing but a time.
        None if inner.value(text, 5).is_some() => return Ok(Opened::Nothing),
        None if inner.value(text, 6).is_some() && inner.value(text, 7).is_none() => {
            return Ok(Opened::Nothing);
        }
        None => return Err(stranger("Debezium", "op")),
    };
    let (before, after) = (object(inner.value(text, 1)), object(inner.value(text, 2)));
    let image = if operation == Operation::Delete { before } else { after };
    let Some(image) = image else {
        let lacks = if operation == Operation::Delete {
            "before: set REPLICA IDENTITY at the source"
        } else {
            "after"
        };
        return Err(stranger("Debezium", lacks));
    };
    Ok(Opened::Change(Change { operation, image: Some(image), before, schema }))
}
