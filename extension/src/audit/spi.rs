//! Queries by the snapshot of the calling statement, whose rows come one by one. (pgrx's own interface takes a newer snapshot
//! where the transaction has written.) Never here: what is asked for.

use std::ffi::CStr;

use pgrx::pg_sys;
use pgrx::prelude::*;

/// Rows fetched at a time.
const ROWS: i64 = 100;

/// A row of a result.
pub struct Row {
    tuple: pg_sys::HeapTuple,
    descriptor: pg_sys::TupleDesc,
}

impl Row {
    fn value(&self, column: i32) -> (pg_sys::Datum, bool) {
        let mut is_null = false;
        // SAFETY: a row of the result that is being read.
        let datum = unsafe { pg_sys::SPI_getbinval(self.tuple, self.descriptor, column, &raw mut is_null) };
        (datum, is_null)
    }

    /// A value of the type that the query says; none for NULL.
    pub fn get<T: FromDatum>(&self, column: i32) -> Option<T> {
        let (datum, is_null) = self.value(column);
        // SAFETY: the caller knows what the query returns.
        unsafe { T::from_datum(datum, is_null) }
    }

    /// Bytes, detoasted.
    pub fn bytes(&self, column: i32) -> Option<Vec<u8>> {
        let (datum, is_null) = self.value(column);
        // SAFETY: a bytea, as the query says.
        unsafe { Vec::from_datum(datum, is_null) }
    }

    /// Text; empty for NULL.
    pub fn text(&self, column: i32) -> String {
        let (datum, is_null) = self.value(column);
        // SAFETY: a text, as the query says.
        unsafe { String::from_datum(datum, is_null) }.unwrap_or_default()
    }

    /// A bigint; 0 for NULL.
    pub fn long(&self, column: i32) -> i64 {
        let (datum, is_null) = self.value(column);
        if is_null { 0 } else { datum.value() as i64 }
    }
}

/// Hands the rows of a query to `take`. Memory that it takes of PostgreSQL's for a row goes with the row.
pub unsafe fn each_row(query: &CStr, arguments: &[(pg_sys::Oid, pg_sys::Datum)], mut take: impl FnMut(&Row)) {
    let (mut types, mut values): (Vec<_>, Vec<_>) = arguments.iter().copied().unzip();
    unsafe {
        pg_sys::SPI_connect();
        let cursor = pg_sys::SPI_cursor_open_with_args(
            std::ptr::null(),
            query.as_ptr(),
            types.len() as i32,
            types.as_mut_ptr(),
            values.as_mut_ptr(),
            std::ptr::null(),
            true,
            0,
        );
        let mut per_row = pgrx::PgMemoryContexts::new("rows of a query of the audit log");
        loop {
            pg_sys::SPI_cursor_fetch(cursor, true, ROWS);
            let (fetched, table) = (pg_sys::SPI_processed as usize, pg_sys::SPI_tuptable);
            for n in 0..fetched {
                pgrx::check_for_interrupts!();
                per_row.reset();
                let before = pg_sys::MemoryContextSwitchTo(per_row.value());
                take(&Row { tuple: *(*table).vals.add(n), descriptor: (*table).tupdesc });
                pg_sys::MemoryContextSwitchTo(before);
            }
            pg_sys::SPI_freetuptable(table);
            if fetched == 0 {
                break;
            }
        }
        // (before that of the connection, within which it is)
        drop(per_row);
        pg_sys::SPI_cursor_close(cursor);
        pg_sys::SPI_finish();
    }
}
