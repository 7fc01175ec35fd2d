//! Statements of lookups, prepared once and kept: through the backend's SPI, always with the generic plan, and each
//! execution under a resource owner of its own, so that its locks go with it. A backend has 16 places for locks that it
//! need not share (until PostgreSQL 18): what a transaction holds beyond that makes many readers wait for the lock
//! manager. Going early is safe: the storage stays locked as a whole, and plans lock and check anew each time.

use std::ffi::{CStr, c_char, c_int};

use pgrx::pg_sys;

use super::bare;

/// Prepares and keeps a statement.
pub unsafe fn prepare(statement: *const c_char, types: *mut pg_sys::Oid, count: usize) -> pg_sys::SPIPlanPtr {
    unsafe {
        let options = pg_sys::CURSOR_OPT_GENERIC_PLAN as c_int;
        let plan = bare::SPI_prepare_cursor(statement, count as c_int, types, options);
        bare::SPI_keepplan(plan);
        plan
    }
}

/// The parameters of a statement, all null yet.
pub unsafe fn parameters(types: *const pg_sys::Oid, count: usize) -> pg_sys::ParamListInfo {
    unsafe {
        let list = bare::makeParamList(count as c_int);
        for place in 0..count {
            let parameter = (*list).params.as_mut_ptr().add(place);
            (*parameter).value = pg_sys::Datum::from(0);
            (*parameter).isnull = true;
            (*parameter).pflags = pg_sys::PARAM_FLAG_CONST as u16;
            (*parameter).ptype = *types.add(place);
        }
        list
    }
}

pub unsafe fn set(list: pg_sys::ParamListInfo, place: usize, value: pg_sys::Datum) {
    unsafe {
        let parameter = (*list).params.as_mut_ptr().add(place);
        (*parameter).value = value;
        (*parameter).isnull = false;
    }
}

/// Runs a query under the caller's snapshot; its rows go to `receiver`, or where there is none to SPI's table.
pub unsafe fn run(
    plan: pg_sys::SPIPlanPtr,
    parameters: pg_sys::ParamListInfo,
    receiver: *mut pg_sys::DestReceiver,
) {
    use pg_sys::ResourceReleasePhase::{
        RESOURCE_RELEASE_AFTER_LOCKS, RESOURCE_RELEASE_BEFORE_LOCKS, RESOURCE_RELEASE_LOCKS,
    };
    unsafe {
        let options = pg_sys::SPIExecuteOptions {
            params: parameters,
            read_only: true,
            allow_nonatomic: false,
            must_return_tuples: false,
            tcount: 0,
            dest: receiver,
            owner: std::ptr::null_mut(),
        };
        let before = pg_sys::CurrentResourceOwner;
        let owner = bare::ResourceOwnerCreate(before, c"strata lookup".as_ptr());
        // after an error it goes with its parent
        pg_sys::CurrentResourceOwner = owner;
        bare::SPI_execute_plan_extended(plan, &raw const options);
        pg_sys::CurrentResourceOwner = before;
        bare::ResourceOwnerRelease(owner, RESOURCE_RELEASE_BEFORE_LOCKS, false, false);
        bare::ResourceOwnerRelease(owner, RESOURCE_RELEASE_LOCKS, false, false);
        bare::ResourceOwnerRelease(owner, RESOURCE_RELEASE_AFTER_LOCKS, false, false);
        bare::ResourceOwnerDelete(owner);
    }
}

/// A column, from 1, of the first row of the last query whose rows went to SPI's table; null where it is, or there is no row.
pub unsafe fn column(number: c_int) -> Option<pg_sys::Datum> {
    unsafe {
        let table = pg_sys::SPI_tuptable;
        if pg_sys::SPI_processed == 0 || table.is_null() {
            return None;
        }
        let mut is_null = false;
        let value = bare::SPI_getbinval(*(*table).vals, (*table).tupdesc, number, &raw mut is_null);
        (!is_null).then_some(value)
    }
}

/// What expressions of the statements are read and planned under, whatever the session has set.
pub unsafe fn settle() -> c_int {
    const SETTINGS: [(&CStr, &CStr); 6] = [
        (c"search_path", c"pg_catalog, pg_temp"),
        (c"timezone", c"UTC"),
        (c"datestyle", c"ISO"),
        (c"intervalstyle", c"postgres"),
        // a key is looked up by index where there is one, whatever the statistics say
        (c"enable_seqscan", c"off"),
        (c"jit", c"off"),
    ];
    unsafe {
        let level = bare::NewGUCNestLevel();
        for (name, value) in SETTINGS {
            bare::set_config_option(
                name.as_ptr(),
                value.as_ptr(),
                pg_sys::GucContext::PGC_USERSET,
                pg_sys::GucSource::PGC_S_SESSION,
                pg_sys::GucAction::GUC_ACTION_SAVE,
                true,
                0,
                false,
            );
        }
        level
    }
}
