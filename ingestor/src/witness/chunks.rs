//! Chunks as the database sends them, read: their leaf made anew from the record, their entries compared with it. Never: what
//! a place of the log should have.

use super::records::{Records, Sums, SumsOf};
use super::set::LeafSet;
use crate::error::{Error, Result};
use crate::postgres::copy_rows::RowBatch;
use std::collections::HashMap;
use strata_core::chunk::{self, Record, Rows};
use strata_core::merkle::Hash;

/// Operations through which rows go without an old version.
const UNKEPT: [&str; 3] = ["expired", "acknowledged", "state_rows"];
/// Columns of a chunk, in the order that [`parse`] reads them.
pub const COLUMNS: &str = "log_index, chunk_id, table_uuid, operation, schema, changed_at, xid::text, system_identifier, \
    session_role, role, application, client, context, detail, added_count, added_root, added_keys, removed_count, \
    removed_root, removed_keys, added, removed";

/// A chunk, read.
pub struct Chunk {
    pub log_index: Option<u64>,
    pub id: u64,
    pub table: [u8; 16],
    pub operation: String,
    pub schema: u32,
    pub leaf: Hash,
    /// Its entries are those of its record.
    pub holds: bool,
    pub went: bool,
    pub has_rows: bool,
    pub detail: Option<String>,
    pub by: String,
}

/// Chunks of a batch, what their rows add to the sets of each table (rows there are, rows that went), and to its sums.
pub type Parsed = (Vec<Chunk>, HashMap<[u8; 16], (LeafSet, LeafSet)>, SumsOf);

/// The chunks of a batch.
pub fn parse_all(batch: &RowBatch, records: &Records) -> Result<Parsed> {
    let mut sums = SumsOf::new();
    let mut sets: HashMap<[u8; 16], (LeafSet, LeafSet)> = HashMap::new();
    let mut chunks = Vec::with_capacity(batch.len());
    for fields in batch.rows() {
        let (chunk, added, removed) = parse(fields).ok_or_else(not_a_chunk)?;
        let counted = records.counted(&chunk.table, chunk.id, &chunk.operation);
        Sums::take(&mut sums, chunk.table, &counted, added, removed);
        if counted.now && !(added.is_empty() && removed.is_empty()) {
            let (rows, gone) = sets.entry(chunk.table).or_default();
            for entry in added {
                rows.add(&chunk::leaf(entry), &[]);
            }
            for entry in removed {
                rows.remove(&chunk::leaf(entry), &[]);
                // (of partitions past retention, and of what was never logged, no old versions are kept)
                if !UNKEPT.contains(&chunk.operation.as_str()) {
                    gone.add(&chunk::leaf(entry), &chunk.id.to_be_bytes());
                }
            }
        }
        chunks.push(chunk);
    }
    Ok((chunks, sets, sums))
}

/// A chunk and its entries; `None` if the fields are not those of one.
fn parse<'row>(
    fields: impl Iterator<Item = Option<&'row [u8]>>,
) -> Option<(Chunk, &'row [chunk::Entry], &'row [chunk::Entry])> {
    let fields: Vec<Option<&[u8]>> = fields.collect();
    let field = |n: usize| fields.get(n).copied().flatten();
    let text = |n: usize| field(n).map(std::str::from_utf8).transpose().ok();
    let long = |n: usize| Some(u64::from_be_bytes(field(n)?.try_into().ok()?));
    let int = |n: usize| Some(u32::from_be_bytes(field(n)?.try_into().ok()?));
    let none = Rows::of(&mut []);
    let rows = |n: usize| -> Option<Rows> {
        let hash = |n: usize, of_none: Hash| field(n).map_or(Some(of_none), |bytes| bytes.try_into().ok());
        Some(Rows { count: int(n)?, root: hash(n + 1, none.root)?, keys: hash(n + 2, none.keys)? })
    };
    let mut texts = [None; 6];
    for (n, value) in texts.iter_mut().enumerate() {
        *value = text(8 + n)?;
    }
    let record = Record {
        chunk_id: long(1)?,
        table: field(2)?.try_into().ok()?,
        operation: text(3)??,
        schema: int(4)?,
        changed_at: long(5)?.cast_signed(),
        xid: text(6)??.parse().ok()?,
        system_identifier: long(7)?,
        added: rows(14)?,
        removed: rows(17)?,
        texts,
    };
    let (added, removed) = (field(20).unwrap_or_default(), field(21).unwrap_or_default());
    let holds = record.added.holds(added) && record.removed.holds(removed);
    let is_event = record.added.count == 0 && record.removed.count == 0;
    let chunk = Chunk {
        log_index: field(0).and(long(0)),
        id: record.chunk_id,
        table: record.table,
        operation: record.operation.to_owned(),
        schema: record.schema,
        leaf: record.leaf(),
        holds,
        went: record.removed.count > 0,
        has_rows: !is_event,
        detail: texts[5].filter(|_| is_event).map(str::to_owned),
        by: texts[0].filter(|_| is_event).map(|who| format!(", by {who}")).unwrap_or_default(),
    };
    let entries = |stored| chunk::entries(stored).unwrap_or_default();
    Some((chunk, entries(added), entries(removed)))
}

/// A chunk's id and entries, where only these are wanted; of those that went, only what a history keeps.
pub fn entries_of<'row>(
    fields: impl Iterator<Item = Option<&'row [u8]>>,
    of_history: bool,
) -> Result<(u64, &'row [chunk::Entry], &'row [chunk::Entry])> {
    let (chunk, added, removed) = parse(fields).ok_or_else(not_a_chunk)?;
    Ok((
        chunk.id,
        added,
        if of_history && UNKEPT.contains(&chunk.operation.as_str()) { &[] } else { removed },
    ))
}

fn not_a_chunk() -> Error {
    Error::end("the database sent something that is no chunk of an audit log")
}
