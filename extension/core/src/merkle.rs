//! The Merkle tree of RFC 9162, section 2.1, over leaf hashes.
//!
//! One tree serves batches, chunks and the audit log. Here is only hashing: what a leaf contains is
//! [`crate::encoding`]'s business, where hashes are kept is the caller's.

use sha2::{Digest, Sha256};

/// A SHA-256 hash: a leaf, an inner node or a root.
pub type Hash = [u8; 32];

/// First byte of what a leaf hash covers.
pub(crate) const LEAF_PREFIX: u8 = 0;
/// First byte of what an inner node's hash covers.
const NODE_PREFIX: u8 = 1;

/// `SHA-256(0x00 || data)`.
pub fn leaf_hash(data: &[u8]) -> Hash {
    Sha256::new().chain_update([LEAF_PREFIX]).chain_update(data).finalize().into()
}

/// What SHA-256 begins with.
const SHA256_START: [u32; 8] =
    [0x6a09_e667, 0xbb67_ae85, 0x3c6e_f372, 0xa54f_f53a, 0x510e_527f, 0x9b05_688c, 0x1f83_d9ab, 0x5be0_cd19];

/// `SHA-256(0x01 || left || right)`.
pub fn node_hash(left: &Hash, right: &Hash) -> Hash {
    // Always two blocks, padded: put together here, since trees are mostly this.
    let mut first = [NODE_PREFIX; 64];
    first[1..33].copy_from_slice(left);
    first[33..].copy_from_slice(&right[..31]);
    let mut second = [0; 64];
    second[0] = right[31];
    second[1] = 0x80;
    second[62..].copy_from_slice(&(8_u16 * 65).to_be_bytes());
    let mut state = SHA256_START;
    sha2::compress256(&mut state, &[first.into(), second.into()]);
    bytes_of(state)
}

fn bytes_of(state: [u32; 8]) -> Hash {
    let mut hash = [0; 32];
    for (bytes, word) in hash.chunks_exact_mut(4).zip(state) {
        bytes.copy_from_slice(&word.to_be_bytes());
    }
    hash
}

/// SHA-256 of a message that is padded where it stands, and then is what it was.
pub(crate) fn hash_in_place(message: &mut Vec<u8>) -> Hash {
    let length = message.len();
    message.push(0x80);
    message.resize((length + 9).next_multiple_of(64) - 8, 0);
    message.extend((length as u64 * 8).to_be_bytes());
    let mut state = SHA256_START;
    for block in message.as_chunks::<64>().0 {
        sha2::compress256(&mut state, &[(*block).into()]);
    }
    message.truncate(length);
    bytes_of(state)
}

/// The Merkle tree hash over leaf hashes in the order given. The root of no leaves is `SHA-256("")`.
pub fn root(leaves: &[Hash]) -> Hash {
    let mut tree = Tree::default();
    for leaf in leaves {
        tree.push(leaf);
    }
    tree.root()
}

/// A tree that leaves are appended to, of which no more is kept than its root takes.
#[derive(Clone, Debug)]
pub struct Tree {
    /// Roots of perfect subtrees; sizes fall from left to right, as the bits of the number of leaves taken so far.
    /// 64 entries hold more leaves than there is memory.
    pending: [Hash; 64],
    depth: usize,
    size: u64,
}

impl Default for Tree {
    fn default() -> Self {
        Self { pending: [[0; 32]; 64], depth: 0, size: 0 }
    }
}

impl Tree {
    /// How many leaves it has.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// Appends a leaf.
    pub fn push(&mut self, leaf: &Hash) {
        let mut hash = *leaf;
        for _ in 0..self.size.trailing_ones() {
            self.depth -= 1;
            hash = node_hash(&self.pending[self.depth], &hash);
        }
        self.pending[self.depth] = hash;
        self.depth += 1;
        self.size += 1;
    }

    /// The root over the leaves so far.
    pub fn root(&self) -> Hash {
        let Some((last, rest)) = self.pending[..self.depth].split_last() else {
            return Sha256::digest([]).into();
        };
        rest.iter().rev().fold(*last, |right, left| node_hash(left, &right))
    }
}

/// Sorts the leaf hashes bytewise, then takes their [`root`]: a checksum of a set of rows that does not
/// depend on their order. This is the checksum of a batch.
pub fn sorted_root(leaves: &mut [Hash]) -> Hash {
    // Hashes nearly always differ in their first eight bytes, which compare as a number.
    leaves.sort_unstable_by(|a, b| head(a).cmp(&head(b)).then_with(|| a.cmp(b)));
    root(leaves)
}

fn head(hash: &Hash) -> u64 {
    hash.first_chunk().map_or(0, |head| u64::from_be_bytes(*head))
}
