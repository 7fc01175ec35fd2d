//! `strata.first` and `strata.last`: the value of the row with the lowest or highest key. Of rows with equal keys the
//! lowest value is first and the highest last, by the type's order and then by its bytes, so that every plan and every
//! order of rows gives the same. Written against the backend's bare C functions, as `execute` is: no frame here may own
//! anything that needs dropping. Never here: rollups.

use std::cmp::Ordering;
use std::ffi::{c_char, c_int, c_void};

use pgrx::pg_sys;
use pgrx::prelude::*;

use crate::errors::raise;

unsafe extern "C-unwind" {
    fn AggCheckCallContext(fcinfo: pg_sys::FunctionCallInfo, context: *mut pg_sys::MemoryContext) -> c_int;
    fn get_fn_expr_argtype(flinfo: *mut pg_sys::FmgrInfo, argument: c_int) -> pg_sys::Oid;
    fn lookup_type_cache(type_id: pg_sys::Oid, flags: c_int) -> *mut pg_sys::TypeCacheEntry;
    fn FunctionCall2Coll(
        flinfo: *mut pg_sys::FmgrInfo,
        collation: pg_sys::Oid,
        one: pg_sys::Datum,
        other: pg_sys::Datum,
    ) -> pg_sys::Datum;
    fn datumCopy(value: pg_sys::Datum, by_value: bool, length: c_int) -> pg_sys::Datum;
    fn datumEstimateSpace(value: pg_sys::Datum, is_null: bool, by_value: bool, length: c_int) -> usize;
    fn datumSerialize(
        value: pg_sys::Datum,
        is_null: bool,
        by_value: bool,
        length: c_int,
        start: *mut *mut c_char,
    );
    fn datumRestore(start: *mut *mut c_char, is_null: *mut bool) -> pg_sys::Datum;
    fn datumGetSize(value: pg_sys::Datum, by_value: bool, length: c_int) -> usize;
    fn pg_detoast_datum(datum: *mut pg_sys::varlena) -> *mut pg_sys::varlena;
    fn palloc(size: usize) -> *mut c_void;
    fn pfree(pointer: *mut c_void);
    fn MemoryContextAllocZero(context: pg_sys::MemoryContext, size: usize) -> *mut c_void;
}

/// What is known of a row: in a state both are copies, not toasted, in the aggregate's memory.
#[derive(Clone, Copy)]
struct Row {
    value: Option<pg_sys::Datum>,
    key: pg_sys::Datum,
}

struct State {
    value_type: pg_sys::Oid,
    key_type: pg_sys::Oid,
    row: Row,
}

/// How the values and keys of a call are compared, kept with the call. Entries of the type cache stay where they are.
#[derive(Clone, Copy)]
struct Types {
    value: *mut pg_sys::TypeCacheEntry,
    key: *mut pg_sys::TypeCacheEntry,
}

/// Declares the calling convention of a function for PostgreSQL.
macro_rules! version_1 {
    ($($name:ident)*) => {$(
        #[unsafe(no_mangle)]
        pub extern "C" fn $name() -> &'static pg_sys::Pg_finfo_record {
            const RECORD: pg_sys::Pg_finfo_record = pg_sys::Pg_finfo_record { api_version: 1 };
            &RECORD
        }
    )*};
}
pub(crate) use version_1;

version_1! {
    pg_finfo_strata_first_row pg_finfo_strata_last_row pg_finfo_strata_first_combine pg_finfo_strata_last_combine
    pg_finfo_strata_extreme_value pg_finfo_strata_extreme_serialize pg_finfo_strata_extreme_deserialize
    pg_finfo_strata_first_of pg_finfo_strata_last_of
}

/// `strata._first_row(state internal, value anyelement, at "any") RETURNS internal`
///
/// # Safety
/// Called by PostgreSQL's function manager with three arguments, as are all below with theirs.
#[unsafe(no_mangle)]
pub unsafe extern "C-unwind" fn strata_first_row(fcinfo: pg_sys::FunctionCallInfo) -> pg_sys::Datum {
    unsafe { take_row(fcinfo, Ordering::Less) }
}

/// `strata._last_row(state internal, value anyelement, at "any") RETURNS internal`
///
/// # Safety
/// As above.
#[unsafe(no_mangle)]
pub unsafe extern "C-unwind" fn strata_last_row(fcinfo: pg_sys::FunctionCallInfo) -> pg_sys::Datum {
    unsafe { take_row(fcinfo, Ordering::Greater) }
}

/// `strata._first_combine(one internal, other internal) RETURNS internal`
///
/// # Safety
/// As above.
#[unsafe(no_mangle)]
pub unsafe extern "C-unwind" fn strata_first_combine(fcinfo: pg_sys::FunctionCallInfo) -> pg_sys::Datum {
    unsafe { combine(fcinfo, Ordering::Less) }
}

/// `strata._last_combine(one internal, other internal) RETURNS internal`
///
/// # Safety
/// As above.
#[unsafe(no_mangle)]
pub unsafe extern "C-unwind" fn strata_last_combine(fcinfo: pg_sys::FunctionCallInfo) -> pg_sys::Datum {
    unsafe { combine(fcinfo, Ordering::Greater) }
}

/// `strata._first_of(value anyelement, at "any", other anyelement, other_at "any") RETURNS anyelement`
///
/// # Safety
/// As above.
#[unsafe(no_mangle)]
pub unsafe extern "C-unwind" fn strata_first_of(fcinfo: pg_sys::FunctionCallInfo) -> pg_sys::Datum {
    unsafe { better_of(fcinfo, Ordering::Less) }
}

/// `strata._last_of(value anyelement, at "any", other anyelement, other_at "any") RETURNS anyelement`
///
/// # Safety
/// As above.
#[unsafe(no_mangle)]
pub unsafe extern "C-unwind" fn strata_last_of(fcinfo: pg_sys::FunctionCallInfo) -> pg_sys::Datum {
    unsafe { better_of(fcinfo, Ordering::Greater) }
}

/// `strata._extreme_value(state internal, value anyelement, at "any") RETURNS anyelement`
///
/// # Safety
/// As above.
#[unsafe(no_mangle)]
pub unsafe extern "C-unwind" fn strata_extreme_value(fcinfo: pg_sys::FunctionCallInfo) -> pg_sys::Datum {
    unsafe {
        if let Some(state) = state_of(fcinfo, 0)
            && let Some(value) = (*state).row.value
        {
            let entry = lookup_type_cache((*state).value_type, 0);
            return datumCopy(value, (*entry).typbyval, c_int::from((*entry).typlen));
        }
        null(fcinfo)
    }
}

/// `strata._extreme_serialize(state internal) RETURNS bytea`: for another process of the same server.
///
/// # Safety
/// As above.
#[unsafe(no_mangle)]
pub unsafe extern "C-unwind" fn strata_extreme_serialize(fcinfo: pg_sys::FunctionCallInfo) -> pg_sys::Datum {
    unsafe {
        let Some(state) = state_of(fcinfo, 0) else { return null(fcinfo) };
        let State { value_type, key_type, row } = *state;
        let (value, key) = (lookup_type_cache(value_type, 0), lookup_type_cache(key_type, 0));
        let datum = row.value.unwrap_or(pg_sys::Datum::from(0));
        let (value_length, key_length) = (c_int::from((*value).typlen), c_int::from((*key).typlen));
        let size = HEADER
            + datumEstimateSpace(datum, row.value.is_none(), (*value).typbyval, value_length)
            + datumEstimateSpace(row.key, false, (*key).typbyval, key_length);
        let bytes: *mut c_char = palloc(size).cast();
        pgrx::set_varsize_4b(bytes.cast(), size as i32);
        bytes.add(4).cast::<[u32; 2]>().write_unaligned([value_type.to_u32(), key_type.to_u32()]);
        let mut at = bytes.add(HEADER);
        datumSerialize(datum, row.value.is_none(), (*value).typbyval, value_length, &raw mut at);
        datumSerialize(row.key, false, (*key).typbyval, key_length, &raw mut at);
        pg_sys::Datum::from(bytes)
    }
}

/// Length word and two type OIDs.
const HEADER: usize = 12;

/// `strata._extreme_deserialize(bytes bytea, state internal) RETURNS internal`
///
/// # Safety
/// As above.
#[unsafe(no_mangle)]
pub unsafe extern "C-unwind" fn strata_extreme_deserialize(
    fcinfo: pg_sys::FunctionCallInfo,
) -> pg_sys::Datum {
    unsafe {
        aggregate_context(fcinfo);
        let bytes: *mut c_char = pg_detoast_datum(argument(fcinfo, 0).value.cast_mut_ptr()).cast();
        let [value_type, key_type] = bytes.add(4).cast::<[u32; 2]>().read_unaligned();
        let mut at = bytes.add(HEADER);
        let mut is_null = false;
        let value = datumRestore(&raw mut at, &raw mut is_null);
        let value = if is_null { None } else { Some(value) };
        let key = datumRestore(&raw mut at, &raw mut is_null);
        let state: *mut State = palloc(size_of::<State>()).cast();
        state.write(State {
            value_type: value_type.into(),
            key_type: key_type.into(),
            row: Row { value, key },
        });
        pg_sys::Datum::from(state)
    }
}

unsafe fn take_row(fcinfo: pg_sys::FunctionCallInfo, wanted: Ordering) -> pg_sys::Datum {
    unsafe {
        let context = aggregate_context(fcinfo);
        let state = state_of(fcinfo, 0);
        let (value, key) = (argument(fcinfo, 1), argument(fcinfo, 2));
        if key.isnull {
            return state.map_or_else(|| null(fcinfo), pg_sys::Datum::from);
        }
        let types = types_of_call(fcinfo, 1, 2);
        let row = Row { value: if value.isnull { None } else { Some(value.value) }, key: key.value };
        pg_sys::Datum::from(keep_better(fcinfo, context, state, types, row, wanted))
    }
}

unsafe fn combine(fcinfo: pg_sys::FunctionCallInfo, wanted: Ordering) -> pg_sys::Datum {
    unsafe {
        let context = aggregate_context(fcinfo);
        let state = state_of(fcinfo, 0);
        let Some(other) = state_of(fcinfo, 1) else {
            return state.map_or_else(|| null(fcinfo), pg_sys::Datum::from);
        };
        let types = types_of((*other).value_type, (*other).key_type);
        pg_sys::Datum::from(keep_better(fcinfo, context, state, types, (*other).row, wanted))
    }
}

/// The state after a row, which is copied if it is the better one.
unsafe fn keep_better(
    fcinfo: pg_sys::FunctionCallInfo,
    context: pg_sys::MemoryContext,
    state: Option<*mut State>,
    types: Types,
    row: Row,
    wanted: Ordering,
) -> *mut State {
    unsafe {
        if let Some(state) = state {
            if compare(types, (*fcinfo).fncollation, row, (*state).row, wanted) == wanted {
                let old = (*state).row;
                (*state).row = copy_row(context, types, row);
                free(types.key, old.key);
                if let Some(value) = old.value {
                    free(types.value, value);
                }
            }
            return state;
        }
        let state: *mut State = MemoryContextAllocZero(context, size_of::<State>()).cast();
        state.write(State {
            value_type: (*types.value).type_id,
            key_type: (*types.key).type_id,
            row: copy_row(context, types, row),
        });
        state
    }
}

unsafe fn better_of(fcinfo: pg_sys::FunctionCallInfo, wanted: Ordering) -> pg_sys::Datum {
    unsafe {
        let [value, key, other, other_key] = [0, 1, 2, 3].map(|i| argument(fcinfo, i));
        let takes_first = if other_key.isnull {
            true
        } else if key.isnull {
            false
        } else {
            let types = types_of_call(fcinfo, 0, 1);
            let row = |value: pg_sys::NullableDatum, key: pg_sys::NullableDatum| Row {
                value: if value.isnull { None } else { Some(value.value) },
                key: key.value,
            };
            compare(types, (*fcinfo).fncollation, row(other, other_key), row(value, key), wanted) != wanted
        };
        let chosen = if takes_first { value } else { other };
        (*fcinfo).isnull = chosen.isnull;
        chosen.value
    }
}

/// Orders rows by key, then value, then the bytes of both; a row without a value is the worse one either way.
unsafe fn compare(types: Types, collation: pg_sys::Oid, one: Row, other: Row, wanted: Ordering) -> Ordering {
    unsafe {
        let by_key = compare_typed(types.key, collation, one.key, other.key);
        if by_key != Ordering::Equal {
            return by_key;
        }
        match (one.value, other.value) {
            (None, None) => Ordering::Equal,
            (Some(_), None) => wanted,
            (None, Some(_)) => wanted.reverse(),
            (Some(one), Some(other)) => {
                if (*types.value).cmp_proc == pg_sys::InvalidOid {
                    return compare_bytes(types.value, one, other);
                }
                let by_value = compare_typed(types.value, collation, one, other);
                if by_value == Ordering::Equal { compare_bytes(types.value, one, other) } else { by_value }
            }
        }
    }
}

unsafe fn compare_typed(
    entry: *mut pg_sys::TypeCacheEntry,
    collation: pg_sys::Oid,
    one: pg_sys::Datum,
    other: pg_sys::Datum,
) -> Ordering {
    unsafe {
        match (*entry).type_id {
            pg_sys::TIMESTAMPTZOID | pg_sys::TIMESTAMPOID | pg_sys::INT8OID => {
                (one.value() as i64).cmp(&(other.value() as i64))
            }
            _ => {
                // expressions whose collations contradict each other have none
                let collation =
                    if collation == pg_sys::InvalidOid && (*entry).typcollation != pg_sys::InvalidOid {
                        pg_sys::C_COLLATION_OID
                    } else {
                        collation
                    };
                let finfo = &raw mut (*entry).cmp_proc_finfo;
                (FunctionCall2Coll(finfo, collation, one, other).value() as i32).cmp(&0)
            }
        }
    }
}

unsafe fn compare_bytes(
    entry: *mut pg_sys::TypeCacheEntry,
    one: pg_sys::Datum,
    other: pg_sys::Datum,
) -> Ordering {
    unsafe {
        if (*entry).typbyval {
            return one.value().cmp(&other.value());
        }
        bytes_of(entry, one).cmp(bytes_of(entry, other))
    }
}

unsafe fn bytes_of<'a>(entry: *mut pg_sys::TypeCacheEntry, datum: pg_sys::Datum) -> &'a [u8] {
    unsafe {
        let datum = if (*entry).typlen == -1 {
            pg_sys::Datum::from(pg_detoast_datum(datum.cast_mut_ptr()))
        } else {
            datum
        };
        let size = datumGetSize(datum, false, c_int::from((*entry).typlen));
        std::slice::from_raw_parts(datum.cast_mut_ptr(), size)
    }
}

unsafe fn copy_row(context: pg_sys::MemoryContext, types: Types, row: Row) -> Row {
    unsafe {
        let before = pg_sys::CurrentMemoryContext;
        pg_sys::CurrentMemoryContext = context;
        let copied =
            Row { value: row.value.map(|value| copy(types.value, value)), key: copy(types.key, row.key) };
        pg_sys::CurrentMemoryContext = before;
        copied
    }
}

/// A copy that nothing else owns, in one piece.
unsafe fn copy(entry: *mut pg_sys::TypeCacheEntry, datum: pg_sys::Datum) -> pg_sys::Datum {
    unsafe {
        if (*entry).typlen == -1 {
            let plain = pg_sys::Datum::from(pg_detoast_datum(datum.cast_mut_ptr()));
            if plain.value() != datum.value() {
                return plain;
            }
        }
        datumCopy(datum, (*entry).typbyval, c_int::from((*entry).typlen))
    }
}

unsafe fn free(entry: *mut pg_sys::TypeCacheEntry, datum: pg_sys::Datum) {
    unsafe {
        if !(*entry).typbyval {
            pfree(datum.cast_mut_ptr());
        }
    }
}

/// Types of the arguments that are value and key, looked up once a call site.
unsafe fn types_of_call(fcinfo: pg_sys::FunctionCallInfo, value: c_int, key: c_int) -> Types {
    unsafe {
        let call = (*fcinfo).flinfo;
        let mut kept: *mut Types = (*call).fn_extra.cast();
        if kept.is_null() {
            let types = types_of(get_fn_expr_argtype(call, value), get_fn_expr_argtype(call, key));
            kept = MemoryContextAllocZero((*call).fn_mcxt, size_of::<Types>()).cast();
            kept.write(types);
            (*call).fn_extra = kept.cast();
        }
        *kept
    }
}

unsafe fn types_of(value: pg_sys::Oid, key: pg_sys::Oid) -> Types {
    unsafe {
        let flags = (pg_sys::TYPECACHE_CMP_PROC | pg_sys::TYPECACHE_CMP_PROC_FINFO) as c_int;
        let key_entry = lookup_type_cache(key, flags);
        if (*key_entry).cmp_proc == pg_sys::InvalidOid {
            refuse(key);
        }
        Types { value: lookup_type_cache(value, flags), key: key_entry }
    }
}

#[pg_guard]
extern "C-unwind" fn refuse(key: pg_sys::Oid) {
    // SAFETY: a look-up by OID; the text lives as long as the error that is about to be raised.
    let name =
        unsafe { std::ffi::CStr::from_ptr(pg_sys::format_type_be(key)) }.to_string_lossy().into_owned();
    raise(
        PgSqlErrorCode::ERRCODE_UNDEFINED_FUNCTION,
        format!("rows cannot be put in order by type {name}"),
        "The type has no default order.",
        "Cast the second argument to a type such as timestamptz or bigint.",
    );
}

#[pg_guard]
extern "C-unwind" fn refuse_call() {
    raise(
        PgSqlErrorCode::ERRCODE_INVALID_PARAMETER_VALUE,
        "support function of an aggregate called on its own",
        "",
        "Call the aggregate.",
    );
}

/// The memory that lives as long as the group. Ends the statement where no aggregate is at work.
pub unsafe fn aggregate_context(fcinfo: pg_sys::FunctionCallInfo) -> pg_sys::MemoryContext {
    unsafe {
        let mut context: pg_sys::MemoryContext = std::ptr::null_mut();
        if AggCheckCallContext(fcinfo, &raw mut context) == 0 {
            refuse_call();
        }
        context
    }
}

pub unsafe fn argument(fcinfo: pg_sys::FunctionCallInfo, index: usize) -> pg_sys::NullableDatum {
    unsafe { (*fcinfo).args.as_slice(index + 1)[index] }
}

unsafe fn state_of(fcinfo: pg_sys::FunctionCallInfo, index: usize) -> Option<*mut State> {
    unsafe {
        let argument = argument(fcinfo, index);
        if argument.isnull { None } else { Some(argument.value.cast_mut_ptr()) }
    }
}

pub unsafe fn null(fcinfo: pg_sys::FunctionCallInfo) -> pg_sys::Datum {
    unsafe {
        (*fcinfo).isnull = true;
    }
    pg_sys::Datum::from(0)
}
