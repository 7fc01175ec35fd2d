//! Row leaves of stored rows: values straight from tuples to the hash of docs/formats.md. A relation's encoder is made
//! once per backend and kept until the relation, a type in it or an enum changes.

pub mod identities;
mod kind;

use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;

use pgrx::pg_sys;
use pgrx::prelude::*;
use strata_core::chunk::KeyHash;
use strata_core::commitment::Salt;
use strata_core::encoding::{RowBytes, Tag};
use strata_core::merkle::Hash;

use crate::catalog;
use crate::errors::raise;
use kind::Attribute;
pub use kind::Kind;
pub use kind::deform;

/// Makes leaves of the rows of one relation.
pub struct Encoder {
    columns: Vec<Attribute>,
    /// Whether the column at the same place belongs to the key.
    in_key: Vec<bool>,
    /// Whether the value of the column at the same place may be erased; empty if none may.
    erasable: Vec<bool>,
    /// Whether a key is one integer, which stands for itself.
    key_is_integer: bool,
    /// Relations whose change makes it void: its own, and those of composites.
    pub depends_on: Vec<pg_sys::Oid>,
}

thread_local! {
    static ENCODERS: RefCell<HashMap<pg_sys::Oid, Rc<Encoder>>> = RefCell::new(HashMap::new());
}

impl Encoder {
    unsafe fn new(relation: pg_sys::Oid) -> Self {
        unsafe { Self::of_partition(relation, relation, &Columns::default()) }
    }

    /// For the rows of a partition (or the table itself), by the ids of the table's columns, without those excluded.
    pub unsafe fn of_partition(partition: pg_sys::Oid, table: pg_sys::Oid, chosen: &Columns) -> Self {
        let mut depends_on = vec![partition, table];
        let mut columns = unsafe { identities::attributes_of_partition(partition, table) };
        let is_of = |ids: &[i32], id: u32| ids.iter().any(|one| u32::try_from(*one) == Ok(id));
        columns.retain(|column| !is_of(&chosen.excluded, column.id));
        match unsafe { kind::encode_columns(columns, &mut depends_on) } {
            Ok(mut columns) => {
                let in_key: Vec<bool> = columns.iter().map(|column| is_of(&chosen.keys, column.id)).collect();
                let mut erasable: Vec<bool> =
                    columns.iter().map(|column| is_of(&chosen.erasable, column.id)).collect();
                for (column, _) in columns.iter_mut().zip(&erasable).filter(|(_, erasable)| **erasable) {
                    // (that a row has the default would tell what its value was)
                    column.absent = None;
                }
                if !erasable.contains(&true) {
                    erasable.clear();
                }
                let mut key = columns.iter().zip(&in_key).filter(|(_, in_key)| **in_key);
                let key_is_integer =
                    key.next().is_some_and(|(column, _)| KeyHash::is_integer(column.kind.tag))
                        && key.next().is_none();
                Self { columns, in_key, erasable, key_is_integer, depends_on }
            }
            Err((column, type_oid)) => unsafe { refuse(table, &column, type_oid) },
        }
    }

    /// The highest id of a column.
    pub fn schema(&self) -> u32 {
        self.columns.last().map_or(0, |column| column.id)
    }

    /// Where the columns of the key stand in a tuple.
    pub fn key_places(&self) -> impl Iterator<Item = usize> {
        self.columns.iter().zip(&self.in_key).filter(|(_, in_key)| **in_key).map(|(column, _)| column.place)
    }

    /// Whether a row has a value that may be erased.
    pub fn has_erasable(&self, nulls: &[bool]) -> bool {
        self.columns
            .iter()
            .zip(&self.erasable)
            .any(|(column, erasable)| *erasable && nulls.get(column.place).is_some_and(|null| !null))
    }

    /// The key of a row.
    pub unsafe fn key_of_row(&self, values: &[pg_sys::Datum]) -> KeyHash {
        let mut key = KeyHash::new(self.key_is_integer);
        let mut bytes = Vec::new();
        for (column, _) in self.columns.iter().zip(&self.in_key).filter(|(_, in_key)| **in_key) {
            bytes.clear();
            unsafe { column.kind.encode(values[column.place], &mut bytes) };
            key.take(column.id, &bytes);
        }
        key
    }

    /// A key from the values of its columns, in the order of their ids; `None` if they are not of its types.
    pub unsafe fn key(&self, values: &[(pg_sys::Oid, pg_sys::Datum)]) -> Option<KeyHash> {
        let columns: Vec<_> = self
            .columns
            .iter()
            .zip(&self.in_key)
            .filter(|(_, in_key)| **in_key)
            .map(|(column, _)| column)
            .collect();
        if columns.len() != values.len() {
            return None;
        }
        let mut key = KeyHash::new(self.key_is_integer);
        for (column, (type_oid, value)) in columns.into_iter().zip(values) {
            if unsafe { Kind::of(*type_oid, &mut Vec::new()) }?.tag != column.kind.tag {
                return None;
            }
            let mut bytes = Vec::new();
            unsafe { column.kind.encode(*value, &mut bytes) };
            key.take(column.id, &bytes);
        }
        Some(key)
    }

    /// The leaf of a row and the hash of its key. The salt is that of its key, where it has values that may be erased.
    pub unsafe fn leaf(
        &self,
        values: &[pg_sys::Datum],
        nulls: &[bool],
        salt: Option<&Salt>,
        row: &mut RowBytes,
    ) -> (Hash, u64) {
        row.begin();
        let mut key = KeyHash::new(self.key_is_integer);
        for (place, (column, in_key)) in self.columns.iter().zip(&self.in_key).enumerate() {
            if nulls.get(column.place).is_none_or(|null| *null) {
                if column.absent.is_some() && column.place < nulls.len() {
                    row.open(column.id, Tag::Null);
                    row.close();
                }
                continue;
            }
            let bytes = row.open(column.id, column.kind.tag);
            unsafe { column.kind.encode(values[column.place], bytes) };
            if *in_key {
                key.take(column.id, row.value());
            }
            if column.absent.as_ref().is_some_and(|absent| absent == row.value()) {
                row.discard();
                continue;
            }
            if let Some(salt) = salt.filter(|_| self.erasable.get(place).is_some_and(|erasable| *erasable)) {
                row.commit(salt);
            }
            row.close();
        }
        (row.leaf(), key.finish())
    }
}

/// Columns of a table that are not like the others, by their ids.
#[derive(Default)]
pub struct Columns {
    pub excluded: Vec<i32>,
    pub keys: Vec<i32>,
    pub erasable: Vec<i32>,
}

/// The encoder of a relation, made if need be.
unsafe fn encoder(relation: pg_sys::Oid) -> Rc<Encoder> {
    if let Some(encoder) = ENCODERS.with_borrow(|encoders| encoders.get(&relation).cloned()) {
        return encoder;
    }
    let encoder = Rc::new(unsafe { Encoder::new(relation) });
    ENCODERS.with_borrow_mut(|encoders| encoders.insert(relation, encoder.clone()));
    encoder
}

unsafe fn refuse(relation: pg_sys::Oid, column: &str, type_oid: pg_sys::Oid) -> ! {
    let type_name =
        unsafe { std::ffi::CStr::from_ptr(pg_sys::format_type_be(type_oid)).to_string_lossy().into_owned() };
    raise(
        PgSqlErrorCode::ERRCODE_FEATURE_NOT_SUPPORTED,
        format!("column \"{column}\" of \"{}\" has no row encoding", catalog::relation_name(relation)),
        &format!("There is no pinned encoding of type {type_name}, or of a type inside it."),
        "Exclude the column, or change its type to one that docs/formats.md lists.",
    )
}

/// `strata._stored_leaf(table_uuid uuid, relation regclass, stored record) RETURNS bytea`: the leaf of a row of the relation.
#[pg_extern(sql = false)]
fn stored_leaf(table_uuid: pgrx::datum::Uuid, relation: pg_sys::Oid, stored: pgrx::AnyElement) -> Vec<u8> {
    // SAFETY: a composite value of the caller's, on the backend's main thread.
    unsafe {
        if pg_sys::get_typ_typrelid(stored.oid()) != relation {
            raise(
                PgSqlErrorCode::ERRCODE_DATATYPE_MISMATCH,
                format!("not a row of \"{}\"", catalog::relation_name(relation)),
                "The value is of another type than the rows of the relation.",
                "Pass the row by an alias of the table that is no name of a column.",
            );
        }
        let encoder = encoder(relation);
        let (values, nulls) = kind::deform(stored.datum());
        let mut row = RowBytes::new(*table_uuid.as_bytes());
        encoder.leaf(&values, &nulls, None, &mut row).0.to_vec()
    }
}

/// What PostgreSQL keeps of the default of an `ADD COLUMN` (its header for it is not among pgrx's).
#[repr(C)]
struct AttrMissing {
    present: bool,
    value: pg_sys::Datum,
}

/// `strata._absent_value(relation regclass, attribute_number int) RETURNS bytea`: the bytes of the value
/// that rows older than the column have in it; NULL if that is NULL.
#[pg_extern(sql = false)]
fn absent_value(relation: pg_sys::Oid, attribute_number: i32) -> Option<Vec<u8>> {
    // SAFETY: a relation held open, on the backend's main thread.
    unsafe {
        let lock = pg_sys::AccessShareLock as pg_sys::LOCKMODE;
        let opened = pg_sys::relation_open(relation, lock);
        let constraints = (*(*opened).rd_att).constr;
        let missing = if constraints.is_null() {
            std::ptr::null()
        } else {
            (*constraints).missing.cast::<AttrMissing>().cast_const()
        };
        let place = usize::try_from(attribute_number - 1).ok();
        let value = place.filter(|_| !missing.is_null()).and_then(|place| {
            let missing = &*missing.add(place);
            let type_oid =
                (*(*opened).rd_att).attrs.as_slice((*(*opened).rd_att).natts as usize)[place].atttypid;
            missing.present.then(|| kind::encode_one(type_oid, missing.value)).flatten()
        });
        pg_sys::relation_close(opened, lock);
        value
    }
}

/// Forgets encoders when what they were made from changes.
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
    ENCODERS.with_borrow_mut(|encoders| {
        encoders
            .retain(|_, encoder| relation != pg_sys::InvalidOid && !encoder.depends_on.contains(&relation));
    });
}

#[pg_guard]
unsafe extern "C-unwind" fn on_enum_change(_arg: pg_sys::Datum, _cache: i32, _hash: u32) {
    ENCODERS.with_borrow_mut(HashMap::clear);
}
