//! `strata.histogram`: how many values lie in each of so many ranges of equal width. A state is one varlena, so that
//! handing it to another process is a copy. Written against bare C functions, as `extreme` is: no frame here may own
//! anything that needs dropping.

use std::ffi::c_int;

use pgrx::pg_sys;
use pgrx::prelude::*;

use crate::errors::raise;
use crate::extreme::{aggregate_context, argument, null, version_1};

unsafe extern "C-unwind" {
    fn datumCopy(value: pg_sys::Datum, by_value: bool, length: c_int) -> pg_sys::Datum;
    fn construct_array(
        elements: *mut pg_sys::Datum,
        count: c_int,
        element_type: pg_sys::Oid,
        length: c_int,
        by_value: bool,
        alignment: std::ffi::c_char,
    ) -> *mut pg_sys::ArrayType;
    fn MemoryContextAllocZero(context: pg_sys::MemoryContext, size: usize) -> *mut std::ffi::c_void;
    fn pg_detoast_datum_copy(datum: *mut pg_sys::varlena) -> *mut pg_sys::varlena;
}

/// More ranges than a chart can show, few enough for the state of a group.
const BUCKETS_MAX: i32 = 10_000;

/// Followed in memory by `buckets` + 2 counts.
#[repr(C)]
struct State {
    length_word: u32,
    buckets: i32,
    low: f64,
    high: f64,
}

version_1! {
    pg_finfo_strata_histogram_row pg_finfo_strata_histogram_combine pg_finfo_strata_histogram_value
    pg_finfo_strata_histogram_serialize pg_finfo_strata_histogram_deserialize
}

/// `strata._histogram_row(state internal, value float8, low float8, high float8, buckets int) RETURNS internal`
///
/// # Safety
/// Called by PostgreSQL's function manager with these arguments, as are all below with theirs.
#[unsafe(no_mangle)]
pub unsafe extern "C-unwind" fn strata_histogram_row(fcinfo: pg_sys::FunctionCallInfo) -> pg_sys::Datum {
    unsafe {
        let context = aggregate_context(fcinfo);
        let [state, value, low, high, buckets] = [0, 1, 2, 3, 4].map(|i| argument(fcinfo, i));
        if value.isnull {
            return if state.isnull { null(fcinfo) } else { state.value };
        }
        if low.isnull || high.isnull || buckets.isnull {
            refuse_bounds();
        }
        let [value, low, high] = [value, low, high].map(|d| f64::from_bits(d.value.value() as u64));
        let buckets = buckets.value.value() as i32;
        let state: *mut State = if state.isnull {
            if !low.is_finite() || !high.is_finite() || low >= high || !(1..=BUCKETS_MAX).contains(&buckets) {
                refuse_bounds();
            }
            let size = size_of::<State>() + 8 * (buckets as usize + 2);
            let state: *mut State = MemoryContextAllocZero(context, size).cast();
            pgrx::set_varsize_4b(state.cast(), size as i32);
            (*state).buckets = buckets;
            (*state).low = low;
            (*state).high = high;
            state
        } else {
            state.value.cast_mut_ptr()
        };
        require_same(state, low, high, buckets);
        *counts(state).add(range_of(value, low, high, buckets)) += 1;
        pg_sys::Datum::from(state)
    }
}

/// `strata._histogram_combine(one internal, other internal) RETURNS internal`
///
/// # Safety
/// As above.
#[unsafe(no_mangle)]
pub unsafe extern "C-unwind" fn strata_histogram_combine(fcinfo: pg_sys::FunctionCallInfo) -> pg_sys::Datum {
    unsafe {
        let context = aggregate_context(fcinfo);
        let (one, other) = (argument(fcinfo, 0), argument(fcinfo, 1));
        if other.isnull {
            return if one.isnull { null(fcinfo) } else { one.value };
        } else if one.isnull {
            let before = pg_sys::CurrentMemoryContext;
            pg_sys::CurrentMemoryContext = context;
            let copy = datumCopy(other.value, false, -1);
            pg_sys::CurrentMemoryContext = before;
            return copy;
        }
        let (state, other): (*mut State, *mut State) = (one.value.cast_mut_ptr(), other.value.cast_mut_ptr());
        require_same(state, (*other).low, (*other).high, (*other).buckets);
        for i in 0..(*state).buckets as usize + 2 {
            *counts(state).add(i) += *counts(other).add(i);
        }
        one.value
    }
}

/// `strata._histogram_value(state internal) RETURNS bigint[]`
///
/// # Safety
/// As above.
#[unsafe(no_mangle)]
pub unsafe extern "C-unwind" fn strata_histogram_value(fcinfo: pg_sys::FunctionCallInfo) -> pg_sys::Datum {
    unsafe {
        let state = argument(fcinfo, 0);
        if state.isnull {
            return null(fcinfo);
        }
        let state: *mut State = state.value.cast_mut_ptr();
        // a count is a datum as it stands
        pg_sys::Datum::from(construct_array(
            counts(state).cast(),
            (*state).buckets + 2,
            pg_sys::INT8OID,
            8,
            true,
            pg_sys::TYPALIGN_DOUBLE as std::ffi::c_char,
        ))
    }
}

/// `strata._histogram_serialize(state internal) RETURNS bytea`
///
/// # Safety
/// As above.
#[unsafe(no_mangle)]
pub unsafe extern "C-unwind" fn strata_histogram_serialize(
    fcinfo: pg_sys::FunctionCallInfo,
) -> pg_sys::Datum {
    unsafe {
        aggregate_context(fcinfo);
        datumCopy(argument(fcinfo, 0).value, false, -1)
    }
}

/// `strata._histogram_deserialize(bytes bytea, state internal) RETURNS internal`
///
/// # Safety
/// As above.
#[unsafe(no_mangle)]
pub unsafe extern "C-unwind" fn strata_histogram_deserialize(
    fcinfo: pg_sys::FunctionCallInfo,
) -> pg_sys::Datum {
    unsafe {
        aggregate_context(fcinfo);
        // (a copy, because only memory of its own is aligned)
        pg_sys::Datum::from(pg_detoast_datum_copy(argument(fcinfo, 0).value.cast_mut_ptr()))
    }
}

unsafe fn counts(state: *mut State) -> *mut i64 {
    unsafe { state.add(1).cast() }
}

/// As `width_bucket`, which refuses NaN: that is above, as PostgreSQL orders it.
fn range_of(value: f64, low: f64, high: f64, buckets: i32) -> usize {
    if value < low {
        return 0;
    } else if value >= high || value.is_nan() {
        return buckets as usize + 1;
    }
    let part = if (high - low).is_infinite() {
        (value / 2.0 - low / 2.0) / (high / 2.0 - low / 2.0)
    } else {
        (value - low) / (high - low)
    };
    // the quotient may round to 1
    1 + ((f64::from(buckets) * part) as usize).min(buckets as usize - 1)
}

unsafe fn require_same(state: *mut State, low: f64, high: f64, buckets: i32) {
    unsafe {
        #[allow(clippy::float_cmp)]
        if (*state).low != low || (*state).high != high || (*state).buckets != buckets {
            refuse_change();
        }
    }
}

#[pg_guard]
extern "C-unwind" fn refuse_bounds() {
    raise(
        PgSqlErrorCode::ERRCODE_INVALID_PARAMETER_VALUE,
        "invalid bounds for a histogram",
        "It takes finite bounds, the lower one below the higher, and 1 to 10000 buckets.",
        "For example: strata.histogram(amount, 0, 100, 20).",
    );
}

#[pg_guard]
extern "C-unwind" fn refuse_change() {
    raise(
        PgSqlErrorCode::ERRCODE_INVALID_PARAMETER_VALUE,
        "the bounds of a histogram change from row to row",
        "All rows of a group are counted in the same ranges.",
        "Write constants, or group by what the bounds depend on.",
    );
}
