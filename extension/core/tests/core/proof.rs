use proptest::prelude::*;
use std::convert::Infallible;
use strata_core::merkle::{Hash, leaf_hash, node_hash, root};
use strata_core::proof::{
    Node, completed_by, prove_consistency, prove_inclusion, tree_root, verify_consistency, verify_inclusion,
};

fn leaves(size: u64) -> Vec<Hash> {
    (0..size).map(|n| leaf_hash(&n.to_be_bytes())).collect()
}

/// Nodes by their definition. Only complete ones may ever be asked for.
fn node_of(leaves: &[Hash]) -> impl FnMut(Node) -> Result<Hash, Infallible> + '_ {
    |node| {
        let width = 1 << node.level;
        let start = usize::try_from(node.index).unwrap() * width;
        Ok(root(&leaves[start..start + width]))
    }
}

fn at(hashes: &[Hash], size: u64) -> &[Hash] {
    &hashes[..usize::try_from(size).unwrap()]
}

#[test]
fn every_proof_of_small_trees_holds() {
    let all = leaves(70);
    for size in 0..70 {
        let tree = at(&all, size);
        let of_size = root(tree);
        assert_eq!(tree_root(size, node_of(tree)), Ok(of_size), "size {size}");
        for index in 0..size {
            let proof = prove_inclusion(index, size, node_of(tree)).unwrap().unwrap();
            assert!(
                verify_inclusion(&leaf_hash(&index.to_be_bytes()), index, size, &proof, &of_size),
                "{index} of {size}"
            );
        }
        assert_eq!(prove_inclusion(size, size, node_of(tree)), Ok(None));
        for from in 0..=size {
            let proof = prove_consistency(from, size, node_of(tree)).unwrap().unwrap();
            assert!(
                verify_consistency(from, size, &proof, &root(at(&all, from)), &of_size),
                "{from} to {size}"
            );
        }
        assert_eq!(prove_consistency(size + 1, size, node_of(tree)), Ok(None));
    }
}

/// The examples of RFC 9162, section 2.1.5: a tree of seven leaves.
#[test]
#[allow(clippy::many_single_char_names)] // the letters of the RFC's drawing
fn proofs_of_the_rfc() {
    let d = leaves(7);
    let (g, h, i, j) = (node_hash(&d[0], &d[1]), node_hash(&d[2], &d[3]), node_hash(&d[4], &d[5]), d[6]);
    let (k, l) = (node_hash(&g, &h), node_hash(&i, &j));
    let proof = |index| prove_inclusion(index, 7, node_of(&d)).unwrap().unwrap();
    assert_eq!(proof(0), [d[1], h, l]);
    assert_eq!(proof(3), [d[2], g, l]);
    assert_eq!(proof(4), [d[5], j, k]);
    assert_eq!(proof(6), [i, k]);
    let proof = |from| prove_consistency(from, 7, node_of(&d)).unwrap().unwrap();
    assert_eq!(proof(3), [d[2], d[3], g, l]);
    assert_eq!(proof(4), [l]);
    assert_eq!(proof(6), [i, j, k]);
}

#[test]
fn appending_completes_each_node_once() {
    let mut seen = std::collections::BTreeSet::new();
    for index in 0..64 {
        for node in completed_by(index) {
            assert!(seen.insert(node), "{node:?} twice");
            assert_eq!((node.index + 1) << node.level, index + 1);
        }
    }
    assert_eq!(seen.len(), 127);
}

#[test]
fn sizes_near_the_limit_do_not_overflow() {
    let zero = [0; 32];
    let size = u64::MAX;
    let proof = prove_inclusion(size - 1, size, |_| Ok::<_, Infallible>(zero)).unwrap().unwrap();
    let of_size = tree_root(size, |_| Ok::<_, Infallible>(zero)).unwrap();
    assert!(!verify_inclusion(&zero, size - 1, size, &proof[1..], &of_size));
    assert_eq!(proof.len(), 63);
    assert_eq!(completed_by(u64::MAX).count(), 65);
    assert!(!verify_consistency(size - 1, size, &[], &zero, &zero));
}

proptest! {
    #[test]
    fn a_changed_proof_never_holds(
        size in 1u64..400, index in 0u64..400, from in 0u64..400, place in 0usize..16, byte in 0usize..32, bit in 0u8..8, change in 0u8..6
    ) {
        let index = index % size;
        let from = from % size;
        let all = leaves(size);
        let of_size = root(&all);
        let of_from = root(at(&all, from));
        let leaf = leaf_hash(&index.to_be_bytes());
        let spoil = |proof: &[Hash]| {
            let mut proof = proof.to_vec();
            match change {
                0 => proof.push([0; 32]),
                1 => { proof.pop(); }
                2 => proof.insert(0, leaf),
                3 => proof.reverse(),
                4 if proof.len() > 1 => { let place = place % (proof.len() - 1); proof.swap(place, place + 1); }
                _ if !proof.is_empty() => { let place = place % proof.len(); proof[place][byte] ^= 1 << bit; }
                _ => {}
            }
            proof
        };
        let inclusion = prove_inclusion(index, size, node_of(&all)).unwrap().unwrap();
        let spoiled = spoil(&inclusion);
        prop_assert_eq!(verify_inclusion(&leaf, index, size, &spoiled, &of_size), spoiled == inclusion);
        let consistency = prove_consistency(from, size, node_of(&all)).unwrap().unwrap();
        let spoiled = spoil(&consistency);
        prop_assert_eq!(verify_consistency(from, size, &spoiled, &of_from, &of_size), spoiled == consistency);
        // another leaf, place, size or root
        prop_assert!(!verify_inclusion(&[0; 32], index, size, &inclusion, &of_size));
        prop_assert!(!verify_inclusion(&leaf, (index + 1) % (size + 1), size, &inclusion, &of_size));
        prop_assert!(!verify_inclusion(&leaf, index, size, &inclusion, &[0; 32]));
        prop_assert!(!verify_consistency(from, size, &consistency, &[0; 32], &of_size));
        if from > 0 {
            prop_assert!(!verify_consistency(from, size, &consistency, &of_from, &[0; 32]));
        }
    }

    #[test]
    fn made_up_proofs_never_hold(
        index in any::<u64>(), size in any::<u64>(), from in any::<u64>(), proof in proptest::collection::vec(any::<[u8; 32]>(), 0..70)
    ) {
        prop_assert!(!verify_inclusion(&[7; 32], index, size, &proof, &[8; 32]));
        prop_assert!(!verify_consistency(from, size, &proof, &[7; 32], &[8; 32]));
    }
}
