//! Running a statement as another role, for functions that own the catalog but must never evaluate a user's
//! expression with their own rights. Written against the backend's bare C functions: an error passes through by
//! longjmp with its SQLSTATE, detail and hint untouched, which the binding layer would flatten for codes it does not
//! know. No frame here may own anything that needs dropping.

use std::ffi::{c_char, c_int, c_long};

use pgrx::pg_sys;

unsafe extern "C-unwind" {
    fn SPI_connect() -> c_int;
    fn SPI_finish() -> c_int;
    fn SPI_execute(src: *const c_char, read_only: bool, tcount: c_long) -> c_int;
    fn SPI_prepare(src: *const c_char, nargs: c_int, argtypes: *mut pg_sys::Oid) -> pg_sys::SPIPlanPtr;
    fn SPI_execute_snapshot(
        plan: pg_sys::SPIPlanPtr,
        values: *mut pg_sys::Datum,
        nulls: *const c_char,
        snapshot: pg_sys::Snapshot,
        crosscheck_snapshot: pg_sys::Snapshot,
        read_only: bool,
        fire_triggers: bool,
        tcount: c_long,
    ) -> c_int;
    fn GetTransactionSnapshot() -> pg_sys::Snapshot;
    fn RegisterSnapshot(snapshot: pg_sys::Snapshot) -> pg_sys::Snapshot;
    fn UnregisterSnapshot(snapshot: pg_sys::Snapshot);
    fn AcceptInvalidationMessages();
    fn SPI_gettypeid(desc: pg_sys::TupleDesc, column: c_int) -> pg_sys::Oid;
    fn SPI_getbinval(
        tuple: pg_sys::HeapTuple,
        desc: pg_sys::TupleDesc,
        column: c_int,
        is_null: *mut bool,
    ) -> pg_sys::Datum;
    fn SPI_getvalue(tuple: pg_sys::HeapTuple, desc: pg_sys::TupleDesc, column: c_int) -> *mut c_char;
    fn SPI_palloc(size: usize) -> *mut std::ffi::c_void;
    fn GetUserIdAndSecContext(user: *mut pg_sys::Oid, context: *mut c_int);
    fn SetUserIdAndSecContext(user: pg_sys::Oid, context: c_int);
    fn NewGUCNestLevel() -> c_int;
    fn AtEOXact_GUC(is_commit: bool, nest_level: c_int);
    fn text_to_cstring(text: *const pg_sys::text) -> *mut c_char;
    fn pg_detoast_datum_packed(datum: *mut pg_sys::varlena) -> *mut pg_sys::varlena;
    fn cstring_to_text(s: *const c_char) -> *mut pg_sys::text;
    fn strlen(s: *const c_char) -> usize;
}

/// Version-1 calling convention marker of [`strata_execute_as`].
#[unsafe(no_mangle)]
pub extern "C" fn pg_finfo_strata_execute_as() -> &'static pg_sys::Pg_finfo_record {
    const RECORD: pg_sys::Pg_finfo_record = pg_sys::Pg_finfo_record { api_version: 1 };
    &RECORD
}

/// Version-1 calling convention marker of [`strata_fold_as`].
#[unsafe(no_mangle)]
pub extern "C" fn pg_finfo_strata_fold_as() -> &'static pg_sys::Pg_finfo_record {
    const RECORD: pg_sys::Pg_finfo_record = pg_sys::Pg_finfo_record { api_version: 1 };
    &RECORD
}

/// Version-1 calling convention marker of [`strata_read_as`].
#[unsafe(no_mangle)]
pub extern "C" fn pg_finfo_strata_read_as() -> &'static pg_sys::Pg_finfo_record {
    const RECORD: pg_sys::Pg_finfo_record = pg_sys::Pg_finfo_record { api_version: 1 };
    &RECORD
}

/// `strata._execute_as(role regrole, statement text) RETURNS text`: runs one statement with the rights of `role`, in
/// a security-restricted context, and returns the first column of its first row.
///
/// # Safety
/// Called by PostgreSQL's function manager with two arguments that are not null.
#[unsafe(no_mangle)]
pub unsafe extern "C-unwind" fn strata_execute_as(fcinfo: pg_sys::FunctionCallInfo) -> pg_sys::Datum {
    unsafe { run_as(fcinfo, |statement| execute(statement)) }
}

/// `strata._fold_as(role regrole, bounds text, statement text, plain text, horizon bigint) RETURNS text`: like `_execute_as`,
/// under a snapshot that is older than the plan, with the row that `bounds` gives under it as parameters. If the first of
/// them is null there is nothing to run; if the last is true it is `plain`.
///
/// # Safety
/// Called by PostgreSQL's function manager with five arguments that are not null.
#[unsafe(no_mangle)]
pub unsafe extern "C-unwind" fn strata_fold_as(fcinfo: pg_sys::FunctionCallInfo) -> pg_sys::Datum {
    unsafe {
        let args = (*fcinfo).args.as_slice(5);
        let text =
            |place: usize| text_to_cstring(pg_detoast_datum_packed(args[place].value.cast_mut_ptr()).cast());
        let (statement, plain, horizon) = (text(2), text(3), args[4].value);
        run_as(fcinfo, |bounds| execute_planned_after_snapshot(bounds, statement, plain, horizon))
    }
}

/// `strata._read_as(role regrole, statement text) RETURNS text`: like `_execute_as`, for a query under the snapshot of the
/// statement that calls it.
///
/// # Safety
/// Called by PostgreSQL's function manager with two arguments that are not null.
#[unsafe(no_mangle)]
pub unsafe extern "C-unwind" fn strata_read_as(fcinfo: pg_sys::FunctionCallInfo) -> pg_sys::Datum {
    unsafe { run_as(fcinfo, |statement| execute_under_active_snapshot(statement)) }
}

unsafe fn run_as(fcinfo: pg_sys::FunctionCallInfo, execute: impl Fn(*const c_char)) -> pg_sys::Datum {
    unsafe {
        let args = (*fcinfo).args.as_slice(2);
        let role = pg_sys::Oid::from(args[0].value.value() as u32);
        let statement = text_to_cstring(pg_detoast_datum_packed(args[1].value.cast_mut_ptr()).cast());

        let mut user = pg_sys::InvalidOid;
        let mut context: c_int = 0;
        GetUserIdAndSecContext(&raw mut user, &raw mut context);
        SetUserIdAndSecContext(
            role,
            context
                | pg_sys::SECURITY_LOCAL_USERID_CHANGE as c_int
                | pg_sys::SECURITY_RESTRICTED_OPERATION as c_int,
        );
        // Settings that the role's expressions change end with the statement.
        let settings = NewGUCNestLevel();
        SPI_connect();
        // An error from here on unwinds by longjmp; aborting the (sub)transaction gives the old role back.
        execute(statement);
        let result = first_value();
        SPI_finish();
        AtEOXact_GUC(false, settings);
        SetUserIdAndSecContext(user, context);

        if result.is_null() {
            (*fcinfo).isnull = true;
            return pg_sys::Datum::from(0);
        }
        pg_sys::Datum::from(cstring_to_text(result))
    }
}

unsafe fn execute(statement: *const c_char) {
    unsafe {
        SPI_execute(statement, false, 0);
    }
}

unsafe fn execute_under_active_snapshot(statement: *const c_char) {
    unsafe {
        SPI_execute(statement, true, 0);
    }
}

/// PostgreSQL plans first and takes the snapshot then. Planning waits where a partition is locked; a partition made and
/// filled meanwhile would be in the snapshot and not in the plan: its batch would count as folded, its rows would not
/// have been read. With the snapshot taken first, the plan knows every partition that the snapshot has rows of.
unsafe fn execute_planned_after_snapshot(
    bounds: *const c_char,
    statement: *const c_char,
    plain: *const c_char,
    horizon: pg_sys::Datum,
) {
    unsafe {
        let snapshot = RegisterSnapshot(GetTransactionSnapshot());
        // what is in the snapshot must be in the relation cache too, also where the table's lock is held already
        AcceptInvalidationMessages();
        let mut parameters = Parameters::NONE;
        parameters.count = 1;
        parameters.types[0] = pg_sys::INT8OID;
        parameters.values[0] = horizon;
        execute_under(snapshot, bounds, &mut parameters);
        parameters.take();
        if parameters.nulls[0] != b'n' as c_char {
            let chosen = if parameters.ends_in_true() { plain } else { statement };
            execute_under(snapshot, chosen, &mut parameters);
        }
        UnregisterSnapshot(snapshot);
    }
}

unsafe fn execute_under(snapshot: pg_sys::Snapshot, statement: *const c_char, parameters: &mut Parameters) {
    unsafe {
        let plan = SPI_prepare(statement, parameters.count, parameters.types.as_mut_ptr());
        let (values, nulls) = (parameters.values.as_mut_ptr(), parameters.nulls.as_ptr());
        let none = std::ptr::null_mut();
        SPI_execute_snapshot(plan, values, nulls, snapshot, none, false, true, 0);
    }
}

const PARAMETERS_MAX: usize = 10;

/// What stands for `$1` and so on.
struct Parameters {
    count: c_int,
    types: [pg_sys::Oid; PARAMETERS_MAX],
    values: [pg_sys::Datum; PARAMETERS_MAX],
    nulls: [c_char; PARAMETERS_MAX],
}

impl Parameters {
    const NONE: Self = Self {
        count: 0,
        types: [pg_sys::InvalidOid; PARAMETERS_MAX],
        values: [pg_sys::Datum::null(); PARAMETERS_MAX],
        nulls: [b' ' as c_char; PARAMETERS_MAX],
    };

    fn ends_in_true(&self) -> bool {
        let last = self.count as usize - 1;
        self.types[last] == pg_sys::BOOLOID && self.values[last].value() != 0
    }

    /// The columns of the first row of the last statement, which live until `SPI_finish`.
    unsafe fn take(&mut self) {
        unsafe {
            let table = pg_sys::SPI_tuptable;
            if table.is_null() || pg_sys::SPI_processed == 0 {
                return;
            }
            let descriptor = (*table).tupdesc;
            self.count = (*descriptor).natts.min(PARAMETERS_MAX as c_int);
            for place in 0..self.count as usize {
                let column = place as c_int + 1;
                let mut is_null = false;
                self.types[place] = SPI_gettypeid(descriptor, column);
                self.values[place] = SPI_getbinval(*(*table).vals, descriptor, column, &raw mut is_null);
                self.nulls[place] = if is_null { b'n' } else { b' ' } as c_char;
            }
        }
    }
}

/// The first column of the first row of the last statement, copied to where it outlives `SPI_finish`; null if none.
unsafe fn first_value() -> *mut c_char {
    unsafe {
        let table = pg_sys::SPI_tuptable;
        if table.is_null() || pg_sys::SPI_processed == 0 || (*(*table).tupdesc).natts < 1 {
            return std::ptr::null_mut();
        }
        let value = SPI_getvalue(*(*table).vals, (*table).tupdesc, 1);
        if value.is_null() {
            return value;
        }
        let size = strlen(value) + 1;
        let copy: *mut c_char = SPI_palloc(size).cast();
        std::ptr::copy_nonoverlapping(value, copy, size);
        copy
    }
}
