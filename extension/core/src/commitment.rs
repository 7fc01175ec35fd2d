//! Values that may be erased stand in row leaves as commitments: a hash over a salt and the value. Once both are gone,
//! nothing that is left says what the value was, and the leaf can still be made again.

use crate::encoding::{Tag, strip_padding};
use crate::merkle::Hash;
use sha2::{Digest, Sha256};

/// What a commitment begins with: neither of the prefixes of a tree, and the version of this encoding.
const PREFIX: [u8; 2] = [2, 1];
/// Bytes of a salt.
pub const SALT_BYTES: usize = 32;
/// Bytes of what stands for one erased value: the column's id, then the commitment.
pub const ERASED_BYTES: usize = 4 + 32;
/// In place of the commitment of a value that was logged without one.
pub const UNKNOWN: Hash = [0; 32];

/// A row's secret, drawn at random for its key.
pub type Salt = [u8; SALT_BYTES];

/// The commitment to the value of a column that is not NULL; `bytes` are those of row encoding version 1.
pub fn commit(salt: &Salt, id: u32, tag: Tag, bytes: &[u8]) -> Hash {
    let bytes = if tag == Tag::Bpchar { strip_padding(bytes) } else { bytes };
    Sha256::new()
        .chain_update(PREFIX)
        .chain_update(salt)
        .chain_update(id.to_be_bytes())
        .chain_update([tag as u8])
        .chain_update(bytes)
        .finalize()
        .into()
}

/// What is kept beside an old version for one of its values that was erased.
pub fn erased(id: u32, commitment: &Hash) -> [u8; ERASED_BYTES] {
    let mut kept = [0; ERASED_BYTES];
    kept[..4].copy_from_slice(&id.to_be_bytes());
    kept[4..].copy_from_slice(commitment);
    kept
}

/// The ids and commitments of what was kept; `None` if the bytes are no whole number of them.
pub fn parse_erased(kept: &[u8]) -> Option<Vec<(u32, Hash)>> {
    let (values, rest) = kept.as_chunks::<ERASED_BYTES>();
    let parse = |value: &[u8; ERASED_BYTES]| {
        let (id, commitment) = value.split_first_chunk::<4>()?;
        Some((u32::from_be_bytes(*id), commitment.try_into().ok()?))
    };
    if rest.is_empty() { values.iter().map(parse).collect() } else { None }
}
