//! Partitions whose rows leave the log, or come into it, all at once: those that retention lets go of, and those that are
//! attached with rows in them. Never here: when that is.

use std::ffi::CStr;

use pgrx::pg_sys;
use pgrx::prelude::*;
use strata_core::chunk::{self, CHUNK_ROWS_MAX, Entry};

use super::salts::Salts;
use super::{scan, segment, spi, target, write};
use crate::{bounds, catalog};

/// How far retention is with the partition of an audited table.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Expiry {
    /// Its rows are being taken out of the log, and stand still.
    Going,
    /// Its rows are no more those of the table, for the log.
    Gone,
}

/// What becomes of a row of a partition that retention has come to: `true`, it is not the log's affair.
pub fn is_passed_over(expiry: Expiry, relation: pg_sys::Oid, takes_away_only: bool) -> bool {
    let name = catalog::relation_name(relation);
    match expiry {
        Expiry::Gone if takes_away_only => true,
        Expiry::Gone => crate::errors::raise(
            PgSqlErrorCode::ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE,
            format!("partition \"{name}\" is past retention and takes no rows"),
            "Its rows are no longer in the audit log, and the next maintenance drops it.",
            "Write rows of a time that strata.event_tables says is retained.",
        ),
        Expiry::Going => crate::errors::raise(
            PgSqlErrorCode::ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE,
            format!("rows of partition \"{name}\" cannot be changed just now"),
            "It is past retention, and its rows are being taken out of the audit log.",
            "Try again in a moment, or leave rows past retention out of the statement.",
        ),
    }
}

/// `strata._audit_take_partition(partition regclass, operation text, detail text, come boolean) RETURNS bigint`: writes
/// all rows of a partition into the log as rows that went, or came; returns how many. Their old versions are not kept.
#[pg_extern(sql = false)]
fn audit_take_partition(partition: pg_sys::Oid, operation: &str, detail: Option<&str>, come: bool) -> i64 {
    let mut count = 0;
    let mut entries: Vec<Entry> = Vec::new();
    // SAFETY: a partition whose rows the caller has made stand still, on the backend's main thread.
    unsafe {
        segment::flush();
        for leaf in scan::all_leaves(partition) {
            let target = target::target(leaf);
            let mut bench = target.bench();
            let salts = if come { Salts::Made } else { Salts::Found };
            scan::rows(leaf, scan::latest_snapshot(), |slot| {
                let (leaf, key) = target.leaf(slot, salts, &mut bench);
                entries.push(chunk::entry(&leaf, key));
                count += 1;
                if entries.len() >= CHUNK_ROWS_MAX {
                    write::rows(&target, operation, detail, come, &mut entries);
                }
            });
            if !entries.is_empty() {
                write::rows(&target, operation, detail, come, &mut entries);
            }
        }
    }
    count
}

/// `strata._audit_forget_target(partition regclass) RETURNS void`: lets every session look anew at what becomes of rows
/// of a partition.
#[pg_extern(sql = false)]
fn audit_forget_target(partition: pg_sys::Oid) {
    // SAFETY: catalog look-ups and an invalidation, on the backend's main thread, inside a transaction.
    unsafe {
        for relation in bounds::with_descendants(partition) {
            pg_sys::CacheInvalidateRelcacheByRelid(relation);
        }
    }
}

/// The partitions of an audited table, with all that lies below them, whose rows are no more in the log by the snapshot
/// of the calling statement.
pub unsafe fn gone(relation: pg_sys::Oid) -> Vec<pg_sys::Oid> {
    // (by the snapshot, too: one that is dropped meanwhile is not held by anybody)
    const QUERY: &CStr = c"WITH RECURSIVE tree (relid) AS ( \
            SELECT x.partition::oid FROM strata._audit_expired x JOIN strata._audited_tables a ON a.audit_id OPERATOR(pg_catalog.=) x.audit_id \
            WHERE a.relation OPERATOR(pg_catalog.=) $1 AND x.is_gone \
            UNION ALL SELECT i.inhrelid FROM tree t JOIN pg_catalog.pg_inherits i ON i.inhparent OPERATOR(pg_catalog.=) t.relid \
        ) SELECT t.relid::bigint FROM tree t";
    let mut gone = Vec::new();
    unsafe {
        spi::each_row(QUERY, &[(pg_sys::REGCLASSOID, pg_sys::Datum::from(relation))], |row| {
            gone.push(pg_sys::Oid::from(row.long(1) as u32));
        });
    }
    gone
}

/// `strata._audit_hold(relation regclass) RETURNS void`: keeps the partitions of a table from being detached or dropped
/// until the transaction ends.
#[pg_extern(sql = false)]
fn audit_hold(relation: pg_sys::Oid) {
    let lock = pg_sys::AccessShareLock as pg_sys::LOCKMODE;
    // SAFETY: locks, on the backend's main thread, inside a transaction.
    unsafe {
        pg_sys::LockRelationOid(relation, lock);
        bounds::locked_with_descendants(relation, lock);
    }
}
