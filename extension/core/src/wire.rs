//! Values as PostgreSQL sends them in binary, to the bytes of row encoding version 1: what a verifier needs that reads
//! tables over the wire. The extension does the same from stored tuples, and both make the same leaf.
//!
//! Types come from the caller; a value that is none of its type is an error, never a guess.

use std::collections::HashMap;

use crate::chunk::KeyHash;
use crate::commitment::Salt;
use crate::encoding::{RowBytes, Tag, strip_padding};
use crate::merkle::Hash;
use crate::{jsonb, nested};

/// The length of a NULL on the wire.
const NULL: i32 = -1;
/// The only version of jsonb's wire format.
const JSONB_VERSION: u8 = 1;
/// Flags of a range, as on the wire.
const EMPTY: u8 = 0x01;
const LOWER_INCLUSIVE: u8 = 0x02;
const UPPER_INCLUSIVE: u8 = 0x04;
const LOWER_INFINITE: u8 = 0x08;
const UPPER_INFINITE: u8 = 0x10;
/// Dimensions of an array at most.
const DIMENSIONS_MAX: usize = 6;

/// Why bytes are no value of their type.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum WireError {
    /// Too short, too long, or with a length that is not there.
    #[error("a value has another length than its type")]
    Length,
    /// A version, flag or count that its type does not have.
    #[error("a value is not in the wire format of its type")]
    Format,
    /// A label without an id.
    #[error("an enum has a label without an id")]
    Label,
    /// A document the encoding has no bytes for.
    #[error("a jsonb value has no canonical bytes")]
    Jsonb,
}

/// A type, domains resolved.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Wire {
    /// A built-in type whose values are not made of others.
    Plain(Tag),
    /// The ids of its labels.
    Enum(HashMap<String, u32>),
    /// Its elements.
    Array(Box<Self>),
    /// Its bounds.
    Range(Box<Self>),
    /// The bounds of its ranges.
    Multirange(Box<Self>),
    /// Ids and types of its attributes, in the order they are sent.
    Composite(Vec<(u32, Self)>),
}

impl Wire {
    /// The tag of its values.
    pub fn tag(&self) -> Tag {
        match self {
            Self::Plain(tag) => *tag,
            Self::Enum(_) => Tag::Enum,
            Self::Array(_) => Tag::Array,
            Self::Range(_) => Tag::Range,
            Self::Multirange(_) => Tag::Multirange,
            Self::Composite(_) => Tag::Composite,
        }
    }

    /// Appends the encoding of a value that is not NULL. After an error `out` holds garbage behind what was in it.
    ///
    /// # Errors
    ///
    /// [`WireError`] for bytes that are no value of the type.
    pub fn encode(&self, value: &[u8], out: &mut Vec<u8>) -> Result<(), WireError> {
        match self {
            Self::Plain(tag) => plain(*tag, value, out),
            Self::Enum(labels) => {
                let label = std::str::from_utf8(value).map_err(|_| WireError::Format)?;
                out.extend(nested::enumerated(*labels.get(label).ok_or(WireError::Label)?));
                Ok(())
            }
            Self::Array(element) => array(element, value, out),
            Self::Range(bound) => range(bound, value, out),
            Self::Multirange(bound) => multirange(bound, value, out),
            Self::Composite(attributes) => composite(attributes, value, out),
        }
    }
}

/// How many bytes values of a type have, where all have as many.
fn width(tag: Tag) -> Option<usize> {
    Some(match tag {
        Tag::Bool => 1,
        Tag::Int2 => 2,
        Tag::Int4 | Tag::Float4 | Tag::Date => 4,
        Tag::Int8 | Tag::Float8 | Tag::Time | Tag::Timestamp | Tag::TimestampTz => 8,
        Tag::TimeTz => 12,
        Tag::Uuid | Tag::Interval => 16,
        _ => return None,
    })
}

fn plain(tag: Tag, value: &[u8], out: &mut Vec<u8>) -> Result<(), WireError> {
    if width(tag).is_some_and(|width| width != value.len()) {
        return Err(WireError::Length);
    }
    match tag {
        Tag::Jsonb => {
            let Some((&JSONB_VERSION, text)) = value.split_first() else { return Err(WireError::Format) };
            let text = std::str::from_utf8(text).map_err(|_| WireError::Format)?;
            return jsonb::canonical_into(text, out).map_err(|_| WireError::Jsonb);
        }
        Tag::Bpchar => out.extend(strip_padding(value)),
        Tag::Null
        | Tag::Enum
        | Tag::Array
        | Tag::Range
        | Tag::Multirange
        | Tag::Composite
        | Tag::Commitment => {
            return Err(WireError::Format);
        }
        _ => out.extend(value),
    }
    Ok(())
}

/// What is left to read of a value.
struct Reader<'value>(&'value [u8]);

impl<'value> Reader<'value> {
    fn take(&mut self, length: usize) -> Result<&'value [u8], WireError> {
        let (taken, rest) = self.0.split_at_checked(length).ok_or(WireError::Length)?;
        self.0 = rest;
        Ok(taken)
    }

    fn int(&mut self) -> Result<i32, WireError> {
        let (number, rest) = self.0.split_first_chunk::<4>().ok_or(WireError::Length)?;
        self.0 = rest;
        Ok(i32::from_be_bytes(*number))
    }

    fn count(&mut self) -> Result<usize, WireError> {
        usize::try_from(self.int()?).map_err(|_| WireError::Format)
    }

    /// A length and so many bytes; `None` for a NULL.
    fn field(&mut self) -> Result<Option<&'value [u8]>, WireError> {
        match self.int()? {
            NULL => Ok(None),
            length => self.take(usize::try_from(length).map_err(|_| WireError::Format)?).map(Some),
        }
    }

    fn value(&mut self) -> Result<&'value [u8], WireError> {
        self.field()?.ok_or(WireError::Format)
    }

    fn end(&self) -> Result<(), WireError> {
        if self.0.is_empty() { Ok(()) } else { Err(WireError::Length) }
    }
}

fn array(element: &Wire, value: &[u8], out: &mut Vec<u8>) -> Result<(), WireError> {
    let mut reader = Reader(value);
    let count = reader.count()?;
    let (_has_nulls, _element_type) = (reader.int()?, reader.int()?);
    if count > DIMENSIONS_MAX {
        return Err(WireError::Format);
    }
    let mut dimensions = Vec::with_capacity(count);
    for _ in 0..count {
        let length = u32::try_from(reader.int()?).map_err(|_| WireError::Format)?;
        dimensions.push((length, reader.int()?));
    }
    nested::array(out, element.tag(), &dimensions);
    let mut bytes = Vec::new();
    while !reader.0.is_empty() {
        match reader.field()? {
            None => nested::element(out, None),
            Some(value) => {
                bytes.clear();
                element.encode(value, &mut bytes)?;
                nested::element(out, Some(&bytes));
            }
        }
    }
    Ok(())
}

fn range(bound: &Wire, value: &[u8], out: &mut Vec<u8>) -> Result<(), WireError> {
    let (flags, rest) = value.split_first().ok_or(WireError::Length)?;
    let mut reader = Reader(rest);
    let has = |flag: u8| flags & flag != 0;
    let (mut lower, mut upper) = (Vec::new(), Vec::new());
    if *flags == EMPTY {
        nested::range(out, bound.tag(), None);
        return reader.end();
    } else if has(EMPTY) || flags >> 5 != 0 {
        return Err(WireError::Format);
    }
    let mut read = |infinite: u8, inclusive: u8, bytes| -> Result<End, WireError> {
        if has(infinite) {
            return Ok(End::Infinite);
        }
        bound.encode(reader.value()?, bytes)?;
        Ok(if has(inclusive) { End::Inclusive } else { End::Exclusive })
    };
    let low = read(LOWER_INFINITE, LOWER_INCLUSIVE, &mut lower)?;
    let high = read(UPPER_INFINITE, UPPER_INCLUSIVE, &mut upper)?;
    nested::range(out, bound.tag(), Some((low.of(&lower), high.of(&upper))));
    reader.end()
}

/// How a range ends.
enum End {
    Infinite,
    Inclusive,
    Exclusive,
}

impl End {
    fn of(self, value: &[u8]) -> nested::Bound<'_> {
        match self {
            Self::Infinite => nested::Bound::Infinite,
            Self::Inclusive => nested::Bound::Inclusive(value),
            Self::Exclusive => nested::Bound::Exclusive(value),
        }
    }
}

fn multirange(bound: &Wire, value: &[u8], out: &mut Vec<u8>) -> Result<(), WireError> {
    let mut reader = Reader(value);
    let count = reader.count()?;
    nested::multirange(out, u32::try_from(count).map_err(|_| WireError::Format)?);
    let mut bytes = Vec::new();
    for _ in 0..count {
        bytes.clear();
        range(bound, reader.value()?, &mut bytes)?;
        nested::element(out, Some(&bytes));
    }
    reader.end()
}

fn composite(attributes: &[(u32, Wire)], value: &[u8], out: &mut Vec<u8>) -> Result<(), WireError> {
    let mut reader = Reader(value);
    if reader.count()? != attributes.len() {
        return Err(WireError::Format);
    }
    let mut fields = Vec::with_capacity(attributes.len());
    for (id, wire) in attributes {
        let _type = reader.int()?;
        if let Some(value) = reader.field()? {
            fields.push((*id, wire, value));
        }
    }
    reader.end()?;
    fields.sort_unstable_by_key(|(id, ..)| *id);
    let mut bytes = Vec::new();
    for (id, wire, value) in fields {
        bytes.clear();
        wire.encode(value, &mut bytes)?;
        nested::attribute(out, id, wire.tag(), &bytes);
    }
    Ok(())
}

/// A column of a table that is read over the wire.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WireColumn {
    /// Its id.
    pub id: u32,
    /// Its type.
    pub wire: Wire,
    /// The bytes of its absent value, where that is not NULL.
    pub absent: Option<Vec<u8>>,
    /// Whether it belongs to the key.
    pub in_key: bool,
    /// Whether its values stand in leaves as commitments.
    pub is_erasable: bool,
}

/// What a leaf takes beside the values of its row.
pub trait Beside {
    /// The salt of a key, as [`KeyHash::whole`] has it.
    fn salt(&self, key: &[u8]) -> Option<&Salt>;

    /// The commitment that is left of the value of a column that was erased.
    fn erased(&self, id: u32) -> Option<Hash>;
}

/// Nothing: no value may be erased.
impl Beside for () {
    fn salt(&self, _: &[u8]) -> Option<&Salt> {
        None
    }

    fn erased(&self, _: u32) -> Option<Hash> {
        None
    }
}

/// Makes leaves of rows that are read over the wire.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WireTable {
    columns: Vec<WireColumn>,
    key_is_integer: bool,
    has_erasable: bool,
}

impl WireTable {
    /// Of these columns; rows have their values in ascending order of the ids.
    pub fn new(mut columns: Vec<WireColumn>) -> Self {
        columns.sort_unstable_by_key(|column| column.id);
        let mut key = columns.iter().filter(|column| column.in_key);
        let key_is_integer =
            key.next().is_some_and(|column| KeyHash::is_integer(column.wire.tag())) && key.next().is_none();
        let has_erasable = columns.iter().any(|column| column.is_erasable);
        Self { columns, key_is_integer, has_erasable }
    }

    /// Its columns, as rows have their values.
    pub fn columns(&self) -> &[WireColumn] {
        &self.columns
    }

    /// Whether leaves take salts.
    pub fn has_erasable(&self) -> bool {
        self.has_erasable
    }

    /// Whether the hash of a key is the key.
    pub fn key_is_integer(&self) -> bool {
        self.key_is_integer
    }

    /// The hash of the key of a row.
    fn key(&self, values: &[Option<&[u8]>]) -> Result<KeyHash, WireError> {
        let mut key = KeyHash::new(self.key_is_integer);
        let mut bytes = Vec::new();
        for (column, value) in self.columns.iter().zip(values).filter(|(column, _)| column.in_key) {
            if let Some(value) = value {
                bytes.clear();
                column.wire.encode(value, &mut bytes)?;
                key.take(column.id, &bytes);
            }
        }
        Ok(key)
    }

    /// The leaf of a row and the hash of its key. Columns of ids above `schema` did not exist yet. `row` is of the table.
    ///
    /// # Errors
    ///
    /// [`WireError`] where a value is none of its column's type.
    pub fn leaf(
        &self,
        values: &[Option<&[u8]>],
        schema: u32,
        beside: &impl Beside,
        row: &mut RowBytes,
    ) -> Result<(Hash, u64), WireError> {
        row.begin();
        let key = self.key(values)?;
        let salt = if self.has_erasable { beside.salt(&key.clone().whole()) } else { None };
        for (column, value) in self.columns.iter().zip(values) {
            let Some(value) = value else {
                if let Some(commitment) = beside.erased(column.id).filter(|_| column.is_erasable) {
                    row.open(column.id, Tag::Commitment).extend(commitment);
                    row.close();
                } else if column.absent.is_some() && column.id <= schema {
                    row.open(column.id, Tag::Null);
                    row.close();
                }
                continue;
            };
            column.wire.encode(value, row.open(column.id, column.wire.tag()))?;
            if column.absent.as_deref() == Some(row.value()) {
                row.discard();
                continue;
            }
            if let Some(salt) = salt.filter(|_| column.is_erasable) {
                row.commit(salt);
            }
            row.close();
        }
        Ok((row.leaf(), key.finish()))
    }
}
