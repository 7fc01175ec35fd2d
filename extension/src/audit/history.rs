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
        let mut row = target.history_row.borrow_mut();
        let (values, nulls) = &mut *row;
        values.resize(count, pg_sys::Datum::from(0));
        nulls.clear();
        nulls.resize(count, true);
        values[0] = pg_sys::Datum::from(segment.chunk_id);
        values[1] = pg_sys::Datum::from(segment.changed_at);
        values[2] = pg_sys::Datum::from(segment.xid);
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
        let formed =
            pg_sys::heap_form_tuple(target.history_descriptor, values.as_mut_ptr(), nulls.as_mut_ptr());
        pg_sys::MemoryContextSwitchTo(before);
        formed
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
        let indexes = pg_sys::CatalogOpenIndexes(history);
        let mut slots: Vec<_> = (0..rows.len().min(ROWS_AT_ONCE))
            .map(|_| pg_sys::MakeSingleTupleTableSlot((*history).rd_att, &raw const pg_sys::TTSOpsHeapTuple))
            .collect();
        for rows in rows.chunks(ROWS_AT_ONCE) {
            let (first, count) = (slots.as_mut_ptr(), rows.len());
            // one boundary for what is many calls a row
            pg_sys::ffi::pg_guard_ffi_boundary(|| write_some(history, indexes, rows.as_ptr(), first, count));
        }
        for slot in slots {
            pg_sys::ExecDropSingleTupleTableSlot(slot);
        }
        pg_sys::CatalogCloseIndexes(indexes);
        pg_sys::MemoryContextSwitchTo(before);
        pg_sys::table_close(history, lock);
        memory.reset();
    }
}

// The same functions as pgrx's, without a boundary around each.
unsafe extern "C-unwind" {
    #[link_name = "ExecStoreHeapTuple"]
    fn store_unguarded(
        row: pg_sys::HeapTuple,
        slot: *mut pg_sys::TupleTableSlot,
        should_free: bool,
    ) -> *mut pg_sys::TupleTableSlot;
    #[link_name = "heap_multi_insert"]
    fn multi_insert_unguarded(
        relation: pg_sys::Relation,
        slots: *mut *mut pg_sys::TupleTableSlot,
        count: i32,
        command: pg_sys::CommandId,
        options: i32,
        bulk: pg_sys::BulkInsertState,
    );
    #[link_name = "GetCurrentCommandId"]
    fn current_command_unguarded(used: bool) -> pg_sys::CommandId;
    #[link_name = "FormIndexDatum"]
    fn form_index_unguarded(
        info: *mut pg_sys::IndexInfo,
        slot: *mut pg_sys::TupleTableSlot,
        estate: *mut pg_sys::EState,
        values: *mut pg_sys::Datum,
        nulls: *mut bool,
    );
    #[link_name = "index_insert"]
    fn index_insert_unguarded(
        index: pg_sys::Relation,
        values: *mut pg_sys::Datum,
        nulls: *mut bool,
        place: pg_sys::ItemPointer,
        relation: pg_sys::Relation,
        check: pg_sys::IndexUniqueCheck::Type,
        unchanged: bool,
        info: *mut pg_sys::IndexInfo,
    ) -> bool;
}

/// Rows into the heap and their entries into the indexes. Within one boundary: nothing here may need to be dropped.
unsafe fn write_some(
    history: pg_sys::Relation,
    indexes: pg_sys::CatalogIndexState,
    rows: *const pg_sys::HeapTuple,
    slots: *mut *mut pg_sys::TupleTableSlot,
    count: usize,
) {
    unsafe {
        for place in 0..count {
            store_unguarded(*rows.add(place), *slots.add(place), true);
        }
        let command = current_command_unguarded(true);
        multi_insert_unguarded(history, slots, count as i32, command, 0, std::ptr::null_mut());
        let mut values = [pg_sys::Datum::from(0); pg_sys::INDEX_MAX_KEYS as usize];
        let mut nulls = [false; pg_sys::INDEX_MAX_KEYS as usize];
        let (values, nulls) = (values.as_mut_ptr(), nulls.as_mut_ptr());
        for place in 0..(*indexes).ri_NumIndices as usize {
            let index = *(*indexes).ri_IndexRelationDescs.add(place);
            let info = *(*indexes).ri_IndexRelationInfo.add(place);
            // one that is being built reads the rows later
            if !(*info).ii_ReadyForInserts {
                continue;
            }
            let check = if (*(*index).rd_index).indisunique {
                pg_sys::IndexUniqueCheck::UNIQUE_CHECK_YES
            } else {
                pg_sys::IndexUniqueCheck::UNIQUE_CHECK_NO
            };
            // (one for a page will do: it goes by the chunk, which these rows share)
            let by_page = (*(*index).rd_rel).relam == pg_sys::BRIN_AM_OID
                && (*info).ii_NumIndexAttrs == 1
                && (*info).ii_IndexAttrNumbers[0] == 1;
            let mut last = None;
            for place in 0..count {
                let slot = *slots.add(place);
                let page = (*slot).tts_tid.ip_blkid;
                let page = (page.bi_hi, page.bi_lo);
                if by_page && last.replace(page) == Some(page) {
                    continue;
                }
                form_index_unguarded(info, slot, std::ptr::null_mut(), values, nulls);
                let place = &raw mut (*slot).tts_tid;
                index_insert_unguarded(index, values, nulls, place, history, check, false, info);
            }
        }
    }
}
