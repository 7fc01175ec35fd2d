//! Where a table and its log differ, row by row. Only asked once their states do.

use std::collections::HashMap;

use pgrx::pg_sys;
use pgrx::prelude::*;
use strata_core::chunk::{self, BASELINE};
use strata_core::merkle::Hash;

use super::salts::Salts;
use super::target::{self, Target, columns};
use super::{scan, spi};

/// A row that the log says is there.
struct Expected {
    count: i32,
    key: u64,
    chunk_id: i64,
}

/// A row that is there, and of which the log does not know.
struct Strange {
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
    let mut expected = expected_rows(audit_id);
    let mut strange = Vec::new();
    // SAFETY: plain reads on the backend's main thread, under the active snapshot.
    unsafe {
        for leaf_relation in scan::leaves(relation) {
            let target = target::target(leaf_relation);
            let mut bench = target.bench();
            scan::rows(leaf_relation, pg_sys::GetActiveSnapshot(), |slot| {
                let (leaf, key) = target.leaf(slot, Salts::AsOfStatement, &mut bench);
                if let Some(row) = expected.get_mut(&leaf).filter(|row| row.count > 0) {
                    row.count -= 1;
                } else {
                    let (names, values) = key_of(&target, slot);
                    strange.push(Strange { key, names, values, partition: leaf_relation });
                }
            });
        }
    }
    // (a row that came and went again is expected no more)
    let mut missing: HashMap<u64, Vec<i64>> = HashMap::new();
    let (too_often, there): (Vec<_>, Vec<_>) =
        expected.into_values().filter(|row| row.count != 0).partition(|row| row.count < 0);
    for row in there {
        missing.entry(row.key).or_default().push(row.chunk_id);
    }
    let mut differences: Vec<Difference> = Vec::new();
    // what went with a partition, and the log did not have it so
    for row in too_often {
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
