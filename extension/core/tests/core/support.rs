//! What several test modules need.

use std::fmt::Write;

/// Lower-case hexadecimal digits, two per byte.
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        write!(text, "{byte:02x}").unwrap();
        text
    })
}

/// The reverse; spaces are for the reader.
pub fn unhex(text: &str) -> Vec<u8> {
    let digits: Vec<u32> = text.chars().filter(|c| *c != ' ').map(|c| c.to_digit(16).unwrap()).collect();
    digits.chunks(2).map(|pair| u8::try_from(pair[0] * 16 + pair[1]).unwrap()).collect()
}

/// Canonical jsonb bytes as the server prints the value: a reader that knows docs/formats.md only.
pub fn jsonb_text(bytes: &[u8]) -> String {
    let (version, mut rest) = bytes.split_first().unwrap();
    assert_eq!(*version, 1);
    let mut text = String::new();
    read_value(&mut rest, &mut text);
    assert!(rest.is_empty(), "bytes left over");
    text
}

fn read<'a>(rest: &mut &'a [u8], length: usize) -> &'a [u8] {
    let (head, tail) = rest.split_at(length);
    *rest = tail;
    head
}

fn read_length(rest: &mut &[u8]) -> usize {
    u32::from_be_bytes(read(rest, 4).try_into().unwrap()) as usize
}

fn read_string(rest: &mut &[u8], text: &mut String) {
    let length = read_length(rest);
    text.push('"');
    for char in std::str::from_utf8(read(rest, length)).unwrap().chars() {
        match char {
            '"' => text.push_str("\\\""),
            '\\' => text.push_str("\\\\"),
            '\u{8}' => text.push_str("\\b"),
            '\u{c}' => text.push_str("\\f"),
            '\n' => text.push_str("\\n"),
            '\r' => text.push_str("\\r"),
            '\t' => text.push_str("\\t"),
            '\0'..' ' => write!(text, "\\u{:04x}", u32::from(char)).unwrap(),
            _ => text.push(char),
        }
    }
    text.push('"');
}

fn read_value(rest: &mut &[u8], text: &mut String) {
    match read(rest, 1)[0] {
        0 => text.push_str("null"),
        1 => text.push_str("false"),
        2 => text.push_str("true"),
        3 => {
            let length = read_length(rest);
            text.push_str(&strata_core::numeric::to_text(read(rest, length)).unwrap());
        }
        4 => read_string(rest, text),
        tag @ (5 | 6) => {
            text.push(if tag == 5 { '[' } else { '{' });
            for nth in 0..read_length(rest) {
                if nth > 0 {
                    text.push_str(", ");
                }
                if tag == 6 {
                    read_string(rest, text);
                    text.push_str(": ");
                }
                read_value(rest, text);
            }
            text.push(if tag == 5 { ']' } else { '}' });
        }
        tag => panic!("unknown tag {tag}"),
    }
}
