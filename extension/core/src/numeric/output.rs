//! What `numeric_out` prints.

use super::{DSCALE_MAX, MINUS_INFINITY, NAN, NEGATIVE, NumericError, PLUS_INFINITY};
use std::fmt::Write;

/// The digits of a wire value by their power of 10,000.
struct Groups<'a> {
    bytes: &'a [u8],
    weight: i32,
}

impl Groups<'_> {
    /// What is not stored is zero.
    fn at(&self, power: i32) -> Result<u16, NumericError> {
        let stored =
            usize::try_from(self.weight - power).ok().and_then(|at| self.bytes.chunks_exact(2).nth(at));
        let value = stored.map_or(0, |group| u16::from_be_bytes([group[0], group[1]]));
        if value < 10_000 { Ok(value) } else { Err(NumericError::Wire) }
    }
}

/// The text `numeric_out` prints for wire bytes.
pub fn to_text(wire: &[u8]) -> Result<String, NumericError> {
    let &[n0, n1, w0, w1, s0, s1, d0, d1, ref bytes @ ..] = wire else {
        return Err(NumericError::Wire);
    };
    let sign = u16::from_be_bytes([s0, s1]);
    let dscale = i64::from(u16::from_be_bytes([d0, d1]));
    if bytes.len() != 2 * usize::from(u16::from_be_bytes([n0, n1])) {
        return Err(NumericError::Wire);
    }
    match sign {
        NAN if bytes.is_empty() => return Ok("NaN".into()),
        PLUS_INFINITY if bytes.is_empty() => return Ok("Infinity".into()),
        MINUS_INFINITY if bytes.is_empty() => return Ok("-Infinity".into()),
        0 | NEGATIVE if dscale <= DSCALE_MAX => {}
        _ => return Err(NumericError::Wire),
    }
    let groups = Groups { bytes, weight: i16::from_be_bytes([w0, w1]).into() };
    let mut text = String::new();
    if sign == NEGATIVE {
        text.push('-');
    }
    // Writing to a string cannot fail.
    let _ = write!(text, "{}", groups.at(groups.weight.max(0))?);
    for power in (0..groups.weight).rev() {
        let _ = write!(text, "{:04}", groups.at(power)?);
    }
    if dscale > 0 {
        text.push('.');
        let end = text.len() + usize::try_from(dscale).unwrap_or(0);
        let mut power = 0;
        while text.len() < end {
            power -= 1;
            let _ = write!(text, "{:04}", groups.at(power)?);
        }
        text.truncate(end);
    }
    Ok(text)
}
