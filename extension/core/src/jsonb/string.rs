//! JSON strings: escapes resolved, and refused where the server refuses them.

use super::{JsonbError, LENGTH, Writer};

impl Writer<'_> {
    /// Writes the string that begins here: its length and its UTF-8 bytes.
    pub(super) fn string(&mut self) -> Result<(), JsonbError> {
        self.at += 1;
        let length = self.reserve_length();
        loop {
            let rest = &self.text.as_bytes()[self.at..];
            let Some(plain) = rest.iter().position(|&byte| byte == b'"' || byte == b'\\' || byte < b' ')
            else {
                return Err(JsonbError::Syntax(self.text.len()));
            };
            self.out.extend_from_slice(&rest[..plain]);
            self.at += plain;
            match rest[plain] {
                b'"' => break,
                b'\\' => self.escape()?,
                _ => return Err(self.syntax()),
            }
        }
        self.at += 1;
        self.set_length(length, self.out.len() - length - LENGTH);
        Ok(())
    }

    fn escape(&mut self) -> Result<(), JsonbError> {
        let start = self.at;
        let plain = match self.text.as_bytes().get(start + 1) {
            Some(&byte @ (b'"' | b'\\' | b'/')) => byte,
            Some(b'b') => 0x08,
            Some(b'f') => 0x0c,
            Some(b'n') => b'\n',
            Some(b'r') => b'\r',
            Some(b't') => b'\t',
            Some(b'u') => return self.unicode(start),
            _ => return Err(self.syntax()),
        };
        self.out.push(plain);
        self.at += 2;
        Ok(())
    }

    fn unicode(&mut self, start: usize) -> Result<(), JsonbError> {
        let high = self.code_unit()?;
        let code = match high {
            0xd800..=0xdbff => match self.code_unit() {
                Ok(low @ 0xdc00..=0xdfff) => 0x1_0000 + ((high - 0xd800) << 10) + (low - 0xdc00),
                _ => return Err(JsonbError::Surrogate(start)),
            },
            _ => high,
        };
        match char::from_u32(code) {
            Some('\0') => Err(JsonbError::Nul(start)),
            Some(char) => {
                self.out.extend_from_slice(char.encode_utf8(&mut [0; 4]).as_bytes());
                Ok(())
            }
            None => Err(JsonbError::Surrogate(start)),
        }
    }

    /// Takes `\uXXXX`.
    fn code_unit(&mut self) -> Result<u32, JsonbError> {
        let Some([b'\\', b'u', digits @ ..]) = self.text.as_bytes().get(self.at..self.at + 6) else {
            return Err(self.syntax());
        };
        let mut unit = 0;
        for &digit in digits {
            unit = unit * 16 + char::from(digit).to_digit(16).ok_or_else(|| self.syntax())?;
        }
        self.at += 6;
        Ok(unit)
    }
}
