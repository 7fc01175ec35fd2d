//! The shape of a rollup that is written as a query: which table it reads, what its bucket is, and whether it is one
//! plain grouping. Never here: what its keys and aggregates mean.

use pgrx::pg_sys;
use pgrx::prelude::*;

use crate::definition::{deparse, list_items, with_query};

/// `strata._definition_shape(definition regclass, OUT source regclass, OUT bucket_arguments text[], OUT fault text)`: the
/// arguments of the `strata.time_bucket` call that is the first column, each deparsed and all but the second constants;
/// fault says what keeps the query from being a rollup.
#[pg_extern(sql = false)]
#[allow(clippy::type_complexity)]
fn definition_shape(
    definition: pg_sys::Oid,
) -> TableIterator<
    'static,
    (
        name!(source, pg_sys::Oid),
        name!(bucket_arguments, Option<Vec<String>>),
        name!(fault, Option<&'static str>),
    ),
> {
    // SAFETY: parse trees of a view held open and locked, on the backend's main thread.
    let shape = unsafe {
        with_query(definition, |query, source, context| match bucket_call(query) {
            Ok(call) => {
                let arguments = list_items::<pg_sys::Node>((*call).args)
                    .map(|argument| deparse(argument, context))
                    .collect();
                (source, Some(arguments), None)
            }
            Err(fault) => (source, None, Some(fault)),
        })
    };
    TableIterator::once(shape)
}

/// The call that makes the buckets; an error if the query is anything but one plain grouping by it and other keys.
unsafe fn bucket_call(query: *mut pg_sys::Query) -> Result<*mut pg_sys::FuncExpr, &'static str> {
    unsafe {
        let tree = &*query;
        if !tree.distinctClause.is_null() || !tree.limitCount.is_null() || !tree.limitOffset.is_null() {
            return Err("DISTINCT, LIMIT and OFFSET choose among groups");
        } else if !tree.sortClause.is_null() {
            return Err("ORDER BY means nothing in a rollup");
        } else if !tree.groupingSets.is_null() || !tree.cteList.is_null() {
            return Err("grouping sets and WITH make it more than one grouping");
        }
        let columns: Vec<_> = list_items::<pg_sys::TargetEntry>(tree.targetList).collect();
        if columns.iter().any(|&column| (*column).resjunk) {
            return Err("every expression of GROUP BY must be a column");
        }
        let is_aggregate = |column: *mut pg_sys::TargetEntry| {
            (*(*column).expr.cast::<pg_sys::Node>()).type_ == pg_sys::NodeTag::T_Aggref
        };
        let keys = columns.iter().take_while(|&&column| !is_aggregate(column)).count();
        if columns.iter().skip(keys).any(|&column| !is_aggregate(column)) {
            return Err("columns come in the order bucket, keys, aggregates, and each aggregate is one call");
        }
        // a column that only depends on a key is no key of its own
        if columns.iter().take(keys).any(|&column| (*column).ressortgroupref == 0) {
            return Err("every column that is no aggregate must be in GROUP BY");
        }
        let first = columns.first().map(|&column| (*column).expr.cast::<pg_sys::Node>());
        match first {
            Some(call) if (*call).type_ == pg_sys::NodeTag::T_FuncExpr && is_time_bucket(call.cast()) => {
                let call = call.cast::<pg_sys::FuncExpr>();
                let constant = list_items::<pg_sys::Node>((*call).args)
                    .enumerate()
                    .all(|(place, argument)| place == 1 || (*argument).type_ == pg_sys::NodeTag::T_Const);
                if constant {
                    Ok(call)
                } else {
                    Err("width, time zone and origin of the bucket are constants")
                }
            }
            _ => Err("its first column is not a call of strata.time_bucket"),
        }
    }
}

unsafe fn is_time_bucket(call: *mut pg_sys::FuncExpr) -> bool {
    unsafe {
        let name = pg_sys::get_func_name((*call).funcid);
        let schema = pg_sys::get_namespace_oid(c"strata".as_ptr(), true);
        !name.is_null()
            && std::ffi::CStr::from_ptr(name) == c"time_bucket"
            && pg_sys::get_func_namespace((*call).funcid) == schema
    }
}
