//! All rows of a table, straight from its heap: whatever policies say, and however large it is.

use pgrx::pg_sys;
use pgrx::prelude::*;

use super::partition;
use super::salts::Salts;
use super::segment::{self, Operation};
use super::spi;
use super::target;
use crate::bounds;
use strata_core::chunk;
use strata_core::chunk::State;

/// The relations that hold the rows of a table as the log has it, by the active snapshot: itself, or its partitions that
/// are not past retention.
pub unsafe fn leaves(relation: pg_sys::Oid) -> Vec<pg_sys::Oid> {
    unsafe {
        let gone = partition::gone(relation);
        all_leaves(relation).into_iter().filter(|leaf| !gone.contains(leaf)).collect()
    }
}

/// The same with the partitions that the snapshot shows: one that was attached since is neither in the log nor in the table.
pub unsafe fn leaves_seen(relation: pg_sys::Oid) -> Vec<pg_sys::Oid> {
    const QUERY: &std::ffi::CStr = c"WITH RECURSIVE tree (relid) AS ( \
            SELECT $1::oid \
            UNION ALL SELECT i.inhrelid FROM tree t JOIN pg_catalog.pg_inherits i ON i.inhparent OPERATOR(pg_catalog.=) t.relid WHERE NOT i.inhdetachpending \
        ) SELECT t.relid::bigint FROM tree t JOIN pg_catalog.pg_class c ON c.oid OPERATOR(pg_catalog.=) t.relid \
        WHERE c.relkind OPERATOR(pg_catalog.=) 'r' ORDER BY 1";
    let mut seen = Vec::new();
    unsafe {
        spi::each_row(QUERY, &[(pg_sys::OIDOID, pg_sys::Datum::from(relation))], |row| {
            seen.push(pg_sys::Oid::from(row.long(1) as u32));
        });
        let gone = partition::gone(relation);
        seen.retain(|leaf| !gone.contains(leaf));
    }
    seen
}

/// The relations that hold the rows of a table: itself, or its partitions.
pub unsafe fn all_leaves(relation: pg_sys::Oid) -> Vec<pg_sys::Oid> {
    unsafe {
        bounds::with_descendants(relation)
            .into_iter()
            .filter(|one| pg_sys::get_rel_relkind(*one) as u8 == pg_sys::RELKIND_RELATION)
            .collect()
    }
}

/// Those of them whose rows a truncation of `relation` must tell of: `relation` itself, or what has no such trigger.
pub unsafe fn leaves_without_trigger(relation: pg_sys::Oid, function: pg_sys::Oid) -> Vec<pg_sys::Oid> {
    unsafe {
        all_leaves(relation)
            .into_iter()
            .filter(|leaf| *leaf == relation || !has_trigger(*leaf, function))
            .collect()
    }
}

unsafe fn has_trigger(relation: pg_sys::Oid, function: pg_sys::Oid) -> bool {
    unsafe {
        let lock = pg_sys::AccessShareLock as pg_sys::LOCKMODE;
        let opened = pg_sys::relation_open(relation, lock);
        let triggers = (*opened).trigdesc;
        let has = !triggers.is_null()
            && std::slice::from_raw_parts((*triggers).triggers, (*triggers).numtriggers as usize).iter().any(
                |trigger| {
                    trigger.tgfoid == function
                        && i32::from(trigger.tgtype) & pg_sys::TRIGGER_TYPE_TRUNCATE as i32 != 0
                        && trigger.tgenabled as u8 == b'A'
                },
            );
        pg_sys::relation_close(opened, lock);
        has
    }
}

/// A snapshot that shows all that is committed by now, whatever the transaction's shows.
pub unsafe fn latest_snapshot() -> pg_sys::Snapshot {
    unsafe { pg_sys::GetLatestSnapshot() }
}

/// Hands every row of a relation to `take`.
pub unsafe fn rows(
    relation: pg_sys::Oid,
    snapshot: pg_sys::Snapshot,
    mut take: impl FnMut(*mut pg_sys::TupleTableSlot),
) {
    unsafe {
        let lock = pg_sys::AccessShareLock as pg_sys::LOCKMODE;
        let opened = pg_sys::table_open(relation, lock);
        let snapshot = pg_sys::RegisterSnapshot(snapshot);
        let slot = pg_sys::table_slot_create(opened, std::ptr::null_mut());
        let scan = pg_sys::table_beginscan(opened, snapshot, 0, std::ptr::null_mut());
        // what a row takes of memory goes with it
        let mut per_row = pgrx::PgMemoryContexts::new("rows of an audited table");
        while pg_sys::table_scan_getnextslot(scan, pg_sys::ScanDirection::ForwardScanDirection, slot) {
            pgrx::check_for_interrupts!();
            per_row.reset();
            let before = pg_sys::MemoryContextSwitchTo(per_row.value());
            take(slot);
            pg_sys::MemoryContextSwitchTo(before);
        }
        pg_sys::table_endscan(scan);
        pg_sys::ExecDropSingleTupleTableSlot(slot);
        pg_sys::UnregisterSnapshot(snapshot);
        pg_sys::table_close(opened, lock);
    }
}

/// `strata._audit_baseline(relation regclass) RETURNS bigint`: puts all rows of a table into the log, as those it begins
/// with; returns how many.
#[pg_extern(sql = false)]
fn audit_baseline(relation: pg_sys::Oid) -> i64 {
    // SAFETY: a table that its caller has locked, on the backend's main thread.
    unsafe {
        segment::flush();
        let command = pg_sys::GetCurrentCommandId(false);
        let mut operation = Operation::Baseline;
        let mut count = 0;
        // an empty table has a baseline too
        segment::with_segment(&target::target(relation), operation, command, |_| {});
        for leaf in leaves(relation) {
            let target = target::target(leaf);
            let mut bench = target.bench();
            rows(leaf, latest_snapshot(), |slot| {
                let (leaf, key) = target.leaf(slot, Salts::Made, &mut bench);
                segment::with_segment(&target, operation, command, |segment| {
                    segment.added.push(chunk::entry(&leaf, key));
                });
                count += 1;
                if count % chunk::CHUNK_ROWS_MAX as i64 == 0 {
                    operation = Operation::BaselineMore;
                }
            });
        }
        segment::flush();
        count
    }
}

/// `strata._audit_scan(relation regclass) RETURNS bytea`: the state of a table from its rows, under the snapshot of the
/// calling statement.
#[pg_extern(sql = false)]
fn audit_scan(relation: pg_sys::Oid) -> Vec<u8> {
    let mut state = State { is_whole: true, ..State::default() };
    // SAFETY: plain reads on the backend's main thread, under the active snapshot.
    unsafe {
        for leaf in leaves_seen(relation) {
            let target = target::target(leaf);
            let mut bench = target.bench();
            rows(leaf, pg_sys::GetActiveSnapshot(), |slot| {
                let (leaf, _) = target.leaf(slot, Salts::AsOfStatement, &mut bench);
                state.count += 1;
                state.leaves.add(&leaf);
            });
        }
    }
    state.to_bytes()
}
