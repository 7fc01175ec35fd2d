//! Frames of AWS's event streams: lengths, headers, payload, and the two checksums. Pure.

use bytes::{BufMut, Bytes, BytesMut};

/// Type of a header whose value is a string.
const STRING: u8 = 7;
/// Bytes before the headers, and of the checksum behind the payload.
const PRELUDE: usize = 12;
const CHECKSUM: usize = 4;

/// An event with a JSON payload.
pub fn event(kind: &str, payload: &[u8]) -> Bytes {
    frame(
        &[(":event-type", kind), (":content-type", "application/json"), (":message-type", "event")],
        payload,
    )
}

/// An exception, which ends the stream.
pub fn exception(kind: &str, payload: &[u8]) -> Bytes {
    let headers =
        [(":exception-type", kind), (":content-type", "application/json"), (":message-type", "exception")];
    frame(&headers, payload)
}

fn frame(headers: &[(&str, &str)], payload: &[u8]) -> Bytes {
    let length: usize = headers.iter().map(|(name, value)| 1 + name.len() + 1 + 2 + value.len()).sum();
    let total = PRELUDE + length + payload.len() + CHECKSUM;
    let mut out = BytesMut::with_capacity(total);
    out.put_u32(u32::try_from(total).unwrap_or(u32::MAX));
    out.put_u32(u32::try_from(length).unwrap_or(u32::MAX));
    out.put_u32(crc32(&out));
    for (name, value) in headers {
        out.put_u8(u8::try_from(name.len()).unwrap_or(u8::MAX));
        out.put_slice(name.as_bytes());
        out.put_u8(STRING);
        out.put_u16(u16::try_from(value.len()).unwrap_or(u16::MAX));
        out.put_slice(value.as_bytes());
    }
    out.put_slice(payload);
    out.put_u32(crc32(&out));
    out.freeze()
}

const TABLE: [u32; 256] = {
    let mut table = [0; 256];
    let mut n: usize = 0;
    while n < 256 {
        #[allow(clippy::cast_possible_truncation)] // n is below 256
        let mut c = n as u32;
        let mut bit = 0;
        while bit < 8 {
            c = if c & 1 == 1 { 0xedb8_8320 ^ (c >> 1) } else { c >> 1 };
            bit += 1;
        }
        table[n] = c;
        n += 1;
    }
    table
};

/// CRC-32 as in ISO 3309.
fn crc32(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(!0, |crc, byte| TABLE[((crc ^ u32::from(*byte)) & 0xff) as usize] ^ (crc >> 8))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_checksum_is_the_usual_one() {
        assert_eq!(crc32(b"123456789"), 0xcbf4_3926);
    }

    #[test]
    fn a_frame_tells_its_lengths() {
        let frame = event("e", b"{}");
        assert_eq!(frame.len(), u32::from_be_bytes([frame[0], frame[1], frame[2], frame[3]]) as usize);
        let (body, checksum) = frame.split_at(frame.len() - 4);
        assert_eq!(crc32(body).to_be_bytes(), checksum);
    }
}
