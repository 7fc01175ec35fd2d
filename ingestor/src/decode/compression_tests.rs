#![allow(clippy::unwrap_used)]

use super::*;
use proptest::prelude::*;

const FORMATS: [Format; 3] = [Format::Gzip, Format::Zstd, Format::Lz4];

fn decompressed(format: Format, payload: &[u8], limit: usize) -> Result<Vec<u8>, Trouble> {
    let mut out = Vec::new();
    format.decompress(payload, limit, &mut Inflater::default(), &mut out).map(|()| out)
}

#[test]
fn frames_may_follow_one_another() {
    for format in FORMATS {
        let one = compress(format, b"{\"a\":1}\n").unwrap();
        assert_eq!(Format::by_magic(&one), Some(format));
        let two = [one.as_slice(), &one].concat();
        assert_eq!(decompressed(format, &two, 100).unwrap(), b"{\"a\":1}\n{\"a\":1}\n", "{format:?}");
        let trailing = [one.as_slice(), b"trailing"].concat();
        assert!(matches!(decompressed(format, &trailing, 100), Err(Trouble::Broken(_))), "{format:?}");
        let empty = compress(format, b"").unwrap();
        assert_eq!(decompressed(format, &empty, 100).unwrap(), b"", "{format:?}");
    }
    let skipped =
        [&[0x53, 0x2a, 0x4d, 0x18, 2, 0, 0, 0, 9, 9][..], &compress(Format::Zstd, b"x").unwrap()].concat();
    let after = [compress(Format::Zstd, b"y").unwrap(), skipped].concat();
    assert_eq!(decompressed(Format::Zstd, &after, 100).unwrap(), b"yx");
}

#[test]
fn the_limit_is_the_limit() {
    let zeros = vec![0; 1 << 20];
    for format in FORMATS {
        let bomb = compress(format, &zeros).unwrap();
        assert!(bomb.len() < 20_000, "{format:?}: {}", bomb.len());
        assert_eq!(decompressed(format, &bomb, 1 << 20).unwrap().len(), 1 << 20);
        let mut out = Vec::new();
        for limit in [0, 1, 65_536, (1 << 20) - 1] {
            out.clear();
            out.shrink_to_fit();
            assert!(
                matches!(
                    format.decompress(&bomb, limit, &mut Inflater::default(), &mut out),
                    Err(Trouble::TooLarge)
                ),
                "{format:?}"
            );
            assert!(out.capacity() <= 2 * limit + 4096, "{format:?}: {} for {limit}", out.capacity());
        }
        let two = [bomb.as_slice(), &bomb].concat();
        assert!(matches!(decompressed(format, &two, (1 << 20) + 5), Err(Trouble::TooLarge)), "{format:?}");
    }
    // A window of 3.75 TiB.
    let greedy = [&ZSTD_MAGIC[..], &[0, 0xff, 1, 0, 0]].concat();
    assert!(matches!(decompressed(Format::Zstd, &greedy, 100), Err(Trouble::TooLarge)));
}

#[test]
fn damage_is_noticed() {
    let text = "{\"a\":\"some text that is text\"}".repeat(5);
    for format in FORMATS {
        let whole = compress(format, text.as_bytes()).unwrap();
        for length in 0..whole.len() {
            assert!(decompressed(format, &whole[..length], 1000).is_err(), "{format:?} cut at {length}");
        }
    }
    let other = compress(Format::Lz4, b"x").unwrap();
    assert!(matches!(decompressed(Format::Gzip, &other, 100), Err(Trouble::Broken(_))));
    let mut zstd = crate::decode::tests::unhex(ZSTD_WITH_CHECKSUM);
    assert_eq!(decompressed(Format::Zstd, &zstd, 100).unwrap(), b"checked");
    *zstd.last_mut().unwrap() ^= 1;
    assert!(matches!(decompressed(Format::Zstd, &zstd, 100), Err(Trouble::Broken(_))));
}

/// `printf checked | zstd --check`
const ZSTD_WITH_CHECKSUM: &str = "28b52ffd2407390000636865636b6564143e3083";

proptest! {
    #[test]
    fn round_trip(payload in proptest::collection::vec(any::<u8>(), 0..2000), repeat in 1_usize..100) {
        let payload = payload.repeat(repeat);
        for format in FORMATS {
            let compressed = compress(format, &payload).unwrap();
            prop_assert_eq!(&decompressed(format, &compressed, payload.len()).unwrap(), &payload);
        }
    }

    #[test]
    fn garbage_neither_panics_nor_grows(garbage in proptest::collection::vec(any::<u8>(), 0..300), which in 0_usize..3) {
        let magic: &[u8] = [&[0x1f, 0x8b, 8, 0][..], &ZSTD_MAGIC, &[4, 0x22, 0x4d, 0x18, 0x40, 0x40, 0xc0]][which];
        let mut out = Vec::new();
        let _ = FORMATS[which].decompress(&[magic, &garbage].concat(), 1000, &mut Inflater::default(), &mut out);
        prop_assert!(out.len() <= 1001);
    }

    #[test]
    fn damage_neither_panics_nor_grows(
        text in "[ab]{0,400}", which in 0_usize..3, damage in proptest::collection::vec((any::<u16>(), 1_u8..), 1..4)
    ) {
        let mut payload = compress(FORMATS[which], text.as_bytes()).unwrap();
        for (at, bits) in damage {
            let at = usize::from(at) % payload.len();
            payload[at] ^= bits;
        }
        let mut out = Vec::new();
        let _ = FORMATS[which].decompress(&payload, 1000, &mut Inflater::default(), &mut out);
        prop_assert!(out.len() <= 1001);
    }
}
