//! Where a relation and its log differ, row by row: read again, but only those parts of both that are not the same, and as
//! many of these at a time as memory should hold.

use super::chunks::{COLUMNS, entries_of};
use super::description::quoted;
use super::log::{TableLog, hex};
use super::report::{Fault, Report};
use super::set::{PARTS, part};
use super::tables::Reading;
use crate::error::Result;
use crate::postgres::Session;
use serde_json::{Value, json};
use std::collections::HashMap;
use strata_core::chunk;
use strata_core::encoding::RowBytes;
use strata_core::merkle::Hash;

/// Leaves in memory at one time, about.
const LEAVES_MAX: u64 = 4_000_000;
/// Differences that are kept to be told of.
const DIFFERENCES_MAX: usize = 10_000;

/// A relation that differs from its log.
pub struct Source<'a> {
    pub reading: &'a Reading,
    pub known: &'a TableLog,
    /// Names of the key's columns.
    pub key: Vec<&'a str>,
    /// The parts that differ.
    pub parts: &'a [usize],
    /// How many rows it has.
    pub rows: u64,
}

/// A row that the log says is there.
struct Expected {
    count: i64,
    key: u64,
    chunk: u64,
}

/// A row that is there, and of which the log does not know.
struct Strange {
    key: u64,
    text: Option<String>,
    partition: Option<String>,
}

/// Which row: its leaf, and in a history the chunk that ended it.
type Row = (Hash, Option<u64>);

/// Tells of every row in which the two differ.
pub async fn tell(session: &Session, source: &Source<'_>, report: &mut Report) -> Result<()> {
    let (mut strange, mut missing) = (Vec::new(), HashMap::<u64, Vec<u64>>::new());
    let rows = source.rows.max(source.known.rows.count().unsigned_abs());
    let together = (LEAVES_MAX * PARTS as u64 / rows.max(1)).clamp(1, PARTS as u64);
    for parts in source.parts.chunks(usize::try_from(together).unwrap_or(PARTS)) {
        let mut expected = expected_rows(session, source, parts).await?;
        strange_rows(session, source, parts, &mut expected, &mut strange).await?;
        for row in expected.into_values().filter(|row| row.count > 0) {
            if missing.len() < DIFFERENCES_MAX {
                let count = usize::try_from(row.count).unwrap_or(1).min(DIFFERENCES_MAX);
                missing.entry(row.key).or_default().extend(std::iter::repeat_n(row.chunk, count));
            }
        }
        if strange.len() >= DIFFERENCES_MAX {
            break;
        }
    }
    classify(source, strange, missing, report);
    Ok(())
}

async fn expected_rows(
    session: &Session,
    source: &Source<'_>,
    parts: &[usize],
) -> Result<HashMap<Row, Expected>> {
    let is_history = source.reading.schemas.is_some();
    let query = format!(
        "SELECT {COLUMNS} FROM strata.audit_chunks WHERE table_uuid = '{}' AND {} ORDER BY chunk_id",
        hex(&source.reading.uuid),
        source.known.counted
    );
    let mut expected: HashMap<Row, Expected> = HashMap::new();
    let mut rows = session.copy_rows(&query).await?;
    while let Some(batch) = session.next_rows(&mut rows).await? {
        for fields in batch.rows() {
            let (chunk_id, added, removed) = entries_of(fields, is_history)?;
            let signs: [(i64, &[chunk::Entry]); 2] =
                if is_history { [(1, removed), (0, &[])] } else { [(1, added), (-1, removed)] };
            for (sign, entries) in signs {
                for entry in entries {
                    let leaf = chunk::leaf(entry);
                    if !parts.contains(&part(&leaf)) {
                        continue;
                    }
                    let row = (leaf, is_history.then_some(chunk_id));
                    let row = expected.entry(row).or_insert(Expected {
                        count: 0,
                        key: chunk::key(entry),
                        chunk: chunk_id,
                    });
                    row.count += sign;
                    row.chunk = row.chunk.max(chunk_id);
                }
            }
        }
        // a row that came and went is expected no more
        expected.retain(|_, row| row.count != 0);
    }
    Ok(expected)
}

async fn strange_rows(
    session: &Session,
    source: &Source<'_>,
    parts: &[usize],
    expected: &mut HashMap<Row, Expected>,
    strange: &mut Vec<Strange>,
) -> Result<()> {
    let Reading { select, name, only, .. } = source.reading;
    let key = source.key.iter().map(|column| format!("{0}, {1}", literal(column), quoted(column)));
    let key = key.collect::<Vec<_>>().join(", ");
    let query = format!(
        "SELECT {select}, jsonb_build_object({key})::text, tableoid::regclass::text FROM {name} {only}"
    );
    let mut rows = session.copy_rows(&query).await?;
    let mut bytes = RowBytes::new(source.reading.uuid);
    while let Some(batch) = session.next_rows(&mut rows).await? {
        for mut fields in batch.rows() {
            let row = source.reading.leaf(&mut fields, &mut bytes)?;
            if !parts.contains(&part(&row.hash)) {
                continue;
            }
            if let Some(known) = expected.get_mut(&(row.hash, row.chunk)).filter(|known| known.count > 0) {
                known.count -= 1;
            } else if strange.len() < DIFFERENCES_MAX {
                let mut text = || Some(std::str::from_utf8(fields.next()??).ok()?.to_owned());
                strange.push(Strange { key: row.key, text: text(), partition: text() });
            }
        }
    }
    Ok(())
}

fn classify(
    source: &Source<'_>,
    strange: Vec<Strange>,
    mut missing: HashMap<u64, Vec<u64>>,
    report: &mut Report,
) {
    let name = &source.reading.name;
    for row in strange {
        let was = missing.get_mut(&row.key).and_then(Vec::pop);
        let (fault, detail) = match was {
            Some(_) => ("edited", "the row is not as the log says it was left"),
            None => ("extra", "the log knows of no such row"),
        };
        let key = row.text.and_then(|text| serde_json::from_str::<Value>(&text).ok());
        let mut place = json!({ "key": key, "partition": row.partition, "chunk_id": was });
        if let Value::Object(members) = &mut place {
            members.retain(|_, value| !value.is_null());
        }
        report.fault(Fault::of_table(fault, name, place, detail));
    }
    for (key, chunks) in missing {
        for chunk_id in chunks {
            let place = match source.key.as_slice() {
                [column] if source.reading.table.key_is_integer() => {
                    json!({ "key": { *column: key.cast_signed() }, "chunk_id": chunk_id })
                }
                _ => json!({ "key_hash": key.cast_signed(), "chunk_id": chunk_id }),
            };
            report.fault(Fault::of_table("missing", name, place, "the log knows of a row that is not there"));
        }
    }
}

/// A text as SQL has it.
fn literal(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}
