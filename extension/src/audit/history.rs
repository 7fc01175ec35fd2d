//! Old versions of rows: formed when a row goes, written many at a time by direct heap and index insert, since whoever
//! changes a table has no right on its history. Never here: which rows, and when.

use std::rc::Rc;

use pgrx::pg_sys;

use super::segment::Segment;
use super::target::{HISTORY_COLUMNS, Target, columns};

/// Rows written by one call: a page or two of them.
const ROWS_AT_ONCE: usize = 128;

/// A row of history from the old version in a slot, in memory of the transaction.
pub unsafe fn row(
    segment: &Segment,
    target: &Target,
    slot: *mut pg_sys::TupleTableSlot,
) -> pg_sys::HeapTuple {
    unsafe {
        let (stored, absent) = columns(slot);
        let count = (*target.history_descriptor).natts as usize;
        let (mut values, mut nulls) = (vec![pg_sys::Datum::from(0); count], vec![true; count]);
        values[0] = pg_sys::Datum::from(segment.chunk_id);
        values[1] = pg_sys::Datum::from(segment.changed_at);
        values[2] = pg_sys::Datum::from(pg_sys::GetTopFullTransactionId().value);
        values[3] = pg_sys::Datum::from(segment.operation.letter());
        let xmin = pg_sys::MinTransactionIdAttributeNumber;
        if let Some(made) = (*(*slot).tts_ops).getsysattr {
            values[4] = made(slot, xmin, &raw mut nulls[4]);
        }
        nulls[..HISTORY_COLUMNS].fill(false);
        for (to, from) in &target.history_places {
            if absent[*from] {
                continue;
            }
            let length = (*target.history_descriptor).attrs.as_slice(count)[*to].attlen;
            values[*to] = if length == -1 { inline(stored[*from]) } else { stored[*from] };
            nulls[*to] = false;
        }
        let before = pg_sys::MemoryContextSwitchTo(pg_sys::TopTransactionContext);
        let row = pg_sys::heap_form_tuple(target.history_descriptor, values.as_mut_ptr(), nulls.as_mut_ptr());
        pg_sys::MemoryContextSwitchTo(before);
        row
    }
}

/// A value that does not refer to the TOAST table of another relation.
unsafe fn inline(value: pg_sys::Datum) -> pg_sys::Datum {
    unsafe {
        let pointer: *mut pg_sys::varlena = value.cast_mut_ptr();
        if pgrx::varatt_is_1b_e(pointer) {
            pg_sys::Datum::from(pg_sys::detoast_external_attr(pointer))
        } else {
            value
        }
    }
}

/// Writes old versions, and frees them.
pub unsafe fn write(target: &Rc<Target>, rows: &[pg_sys::HeapTuple]) {
    if rows.is_empty() {
        return;
    }
    unsafe {
        let lock = pg_sys::RowExclusiveLock as pg_sys::LOCKMODE;
        let history = pg_sys::try_table_open(target.history, lock);
        if history.is_null() {
            pgrx::error!("the history of an audited table is gone");
        }
        // what a value that goes to the TOAST table takes of memory goes with it
        let mut memory = pgrx::PgMemoryContexts::new("old versions of audited rows");
        let before = pg_sys::MemoryContextSwitchTo(memory.value());
        let indexes = Indexes::open(history);
        let mut slots: Vec<_> = (0..rows.len().min(ROWS_AT_ONCE))
            .map(|_| pg_sys::MakeSingleTupleTableSlot((*history).rd_att, &raw const pg_sys::TTSOpsHeapTuple))
            .collect();
        for rows in rows.chunks(ROWS_AT_ONCE) {
            for (row, slot) in rows.iter().zip(&slots) {
                pg_sys::ExecStoreHeapTuple(*row, *slot, true);
            }
            let count = rows.len();
            let command = pg_sys::GetCurrentCommandId(true);
            pg_sys::heap_multi_insert(
                history,
                slots.as_mut_ptr(),
                count as i32,
                command,
                0,
                std::ptr::null_mut(),
            );
            for slot in &slots[..count] {
                indexes.insert(*slot);
            }
        }
        for slot in slots {
            pg_sys::ExecDropSingleTupleTableSlot(slot);
        }
        indexes.close();
        pg_sys::MemoryContextSwitchTo(before);
        pg_sys::table_close(history, lock);
        memory.reset();
    }
}

/// The indexes of a history.
struct Indexes(pg_sys::CatalogIndexState);

impl Indexes {
    unsafe fn open(history: pg_sys::Relation) -> Self {
        Self(unsafe { pg_sys::CatalogOpenIndexes(history) })
    }

    unsafe fn close(self) {
        unsafe { pg_sys::CatalogCloseIndexes(self.0) };
    }

    /// Puts the row in a slot, which has been written, into all of them.
    unsafe fn insert(&self, slot: *mut pg_sys::TupleTableSlot) {
        unsafe {
            let count = (*self.0).ri_NumIndices as usize;
            let mut values = [pg_sys::Datum::from(0); pg_sys::INDEX_MAX_KEYS as usize];
            let mut nulls = [false; pg_sys::INDEX_MAX_KEYS as usize];
            for place in 0..count {
                let index = *(*self.0).ri_IndexRelationDescs.add(place);
                let info = *(*self.0).ri_IndexRelationInfo.add(place);
                // one that is being built reads the row later
                if !(*info).ii_ReadyForInserts {
                    continue;
                }
                pg_sys::FormIndexDatum(
                    info,
                    slot,
                    std::ptr::null_mut(),
                    values.as_mut_ptr(),
                    nulls.as_mut_ptr(),
                );
                let check = if (*(*index).rd_index).indisunique {
                    pg_sys::IndexUniqueCheck::UNIQUE_CHECK_YES
                } else {
                    pg_sys::IndexUniqueCheck::UNIQUE_CHECK_NO
                };
                pg_sys::index_insert(
                    index,
                    values.as_mut_ptr(),
                    nulls.as_mut_ptr(),
                    &raw mut (*slot).tts_tid,
                    (*self.0).ri_RelationDesc,
                    check,
                    false,
                    info,
                );
            }
        }
    }
}
