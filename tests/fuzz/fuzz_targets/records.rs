//! What a record may be wrapped in: compression and aggregation. No panic, and never more than the limit.
#![no_main]

use libfuzzer_sys::fuzz_target;
use md5::{Digest, Md5};
use strata_fuzz::decode::compression::Format;
use strata_fuzz::decode::gzip::Inflater;
use strata_fuzz::decode::kpl;

const LIMIT: usize = 1 << 20;
const MAGICS: [&[u8]; 3] = [&[0x1f, 0x8b], &[0x28, 0xb5, 0x2f, 0xfd], &[0x04, 0x22, 0x4d, 0x18]];

fuzz_target!(|data: &[u8]| {
    unpack(data);
    for magic in MAGICS {
        unpack(&[magic, data].concat());
    }
    split(data);
    // with the digest that makes it a frame
    split(&[&[0xf3, 0x89, 0x9a, 0xc2], data, &Md5::digest(data)].concat());
});

fn unpack(payload: &[u8]) {
    if let Some(format) = Format::by_magic(payload) {
        let mut out = Vec::new();
        let held = format.decompress(payload, LIMIT, &mut Inflater::default(), &mut out).is_ok();
        assert!(out.len() <= LIMIT + usize::from(!held), "{} bytes", out.len());
    }
}

fn split(record: &[u8]) {
    if let Some(records) = kpl::split(record, 100) {
        assert!(records.len() <= 100);
        let range = record.as_ptr_range();
        for user in records {
            let data = user.data.as_ptr_range();
            assert!(user.data.is_empty() || (range.start <= data.start && data.end <= range.end));
        }
    }
}
