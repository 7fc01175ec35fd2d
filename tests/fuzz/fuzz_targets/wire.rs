//! What a verifier reads from a server it does not believe: COPY BINARY, in pieces, and values of every type. No panic, and the
//! same rows whatever the pieces.
#![no_main]

use libfuzzer_sys::fuzz_target;
use std::collections::HashMap;
use strata_core::copy_out::{CopyOut, fields};
use strata_core::encoding::Tag;
use strata_core::wire::Wire;

fuzz_target!(|data: &[u8]| {
    let Some((choice, data)) = data.split_first() else { return };
    let whole = rows(data, data.len().max(1));
    assert_eq!(whole, rows(data, usize::from(choice % 7) + 1));
    for row in whole.iter().flatten() {
        for value in fields(row).flatten() {
            encode(*choice, value);
        }
    }
    encode(*choice, data);
});

/// The rows of a stream that comes in pieces; the header is given.
fn rows(data: &[u8], piece: usize) -> Option<Vec<Vec<u8>>> {
    let stream = [b"PGCOPY\n\xff\r\n\0\0\0\0\0\0\0\0\0", data].concat();
    let mut reader = CopyOut::default();
    let mut rows = Vec::new();
    for part in stream.chunks(piece) {
        reader.feed(part, |row| rows.push(row.to_vec())).ok()?;
    }
    reader.is_whole().then_some(rows)
}

fn encode(choice: u8, value: &[u8]) {
    let tags: Vec<Tag> = Tag::ALL
        .into_iter()
        .filter(|tag| !matches!(*tag, Tag::Enum | Tag::Array | Tag::Range | Tag::Multirange | Tag::Composite))
        .collect();
    let plain = || Wire::Plain(tags[usize::from(choice) % tags.len()]);
    let labels = HashMap::from([("a".to_owned(), 1)]);
    for wire in [
        plain(),
        Wire::Enum(labels),
        Wire::Array(Box::new(plain())),
        Wire::Range(Box::new(plain())),
        Wire::Multirange(Box::new(plain())),
        Wire::Composite(vec![(1, plain()), (2, Wire::Array(Box::new(plain())))]),
    ] {
        let mut out = Vec::new();
        let _ = wire.encode(value, &mut out);
        assert!(out.len() <= 16 * value.len() + 1024, "{} bytes of {}", out.len(), value.len());
    }
}
