//! A chunk of the audit log: what one statement did to one table, as the row leaves that came and went. Its encoded
//! record is a leaf of the log (docs/formats.md).
//!
//! Here are bytes only: who wrote a row, and where chunks are kept, is the caller's affair.

use crate::encoding::Tag;
use crate::lthash::{LtHash, STATE_BYTES};
use crate::merkle::{self, Hash, Tree};
use sha2::{Digest, Sha256};

/// The first byte of an encoded record.
pub const RECORD_VERSION: u8 = 1;
/// Rows of a chunk at most.
pub const CHUNK_ROWS_MAX: usize = 65_536;
/// Bytes of an entry.
pub const ENTRY_BYTES: usize = 40;
/// The operation whose chunk begins a table's state anew; `baseline_more` continues it.
pub const BASELINE: &str = "baseline";
/// Key hashes hashed by one call.
const KEYS_AT_ONCE: usize = 64;
/// Stands for a text that is NULL.
const NULL_TEXT: u32 = u32::MAX;

/// A row leaf and the hash of the row's key behind it.
pub type Entry = [u8; ENTRY_BYTES];

/// An entry from its parts.
pub fn entry(leaf: &Hash, key: u64) -> Entry {
    let mut entry = [0; ENTRY_BYTES];
    entry[..32].copy_from_slice(leaf);
    entry[32..].copy_from_slice(&key.to_be_bytes());
    entry
}

/// The hash of a row's key: 64 bits, by which rows of one table are told from each other. An integer stands for itself,
/// anything else is the beginning of a SHA-256.
#[derive(Clone, Debug, Default)]
pub struct KeyHash {
    is_integer: bool,
    integer: u64,
    hash: Option<Sha256>,
}

impl KeyHash {
    /// Of a key that is one integer, or of any other.
    pub fn new(is_integer: bool) -> Self {
        Self { is_integer, ..Self::default() }
    }

    /// Whether a key of one column of this type stands for itself.
    pub fn is_integer(tag: Tag) -> bool {
        matches!(tag, Tag::Int2 | Tag::Int4 | Tag::Int8)
    }

    /// The next column of the key; ids ascend.
    pub fn take(&mut self, id: u32, bytes: &[u8]) {
        if self.is_integer {
            // (of two, four or eight bytes: what is to its left is its sign)
            let sign = if bytes.first().is_some_and(|byte| *byte >= 0x80) { u64::MAX } else { 0 };
            self.integer = bytes.iter().fold(sign, |integer, byte| integer << 8 | u64::from(*byte));
            return;
        }
        let hash = self.hash.get_or_insert_default();
        hash.update(id.to_be_bytes());
        hash.update((bytes.len() as u64).to_be_bytes());
        hash.update(bytes);
    }

    /// The hash that entries have of it.
    pub fn finish(self) -> u64 {
        let whole = self.whole();
        u64::from_be_bytes(*whole.first_chunk().unwrap_or(&[0; 8]))
    }

    /// All of it, by which its salt is kept: 8 bytes of an integer, else 32.
    pub fn whole(self) -> Vec<u8> {
        self.hash.map_or_else(|| self.integer.to_be_bytes().to_vec(), |hash| hash.finalize().to_vec())
    }
}

/// What a record says of rows that came, or of rows that went.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rows {
    /// How many.
    pub count: u32,
    /// The root over their leaves, sorted.
    pub root: Hash,
    /// SHA-256 over the hashes of their keys, in the order of the leaves.
    pub keys: Hash,
}

impl Rows {
    /// Sorts entries and says what the record has of them.
    pub fn of(entries: &mut [Entry]) -> Self {
        sort(entries);
        Self::of_sorted(entries)
    }

    fn of_sorted(entries: &[Entry]) -> Self {
        let (mut keys, mut tree) = (Sha256::new(), Tree::default());
        for some in entries.chunks(KEYS_AT_ONCE) {
            let mut bytes = [0; 8 * KEYS_AT_ONCE];
            for (to, entry) in bytes.chunks_exact_mut(8).zip(some) {
                to.copy_from_slice(&entry[32..]);
                tree.push(&leaf(entry));
            }
            keys.update(&bytes[..8 * some.len()]);
        }
        Self {
            count: u32::try_from(entries.len()).unwrap_or(u32::MAX),
            root: tree.root(),
            keys: keys.finalize().into(),
        }
    }

    /// Whether these are the stored entries, sorted as they must be.
    pub fn holds(&self, stored: &[u8]) -> bool {
        entries(stored).is_some_and(|entries| entries.is_sorted() && Self::of_sorted(entries) == *self)
    }

    fn encode(&self, out: &mut Vec<u8>) {
        out.extend(self.count.to_be_bytes());
        out.extend(self.root);
        out.extend(self.keys);
    }
}

/// Sorts entries bytewise. They begin with hashes, spread evenly: dealt out by their first bits, nearly every one lands
/// where it belongs.
fn sort(entries: &mut [Entry]) {
    const FEW: usize = 64;
    let prefix = |entry: &Entry| u64::from_be_bytes(*entry.first_chunk().unwrap_or(&[0; 8]));
    let compare = |one: &Entry, other: &Entry| prefix(one).cmp(&prefix(other)).then_with(|| one.cmp(other));
    if entries.len() < FEW {
        return entries.sort_unstable_by(compare);
    }
    let bits = (entries.len() / 4).ilog2().min(16);
    let pile = |entry: &Entry| usize::from(u16::from_be_bytes([entry[0], entry[1]]) >> (16 - bits));
    // where each pile begins, and as it grows, where its next entry goes
    let mut next = vec![0_usize; (1 << bits) + 1];
    for entry in entries.iter() {
        next[pile(entry) + 1] += 1;
    }
    for place in 1..next.len() {
        next[place] += next[place - 1];
    }
    let mut dealt = vec![[0; ENTRY_BYTES]; entries.len()];
    for entry in entries.iter() {
        let place = &mut next[pile(entry)];
        dealt[*place] = *entry;
        *place += 1;
    }
    let mut begin = 0;
    for end in &next[..1 << bits] {
        dealt[begin..*end].sort_unstable_by(compare);
        begin = *end;
    }
    entries.copy_from_slice(&dealt);
}

/// Entries as they are stored, one behind the other; `None` if the bytes are no whole number of them.
pub fn entries(stored: &[u8]) -> Option<&[Entry]> {
    let (entries, rest) = stored.as_chunks::<ENTRY_BYTES>();
    rest.is_empty().then_some(entries)
}

/// The row leaf of an entry.
pub fn leaf(entry: &Entry) -> Hash {
    let mut leaf = [0; 32];
    leaf.copy_from_slice(&entry[..32]);
    leaf
}

/// The hash of the row's key of an entry.
pub fn key(entry: &Entry) -> u64 {
    let mut key = [0; 8];
    key.copy_from_slice(&entry[32..]);
    u64::from_be_bytes(key)
}

/// All that the log says of a chunk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record<'text> {
    /// Its id, never used again.
    pub chunk_id: u64,
    /// The table, by the UUID it was given.
    pub table: [u8; 16],
    /// What was done.
    pub operation: &'text str,
    /// The highest column id the table had given out.
    pub schema: u32,
    /// Microseconds since 2000-01-01 UTC.
    pub changed_at: i64,
    /// The transaction, which means something together with the cluster.
    pub xid: u64,
    /// The cluster.
    pub system_identifier: u64,
    /// Rows that came.
    pub added: Rows,
    /// Rows that went.
    pub removed: Rows,
    /// Session user, current role, application, client address, context of the application, detail.
    pub texts: [Option<&'text str>; 6],
}

impl Record<'_> {
    /// The bytes whose leaf hash stands in the log.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = vec![RECORD_VERSION];
        out.extend(self.chunk_id.to_be_bytes());
        out.extend(self.table);
        text(&mut out, Some(self.operation));
        out.extend(self.schema.to_be_bytes());
        out.extend(self.changed_at.to_be_bytes());
        out.extend(self.xid.to_be_bytes());
        out.extend(self.system_identifier.to_be_bytes());
        self.added.encode(&mut out);
        self.removed.encode(&mut out);
        for value in self.texts {
            text(&mut out, value);
        }
        out
    }

    /// The leaf of the log.
    pub fn leaf(&self) -> Hash {
        merkle::leaf_hash(&self.encode())
    }
}

fn text(out: &mut Vec<u8>, value: Option<&str>) {
    let Some(value) = value else { return out.extend(NULL_TEXT.to_be_bytes()) };
    // (a text in PostgreSQL has less than 1 GiB)
    out.extend(u32::try_from(value.len()).unwrap_or(NULL_TEXT - 1).to_be_bytes());
    out.extend(value.as_bytes());
}

/// The rows a table has by its log: how many, and their `LtHash`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct State {
    /// Whether it begins with a baseline, and what was before does not count.
    pub is_whole: bool,
    /// Rows that came less rows that went.
    pub count: i64,
    /// The leaves.
    pub leaves: LtHash,
}

impl State {
    /// Bytes of a state as it is kept.
    pub const BYTES: usize = 1 + 8 + STATE_BYTES;

    /// What [`State::to_bytes`] wrote.
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let (whole, rest) = bytes.split_first()?;
        let (count, leaves) = rest.split_first_chunk::<8>()?;
        Some(Self {
            is_whole: *whole != 0,
            count: i64::from_be_bytes(*count),
            leaves: LtHash::from_bytes(leaves)?,
        })
    }

    /// The state, to be kept.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = vec![u8::from(self.is_whole)];
        bytes.extend(self.count.to_be_bytes());
        bytes.extend(self.leaves.to_bytes());
        bytes
    }

    /// The next chunk of the table, in the order of the log.
    pub fn apply(&mut self, operation: &str, added: &[Entry], removed: &[Entry]) {
        if operation == BASELINE {
            *self = Self { is_whole: true, ..Self::default() };
        }
        for entry in added {
            self.leaves.add(&entry[..32]);
        }
        for entry in removed {
            self.leaves.remove(&entry[..32]);
        }
        self.count =
            self.count.wrapping_add_unsigned(added.len() as u64).wrapping_sub_unsigned(removed.len() as u64);
    }

    /// What came after this.
    pub fn follow(&mut self, later: &Self) {
        if later.is_whole {
            self.clone_from(later);
        } else {
            self.count = self.count.wrapping_add(later.count);
            self.leaves.merge(&later.leaves);
        }
    }
}
