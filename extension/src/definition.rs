//! Reading a rollup's definition: the parsed query of its definition view, taken apart into bucket, keys and aggregate
//! calls, each deparsed on its own. Deparsing anew at each use is what makes definitions survive renames.
//! Never here: what an aggregate means.

use std::ffi::{CStr, CString};

use pgrx::pg_sys;
use pgrx::prelude::*;

use crate::errors::raise;

/// The alias under which every deparsed expression names the source relation.
const SOURCE_ALIAS: &CStr = c"e";

type Row = (
    i32,
    String,
    pg_sys::Oid,
    i32,
    String,
    Option<pg_sys::Oid>,
    Option<Vec<String>>,
    Option<String>,
    bool,
    bool,
    Option<Vec<pg_sys::Oid>>,
    pg_sys::Oid,
);

/// `strata._definition_columns(definition regclass)`: one row per output column of the definition view.
#[pg_extern(sql = false)]
#[allow(clippy::type_complexity)]
fn definition_columns(
    definition: pg_sys::Oid,
) -> TableIterator<
    'static,
    (
        name!(ordinal, i32),
        name!(column_name, String),
        name!(type_oid, pg_sys::Oid),
        name!(type_modifier, i32),
        name!(expression, String),
        name!(aggregate, Option<pg_sys::Oid>),
        name!(arguments, Option<Vec<String>>),
        name!(filter, Option<String>),
        name!(is_ordered, bool),
        name!(is_volatile, bool),
        name!(argument_types, Option<Vec<pg_sys::Oid>>),
        name!(collation_oid, pg_sys::Oid),
    ),
> {
    // SAFETY: parse trees of a view held open and locked, on the backend's main thread.
    let rows = unsafe {
        with_query(definition, |query, _, context| {
            list_items::<pg_sys::TargetEntry>((*query).targetList)
                .filter(|&entry| !(*entry).resjunk)
                .map(|entry| describe(entry, context))
                .collect::<Vec<Row>>()
        })
    };
    TableIterator::new(rows)
}

/// `strata._definition_filter(definition regclass) RETURNS text`: the deparsed WHERE condition, NULL without one.
#[pg_extern(sql = false)]
fn definition_filter(definition: pg_sys::Oid) -> Option<String> {
    // SAFETY: as in `definition_columns`.
    unsafe {
        with_query(definition, |query, _, context| {
            let quals = (*(*query).jointree).quals;
            (!quals.is_null()).then(|| deparse(quals, context))
        })
    }
}

/// `strata._definition_filter_is_mutable(definition regclass) RETURNS boolean`
#[pg_extern(sql = false)]
fn definition_filter_is_mutable(definition: pg_sys::Oid) -> bool {
    // SAFETY: as in `definition_columns`.
    unsafe {
        with_query(definition, |query, _, _| pg_sys::contain_mutable_functions((*(*query).jointree).quals))
    }
}

unsafe fn describe(entry: *mut pg_sys::TargetEntry, context: *mut pg_sys::List) -> Row {
    unsafe {
        let expr = (*entry).expr.cast::<pg_sys::Node>();
        let name = CStr::from_ptr((*entry).resname).to_string_lossy().into_owned();
        let mut aggregate = None;
        let mut arguments = None;
        let mut argument_types = None;
        let mut filter = None;
        let mut is_ordered = false;
        if (*expr).type_ == pg_sys::NodeTag::T_Aggref {
            let call = expr.cast::<pg_sys::Aggref>();
            aggregate = Some((*call).aggfnoid);
            is_ordered = !(*call).aggdistinct.is_null() || !(*call).aggorder.is_null();
            let args: Vec<_> = list_items::<pg_sys::TargetEntry>((*call).args)
                .filter(|&arg| !(*arg).resjunk)
                .map(|arg| (*arg).expr.cast::<pg_sys::Node>())
                .collect();
            argument_types = Some(args.iter().map(|&arg| pg_sys::exprType(arg)).collect());
            arguments = Some(args.iter().map(|&arg| deparse(arg, context)).collect());
            if !(*call).aggfilter.is_null() {
                filter = Some(deparse((*call).aggfilter.cast(), context));
            }
        }
        (
            i32::from((*entry).resno),
            name,
            pg_sys::exprType(expr),
            pg_sys::exprTypmod(expr),
            deparse(expr, context),
            aggregate,
            arguments,
            filter,
            is_ordered,
            pg_sys::contain_mutable_functions(expr),
            argument_types,
            pg_sys::exprCollation(expr),
        )
    }
}

pub unsafe fn deparse(node: *mut pg_sys::Node, context: *mut pg_sys::List) -> String {
    unsafe {
        CStr::from_ptr(pg_sys::deparse_expression(node, context, true, false)).to_string_lossy().into_owned()
    }
}

/// Opens the view and hands over a private copy of its query, whose only source relation is variable number 1, with
/// that relation and a context to deparse in.
pub unsafe fn with_query<T>(
    definition: pg_sys::Oid,
    read: impl FnOnce(*mut pg_sys::Query, pg_sys::Oid, *mut pg_sys::List) -> T,
) -> T {
    unsafe {
        let lock = pg_sys::AccessShareLock as pg_sys::LOCKMODE;
        let view = pg_sys::relation_open(definition, lock);
        if (*(*view).rd_rel).relkind.cast_unsigned() != pg_sys::RELKIND_VIEW {
            raise(
                PgSqlErrorCode::ERRCODE_WRONG_OBJECT_TYPE,
                format!("\"{}\" is not a view", crate::catalog::relation_name(definition)),
                "A rollup's definition is a view.",
                "strata.rollups lists the rollups.",
            );
        }
        let query: *mut pg_sys::Query = pg_sys::copyObjectImpl(pg_sys::get_view_query(view).cast()).cast();
        refuse_unfoldable(query);
        let (index, source) = source_of(query);
        // Before PostgreSQL 16 a view's range table begins with OLD and NEW.
        pg_sys::ChangeVarNodes((*query).targetList.cast(), index, 1, 0);
        if !(*(*query).jointree).quals.is_null() {
            pg_sys::ChangeVarNodes((*(*query).jointree).quals, index, 1, 0);
        }
        let alias = CString::from(SOURCE_ALIAS);
        let context = pg_sys::deparse_context_for(alias.as_ptr(), source);
        let result = read(query, source, context);
        pg_sys::relation_close(view, lock);
        result
    }
}

/// What would make a definition more than one pass over the rows of one table.
unsafe fn refuse_unfoldable(query: *mut pg_sys::Query) {
    let query = unsafe { &*query };
    let piece = if query.hasSubLinks {
        "a subquery"
    } else if query.hasWindowFuncs {
        "a window function"
    } else if query.hasTargetSRFs {
        "a set-returning function"
    } else if !query.havingQual.is_null() {
        "HAVING"
    } else {
        return;
    };
    raise(
        PgSqlErrorCode::ERRCODE_FEATURE_NOT_SUPPORTED,
        format!("a rollup cannot contain {piece}"),
        "Every group must follow from the rows of its own bucket and keys alone.",
        "Compute it in a query over the rollup.",
    )
}

/// Range table index and OID of the one relation a definition selects from.
unsafe fn source_of(query: *mut pg_sys::Query) -> (i32, pg_sys::Oid) {
    unsafe {
        let from: Vec<_> = list_items::<pg_sys::Node>((*(*query).jointree).fromlist).collect();
        if let [only] = from[..]
            && (*only).type_ == pg_sys::NodeTag::T_RangeTblRef
        {
            let index = (*only.cast::<pg_sys::RangeTblRef>()).rtindex;
            let entry: *mut pg_sys::RangeTblEntry = pg_sys::list_nth((*query).rtable, index - 1).cast();
            if (*entry).rtekind == pg_sys::RTEKind::RTE_RELATION {
                return (index, (*entry).relid);
            }
        }
    }
    raise(
        PgSqlErrorCode::ERRCODE_FEATURE_NOT_SUPPORTED,
        "a rollup selects from exactly one event table",
        "",
        "Write: SELECT strata.time_bucket('1 day', ts) AS bucket, … FROM events GROUP BY …",
    )
}

pub unsafe fn list_items<T>(list: *mut pg_sys::List) -> impl Iterator<Item = *mut T> {
    unsafe {
        let length = if list.is_null() { 0 } else { (*list).length };
        (0..length).map(move |i| pg_sys::list_nth(list, i).cast())
    }
}
