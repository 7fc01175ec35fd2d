//! docs/formats.md against the code, and its examples of values against the server.

use crate::support::{hex, jsonb_text, unhex};
use strata_core::chunk::{self, Record, Rows};
use strata_core::commitment;
use strata_core::encoding::{RowBytes, RowHasher, Tag, strip_padding, tag_of_type};
use strata_core::jsonb::{DEPTH_MAX, canonical};
use strata_core::merkle::{Hash, leaf_hash, root, sorted_root};
use strata_core::nested::{self, Bound};
use strata_core::numeric;

const DOCUMENT: &str = include_str!("../../../../docs/formats.md");
/// Made by the server; the query is beside it.
const STORED: &str = include_str!("../data/values.tsv");

/// The lines of the fenced block of this language.
fn block(language: &str) -> Vec<&'static str> {
    let (_, after) = DOCUMENT.split_once(&format!("```{language}\n")).unwrap();
    after.split_once("```").unwrap().0.lines().collect()
}

/// The bytes of lines of digits, up to the remark two spaces or a word begins.
fn bytes(lines: &[&str]) -> Vec<u8> {
    let digits = |line: &&str| -> String {
        line.split(' ')
            .take_while(|word| word.len() % 2 == 0 && word.bytes().all(|b| b.is_ascii_hexdigit()))
            .collect()
    };
    unhex(&lines.iter().map(digits).collect::<String>())
}

fn hash(line: &str) -> Hash {
    bytes(&[line]).try_into().unwrap()
}

struct Example {
    tag: u8,
    kind: &'static str,
    value: &'static str,
    bytes: Vec<u8>,
}

fn examples() -> Vec<Example> {
    let (_, table) = DOCUMENT.split_once("| tag | type |").unwrap();
    let rows = table.lines().skip(2).take_while(|line| line.starts_with('|'));
    rows.map(|row| {
        let [_, tag, kind, _, value, bytes, _] = row.split('|').collect::<Vec<_>>()[..] else {
            panic!("{row}")
        };
        let code = |cell: &'static str| cell.trim().trim_matches('`');
        Example {
            tag: tag.trim().parse().unwrap(),
            kind: kind.trim(),
            value: code(value),
            bytes: unhex(&code(bytes).replace(' ', "")),
        }
    })
    .collect()
}

#[test]
fn values_are_encoded_as_the_server_sends_them() {
    let examples = examples();
    assert_eq!(examples.iter().map(|example| example.tag).collect::<Vec<_>>(), (0..=27).collect::<Vec<u8>>());
    assert_eq!(STORED.lines().count(), 22);
    for line in STORED.lines() {
        let [kind, oid, value, wire] = line.split('\t').collect::<Vec<_>>()[..] else { panic!("{line}") };
        let example = examples.iter().find(|example| example.kind == kind && example.value == value);
        let example = example.unwrap_or_else(|| panic!("the document lacks {line}"));
        let wire = unhex(wire);
        let tag = tag_of_type(oid.parse().unwrap()).unwrap();
        let expected = match tag {
            Tag::Bpchar => strip_padding(&wire).to_vec(),
            Tag::Jsonb => canonical(std::str::from_utf8(&wire[1..]).unwrap()).unwrap(),
            _ => wire,
        };
        assert_eq!((example.tag, &example.bytes), (tag as u8, &expected), "{kind}");
    }
    let number = examples.iter().find(|example| example.kind == "numeric").unwrap();
    assert_eq!(numeric::parse(number.value, None).unwrap(), number.bytes);
}

#[test]
fn nested_values_have_the_documented_bytes() {
    let examples = examples();
    let documented = |tag: Tag| &examples.iter().find(|example| example.tag == tag as u8).unwrap().bytes;
    let number = |n: i32| n.to_be_bytes();
    assert_eq!(documented(Tag::Enum), &nested::enumerated(5));
    let mut array = Vec::new();
    nested::array(&mut array, Tag::Int4, &[(2, 1)]);
    nested::element(&mut array, Some(&number(1)));
    nested::element(&mut array, None);
    assert_eq!(documented(Tag::Array), &array);
    let mut range = Vec::new();
    nested::range(&mut range, Tag::Int4, Some((Bound::Inclusive(&number(1)), Bound::Exclusive(&number(5)))));
    assert_eq!(documented(Tag::Range), &range);
    let mut multirange = Vec::new();
    nested::multirange(&mut multirange, 1);
    nested::element(&mut multirange, Some(&range));
    assert_eq!(documented(Tag::Multirange), &multirange);
    let mut composite = Vec::new();
    nested::attribute(&mut composite, 1, Tag::Int4, &number(7));
    assert_eq!(documented(Tag::Composite), &composite);
}

#[test]
fn jsonb_has_the_documented_bytes() {
    let [text, expected] = block("jsonb")[..] else { panic!("two lines") };
    assert_eq!(hex(&canonical(text).unwrap()), expected);
    assert_eq!(jsonb_text(&unhex(expected)), r#"{"a": 1.0, "b": [null, "é"]}"#);
    assert!(DOCUMENT.contains("nesting deeper than 1,000") && DEPTH_MAX == 1000);
}

#[test]
fn the_row_has_the_documented_leaf() {
    let row = bytes(&block("row"));
    let documented = hash(block("leaf")[0]);
    let (head, mut rest) = row.split_at(18);
    assert_eq!(head[..2], [0, 1]);
    assert_eq!(leaf_hash(&row[1..]), documented);
    let mut hasher = RowHasher::new(head[2..].try_into().unwrap());
    let mut columns = Vec::new();
    while let [i0, i1, i2, i3, tag, l0, l1, l2, l3, ..] = *rest {
        let (id, length) = (u32::from_be_bytes([i0, i1, i2, i3]), u32::from_be_bytes([l0, l1, l2, l3]));
        let (value, after) = rest[9..].split_at(length as usize);
        match tag {
            0 => hasher.null(id),
            4 => hasher.column(id, Tag::Int8, value),
            7 => hasher.column(id, Tag::Numeric, value),
            22 => hasher.column(id, Tag::Jsonb, value),
            _ => panic!("tag {tag}"),
        }
        columns.push((id, tag, hex(value)));
        rest = after;
    }
    assert!(rest.is_empty());
    assert_eq!(hasher.finish(), documented);
    // The values are those of the other examples.
    let number = hex(&examples().into_iter().find(|example| example.kind == "numeric").unwrap().bytes);
    let tree = block("jsonb")[1].to_string();
    assert_eq!(
        columns,
        [(1, 4, "000000000000002a".into()), (3, 7, number), (4, 0, String::new()), (7, 22, tree)]
    );
}

#[test]
fn the_batch_has_the_documented_checksum() {
    let lines = block("batch");
    let (leaves, checksum) = lines.split_at(3);
    let mut leaves: Vec<Hash> = leaves.iter().map(|line| hash(line)).collect();
    let table = bytes(&block("row")[2..3]).try_into().unwrap();
    let mut hasher = RowHasher::new(table);
    let of_one_column = |value: i64| {
        hasher.column(1, Tag::Int8, &value.to_be_bytes());
        hasher.finish()
    };
    let others: Vec<Hash> = [43, 44].map(of_one_column).into();
    assert_eq!(leaves[0], hash(block("leaf")[0]));
    assert_eq!(leaves[1..], others);
    assert!(!leaves.is_sorted(), "an example that shows sorting matters");
    assert_ne!(root(&leaves), hash(checksum[0]));
    assert_eq!(sorted_root(&mut leaves), hash(checksum[0]));
}

#[test]
fn a_record_of_the_log_is_encoded_as_documented() {
    let row: Hash = hash(block("leaf")[0]);
    let record = Record {
        chunk_id: 7,
        table: bytes(&["c0ffee00000040008000000000000001"]).try_into().unwrap(),
        operation: "insert",
        schema: 3,
        changed_at: 1,
        xid: 730,
        system_identifier: 5,
        added: Rows::of(&mut [chunk::entry(&row, 42)]),
        removed: Rows::of(&mut []),
        texts: [Some("ada"), Some("ada"), None, None, Some("{}"), None],
    };
    assert_eq!(hex(&record.encode()), hex(&bytes(&block("record"))));
    assert_eq!(record.leaf(), hash(block("recordleaf")[0]));
}

/// The buffer of the triggers and the hasher of everything else.
#[test]
fn both_ways_to_hash_a_row_agree() {
    let table = [9; 16];
    let (mut hasher, mut row) = (RowHasher::new(table), RowBytes::new(table));
    for n in 0..3_u8 {
        hasher.begin();
        hasher.column(1, Tag::Text, b"some text");
        hasher.null(2);
        hasher.column(5, Tag::Bytea, &[n; 200]);
        row.begin();
        row.open(1, Tag::Text).extend(b"some text");
        row.close();
        row.open(2, Tag::Null);
        row.close();
        row.open(4, Tag::Int2).extend([0, n]);
        assert_eq!(row.value(), [0, n]);
        row.discard();
        row.open(5, Tag::Bytea).extend([n; 200]);
        row.close();
        assert_eq!(row.leaf(), hasher.finish());
    }
}

#[test]
fn a_commitment_is_made_as_documented() {
    let value = commitment::commit(&[0x2a; 32], 2, Tag::Text, "é".as_bytes());
    assert_eq!(value, hash(block("commitment")[0]));
    let mut row = RowBytes::new([9; 16]);
    row.begin();
    row.open(2, Tag::Text).extend("é".as_bytes());
    row.commit(&[0x2a; 32]);
    row.close();
    let mut hasher = RowHasher::new([9; 16]);
    hasher.column(2, Tag::Commitment, &value);
    assert_eq!(row.leaf(), hasher.finish());
    let kept = commitment::erased(2, &value);
    assert_eq!(commitment::parse_erased(&kept), Some(vec![(2, value)]));
    assert_eq!(commitment::parse_erased(&kept[1..]), None);
}
