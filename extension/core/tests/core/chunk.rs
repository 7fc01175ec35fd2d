use proptest::prelude::*;
use strata_core::chunk::{self, BASELINE, Entry, Rows, State};

fn entries(numbers: &[u32]) -> Vec<Entry> {
    numbers
        .iter()
        .map(|n| chunk::entry(&strata_core::merkle::leaf_hash(&n.to_be_bytes()), u64::from(*n)))
        .collect()
}

#[test]
fn an_entry_keeps_leaf_and_key() {
    let entry = chunk::entry(&[7; 32], 0x0102_0304_0506_0708);
    assert_eq!(chunk::leaf(&entry), [7; 32]);
    assert_eq!(chunk::key(&entry), 0x0102_0304_0506_0708);
    assert_eq!(chunk::entries(&entry[..39]), None);
}

#[test]
fn a_state_of_another_length_is_refused() {
    assert_eq!(State::from_bytes(&[0; State::BYTES - 1]), None);
    assert_eq!(State::from_bytes(&[]), None);
}

#[test]
fn a_baseline_forgets_what_was_before() {
    let mut state = State::default();
    state.apply("insert", &entries(&[1, 2, 3]), &[]);
    state.apply(BASELINE, &entries(&[4]), &[]);
    let mut fresh = State::default();
    fresh.apply(BASELINE, &entries(&[4]), &[]);
    assert_eq!(state, fresh);
    let mut later = State::default();
    later.apply("insert", &entries(&[9]), &[]);
    later.follow(&fresh);
    assert_eq!(later, fresh);
}

proptest! {
    #[test]
    fn rows_are_sorted_however_they_came(numbers in prop::collection::vec(any::<u32>(), 0..700), same in 0usize..8) {
        let mut rows = entries(&numbers);
        for row in &mut rows {
            // leaves that begin alike, which hashes hardly ever do
            row[..same].fill(0x5a);
        }
        let mut expected = rows.clone();
        expected.sort_unstable();
        let mut leaves: Vec<_> = rows.iter().map(chunk::leaf).collect();
        let said = Rows::of(&mut rows);
        prop_assert_eq!(said.root, strata_core::merkle::sorted_root(&mut leaves));
        prop_assert_eq!(rows, expected);
    }

    #[test]
    fn entries_hold_as_they_are_and_not_otherwise(numbers in prop::collection::vec(any::<u32>(), 1..50), place in any::<prop::sample::Index>(), bit in 0u8..8) {
        let mut rows = entries(&numbers);
        let said = Rows::of(&mut rows);
        let stored = rows.as_flattened().to_vec();
        prop_assert!(said.holds(&stored));
        let mut changed = stored.clone();
        changed[place.index(stored.len())] ^= 1 << bit;
        prop_assert!(!said.holds(&changed));
        prop_assert!(!said.holds(&stored[chunk::ENTRY_BYTES..]));
    }

    #[test]
    fn states_follow_each_other(before in prop::collection::vec(any::<u32>(), 0..20), after in prop::collection::vec(any::<u32>(), 0..20)) {
        let mut whole = State::default();
        whole.apply("insert", &entries(&before), &[]);
        whole.apply("insert", &entries(&after), &[]);
        let (mut one, mut other) = (State::default(), State::default());
        one.apply("insert", &entries(&before), &[]);
        other.apply("insert", &entries(&after), &[]);
        one.follow(&State::from_bytes(&other.to_bytes()).unwrap());
        prop_assert_eq!(&one, &whole);
        one.apply("delete", &[], &entries(&after));
        one.apply("delete", &[], &entries(&before));
        prop_assert_eq!(one, State::default());
    }
}
