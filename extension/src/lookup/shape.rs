//! Making the entry of a rollup: what `strata._lookup_shape` says of it. Never here: what is asked each time.

use std::ffi::{CStr, CString, c_char, c_int};

use pgrx::pg_sys;

use super::{bare, cache, plans};

/// Columns of `strata._lookup_shape`.
const STORAGE: c_int = 1;
const DIRTY: c_int = 2;
const DEFINITION: c_int = 3;
const SOURCE: c_int = 4;
const NAMES: c_int = 5;
const SPAN: c_int = 6;
const READER: c_int = 7;
const FUNCTIONS: c_int = 8;
const TYPES: c_int = 9;
const STORED: c_int = 10;
const ROWS: c_int = 12;

/// Reads and keeps the shape of a rollup; null if it can be read through its view alone. As the owner of the catalog,
/// within SPI.
pub unsafe fn make(view: pg_sys::Oid) -> *mut cache::Entry {
    unsafe {
        let mut types = [pg_sys::REGCLASSOID];
        let query = c"SELECT * FROM strata._lookup_shape($1)".as_ptr();
        // (seldom enough to plan it each time)
        let plan = bare::SPI_prepare_cursor(query, 1, types.as_mut_ptr(), 0);
        let list = plans::parameters(types.as_ptr(), 1);
        plans::set(list, 0, pg_sys::Datum::from(view));
        plans::run(plan, list, std::ptr::null_mut());
        let (Some(storage), Some(dirty), Some(definition), Some(source), Some(span)) = (
            plans::column(STORAGE),
            plans::column(DIRTY),
            plans::column(DEFINITION),
            plans::column(SOURCE),
            plans::column(SPAN),
        ) else {
            return std::ptr::null_mut();
        };
        let reader = plans::column(READER)
            .map_or(std::ptr::null_mut(), |name| bare::text_to_cstring(name.cast_mut_ptr()));
        let names = Elements::read(NAMES, pg_sys::TEXTOID, -1, false);
        for place in 0..names.count {
            let name = names.values.add(place);
            *name = pg_sys::Datum::from(bare::text_to_cstring((*name).cast_mut_ptr()));
        }
        let functions =
            Elements::read(FUNCTIONS, pg_sys::OIDOID, 4, true).hashed(pg_sys::SysCacheIdentifier::PROCOID);
        let types =
            Elements::read(TYPES, pg_sys::OIDOID, 4, true).hashed(pg_sys::SysCacheIdentifier::TYPEOID);
        let [stored_lowers, stored_uppers, row_lowers, row_uppers] = [STORED, STORED + 1, ROWS, ROWS + 1]
            .map(|column| Elements::read(column, pg_sys::TIMESTAMPTZOID, 8, true));
        // nothing below calls into the backend
        let oid = |datum: pg_sys::Datum| pg_sys::Oid::from(datum.value() as u32);
        cache::keep(cache::Entry {
            view,
            storage: oid(storage),
            dirty: oid(dirty),
            definition: oid(definition),
            source: oid(source),
            names: names.list().map(|name| c_string(name.cast_mut_ptr())).collect(),
            span: span.value() as i64,
            reader: (!reader.is_null()).then(|| c_string(reader)),
            functions: functions.list().map(|hash| hash.value() as u32).collect(),
            types: types.list().map(|hash| hash.value() as u32).collect(),
            stored: bounds(&stored_lowers, &stored_uppers),
            rows: bounds(&row_lowers, &row_uppers),
            stale: false.into(),
            marks: std::ptr::null_mut::<pg_sys::_SPI_plan>().into(),
            plans: Vec::new().into(),
        })
    }
}

fn c_string(text: *const c_char) -> CString {
    // SAFETY: a string of the backend's.
    unsafe { CStr::from_ptr(text) }.to_owned()
}

fn bounds(lowers: &Elements, uppers: &Elements) -> cache::Bounds {
    lowers
        .list()
        .map(|lower| lower.value() as i64)
        .zip(uppers.list().map(|upper| upper.value() as i64))
        .collect()
}

/// The elements of an array, none of them null, in the backend's memory.
struct Elements {
    values: *mut pg_sys::Datum,
    count: usize,
}

impl Elements {
    unsafe fn read(column: c_int, element: pg_sys::Oid, length: c_int, by_value: bool) -> Self {
        let mut found = Self { values: std::ptr::null_mut(), count: 0 };
        unsafe {
            let Some(array) = plans::column(column) else { return found };
            let array = bare::pg_detoast_datum(array.cast_mut_ptr()).cast();
            let align = if length == 8 { b'd' } else { b'i' };
            let mut count = 0;
            bare::deconstruct_array(
                array,
                element,
                length,
                by_value,
                align as c_char,
                &raw mut found.values,
                std::ptr::null_mut(),
                &raw mut count,
            );
            found.count = count as usize;
        }
        found
    }

    unsafe fn hashed(self, cache: pg_sys::SysCacheIdentifier::Type) -> Self {
        let none = pg_sys::Datum::from(0);
        for place in 0..self.count {
            unsafe {
                let value = self.values.add(place);
                let hash = bare::GetSysCacheHashValue(cache as c_int, *value, none, none, none);
                *value = pg_sys::Datum::from(hash as usize);
            }
        }
        self
    }

    fn list(&self) -> impl Iterator<Item = pg_sys::Datum> + '_ {
        // SAFETY: as many as the backend has said.
        (0..self.count).map(|place| unsafe { *self.values.add(place) })
    }
}
