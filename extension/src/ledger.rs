//! Rows of `strata._batches` that the column default writes: by direct heap and index insert, because single-row
//! transactions pay for them. Never here: which batch is open.

use pgrx::pg_sys;
use pgrx::prelude::*;

use crate::catalog::EventTable;
use crate::errors::raise;

/// A ledger row of this transaction.
pub struct LedgerRow {
    table: EventTable,
    id: i64,
    created_at: i64,
    place: pg_sys::ItemPointerData,
}

/// Columns of `strata._batches`; `sql/schema/03_ledger.sql` declares them in this order.
const LEDGER_COLUMNS: usize = 7;

/// A ledger row of the column default. Its times are there from the start, as minus and plus infinity, so that they can
/// be written over where they stand.
unsafe fn ledger_tuple(
    ledger: pg_sys::Relation,
    table: &EventTable,
    (id, created_at): (i64, i64),
    (lower, upper): (i64, i64),
) -> pg_sys::HeapTuple {
    unsafe {
        // table_id, batch_id, created_at, row_count, lower_time, upper_time, column_ids
        let mut values = [
            pg_sys::Datum::from(table.table_id),
            pg_sys::Datum::from(id),
            pg_sys::Datum::from(created_at),
            pg_sys::Datum::from(0),
            pg_sys::Datum::from(lower),
            pg_sys::Datum::from(upper),
            pg_sys::Datum::from(0),
        ];
        let mut nulls = [false, false, false, true, false, false, true];
        pg_sys::heap_form_tuple((*ledger).rd_att, values.as_mut_ptr(), nulls.as_mut_ptr())
    }
}

/// Writes the row of a batch that begins.
pub unsafe fn insert_row(table: EventTable, id: i64) -> LedgerRow {
    unsafe {
        let ledger = pg_sys::table_open(table.ledger, pg_sys::RowExclusiveLock as pg_sys::LOCKMODE);
        if usize::try_from((*(*ledger).rd_att).natts).ok() != Some(LEDGER_COLUMNS) {
            raise(
                PgSqlErrorCode::ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE,
                "the library of pg_strata does not fit the ledger of this database",
                "The library is of another version than the extension's tables.",
                "Run: ALTER EXTENSION pg_strata UPDATE;",
            );
        }
        let created_at = pg_sys::GetCurrentTimestamp();
        let tuple = ledger_tuple(ledger, &table, (id, created_at), (i64::MIN, i64::MAX));
        pg_sys::CatalogTupleInsert(ledger, tuple);
        let row = LedgerRow { table, id, created_at, place: (*tuple).t_self };
        pg_sys::heap_freetuple(tuple);
        pg_sys::table_close(ledger, pg_sys::RowExclusiveLock as pg_sys::LOCKMODE);
        row
    }
}

/// Puts the event times of a batch that is complete into its ledger row, where it stands: the row is this transaction's,
/// so nobody else can see it yet, or change it. (Rows rolled back to a savepoint only make the extent wider.)
pub unsafe fn write_extent(row: &LedgerRow, extent: (i64, i64)) {
    unsafe {
        let ledger = pg_sys::table_open(row.table.ledger, pg_sys::RowExclusiveLock as pg_sys::LOCKMODE);
        if is_untouched(ledger, row.place) {
            let tuple = ledger_tuple(ledger, &row.table, (row.id, row.created_at), extent);
            if pg_sys::wal_level >= pg_sys::WalLevel::WAL_LEVEL_LOGICAL as i32 {
                // logical decoding takes an update in place for one of the system catalogs
                let mut place = row.place;
                // the statement that wrote the row may be this very one
                pg_sys::CommandCounterIncrement();
                pg_sys::CatalogTupleUpdate(ledger, &raw mut place, tuple);
            } else {
                (*tuple).t_self = row.place;
                pg_sys::heap_inplace_update(ledger, tuple);
            }
            pg_sys::heap_freetuple(tuple);
        }
        pg_sys::table_close(ledger, pg_sys::RowExclusiveLock as pg_sys::LOCKMODE);
    }
}

/// Whether nobody has updated or deleted a ledger row of this transaction: a streamed batch is completed by SQL.
unsafe fn is_untouched(ledger: pg_sys::Relation, place: pg_sys::ItemPointerData) -> bool {
    unsafe {
        let mut tuple = pg_sys::HeapTupleData { t_self: place, ..Default::default() };
        let mut buffer: pg_sys::Buffer = 0;
        let found = pg_sys::heap_fetch(
            ledger,
            &raw mut pg_sys::SnapshotAnyData,
            &raw mut tuple,
            &raw mut buffer,
            false,
        );
        let untouched = found
            && u32::from((*tuple.t_data).t_infomask) & pg_sys::HEAP_XMAX_INVALID == pg_sys::HEAP_XMAX_INVALID;
        if found {
            pg_sys::ReleaseBuffer(buffer);
        }
        untouched
    }
}
