//! The backend's C functions that lookups call, without guards: what users wrote runs beneath, and its errors pass through
//! by longjmp untouched, as in `execute.rs`. No frame that calls these may own anything that needs dropping.

use std::ffi::{c_char, c_int, c_void};

use pgrx::pg_sys;

unsafe extern "C-unwind" {
    pub fn SPI_connect() -> c_int;
    pub fn SPI_finish() -> c_int;
    pub fn SPI_prepare_cursor(
        src: *const c_char,
        nargs: c_int,
        argtypes: *mut pg_sys::Oid,
        options: c_int,
    ) -> pg_sys::SPIPlanPtr;
    pub fn SPI_keepplan(plan: pg_sys::SPIPlanPtr) -> c_int;
    pub fn SPI_freeplan(plan: pg_sys::SPIPlanPtr) -> c_int;
    pub fn SPI_execute_plan_extended(
        plan: pg_sys::SPIPlanPtr,
        options: *const pg_sys::SPIExecuteOptions,
    ) -> c_int;
    pub fn SPI_getbinval(
        tuple: pg_sys::HeapTuple,
        desc: pg_sys::TupleDesc,
        column: c_int,
        is_null: *mut bool,
    ) -> pg_sys::Datum;
    pub fn makeParamList(params: c_int) -> pg_sys::ParamListInfo;
    pub fn CreateTuplestoreDestReceiver() -> *mut pg_sys::DestReceiver;
    pub fn SetTuplestoreDestReceiverParams(
        receiver: *mut pg_sys::DestReceiver,
        store: *mut pg_sys::Tuplestorestate,
        context: pg_sys::MemoryContext,
        detoast: bool,
        target: pg_sys::TupleDesc,
        map_failure: *const c_char,
    );
    pub fn InitMaterializedSRF(fcinfo: pg_sys::FunctionCallInfo, flags: pg_sys::bits32);
    pub fn get_fn_expr_argtype(flinfo: *mut pg_sys::FmgrInfo, argument: c_int) -> pg_sys::Oid;
    pub fn get_typ_typrelid(oid: pg_sys::Oid) -> pg_sys::Oid;
    pub fn format_type_be_qualified(oid: pg_sys::Oid) -> *mut c_char;
    pub fn psprintf(format: *const c_char, ...) -> *mut c_char;
    pub fn palloc0(size: usize) -> *mut c_void;
    pub fn get_namespace_oid(name: *const c_char, missing_ok: bool) -> pg_sys::Oid;
    pub fn get_relname_relid(name: *const c_char, schema: pg_sys::Oid) -> pg_sys::Oid;
    pub fn SearchSysCache1(cache: c_int, key: pg_sys::Datum) -> pg_sys::HeapTuple;
    pub fn GetSysCacheHashValue(
        cache: c_int,
        key: pg_sys::Datum,
        key2: pg_sys::Datum,
        key3: pg_sys::Datum,
        key4: pg_sys::Datum,
    ) -> u32;
    pub fn ReleaseSysCache(tuple: pg_sys::HeapTuple);
    pub fn pg_class_aclcheck(
        relation: pg_sys::Oid,
        role: pg_sys::Oid,
        mode: pg_sys::AclMode,
    ) -> pg_sys::AclResult::Type;
    pub fn GetUserIdAndSecContext(user: *mut pg_sys::Oid, context: *mut c_int);
    pub fn SetUserIdAndSecContext(user: pg_sys::Oid, context: c_int);
    pub fn NewGUCNestLevel() -> c_int;
    pub fn AtEOXact_GUC(is_commit: bool, nest_level: c_int);
    pub fn set_config_option(
        name: *const c_char,
        value: *const c_char,
        context: pg_sys::GucContext::Type,
        source: pg_sys::GucSource::Type,
        action: pg_sys::GucAction::Type,
        change: bool,
        level: c_int,
        is_reload: bool,
    ) -> c_int;
    pub fn ResourceOwnerCreate(parent: pg_sys::ResourceOwner, name: *const c_char) -> pg_sys::ResourceOwner;
    pub fn ResourceOwnerRelease(
        owner: pg_sys::ResourceOwner,
        phase: pg_sys::ResourceReleasePhase::Type,
        is_commit: bool,
        is_top_level: bool,
    );
    pub fn ResourceOwnerDelete(owner: pg_sys::ResourceOwner);
    pub fn LockRelationOid(relation: pg_sys::Oid, mode: pg_sys::LOCKMODE);
    pub fn try_relation_open(relation: pg_sys::Oid, mode: pg_sys::LOCKMODE) -> pg_sys::Relation;
    pub fn relation_close(relation: pg_sys::Relation, mode: pg_sys::LOCKMODE);
    pub fn RelationGetNumberOfBlocksInFork(
        relation: pg_sys::Relation,
        fork: pg_sys::ForkNumber::Type,
    ) -> pg_sys::BlockNumber;
    pub fn pg_detoast_datum(datum: *mut pg_sys::varlena) -> *mut pg_sys::varlena;
    pub fn text_to_cstring(text: *const pg_sys::text) -> *mut c_char;
    pub fn cstring_to_text(s: *const c_char) -> *mut pg_sys::text;
    pub fn cstring_to_text_with_len(s: *const c_char, length: c_int) -> *mut pg_sys::text;
    pub fn deconstruct_array(
        array: *mut pg_sys::ArrayType,
        element_type: pg_sys::Oid,
        length: c_int,
        by_value: bool,
        align: c_char,
        elements: *mut *mut pg_sys::Datum,
        nulls: *mut *mut bool,
        count: *mut c_int,
    );
    pub fn getKeyJsonValueFromContainer(
        container: *mut pg_sys::JsonbContainer,
        key: *const c_char,
        length: c_int,
        result: *mut pg_sys::JsonbValue,
    ) -> *mut pg_sys::JsonbValue;
    pub fn numeric_out(fcinfo: pg_sys::FunctionCallInfo) -> pg_sys::Datum;
    pub fn DirectFunctionCall1Coll(
        function: unsafe extern "C-unwind" fn(pg_sys::FunctionCallInfo) -> pg_sys::Datum,
        collation: pg_sys::Oid,
        argument: pg_sys::Datum,
    ) -> pg_sys::Datum;
}
