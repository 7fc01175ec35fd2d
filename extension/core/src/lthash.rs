//! `LtHash16`: the hash of a set that elements can be put into and taken out of, in any order (Lewi, Kim, Maykov, Weis:
//! "Securing Update Propagation with Homomorphic Hashing", 2019; Bellare and Micciancio, 1997).
//!
//! An element becomes 2,048 bytes of BLAKE3's extended output, read as 1,024 little-endian 16-bit numbers, which are
//! added number by number. 65,536 copies of one element cancel: elements must be unique, and a count kept beside.

use crate::merkle::Hash;
use sha2::{Digest, Sha256};

const LANES: usize = 1024;

/// Bytes of a state as it is stored.
pub const STATE_BYTES: usize = 2 * LANES;

/// The hash of a set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LtHash {
    lanes: Box<[u16; LANES]>,
}

impl Default for LtHash {
    fn default() -> Self {
        Self { lanes: Box::new([0; LANES]) }
    }
}

impl LtHash {
    /// The state kept by [`LtHash::to_bytes`]; `None` unless there are [`STATE_BYTES`] of them.
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        if bytes.len() != STATE_BYTES {
            return None;
        }
        let mut state = Self::default();
        for (lane, pair) in state.lanes.iter_mut().zip(bytes.chunks_exact(2)) {
            *lane = u16::from_le_bytes([pair[0], pair[1]]);
        }
        Some(state)
    }

    /// The state, to be kept.
    pub fn to_bytes(&self) -> Vec<u8> {
        self.lanes.iter().flat_map(|lane| lane.to_le_bytes()).collect()
    }

    /// Puts an element in.
    pub fn add(&mut self, element: &[u8]) {
        for (lane, more) in self.lanes.iter_mut().zip(expand(element).as_chunks::<2>().0) {
            *lane = lane.wrapping_add(u16::from_le_bytes(*more));
        }
    }

    /// Takes an element out that is in.
    pub fn remove(&mut self, element: &[u8]) {
        for (lane, less) in self.lanes.iter_mut().zip(expand(element).as_chunks::<2>().0) {
            *lane = lane.wrapping_sub(u16::from_le_bytes(*less));
        }
    }

    /// Puts all elements of another set in.
    pub fn merge(&mut self, other: &Self) {
        for (lane, more) in self.lanes.iter_mut().zip(other.lanes.iter()) {
            *lane = lane.wrapping_add(*more);
        }
    }

    /// SHA-256 of the state, for comparing and showing.
    pub fn checksum(&self) -> Hash {
        Sha256::digest(self.to_bytes()).into()
    }
}

/// What stands for an element. (The loops over it are each of their own: through a function they would be ten times slower.)
fn expand(element: &[u8]) -> [u8; STATE_BYTES] {
    let mut expanded = [0; STATE_BYTES];
    blake3::Hasher::new().update(element).finalize_xof().fill(&mut expanded);
    expanded
}
