//! Where a table and its log differ, row by row. Only asked once their states do.

use std::collections::HashMap;

use pgrx::pg_sys;
use pgrx::prelude::*;
use strata_core::chunk::{self, BASELINE};
use strata_core::merkle::Hash;

use super::salts::Salts;
use super::target::{self, Target, columns};
use super::{scan, spi, write};

/// A row that the log says is there.
struct Expected {
    count: i32,
    key: u64,
    chunk_id: i64,
}

/// A row that is there, and of which the log does not know.
struct Strange {
    leaf: Hash,
    key: u64,
    names: Vec<String>,
    values: Vec<Option<String>>,
    partition: pg_sys::Oid,
}

type Difference =
    (&'static str, Option<Vec<String>>, Option<Vec<Option<String>>>, Option<pg_sys::Oid>, Option<i64>, i64);

/// `strata._audit_differences(relation regclass, audit_id int, OUT fault text, OUT key_names text[], OUT key_values text[],
/// OUT partition regclass, OUT chunk_id bigint, OUT key_hash bigint) RETURNS SETOF record`, under the snapshot of the
/// calling statement.
#[pg_extern(sql = false)]
#[allow(clippy::type_complexity)]
fn audit_differences(
    relation: pg_sys::Oid,
    audit_id: i32,
) -> TableIterator<
    'static,
    (
        name!(fault, &'static str),
        name!(key_names, Option<Vec<String>>),
        name!(key_values, Option<Vec<Option<String>>>),
        name!(partition, Option<pg_sys::Oid>),
        name!(chunk_id, Option<i64>),
        name!(key_hash, i64),
    ),
> {
    // SAFETY: plain reads on the backend's main thread, under the active snapshot.
    let Compared { too_often, there, strange } = unsafe { compare(relation, audit_id) };
    let mut missing: HashMap<u64, Vec<i64>> = HashMap::new();
    let mut differences: Vec<Difference> = Vec::new();
    // SAFETY: as above.
    let (detached, there) = unsafe { detached(relation, there) };
    for (partition, rows) in detached {
        let (names, values) = (vec!["rows".to_owned()], vec![Some(rows.to_string())]);
        differences.push(("detached", Some(names), Some(values), Some(partition), None, 0));
    }
    for (_, row) in there {
        missing.entry(row.key).or_default().push(row.chunk_id);
    }
    // what went with a partition, and the log did not have it so
    for (_, row) in too_often {
        let was = missing.get_mut(&row.key).and_then(Vec::pop);
        let fault = if was.is_some() { "edited" } else { "extra" };
        differences.push((fault, None, None, None, was.or(Some(row.chunk_id)), row.key.cast_signed()));
    }
    for row in strange {
        let was = missing.get_mut(&row.key).and_then(Vec::pop);
        let fault = if was.is_some() { "edited" } else { "extra" };
        let key_hash = row.key.cast_signed();
        differences.push((fault, Some(row.names), Some(row.values), Some(row.partition), was, key_hash));
    }
    for (key, chunks) in missing {
        for chunk_id in chunks {
            differences.push(("missing", None, None, None, Some(chunk_id), key.cast_signed()));
        }
    }
    TableIterator::new(differences)
}

/// `strata._audit_acknowledge(relation regclass, audit_id int, detail text, OUT added bigint, OUT removed bigint)`: writes
/// into the log what it takes for it to say what the table has, under the snapshot of the calling statement.
#[pg_extern(sql = false)]
fn audit_acknowledge(
    relation: pg_sys::Oid,
    audit_id: i32,
    detail: &str,
) -> TableIterator<'static, (name!(added, i64), name!(removed, i64))> {
    const OPERATION: &str = "acknowledged";
    let (mut added_count, mut removed_count) = (0, 0);
    // SAFETY: plain reads, and chunks written, on the backend's main thread.
    unsafe {
        let Compared { too_often, there, strange } = compare(relation, audit_id);
        let target = target::target(relation);
        let write = |come: bool, rows: Vec<(Hash, u64)>| {
            for rows in rows.chunks(chunk::CHUNK_ROWS_MAX) {
                let mut entries = rows.iter().map(|(leaf, key)| chunk::entry(leaf, *key)).collect();
                write::rows(&target, OPERATION, Some(detail), come, &mut entries);
            }
            rows.len() as i64
        };
        let times = |rows: Vec<(Hash, Expected)>| {
            let copies = |(leaf, row): (Hash, Expected)| {
                std::iter::repeat_n((leaf, row.key), row.count.unsigned_abs() as usize)
            };
            rows.into_iter().flat_map(copies).collect::<Vec<_>>()
        };
        removed_count += write(false, times(there));
        added_count += write(true, times(too_often));
        added_count += write(true, strange.into_iter().map(|row| (row.leaf, row.key)).collect());
    }
    TableIterator::once((added_count, removed_count))
}

/// Where table and log differ.
struct Compared {
    /// Rows that the log says went more often than they came.
    too_often: Vec<(Hash, Expected)>,
    /// Rows that the log says are there.
    there: Vec<(Hash, Expected)>,
    /// Rows that are there.
    strange: Vec<Strange>,
}

unsafe fn compare(relation: pg_sys::Oid, audit_id: i32) -> Compared {
    let mut expected = expected_rows(audit_id);
    let mut strange = Vec::new();
    unsafe {
        for leaf_relation in scan::leaves_seen(relation) {
            let target = target::target(leaf_relation);
            let mut bench = target.bench();
            scan::rows(leaf_relation, pg_sys::GetActiveSnapshot(), |slot| {
                let (leaf, key) = target.leaf(slot, Salts::AsOfStatement, &mut bench);
                if let Some(row) = expected.get_mut(&leaf).filter(|row| row.count > 0) {
                    row.count -= 1;
                } else {
                    let (names, values) = key_of(&target, slot);
                    strange.push(Strange { leaf, key, names, values, partition: leaf_relation });
                }
            });
        }
    }
    // (a row that came and went again is expected no more)
    let (too_often, there) =
        expected.into_iter().filter(|(_, row)| row.count != 0).partition(|(_, row)| row.count < 0);
    Compared { too_often, there, strange }
}

/// Rows that the log says are there, with their leaves.
type Missing = Vec<(Hash, Expected)>;

/// How many of the missing rows are in tables that were partitions once, as the trigger of TRUNCATE tells that stays on
/// them, and which are in none.
unsafe fn detached(relation: pg_sys::Oid, missing: Missing) -> (Vec<(pg_sys::Oid, u64)>, Missing) {
    const QUERY: &std::ffi::CStr = c"SELECT t.tgrelid::bigint FROM pg_catalog.pg_trigger t JOIN pg_catalog.pg_class c ON c.oid = t.tgrelid \
        WHERE t.tgfoid = 'strata._audit_truncate()'::pg_catalog.regprocedure AND c.relkind = 'r' AND NOT c.relispartition \
        AND NOT EXISTS (SELECT FROM strata._audited_tables a WHERE a.relation = t.tgrelid) ORDER BY c.relname";
    if missing.is_empty() {
        return (Vec::new(), missing);
    }
    let mut missing: HashMap<Hash, Expected> = missing.into_iter().collect();
    let (mut candidates, mut found) = (Vec::new(), Vec::new());
    unsafe {
        spi::each_row(QUERY, &[], |row| candidates.push(pg_sys::Oid::from(row.long(1) as u32)));
        for candidate in candidates {
            let Some(target) = target::as_partition_of(candidate, relation) else { continue };
            let mut bench = target.bench();
            let mut rows = 0;
            scan::rows(candidate, pg_sys::GetActiveSnapshot(), |slot| {
                let (leaf, _) = target.leaf(slot, Salts::AsOfStatement, &mut bench);
                if let Some(row) = missing.get_mut(&leaf).filter(|row| row.count > 0) {
                    row.count -= 1;
                    rows += 1;
                }
            });
            if rows > 0 {
                found.push((candidate, rows));
            }
        }
    }
    (found, missing.into_iter().filter(|(_, row)| row.count > 0).collect())
}

/// The rows that the log says are there.
fn expected_rows(audit_id: i32) -> HashMap<Hash, Expected> {
    const QUERY: &std::ffi::CStr = c"SELECT s.chunk_id, s.operation, s.added, s.removed \
        FROM strata._chunks_since($1, NULL, false) s ORDER BY s.place, s.chunk_id";
    let mut rows: HashMap<Hash, Expected> = HashMap::new();
    // SAFETY: a query of ours through SPI, on the backend's main thread.
    unsafe {
        spi::each_row(QUERY, &[(pg_sys::INT4OID, pg_sys::Datum::from(audit_id))], |row| {
            let chunk_id = row.long(1);
            if row.text(2) == BASELINE {
                rows.clear();
            }
            for (sign, bytes) in [(1, row.bytes(3)), (-1, row.bytes(4))] {
                for entry in chunk::entries(bytes.as_deref().unwrap_or_default()).unwrap_or_default() {
                    let row = rows.entry(chunk::leaf(entry)).or_insert(Expected {
                        count: 0,
                        key: chunk::key(entry),
                        chunk_id,
                    });
                    row.count += sign;
                    row.chunk_id = row.chunk_id.max(chunk_id);
                }
            }
        });
    }
    rows
}

/// Names and values, as text, of the key of a row.
unsafe fn key_of(target: &Target, slot: *mut pg_sys::TupleTableSlot) -> (Vec<String>, Vec<Option<String>>) {
    unsafe {
        let (values, nulls) = columns(slot);
        let descriptor = (*slot).tts_tupleDescriptor;
        target
            .encoder
            .key_places()
            .map(|place| {
                let column = &(*descriptor).attrs.as_slice(values.len())[place];
                let name =
                    std::ffi::CStr::from_ptr(column.attname.data.as_ptr()).to_string_lossy().into_owned();
                if nulls[place] {
                    return (name, None);
                }
                let (mut output, mut is_varlena) = (pg_sys::InvalidOid, false);
                pg_sys::getTypeOutputInfo(column.atttypid, &raw mut output, &raw mut is_varlena);
                let text = pg_sys::OidOutputFunctionCall(output, values[place]);
                (name, Some(std::ffi::CStr::from_ptr(text).to_string_lossy().into_owned()))
            })
            .unzip()
    }
}
