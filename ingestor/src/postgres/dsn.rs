//! The TLS parameters of a connection string, which the driver does not know: taken out of it and read here, as libpq
//! means them. Never: connections, files.

use crate::error::{Error, Result};

/// How much of TLS is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum SslMode {
    /// None.
    Disable,
    /// TLS where the server has it.
    Prefer,
    /// TLS, with whoever answers.
    Require,
    /// A certificate of a known authority.
    VerifyCa,
    /// That, for the host's name.
    VerifyFull,
}

/// What was said about TLS.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TlsParameters {
    /// `sslmode`
    pub mode: Option<String>,
    /// `sslrootcert`
    pub root: Option<String>,
    /// `sslcert`
    pub certificate: Option<String>,
    /// `sslkey`
    pub key: Option<String>,
}

impl TlsParameters {
    /// What holds where others are silent.
    #[must_use]
    pub fn or(self, other: Self) -> Self {
        Self {
            mode: self.mode.or(other.mode),
            root: self.root.or(other.root),
            certificate: self.certificate.or(other.certificate),
            key: self.key.or(other.key),
        }
    }

    /// The mode, by libpq's rules: one that trusts an authority never trusts anybody.
    pub fn mode(&self) -> Result<SslMode> {
        let mode = match self.mode.as_deref() {
            None if self.root.as_deref() == Some("system") => SslMode::VerifyFull,
            None | Some("prefer" | "allow") => SslMode::Prefer,
            Some("disable") => SslMode::Disable,
            Some("require") if self.root.is_some() => SslMode::VerifyCa,
            Some("require") => SslMode::Require,
            Some("verify-ca") => SslMode::VerifyCa,
            Some("verify-full") => SslMode::VerifyFull,
            Some(other) => {
                return Err(Error::usage(format!(
                    "sslmode \"{other}\" is none of disable, allow, prefer, require, verify-ca, verify-full"
                )));
            }
        };
        Ok(mode)
    }

    fn slot(&mut self, name: &str) -> Option<&mut Option<String>> {
        match name {
            "sslmode" => Some(&mut self.mode),
            "sslrootcert" => Some(&mut self.root),
            "sslcert" => Some(&mut self.certificate),
            "sslkey" => Some(&mut self.key),
            _ => None,
        }
    }
}

/// Takes the TLS parameters out of a connection string; the rest is the driver's.
pub fn take_tls(dsn: &str) -> (String, TlsParameters) {
    let mut found = TlsParameters::default();
    let is_url = dsn.starts_with("postgres://") || dsn.starts_with("postgresql://");
    let rest = if is_url { take_from_url(dsn, &mut found) } else { take_from_words(dsn, &mut found) };
    (rest, found)
}

fn take_from_url(dsn: &str, found: &mut TlsParameters) -> String {
    let Some((before, query)) = dsn.split_once('?') else { return dsn.to_owned() };
    let mut left = Vec::new();
    for pair in query.split('&') {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        match found.slot(name) {
            Some(slot) => *slot = Some(percent_decoded(value)),
            None => left.push(pair),
        }
    }
    if left.is_empty() { before.to_owned() } else { format!("{before}?{}", left.join("&")) }
}

fn percent_decoded(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&byte, after)) = rest.split_first() {
        let code = after.get(..2).and_then(|digits| std::str::from_utf8(digits).ok());
        let decoded = code.and_then(|digits| u8::from_str_radix(digits, 16).ok()).filter(|_| byte == b'%');
        bytes.push(decoded.unwrap_or(byte));
        rest = if decoded.is_some() { after.get(2..).unwrap_or_default() } else { after };
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

/// `name = value` pairs, values quoted where they must be. What is not understood is left for the driver to refuse.
fn take_from_words(dsn: &str, found: &mut TlsParameters) -> String {
    let mut left = String::new();
    let mut rest = dsn.trim_start();
    while !rest.is_empty() {
        let Some((name, after)) = rest.split_once('=') else {
            left.push_str(rest);
            break;
        };
        let (value, after) = word(after.trim_start());
        if let Some(slot) = found.slot(name.trim()) {
            *slot = Some(value);
        } else {
            left.push_str(&rest[..rest.len() - after.len()]);
            left.push(' ');
        }
        rest = after.trim_start();
    }
    left.trim_end().to_owned()
}

/// A value and what follows it.
fn word(text: &str) -> (String, &str) {
    let quoted = text.starts_with('\'');
    let mut value = String::new();
    let mut characters = text.char_indices().skip(usize::from(quoted));
    while let Some((at, c)) = characters.next() {
        match c {
            '\\' => value.extend(characters.next().map(|(_, c)| c)),
            '\'' if quoted => return (value, &text[at + 1..]),
            c if !quoted && c.is_whitespace() => return (value, &text[at..]),
            c => value.push(c),
        }
    }
    (value, "")
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn taken(dsn: &str) -> (String, TlsParameters) {
        take_tls(dsn)
    }

    #[test]
    fn parameters_leave_both_kinds_of_strings() {
        let (rest, tls) =
            taken("postgresql://u:p%20w@h/db?sslmode=verify-full&application_name=x&sslrootcert=/a%20b.pem");
        assert_eq!(rest, "postgresql://u:p%20w@h/db?application_name=x");
        assert_eq!((tls.mode.as_deref(), tls.root.as_deref()), (Some("verify-full"), Some("/a b.pem")));
        assert_eq!(taken("postgres://h/db?sslmode=require").0, "postgres://h/db");
        let (rest, tls) = taken(
            r"host=h  password='it\'s = a secret' sslmode = verify-ca sslcert='/c d' sslkey=/k dbname=x",
        );
        assert_eq!(rest, r"host=h password='it\'s = a secret' dbname=x");
        assert_eq!(tls.mode().unwrap(), SslMode::VerifyCa);
        assert_eq!((tls.certificate.as_deref(), tls.key.as_deref()), (Some("/c d"), Some("/k")));
        for untouched in ["", "host=h", "postgres://h", "nonsense", "host = 'unclosed"] {
            assert_eq!(taken(untouched), (untouched.to_owned(), TlsParameters::default()), "{untouched}");
        }
    }

    #[test]
    fn modes_are_those_of_libpq() {
        let mode = |dsn: &str| taken(dsn).1.mode().map_err(|e| e.message);
        assert_eq!(mode("host=h"), Ok(SslMode::Prefer));
        assert_eq!(mode("sslrootcert=system"), Ok(SslMode::VerifyFull));
        assert_eq!(mode("sslmode=require"), Ok(SslMode::Require));
        assert_eq!(mode("sslmode=require sslrootcert=/ca"), Ok(SslMode::VerifyCa));
        assert!(mode("sslmode=verify_full").unwrap_err().contains("verify-full"));
    }
}
