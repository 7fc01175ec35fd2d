//! Reading what a lookup is about, partition by partition, from kept statements: each made by the catalog's functions when
//! it is needed for the first time, and run with the rights of the rollup's owner. Never here: what is pending.

use std::ffi::{c_char, c_int};

use pgrx::pg_sys;

use super::window::Reach;
use super::{bare, cache, plans};

/// Partitions of storage read by one statement: with their indexes and the table they belong to fewer than a backend's
/// places for locks of its own.
const PARTITIONS_AT_ONCE: usize = 4;

/// Parameters of kept statements: `kept_from`, the caller's bounds, `retained_from`, pending batches; keys follow.
pub const PARAMETERS: usize = 5;
pub const KEYS_MAX: usize = 31;

pub const fn parameter_types() -> [pg_sys::Oid; PARAMETERS + KEYS_MAX] {
    let mut types = [pg_sys::TEXTOID; PARAMETERS + KEYS_MAX];
    types[0] = pg_sys::TIMESTAMPTZOID;
    types[1] = pg_sys::TIMESTAMPTZOID;
    types[2] = pg_sys::TIMESTAMPTZOID;
    types[3] = pg_sys::TIMESTAMPTZOID;
    types[4] = pg_sys::INT8MULTIRANGEOID;
    types
}

/// A lookup on its way through storage.
pub struct Reading<'a> {
    pub view: pg_sys::Oid,
    pub receiver: *mut pg_sys::DestReceiver,
    pub entry: &'a cache::Entry,
    pub owner: pg_sys::Oid,
    pub context: c_int,
    pub asked: cache::Asked,
    pub parameters: pg_sys::ParamListInfo,
}

impl Reading<'_> {
    pub unsafe fn all(&self, visible: (i64, i64), reach: &Reach) {
        unsafe {
            let apart = match reach {
                Reach::Buckets(buckets, _) => *buckets,
                _ => (i64::MAX, i64::MIN),
            };
            let shown = |(lower, upper): (i64, i64)| lower < visible.1 && upper > visible.0;
            let mut run: Option<(i64, i64)> = None;
            for (place, &(lower, upper)) in self.entry.stored.iter().enumerate() {
                let stored = shown((lower, upper)) && (upper <= apart.0 || lower >= apart.1);
                // always cut at the same places, so that there are few statements
                if (!stored || place % PARTITIONS_AT_ONCE == 0)
                    && let Some(buckets) = run.take()
                {
                    self.stored(buckets);
                }
                if stored {
                    run = Some((run.map_or(lower, |run| run.0), upper));
                }
            }
            if let Some(buckets) = run {
                self.stored(buckets);
            }
            if let Reach::Buckets(buckets, exact) = *reach
                && shown(buckets)
            {
                // A partition of rows goes only with a lock on its table that waits for this one: none that the
                // snapshot has pending rows of may go before a later look under the same snapshot.
                bare::LockRelationOid(self.entry.source, pg_sys::AccessShareLock as pg_sys::LOCKMODE);
                self.run(cache::Statement { asked: self.asked, buckets, exact: Some(exact) });
            }
        }
    }

    unsafe fn stored(&self, buckets: (i64, i64)) {
        unsafe { self.run(cache::Statement { asked: self.asked, buckets, exact: None }) }
    }

    unsafe fn run(&self, statement: cache::Statement) {
        unsafe {
            let plan = match self.entry.plan(&statement) {
                Some(plan) => plan,
                None => self.plan(statement),
            };
            run_as(self.owner, self.context, plan, self.parameters, self.receiver);
        }
    }

    unsafe fn plan(&self, statement: cache::Statement) -> pg_sys::SPIPlanPtr {
        const TYPES: [pg_sys::Oid; 12] = [
            pg_sys::REGCLASSOID,
            pg_sys::INT8OID,
            pg_sys::INT8OID,
            pg_sys::INT4OID,
            pg_sys::TIMESTAMPTZOID,
            pg_sys::TIMESTAMPTZOID,
            pg_sys::TEXTOID,
            pg_sys::TIMESTAMPTZOID,
            pg_sys::TIMESTAMPTZOID,
            pg_sys::BOOLOID,
            pg_sys::TIMESTAMPTZOID,
            pg_sys::TIMESTAMPTZOID,
        ];
        unsafe {
            let mut types = TYPES;
            let count = if statement.exact.is_some() { TYPES.len() } else { 6 };
            let list = plans::parameters(types.as_ptr(), count);
            let mut place = 0;
            let mut give = |value: pg_sys::Datum| {
                plans::set(list, place, value);
                place += 1;
            };
            give(pg_sys::Datum::from(self.view));
            give(pg_sys::Datum::from(statement.asked.named));
            give(pg_sys::Datum::from(statement.asked.nulls));
            give(pg_sys::Datum::from(statement.asked.bounded));
            give(pg_sys::Datum::from(statement.buckets.0));
            give(pg_sys::Datum::from(statement.buckets.1));
            let mut query = c"SELECT strata._lookup_stored($1, $2, $3, $4, $5, $6)".as_ptr();
            if let (Some(exact), Some(reader)) = (statement.exact, self.entry.reader.as_ref()) {
                query = c"SELECT strata._lookup_exact($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)"
                    .as_ptr();
                give(pg_sys::Datum::from(bare::cstring_to_text(reader.as_ptr())));
                give(pg_sys::Datum::from(exact.pending.0));
                give(pg_sys::Datum::from(exact.pending.1));
                give(pg_sys::Datum::from(exact.marked));
                give(pg_sys::Datum::from(exact.changed.0));
                give(pg_sys::Datum::from(exact.changed.1));
            }
            let text = written(query, types.as_mut_ptr(), count, list).unwrap_or(std::ptr::null_mut());
            let mut types = parameter_types();
            let count = PARAMETERS + self.entry.names.len();
            let plan = prepare_as(self.owner, self.context, text, types.as_mut_ptr(), count);
            self.entry.keep_plan(statement, plan);
            plan
        }
    }
}

/// The text that a query of the catalog gives. As the owner of the catalog.
pub unsafe fn written(
    query: *const c_char,
    types: *mut pg_sys::Oid,
    count: usize,
    list: pg_sys::ParamListInfo,
) -> Option<*mut c_char> {
    unsafe {
        let plan = bare::SPI_prepare_cursor(query, count as c_int, types, 0);
        plans::run(plan, list, std::ptr::null_mut());
        Some(bare::text_to_cstring(bare::pg_detoast_datum(plans::column(1)?.cast_mut_ptr()).cast()))
    }
}

pub unsafe fn prepare_as(
    owner: pg_sys::Oid,
    context: c_int,
    statement: *const c_char,
    types: *mut pg_sys::Oid,
    count: usize,
) -> pg_sys::SPIPlanPtr {
    unsafe { as_owner(owner, context, || plans::prepare(statement, types, count)) }
}

pub unsafe fn run_as(
    owner: pg_sys::Oid,
    context: c_int,
    plan: pg_sys::SPIPlanPtr,
    parameters: pg_sys::ParamListInfo,
    receiver: *mut pg_sys::DestReceiver,
) {
    unsafe { as_owner(owner, context, || plans::run(plan, parameters, receiver)) }
}

/// Users' expressions run with the rights of the rollup's owner and may change nothing of the session's.
unsafe fn as_owner<T>(owner: pg_sys::Oid, context: c_int, work: impl FnOnce() -> T) -> T {
    unsafe {
        let mut before = pg_sys::InvalidOid;
        let mut ignored: c_int = 0;
        bare::GetUserIdAndSecContext(&raw mut before, &raw mut ignored);
        bare::SetUserIdAndSecContext(owner, context | pg_sys::SECURITY_RESTRICTED_OPERATION as c_int);
        let result = work();
        bare::SetUserIdAndSecContext(before, context);
        result
    }
}
