//! Multisets of leaves at constant memory: `LtHash` by the first bits of the leaf, so that where two differ is known to a
//! part of them. Never: the leaves themselves.

use strata_core::lthash::LtHash;
use strata_core::merkle::Hash;

/// Parts a set is kept in.
pub const PARTS: usize = 64;

/// The part of a leaf.
pub fn part(leaf: &Hash) -> usize {
    usize::from(leaf[0]) * PARTS / 256
}

/// A multiset.
#[derive(Debug, Default)]
pub struct LeafSet {
    count: i64,
    parts: Vec<LtHash>,
}

impl LeafSet {
    fn part(&mut self, leaf: &Hash) -> &mut LtHash {
        if self.parts.is_empty() {
            self.parts = vec![LtHash::default(); PARTS];
        }
        &mut self.parts[part(leaf)]
    }

    /// Puts a leaf in, with what belongs to it.
    pub fn add(&mut self, leaf: &Hash, with: &[u8]) {
        self.count += 1;
        element(leaf, with, |bytes| self.part(leaf).add(bytes));
    }

    /// Takes one out.
    pub fn remove(&mut self, leaf: &Hash, with: &[u8]) {
        self.count -= 1;
        element(leaf, with, |bytes| self.part(leaf).remove(bytes));
    }

    /// How many are in.
    pub fn count(&self) -> i64 {
        self.count
    }

    /// Puts all of another in.
    pub fn merge(&mut self, other: Self) {
        self.count += other.count;
        if self.parts.is_empty() {
            self.parts = other.parts;
            return;
        }
        for (one, other) in self.parts.iter_mut().zip(&other.parts) {
            one.merge(other);
        }
    }

    /// Parts in which the two are not the same; all where only their counts tell them apart.
    pub fn differing(&self, other: &Self) -> Vec<usize> {
        let none = LtHash::default();
        let at = |set: &Self, part: usize| set.parts.get(part).unwrap_or(&none).clone();
        let parts: Vec<usize> = (0..PARTS).filter(|part| at(self, *part) != at(other, *part)).collect();
        if parts.is_empty() && self.count != other.count { (0..PARTS).collect() } else { parts }
    }
}

fn element(leaf: &Hash, with: &[u8], take: impl FnOnce(&[u8])) {
    if with.is_empty() {
        return take(leaf);
    }
    take(&[leaf, with].concat());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sets_differ_where_their_leaves_do() {
        let (mut one, mut other) = (LeafSet::default(), LeafSet::default());
        for n in 0..=255_u8 {
            one.add(&[n; 32], &[]);
            other.add(&[255 - n; 32], &[]);
        }
        assert!(one.differing(&other).is_empty());
        other.remove(&[9; 32], &[]);
        assert_eq!(one.differing(&other), [part(&[9; 32])]);
        other.add(&[9; 32], b"another chunk");
        assert_eq!((one.count(), one.differing(&other)), (256, vec![part(&[9; 32])]));
    }

    #[test]
    fn a_count_alone_tells_sets_apart() {
        let (mut one, other) = (LeafSet::default(), LeafSet::default());
        // as many copies of one leaf as cancel
        for _ in 0..=u16::MAX {
            one.add(&[1; 32], &[]);
        }
        assert_eq!(one.differing(&other).len(), PARTS);
    }
}
