//! Row encoding, version 1: how a stored row becomes one leaf hash. The published layout is docs/formats.md.
//!
//! The bytes of a value are PostgreSQL's binary wire format of that type, except where the table in
//! docs/formats.md says otherwise. Nothing that depends on a setting, an OID or an attribute number may
//! ever enter here: leaves outlive sessions, dumps and servers.

use crate::commitment::{self, Salt};
use crate::merkle::{self, Hash, LEAF_PREFIX};
use sha2::{Digest, Sha256};

/// The first byte of every encoded row.
pub const VERSION: u8 = 1;

/// The type of an encoded value. Numbers are part of the format: never reused, never renumbered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Tag {
    /// An explicit NULL, written only where the column's absent value is not NULL. Length 0.
    Null = 0,
    /// `boolean`
    Bool = 1,
    /// `smallint`
    Int2 = 2,
    /// `integer`
    Int4 = 3,
    /// `bigint`
    Int8 = 4,
    /// `real`
    Float4 = 5,
    /// `double precision`
    Float8 = 6,
    /// `numeric`, as [`crate::numeric::parse`] returns it
    Numeric = 7,
    /// `text`
    Text = 8,
    /// `character varying`
    Varchar = 9,
    /// `character`, without its trailing spaces
    Bpchar = 10,
    /// `bytea`
    Bytea = 11,
    /// `uuid`
    Uuid = 12,
    /// `date`
    Date = 13,
    /// `time`
    Time = 14,
    /// `timestamp`
    Timestamp = 15,
    /// `timestamp with time zone`
    TimestampTz = 16,
    /// `time with time zone`
    TimeTz = 17,
    /// `interval`
    Interval = 18,
    /// `inet`
    Inet = 19,
    /// `cidr`
    Cidr = 20,
    /// `json`, its text as it is
    Json = 21,
    /// `jsonb`, as [`crate::jsonb::canonical`] returns it
    Jsonb = 22,
    /// An enum, as [`crate::nested::enumerated`] returns it
    Enum = 23,
    /// An array, as [`crate::nested::array`] begins it
    Array = 24,
    /// A range, as [`crate::nested::range`] writes it
    Range = 25,
    /// A multirange, as [`crate::nested::multirange`] begins it
    Multirange = 26,
    /// A composite: its attributes by [`crate::nested::attribute`]
    Composite = 27,
    /// A value that may be erased, as [`crate::commitment::commit`] returns it
    Commitment = 28,
}

impl Tag {
    /// Every tag, each at the place of its number.
    pub const ALL: [Self; 29] = [
        Self::Null,
        Self::Bool,
        Self::Int2,
        Self::Int4,
        Self::Int8,
        Self::Float4,
        Self::Float8,
        Self::Numeric,
        Self::Text,
        Self::Varchar,
        Self::Bpchar,
        Self::Bytea,
        Self::Uuid,
        Self::Date,
        Self::Time,
        Self::Timestamp,
        Self::TimestampTz,
        Self::TimeTz,
        Self::Interval,
        Self::Inet,
        Self::Cidr,
        Self::Json,
        Self::Jsonb,
        Self::Enum,
        Self::Array,
        Self::Range,
        Self::Multirange,
        Self::Composite,
        Self::Commitment,
    ];

    /// The tag of a number that was stored.
    pub fn from_number(number: i32) -> Option<Self> {
        usize::try_from(number).ok().and_then(|number| Self::ALL.get(number).copied())
    }
}

/// What stands before the value of a column, or of an attribute of a composite: id, tag, length.
pub(crate) fn column_head(id: u32, tag: Tag, value: &[u8]) -> [u8; 9] {
    let mut head = [0; 9];
    head[..4].copy_from_slice(&id.to_be_bytes());
    head[4] = tag as u8;
    head[5..].copy_from_slice(&u32::try_from(value.len()).unwrap_or(u32::MAX).to_be_bytes());
    head
}

/// The tag of a base type (domains resolved) by its OID. `None`: the type has no pinned encoding and is refused.
pub fn tag_of_type(oid: u32) -> Option<Tag> {
    Some(match oid {
        16 => Tag::Bool,
        17 => Tag::Bytea,
        20 => Tag::Int8,
        21 => Tag::Int2,
        23 => Tag::Int4,
        25 => Tag::Text,
        114 => Tag::Json,
        650 => Tag::Cidr,
        700 => Tag::Float4,
        701 => Tag::Float8,
        869 => Tag::Inet,
        1042 => Tag::Bpchar,
        1043 => Tag::Varchar,
        1082 => Tag::Date,
        1083 => Tag::Time,
        1114 => Tag::Timestamp,
        1184 => Tag::TimestampTz,
        1186 => Tag::Interval,
        1266 => Tag::TimeTz,
        1700 => Tag::Numeric,
        2950 => Tag::Uuid,
        3802 => Tag::Jsonb,
        _ => return None,
    })
}

/// The tag of a built-in type by the name PostgreSQL has for it (`format_type`), as descriptions of audited tables have it.
pub fn tag_of_name(name: &str) -> Option<Tag> {
    Some(match name {
        "boolean" => Tag::Bool,
        "smallint" => Tag::Int2,
        "integer" => Tag::Int4,
        "bigint" => Tag::Int8,
        "real" => Tag::Float4,
        "double precision" => Tag::Float8,
        "numeric" => Tag::Numeric,
        "text" => Tag::Text,
        "character varying" => Tag::Varchar,
        "character" => Tag::Bpchar,
        "bytea" => Tag::Bytea,
        "uuid" => Tag::Uuid,
        "date" => Tag::Date,
        "time without time zone" => Tag::Time,
        "timestamp without time zone" => Tag::Timestamp,
        "timestamp with time zone" => Tag::TimestampTz,
        "time with time zone" => Tag::TimeTz,
        "interval" => Tag::Interval,
        "inet" => Tag::Inet,
        "cidr" => Tag::Cidr,
        "json" => Tag::Json,
        "jsonb" => Tag::Jsonb,
        _ => return None,
    })
}

/// Hashes the rows of one table, one after the other, without allocating for each. What a row's leaf covers is
/// gathered first: SHA-256 takes many bytes at once faster than few at a time.
#[derive(Clone, Debug)]
pub struct RowHasher {
    /// What every row of the table begins with.
    prefix: [u8; 18],
    /// What of the row has not been hashed yet.
    bytes: Vec<u8>,
    /// What of it was, where the row is long.
    state: Option<Sha256>,
    /// What the next column's id must reach.
    next_id: u64,
}

impl RowHasher {
    /// Bytes gathered at most.
    const GATHERED: usize = 16 * 1024;

    /// A hasher for the rows of the table with this UUID.
    pub fn new(table: [u8; 16]) -> Self {
        let mut prefix = [LEAF_PREFIX; 18];
        prefix[1] = VERSION;
        prefix[2..].copy_from_slice(&table);
        Self { prefix, bytes: prefix.to_vec(), state: None, next_id: 0 }
    }

    /// Starts a row, forgetting one left unfinished.
    pub fn begin(&mut self) {
        self.bytes.clear();
        self.bytes.extend_from_slice(&self.prefix);
        self.state = None;
        self.next_id = 0;
    }

    /// Adds a column that is not absent. `bytes` are shorter than 4 GiB, as every PostgreSQL value is. Trailing
    /// spaces of a [`Tag::Bpchar`] are left out here.
    ///
    /// # Panics
    ///
    /// When ids do not ascend strictly within a row: a bug of the caller that would make a wrong hash.
    pub fn column(&mut self, id: u32, tag: Tag, bytes: &[u8]) {
        assert!(u64::from(id) >= self.next_id, "column ids must ascend: {id}");
        self.next_id = u64::from(id) + 1;
        debug_assert!(tag != Tag::Null || bytes.is_empty(), "an explicit NULL has no bytes");
        let bytes = if tag == Tag::Bpchar { strip_padding(bytes) } else { bytes };
        self.bytes.extend_from_slice(&column_head(id, tag, bytes));
        if self.bytes.len() + bytes.len() > Self::GATHERED {
            let state = self.state.get_or_insert_default();
            state.update(&self.bytes);
            state.update(bytes);
            self.bytes.clear();
        } else {
            self.bytes.extend_from_slice(bytes);
        }
    }

    /// Adds an explicit NULL: only for a column whose absent value is not NULL.
    pub fn null(&mut self, id: u32) {
        self.column(id, Tag::Null, &[]);
    }

    /// Ends the row and returns its leaf hash. The next row starts with [`RowHasher::begin`].
    pub fn finish(&mut self) -> Hash {
        let hash = match self.state.take() {
            None => Sha256::digest(&self.bytes),
            Some(state) => state.chain_update(&self.bytes).finalize(),
        };
        self.begin();
        hash.into()
    }
}

/// Hashes the rows of one table like [`RowHasher`], from one buffer in which a row's values are written where they
/// belong: what runs for every row of an audited table.
#[derive(Clone, Debug)]
pub struct RowBytes {
    bytes: Vec<u8>,
    /// Where the column that is being written begins.
    column: usize,
}

impl RowBytes {
    const PREFIX: usize = 18;
    const HEAD: usize = 9;

    /// A buffer for the rows of the table with this UUID.
    pub fn new(table: [u8; 16]) -> Self {
        let mut bytes = vec![LEAF_PREFIX, VERSION];
        bytes.extend(table);
        Self { bytes, column: 0 }
    }

    /// Starts a row.
    pub fn begin(&mut self) {
        self.bytes.truncate(Self::PREFIX);
    }

    /// Starts a column that is not absent, of an id higher than the last: its value is appended to what is returned.
    pub fn open(&mut self, id: u32, tag: Tag) -> &mut Vec<u8> {
        self.column = self.bytes.len();
        self.bytes.extend(column_head(id, tag, &[]));
        &mut self.bytes
    }

    /// The value of the column that was started last.
    pub fn value(&self) -> &[u8] {
        self.bytes.get(self.column + Self::HEAD..).unwrap_or_default()
    }

    /// Ends the column.
    pub fn close(&mut self) {
        let length = u32::try_from(self.value().len()).unwrap_or(u32::MAX);
        let end = self.column + Self::HEAD;
        self.bytes[end - 4..end].copy_from_slice(&length.to_be_bytes());
    }

    /// Puts the commitment to the value in the value's place.
    pub fn commit(&mut self, salt: &Salt) {
        let Some((id, rest)) = self.bytes.get(self.column..).and_then(<[u8]>::split_first_chunk::<4>) else {
            return;
        };
        let (id, tag) =
            (u32::from_be_bytes(*id), rest.first().and_then(|tag| Tag::from_number(i32::from(*tag))));
        let commitment = commitment::commit(salt, id, tag.unwrap_or(Tag::Null), self.value());
        self.discard();
        self.open(id, Tag::Commitment).extend(commitment);
    }

    /// Takes the column back: its value is the absent one.
    pub fn discard(&mut self) {
        self.bytes.truncate(self.column);
    }

    /// The leaf hash of the row.
    pub fn leaf(&mut self) -> Hash {
        merkle::hash_in_place(&mut self.bytes)
    }
}

/// A `character(n)` value without the spaces that pad it: comparison ignores them, so the hash does.
pub fn strip_padding(bytes: &[u8]) -> &[u8] {
    let end = bytes.iter().rposition(|&byte| byte != b' ').map_or(0, |last| last + 1);
    &bytes[..end]
}
