//! Payloads of dead letters: an LZ4 block, its original size kept beside it. Never: frames, files.

use crate::error::{Error, Result};

/// Compresses a payload.
pub fn compress(payload: &[u8]) -> Vec<u8> {
    lz4_flex::block::compress(payload)
}

/// What was compressed; `size` is the original's.
pub fn decompress(block: &[u8], size: usize) -> Result<Vec<u8>> {
    lz4_flex::block::decompress(block, size)
        .map_err(|e| Error::end(format!("payload of a dead letter cannot be decompressed: {e}")))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn broken_blocks_are_refused() {
        assert!(decompress(&[0xff; 20], 100).is_err());
        assert!(decompress(&compress(&[7; 1000]), 10).is_err());
    }

    proptest! {
        #[test]
        fn round_trip(payload in proptest::collection::vec(any::<u8>(), 0..3000), repeat in 1_usize..20) {
            let payload = payload.repeat(repeat);
            prop_assert_eq!(decompress(&compress(&payload), payload.len()).unwrap(), payload);
        }
    }
}
