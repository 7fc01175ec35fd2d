//! When the version of a row came: by the chunk that its transaction wrote, which is found by the xmin that the version
//! bears, and proven by having the row's key. Only where that leads nowhere (a row of the baseline, one that was written
//! again without a change, one restored from a dump) are all chunks read that brought rows since a time.
//!
//! Never here: an answer that rests on the xmin alone.

use std::collections::HashMap;
use std::rc::Rc;

use pgrx::pg_sys;
use pgrx::prelude::*;

use super::chunks::{self, Chunk};
use super::{keys, target};
use crate::rights;

/// Transactions whose chunks are kept while a query runs.
const KEPT_MAX: usize = 16;

/// What a query has learned of one table.
struct Births {
    relation: pg_sys::Oid,
    audit_id: i32,
    at: i64,
    /// Transactions asked about, with their chunks once they have been asked about again: newest first.
    by_transaction: HashMap<pg_sys::TransactionId, Option<Vec<Known>>>,
    /// Keys of rows that came since, with the first chunk that brought each: read when they are asked for again.
    since: Option<HashMap<u64, i64>>,
    asked: bool,
}

/// A chunk, as far as it matters here.
struct Known {
    id: i64,
    brought_since: bool,
    /// In ascending order.
    keys: Vec<u64>,
}

impl Births {
    fn of(relation: pg_sys::Oid, at: i64) -> Self {
        rights::require_history(relation);
        // SAFETY: catalog look-ups on the backend's main thread.
        let audit_id = unsafe { target::target(relation) }.audit_id;
        Self { relation, audit_id, at, by_transaction: HashMap::new(), since: None, asked: false }
    }

    /// Whether a version came since. `made` is its xmin, `before` the chunk that ended it.
    unsafe fn came_since(&mut self, made: Option<pg_sys::TransactionId>, before: i64, key: u64) -> bool {
        let found = made.and_then(|made| unsafe { self.by_transaction(made, before, key) });
        found.unwrap_or_else(|| unsafe { self.since(before, key) })
    }

    /// What the last chunk of a transaction says that has the key.
    unsafe fn by_transaction(&mut self, made: pg_sys::TransactionId, before: i64, key: u64) -> Option<bool> {
        let (audit_id, at) = (self.audit_id, self.at);
        let brought_since = move |chunk: &Chunk| chunk.brings_rows() && chunk.changed_at > at;
        if !self.by_transaction.contains_key(&made) {
            if self.by_transaction.len() >= KEPT_MAX {
                self.by_transaction.clear();
            }
            self.by_transaction.insert(made, None);
            let mut last: Option<(i64, bool)> = None;
            unsafe {
                chunks::of_tuples(audit_id, made, |chunk| {
                    let is_later = chunk.id < before && last.is_none_or(|(id, _)| id < chunk.id);
                    if is_later && chunk.keys().any(|one| one == key) {
                        last = Some((chunk.id, brought_since(chunk)));
                    }
                });
            }
            return last.map(|(_, brought_since)| brought_since);
        }
        let known = self.by_transaction.entry(made).or_default().get_or_insert_with(|| {
            let mut known = Vec::new();
            unsafe {
                chunks::of_tuples(audit_id, made, |chunk| {
                    let mut keys: Vec<u64> = chunk.keys().collect();
                    keys.sort_unstable();
                    known.push(Known { id: chunk.id, brought_since: brought_since(chunk), keys });
                });
            }
            known.sort_unstable_by_key(|chunk: &Known| std::cmp::Reverse(chunk.id));
            known
        });
        known
            .iter()
            .find(|chunk| chunk.id < before && chunk.keys.binary_search(&key).is_ok())
            .map(|chunk| chunk.brought_since)
    }

    /// Whether a row of the key was inserted since, before a chunk.
    unsafe fn since(&mut self, before: i64, key: u64) -> bool {
        let (audit_id, at) = (self.audit_id, self.at);
        let brought = move |take: &mut dyn FnMut(&Chunk)| unsafe {
            chunks::each(audit_id, |chunk| {
                if chunk.brings_rows() && chunk.changed_at > at {
                    take(chunk);
                }
            });
        };
        if !std::mem::replace(&mut self.asked, true) {
            let mut first = i64::MAX;
            brought(&mut |chunk| {
                if chunk.id < first && chunk.keys().any(|one| one == key) {
                    first = chunk.id;
                }
            });
            return first < before;
        }
        let since = self.since.get_or_insert_with(|| {
            let mut since = HashMap::new();
            brought(&mut |chunk| {
                for key in chunk.keys() {
                    let first = since.entry(key).or_insert(chunk.id);
                    *first = chunk.id.min(*first);
                }
            });
            since
        });
        since.get(&key).is_some_and(|first| *first < before)
    }
}

/// Version-1 calling convention marker of [`strata_came_since`].
#[unsafe(no_mangle)]
pub extern "C" fn pg_finfo_strata_came_since() -> &'static pg_sys::Pg_finfo_record {
    const RECORD: pg_sys::Pg_finfo_record = pg_sys::Pg_finfo_record { api_version: 1 };
    &RECORD
}

/// `strata._came_since(relation regclass, at timestamptz, made xid, before bigint, VARIADIC key "any") RETURNS boolean`:
/// whether the version of a row came after a time. `made` is the transaction that wrote it, NULL if that is not known;
/// `before` the chunk that ended it, NULL for a row as it is.
///
/// # Safety
/// Called by PostgreSQL's function manager, with a relation and a key that are not NULL.
#[unsafe(no_mangle)]
#[pg_guard]
pub unsafe extern "C-unwind" fn strata_came_since(fcinfo: pg_sys::FunctionCallInfo) -> pg_sys::Datum {
    unsafe {
        let count = (*fcinfo).nargs as usize;
        let arguments = (*fcinfo).args.as_slice(count);
        let relation = pg_sys::Oid::from(arguments[0].value.value() as u32);
        let at = if arguments[1].isnull { i64::MAX } else { arguments[1].value.value() as i64 };
        let made =
            (!arguments[2].isnull).then(|| pg_sys::TransactionId::from(arguments[2].value.value() as u32));
        let before = if arguments[3].isnull { i64::MAX } else { arguments[3].value.value() as i64 };
        let births = births_of((*fcinfo).flinfo, relation, at);
        let key = keys::key_from(fcinfo, relation, 4).finish();
        pg_sys::Datum::from((*births).came_since(made, before, key))
    }
}

/// What the query has learned, made when it first asks.
unsafe fn births_of(function: *mut pg_sys::FmgrInfo, relation: pg_sys::Oid, at: i64) -> *mut Births {
    unsafe {
        let kept: *mut Births = (*function).fn_extra.cast();
        if !kept.is_null() && (*kept).relation == relation && (*kept).at == at {
            return kept;
        }
        let births = pgrx::PgMemoryContexts::For((*function).fn_mcxt)
            .leak_and_drop_on_delete(Births::of(relation, at));
        (*function).fn_extra = births.cast();
        births
    }
}

/// `strata._births_of(relation regclass, xid xid8, OUT key_hash bigint, OUT chunk_id bigint) RETURNS SETOF record`: keys of
/// rows that a transaction inserted into an audited table, and the first of its chunks that did.
#[pg_extern(sql = false)]
fn births_of_transaction(
    relation: pg_sys::Oid,
    xid: pgrx::AnyElement,
) -> TableIterator<'static, (name!(key_hash, i64), name!(chunk_id, i64))> {
    rights::require_history(relation);
    let mut births: HashMap<u64, i64> = HashMap::new();
    // SAFETY: reads of ours on the backend's main thread, under the active snapshot.
    unsafe {
        let audit_id = Rc::clone(&target::target(relation)).audit_id;
        for chunk in chunks::of_transaction(audit_id, xid.datum().value() as u64) {
            for key in chunk.keys().filter(|_| chunk.is_insert()) {
                let first = births.entry(key).or_insert(chunk.id);
                *first = chunk.id.min(*first);
            }
        }
    }
    TableIterator::new(births.into_iter().map(|(key, chunk)| (key.cast_signed(), chunk)))
}
