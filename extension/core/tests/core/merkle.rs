use crate::support::{hex, unhex};
use strata_core::merkle::{Hash, leaf_hash, node_hash, root, sorted_root};

/// RFC 9162 test leaves as used by the Certificate Transparency implementations.
const LEAVES: [&str; 8] =
    ["", "00", "10", "2021", "3031", "40414243", "5051525354555657", "606162636465666768696a6b6c6d6e6f"];
const ROOTS: [&str; 9] = [
    "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
    "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
    "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
    "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
    "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
    "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
    "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
    "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
];
const SORTED_ROOT_OF_8: &str = "c2bbdebbf11bc13371a16c4919985516d8a7669013e7c36f746453796d8af535";

fn leaves() -> Vec<Hash> {
    LEAVES.iter().map(|text| leaf_hash(&unhex(text))).collect()
}

#[test]
fn roots_of_every_size() {
    let leaves = leaves();
    for (size, expected) in ROOTS.iter().enumerate() {
        assert_eq!(hex(&root(&leaves[..size])), *expected, "size {size}");
    }
}

#[test]
fn leaves_are_sorted_by_all_their_bytes() {
    let leaf = |first: u8, last: u8| {
        let mut leaf = [first; 32];
        leaf[31] = last;
        leaf
    };
    let sorted = [leaf(1, 3), leaf(2, 1), leaf(2, 2), leaf(2, 255), leaf(200, 0)];
    let mut mixed = [sorted[3], sorted[4], sorted[1], sorted[0], sorted[2]];
    assert_eq!(sorted_root(&mut mixed), root(&sorted));
}

#[test]
fn sorted_root_does_not_depend_on_order() {
    let mut forward = leaves();
    let mut backward: Vec<Hash> = leaves().into_iter().rev().collect();
    assert_eq!(hex(&sorted_root(&mut forward)), SORTED_ROOT_OF_8);
    assert_eq!(hex(&sorted_root(&mut backward)), SORTED_ROOT_OF_8);
}

/// The definition, word for word: split at the largest power of two below the size.
fn defined_root(leaves: &[Hash]) -> Hash {
    match leaves.len() {
        0 | 1 => root(leaves),
        size => {
            let split = size.next_power_of_two() / 2;
            node_hash(&defined_root(&leaves[..split]), &defined_root(&leaves[split..]))
        }
    }
}

#[test]
fn equals_the_recursive_definition() {
    let leaves: Vec<Hash> = (0u32..600).map(|n| leaf_hash(&n.to_be_bytes())).collect();
    for size in 0..leaves.len() {
        assert_eq!(root(&leaves[..size]), defined_root(&leaves[..size]), "size {size}");
    }
}
