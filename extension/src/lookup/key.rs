//! The key of a lookup: a jsonb object, read into texts by key. Never here: what the texts mean.

use std::ffi::{CStr, CString, c_char, c_int};

use pgrx::pg_sys;

use super::bare;

/// What a key object names, a bit for each key: all that it names, and what it names with null; and the values as text
/// datums, in memory of the caller's context, null where there is none.
pub struct Key {
    pub named: i64,
    pub nulls: i64,
    pub texts: *mut pg_sys::Datum,
}

/// False if it is no object of some of these keys and plain values.
pub unsafe fn read(object: pg_sys::Datum, names: &[CString], key: *mut Key) -> bool {
    unsafe {
        let json = bare::pg_detoast_datum(object.cast_mut_ptr()).cast::<pg_sys::Jsonb>();
        let container = &raw mut (*json).root;
        let header = (*container).header;
        if header & pg_sys::JB_FOBJECT == 0 {
            return false;
        }
        (*key).texts = bare::palloc0(size_of::<pg_sys::Datum>() * names.len().max(1)).cast();
        let mut found = 0;
        for (place, name) in names.iter().enumerate() {
            let mut value = pg_sys::JsonbValue::default();
            let length = name.as_bytes().len() as c_int;
            if bare::getKeyJsonValueFromContainer(container, name.as_ptr(), length, &raw mut value).is_null()
            {
                continue;
            }
            found += 1;
            (*key).named |= 1 << place;
            match value.type_ {
                pg_sys::jbvType::jbvNull => (*key).nulls |= 1 << place,
                pg_sys::jbvType::jbvString => {
                    let string = value.val.string;
                    *(*key).texts.add(place) =
                        pg_sys::Datum::from(bare::cstring_to_text_with_len(string.val, string.len));
                }
                pg_sys::jbvType::jbvNumeric => {
                    let number = pg_sys::Datum::from(value.val.numeric);
                    let written =
                        bare::DirectFunctionCall1Coll(bare::numeric_out, pg_sys::InvalidOid, number);
                    *(*key).texts.add(place) = text(written.cast_mut_ptr());
                }
                pg_sys::jbvType::jbvBool => {
                    let word: &CStr = if value.val.boolean { c"true" } else { c"false" };
                    *(*key).texts.add(place) = text(word.as_ptr());
                }
                _ => return false,
            }
        }
        found == header & pg_sys::JB_CMASK
    }
}

unsafe fn text(value: *const c_char) -> pg_sys::Datum {
    unsafe { pg_sys::Datum::from(bare::cstring_to_text(value)) }
}
