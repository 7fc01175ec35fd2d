//! Row leaves of stored rows: values straight from tuples to the hash of docs/formats.md. A relation's encoder is made
//! once per backend and kept until the relation, a type in it or an enum changes.

pub mod identities;
mod kind;

use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;

use pgrx::pg_sys;
use pgrx::prelude::*;
use sha2::{Digest, Sha256};
use strata_core::encoding::{RowBytes, Tag};
use strata_core::merkle::Hash;

use crate::catalog;
use crate::errors::raise;
use kind::Attribute;
use kind::Kind;
pub use kind::deform;

/// Makes leaves of the rows of one relation.
pub struct Encoder {
    columns: Vec<Attribute>,
    /// Whether the column at the same place belongs to the key.
    in_key: Vec<bool>,
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
        unsafe { Self::of_partition(relation, relation, &[], &[]) }
    }

    /// For the rows of a partition (or the table itself), by the ids of the table's columns, without those excluded.
    pub unsafe fn of_partition(
        partition: pg_sys::Oid,
        table: pg_sys::Oid,
        excluded: &[i32],
        keys: &[i32],
    ) -> Self {
        let mut depends_on = vec![partition, table];
        let mut columns = unsafe { identities::attributes_of_partition(partition, table) };
        let is_of = |ids: &[i32], id: u32| ids.iter().any(|one| u32::try_from(*one) == Ok(id));
        columns.retain(|column| !is_of(excluded, column.id));
        match unsafe { kind::encode_columns(columns, &mut depends_on) } {
            Ok(columns) => {
                let in_key: Vec<bool> = columns.iter().map(|column| is_of(keys, column.id)).collect();
                let mut key = columns.iter().zip(&in_key).filter(|(_, in_key)| **in_key);
                let key_is_integer = key
                    .next()
                    .is_some_and(|(column, _)| matches!(column.kind.tag, Tag::Int2 | Tag::Int4 | Tag::Int8))
                    && key.next().is_none();
                Self { columns, in_key, key_is_integer, depends_on }
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

    /// The hash of a key from the values of its columns, in the order of their ids; `None` if they are not of its types.
    pub unsafe fn key(&self, values: &[(pg_sys::Oid, pg_sys::Datum)]) -> Option<u64> {
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
        let mut key = Key::default();
        for (column, (type_oid, value)) in columns.into_iter().zip(values) {
            if unsafe { Kind::of(*type_oid, &mut Vec::new()) }?.tag != column.kind.tag {
                return None;
            }
            let mut bytes = Vec::new();
            unsafe { column.kind.encode(*value, &mut bytes) };
            key.take(self.key_is_integer, column.id, &bytes);
        }
        Some(key.finish())
    }

    /// The leaf of a row and the hash of its key.
    pub unsafe fn leaf(&self, values: &[pg_sys::Datum], nulls: &[bool], row: &mut RowBytes) -> (Hash, u64) {
        row.begin();
        let mut key = Key::default();
        for (column, in_key) in self.columns.iter().zip(&self.in_key) {
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
                key.take(self.key_is_integer, column.id, row.value());
            }
            if column.absent.as_ref().is_some_and(|absent| absent == row.value()) {
                row.discard();
            } else {
                row.close();
            }
        }
        (row.leaf(), key.finish())
    }
}

/// The hash of a row's key: 64 bits, by which rows of one table are told from each other. An integer stands for itself,
/// anything else is the beginning of a SHA-256.
#[derive(Default)]
struct Key {
    integer: u64,
    hash: Option<Sha256>,
}

impl Key {
    fn take(&mut self, is_integer: bool, id: u32, bytes: &[u8]) {
        if is_integer {
            // (of two, four or eight bytes: what is to its left is its sign)
            let sign = if bytes.first().is_some_and(|byte| *byte >= 0x80) { u64::MAX } else { 0 };
            self.integer = bytes.iter().fold(sign, |integer, byte| integer << 8 | u64::from(*byte));
            return;
        }
        let hash = self.hash.get_or_insert_default();
        hash.update(id.to_be_bytes());
        hash.update((bytes.len() as u64).to_be_bytes());
        hash.update(bytes);
    }

    fn finish(self) -> u64 {
        self.hash.map_or(self.integer, |hash| {
            let hash: Hash = hash.finalize().into();
            u64::from_be_bytes([hash[0], hash[1], hash[2], hash[3], hash[4], hash[5], hash[6], hash[7]])
        })
    }
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
        encoder.leaf(&values, &nulls, &mut row).0.to_vec()
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
