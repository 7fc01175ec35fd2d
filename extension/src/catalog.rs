//! Look-ups in the catalogs, PostgreSQL's and ours, without asking for rights: an application that inserts has none on
//! the tables of schema strata. Never here: writing.

use std::cell::RefCell;
use std::collections::HashMap;

use pgrx::pg_sys;
use pgrx::prelude::*;

use crate::audit::Expiry;
use crate::errors::raise;
use crate::leaf::Columns;

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

/// `strata._event_tables`, as declared in `sql/schema/02_catalog.sql`: `table_id` 1, `relation` 2, `batch_sequence` 3.
unsafe fn read_event_table(relation: pg_sys::Oid) -> Option<EventTable> {
    unsafe {
        let ledger = our_table(c"_batches")?;
        scan(our_table(c"_event_tables")?, |tuple, descriptor| {
            (oid_attribute(tuple, 2, descriptor) == relation).then(|| EventTable {
                relation,
                table_id: attribute(tuple, 1, descriptor).value() as i32,
                sequence: oid_attribute(tuple, 3, descriptor),
                ledger,
            })
        })
        .next()
    }
}

/// The id a table has as an event table, or as a target in `strata._target_tables` (`table_id` 1, `relation` 2).
unsafe fn ingested_table_id(relation: pg_sys::Oid) -> Option<i32> {
    unsafe {
        if let Some(table) = read_event_table(relation) {
            return Some(table.table_id);
        }
        scan(our_table(c"_target_tables")?, |tuple, descriptor| {
            (oid_attribute(tuple, 2, descriptor) == relation)
                .then(|| attribute(tuple, 1, descriptor).value() as i32)
        })
        .next()
    }
}

/// Whether `strata._ingest_grants` (`table_id` 1, `role` 2) names the role or one it is a member of.
pub unsafe fn is_ingest_granted(relation: pg_sys::Oid, user: pg_sys::Oid) -> bool {
    unsafe {
        let Some(table_id) = ingested_table_id(relation) else { return false };
        let Some(grants) = our_table(c"_ingest_grants") else { return false };
        scan(grants, |tuple, descriptor| {
            let granted = attribute(tuple, 1, descriptor).value() as i32 == table_id
                && pg_sys::has_privs_of_role(user, oid_attribute(tuple, 2, descriptor));
            granted.then_some(())
        })
        .next()
        .is_some()
    }
}

/// `strata._rollups_of(table_id int)`: from `strata._rollups` (`rollup_id` 1, `table_id` 2, `definition` 4, `dirty` 6,
/// `suspended_at` 7).
#[pg_extern(sql = false)]
fn rollups_of(
    table_id: i32,
) -> TableIterator<'static, (name!(rollup_id, i32), name!(definition, pg_sys::Oid), name!(dirty, pg_sys::Oid))>
{
    // SAFETY: a catalog scan on the backend's main thread, inside a transaction.
    let mut rollups: Vec<_> = unsafe {
        our_table(c"_rollups").map_or_else(Vec::new, |rollups| {
            scan(rollups, |tuple, descriptor| {
                let mine = attribute(tuple, 2, descriptor).value() as i32 == table_id;
                (mine && is_null(tuple, 7, descriptor)).then(|| {
                    (
                        attribute(tuple, 1, descriptor).value() as i32,
                        oid_attribute(tuple, 4, descriptor),
                        oid_attribute(tuple, 6, descriptor),
                    )
                })
            })
            .collect()
        })
    };
    rollups.sort_unstable_by_key(|rollup| rollup.0);
    TableIterator::new(rollups)
}

/// The owner of our catalog.
pub unsafe fn owner() -> Option<pg_sys::Oid> {
    unsafe { owner_of(our_table(c"_attribute_ids")?) }
}

/// `strata._attribute_ids` (`relation` 1, `attribute_id` 2, `attribute_number` 3, `dropped` 5, `absent` 7): ids and absent
/// values by attribute number.
pub unsafe fn attribute_ids(relation: pg_sys::Oid) -> HashMap<i16, (u32, Option<Vec<u8>>)> {
    unsafe {
        our_table(c"_attribute_ids").map_or_else(HashMap::new, |ids| {
            scan(ids, |tuple, descriptor| {
                let mine = oid_attribute(tuple, 1, descriptor) == relation
                    && attribute(tuple, 5, descriptor).value() == 0;
                mine.then(|| {
                    let number = attribute(tuple, 3, descriptor).value() as i16;
                    let mut absent_is_null = false;
                    let absent = pg_sys::heap_getattr(tuple, 7, descriptor, &mut absent_is_null);
                    let absent = Vec::<u8>::from_datum(absent, absent_is_null);
                    (number, (attribute(tuple, 2, descriptor).value() as u32, absent))
                })
            })
            .collect()
        })
    }
}

/// What the catalog says of an audited table.
pub struct AuditedTable {
    pub audit_id: i32,
    pub uuid: [u8; 16],
    pub history: pg_sys::Oid,
    pub columns: Columns,
    /// Its name when it was last seen.
    pub name: String,
}

/// `strata._audited_tables` (`audit_id` 1, `relation` 2, `table_uuid` 3, `history` 4, `excluded` 5, `key_ids` 6,
/// `disabled_at` 7, `erasable` 8, `relation_name` 9), of those that are audited now.
pub unsafe fn audited_table(relation: pg_sys::Oid) -> Option<AuditedTable> {
    unsafe {
        scan(our_table(c"_audited_tables")?, |tuple, descriptor| {
            let mine = oid_attribute(tuple, 2, descriptor) == relation && is_null(tuple, 7, descriptor);
            let ids = |number| {
                Vec::<i32>::from_datum(attribute(tuple, number, descriptor), false).unwrap_or_default()
            };
            mine.then(|| AuditedTable {
                audit_id: attribute(tuple, 1, descriptor).value() as i32,
                uuid: *attribute(tuple, 3, descriptor).cast_mut_ptr::<[u8; 16]>(),
                history: oid_attribute(tuple, 4, descriptor),
                columns: Columns { excluded: ids(5), keys: ids(6), erasable: ids(8) },
                name: String::from_datum(attribute(tuple, 9, descriptor), false).unwrap_or_default(),
            })
        })
        .next()
    }
}

/// `strata._audit_expired` (`partition` 2, `is_gone` 3): how far retention is with the first of these relations that it
/// has come to.
pub unsafe fn expiry(relations: &[pg_sys::Oid]) -> Option<Expiry> {
    unsafe {
        scan(our_table(c"_audit_expired")?, |tuple, descriptor| {
            let mine = relations.contains(&oid_attribute(tuple, 2, descriptor));
            let is_gone = attribute(tuple, 3, descriptor).value() != 0;
            mine.then_some(if is_gone { Expiry::Gone } else { Expiry::Going })
        })
        .next()
    }
}

/// `strata._label_ids` (`enum_type` 1, `label_id` 2, `label_oid` 3): ids by the OID of the label.
pub unsafe fn label_ids(enum_type: pg_sys::Oid) -> HashMap<pg_sys::Oid, u32> {
    unsafe {
        our_table(c"_label_ids").map_or_else(HashMap::new, |ids| {
            scan(ids, |tuple, descriptor| {
                (oid_attribute(tuple, 1, descriptor) == enum_type).then(|| {
                    (oid_attribute(tuple, 3, descriptor), attribute(tuple, 2, descriptor).value() as u32)
                })
            })
            .collect()
        })
    }
}

/// INSERT on the table or on any of its columns.
pub unsafe fn may_insert(relation: pg_sys::Oid, user: pg_sys::Oid) -> bool {
    unsafe {
        let insert = pg_sys::ACL_INSERT as pg_sys::AclMode;
        let ok = pg_sys::AclResult::ACLCHECK_OK;
        pg_sys::pg_class_aclcheck(relation, user, insert) == ok
            || pg_sys::pg_attribute_aclcheck_all(relation, user, insert, pg_sys::AclMaskHow::ACLMASK_ANY)
                == ok
    }
}

/// Whether a role may read the whole of a relation.
pub unsafe fn may_select(relation: pg_sys::Oid, user: pg_sys::Oid) -> bool {
    unsafe {
        pg_sys::pg_class_aclcheck(relation, user, pg_sys::ACL_SELECT as pg_sys::AclMode)
            == pg_sys::AclResult::ACLCHECK_OK
    }
}

/// The owner of a relation; none if it is gone.
pub unsafe fn owner_of(relation: pg_sys::Oid) -> Option<pg_sys::Oid> {
    unsafe {
        let tuple =
            pg_sys::SearchSysCache1(pg_sys::SysCacheIdentifier::RELOID as i32, pg_sys::Datum::from(relation));
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

/// A relation's name as it is typed into a statement: with its schema, quoted where needed.
pub fn quoted_name(relation: pg_sys::Oid) -> String {
    // SAFETY: the look-ups return palloc'd strings or NULL, and quoting takes a NULL schema for none.
    unsafe {
        let name = pg_sys::get_rel_name(relation);
        if name.is_null() {
            return format!("OID {}", relation.to_u32());
        }
        let schema = pg_sys::get_namespace_name(pg_sys::get_rel_namespace(relation));
        std::ffi::CStr::from_ptr(pg_sys::quote_qualified_identifier(schema, name))
            .to_string_lossy()
            .into_owned()
    }
}

pub unsafe fn our_table(name: &std::ffi::CStr) -> Option<pg_sys::Oid> {
    unsafe {
        let schema = pg_sys::get_namespace_oid(c"strata".as_ptr(), true);
        let oid = pg_sys::get_relname_relid(name.as_ptr(), schema);
        (oid != pg_sys::InvalidOid).then_some(oid)
    }
}

/// What `read` makes of the rows of one of our small tables, by a snapshot taken now, whatever the transaction's is.
unsafe fn scan<T>(
    table: pg_sys::Oid,
    mut read: impl FnMut(pg_sys::HeapTuple, pg_sys::TupleDesc) -> Option<T>,
) -> impl Iterator<Item = T> {
    let mut found = Vec::new();
    unsafe {
        let lock = pg_sys::AccessShareLock as pg_sys::LOCKMODE;
        let rel = pg_sys::table_open(table, lock);
        let no_keys = std::ptr::null_mut();
        let scan =
            pg_sys::systable_beginscan(rel, pg_sys::InvalidOid, false, std::ptr::null_mut(), 0, no_keys);
        loop {
            let tuple = pg_sys::systable_getnext(scan);
            if tuple.is_null() {
                break;
            }
            found.extend(read(tuple, (*rel).rd_att));
        }
        pg_sys::systable_endscan(scan);
        pg_sys::table_close(rel, lock);
    }
    found.into_iter()
}

unsafe fn oid_attribute(tuple: pg_sys::HeapTuple, number: i32, descriptor: pg_sys::TupleDesc) -> pg_sys::Oid {
    unsafe { pg_sys::Oid::from(attribute(tuple, number, descriptor).value() as u32) }
}

unsafe fn is_null(tuple: pg_sys::HeapTuple, number: i32, descriptor: pg_sys::TupleDesc) -> bool {
    unsafe {
        let mut is_null = false;
        pg_sys::heap_getattr(tuple, number, descriptor, &mut is_null);
        is_null
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
