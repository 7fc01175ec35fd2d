//! Channel binding for SCRAM-SHA-256-PLUS: what RFC 5929 calls tls-server-end-point, the digest of the server's
//! certificate, by the digest its signature was made with. Pure.

use sha2::{Digest, Sha256, Sha384, Sha512};

/// Tags of DER.
const OID: u8 = 0x06;
const SEQUENCE: u8 = 0x30;
/// What the identifiers of signatures begin with: 1.2.840.113549.1.1 and 1.2.840.10045.4.
const RSA: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01];
const ECDSA: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04];

/// The digest of a certificate in DER; `None` where its signature has no digest of its own, as Ed25519, or is not known.
pub fn server_end_point(certificate: &[u8]) -> Option<Vec<u8>> {
    let (parts, _) = element(SEQUENCE, certificate)?;
    let (_, rest) = element(SEQUENCE, parts)?;
    let (algorithm, _) = element(SEQUENCE, rest)?;
    let (oid, _) = element(OID, algorithm)?;
    let bits = match (oid.strip_prefix(RSA), oid.strip_prefix(ECDSA)) {
        // MD5 and SHA-1 give way to SHA-256 (RFC 5929, 4.1).
        (Some([4 | 5 | 11]), _) | (_, Some([1] | [3, 2])) => 256,
        (Some([12]), _) | (_, Some([3, 3])) => 384,
        (Some([13]), _) | (_, Some([3, 4])) => 512,
        _ => return None,
    };
    Some(match bits {
        256 => Sha256::digest(certificate).to_vec(),
        384 => Sha384::digest(certificate).to_vec(),
        _ => Sha512::digest(certificate).to_vec(),
    })
}

/// The content of an element, and what comes after it.
fn element(tag: u8, bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (found, rest) = bytes.split_first()?;
    let (first, rest) = rest.split_first()?;
    let (length, rest) = match *first {
        short @ 0..0x80 => (usize::from(short), rest),
        long => {
            let (digits, rest) = rest.split_at_checked(usize::from(long & 0x7f))?;
            if digits.is_empty() || digits.len() > 4 {
                return None;
            }
            (digits.iter().fold(0, |length, digit| length << 8 | usize::from(*digit)), rest)
        }
    };
    (*found == tag).then(|| rest.split_at_checked(length))?
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wrapped(tag: u8, content: &[u8]) -> Vec<u8> {
        let length = u16::try_from(content.len()).unwrap_or_default().to_be_bytes();
        [&[tag, 0x82], &length[..], content].concat()
    }

    #[test]
    fn the_digest_is_that_of_the_signature() {
        let certificate = |prefix: &[u8], rest: &[u8]| {
            let algorithm = wrapped(SEQUENCE, &wrapped(OID, &[prefix, rest].concat()));
            wrapped(SEQUENCE, &[wrapped(SEQUENCE, &[0; 300]), algorithm, vec![3, 1, 0]].concat())
        };
        let length = |prefix: &[u8], rest: &[u8]| {
            server_end_point(&certificate(prefix, rest)).map(|digest| digest.len())
        };
        assert_eq!([5, 11, 12, 13].map(|kind| length(RSA, &[kind])), [32, 32, 48, 64].map(Some));
        assert_eq!([1, 2, 3, 4].map(|kind| length(ECDSA, &[3, kind])), [None, Some(32), Some(48), Some(64)]);
        // RSASSA-PSS, and Ed25519.
        assert_eq!((length(RSA, &[10]), length(&[0x2b, 0x65], &[0x70])), (None, None));
        let sound = certificate(RSA, &[11]);
        assert_eq!(server_end_point(&sound), Some(Sha256::digest(&sound).to_vec()));
        assert!((0..sound.len() - 8).all(|end| server_end_point(&sound[..end]).is_none()), "cut short");
    }
}
