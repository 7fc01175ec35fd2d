use proptest::prelude::*;
use std::collections::HashMap;
use strata_core::encoding::Tag;
use strata_core::nested::{Bound, array, attribute, element, multirange, range};

#[test]
fn tags_stand_at_their_numbers() {
    for (number, tag) in Tag::ALL.into_iter().enumerate() {
        assert_eq!(tag as usize, number);
        assert_eq!(Tag::from_number(i32::try_from(number).unwrap()), Some(tag));
    }
    assert_eq!(Tag::from_number(29), None);
    assert_eq!(Tag::from_number(-1), None);
}

#[test]
fn ranges_that_differ_in_their_ends_alone_differ() {
    let (one, five): (&[u8], &[u8]) = (&[1], &[5]);
    let lowers = [
        Bound::Infinite,
        Bound::Inclusive(one),
        Bound::Exclusive(one),
        Bound::Inclusive(five),
        Bound::Inclusive(&[]),
    ];
    let uppers = [
        Bound::Infinite,
        Bound::Inclusive(five),
        Bound::Exclusive(five),
        Bound::Inclusive(one),
        Bound::Inclusive(&[]),
    ];
    let mut seen = HashMap::new();
    let mut empty = Vec::new();
    range(&mut empty, Tag::Int2, None);
    seen.insert(empty, None);
    for lower in lowers {
        for upper in uppers {
            let mut bytes = Vec::new();
            range(&mut bytes, Tag::Int2, Some((lower, upper)));
            assert_eq!(seen.insert(bytes, Some((lower, upper))), None, "{lower:?} {upper:?}");
        }
    }
}

/// An array as a test knows it.
type Plain = (Vec<(u32, i32)>, Vec<Option<Vec<u8>>>);

fn plain() -> impl Strategy<Value = Plain> {
    (
        proptest::collection::vec((any::<u32>(), any::<i32>()), 0..6),
        proptest::collection::vec(proptest::option::of(proptest::collection::vec(any::<u8>(), 0..6)), 0..5),
    )
}

fn encoded((dimensions, elements): &Plain) -> Vec<u8> {
    let mut out = Vec::new();
    array(&mut out, Tag::Text, dimensions);
    for value in elements {
        element(&mut out, value.as_deref());
    }
    out
}

proptest! {
    #[test]
    fn no_two_arrays_share_their_bytes(one in plain(), other in plain()) {
        prop_assert_eq!(encoded(&one) == encoded(&other), one == other);
    }

    #[test]
    fn no_two_multiranges_or_composites_share_their_bytes(
        one in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..4), 0..4),
        other in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..4), 0..4),
    ) {
        let ranges = |values: &[Vec<u8>]| {
            let mut out = Vec::new();
            multirange(&mut out, u32::try_from(values.len()).unwrap());
            for value in values {
                element(&mut out, Some(value));
            }
            out
        };
        prop_assert_eq!(ranges(&one) == ranges(&other), one == other);
        let composite = |values: &[Vec<u8>]| {
            let mut out = Vec::new();
            for (id, value) in (1..).zip(values) {
                attribute(&mut out, id, Tag::Bytea, value);
            }
            out
        };
        prop_assert_eq!(composite(&one) == composite(&other), one == other);
    }
}
