//! Values as they lie in tuples, to the bytes of row encoding version 1: one codec per type. Layouts are strata-core's
//! and docs/formats.md's. Never here: which column has which id.

use std::collections::HashMap;
use std::rc::Rc;

use pgrx::pg_sys;
use strata_core::encoding::{Tag, strip_padding, tag_of_type};
use strata_core::{jsonb, nested};

use super::identities;

/// A type, domains resolved.
#[derive(Clone)]
pub struct Kind {
    pub tag: Tag,
    codec: Codec,
}

#[derive(Clone)]
enum Codec {
    /// Passed by value, so many bytes of it.
    Word(usize),
    /// Text in the server's encoding.
    Text,
    Bytea,
    Uuid,
    TimeTz,
    Interval,
    /// By the type's own send function, which depends on no setting.
    Sent(pg_sys::Oid),
    Jsonb,
    Enum(Rc<HashMap<pg_sys::Oid, u32>>),
    Array(Box<Element>),
    Range(pg_sys::Oid, Box<Kind>),
    Multirange(pg_sys::Oid, Box<Kind>),
    Composite(Rc<Vec<Attribute>>),
}

/// Elements of an array.
#[derive(Clone)]
struct Element {
    kind: Kind,
    type_oid: pg_sys::Oid,
    length: i16,
    by_value: bool,
    align: std::ffi::c_char,
}

/// A column, or an attribute of a composite, that has not been dropped.
#[derive(Clone)]
pub struct Attribute {
    /// Its place in the tuple, from 0.
    pub place: usize,
    pub id: u32,
    pub kind: Kind,
    /// The bytes of its absent value, where that is not NULL. (A composite's attributes have none.)
    pub absent: Option<Vec<u8>>,
}

// Not among pgrx's bindings.
unsafe extern "C-unwind" {
    #[link_name = "multirange_deserialize"]
    fn multirange_deserialize_unguarded(
        range_type: *mut pg_sys::TypeCacheEntry,
        multirange: *const std::ffi::c_void,
        count: *mut i32,
        ranges: *mut *mut *mut pg_sys::RangeType,
    );
}

impl Kind {
    /// The codec of a type; `None` if the type has no encoding, or one inside it has none. `depends_on` gets the
    /// relations of composites.
    pub unsafe fn of(type_oid: pg_sys::Oid, depends_on: &mut Vec<pg_sys::Oid>) -> Option<Self> {
        unsafe {
            let base = pg_sys::getBaseType(type_oid);
            if let Some(tag) = tag_of_type(base.to_u32()) {
                return Some(Self { tag, codec: scalar(tag, base)? });
            }
            let (tag, codec) = match pg_sys::get_typtype(base) as u8 {
                pg_sys::TYPTYPE_ENUM => (Tag::Enum, Codec::Enum(Rc::new(identities::labels(base)))),
                pg_sys::TYPTYPE_RANGE => {
                    let entry = pg_sys::lookup_type_cache(base, pg_sys::TYPECACHE_RANGE_INFO as i32);
                    let kind = Self::of((*(*entry).rngelemtype).type_id, depends_on)?;
                    (Tag::Range, Codec::Range(base, Box::new(kind)))
                }
                pg_sys::TYPTYPE_MULTIRANGE => {
                    let entry = pg_sys::lookup_type_cache(base, pg_sys::TYPECACHE_MULTIRANGE_INFO as i32);
                    let range = (*(*entry).rngtype).type_id;
                    (Tag::Multirange, Codec::Multirange(range, Box::new(Self::of(range, depends_on)?)))
                }
                pg_sys::TYPTYPE_COMPOSITE => {
                    let relation = pg_sys::get_typ_typrelid(base);
                    depends_on.push(relation);
                    (Tag::Composite, Codec::Composite(Rc::new(attributes(relation, depends_on).ok()?)))
                }
                _ => {
                    let element = pg_sys::get_element_type(base);
                    if element == pg_sys::InvalidOid {
                        return None;
                    }
                    let kind = Self::of(element, depends_on)?;
                    let (mut length, mut by_value, mut align) = (0, false, 0);
                    pg_sys::get_typlenbyvalalign(element, &raw mut length, &raw mut by_value, &raw mut align);
                    let element = Element { kind, type_oid: element, length, by_value, align };
                    (Tag::Array, Codec::Array(Box::new(element)))
                }
            };
            Some(Self { tag, codec })
        }
    }

    /// Appends the bytes of a value that is not NULL. Memory taken meanwhile is the current context's.
    pub unsafe fn encode(&self, value: pg_sys::Datum, out: &mut Vec<u8>) {
        unsafe {
            match &self.codec {
                Codec::Word(bytes) => {
                    out.extend(&(value.value() as u64).to_be_bytes()[8 - bytes..]);
                }
                Codec::Text => {
                    let text = utf8(payload(value));
                    out.extend(if self.tag == Tag::Bpchar { strip_padding(text) } else { text });
                }
                Codec::Bytea => out.extend(payload(value)),
                Codec::Uuid => out.extend(*value.cast_mut_ptr::<[u8; 16]>()),
                Codec::TimeTz => {
                    let time = &*value.cast_mut_ptr::<pg_sys::TimeTzADT>();
                    out.extend(time.time.to_be_bytes());
                    out.extend(time.zone.to_be_bytes());
                }
                Codec::Interval => {
                    let interval = &*value.cast_mut_ptr::<pg_sys::Interval>();
                    out.extend(interval.time.to_be_bytes());
                    out.extend(interval.day.to_be_bytes());
                    out.extend(interval.month.to_be_bytes());
                }
                Codec::Sent(_) if self.tag == Tag::Numeric && encode_numeric(value, out) => {}
                Codec::Sent(send) => {
                    out.extend(payload(pg_sys::OidFunctionCall1Coll(*send, pg_sys::InvalidOid, value)));
                }
                Codec::Jsonb => encode_jsonb(value, out),
                Codec::Enum(labels) => {
                    let label = pg_sys::Oid::from(value.value() as u32);
                    out.extend(nested::enumerated(identities::label(labels, label)));
                }
                Codec::Array(element) => encode_array(element, value, out),
                Codec::Range(range, kind) => {
                    let range_type = pg_sys::lookup_type_cache(*range, pg_sys::TYPECACHE_RANGE_INFO as i32);
                    encode_range(
                        range_type,
                        kind,
                        pg_sys::pg_detoast_datum(value.cast_mut_ptr()).cast(),
                        out,
                    );
                }
                Codec::Multirange(range, kind) => encode_multirange(*range, kind, value, out),
                Codec::Composite(attributes) => encode_composite(attributes, value, out),
            }
        }
    }
}

/// The bytes of one value; `None` if its type has no encoding.
pub unsafe fn encode_one(type_oid: pg_sys::Oid, value: pg_sys::Datum) -> Option<Vec<u8>> {
    let mut bytes = Vec::new();
    unsafe { Kind::of(type_oid, &mut Vec::new())?.encode(value, &mut bytes) };
    Some(bytes)
}

unsafe fn scalar(tag: Tag, base: pg_sys::Oid) -> Option<Codec> {
    Some(match tag {
        Tag::Bool => Codec::Word(1),
        Tag::Int2 => Codec::Word(2),
        Tag::Int4 | Tag::Float4 | Tag::Date => Codec::Word(4),
        Tag::Int8 | Tag::Float8 | Tag::Time | Tag::Timestamp | Tag::TimestampTz => Codec::Word(8),
        Tag::Text | Tag::Varchar | Tag::Bpchar | Tag::Json => Codec::Text,
        Tag::Bytea => Codec::Bytea,
        Tag::Uuid => Codec::Uuid,
        Tag::TimeTz => Codec::TimeTz,
        Tag::Interval => Codec::Interval,
        Tag::Numeric | Tag::Inet | Tag::Cidr => {
            let (mut send, mut is_varlena) = (pg_sys::InvalidOid, false);
            unsafe { pg_sys::getTypeBinaryOutputInfo(base, &raw mut send, &raw mut is_varlena) };
            Codec::Sent(send)
        }
        Tag::Jsonb => Codec::Jsonb,
        Tag::Null
        | Tag::Enum
        | Tag::Array
        | Tag::Range
        | Tag::Multirange
        | Tag::Composite
        | Tag::Commitment => return None,
    })
}

/// The attributes of a relation with their ids, in the order of the ids; the name and type of one that has no encoding.
pub unsafe fn attributes(
    relation: pg_sys::Oid,
    depends_on: &mut Vec<pg_sys::Oid>,
) -> Result<Vec<Attribute>, (String, pg_sys::Oid)> {
    unsafe { encode_columns(identities::attributes(relation), depends_on) }
}

/// The same of columns that are known.
pub unsafe fn encode_columns(
    columns: Vec<identities::Column>,
    depends_on: &mut Vec<pg_sys::Oid>,
) -> Result<Vec<Attribute>, (String, pg_sys::Oid)> {
    let mut attributes = Vec::new();
    for column in columns {
        let Some(kind) = (unsafe { Kind::of(column.type_oid, depends_on) }) else {
            return Err((column.name, column.type_oid));
        };
        attributes.push(Attribute { place: column.place, id: column.id, kind, absent: column.absent });
    }
    attributes.sort_unstable_by_key(|attribute| attribute.id);
    Ok(attributes)
}

/// What a value of variable length holds, detoasted.
unsafe fn payload<'value>(value: pg_sys::Datum) -> &'value [u8] {
    unsafe {
        // nearly all values lie there as they are; only others need a call
        let start: *const u8 = value.cast_mut_ptr();
        let first = *start;
        if first & 1 == 1 && first != 1 {
            return std::slice::from_raw_parts(start.add(1), usize::from(first >> 1) - 1);
        } else if first.trailing_zeros() >= 2 {
            let length = start.cast::<u32>().read_unaligned() >> 2;
            return std::slice::from_raw_parts(start.add(4), length as usize - 4);
        }
        let value = pg_sys::pg_detoast_datum_packed(value.cast_mut_ptr());
        std::slice::from_raw_parts(pgrx::vardata_any(value).cast(), pgrx::varsize_any_exhdr(value))
    }
}

/// A numeric as its send function writes it, from how it is stored; false for NaN and infinities, which are left to that.
unsafe fn encode_numeric(value: pg_sys::Datum, out: &mut Vec<u8>) -> bool {
    let stored = unsafe { payload(value) };
    let word =
        |place: usize| stored.get(place..place + 2).map_or(0, |two| u16::from_ne_bytes([two[0], two[1]]));
    let header = word(0);
    let (weight, sign, scale, digits) = match header & 0xc000 {
        0xc000 => return false,
        // the short form: everything in one word
        0x8000 => {
            let weight = if header & 0x40 == 0 { header & 0x3f } else { header | 0xffc0 };
            (weight, if header & 0x2000 == 0 { 0 } else { 0x4000 }, (header & 0x1f80) >> 7, 2)
        }
        sign => (word(2), sign, header & 0x3fff, 4),
    };
    let count = (stored.len() - digits) / 2;
    for field in [count as u16, weight, sign, scale] {
        out.extend(field.to_be_bytes());
    }
    for digit in 0..count {
        out.extend(word(digits + 2 * digit).to_be_bytes());
    }
    true
}

thread_local! {
    static IS_UTF8: bool = {
        // SAFETY: reads a setting of the database.
        unsafe { pg_sys::GetDatabaseEncoding() == pg_sys::pg_enc::PG_UTF8 as i32 }
    };
}

/// Text in the server's encoding as UTF-8.
unsafe fn utf8(text: &[u8]) -> &[u8] {
    if IS_UTF8.with(|is| *is) {
        return text;
    }
    unsafe {
        let utf8 = pg_sys::pg_enc::PG_UTF8 as i32;
        let converted = pg_sys::pg_server_to_any(text.as_ptr().cast(), text.len() as i32, utf8);
        if converted.cast_const() == text.as_ptr().cast() {
            text
        } else {
            std::ffi::CStr::from_ptr(converted).to_bytes()
        }
    }
}

unsafe fn encode_jsonb(value: pg_sys::Datum, out: &mut Vec<u8>) {
    unsafe {
        let document: *mut pg_sys::Jsonb = pg_sys::pg_detoast_datum(value.cast_mut_ptr()).cast();
        let length = pgrx::varsize_any_exhdr(document.cast()) as i32;
        let text = pg_sys::JsonbToCString(std::ptr::null_mut(), &raw mut (*document).root, length);
        let text = utf8(std::ffi::CStr::from_ptr(text).to_bytes());
        let canonical = std::str::from_utf8(text).ok().and_then(|text| jsonb::canonical(text).ok());
        if let Some(bytes) = canonical {
            out.extend(bytes);
        } else {
            pgrx::error!("jsonb value has no canonical bytes");
        }
    }
}

unsafe fn encode_array(element: &Element, value: pg_sys::Datum, out: &mut Vec<u8>) {
    unsafe {
        let array: *mut pg_sys::ArrayType = pg_sys::pg_detoast_datum(value.cast_mut_ptr()).cast();
        let (mut values, mut nulls, mut count) = (std::ptr::null_mut(), std::ptr::null_mut(), 0);
        pg_sys::deconstruct_array(
            array,
            element.type_oid,
            element.length.into(),
            element.by_value,
            element.align,
            &raw mut values,
            &raw mut nulls,
            &raw mut count,
        );
        // lengths, then lower bounds, lie behind the header
        let dimensions = (*array).ndim as usize;
        let bounds = array.add(1).cast::<i32>();
        let dimensions: Vec<(u32, i32)> =
            (0..dimensions).map(|n| (*bounds.add(n) as u32, *bounds.add(dimensions + n))).collect();
        nested::array(out, element.kind.tag, &dimensions);
        let mut bytes = Vec::new();
        for n in 0..count as usize {
            if *nulls.add(n) {
                nested::element(out, None);
            } else {
                bytes.clear();
                element.kind.encode(*values.add(n), &mut bytes);
                nested::element(out, Some(&bytes));
            }
        }
    }
}

unsafe fn encode_range(
    range_type: *mut pg_sys::TypeCacheEntry,
    kind: &Kind,
    range: *const pg_sys::RangeType,
    out: &mut Vec<u8>,
) {
    unsafe {
        let (mut lower, mut upper, mut empty) =
            (pg_sys::RangeBound::default(), pg_sys::RangeBound::default(), false);
        pg_sys::range_deserialize(range_type, range, &raw mut lower, &raw mut upper, &raw mut empty);
        let (mut low, mut high) = (Vec::new(), Vec::new());
        let bounds = (!empty).then(|| (bound(kind, &lower, &mut low), bound(kind, &upper, &mut high)));
        nested::range(out, kind.tag, bounds);
    }
}

unsafe fn bound<'bytes>(
    kind: &Kind,
    bound: &pg_sys::RangeBound,
    bytes: &'bytes mut Vec<u8>,
) -> nested::Bound<'bytes> {
    if bound.infinite {
        return nested::Bound::Infinite;
    }
    unsafe { kind.encode(bound.val, bytes) };
    if bound.inclusive { nested::Bound::Inclusive(bytes) } else { nested::Bound::Exclusive(bytes) }
}

unsafe fn encode_multirange(range: pg_sys::Oid, kind: &Kind, value: pg_sys::Datum, out: &mut Vec<u8>) {
    unsafe {
        let range_type = pg_sys::lookup_type_cache(range, pg_sys::TYPECACHE_RANGE_INFO as i32);
        let multirange = pg_sys::pg_detoast_datum(value.cast_mut_ptr());
        let (mut count, mut ranges) = (0, std::ptr::null_mut());
        pg_sys::ffi::pg_guard_ffi_boundary(|| {
            multirange_deserialize_unguarded(range_type, multirange.cast(), &raw mut count, &raw mut ranges);
        });
        nested::multirange(out, count as u32);
        let Codec::Range(_, bounds) = &kind.codec else { return };
        let mut bytes = Vec::new();
        for n in 0..count as usize {
            bytes.clear();
            encode_range(range_type, bounds, *ranges.add(n), &mut bytes);
            nested::element(out, Some(&bytes));
        }
    }
}

unsafe fn encode_composite(attributes: &[Attribute], value: pg_sys::Datum, out: &mut Vec<u8>) {
    unsafe {
        let (values, nulls) = deform(value);
        let mut bytes = Vec::new();
        for attribute in attributes {
            // a value stored before an attribute was added has fewer
            if nulls.get(attribute.place).is_none_or(|null| *null) {
                continue;
            }
            bytes.clear();
            attribute.kind.encode(values[attribute.place], &mut bytes);
            nested::attribute(out, attribute.id, attribute.kind.tag, &bytes);
        }
    }
}

/// The attributes of a composite value: values, and which of them are NULL.
pub unsafe fn deform(value: pg_sys::Datum) -> (Vec<pg_sys::Datum>, Vec<bool>) {
    unsafe {
        let header: pg_sys::HeapTupleHeader = pg_sys::pg_detoast_datum(value.cast_mut_ptr()).cast();
        let type_oid = (*header).t_choice.t_datum.datum_typeid;
        let descriptor = pg_sys::lookup_rowtype_tupdesc(type_oid, (*header).t_choice.t_datum.datum_typmod);
        let count = (*descriptor).natts as usize;
        let mut tuple = pg_sys::HeapTupleData {
            t_len: pgrx::varsize(header.cast()) as u32,
            t_data: header,
            ..Default::default()
        };
        let (mut values, mut nulls) = (vec![pg_sys::Datum::from(0); count], vec![true; count]);
        pg_sys::heap_deform_tuple(&raw mut tuple, descriptor, values.as_mut_ptr(), nulls.as_mut_ptr());
        if (*descriptor).tdrefcount >= 0 {
            pg_sys::DecrTupleDescRefCount(descriptor);
        }
        (values, nulls)
    }
}
