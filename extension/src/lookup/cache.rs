//! What a backend keeps of the rollups it has looked up: their shape, and statements planned. An entry is good until one of
//! its relations changes (the relation cache says so), or anything that the text of its statements names.
//! Never here: looking up.

use std::cell::{Cell, RefCell};
use std::ffi::CString;

use pgrx::pg_sys;
use pgrx::prelude::*;

use super::bare;

/// Rollups a backend remembers, and statements of one: more than a workload has in turn.
const ENTRIES_MAX: usize = 64;
const PLANS_MAX: usize = 64;

/// Partitions in ascending order: bounds on the time axis, lower inclusive.
pub type Bounds = Vec<(i64, i64)>;

pub struct Entry {
    pub view: pg_sys::Oid,
    pub storage: pg_sys::Oid,
    pub dirty: pg_sys::Oid,
    pub definition: pg_sys::Oid,
    pub source: pg_sys::Oid,
    pub names: Vec<CString>,
    /// Longest bucket in microseconds.
    pub span: i64,
    /// The reader's name; none if it cannot be used.
    pub reader: Option<CString>,
    /// Hashes, as invalidations name them, of functions and types that statements name.
    pub functions: Vec<u32>,
    pub types: Vec<u32>,
    pub stored: Bounds,
    pub rows: Bounds,
    /// Whether a change has made it useless.
    pub stale: Cell<bool>,
    pub marks: Cell<pg_sys::SPIPlanPtr>,
    pub plans: RefCell<Vec<(Statement, pg_sys::SPIPlanPtr)>>,
}

/// What tells the kept statements of a rollup apart.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Statement {
    pub asked: Asked,
    /// Buckets from the first on and before the second; bounds of partitions.
    pub buckets: (i64, i64),
    pub exact: Option<Exact>,
}

/// What a caller gives values for, a bit for each key: named, and named with null; and 1 for a lower, 2 for an upper bound.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Asked {
    pub named: i64,
    pub nulls: i64,
    pub bounded: i32,
}

/// What pending rows and marks reach; event times are bounds of partitions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Exact {
    pub pending: (i64, i64),
    pub marked: bool,
    pub changed: (i64, i64),
}

thread_local! {
    static ENTRIES: RefCell<Vec<*mut Entry>> = const { RefCell::new(Vec::new()) };
    /// Until no statement that may use them is running: the end of the transaction.
    static RETIRED: RefCell<Vec<*mut Entry>> = const { RefCell::new(Vec::new()) };
    static RETIRED_PLANS: RefCell<Vec<pg_sys::SPIPlanPtr>> = const { RefCell::new(Vec::new()) };
}

/// The entry of a rollup that nothing has changed since.
pub fn find(view: pg_sys::Oid) -> Option<*mut Entry> {
    ENTRIES.with_borrow_mut(|entries| {
        let place = entries.iter().position(|&entry| unsafe { (*entry).view } == view)?;
        // SAFETY: entries are freed only after they have been taken out of the list.
        if unsafe { (*entries[place]).stale.get() } {
            RETIRED.with_borrow_mut(|retired| retired.push(entries.swap_remove(place)));
            return None;
        }
        Some(entries[place])
    })
}

pub fn keep(entry: Entry) -> *mut Entry {
    let entry = Box::into_raw(Box::new(entry));
    ENTRIES.with_borrow_mut(|entries| {
        if entries.len() >= ENTRIES_MAX {
            RETIRED.with_borrow_mut(|retired| retired.push(entries.remove(0)));
        }
        entries.push(entry);
    });
    entry
}

impl Entry {
    pub fn plan(&self, statement: &Statement) -> Option<pg_sys::SPIPlanPtr> {
        self.plans.borrow().iter().find(|(kept, _)| kept == statement).map(|&(_, plan)| plan)
    }

    pub fn keep_plan(&self, statement: Statement, plan: pg_sys::SPIPlanPtr) {
        let mut plans = self.plans.borrow_mut();
        if plans.len() >= PLANS_MAX {
            RETIRED_PLANS.with_borrow_mut(|retired| retired.push(plans.remove(0).1));
        }
        plans.push((statement, plan));
    }

    fn depends_on(&self, relation: pg_sys::Oid) -> bool {
        [self.view, self.storage, self.definition, self.source].contains(&relation)
    }
}

pub fn register_callbacks() {
    use pg_sys::SysCacheIdentifier::{NAMESPACEOID, PROCOID, TYPEOID};
    // SAFETY: registered once per backend, from _PG_init; the callbacks never leave the library.
    unsafe {
        pg_sys::CacheRegisterRelcacheCallback(Some(on_relation_change), pg_sys::Datum::from(0));
        // names that statements were written with, and the reader
        for cache in [NAMESPACEOID, PROCOID, TYPEOID] {
            pg_sys::CacheRegisterSyscacheCallback(cache as i32, Some(on_name_change), pg_sys::Datum::from(0));
        }
        pg_sys::RegisterXactCallback(Some(on_transaction), std::ptr::null_mut());
    }
}

fn forget(is_meant: impl Fn(&Entry) -> bool) {
    ENTRIES.with_borrow(|entries| {
        for &entry in entries {
            // SAFETY: as in `find`.
            let entry = unsafe { &*entry };
            if is_meant(entry) {
                entry.stale.set(true);
            }
        }
    });
}

#[pg_guard]
unsafe extern "C-unwind" fn on_relation_change(_arg: pg_sys::Datum, relation: pg_sys::Oid) {
    forget(|entry| relation == pg_sys::InvalidOid || entry.depends_on(relation));
    // the table of marks changes with each vacuum; only its statement names it
    forget_marks(relation);
}

fn forget_marks(relation: pg_sys::Oid) {
    ENTRIES.with_borrow(|entries| {
        for &entry in entries {
            // SAFETY: as in `find`.
            let entry = unsafe { &*entry };
            if entry.dirty == relation && !entry.marks.get().is_null() {
                RETIRED_PLANS
                    .with_borrow_mut(|retired| retired.push(entry.marks.replace(std::ptr::null_mut())));
            }
        }
    });
}

#[pg_guard]
unsafe extern "C-unwind" fn on_name_change(_arg: pg_sys::Datum, cache: i32, hash: u32) {
    use pg_sys::SysCacheIdentifier::{PROCOID, TYPEOID};
    // tables come with types: a new one is nobody's concern here
    forget(|entry| match cache {
        _ if hash == 0 => true,
        cache if cache == PROCOID as i32 => entry.functions.contains(&hash),
        cache if cache == TYPEOID as i32 => entry.types.contains(&hash),
        _ => true,
    });
}

#[pg_guard]
unsafe extern "C-unwind" fn on_transaction(event: pg_sys::XactEvent::Type, _arg: *mut std::ffi::c_void) {
    use pg_sys::XactEvent::{XACT_EVENT_ABORT, XACT_EVENT_COMMIT, XACT_EVENT_PREPARE};
    if !matches!(event, XACT_EVENT_COMMIT | XACT_EVENT_ABORT | XACT_EVENT_PREPARE) {
        return;
    }
    for plan in RETIRED_PLANS.take() {
        // SAFETY: kept plans that nothing refers to any more.
        unsafe { bare::SPI_freeplan(plan) };
    }
    for entry in RETIRED.take() {
        // SAFETY: made by `keep`, and in no list any more.
        let entry = unsafe { Box::from_raw(entry) };
        for (_, plan) in entry.plans.take() {
            unsafe { bare::SPI_freeplan(plan) };
        }
        if !entry.marks.get().is_null() {
            unsafe { bare::SPI_freeplan(entry.marks.get()) };
        }
    }
}
