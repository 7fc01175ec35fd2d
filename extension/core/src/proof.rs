//! Proofs about the tree of RFC 9162: that a leaf is in it (section 2.1.3), that it only grew (2.1.4).
//!
//! Proving needs hashes of perfect subtrees, which the caller keeps wherever it likes; verifying needs nothing but the
//! proof. Never here: what leaves mean, or where hashes are stored.

use crate::merkle::{Hash, node_hash, root};

/// The root of a perfect subtree: the `2^level` leaves from `index * 2^level` on. Level 0 are the leaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Node {
    /// How many levels above the leaves.
    pub level: u8,
    /// Its place among the nodes of its level, from 0.
    pub index: u64,
}

/// The nodes that become complete when leaf `index` is appended, lowest level first; the leaf itself is the first.
pub fn completed_by(index: u64) -> impl Iterator<Item = Node> {
    // (at index u64::MAX the tree would have 2^64 leaves)
    let levels = u8::try_from(index.trailing_ones()).unwrap_or(u8::MAX);
    (0..=levels).map(move |level| Node { level, index: index.checked_shr(level.into()).unwrap_or(0) })
}

/// The root of a tree of `size` leaves.
///
/// # Errors
///
/// What `node` returns.
pub fn tree_root<E>(size: u64, mut node: impl FnMut(Node) -> Result<Hash, E>) -> Result<Hash, E> {
    range_root(0, size, &mut node)
}

/// The inclusion proof of leaf `index` in the tree of the first `size` leaves, from the leaf upward; `None` if the tree
/// has no such leaf.
///
/// # Errors
///
/// What `node` returns.
pub fn prove_inclusion<E>(
    index: u64,
    size: u64,
    mut node: impl FnMut(Node) -> Result<Hash, E>,
) -> Result<Option<Vec<Hash>>, E> {
    if index >= size {
        return Ok(None);
    }
    let (mut start, mut end) = (0, size);
    let mut proof = Vec::new();
    while end - start > 1 {
        let split = start + split_of(end - start);
        if index < split {
            proof.push(range_root(split, end, &mut node)?);
            end = split;
        } else {
            proof.push(range_root(start, split, &mut node)?);
            start = split;
        }
    }
    proof.reverse();
    Ok(Some(proof))
}

/// The proof that the tree of `from` leaves is a prefix of the tree of `to` leaves; `None` if `from` is larger. Equal
/// sizes, and a tree of no leaves, need no hashes.
///
/// # Errors
///
/// What `node` returns.
pub fn prove_consistency<E>(
    from: u64,
    to: u64,
    mut node: impl FnMut(Node) -> Result<Hash, E>,
) -> Result<Option<Vec<Hash>>, E> {
    if from > to {
        return Ok(None);
    }
    let mut proof = Vec::new();
    if from == 0 || from == to {
        return Ok(Some(proof));
    }
    let (mut start, mut end) = (0, to);
    // the subtree in question is one that the verifier knows, as long as we went only to the left
    let mut known = true;
    while from != end {
        let split = start + split_of(end - start);
        if from <= split {
            proof.push(range_root(split, end, &mut node)?);
            end = split;
        } else {
            proof.push(range_root(start, split, &mut node)?);
            start = split;
            known = false;
        }
    }
    if !known {
        proof.push(range_root(start, end, &mut node)?);
    }
    proof.reverse();
    Ok(Some(proof))
}

/// Whether `proof` shows that `leaf` is leaf `index` of the tree of `size` leaves with root `root` (RFC 9162, 2.1.3.2).
pub fn verify_inclusion(leaf: &Hash, index: u64, size: u64, proof: &[Hash], root: &Hash) -> bool {
    if index >= size {
        return false;
    }
    let mut climb = Climb { index, last: size - 1 };
    let mut hash = *leaf;
    for sibling in proof {
        hash = match climb.step() {
            None => return false,
            Some(Side::Left) => node_hash(sibling, &hash),
            Some(Side::Right) => node_hash(&hash, sibling),
        };
    }
    climb.last == 0 && hash == *root
}

/// Whether `proof` shows that the tree of `from` leaves with root `from_root` is a prefix of the tree of `to` leaves
/// with root `to_root` (RFC 9162, 2.1.4.2).
pub fn verify_consistency(from: u64, to: u64, proof: &[Hash], from_root: &Hash, to_root: &Hash) -> bool {
    if from == to {
        return proof.is_empty() && from_root == to_root && (from > 0 || *from_root == root(&[]));
    } else if from == 0 {
        return proof.is_empty() && *from_root == root(&[]);
    } else if from > to {
        return false;
    }
    // a tree whose size is a power of two is itself the subtree that the proof begins with
    let (first, rest) = if from.is_power_of_two() {
        (from_root, proof)
    } else {
        match proof.split_first() {
            Some((first, rest)) => (first, rest),
            None => return false,
        }
    };
    let mut climb = Climb { index: from - 1, last: to - 1 };
    let known = climb.index.trailing_ones();
    climb.up(known);
    let (mut old, mut new) = (*first, *first);
    for sibling in rest {
        match climb.step() {
            None => return false,
            Some(Side::Left) => {
                old = node_hash(sibling, &old);
                new = node_hash(sibling, &new);
            }
            Some(Side::Right) => new = node_hash(&new, sibling),
        }
    }
    climb.last == 0 && old == *from_root && new == *to_root
}

/// Where a sibling stands.
enum Side {
    Left,
    Right,
}

/// The way from a node to the root: its index, and that of the last node of its level.
struct Climb {
    index: u64,
    last: u64,
}

impl Climb {
    /// One hash of a proof: on which side it stands. `None`: we are at the root already.
    fn step(&mut self) -> Option<Side> {
        if self.last == 0 {
            return None;
        }
        let left = self.index & 1 == 1 || self.index == self.last;
        if left && self.index & 1 == 0 {
            // the last node of a level that has no sibling goes up as it is
            let alone = self.index.trailing_zeros();
            self.up(if self.index == 0 { u64::BITS } else { alone });
        }
        self.up(1);
        Some(if left { Side::Left } else { Side::Right })
    }

    fn up(&mut self, levels: u32) {
        self.index = self.index.checked_shr(levels).unwrap_or(0);
        self.last = self.last.checked_shr(levels).unwrap_or(0);
    }
}

/// The largest power of two below `size`, which is 2 or more.
fn split_of(size: u64) -> u64 {
    1 << (size - 1).ilog2()
}

/// The root over leaves `start` to `end`, a range as the recursion of RFC 9162 makes them: its perfect subtrees, from
/// left to right, are nodes of the tree.
fn range_root<E>(start: u64, end: u64, node: &mut impl FnMut(Node) -> Result<Hash, E>) -> Result<Hash, E> {
    let mut subtrees = Vec::new();
    let mut at = start;
    while at < end {
        let level = (end - at).ilog2();
        subtrees.push(node(Node { level: u8::try_from(level).unwrap_or(u8::MAX), index: at >> level })?);
        at += 1 << level;
    }
    let Some((last, rest)) = subtrees.split_last() else { return Ok(root(&[])) };
    Ok(rest.iter().rev().fold(*last, |right, left| node_hash(left, &right)))
}
