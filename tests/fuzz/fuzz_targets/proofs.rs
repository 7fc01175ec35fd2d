//! Proofs of inclusion and consistency that were tampered with, or made up, are never accepted.
#![no_main]

use libfuzzer_sys::fuzz_target;
use strata_core::merkle::{self, Hash};
use strata_core::proof::{self, Node};

fuzz_target!(|input: (u8, u8, u8, Vec<Hash>, Vec<(u8, u8)>)| {
    let (size, index, from, made_up, changes) = input;
    let size = u64::from(size % 80) + 1;
    let (index, from) = (u64::from(index) % size, u64::from(from) % size + 1);
    let leaves: Vec<Hash> = (0..size).map(|n| merkle::leaf_hash(&n.to_be_bytes())).collect();
    let node = |node: Node| -> Result<Hash, ()> {
        let start = (node.index << node.level) as usize;
        leaves.get(start..start + (1 << node.level)).map(merkle::root).ok_or(())
    };
    let (root, leaf) = (merkle::root(&leaves), leaves[index as usize]);
    let from_root = merkle::root(&leaves[..from as usize]);

    let Ok(Some(inclusion)) = proof::prove_inclusion(index, size, node) else {
        panic!("no proof of {index} in {size}")
    };
    assert!(proof::verify_inclusion(&leaf, index, size, &inclusion, &root));
    let changed = change(&inclusion, &made_up, &changes);
    assert!(changed == inclusion || !proof::verify_inclusion(&leaf, index, size, &changed, &root));
    for other in leaves.iter().filter(|other| **other != leaf) {
        assert!(!proof::verify_inclusion(other, index, size, &inclusion, &root));
    }

    let Ok(Some(consistency)) = proof::prove_consistency(from, size, node) else {
        panic!("no proof from {from} to {size}")
    };
    assert!(proof::verify_consistency(from, size, &consistency, &from_root, &root));
    let changed = change(&consistency, &made_up, &changes);
    assert!(changed == consistency || !proof::verify_consistency(from, size, &changed, &from_root, &root));
    if let Some(forged) = made_up.first().filter(|forged| **forged != from_root) {
        assert!(!proof::verify_consistency(from, size, &consistency, forged, &root));
        assert!(!proof::verify_consistency(from, size, &changed, forged, &root));
    }
});

/// A proof with bytes changed, and hashes put in, or cut off.
fn change(proof: &[Hash], made_up: &[Hash], changes: &[(u8, u8)]) -> Vec<Hash> {
    let mut changed = proof.to_vec();
    for (n, (place, bits)) in changes.iter().enumerate() {
        match (made_up.get(n), changed.len()) {
            (Some(hash), _) if bits % 3 == 0 => {
                changed.insert(usize::from(*place) % (changed.len() + 1), *hash)
            }
            (_, length) if length > 0 && bits % 3 == 1 => drop(changed.remove(usize::from(*place) % length)),
            (_, length) if length > 0 => {
                changed[usize::from(*place) % length][usize::from(*place) % 32] ^= bits
            }
            _ => {}
        }
    }
    changed
}
