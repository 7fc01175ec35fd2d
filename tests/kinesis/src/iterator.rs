//! The opaque tokens: shard iterators and `ListShards` page tokens.
//! A token says all that is needed to go on, and a salted digest refuses what this process did not issue.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use md5::{Digest, Md5};

/// Where a reader stands in a shard.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Iterator {
    /// Stream name.
    pub stream: String,
    /// Which stream of that name, should it have been made anew.
    pub incarnation: u64,
    /// Shard index.
    pub shard: u64,
    /// Counter of the next record wanted.
    pub position: u64,
    /// When it was issued.
    pub issued_ms: u64,
    /// How many were issued before it.
    pub serial: u64,
}

/// Issues and reads tokens.
#[derive(Debug)]
pub struct Tokens {
    salt: u64,
}

const WORDS: usize = 5;
const DIGEST_BYTES: usize = 8;

impl Tokens {
    /// Tokens of another process are refused.
    pub fn new() -> Self {
        Self { salt: fastrand::u64(..) }
    }

    /// The token a client sees.
    pub fn seal(&self, kind: u8, words: [u64; WORDS], text: &str) -> String {
        let mut body = vec![0; DIGEST_BYTES];
        body.push(kind);
        for word in words {
            body.extend_from_slice(&word.to_be_bytes());
        }
        body.extend_from_slice(text.as_bytes());
        let digest = self.digest(&body[DIGEST_BYTES..]);
        body[..DIGEST_BYTES].copy_from_slice(&digest);
        STANDARD.encode(body)
    }

    /// What was sealed, or nothing.
    pub fn open(&self, kind: u8, token: &str) -> Option<([u64; WORDS], String)> {
        let body = STANDARD.decode(token).ok()?;
        let (digest, rest) = body.split_at_checked(DIGEST_BYTES)?;
        if self.digest(rest) != digest || rest.first() != Some(&kind) {
            return None;
        }
        let (words, text) = rest[1..].split_at_checked(WORDS * 8)?;
        let mut out = [0; WORDS];
        for (word, bytes) in out.iter_mut().zip(words.chunks_exact(8)) {
            *word = u64::from_be_bytes(bytes.try_into().ok()?);
        }
        Some((out, String::from_utf8(text.to_vec()).ok()?))
    }

    fn digest(&self, body: &[u8]) -> [u8; DIGEST_BYTES] {
        let full = Md5::new().chain_update(self.salt.to_be_bytes()).chain_update(body).finalize();
        let mut short = [0; DIGEST_BYTES];
        short.copy_from_slice(&full[..DIGEST_BYTES]);
        short
    }

    /// The shard iterator a client sees.
    pub fn iterator(&self, at: &Iterator) -> String {
        self.seal(b'I', [at.incarnation, at.shard, at.position, at.issued_ms, at.serial], &at.stream)
    }

    /// Reads a shard iterator back.
    pub fn open_iterator(&self, token: &str) -> Option<Iterator> {
        let ([incarnation, shard, position, issued_ms, serial], stream) = self.open(b'I', token)?;
        Some(Iterator { stream, incarnation, shard, position, issued_ms, serial })
    }
}

impl Default for Tokens {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn sample() -> Iterator {
        Iterator { stream: "clicks".into(), incarnation: 1, shard: 2, position: 3, issued_ms: 4, serial: 5 }
    }

    #[test]
    fn an_iterator_comes_back() {
        let tokens = Tokens::new();
        assert_eq!(tokens.open_iterator(&tokens.iterator(&sample())).unwrap(), sample());
    }

    #[test]
    fn foreign_and_altered_tokens_are_refused() {
        let (ours, theirs) = (Tokens { salt: 1 }, Tokens { salt: 2 });
        let token = ours.iterator(&sample());
        assert_eq!(theirs.open_iterator(&token), None);
        assert_eq!(ours.open(b'L', &token), None);
        let mut bytes = STANDARD.decode(&token).unwrap();
        *bytes.last_mut().unwrap() ^= 1;
        assert_eq!(ours.open_iterator(&STANDARD.encode(bytes)), None);
        assert_eq!(ours.open_iterator("not a token"), None);
        assert_eq!(ours.open_iterator(""), None);
    }
}
