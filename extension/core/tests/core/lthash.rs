use crate::support::hex;
use proptest::prelude::*;
use strata_core::lthash::{LtHash, STATE_BYTES};

/// Of Facebook's folly and its ports.
#[test]
fn published_states() {
    let mut state = LtHash::default();
    assert_eq!(hex(&state.checksum()), "e5a00aa9991ac8a5ee3109844d84a55583bd20572ad3ffcd42792f3c36b183ad");
    state.add(b"hello");
    assert_eq!(hex(&state.checksum()), "654962998b2a1a9bbb56360353a43e070881bc1790f4645ab0bf00fecc1c492b");
    state.add(b"world!");
    assert_eq!(hex(&state.checksum()), "fd13576352d5d59dcf0b51be62958246bf237cbf48832966124c51fffd7d7cd7");
    state.remove(b"hello");
    state.remove(b"world!");
    assert_eq!(state, LtHash::default());
}

#[test]
fn a_state_of_another_length_is_refused() {
    assert_eq!(LtHash::from_bytes(&[0; STATE_BYTES - 1]), None);
    assert_eq!(LtHash::from_bytes(&[]), None);
}

fn add_all<'a>(state: &mut LtHash, elements: impl Iterator<Item = &'a [u8; 32]>) {
    for element in elements {
        state.add(element);
    }
}

proptest! {
    #[test]
    fn order_and_grouping_do_not_matter(elements in proptest::collection::vec(any::<[u8; 32]>(), 1..20), split in 0usize..20) {
        let mut forward = LtHash::default();
        add_all(&mut forward, elements.iter());
        let mut backward = LtHash::default();
        add_all(&mut backward, elements.iter().rev());
        prop_assert_eq!(&forward, &backward);
        let (some, others) = elements.split_at(split % elements.len());
        let (mut left, mut right) = (LtHash::default(), LtHash::default());
        add_all(&mut left, some.iter());
        add_all(&mut right, others.iter());
        left.merge(&right);
        prop_assert_eq!(&left, &forward);
        prop_assert_eq!(LtHash::from_bytes(&forward.to_bytes()), Some(forward));
    }
}
