//! Look-ups in the catalogs, PostgreSQL's and ours, without asking for rights: an application that inserts has none on
//! the tables of schema strata. Never here: writing.

use std::cell::RefCell;

use pgrx::pg_sys;
use pgrx::prelude::*;

use crate::errors::raise;

/// What the catalog says of an event table.
#[derive(Clone, Copy)]
pub struct EventTable {
    relation: pg_sys::Oid,
    pub table_id: i32,
    pub sequence: pg_sys::Oid,
    pub ledger: pg_sys::Oid,
}

thread_local! {
    // Entries go when the relation's cache entry is invalidated, as every change of its default does.
    static TABLES: RefCell<Vec<EventTable>> = const { RefCell::new(Vec::new()) };
}

/// The catalog entry of an event table; an error if the relation is none.
pub fn event_table(relation: pg_sys::Oid) -> EventTable {
    if let Some(table) =
        TABLES.with_borrow(|tables| tables.iter().find(|table| table.relation == relation).copied())
    {
        return table;
    }
    // SAFETY: a catalog scan on the backend's main thread, inside a transaction.
    let Some(table) = (unsafe { read_event_table(relation) }) else {
        let name = relation_name(relation);
        raise(
            PgSqlErrorCode::ERRCODE_WRONG_OBJECT_TYPE,
            format!("\"{name}\" is not an event table"),
            "The catalog of pg_strata has no entry for it.",
            "Make it one with strata.create_event_table, or drop the default of its column batch_id.",
        )
    };
    TABLES.with_borrow_mut(|tables| tables.push(table));
    table
}

/// `strata._event_tables`, as declared in `sql/schema/02_catalog.sql`: table_id 1, relation 2, batch_sequence 3.
unsafe fn read_event_table(relation: pg_sys::Oid) -> Option<EventTable> {
    unsafe {
        let ledger = our_table(c"_batches")?;
        scan(our_table(c"_event_tables")?, &[(2, relation)], |tuple, descriptor| EventTable {
            relation,
            table_id: attribute(tuple, 1, descriptor).value() as i32,
            sequence: pg_sys::Oid::from(attribute(tuple, 3, descriptor).value() as u32),
            ledger,
        })
    }
}

/// Whether `strata._ingest_grants` (table_id 1, role 2) names the role or one it is a member of.
pub unsafe fn is_ingest_granted(relation: pg_sys::Oid, user: pg_sys::Oid) -> bool {
    unsafe {
        let Some(table) = read_event_table(relation) else { return false };
        let Some(grants) = our_table(c"_ingest_grants") else { return false };
        let lock = pg_sys::AccessShareLock as pg_sys::LOCKMODE;
        let rel = pg_sys::table_open(grants, lock);
        let scan = pg_sys::systable_beginscan(
            rel,
            pg_sys::InvalidOid,
            false,
            std::ptr::null_mut(),
            0,
            std::ptr::null_mut(),
        );
        let mut granted = false;
        while !granted {
            let tuple = pg_sys::systable_getnext(scan);
            if tuple.is_null() {
                break;
            }
            let table_id = attribute(tuple, 1, (*rel).rd_att).value() as i32;
            let role = pg_sys::Oid::from(attribute(tuple, 2, (*rel).rd_att).value() as u32);
            granted = table_id == table.table_id && pg_sys::has_privs_of_role(user, role);
        }
        pg_sys::systable_endscan(scan);
        pg_sys::table_close(rel, lock);
        granted
    }
}

/// INSERT on the table or on any of its columns.
pub unsafe fn may_insert(relation: pg_sys::Oid, user: pg_sys::Oid) -> bool {
    unsafe {
        let insert = pg_sys::ACL_INSERT as pg_sys::AclMode;
        let ok = pg_sys::AclResult::ACLCHECK_OK;
        pg_sys::pg_class_aclcheck(relation, user, insert) == ok
            || pg_sys::pg_attribute_aclcheck_all(relation, user, insert, pg_sys::AclMaskHow::ACLMASK_ANY) == ok
    }
}

/// The owner of a relation; none if it is gone.
pub unsafe fn owner_of(relation: pg_sys::Oid) -> Option<pg_sys::Oid> {
    unsafe {
        let tuple = pg_sys::SearchSysCache1(
            pg_sys::SysCacheIdentifier::RELOID as i32,
            pg_sys::Datum::from(relation),
        );
        if tuple.is_null() {
            return None;
        }
        let form = pg_sys::GETSTRUCT(tuple).cast::<pg_sys::FormData_pg_class>();
        let owner = (*form).relowner;
        pg_sys::ReleaseSysCache(tuple);
        Some(owner)
    }
}

/// The bare name of a relation, for messages.
pub fn relation_name(relation: pg_sys::Oid) -> String {
    // SAFETY: get_rel_name returns a palloc'd string or NULL.
    unsafe {
        let name = pg_sys::get_rel_name(relation);
        if name.is_null() {
            return format!("OID {}", relation.to_u32());
        }
        std::ffi::CStr::from_ptr(name).to_string_lossy().into_owned()
    }
}

unsafe fn our_table(name: &std::ffi::CStr) -> Option<pg_sys::Oid> {
    unsafe {
        let schema = pg_sys::get_namespace_oid(c"strata".as_ptr(), true);
        let oid = pg_sys::get_relname_relid(name.as_ptr(), schema);
        (oid != pg_sys::InvalidOid).then_some(oid)
    }
}

/// The first row whose attributes equal the given OIDs.
unsafe fn scan<T>(
    table: pg_sys::Oid,
    keys: &[(i16, pg_sys::Oid)],
    read: impl FnOnce(pg_sys::HeapTuple, pg_sys::TupleDesc) -> T,
) -> Option<T> {
    unsafe {
        let lock = pg_sys::AccessShareLock as pg_sys::LOCKMODE;
        let rel = pg_sys::table_open(table, lock);
        let mut scan_keys: Vec<pg_sys::ScanKeyData> = keys
            .iter()
            .map(|&(attribute, value)| {
                let mut key = pg_sys::ScanKeyData::default();
                pg_sys::ScanKeyInit(
                    &raw mut key,
                    attribute,
                    pg_sys::BTEqualStrategyNumber as pg_sys::StrategyNumber,
                    pg_sys::Oid::from(pg_sys::F_OIDEQ),
                    pg_sys::Datum::from(value),
                );
                key
            })
            .collect();
        let scan = pg_sys::systable_beginscan(
            rel,
            pg_sys::InvalidOid,
            false,
            std::ptr::null_mut(),
            scan_keys.len() as i32,
            scan_keys.as_mut_ptr(),
        );
        let tuple = pg_sys::systable_getnext(scan);
        let found = (!tuple.is_null()).then(|| read(tuple, (*rel).rd_att));
        pg_sys::systable_endscan(scan);
        pg_sys::table_close(rel, lock);
        found
    }
}

unsafe fn attribute(tuple: pg_sys::HeapTuple, number: i32, descriptor: pg_sys::TupleDesc) -> pg_sys::Datum {
    unsafe {
        let mut is_null = false;
        pg_sys::heap_getattr(tuple, number, descriptor, &mut is_null)
    }
}

/// Forgets entries when relations change.
pub fn register_callbacks() {
    // SAFETY: registered once per backend, from _PG_init; the callback never leaves the library.
    unsafe {
        pg_sys::CacheRegisterRelcacheCallback(Some(on_relation_change), pg_sys::Datum::from(0));
    }
}

#[pg_guard]
unsafe extern "C-unwind" fn on_relation_change(_arg: pg_sys::Datum, relation: pg_sys::Oid) {
    TABLES.with_borrow_mut(|tables| {
        if relation == pg_sys::InvalidOid {
            tables.clear();
        } else {
            tables.retain(|table| table.relation != relation);
        }
    });
}
