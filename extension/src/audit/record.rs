//! State records: which rows a table has by the log at a place of it, computed from chunks alone, so that the chunks below
//! may go. Never here: when that is done, and whether it may be.

use pgrx::datum::Uuid;
use pgrx::pg_sys;
use pgrx::prelude::*;
use strata_core::chunk::{self, CHUNK_ROWS_MAX, Entry, State};
use strata_core::merkle::{Hash, Tree};

use super::{segment, spi, write};

/// The operation of chunks that hold the rows of a state record.
const STATE_ROWS: &str = "state_rows";

/// `strata._audit_covered(audit_id int, after bigint, through bigint, OUT chunks bigint, OUT root bytea)`: how many chunks
/// with rows a table has in the sealed log between two chunk ids, gone or not, and the root over their leaves as the tree
/// has them.
#[pg_extern(sql = false)]
fn audit_covered(
    audit_id: i32,
    after: i64,
    through: i64,
) -> TableIterator<'static, (name!(chunks, i64), name!(root, Vec<u8>))> {
    const QUERY: &std::ffi::CStr = c"SELECT pg_catalog.substr(t.hashes, (e.log_index % 256)::int * 32 + 1, 32) \
        FROM strata._audit_entries e JOIN strata._audit_tiles t ON t.level = 0 AND t.tile_index = e.log_index / 256 \
        LEFT JOIN strata._audit_chunks c ON c.chunk_id = e.chunk_id \
        WHERE e.audit_id = $1 AND e.chunk_id > $2 AND e.chunk_id <= $3 AND (c.chunk_id IS NULL OR c.added_count + c.removed_count > 0) \
        ORDER BY e.log_index";
    let mut tree = Tree::default();
    // SAFETY: a query of ours through SPI, on the backend's main thread.
    unsafe {
        let arguments = [
            (pg_sys::INT4OID, pg_sys::Datum::from(audit_id)),
            (pg_sys::INT8OID, pg_sys::Datum::from(after)),
            (pg_sys::INT8OID, pg_sys::Datum::from(through)),
        ];
        spi::each_row(QUERY, &arguments, |row| {
            let leaf: Hash = row.bytes(1).and_then(|leaf| Hash::try_from(leaf).ok()).unwrap_or([0xff; 32]);
            tree.push(&leaf);
        });
    }
    TableIterator::once((tree.size().cast_signed(), tree.root().to_vec()))
}

/// `strata._audit_write_record(audit_id int, table_uuid uuid, base_from bigint, base_to bigint, after bigint, through
/// bigint) RETURNS bytea`: writes the rows that a table has by its log at a place, from those of an earlier record (chunks
/// from `base_from` to below `base_to`) and what its chunks did since; returns the state they make.
#[pg_extern(sql = false)]
fn audit_write_record(
    audit_id: i32,
    table_uuid: Uuid,
    base_from: i64,
    base_to: i64,
    after: i64,
    through: i64,
) -> Vec<u8> {
    const QUERY: &std::ffi::CStr = c"SELECT r.entry, pg_catalog.sum(r.sign) FROM ( \
            SELECT x.entry, 1 AS sign FROM strata._audit_chunks c CROSS JOIN LATERAL strata._entries(c.added) x (entry) \
            WHERE c.audit_id = $1 AND c.chunk_id >= $2 AND c.chunk_id < $3 AND c.operation = 'state_rows' \
            UNION ALL \
            SELECT x.entry, -1 FROM strata._audit_chunks c CROSS JOIN LATERAL strata._entries(c.removed) x (entry) \
            WHERE c.audit_id = $1 AND c.chunk_id >= $2 AND c.chunk_id < $3 AND c.operation = 'state_rows' \
            UNION ALL \
            SELECT x.entry, 1 FROM strata._audit_chunks c CROSS JOIN LATERAL strata._entries(c.added) x (entry) \
            WHERE c.audit_id = $1 AND c.chunk_id > $4 AND c.chunk_id <= $5 AND c.operation NOT IN ('state', 'state_rows') \
            UNION ALL \
            SELECT x.entry, -1 FROM strata._audit_chunks c CROSS JOIN LATERAL strata._entries(c.removed) x (entry) \
            WHERE c.audit_id = $1 AND c.chunk_id > $4 AND c.chunk_id <= $5 AND c.operation NOT IN ('state', 'state_rows') \
        ) r GROUP BY r.entry HAVING pg_catalog.sum(r.sign) <> 0 ORDER BY r.entry";
    let mut state = State { is_whole: true, ..State::default() };
    let (mut added, mut removed): (Vec<Entry>, Vec<Entry>) = (Vec::new(), Vec::new());
    // SAFETY: a query of ours through SPI, and chunks written, on the backend's main thread.
    unsafe {
        segment::flush();
        let mut write = |added: &mut Vec<Entry>, removed: &mut Vec<Entry>| {
            state.apply(STATE_ROWS, added, removed);
            write::plain(audit_id, *table_uuid.as_bytes(), STATE_ROWS, None, added, removed);
        };
        let arguments = [
            (pg_sys::INT4OID, pg_sys::Datum::from(audit_id)),
            (pg_sys::INT8OID, pg_sys::Datum::from(base_from)),
            (pg_sys::INT8OID, pg_sys::Datum::from(base_to)),
            (pg_sys::INT8OID, pg_sys::Datum::from(after)),
            (pg_sys::INT8OID, pg_sys::Datum::from(through)),
        ];
        spi::each_row(QUERY, &arguments, |row| {
            let Some(entry) = row.bytes(1).and_then(|entry| Entry::try_from(entry).ok()) else { return };
            // (what went more often than it came is a fault that must stay one)
            let count = row.long(2);
            let rows = if count > 0 { &mut added } else { &mut removed };
            for _ in 0..count.unsigned_abs() {
                rows.push(entry);
            }
            if rows.len() >= CHUNK_ROWS_MAX {
                write(&mut added, &mut removed);
            }
        });
        if !(added.is_empty() && removed.is_empty()) {
            write(&mut added, &mut removed);
        }
    }
    state.to_bytes()
}

/// `strata._entries(entries bytea) RETURNS SETOF bytea`: the entries of a chunk, one by one.
#[pg_extern(sql = false)]
fn entries(entries: &[u8]) -> SetOfIterator<'static, Vec<u8>> {
    let entries: Vec<Entry> = chunk::entries(entries).unwrap_or_default().to_vec();
    SetOfIterator::new(entries.into_iter().map(|entry| entry.to_vec()))
}
