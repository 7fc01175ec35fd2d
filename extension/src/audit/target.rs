//! What the trigger knows of a relation it fires on: which audited table it belongs to, how its rows are hashed, where
//! their old versions go. Kept until one of the relations changes.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::rc::Rc;

use pgrx::pg_sys;
use pgrx::prelude::*;
use strata_core::encoding::RowBytes;
use strata_core::merkle::Hash;

use super::partition::Expiry;
use super::salts::{self, Salts};
use crate::catalog::{self, AuditedTable};
use crate::errors::raise;
use crate::leaf::{Encoder, identities};

/// Columns of every history relation that are ours: chunk, time, transaction, operation, and the xmin of the old version.
pub const HISTORY_COLUMNS: usize = 5;

/// An audited table, seen from the relation that holds its rows: the table itself or one of its partitions.
pub struct Target {
    pub audit_id: i32,
    pub uuid: [u8; 16],
    pub history: pg_sys::Oid,
    /// The columns of history: a copy of our own.
    pub history_descriptor: pg_sys::TupleDesc,
    pub encoder: Encoder,
    /// Where in a row of history each column of a stored row goes: pairs of places, history's first.
    pub history_places: Vec<(usize, usize)>,
    /// Whether the relation is, or belongs to, a partition that retention has come to.
    pub expiry: Option<Expiry>,
    /// Where a row of history is put together.
    pub history_row: RefCell<(Vec<pg_sys::Datum>, Vec<bool>)>,
    depends_on: Vec<pg_sys::Oid>,
}

impl Drop for Target {
    fn drop(&mut self) {
        // SAFETY: made by us, referred to by nobody else.
        unsafe { pg_sys::FreeTupleDesc(self.history_descriptor) };
    }
}

impl Target {
    /// Room for hashing rows of this table.
    pub fn bench(&self) -> RowBytes {
        RowBytes::new(self.uuid)
    }

    /// Leaf and key of a row in a slot.
    pub unsafe fn leaf(
        &self,
        slot: *mut pg_sys::TupleTableSlot,
        salts: Salts,
        bench: &mut RowBytes,
    ) -> (Hash, u64) {
        unsafe {
            let (values, nulls) = columns(slot);
            let salt = self.encoder.has_erasable(nulls).then(|| {
                let key = self.encoder.key_of_row(values).whole();
                salts::salt(self.audit_id, &key, salts)
            });
            self.encoder.leaf(values, nulls, salt.as_ref(), bench)
        }
    }
}

// What cannot raise an error, and runs for every row: without the guard of pgrx's bindings.
unsafe extern "C-unwind" {
    fn slot_getsomeattrs_int(slot: *mut pg_sys::TupleTableSlot, count: i32);
}

/// Values of all columns in a slot, and which of them are NULL.
pub unsafe fn columns<'slot>(slot: *mut pg_sys::TupleTableSlot) -> (&'slot [pg_sys::Datum], &'slot [bool]) {
    unsafe {
        let count = (*(*slot).tts_tupleDescriptor).natts;
        if i32::from((*slot).tts_nvalid) < count {
            slot_getsomeattrs_int(slot, count);
        }
        let count = count as usize;
        (
            std::slice::from_raw_parts((*slot).tts_values, count),
            std::slice::from_raw_parts((*slot).tts_isnull, count),
        )
    }
}

thread_local! {
    static GENERATION: Cell<u64> = const { Cell::new(0) };
    static TARGETS: RefCell<HashMap<pg_sys::Oid, Rc<Target>>> = RefCell::new(HashMap::new());
}

/// Changes whenever a target may have become void.
pub fn generation() -> u64 {
    GENERATION.get()
}

/// The target of a relation's rows.
pub unsafe fn target(relation: pg_sys::Oid) -> Rc<Target> {
    if let Some(target) = TARGETS.with_borrow(|targets| targets.get(&relation).cloned()) {
        return target;
    }
    let Some(target) = (unsafe { make(relation) }) else {
        let name = catalog::relation_name(relation);
        raise(
            PgSqlErrorCode::ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE,
            format!("\"{name}\" has the trigger of an audited table and is none"),
            "The catalog of pg_strata has no entry for it, so that the change could not be logged.",
            &format!(
                "Run: SELECT strata.enable_audit('{0}'); or: DROP TRIGGER strata_audit ON {0};",
                catalog::quoted_name(relation)
            ),
        )
    };
    let target = Rc::new(target);
    TARGETS.with_borrow_mut(|targets| targets.insert(relation, target.clone()));
    target
}

// Not among pgrx's bindings.
unsafe extern "C-unwind" {
    #[link_name = "get_partition_ancestors"]
    fn get_partition_ancestors_unguarded(relation: pg_sys::Oid) -> *mut pg_sys::List;
}

/// A relation and the tables it is a partition of, nearest first.
unsafe fn lineage(relation: pg_sys::Oid) -> Vec<pg_sys::Oid> {
    unsafe {
        let mut lineage = vec![relation];
        if pg_sys::get_rel_relispartition(relation) {
            let list = pg_sys::ffi::pg_guard_ffi_boundary(|| get_partition_ancestors_unguarded(relation));
            if !list.is_null() {
                lineage.extend((0..(*list).length as usize).map(|n| (*(*list).elements.add(n)).oid_value));
            }
        }
        lineage
    }
}

unsafe fn make(relation: pg_sys::Oid) -> Option<Target> {
    unsafe {
        let lineage = lineage(relation);
        let (root, entry) =
            lineage.iter().copied().find_map(|one| catalog::audited_table(one).map(|entry| (one, entry)))?;
        let mut target = make_of(relation, root, &entry);
        target.expiry = catalog::expiry(&lineage);
        Some(target)
    }
}

/// What the target of a relation would be if it were a partition of an audited table again; `None` if it cannot be one.
pub unsafe fn as_partition_of(relation: pg_sys::Oid, root: pg_sys::Oid) -> Option<Target> {
    unsafe {
        let entry = catalog::audited_table(root)?;
        let there = identities::live(relation);
        let fits = identities::live(root)
            .iter()
            .all(|(_, name, type_oid)| there.iter().any(|(_, other, its)| other == name && its == type_oid));
        fits.then(|| make_of(relation, root, &entry))
    }
}

unsafe fn make_of(relation: pg_sys::Oid, root: pg_sys::Oid, entry: &AuditedTable) -> Target {
    unsafe {
        let encoder = Encoder::of_partition(relation, root, &entry.columns);
        let columns = identities::attributes_of_partition(relation, root);
        let is_excluded = |id: u32| entry.columns.excluded.iter().any(|one| u32::try_from(*one) == Ok(id));
        let kept: Vec<_> = columns.into_iter().filter(|column| !is_excluded(column.id)).collect();
        let known =
            (entry.name == catalog::quoted_name(root)).then(|| places_in(entry.history, &kept)).flatten();
        let places = known.unwrap_or_else(|| {
            // a column that came since the last change, or it or the table was renamed
            identities::call(&format!("SELECT strata._sync_history({})", entry.audit_id));
            places_in(entry.history, &kept).unwrap_or_else(|| {
                let name = catalog::relation_name(entry.history);
                pgrx::error!("history \"{name}\" lacks a column of its table")
            })
        });
        let mut depends_on = encoder.depends_on.clone();
        depends_on.push(entry.history);
        Target {
            audit_id: entry.audit_id,
            uuid: entry.uuid,
            history: entry.history,
            history_descriptor: descriptor_of(entry.history),
            encoder,
            history_places: places,
            expiry: None,
            history_row: RefCell::default(),
            depends_on,
        }
    }
}

/// A copy of the columns of a relation that stays until it is freed.
unsafe fn descriptor_of(relation: pg_sys::Oid) -> pg_sys::TupleDesc {
    unsafe {
        let lock = pg_sys::AccessShareLock as pg_sys::LOCKMODE;
        let opened = pg_sys::relation_open(relation, lock);
        let before = pg_sys::MemoryContextSwitchTo(pg_sys::TopMemoryContext);
        let copy = pg_sys::CreateTupleDescCopy((*opened).rd_att);
        pg_sys::MemoryContextSwitchTo(before);
        pg_sys::relation_close(opened, lock);
        copy
    }
}

/// Where columns stand in a history relation, by name and type; `None` if one is missing there.
unsafe fn places_in(history: pg_sys::Oid, columns: &[identities::Column]) -> Option<Vec<(usize, usize)>> {
    let there = unsafe { identities::live(history) };
    columns
        .iter()
        .map(|column| {
            there
                .iter()
                // (a history has the base types of domains)
                .find(|(_, name, type_oid)| {
                    *name == column.name && *type_oid == unsafe { pg_sys::getBaseType(column.type_oid) }
                })
                .and_then(|(number, _, _)| usize::try_from(number - 1).ok())
                .map(|place| (place, column.place))
        })
        .collect()
}

/// Forgets targets when what they were made from changes.
pub fn register_callbacks() {
    // SAFETY: registered once per backend, from _PG_init; the callbacks never leave the library.
    unsafe {
        pg_sys::CacheRegisterRelcacheCallback(Some(on_relation_change), pg_sys::Datum::from(0));
        let enums = pg_sys::SysCacheIdentifier::ENUMOID as i32;
        pg_sys::CacheRegisterSyscacheCallback(enums, Some(on_enum_change), pg_sys::Datum::from(0));
    }
}

#[pg_guard]
unsafe extern "C-unwind" fn on_relation_change(_arg: pg_sys::Datum, relation: pg_sys::Oid) {
    GENERATION.set(generation() + 1);
    TARGETS.with_borrow_mut(|targets| {
        targets.retain(|_, target| relation != pg_sys::InvalidOid && !target.depends_on.contains(&relation));
    });
}

#[pg_guard]
unsafe extern "C-unwind" fn on_enum_change(_arg: pg_sys::Datum, _cache: i32, _hash: u32) {
    GENERATION.set(generation() + 1);
    TARGETS.with_borrow_mut(HashMap::clear);
}
