//! Compressed payloads: gzip, zstd, LZ4 frames, one or several after one another. Memory is bounded by the caller's
//! limit and by the window a zstd frame may ask for. Never: raw LZ4 blocks and zlib, which no magic tells apart.

use super::gzip::Inflater;
use serde::Deserialize;
use std::io::{self, Read};

/// What a feed says of its payloads.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Setting {
    /// By the first bytes; without a magic it is not compressed.
    Auto,
    /// Not compressed.
    None,
    /// All of them are gzip.
    Gzip,
    /// All of them are zstd.
    Zstd,
    /// All of them are LZ4 frames.
    Lz4,
}

/// A format.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// RFC 1952.
    Gzip,
    /// RFC 8878.
    Zstd,
    /// LZ4 frame.
    Lz4,
}

/// Why a payload cannot be had.
#[derive(Debug)]
pub enum Trouble {
    /// It is more than the limit.
    TooLarge,
    /// It is broken, or of another format.
    Broken(String),
}

/// The largest window of a zstd frame that is decompressed: what RFC 8878 asks every decoder to support.
const WINDOW_MAX: u64 = 8 << 20;
const ZSTD_MAGIC: [u8; 4] = [0x28, 0xb5, 0x2f, 0xfd];

impl Setting {
    /// The format of a payload; `None`: it is taken as it is.
    pub fn format(self, payload: &[u8]) -> Option<Format> {
        match self {
            Self::Auto => Format::by_magic(payload),
            Self::None => None,
            Self::Gzip => Some(Format::Gzip),
            Self::Zstd => Some(Format::Zstd),
            Self::Lz4 => Some(Format::Lz4),
        }
    }
}

impl Format {
    /// By the first bytes, none of which JSON can begin with.
    pub fn by_magic(payload: &[u8]) -> Option<Self> {
        match payload {
            [0x1f, 0x8b, ..] => Some(Self::Gzip),
            [0x28, 0xb5, 0x2f, 0xfd, ..] => Some(Self::Zstd),
            [0x04, 0x22, 0x4d, 0x18, ..] => Some(Self::Lz4),
            _ => None,
        }
    }

    /// As people write it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Gzip => "gzip",
            Self::Zstd => "zstd",
            Self::Lz4 => "LZ4",
        }
    }

    /// Appends what a payload decompresses to, at most `limit` bytes.
    pub fn decompress(
        self,
        payload: &[u8],
        limit: usize,
        inflater: &mut Inflater,
        out: &mut Vec<u8>,
    ) -> Result<(), Trouble> {
        if Self::by_magic(payload) != Some(self) {
            return Err(Trouble::Broken(format!("it does not begin as {} does", self.name())));
        }
        match self {
            Self::Gzip => inflater.gzip(payload, limit, out),
            Self::Zstd => zstd(payload, limit, out),
            Self::Lz4 => lz4(payload, limit, out),
        }
    }
}

fn broken(error: impl std::fmt::Display) -> Trouble {
    Trouble::Broken(error.to_string())
}

/// Reads all there is; one byte more than the limit is enough to know.
fn drain(source: &mut dyn Read, limit: usize, out: &mut Vec<u8>) -> Result<(), Trouble> {
    let room = limit.saturating_sub(out.len());
    let read = source.take(room as u64 + 1).read_to_end(out).map_err(broken)?;
    if read > room { Err(Trouble::TooLarge) } else { Ok(()) }
}

fn lz4(mut payload: &[u8], limit: usize, out: &mut Vec<u8>) -> Result<(), Trouble> {
    while !payload.is_empty() {
        if let Some(rest) = skippable(payload) {
            payload = rest.ok_or_else(|| broken("it ends too early"))?;
            continue;
        }
        // The library takes an end between two blocks for the end of the frame.
        let length = lz4_frame(payload).ok_or_else(|| broken("a frame is not whole"))?;
        let (frame, rest) = payload.split_at(length);
        drain(&mut lz4_flex::frame::FrameDecoder::new(frame), limit, out)?;
        payload = rest;
    }
    Ok(())
}

/// Length of an LZ4 frame with its end mark and checksum; `None` where it is not all there.
fn lz4_frame(frame: &[u8]) -> Option<usize> {
    if Format::by_magic(frame) != Some(Format::Lz4) {
        return None;
    }
    let flags = frame.get(4)?;
    let if_set = |bit: u8, bytes: usize| if flags & bit != 0 { bytes } else { 0 };
    let mut at = 7 + if_set(8, 8) + if_set(1, 4);
    loop {
        let block = frame.get(at..)?.first_chunk::<4>()?;
        at += 4;
        match usize::try_from(u32::from_le_bytes(*block) & 0x7fff_ffff).ok()? {
            0 => break,
            length => at += length + if_set(16, 4),
        }
    }
    at += if_set(4, 4);
    (at <= frame.len()).then_some(at)
}

/// What follows a frame for somebody else, where one begins here; `Some(None)`: it is not all there.
#[allow(clippy::option_option)]
fn skippable(payload: &[u8]) -> Option<Option<&[u8]>> {
    let [0x50..=0x5f, 0x2a, 0x4d, 0x18, rest @ ..] = payload else { return None };
    Some(
        rest.split_first_chunk::<4>()
            .and_then(|(size, rest)| rest.get(usize::try_from(u32::from_le_bytes(*size)).ok()?..)),
    )
}

fn zstd(mut payload: &[u8], limit: usize, out: &mut Vec<u8>) -> Result<(), Trouble> {
    while !payload.is_empty() {
        if let Some(rest) = skippable(payload) {
            payload = rest.ok_or_else(|| broken("it ends too early"))?;
            continue;
        }
        let window = zstd_window(payload).ok_or_else(|| broken("its frame has no whole header"))?;
        if window > WINDOW_MAX.max(limit as u64) {
            return Err(Trouble::TooLarge);
        }
        let mut decoder = ruzstd::decoding::StreamingDecoder::new(&mut payload).map_err(broken)?;
        drain(&mut decoder, limit, out)?;
        let decoder = decoder.into_frame_decoder();
        if decoder.get_checksum_from_data().is_some_and(|sum| decoder.get_calculated_checksum() != Some(sum))
        {
            return Err(broken("its checksum is wrong"));
        }
    }
    Ok(())
}

/// The memory a frame asks for, as its header says (RFC 8878, 3.1.1.1).
fn zstd_window(frame: &[u8]) -> Option<u64> {
    let header = frame.strip_prefix(&ZSTD_MAGIC)?;
    let (descriptor, rest) = header.split_first()?;
    if descriptor & 0x20 == 0 {
        let window = rest.first()?;
        let base = 1_u64 << (10 + (window >> 3));
        return Some(base + base / 8 * u64::from(window & 7));
    }
    let dictionary = [0, 1, 2, 4][usize::from(descriptor & 3)];
    let size = [1, 2, 4, 8][usize::from(descriptor >> 6)];
    let field = rest.get(dictionary..dictionary + size)?;
    let value = field.iter().rev().fold(0, |value: u64, byte| value << 8 | u64::from(*byte));
    Some(if size == 2 { value + 256 } else { value })
}

/// Compresses a payload; for `strata produce`.
pub fn compress(format: Format, payload: &[u8]) -> io::Result<Vec<u8>> {
    use std::io::Write;
    match format {
        Format::Gzip => {
            let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
            encoder.write_all(payload)?;
            encoder.finish()
        }
        Format::Zstd => {
            Ok(ruzstd::encoding::compress_to_vec(payload, ruzstd::encoding::CompressionLevel::Fastest))
        }
        Format::Lz4 => {
            let mut encoder = lz4_flex::frame::FrameEncoder::new(Vec::new());
            encoder.write_all(payload)?;
            encoder.finish().map_err(io::Error::from)
        }
    }
}

#[cfg(test)]
#[path = "compression_tests.rs"]
mod tests;
