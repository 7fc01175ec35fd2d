//! Statements written from definitions, kept by the session until anything changes that they may name. Writing one takes
//! dozens of look-ups, as long as folding thousands of rows. Whatever the relation cache or the caches of names are told
//! of clears all: so seldom that it does not pay to ask what. Never here: what the statements say.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;

use pgrx::pg_sys;
use pgrx::prelude::*;

/// Statements of more rollups than one session refreshes in turn.
const TEXTS_MAX: usize = 256;

thread_local! {
    static TEXTS: RefCell<HashMap<String, String>> = RefCell::new(HashMap::new());
    /// How often all was cleared, now and when a text was last missed: one written meanwhile may be out of date.
    static CLEARED: Cell<u64> = const { Cell::new(0) };
    static MISSED: RefCell<Option<(String, u64)>> = const { RefCell::new(None) };
}

/// `strata._kept(key text) RETURNS text`
#[pg_extern(sql = false)]
fn kept(key: &str) -> Option<String> {
    let found = TEXTS.with_borrow(|texts| texts.get(key).cloned());
    if found.is_none() {
        MISSED.set(Some((key.to_owned(), CLEARED.get())));
    }
    found
}

/// `strata._keep(key text, value text) RETURNS text`
#[pg_extern(sql = false)]
fn keep(key: &str, value: &str) -> String {
    let current = MISSED.take().is_some_and(|(missed, cleared)| missed == key && cleared == CLEARED.get());
    if current {
        TEXTS.with_borrow_mut(|texts| {
            if texts.len() >= TEXTS_MAX {
                texts.clear();
            }
            texts.insert(key.to_owned(), value.to_owned());
        });
    }
    value.to_owned()
}

pub fn register_callbacks() {
    use pg_sys::SysCacheIdentifier::{
        COLLOID, NAMESPACEOID, OPEROID, PROCOID, TSCONFIGOID, TSDICTOID, TYPEOID,
    };
    // SAFETY: registered once per backend, from _PG_init; the callbacks never leave the library.
    unsafe {
        pg_sys::CacheRegisterRelcacheCallback(Some(on_relation_change), pg_sys::Datum::from(0));
        for cache in [COLLOID, NAMESPACEOID, OPEROID, PROCOID, TSCONFIGOID, TSDICTOID, TYPEOID] {
            pg_sys::CacheRegisterSyscacheCallback(cache as i32, Some(on_name_change), pg_sys::Datum::from(0));
        }
    }
}

fn clear() {
    CLEARED.set(CLEARED.get() + 1);
    TEXTS.with_borrow_mut(HashMap::clear);
}

#[pg_guard]
unsafe extern "C-unwind" fn on_relation_change(_arg: pg_sys::Datum, _relation: pg_sys::Oid) {
    clear();
}

#[pg_guard]
unsafe extern "C-unwind" fn on_name_change(_arg: pg_sys::Datum, _cache: i32, _hash: u32) {
    clear();
}
