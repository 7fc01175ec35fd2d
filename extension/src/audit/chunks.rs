//! Chunks of the log as they are stored, read by transaction or one after the other, whoever reads: callers check who.

use pgrx::pg_sys;
use pgrx::prelude::*;
use strata_core::chunk;

use crate::catalog;

/// Chunks looked at, from a transaction downwards, for one that a subtransaction of it wrote.
const SUBTRANSACTION_REACH: usize = 256;

/// A chunk with rows that came.
pub struct Chunk {
    pub id: i64,
    pub changed_at: i64,
    operation: String,
    entries: Vec<u8>,
}

impl Chunk {
    /// The hashes of the keys of rows that came.
    pub fn keys(&self) -> impl Iterator<Item = u64> {
        chunk::entries(&self.entries).unwrap_or_default().iter().map(chunk::key)
    }

    pub fn is_insert(&self) -> bool {
        self.operation == "insert"
    }

    /// Whether none of its rows was there before.
    pub fn brings_rows(&self) -> bool {
        self.is_insert() || self.operation == "attached"
    }
}

/// A row of `strata._audit_chunks`, as `sql/schema/11_audit.sql` declares it: `chunk_id` 1, `audit_id` 2, `operation` 4,
/// `changed_at` 6, `xid` 7, `system_identifier` 8, `added` 21, `tuple_xid` 23.
struct Stored {
    tuple: pg_sys::HeapTuple,
    descriptor: pg_sys::TupleDesc,
}

impl Stored {
    unsafe fn value(&self, number: i32) -> Option<pg_sys::Datum> {
        let mut is_null = false;
        let value = unsafe { pg_sys::heap_getattr(self.tuple, number, self.descriptor, &mut is_null) };
        (!is_null).then_some(value)
    }

    unsafe fn is_of(&self, audit_id: i32) -> bool {
        unsafe { self.value(2).is_some_and(|value| value.value() as i32 == audit_id) }
    }

    unsafe fn xid(&self) -> u64 {
        unsafe { self.value(7).map_or(0, |value| value.value() as u64) }
    }

    unsafe fn is_of_this_cluster(&self) -> bool {
        unsafe { self.value(8).is_some_and(|value| value.value() as u64 == pg_sys::GetSystemIdentifier()) }
    }

    /// What its rows bear for an xmin.
    unsafe fn tuple_xid(&self) -> pg_sys::TransactionId {
        unsafe {
            let of_subtransaction = self.value(23).map(|value| value.value() as u32);
            pg_sys::TransactionId::from(of_subtransaction.unwrap_or(self.xid() as u32))
        }
    }

    unsafe fn chunk(&self) -> Chunk {
        unsafe {
            let text = self.value(4).and_then(|value| String::from_datum(value, false));
            let entries = self.value(21).and_then(|value| Vec::from_datum(value, false));
            Chunk {
                id: self.value(1).map_or(0, |value| value.value() as i64),
                changed_at: self.value(6).map_or(0, |value| value.value() as i64),
                operation: text.unwrap_or_default(),
                entries: entries.unwrap_or_default(),
            }
        }
    }
}

/// The transaction that has this number now, or had it last.
unsafe fn full(xid: pg_sys::TransactionId) -> Option<u64> {
    let xid = u64::from(xid.into_inner());
    let next = unsafe { pg_sys::ReadNextFullTransactionId() }.value;
    let epoch = (next >> 32).checked_sub(u64::from(xid > next & 0xffff_ffff))?;
    let is_normal = xid >= u64::from(pg_sys::FirstNormalTransactionId.into_inner());
    is_normal.then_some(epoch << 32 | xid)
}

/// Reads the log by the index over transactions, backwards from `from`, until `take` has enough.
unsafe fn backwards(from: u64, mut take: impl FnMut(&Stored) -> bool) {
    unsafe {
        let (Some(table), Some(index)) =
            (catalog::our_table(c"_audit_chunks"), catalog::our_table(c"_audit_chunks_xid"))
        else {
            return;
        };
        let lock = pg_sys::AccessShareLock as pg_sys::LOCKMODE;
        let log = pg_sys::table_open(table, lock);
        let by_xid = pg_sys::index_open(index, lock);
        // (columns are counted as the table has them)
        let mut key: pg_sys::ScanKeyData = std::mem::zeroed();
        let up_to = pg_sys::BTLessEqualStrategyNumber as pg_sys::StrategyNumber;
        pg_sys::ScanKeyInit(&raw mut key, 7, up_to, pg_sys::F_XID8LE.into(), pg_sys::Datum::from(from));
        let scan =
            pg_sys::systable_beginscan_ordered(log, by_xid, pg_sys::GetActiveSnapshot(), 1, &raw mut key);
        loop {
            let tuple = pg_sys::systable_getnext_ordered(scan, pg_sys::ScanDirection::BackwardScanDirection);
            if tuple.is_null() || !take(&Stored { tuple, descriptor: (*log).rd_att }) {
                break;
            }
        }
        pg_sys::systable_endscan_ordered(scan);
        pg_sys::index_close(by_xid, lock);
        pg_sys::table_close(log, lock);
    }
}

/// The chunks of a transaction in a table.
pub unsafe fn of_transaction(audit_id: i32, xid: u64) -> Vec<Chunk> {
    let mut found = Vec::new();
    unsafe {
        backwards(xid, |stored| {
            if stored.xid() == xid && stored.is_of(audit_id) && stored.is_of_this_cluster() {
                found.push(stored.chunk());
            }
            stored.xid() == xid
        });
    }
    found
}

/// Hands the chunks whose rows bear this xmin to `take`, one at a time: those of the transaction, or of a subtransaction, whose
/// transaction began before it.
pub unsafe fn of_tuples(audit_id: i32, made: pg_sys::TransactionId, mut take: impl FnMut(&Chunk)) {
    unsafe {
        let Some(xid) = full(made) else { return };
        let mut per_chunk = pgrx::PgMemoryContexts::new("chunks of the audit log");
        let mut owner = None;
        let mut passed = 0;
        backwards(xid, |stored| {
            if owner.is_some_and(|owner| owner != stored.xid()) {
                return false;
            }
            if stored.is_of_this_cluster() && stored.tuple_xid() == made {
                owner = Some(stored.xid());
                if stored.is_of(audit_id) {
                    pgrx::check_for_interrupts!();
                    per_chunk.reset();
                    let before = pg_sys::MemoryContextSwitchTo(per_chunk.value());
                    take(&stored.chunk());
                    pg_sys::MemoryContextSwitchTo(before);
                }
            }
            passed += 1;
            owner.is_some() || passed < SUBTRANSACTION_REACH
        });
    }
}

/// Hands all chunks of a table to `take`.
pub unsafe fn each(audit_id: i32, mut take: impl FnMut(&Chunk)) {
    unsafe {
        let Some(table) = catalog::our_table(c"_audit_chunks") else { return };
        let lock = pg_sys::AccessShareLock as pg_sys::LOCKMODE;
        let log = pg_sys::table_open(table, lock);
        let (none, no_keys) = (pg_sys::InvalidOid, std::ptr::null_mut());
        let scan = pg_sys::systable_beginscan(log, none, false, pg_sys::GetActiveSnapshot(), 0, no_keys);
        let mut per_chunk = pgrx::PgMemoryContexts::new("chunks of the audit log");
        loop {
            pgrx::check_for_interrupts!();
            let tuple = pg_sys::systable_getnext(scan);
            if tuple.is_null() {
                break;
            }
            let stored = Stored { tuple, descriptor: (*log).rd_att };
            if stored.is_of(audit_id) {
                per_chunk.reset();
                let before = pg_sys::MemoryContextSwitchTo(per_chunk.value());
                take(&stored.chunk());
                pg_sys::MemoryContextSwitchTo(before);
            }
        }
        pg_sys::systable_endscan(scan);
        pg_sys::table_close(log, lock);
    }
}
