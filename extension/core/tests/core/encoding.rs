use strata_core::encoding::{RowHasher, Tag, strip_padding, tag_of_type};
use strata_core::merkle::{Hash, leaf_hash};

const TABLE: [u8; 16] = [0xab; 16];

/// The layout written out by hand, so that no helper of the code under test shapes the expectation.
fn by_hand(columns: &[(u32, u8, &[u8])]) -> Hash {
    let mut bytes = vec![1];
    bytes.extend(TABLE);
    for (id, tag, value) in columns {
        bytes.extend(id.to_be_bytes());
        bytes.push(*tag);
        bytes.extend(u32::try_from(value.len()).unwrap().to_be_bytes());
        bytes.extend(*value);
    }
    leaf_hash(&bytes)
}

#[test]
fn row_is_laid_out_as_documented() {
    let mut hasher = RowHasher::new(TABLE);
    let long = vec![7; 1000];
    hasher.begin();
    hasher.column(1, Tag::Int8, &42i64.to_be_bytes());
    hasher.null(2);
    hasher.column(300, Tag::Text, "ä".as_bytes());
    hasher.column(301, Tag::Bytea, &long);
    let expected =
        by_hand(&[(1, 4, &42i64.to_be_bytes()), (2, 0, &[]), (300, 8, b"\xc3\xa4"), (301, 11, &long)]);
    assert_eq!(hasher.finish(), expected);
}

#[test]
fn long_rows_are_hashed_piece_by_piece() {
    let mut hasher = RowHasher::new(TABLE);
    for length in [0, 16_338, 16_339, 16_340, 40_000] {
        let long = vec![9; length];
        hasher.begin();
        hasher.column(1, Tag::Bool, &[1]);
        hasher.column(2, Tag::Bytea, &long);
        hasher.column(3, Tag::Bytea, &long);
        hasher.column(4, Tag::Bool, &[0]);
        let expected = by_hand(&[(1, 1, &[1]), (2, 11, &long), (3, 11, &long), (4, 1, &[0])]);
        assert_eq!(hasher.finish(), expected, "{length}");
        hasher.column(1, Tag::Bool, &[1]);
        assert_eq!(hasher.finish(), by_hand(&[(1, 1, &[1])]), "after {length}");
    }
}

#[test]
fn rows_do_not_touch_each_other() {
    let mut hasher = RowHasher::new(TABLE);
    hasher.column(1, Tag::Bool, &[1]);
    let first = hasher.finish();
    hasher.column(9, Tag::Bool, &[0]); // left unfinished
    hasher.begin();
    hasher.column(1, Tag::Bool, &[1]);
    assert_eq!(hasher.finish(), first);
    assert_eq!(hasher.finish(), by_hand(&[]), "a row of absent values");
}

#[test]
fn bpchar_is_hashed_without_padding() {
    let mut hasher = RowHasher::new(TABLE);
    for stored in ["ab", "ab ", "ab        "] {
        hasher.begin();
        hasher.column(1, Tag::Bpchar, stored.as_bytes());
        assert_eq!(hasher.finish(), by_hand(&[(1, 10, b"ab")]));
    }
    assert_eq!(strip_padding(b"  a b\t "), b"  a b\t");
    assert_eq!(strip_padding(b"   "), b"");
    hasher.column(1, Tag::Varchar, b"ab ");
    assert_eq!(hasher.finish(), by_hand(&[(1, 9, b"ab ")]), "varchar keeps its spaces");
}

#[test]
#[should_panic(expected = "column ids must ascend")]
fn ids_that_do_not_ascend_are_a_bug() {
    let mut hasher = RowHasher::new(TABLE);
    hasher.column(2, Tag::Bool, &[1]);
    hasher.column(2, Tag::Bool, &[1]);
}

#[test]
fn every_tag_belongs_to_one_type() {
    let mut seen: Vec<u8> = (0..10_000).filter_map(tag_of_type).map(|tag| tag as u8).collect();
    seen.sort_unstable();
    assert_eq!(seen, (1..=22).collect::<Vec<u8>>());
    assert_eq!(tag_of_type(18), None, "the internal \"char\" type");
    assert_eq!(tag_of_type(600), None, "point");
}
