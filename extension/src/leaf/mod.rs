//! Row leaves of stored rows: values straight from tuples to the hash of docs/formats.md. A relation's encoder is made
//! once per backend and kept until the relation, a type in it or an enum changes.

mod identities;
mod kind;

use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;

use pgrx::pg_sys;
use pgrx::prelude::*;
use strata_core::encoding::RowHasher;
use strata_core::merkle::Hash;

use crate::catalog;
use crate::errors::raise;
use kind::Attribute;

/// Makes leaves of the rows of one relation.
struct Encoder {
    columns: Vec<Attribute>,
    /// Relations whose change makes it void: its own, and those of composites.
    depends_on: Vec<pg_sys::Oid>,
}

thread_local! {
    static ENCODERS: RefCell<HashMap<pg_sys::Oid, Rc<Encoder>>> = RefCell::new(HashMap::new());
}

impl Encoder {
    unsafe fn new(relation: pg_sys::Oid) -> Self {
        let mut depends_on = vec![relation];
        match unsafe { kind::attributes(relation, &mut depends_on) } {
            Ok(columns) => Self { columns, depends_on },
            Err((column, type_oid)) => unsafe { refuse(relation, &column, type_oid) },
        }
    }

    /// The leaf of a row; `bytes` is room for one value.
    unsafe fn leaf(
        &self,
        values: &[pg_sys::Datum],
        nulls: &[bool],
        hasher: &mut RowHasher,
        bytes: &mut Vec<u8>,
    ) -> Hash {
        hasher.begin();
        for column in &self.columns {
            if nulls.get(column.place).is_none_or(|null| *null) {
                continue;
            }
            bytes.clear();
            unsafe { column.kind.encode(values[column.place], bytes) };
            hasher.column(column.id, column.kind.tag, bytes);
        }
        hasher.finish()
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
        let mut hasher = RowHasher::new(*table_uuid.as_bytes());
        encoder.leaf(&values, &nulls, &mut hasher, &mut Vec::new()).to_vec()
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
