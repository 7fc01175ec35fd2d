//! All of the log in one pass: whether each chunk is what was sealed, and which rows its tables have by it.

use std::collections::BTreeMap;

use pgrx::datum::Uuid;
use pgrx::prelude::*;
use strata_core::chunk::{self, BASELINE, Rows, State};
use strata_core::merkle::Hash;

use super::log::Tiles;
use super::spi::{self, Row};
use super::write::{self, StoredChunk};

/// The rows of a table.
#[derive(Default)]
struct Table {
    /// By the chunks that are sealed.
    sealed: State,
    /// What the others do to that.
    unsealed: State,
    /// Whether a state record stands for chunks: its state is not made of all that are there.
    is_recorded: bool,
}

impl Table {
    /// The next chunk, in the order of the log.
    fn apply(&mut self, is_sealed: bool, operation: &str, entries: &[Vec<u8>; 2]) {
        let [added, removed] = entries.each_ref().map(|stored| chunk::entries(stored).unwrap_or_default());
        // (a later baseline makes void what came before, wherever that stands)
        let begins_anew = is_sealed && operation == BASELINE;
        if begins_anew {
            self.unsealed = State::default();
        } else if !is_sealed || self.unsealed.is_whole {
            self.unsealed.apply(operation, added, removed);
        }
        if is_sealed {
            self.sealed.apply(operation, added, removed);
        }
    }
}

/// What is wrong with a chunk: place in the log, chunk, what.
type Fault = (i64, i64, &'static str);

type Outcome =
    (Option<i64>, Option<i64>, Option<&'static str>, Option<i32>, Option<Vec<u8>>, Option<Vec<u8>>);

/// `strata._audit_replay() RETURNS SETOF strata._replayed`, under the snapshot of the calling statement: the sealed chunks that
/// are not what was sealed, and the states of the tables that have no state record.
#[pg_extern(sql = false)]
#[allow(clippy::type_complexity)]
fn audit_replay() -> TableIterator<
    'static,
    (
        name!(log_index, Option<i64>),
        name!(chunk_id, Option<i64>),
        name!(fault, Option<&'static str>),
        name!(audit_id, Option<i32>),
        name!(sealed, Option<Vec<u8>>),
        name!(whole, Option<Vec<u8>>),
    ),
> {
    const QUERY: &std::ffi::CStr = c"SELECT c.chunk_id, c.audit_id, c.table_uuid, c.operation, c.schema, c.changed_at, c.xid, \
        c.system_identifier, c.session_role, c.role, c.application, c.client, c.context, c.detail, \
        c.added_count, c.added_root, c.added_keys, c.removed_count, c.removed_root, c.removed_keys, c.added, c.removed, e.log_index \
        FROM strata._audit_chunks c LEFT JOIN strata._audit_entries e ON e.chunk_id = c.chunk_id ORDER BY c.chunk_id";
    let mut tables: BTreeMap<i32, Table> = BTreeMap::new();
    let mut faults: Vec<Fault> = Vec::new();
    let mut strangers: Vec<(i64, i64, Hash)> = Vec::new();
    let mut tiles = Tiles::default();
    let none = Rows::of(&mut []);
    // SAFETY: a query of ours through SPI, on the backend's main thread.
    unsafe {
        spi::each_row(QUERY, &[], |row| {
            let chunk = stored(row, &none);
            let entries = [row.bytes(21).unwrap_or_default(), row.bytes(22).unwrap_or_default()];
            let log_index: Option<i64> = row.get(23);
            if let Some(log_index) = log_index {
                let leaf = write::leaf_of(&chunk);
                if tiles.leaf(log_index.cast_unsigned()) != Some(leaf) {
                    strangers.push((log_index, chunk.id, leaf));
                } else if !chunk.added.holds(&entries[0]) || !chunk.removed.holds(&entries[1]) {
                    faults.push((log_index, chunk.id, "not_held"));
                }
            }
            let table = tables.entry(row.get(2).unwrap_or_default()).or_default();
            match chunk.operation.as_str() {
                "state" => table.is_recorded = true,
                "state_rows" => {}
                operation => table.apply(log_index.is_some(), operation, &entries),
            }
        });
    }
    if !strangers.is_empty() {
        let known = tiles.leaves();
        faults.extend(strangers.into_iter().map(|(log_index, chunk_id, leaf)| {
            (log_index, chunk_id, if known.contains(&leaf) { "reordered" } else { "edited" })
        }));
    }
    let mut outcomes: Vec<Outcome> = faults
        .into_iter()
        .map(|(log_index, chunk_id, fault)| (Some(log_index), Some(chunk_id), Some(fault), None, None, None))
        .collect();
    for (audit_id, table) in tables.into_iter().filter(|(_, table)| !table.is_recorded) {
        let mut whole = table.sealed.clone();
        whole.follow(&table.unsealed);
        let states = (Some(table.sealed.to_bytes()), Some(whole.to_bytes()));
        outcomes.push((None, None, None, Some(audit_id), states.0, states.1));
    }
    TableIterator::new(outcomes)
}

/// A chunk from the columns that the query names, in the order of the table.
fn stored(row: &Row, none: &Rows) -> StoredChunk {
    let hash = |column: i32, of_none: Hash| -> Hash {
        row.bytes(column).map_or(of_none, |bytes| Hash::try_from(bytes).unwrap_or([0xff; 32]))
    };
    let rows = |column: i32| Rows {
        count: row.get::<i32>(column).unwrap_or_default().cast_unsigned(),
        root: hash(column + 1, none.root),
        keys: hash(column + 2, none.keys),
    };
    StoredChunk {
        id: row.long(1),
        uuid: row.get::<Uuid>(3).map_or([0; 16], |uuid| *uuid.as_bytes()),
        operation: row.text(4),
        schema: row.get(5).unwrap_or_default(),
        changed_at: row.long(6),
        xid: row.long(7).cast_unsigned(),
        system_identifier: row.long(8),
        texts: std::array::from_fn(|place| row.get(9 + place as i32)),
        added: rows(15),
        removed: rows(18),
    }
}
