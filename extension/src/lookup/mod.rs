//! `strata.rollup_lookup`: the groups of a rollup by key, from statements that the backend keeps planned. What is pending is
//! looked at first, under the caller's snapshot; partitions of storage that it does not reach are read as stored, a few at
//! a time, the others through the rollup's reader, with partitions of rows that pending batches and marks reach and no others.
//! Whatever is out of the ordinary is left to `strata._rollup_lookup`, which says the same in SQL, and raises the errors.
//! Never here: what a rollup consists of.

mod bare;
mod cache;
mod key;
mod plans;
mod read;
mod shape;
mod window;

use std::cell::Cell;
use std::ffi::c_int;

use pgrx::pg_sys;

pub use cache::register_callbacks;
use read::{KEYS_MAX, PARAMETERS, Reading, parameter_types, prepare_as, run_as, written};

/// Version-1 calling convention marker of [`strata_rollup_lookup`].
#[unsafe(no_mangle)]
pub extern "C" fn pg_finfo_strata_rollup_lookup() -> &'static pg_sys::Pg_finfo_record {
    const RECORD: pg_sys::Pg_finfo_record = pg_sys::Pg_finfo_record { api_version: 1 };
    &RECORD
}

thread_local! {
    static STATE: Cell<pg_sys::SPIPlanPtr> = const { Cell::new(std::ptr::null_mut()) };
}

/// `strata.rollup_lookup(rollup anyelement, key jsonb, lower timestamptz, upper timestamptz) RETURNS SETOF anyelement`
///
/// # Safety
/// Called by PostgreSQL's function manager with four arguments.
#[unsafe(no_mangle)]
pub unsafe extern "C-unwind" fn strata_rollup_lookup(fcinfo: pg_sys::FunctionCallInfo) -> pg_sys::Datum {
    unsafe {
        let args = (*fcinfo).args.as_slice(4);
        let given = |place: usize| (!args[place].isnull).then_some(args[place].value);
        let row_type = bare::get_fn_expr_argtype((*fcinfo).flinfo, 0);
        let mut lookup = Lookup {
            view: bare::get_typ_typrelid(row_type),
            object: given(1),
            lower: given(2),
            upper: given(3),
            receiver: std::ptr::null_mut(),
        };
        if lookup.view != pg_sys::InvalidOid {
            bare::InitMaterializedSRF(fcinfo, 0);
            let result = (*fcinfo).resultinfo.cast::<pg_sys::ReturnSetInfo>();
            lookup.receiver = bare::CreateTuplestoreDestReceiver();
            bare::SetTuplestoreDestReceiverParams(
                lookup.receiver,
                (*result).setResult,
                (*(*result).econtext).ecxt_per_query_memory,
                // what is stored aside must be read while its table is locked
                true,
                (*result).setDesc,
                c"a rollup's storage does not fit its view".as_ptr(),
            );
        }
        bare::SPI_connect();
        if !lookup.read() {
            lookup.read_slowly(row_type);
        }
        bare::SPI_finish();
        (*fcinfo).isnull = true;
        pg_sys::Datum::from(0)
    }
}

struct Lookup {
    view: pg_sys::Oid,
    object: Option<pg_sys::Datum>,
    lower: Option<pg_sys::Datum>,
    upper: Option<pg_sys::Datum>,
    receiver: *mut pg_sys::DestReceiver,
}

impl Lookup {
    /// With the rights of the caller.
    unsafe fn read_slowly(&self, row_type: pg_sys::Oid) {
        unsafe {
            let statement = bare::psprintf(
                c"SELECT * FROM strata._rollup_lookup(NULL::%s, $1, $2, $3)".as_ptr(),
                bare::format_type_be_qualified(row_type),
            );
            let mut types = [pg_sys::JSONBOID, pg_sys::TIMESTAMPTZOID, pg_sys::TIMESTAMPTZOID];
            let plan = bare::SPI_prepare_cursor(statement, 3, types.as_mut_ptr(), 0);
            let list = plans::parameters(types.as_ptr(), 3);
            for (place, value) in [self.object, self.lower, self.upper].into_iter().enumerate() {
                if let Some(value) = value {
                    plans::set(list, place, value);
                }
            }
            plans::run(plan, list, self.receiver);
        }
    }

    /// False, with nothing read, if this is out of the ordinary.
    unsafe fn read(&self) -> bool {
        unsafe {
            let (Some(object), Some(owner), Some(catalog)) =
                (self.object, owner_of(self.view), catalog_owner())
            else {
                return false;
            };
            let mut user = pg_sys::InvalidOid;
            let mut context: c_int = 0;
            bare::GetUserIdAndSecContext(&raw mut user, &raw mut context);
            let may = bare::pg_class_aclcheck(self.view, user, pg_sys::ACL_SELECT);
            if may != pg_sys::AclResult::ACLCHECK_OK {
                return false;
            }
            let inner = context | pg_sys::SECURITY_LOCAL_USERID_CHANGE as c_int;
            let level = plans::settle();
            bare::SetUserIdAndSecContext(catalog, inner);
            let found = self.read_as(owner, inner, object);
            bare::SetUserIdAndSecContext(user, context);
            bare::AtEOXact_GUC(false, level);
            found
        }
    }

    unsafe fn read_as(&self, owner: pg_sys::Oid, context: c_int, object: pg_sys::Datum) -> bool {
        unsafe {
            let Some(entry) = self.entry() else { return false };
            let entry = &*entry;
            let mut key = key::Key { named: 0, nulls: 0, texts: std::ptr::null_mut() };
            if entry.names.len() > KEYS_MAX || !key::read(object, &entry.names, &raw mut key) {
                return false;
            }
            let Some(state) = self.state(entry) else { return false };
            let marks = self.marks(entry, owner, context);
            let bounded = i32::from(self.lower.is_some()) + 2 * i32::from(self.upper.is_some());
            let asked = cache::Asked { named: key.named, nulls: key.nulls, bounded };
            let reach = window::reach(entry, state.pending(), marks);
            if reach == window::Reach::Unknown {
                return false;
            }
            let reading = Reading {
                view: self.view,
                receiver: self.receiver,
                entry,
                owner,
                context,
                asked,
                parameters: state.parameters(entry, &key),
            };
            reading.all(state.visible(), &reach);
            true
        }
    }

    /// The entry of the rollup, with its storage locked to the end of the transaction, so that nobody renames or takes away
    /// what the statements are about.
    unsafe fn entry(&self) -> Option<*mut cache::Entry> {
        unsafe {
            for _ in 0..3 {
                let entry = match cache::find(self.view) {
                    Some(entry) => entry,
                    None => shape::make(self.view),
                };
                if entry.is_null() {
                    return None;
                }
                bare::LockRelationOid((*entry).storage, pg_sys::AccessShareLock as pg_sys::LOCKMODE);
                if !(*entry).stale.get() {
                    return Some(entry);
                }
            }
            None
        }
    }

    unsafe fn state(&self, entry: &cache::Entry) -> Option<State> {
        unsafe {
            let mut types = [pg_sys::REGCLASSOID, pg_sys::TIMESTAMPTZOID, pg_sys::TIMESTAMPTZOID];
            if STATE.get().is_null() {
                let query = c"SELECT * FROM strata._lookup_state($1, $2, $3)".as_ptr();
                STATE.set(plans::prepare(query, types.as_mut_ptr(), 3));
            }
            let list = plans::parameters(types.as_ptr(), 3);
            plans::set(list, 0, pg_sys::Datum::from(self.view));
            for (place, value) in [(1, self.lower), (2, self.upper)] {
                if let Some(value) = value {
                    plans::set(list, place, value);
                }
            }
            plans::run(STATE.get(), list, std::ptr::null_mut());
            let relations = [entry.storage, entry.dirty, entry.definition, entry.source];
            for (place, relation) in relations.into_iter().enumerate() {
                // under an older snapshot it may be made of others
                if plans::column(place as c_int + 1)?.value() as u32 != relation.to_u32() {
                    return None;
                }
            }
            Some(State {
                kept_from: plans::column(5)?,
                retained_from: plans::column(6)?,
                lower: plans::column(7),
                upper: plans::column(8),
                batches: plans::column(9),
                times: (plans::column(10), plans::column(11)),
            })
        }
    }

    /// Lowest and highest bucket of marked groups.
    unsafe fn marks(&self, entry: &cache::Entry, owner: pg_sys::Oid, context: c_int) -> Option<(i64, i64)> {
        unsafe {
            let lock = pg_sys::AccessShareLock as pg_sys::LOCKMODE;
            let table = bare::try_relation_open(entry.dirty, lock);
            // a table without a block has no row that any snapshot shows
            let blocks = if table.is_null() {
                0
            } else {
                let blocks = bare::RelationGetNumberOfBlocksInFork(table, pg_sys::ForkNumber::MAIN_FORKNUM);
                bare::relation_close(table, lock);
                blocks
            };
            if blocks == 0 {
                return None;
            }
            if entry.marks.get().is_null() {
                let mut types = [pg_sys::REGCLASSOID];
                let list = plans::parameters(types.as_ptr(), 1);
                plans::set(list, 0, pg_sys::Datum::from(self.view));
                let text = written(c"SELECT strata._lookup_marks($1)".as_ptr(), types.as_mut_ptr(), 1, list)?;
                entry.marks.set(prepare_as(owner, context, text, std::ptr::null_mut(), 0));
            }
            run_as(owner, context, entry.marks.get(), std::ptr::null_mut(), std::ptr::null_mut());
            Some((plans::column(1)?.value() as i64, plans::column(2)?.value() as i64))
        }
    }
}

/// What a lookup has found in the catalog.
struct State {
    kept_from: pg_sys::Datum,
    retained_from: pg_sys::Datum,
    lower: Option<pg_sys::Datum>,
    upper: Option<pg_sys::Datum>,
    batches: Option<pg_sys::Datum>,
    times: (Option<pg_sys::Datum>, Option<pg_sys::Datum>),
}

impl State {
    /// The event times pending rows lie between.
    fn pending(&self) -> Option<(i64, i64)> {
        self.batches?;
        Some((self.times.0?.value() as i64, self.times.1?.value() as i64))
    }

    /// The places that buckets which are shown lie between.
    fn visible(&self) -> (i64, i64) {
        let kept_from = self.kept_from.value() as i64;
        let lower = self.lower.map_or(i64::MIN, |lower| lower.value() as i64);
        (kept_from.max(lower), self.upper.map_or(i64::MAX, |upper| upper.value() as i64))
    }

    unsafe fn parameters(&self, entry: &cache::Entry, key: &key::Key) -> pg_sys::ParamListInfo {
        unsafe {
            let list = plans::parameters(parameter_types().as_ptr(), PARAMETERS + entry.names.len());
            let values =
                [Some(self.kept_from), self.lower, self.upper, Some(self.retained_from), self.batches];
            for (place, value) in values.into_iter().enumerate() {
                if let Some(value) = value {
                    plans::set(list, place, value);
                }
            }
            for place in 0..entry.names.len() {
                let text = *key.texts.add(place);
                if text.value() != 0 {
                    plans::set(list, PARAMETERS + place, text);
                }
            }
            list
        }
    }
}

unsafe fn owner_of(relation: pg_sys::Oid) -> Option<pg_sys::Oid> {
    unsafe {
        if relation == pg_sys::InvalidOid {
            return None;
        }
        let cache = pg_sys::SysCacheIdentifier::RELOID as c_int;
        let tuple = bare::SearchSysCache1(cache, pg_sys::Datum::from(relation));
        if tuple.is_null() {
            return None;
        }
        let form = pg_sys::GETSTRUCT(tuple).cast::<pg_sys::FormData_pg_class>();
        let owner = (*form).relowner;
        bare::ReleaseSysCache(tuple);
        Some(owner)
    }
}

unsafe fn catalog_owner() -> Option<pg_sys::Oid> {
    unsafe {
        let schema = bare::get_namespace_oid(c"strata".as_ptr(), true);
        owner_of(bare::get_relname_relid(c"_rollups".as_ptr(), schema))
    }
}
