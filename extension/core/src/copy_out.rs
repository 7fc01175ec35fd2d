//! PostgreSQL's COPY BINARY format, read: a stream that comes in pieces, cut into rows, and rows into fields.

/// What every stream begins with.
const SIGNATURE: &[u8; 11] = b"PGCOPY\n\xff\r\n\0";
/// Signature, flags, length of the header's extension.
const HEADER_BYTES: usize = 19;
/// The column count of the trailer.
const TRAILER: i16 = -1;

/// What came is no COPY BINARY stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a COPY BINARY stream")]
pub struct CopyOutError;

/// Cuts a stream into rows.
#[derive(Debug, Default)]
pub struct CopyOut {
    rest: Vec<u8>,
    begun: bool,
    ended: bool,
}

impl CopyOut {
    /// Takes the next piece and hands each row that is whole to `take`: its fields as [`fields`] reads them.
    ///
    /// # Errors
    ///
    /// [`CopyOutError`]
    pub fn feed(&mut self, piece: &[u8], mut take: impl FnMut(&[u8])) -> Result<(), CopyOutError> {
        // (nearly always a piece is one whole row)
        let mut kept = std::mem::take(&mut self.rest);
        let mut bytes = if kept.is_empty() {
            piece
        } else {
            kept.extend_from_slice(piece);
            &kept
        };
        if !self.begun {
            if bytes.len() < HEADER_BYTES {
                self.rest = bytes.to_vec();
                return Ok(());
            }
            let (header, rest) = bytes.split_at(HEADER_BYTES);
            // flags that say how to read what follows, and extensions, there are none of
            if !header.starts_with(SIGNATURE) || header[SIGNATURE.len()..].iter().any(|byte| *byte != 0) {
                return Err(CopyOutError);
            }
            (self.begun, bytes) = (true, rest);
        }
        while !bytes.is_empty() {
            if self.ended {
                return Err(CopyOutError);
            }
            let Some(length) = row_length(bytes)? else { break };
            let (row, rest) = bytes.split_at(length);
            if row.len() == 2 && row == TRAILER.to_be_bytes() {
                self.ended = true;
            } else {
                take(row);
            }
            bytes = rest;
        }
        self.rest = bytes.to_vec();
        Ok(())
    }

    /// Whether the stream has come to its end as it should.
    pub fn is_whole(&self) -> bool {
        self.ended && self.rest.is_empty()
    }
}

/// Bytes of the row that `bytes` begin with; `None` if they do not reach.
fn row_length(bytes: &[u8]) -> Result<Option<usize>, CopyOutError> {
    let Some((count, _)) = bytes.split_first_chunk::<2>() else { return Ok(None) };
    let count = i16::from_be_bytes(*count);
    let mut at = 2;
    if count == TRAILER {
        return Ok(Some(at));
    }
    for _ in 0..u16::try_from(count).map_err(|_| CopyOutError)? {
        let Some(length) = bytes.get(at..).and_then(|rest| rest.first_chunk::<4>()) else { return Ok(None) };
        at += 4;
        match i32::from_be_bytes(*length) {
            -1 => {}
            length => at += usize::try_from(length).map_err(|_| CopyOutError)?,
        }
    }
    Ok((at <= bytes.len()).then_some(at))
}

/// The fields of a row that [`CopyOut::feed`] has cut; `None` is NULL.
pub fn fields(row: &[u8]) -> impl Iterator<Item = Option<&[u8]>> {
    let mut rest = row.get(2..).unwrap_or_default();
    std::iter::from_fn(move || {
        let (length, after) = rest.split_first_chunk::<4>()?;
        let Ok(length) = usize::try_from(i32::from_be_bytes(*length)) else {
            rest = after;
            return Some(None);
        };
        let (value, after) = after.split_at_checked(length)?;
        rest = after;
        Some(Some(value))
    })
}
