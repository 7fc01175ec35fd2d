//! The batch default and the guard's condition: which batch of the ledger the rows of this transaction belong to.
//! State is per backend and per transaction. Never here: what a batch contains.

use std::cell::RefCell;

use pgrx::pg_sys;
use pgrx::prelude::*;

use crate::audit;
use crate::catalog;
use crate::errors::raise;
use crate::ledger::{self, LedgerRow};
use crate::rights;

/// A batch this transaction has opened and not closed.
struct OpenBatch {
    relation: pg_sys::Oid,
    id: i64,
    /// The subtransaction that wrote the ledger row: rolling it back takes the batch with it.
    subtransaction: pg_sys::SubTransactionId,
    row: LedgerRow,
    /// Rows the guard has seen go into the batch, and their event times; rows rolled back to a savepoint included.
    rows: i64,
    lower: i64,
    upper: i64,
}

impl OpenBatch {
    /// Puts what is known of the batch into its ledger row. What the guard has not seen is not known.
    unsafe fn complete(&self) {
        if self.rows > 0 {
            unsafe { ledger::write_extent(&self.row, (self.lower, self.upper)) };
        }
    }
}

thread_local! {
    static OPEN: RefCell<Vec<OpenBatch>> = const { RefCell::new(Vec::new()) };
}

// Not among pgrx's bindings.
unsafe extern "C-unwind" {
    #[link_name = "nextval_internal"]
    fn nextval_internal_unguarded(relid: pg_sys::Oid, check_permissions: bool) -> i64;
}

/// `nextval` without asking for rights.
pub unsafe fn nextval_internal(relid: pg_sys::Oid, check_permissions: bool) -> i64 {
    unsafe { pg_sys::ffi::pg_guard_ffi_boundary(|| nextval_internal_unguarded(relid, check_permissions)) }
}

/// `strata.current_batch(relation regclass) RETURNS bigint`: the open batch of this transaction, opened on first use.
#[pg_extern(sql = false)]
fn current_batch(relation: pg_sys::Oid) -> i64 {
    open_batch(relation).unwrap_or_else(|| begin_batch(relation))
}

/// `strata._foreign_row(relation regclass, batch_id bigint, ts timestamptz) RETURNS boolean`: whether a row's batch id
/// is not the one this transaction has open, so that its place in the ledger says nothing about the row. Every row put
/// in passes here, as it is stored: the extent of the open batch is taken down on the way.
#[pg_extern(sql = false)]
fn foreign_row(relation: pg_sys::Oid, batch_id: Option<i64>, ts: Option<i64>) -> bool {
    let (Some(batch_id), Some(ts)) = (batch_id, ts) else { return true };
    OPEN.with_borrow_mut(|open| {
        let Some(batch) = open.iter_mut().find(|batch| batch.relation == relation && batch.id == batch_id)
        else {
            return true;
        };
        batch.rows += 1;
        batch.lower = batch.lower.min(ts);
        batch.upper = batch.upper.max(ts);
        false
    })
}

/// `strata._is_open_batch(relation regclass, batch_id bigint) RETURNS boolean`
#[pg_extern(sql = false)]
fn is_open_batch(relation: pg_sys::Oid, batch_id: i64) -> bool {
    open_batch(relation) == Some(batch_id)
}

/// `strata._batch_extent(relation regclass, OUT row_count bigint, OUT lower_time timestamptz, OUT upper_time timestamptz)`
/// of the open batch; no row if there is none. A timestamptz is passed as a 64-bit integer.
#[pg_extern(sql = false)]
fn batch_extent(
    relation: pg_sys::Oid,
) -> TableIterator<
    'static,
    (name!(row_count, i64), name!(lower_time, Option<i64>), name!(upper_time, Option<i64>)),
> {
    let extent = OPEN.with_borrow(|open| {
        open.iter().find(|batch| batch.relation == relation).map(|batch| {
            let some = batch.rows > 0;
            (batch.rows, some.then_some(batch.lower), some.then_some(batch.upper))
        })
    });
    TableIterator::new(extent)
}

/// `strata._close_batch(relation regclass) RETURNS void`: rows inserted from here on draw a new batch.
#[pg_extern(sql = false)]
fn close_batch(relation: pg_sys::Oid) {
    let closed = OPEN.with_borrow_mut(|open| {
        open.iter().position(|batch| batch.relation == relation).map(|place| open.swap_remove(place))
    });
    if let Some(batch) = closed {
        // SAFETY: inside the transaction that wrote the ledger row.
        unsafe { batch.complete() };
    }
}

fn open_batch(relation: pg_sys::Oid) -> Option<i64> {
    OPEN.with_borrow(|open| open.iter().find(|batch| batch.relation == relation).map(|batch| batch.id))
}

fn begin_batch(relation: pg_sys::Oid) -> i64 {
    let table = catalog::event_table(relation);
    check_insert_right(relation);
    // SAFETY: plain calls into the backend on its main thread, inside a transaction.
    unsafe {
        pg_sys::PreventCommandIfReadOnly(c"strata.current_batch()".as_ptr());
        // The transaction id comes before the batch id: the horizon of rollups rests on every drawn id belonging to a
        // transaction that snapshots already know of.
        pg_sys::GetTopTransactionId();
        let id = nextval_internal(table.sequence, false);
        let row = ledger::insert_row(table, id);
        let subtransaction = pg_sys::GetCurrentSubTransactionId();
        OPEN.with_borrow_mut(|open| {
            open.push(OpenBatch {
                relation,
                id,
                subtransaction,
                row,
                rows: 0,
                lower: i64::MAX,
                upper: i64::MIN,
            });
        });
        id
    }
}

fn check_insert_right(relation: pg_sys::Oid) {
    // SAFETY: catalog look-ups by OID.
    if unsafe { catalog::may_insert(relation, pg_sys::GetUserId()) } {
        return;
    }
    let (name, typed) = (catalog::relation_name(relation), catalog::quoted_name(relation));
    raise(
        PgSqlErrorCode::ERRCODE_INSUFFICIENT_PRIVILEGE,
        format!("permission denied to open a batch of event table \"{name}\""),
        "It takes the INSERT privilege on the event table itself, also for rows put straight into one of its partitions.",
        &format!("Its owner can run: GRANT INSERT ON {typed} TO <role>;"),
    );
}

/// `strata._raise_sequence(sequence regclass, at_least bigint) RETURNS boolean`: never waits. Whoever draws from a
/// sequence holds a lock on it until its transaction ends, so holding the stronger one means nobody is in between.
#[pg_extern(sql = false)]
fn raise_sequence(sequence: pg_sys::Oid, at_least: i64) -> bool {
    let lock = pg_sys::ShareRowExclusiveLock as pg_sys::LOCKMODE;
    // SAFETY: plain calls into the backend on its main thread, inside a transaction.
    unsafe {
        if !pg_sys::ConditionalLockRelationOid(sequence, lock) {
            return false;
        }
        let last =
            pgrx::direct_function_call::<i64>(pg_sys::pg_sequence_last_value, &[sequence.into_datum()]);
        if last.is_none_or(|last| last < at_least) {
            pgrx::direct_function_call::<i64>(
                pg_sys::setval_oid,
                &[sequence.into_datum(), at_least.into_datum()],
            );
        }
        pg_sys::UnlockRelationOid(sequence, lock);
    }
    true
}

/// `strata._next_xid() RETURNS xid8`
#[pg_extern(sql = false)]
fn next_xid() -> i64 {
    // SAFETY: reads shared memory under its lock. An xid8 is passed as a 64-bit integer.
    unsafe { pg_sys::ReadNextFullTransactionId().value.cast_signed() }
}

/// Completes and ends open batches, and ends permits, with their (sub)transactions.
pub fn register_callbacks() {
    // SAFETY: registered once per backend, from _PG_init; the callbacks never leave the library.
    unsafe {
        pg_sys::RegisterXactCallback(Some(on_transaction), std::ptr::null_mut());
        pg_sys::RegisterSubXactCallback(Some(on_subtransaction), std::ptr::null_mut());
    }
}

#[pg_guard]
unsafe extern "C-unwind" fn on_transaction(event: pg_sys::XactEvent::Type, _arg: *mut std::ffi::c_void) {
    use pg_sys::XactEvent::{
        XACT_EVENT_ABORT, XACT_EVENT_COMMIT, XACT_EVENT_PRE_COMMIT, XACT_EVENT_PRE_PREPARE,
        XACT_EVENT_PREPARE,
    };
    if matches!(event, XACT_EVENT_PRE_COMMIT | XACT_EVENT_PRE_PREPARE) {
        // no row comes after this
        for batch in OPEN.take() {
            // SAFETY: inside the transaction that wrote the ledger row.
            unsafe { batch.complete() };
        }
    }
    audit::on_transaction(event);
    if matches!(event, XACT_EVENT_COMMIT | XACT_EVENT_ABORT | XACT_EVENT_PREPARE) {
        OPEN.with_borrow_mut(Vec::clear);
        rights::forget_permit();
    }
}

#[pg_guard]
unsafe extern "C-unwind" fn on_subtransaction(
    event: pg_sys::SubXactEvent::Type,
    mine: pg_sys::SubTransactionId,
    parent: pg_sys::SubTransactionId,
    _arg: *mut std::ffi::c_void,
) {
    audit::on_subtransaction(event, mine, parent);
    match event {
        pg_sys::SubXactEvent::SUBXACT_EVENT_ABORT_SUB => {
            OPEN.with_borrow_mut(|open| open.retain(|batch| batch.subtransaction != mine));
            rights::forget_permit();
        }
        pg_sys::SubXactEvent::SUBXACT_EVENT_COMMIT_SUB => OPEN.with_borrow_mut(|open| {
            for batch in open.iter_mut().filter(|batch| batch.subtransaction == mine) {
                batch.subtransaction = parent;
            }
        }),
        _ => {}
    }
}
