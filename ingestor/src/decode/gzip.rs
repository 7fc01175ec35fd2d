//! gzip (RFC 1952), one member or several. Events are compressed one by one, so what is set up for a payload counts: the
//! state of the inflater is kept, and a payload is inflated in one go into room for it. Never: other formats.

use super::compression::Trouble;
use flate2::{Crc, Decompress, FlushDecompress, Status};

/// The only method there is.
const DEFLATE: u8 = 8;
/// Flags of a header.
const HEADER_CRC: u8 = 2;
const EXTRA: u8 = 4;
const NAME: u8 = 8;
const COMMENT: u8 = 16;
/// Deflate makes no more bytes of one than this.
const RATIO_MAX: usize = 1032;
/// Room that is made at least.
const ROOM_MIN: usize = 64;

/// Decompresses payloads, one after the other.
pub struct Inflater(Decompress);

impl Default for Inflater {
    fn default() -> Self {
        Self(Decompress::new(false))
    }
}

impl Inflater {
    /// Appends what a payload decompresses to; `out` holds `limit` bytes at most afterwards.
    pub fn gzip(&mut self, mut payload: &[u8], limit: usize, out: &mut Vec<u8>) -> Result<(), Trouble> {
        loop {
            let body = body(payload).ok_or_else(|| broken("a header is not whole, or wrong"))?;
            let start = out.len();
            let rest = self.member(body, limit, out)?;
            let (check, rest) = rest.split_first_chunk::<8>().ok_or_else(|| broken("it ends too early"))?;
            let mut crc = Crc::new();
            crc.update(&out[start..]);
            let told = [crc.sum().to_le_bytes(), crc.amount().to_le_bytes()].concat();
            if told != check {
                return Err(broken("its checksum is wrong"));
            }
            if rest.is_empty() {
                return Ok(());
            }
            payload = rest;
        }
    }

    /// One member; returns what is behind it.
    fn member<'a>(&mut self, body: &'a [u8], limit: usize, out: &mut Vec<u8>) -> Result<&'a [u8], Trouble> {
        self.0.reset(false);
        // The last bytes of the last member say how long it is, if they are true.
        let told = body.last_chunk().map_or(0, |length| u32::from_le_bytes(*length) as usize);
        let mut room = told.min(body.len().saturating_mul(RATIO_MAX));
        let mut rest = body;
        loop {
            if out.len() > limit {
                out.truncate(limit + 1);
                return Err(Trouble::TooLarge);
            }
            // (one byte more than the limit is enough to know)
            out.reserve_exact(room.max(ROOM_MIN).min(limit + 1 - out.len()));
            let before = self.0.total_in();
            let status = self.0.decompress_vec(rest, out, FlushDecompress::Finish);
            let read = usize::try_from(self.0.total_in() - before).unwrap_or(usize::MAX);
            rest = rest.get(read..).unwrap_or_default();
            match status.map_err(|e| broken(&e.to_string()))? {
                Status::StreamEnd if out.len() <= limit => return Ok(rest),
                Status::StreamEnd => {}
                _ if out.len() < out.capacity() => return Err(broken("it ends too early")),
                _ => room = out.len(),
            }
        }
    }
}

fn broken(why: &str) -> Trouble {
    Trouble::Broken(why.to_owned())
}

/// What follows the header of a member.
fn body(member: &[u8]) -> Option<&[u8]> {
    let (&[0x1f, 0x8b, DEFLATE, flags, ..], mut rest) = member.split_first_chunk::<10>()? else {
        return None;
    };
    if flags & EXTRA != 0 {
        let (length, after) = rest.split_first_chunk::<2>()?;
        rest = after.get(usize::from(u16::from_le_bytes(*length))..)?;
    }
    for flag in [NAME, COMMENT] {
        if flags & flag != 0 {
            let end = rest.iter().position(|byte| *byte == 0)?;
            rest = &rest[end + 1..];
        }
    }
    if flags & HEADER_CRC != 0 {
        let mut crc = Crc::new();
        crc.update(&member[..member.len() - rest.len()]);
        let (check, after) = rest.split_first_chunk::<2>()?;
        let [low, high, ..] = crc.sum().to_le_bytes();
        rest = after;
        if *check != [low, high] {
            return None;
        }
    }
    Some(rest)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use flate2::bufread::MultiGzDecoder;
    use flate2::{Compression, GzBuilder};
    use proptest::prelude::*;
    use std::io::{Read, Write};

    fn member(text: &[u8], level: u32, names: bool) -> Vec<u8> {
        let builder = GzBuilder::new().mtime(7);
        let builder = if names { builder.filename("a").comment("bc").extra("extra") } else { builder };
        let mut encoder = builder.write(Vec::new(), Compression::new(level));
        encoder.write_all(text).unwrap();
        encoder.finish().unwrap()
    }

    /// With a checksum over its header, as hardly anybody writes it.
    fn checked(member: &[u8]) -> Vec<u8> {
        let mut header = member[..10].to_vec();
        header[3] |= HEADER_CRC;
        let mut crc = Crc::new();
        crc.update(&header);
        [&header, &crc.sum().to_le_bytes()[..2], &member[10..]].concat()
    }

    fn inflated(payload: &[u8], limit: usize) -> Option<Vec<u8>> {
        let mut out = Vec::new();
        Inflater::default().gzip(payload, limit, &mut out).ok().map(|()| out)
    }

    #[test]
    fn a_header_may_hold_more() {
        let plain = member(b"text", 6, false);
        assert_eq!(inflated(&member(b"text", 6, true), 9).unwrap(), b"text");
        assert_eq!(inflated(&checked(&plain), 9).unwrap(), b"text");
        let mut wrong = checked(&plain);
        wrong[10] ^= 1;
        assert_eq!(inflated(&wrong, 9), None);
    }

    #[test]
    fn a_length_that_lies_costs_no_memory() {
        let mut payload = member(b"text", 6, false);
        let end = payload.len();
        payload[end - 4..].fill(0xff);
        let mut out = Vec::new();
        assert!(Inflater::default().gzip(&payload, 1 << 30, &mut out).is_err());
        assert!(out.capacity() < 100_000, "{}", out.capacity());
    }

    proptest! {
        #[test]
        fn agrees_with_another_decoder(
            texts in proptest::collection::vec(("[abc]{0,900}", 0_u32..10, any::<bool>()), 1..4),
            damage in proptest::option::of((any::<prop::sample::Index>(), 1_u8..)), cut in 0_usize..3
        ) {
            let mut payload: Vec<u8> = texts.iter().flat_map(|(text, level, names)| member(text.as_bytes(), *level, *names)).collect();
            payload.truncate(payload.len() - cut);
            let mut sound = cut == 0;
            if let Some((at, bits)) = &damage {
                let at = at.index(payload.len());
                payload[at] ^= bits;
                sound = false;
            }
            let mut expected = Vec::new();
            let other = MultiGzDecoder::new(&payload[..]).read_to_end(&mut expected);
            let ours = inflated(&payload, 100_000);
            // What is damaged where nobody looks is the same for both; ours may see more.
            if let Some(ours) = &ours {
                prop_assert!(other.is_ok());
                prop_assert_eq!(ours, &expected);
            }
            prop_assert!(ours.is_some() || !sound);
            prop_assert!(expected.is_empty() || !sound || inflated(&payload, expected.len() - 1).is_none());
        }
    }
}
