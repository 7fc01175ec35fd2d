//! Keys of audited tables as SQL hands them over, and what is kept by key.

use pgrx::pg_sys;
use pgrx::prelude::*;
use strata_core::chunk::{self, KeyHash};
use strata_core::commitment::{self, Salt};

use super::target;
use crate::leaf::Kind;

/// Version-1 calling convention marker of [`strata_key_hash`].
#[unsafe(no_mangle)]
pub extern "C" fn pg_finfo_strata_key_hash() -> &'static pg_sys::Pg_finfo_record {
    const RECORD: pg_sys::Pg_finfo_record = pg_sys::Pg_finfo_record { api_version: 1 };
    &RECORD
}

/// Version-1 calling convention marker of [`strata_salt_key`].
#[unsafe(no_mangle)]
pub extern "C" fn pg_finfo_strata_salt_key() -> &'static pg_sys::Pg_finfo_record {
    const RECORD: pg_sys::Pg_finfo_record = pg_sys::Pg_finfo_record { api_version: 1 };
    &RECORD
}

/// Version-1 calling convention marker of [`strata_erased_value`].
#[unsafe(no_mangle)]
pub extern "C" fn pg_finfo_strata_erased_value() -> &'static pg_sys::Pg_finfo_record {
    const RECORD: pg_sys::Pg_finfo_record = pg_sys::Pg_finfo_record { api_version: 1 };
    &RECORD
}

/// `strata._key_hash(relation regclass, VARIADIC key "any") RETURNS bigint`: the hash of a key, of the values of its
/// columns in the order of their ids.
///
/// # Safety
/// Called by PostgreSQL's function manager, with no argument that is NULL.
#[unsafe(no_mangle)]
#[pg_guard]
pub unsafe extern "C-unwind" fn strata_key_hash(fcinfo: pg_sys::FunctionCallInfo) -> pg_sys::Datum {
    unsafe { pg_sys::Datum::from(key(fcinfo).finish()) }
}

/// `strata._salt_key(relation regclass, VARIADIC key "any") RETURNS bytea`: what the salt of a key is kept under.
///
/// # Safety
/// Called by PostgreSQL's function manager, with no argument that is NULL.
#[unsafe(no_mangle)]
#[pg_guard]
pub unsafe extern "C-unwind" fn strata_salt_key(fcinfo: pg_sys::FunctionCallInfo) -> pg_sys::Datum {
    unsafe { key(fcinfo).whole().into_datum().unwrap_or(pg_sys::Datum::from(0)) }
}

/// The key whose columns stand behind the relation.
unsafe fn key(fcinfo: pg_sys::FunctionCallInfo) -> KeyHash {
    unsafe {
        let relation = (*fcinfo).args.as_slice(1)[0].value.value() as u32;
        key_from(fcinfo, pg_sys::Oid::from(relation), 1)
    }
}

/// The key of a relation whose columns are the arguments of a call from one on.
pub unsafe fn key_from(fcinfo: pg_sys::FunctionCallInfo, relation: pg_sys::Oid, first: usize) -> KeyHash {
    unsafe {
        let count = (*fcinfo).nargs as usize;
        let arguments = (*fcinfo).args.as_slice(count);
        let key: Vec<_> = (first..count)
            .map(|n| (pg_sys::get_fn_expr_argtype((*fcinfo).flinfo, n as i32), arguments[n].value))
            .collect();
        let target = target::target(relation);
        let Some(key) = target.encoder.key(&key) else { error!("not the key of an audited table") };
        key
    }
}

/// `strata._erased_value(salt bytea, attribute_id int, value "any") RETURNS bytea`: what is kept in place of a value: nothing
/// of NULL, and without a salt only that there was one.
///
/// # Safety
/// Called by PostgreSQL's function manager, with three arguments.
#[unsafe(no_mangle)]
#[pg_guard]
pub unsafe extern "C-unwind" fn strata_erased_value(fcinfo: pg_sys::FunctionCallInfo) -> pg_sys::Datum {
    unsafe {
        let arguments = (*fcinfo).args.as_slice(3);
        let id = arguments[1].value.value() as u32;
        let kept = (!arguments[2].isnull).then(|| {
            let salt = Vec::<u8>::from_datum(arguments[0].value, arguments[0].isnull)
                .and_then(|salt| Salt::try_from(salt).ok());
            let commitment = salt.map_or(commitment::UNKNOWN, |salt| {
                let type_oid = pg_sys::get_fn_expr_argtype((*fcinfo).flinfo, 2);
                let Some(kind) = Kind::of(type_oid, &mut Vec::new()) else {
                    error!("a value of an audited table has no row encoding")
                };
                let mut bytes = Vec::new();
                kind.encode(arguments[2].value, &mut bytes);
                commitment::commit(&salt, id, kind.tag, &bytes)
            });
            commitment::erased(id, &commitment).to_vec()
        });
        kept.unwrap_or_default().into_datum().unwrap_or(pg_sys::Datum::from(0))
    }
}

/// `strata._erased_ids(erased bytea) RETURNS int[]`: which columns an old version has lost values of.
#[pg_extern(sql = false)]
fn erased_ids(erased: &[u8]) -> Vec<i32> {
    let values = commitment::parse_erased(erased)
        .unwrap_or_else(|| error!("what is kept of erased values is not whole"));
    values.into_iter().map(|(id, _)| id.cast_signed()).collect()
}

/// `strata._unpacked(payload bytea, payload_bytes int) RETURNS bytea`: the record of a dead letter; NULL if it is not whole.
#[pg_extern(sql = false)]
fn unpacked(payload: &[u8], payload_bytes: i32) -> Option<Vec<u8>> {
    lz4_flex::block::decompress(payload, usize::try_from(payload_bytes).ok()?).ok()
}

/// `strata._keys_among(entries bytea, keys bigint[]) RETURNS SETOF bigint`: the key hashes of entries that are among some,
/// which ascend.
#[pg_extern(sql = false)]
#[allow(clippy::needless_pass_by_value)]
fn keys_among(entries: &[u8], keys: pgrx::Array<i64>) -> SetOfIterator<'static, i64> {
    let wanted = keys.as_slice().unwrap_or_default();
    let found: Vec<i64> = chunk::entries(entries)
        .unwrap_or_default()
        .iter()
        .map(|entry| chunk::key(entry).cast_signed())
        .filter(|key| wanted.binary_search(key).is_ok())
        .collect();
    SetOfIterator::new(found)
}
