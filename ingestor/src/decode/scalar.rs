//! Texts of JSON values and how some become bytes: string escapes, uuid, base64, inet. Never: columns, COPY.

use super::Fault;
use std::net::IpAddr;

/// A JSON value's text by its kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Json<'a> {
    /// null
    Null,
    /// true or false
    Bool(bool),
    /// A number as it is written.
    Number(&'a str),
    /// What stands between the quotes, escapes and all.
    String(&'a str),
    /// An object or an array.
    Composite(&'a str),
    /// Characters that were never JSON.
    Plain(&'a str),
}

impl<'a> Json<'a> {
    /// Of text that is known to be one valid JSON value without white space around it.
    pub fn of(text: &'a str) -> Self {
        match text.as_bytes().first() {
            Some(b'n') | None => Self::Null,
            Some(b't') => Self::Bool(true),
            Some(b'f') => Self::Bool(false),
            Some(b'"') => Self::String(text.get(1..text.len() - 1).unwrap_or_default()),
            Some(b'{' | b'[') => Self::Composite(text),
            Some(_) => Self::Number(text),
        }
    }
}

/// The characters of a JSON string, in place where it has no escapes, else in `scratch`.
pub fn unescape<'a>(inner: &'a str, scratch: &'a mut String) -> Result<&'a str, Fault> {
    let Some(first) = inner.find('\\') else { return Ok(inner) };
    scratch.clear();
    scratch.push_str(&inner[..first]);
    let mut rest = &inner[first..];
    while let Some(at) = rest.find('\\') {
        scratch.push_str(&rest[..at]);
        let escape = rest.as_bytes().get(at + 1).copied().unwrap_or_default();
        rest = rest.get(at + 2..).unwrap_or_default();
        scratch.push(match escape {
            b'n' => '\n',
            b't' => '\t',
            b'r' => '\r',
            b'b' => '\u{8}',
            b'f' => '\u{c}',
            b'u' => unicode(&mut rest)?,
            other => char::from(other),
        });
    }
    scratch.push_str(rest);
    Ok(scratch)
}

/// The one character that text cannot hold.
pub fn nul() -> Fault {
    Fault::new("22P05", "text has the character \\u0000, which PostgreSQL cannot hold")
}

/// What follows `\u`, with a second escape where the first is half of a pair.
fn unicode(rest: &mut &str) -> Result<char, Fault> {
    let lone = || Fault::new("22P02", "text has half of a surrogate pair");
    let mut hex = || {
        let code = rest.get(..4).and_then(|digits| u32::from_str_radix(digits, 16).ok());
        *rest = rest.get(4..).unwrap_or_default();
        code
    };
    let code = match hex().ok_or_else(lone)? {
        0 => return Err(nul()),
        high @ 0xd800..=0xdbff => {
            *rest = rest.strip_prefix("\\u").ok_or_else(lone)?;
            let low =
                rest.get(..4).and_then(|digits| u32::from_str_radix(digits, 16).ok()).ok_or_else(lone)?;
            *rest = rest.get(4..).unwrap_or_default();
            if !(0xdc00..=0xdfff).contains(&low) {
                return Err(lone());
            }
            0x1_0000 + ((high - 0xd800) << 10) + (low - 0xdc00)
        }
        code => code,
    };
    char::from_u32(code).ok_or_else(lone)
}

/// 32 hexadecimal digits, with hyphens in the four usual places or none.
pub fn uuid(text: &str) -> Option<[u8; 16]> {
    let bytes = text.as_bytes();
    let mut out = [0; 16];
    let mut at = 0;
    for (i, slot) in out.iter_mut().enumerate() {
        if bytes.len() == 36 && matches!(i, 4 | 6 | 8 | 10) {
            if bytes[at] != b'-' {
                return None;
            }
            at += 1;
        }
        let high = NIBBLES[usize::from(*bytes.get(at)?)];
        let low = NIBBLES[usize::from(*bytes.get(at + 1)?)];
        if high | low > 15 {
            return None;
        }
        *slot = (high << 4) | low;
        at += 2;
    }
    (at == bytes.len()).then_some(out)
}

/// Value of each hexadecimal digit; 255 for any other byte. Most event rows have a uuid or two.
const NIBBLES: [u8; 256] = {
    let mut table = [255; 256];
    let mut value: u8 = 0;
    while value < 16 {
        table[b"0123456789abcdef"[value as usize] as usize] = value;
        table[b"0123456789ABCDEF"[value as usize] as usize] = value;
        value += 1;
    }
    table
};

/// The wire format of `inet`, or of `cidr`, which must have no bits set to the right of its mask.
pub fn inet(text: &str, cidr: bool, out: &mut Vec<u8>) -> Option<()> {
    let (address, bits) = match text.split_once('/') {
        Some((address, bits)) if bits.bytes().all(|b| b.is_ascii_digit()) && bits.len() <= 3 => {
            (address, Some(bits.parse::<u8>().ok()?))
        }
        Some(_) => return None,
        None => (text, None),
    };
    let (family, octets, full) = match address.parse().ok()? {
        IpAddr::V4(v4) => (2, v4.octets().to_vec(), 32),
        IpAddr::V6(v6) => (3, v6.octets().to_vec(), 128),
    };
    let bits = bits.unwrap_or(full);
    if bits > full {
        return None;
    }
    let beyond = |i: usize| (0..8).any(|b| octets[i] & (0x80 >> b) != 0 && i * 8 + b >= usize::from(bits));
    if cidr && (0..octets.len()).any(beyond) {
        return None;
    }
    out.extend_from_slice(&[family, bits, u8::from(cidr), u8::try_from(octets.len()).ok()?]);
    out.extend_from_slice(&octets);
    Some(())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use proptest::prelude::*;

    fn plain(inner: &str) -> Result<String, &'static str> {
        unescape(inner, &mut String::new()).map(str::to_owned).map_err(|f| f.sqlstate)
    }

    #[test]
    fn escapes() {
        assert_eq!(plain(r#"a\n\"\\\/\u00e9\ud83d\ude00z"#).unwrap(), "a\n\"\\/é😀z");
        assert_eq!(plain(r"\u0000"), Err("22P05"));
        for lone in [r"\ud83d", r"\ude00", r"\ud83dx", r"\ud83d\u0041", r"\ud83d\n"] {
            assert_eq!(plain(lone), Err("22P02"), "{lone}");
        }
    }

    #[test]
    fn uuids() {
        let expected = *b"\x12\x34\x56\x78\x9a\xbc\xde\xf0\x12\x34\x56\x78\x9a\xbc\xde\xf0";
        assert_eq!(uuid("12345678-9abc-def0-1234-56789ABCDEF0"), Some(expected));
        assert_eq!(uuid("123456789abcdef0123456789abcdef0"), Some(expected));
        for bad in ["", "12345678-9abc-def0-1234-56789abcdef", "12345678x9abc-def0-1234-56789abcdef0"] {
            assert_eq!(uuid(bad), None, "{bad}");
        }
        assert_eq!(uuid("g2345678-9abc-def0-1234-56789abcdef0"), None);
        assert_eq!(uuid("123456789abcdef0123456789abcdef01"), None);
        assert_eq!(uuid("12345678-9abc-def0-1234-56789abcdé0"), None);
    }

    #[test]
    fn addresses() {
        let wire = |text, cidr| {
            let mut out = Vec::new();
            inet(text, cidr, &mut out).map(|()| out)
        };
        assert_eq!(wire("10.0.0.1", false).unwrap(), [2, 32, 0, 4, 10, 0, 0, 1]);
        assert_eq!(wire("10.0.0.0/9", true).unwrap(), [2, 9, 1, 4, 10, 0, 0, 0]);
        assert_eq!(wire("10.0.0.1/9", true), None);
        assert_eq!(wire("::1", false).unwrap()[..4], [3, 128, 0, 16]);
        for bad in ["10.0.0", "10.0.0.1/33", "10.0.0.1/+8", "x"] {
            assert_eq!(wire(bad, false), None, "{bad}");
        }
    }

    proptest! {
        #[test]
        fn unescape_agrees_with_serde(text in any::<String>()) {
            let json = serde_json::to_string(&text).unwrap();
            let expected = if text.contains('\0') { Err("22P05") } else { Ok(text) };
            prop_assert_eq!(plain(&json[1..json.len() - 1]), expected);
        }
    }
}
