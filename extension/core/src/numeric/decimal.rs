//! The parser of `numeric_in`: decimal digits in, groups of four digits out, rounded where the column says so.

use super::{DSCALE_MAX, GROUP, HEADER, NEGATIVE, NumericError, push_header, trim};

/// Exponents from here on are refused before anything is computed with them, as the server does.
const EXPONENT_END: i64 = (i32::MAX / 2) as i64;

/// A number as written: `digits.0` followed by `digits.1`, without leading zeros.
pub(super) struct Decimal<'a> {
    negative: bool,
    digits: (&'a [u8], &'a [u8]),
    /// The power of ten of the first digit.
    weight: i64,
    /// Decimal digits to show after the point.
    dscale: i64,
}

/// Splits off the longest prefix of decimal digits.
fn split_digits(text: &[u8]) -> (&[u8], &[u8]) {
    text.split_at(text.iter().position(|byte| !byte.is_ascii_digit()).unwrap_or(text.len()))
}

fn without_leading_zeros(digits: &[u8]) -> &[u8] {
    &digits[digits.iter().position(|&digit| digit != b'0').unwrap_or(digits.len())..]
}

/// A length as a number to compute with; no text is longer than that.
fn count(digits: &[u8]) -> i64 {
    i64::try_from(digits.len()).unwrap_or(i64::MAX)
}

impl<'a> Decimal<'a> {
    pub(super) fn scan(text: &'a [u8]) -> Result<Self, NumericError> {
        let (negative, text) = match text {
            [b'-', rest @ ..] => (true, rest),
            [b'+', rest @ ..] => (false, rest),
            _ => (false, text),
        };
        let (whole, text) = split_digits(text);
        let (fraction, text) = match text {
            [b'.', rest @ ..] => split_digits(rest),
            _ => (&[][..], text),
        };
        if whole.is_empty() && fraction.is_empty() {
            return Err(NumericError::Syntax);
        }
        let exponent = match text {
            [] => 0,
            [b'e' | b'E', rest @ ..] => scan_exponent(rest)?,
            _ => return Err(NumericError::Syntax),
        };
        let dscale = (count(fraction) - exponent).max(0);
        let significant = without_leading_zeros(whole);
        if !significant.is_empty() {
            let weight = count(significant) - 1 + exponent;
            return Ok(Self { negative, digits: (significant, fraction), weight, dscale });
        }
        let significant = without_leading_zeros(fraction);
        let weight = count(significant) - count(fraction) - 1 + exponent;
        Ok(Self { negative, digits: (significant, &[]), weight, dscale })
    }

    fn len(&self) -> usize {
        self.digits.0.len() + self.digits.1.len()
    }

    /// Rounds half away from zero to `scale` digits after the point (before it, where negative). Returns whether
    /// one must still be added to the last digit.
    fn round(&mut self, scale: i64) -> bool {
        self.dscale = scale.max(0);
        let Ok(keep) = usize::try_from(self.weight + 1 + scale) else {
            self.digits = (&[], &[]);
            return false;
        };
        if keep >= self.len() {
            return false;
        }
        let (first, second) = self.digits;
        let next = first.get(keep).or_else(|| second.get(keep - first.len()));
        let up = next.is_some_and(|&digit| digit >= b'5');
        self.digits = (&first[..keep.min(first.len())], &second[..keep.saturating_sub(first.len())]);
        if up && self.digits.0.iter().chain(self.digits.1).all(|&digit| digit == b'9') {
            self.digits = (b"1", &[]);
            self.weight += 1;
            return false;
        }
        up
    }

    /// Writes nothing when it fails.
    pub(super) fn write(mut self, typmod: Option<(u16, i16)>, out: &mut Vec<u8>) -> Result<(), NumericError> {
        let mut up = false;
        if let Some((precision, scale)) = typmod {
            let (precision, scale) = (i64::from(precision), i64::from(scale));
            up = self.round(scale);
            if self.len() > 0 && self.weight + 1 > precision - scale {
                return Err(NumericError::FieldOverflow);
            }
        }
        if self.dscale > DSCALE_MAX {
            return Err(NumericError::OutOfRange);
        }
        let dscale = u16::try_from(self.dscale).map_err(|_| NumericError::OutOfRange)?;
        if self.len() == 0 {
            push_header(out, 0, 0, 0, dscale);
            return Ok(());
        }
        let weight = i16::try_from(self.weight.div_euclid(GROUP)).map_err(|_| NumericError::OutOfRange)?;
        push_header(out, 0, weight, if self.negative { NEGATIVE } else { 0 }, dscale);
        let start = out.len();
        let unit = self.push_groups(out);
        if up {
            add_carrying(&mut out[start..], unit);
        }
        while out.len() > start && out.ends_with(&[0, 0]) {
            out.truncate(out.len() - 2);
        }
        // At most 36,864 by what has been checked.
        let groups = u16::try_from((out.len() - start) / 2).unwrap_or(u16::MAX);
        out[start - HEADER..][..2].copy_from_slice(&groups.to_be_bytes());
        Ok(())
    }

    /// Appends the digits in groups of four; returns what the last decimal digit counts within its group.
    fn push_groups(&self, out: &mut Vec<u8>) -> u16 {
        let mut missing = self.weight.rem_euclid(GROUP) + 1;
        let mut group = 0;
        for digit in self.digits.0.iter().chain(self.digits.1) {
            group = group * 10 + u16::from(digit - b'0');
            missing -= 1;
            if missing == 0 {
                out.extend_from_slice(&group.to_be_bytes());
                (group, missing) = (0, GROUP);
            }
        }
        if missing == GROUP {
            return 1;
        }
        let unit = (0..missing).fold(1, |unit, _| unit * 10);
        out.extend_from_slice(&(group * unit).to_be_bytes());
        unit
    }
}

fn scan_exponent(text: &[u8]) -> Result<i64, NumericError> {
    // As strtol: white space and a sign may come first.
    let text = trim(text);
    let (negative, text) = match text {
        [b'-', rest @ ..] => (true, rest),
        [b'+', rest @ ..] => (false, rest),
        _ => (false, text),
    };
    let (digits, rest) = split_digits(text);
    if digits.is_empty() {
        return Err(NumericError::Syntax);
    }
    let add = |value: i64, digit: &u8| value.saturating_mul(10).saturating_add(i64::from(digit - b'0'));
    let value = digits.iter().fold(0, add);
    if value >= EXPONENT_END {
        return Err(NumericError::OutOfRange);
    }
    if rest.is_empty() { Ok(if negative { -value } else { value }) } else { Err(NumericError::Syntax) }
}

/// Adds to the last group; the caller has seen to it that the carry ends before the first.
fn add_carrying(groups: &mut [u8], mut carry: u16) {
    for group in groups.rchunks_exact_mut(2) {
        let sum = u16::from_be_bytes([group[0], group[1]]) + carry;
        carry = u16::from(sum >= 10_000);
        group.copy_from_slice(&(sum - 10_000 * carry).to_be_bytes());
        if carry == 0 {
            return;
        }
    }
}
