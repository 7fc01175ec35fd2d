//! The triggers: AFTER ROW for rows that come, change and go, wherever the statement was aimed at (a row trigger reaches
//! every partition by itself, sees what a MERGE really did, and keeps COPY's multi-insert), and BEFORE TRUNCATE.

use pgrx::pg_sys;
use pgrx::prelude::*;
use strata_core::chunk;

use super::salts::Salts;
use super::segment::{self, Operation, Segment};
use super::target::{self, Target};
use super::{history, partition, scan};
use std::cell::RefCell;
use std::rc::Rc;
use strata_core::encoding::RowBytes;

thread_local! {
    // the relation whose row was the last, so that the next is hashed without looking it up
    static LAST: RefCell<Option<Last>> = const { RefCell::new(None) };
}

struct Last {
    relation: pg_sys::Oid,
    generation: u64,
    target: Rc<Target>,
    bench: RowBytes,
}

/// Version-1 calling convention marker of [`strata_audit_row`].
#[unsafe(no_mangle)]
pub extern "C" fn pg_finfo_strata_audit_row() -> &'static pg_sys::Pg_finfo_record {
    const RECORD: pg_sys::Pg_finfo_record = pg_sys::Pg_finfo_record { api_version: 1 };
    &RECORD
}

/// Version-1 calling convention marker of [`strata_audit_truncate`].
#[unsafe(no_mangle)]
pub extern "C" fn pg_finfo_strata_audit_truncate() -> &'static pg_sys::Pg_finfo_record {
    const RECORD: pg_sys::Pg_finfo_record = pg_sys::Pg_finfo_record { api_version: 1 };
    &RECORD
}

/// `strata._audit_row() RETURNS trigger`
///
/// # Safety
/// Called by PostgreSQL's function manager.
#[unsafe(no_mangle)]
#[pg_guard]
pub unsafe extern "C-unwind" fn strata_audit_row(fcinfo: pg_sys::FunctionCallInfo) -> pg_sys::Datum {
    unsafe {
        let data = trigger_data(fcinfo);
        let event = data.tg_event & pg_sys::TRIGGER_EVENT_OPMASK;
        let wanted = pg_sys::TRIGGER_EVENT_ROW | pg_sys::TRIGGER_EVENT_AFTER;
        if data.tg_event & (pg_sys::TRIGGER_EVENT_ROW | pg_sys::TRIGGER_EVENT_TIMINGMASK) != wanted {
            misused();
        }
        let (old, new, operation) = match event {
            pg_sys::TRIGGER_EVENT_INSERT => (None, Some(data.tg_trigslot), Operation::Insert),
            pg_sys::TRIGGER_EVENT_UPDATE => {
                (Some(data.tg_trigslot), Some(data.tg_newslot), Operation::Update)
            }
            _ => (Some(data.tg_trigslot), None, Operation::Delete),
        };
        let command = match event {
            pg_sys::TRIGGER_EVENT_UPDATE => command_of((*data.tg_newtuple).t_data, true),
            event => command_of((*data.tg_trigtuple).t_data, event == pg_sys::TRIGGER_EVENT_INSERT),
        };
        with_target((*data.tg_relation).rd_id, |target, bench| {
            if target.expiry.is_some_and(|expiry| {
                partition::is_passed_over(expiry, (*data.tg_relation).rd_id, new.is_none())
            }) {
                return;
            }
            let added = new.map(|slot| target.leaf(slot, Salts::Made, bench));
            let removed = old.map(|slot| target.leaf(slot, Salts::Found, bench));
            // nothing was changed but columns that are not logged
            if added == removed {
                return;
            }
            // another key is another row: one went and one came
            let moved = added.zip(removed).is_some_and(|((_, new), (_, old))| new != old);
            let [gone, come] = if moved { [Operation::Delete, Operation::Insert] } else { [operation; 2] };
            let gone = removed.zip(old).map(|((leaf, key), slot)| (gone, chunk::entry(&leaf, key), slot));
            let come = added.map(|(leaf, key)| (come, chunk::entry(&leaf, key)));
            if let (Some((gone, old, slot)), Some((come, new))) = (gone, come)
                && gone == come
            {
                segment::with_segment(target, gone, command, |segment| {
                    segment.added.push(new);
                    take_away(segment, target, old, slot);
                });
                return;
            }
            if let Some((gone, old, slot)) = gone {
                segment::with_segment(target, gone, command, |segment| take_away(segment, target, old, slot));
            }
            if let Some((come, new)) = come {
                segment::with_segment(target, come, command, |segment| segment.added.push(new));
            }
        });
        pg_sys::Datum::from(0)
    }
}

/// The command that has brought a row version, or ended it: the same for all rows of a statement, whatever commands
/// triggers of others run in between.
unsafe fn command_of(row: pg_sys::HeapTupleHeader, brought: bool) -> pg_sys::CommandId {
    unsafe {
        if u32::from((*row).t_infomask) & pg_sys::HEAP_COMBOCID == 0 {
            (*row).t_choice.t_heap.t_field3.t_cid
        } else if brought {
            pg_sys::HeapTupleHeaderGetCmin(row)
        } else {
            pg_sys::HeapTupleHeaderGetCmax(row)
        }
    }
}

/// A row that is gone: its leaf, and its old version. (The segment may have been begun by a row of another partition.)
unsafe fn take_away(
    segment: &mut Segment,
    target: &Target,
    entry: chunk::Entry,
    slot: *mut pg_sys::TupleTableSlot,
) {
    unsafe {
        segment.removed.push(entry);
        let row = history::row(segment, target, slot);
        segment.keep_old_row(row);
    }
}

unsafe fn with_target(relation: pg_sys::Oid, use_it: impl FnOnce(&Rc<Target>, &mut RowBytes)) {
    let generation = target::generation();
    let mut last = LAST
        .take()
        .filter(|last| last.relation == relation && last.generation == generation)
        .unwrap_or_else(|| {
            let target = unsafe { target::target(relation) };
            // (looking it up may have changed what is known)
            Last { relation, generation: target::generation(), bench: target.bench(), target }
        });
    use_it(&last.target, &mut last.bench);
    LAST.set(Some(last));
}

/// `strata._audit_truncate() RETURNS trigger`, BEFORE TRUNCATE of a table or partition: its rows are still there.
///
/// # Safety
/// Called by PostgreSQL's function manager.
#[unsafe(no_mangle)]
#[pg_guard]
pub unsafe extern "C-unwind" fn strata_audit_truncate(fcinfo: pg_sys::FunctionCallInfo) -> pg_sys::Datum {
    unsafe {
        let data = trigger_data(fcinfo);
        let timing = data.tg_event & (pg_sys::TRIGGER_EVENT_ROW | pg_sys::TRIGGER_EVENT_TIMINGMASK);
        if timing != pg_sys::TRIGGER_EVENT_BEFORE
            || data.tg_event & pg_sys::TRIGGER_EVENT_OPMASK != pg_sys::TRIGGER_EVENT_TRUNCATE
        {
            misused();
        }
        let relation = (*data.tg_relation).rd_id;
        let command = pg_sys::GetCurrentCommandId(false);
        // a partition that has the trigger itself tells of its own rows
        for leaf in scan::leaves_without_trigger(relation, (*data.tg_trigger).tgfoid) {
            let target = target::target(leaf);
            if target.expiry.is_some_and(|expiry| partition::is_passed_over(expiry, leaf, true)) {
                continue;
            }
            let mut bench = target.bench();
            scan::rows(leaf, scan::latest_snapshot(), |slot| {
                let (leaf, key) = target.leaf(slot, Salts::Found, &mut bench);
                segment::with_segment(&target, Operation::Truncate, command, |segment| {
                    take_away(segment, &target, chunk::entry(&leaf, key), slot);
                });
            });
        }
        pg_sys::Datum::from(0)
    }
}

unsafe fn trigger_data<'call>(fcinfo: pg_sys::FunctionCallInfo) -> &'call pg_sys::TriggerData {
    unsafe {
        let context = (*fcinfo).context;
        if context.is_null() || (*context).type_ != pg_sys::NodeTag::T_TriggerData {
            misused();
        }
        &*context.cast::<pg_sys::TriggerData>()
    }
}

fn misused() -> ! {
    crate::errors::raise(
        PgSqlErrorCode::ERRCODE_E_R_I_E_TRIGGER_PROTOCOL_VIOLATED,
        "a trigger function of the audit log was called by hand",
        "It works as the trigger that enable_audit makes, and as no other.",
        "Run: SELECT strata.enable_audit('<table>');",
    )
}
