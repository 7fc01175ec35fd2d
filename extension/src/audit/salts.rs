//! The salts of keys of tables with erasable columns: one random secret a key, from its first value that may be erased until
//! it is erased. No other table pays for them.

use pgrx::pg_sys;
use pgrx::prelude::*;
use strata_core::commitment::{SALT_BYTES, Salt};

use crate::catalog;

/// Whose salts are asked for.
#[derive(Clone, Copy)]
pub enum Salts {
    /// Of a row that comes: made if its key has none. Erasing holds writers of the table off, so that what is committed
    /// by now, whatever the transaction's snapshot shows, is what the row will find.
    Made,
    /// Of a row that goes.
    Found,
    /// Of a row that the calling statement's snapshot shows.
    AsOfStatement,
}

/// Stands for a salt that is gone though there are values: no leaf is right then, which the verifier reports.
const GONE: Salt = [0; SALT_BYTES];

/// `strata._audit_salts`, as declared in `sql/schema/11_audit.sql`: `audit_id` 1, `key` 2, `salt` 3.
pub unsafe fn salt(audit_id: i32, key: &[u8], whose: Salts) -> Salt {
    unsafe {
        let Some(table) = catalog::our_table(c"_audit_salts") else { return GONE };
        let makes = matches!(whose, Salts::Made);
        let lock = if makes { pg_sys::RowExclusiveLock } else { pg_sys::AccessShareLock } as pg_sys::LOCKMODE;
        let salts = pg_sys::table_open(table, lock);
        let snapshot = match whose {
            Salts::AsOfStatement => pg_sys::GetActiveSnapshot(),
            _ => &raw mut pg_sys::SnapshotSelfData,
        };
        let found = find(salts, audit_id, key, snapshot);
        let salt = found.unwrap_or_else(|| if makes { make(salts, audit_id, key) } else { GONE });
        pg_sys::table_close(salts, lock);
        salt
    }
}

unsafe fn find(
    salts: pg_sys::Relation,
    audit_id: i32,
    key: &[u8],
    snapshot: pg_sys::Snapshot,
) -> Option<Salt> {
    unsafe {
        let index = catalog::our_table(c"_audit_salts_pkey")?;
        let mut keys: [pg_sys::ScanKeyData; 2] = std::mem::zeroed();
        let key = key.into_datum()?;
        let equal = pg_sys::BTEqualStrategyNumber as pg_sys::StrategyNumber;
        let (int4eq, byteaeq) = (pg_sys::F_INT4EQ, pg_sys::F_BYTEAEQ);
        pg_sys::ScanKeyInit(&raw mut keys[0], 1, equal, int4eq.into(), pg_sys::Datum::from(audit_id));
        pg_sys::ScanKeyInit(&raw mut keys[1], 2, equal, byteaeq.into(), key);
        let scan = pg_sys::systable_beginscan(salts, index, true, snapshot, 2, keys.as_mut_ptr());
        let tuple = pg_sys::systable_getnext(scan);
        let salt = (!tuple.is_null())
            .then(|| {
                let mut is_null = false;
                let value = pg_sys::heap_getattr(tuple, 3, (*salts).rd_att, &mut is_null);
                Vec::<u8>::from_datum(value, is_null)
            })
            .flatten();
        pg_sys::systable_endscan(scan);
        salt.and_then(|salt| Salt::try_from(salt).ok())
    }
}

unsafe fn make(salts: pg_sys::Relation, audit_id: i32, key: &[u8]) -> Salt {
    unsafe {
        let mut salt = GONE;
        if !pg_sys::pg_strong_random(salt.as_mut_ptr().cast(), SALT_BYTES) {
            error!("no randomness is to be had for a salt");
        }
        let mut values = [
            pg_sys::Datum::from(audit_id),
            key.into_datum().unwrap_or(pg_sys::Datum::from(0)),
            salt.as_slice().into_datum().unwrap_or(pg_sys::Datum::from(0)),
        ];
        let mut nulls = [false; 3];
        let tuple = pg_sys::heap_form_tuple((*salts).rd_att, values.as_mut_ptr(), nulls.as_mut_ptr());
        pg_sys::CatalogTupleInsert(salts, tuple);
        pg_sys::heap_freetuple(tuple);
        salt
    }
}
