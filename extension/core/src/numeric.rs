//! `numeric`: text to the bytes the server stores, and back.

/// Why a text is no numeric value of the wanted type.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NumericError {
    /// Not the text of a number (SQLSTATE 22P02).
    #[error("invalid input syntax for type numeric")]
    Syntax,
    /// More digits than `numeric` can hold (SQLSTATE 22003).
    #[error("value overflows numeric format")]
    OutOfRange,
    /// More digits than the column's precision and scale allow (SQLSTATE 22003).
    #[error("numeric field overflow")]
    FieldOverflow,
    /// Not the wire format of a numeric (SQLSTATE 22P03).
    #[error("invalid binary representation of numeric")]
    Wire,
}

/// Text to wire bytes exactly as `numeric_in` of a column with this (precision, scale) stores them.
pub fn parse(text: &str, typmod: Option<(u16, i16)>) -> Result<Vec<u8>, NumericError> {
    let mut out = Vec::new();
    parse_into(text, typmod, &mut out)?;
    Ok(out)
}

/// [`parse`], appending to `out`, which is left as it was when that fails.
pub fn parse_into(_text: &str, _typmod: Option<(u16, i16)>, _out: &mut Vec<u8>) -> Result<(), NumericError> {
    Err(NumericError::Syntax)
}

/// (precision, scale) of a column's `atttypmod`; `None` for a plain `numeric`.
pub fn typmod(_atttypmod: i32) -> Option<(u16, i16)> {
    None
}

/// The text `numeric_out` prints for wire bytes.
pub fn to_text(_wire: &[u8]) -> Result<String, NumericError> {
    Err(NumericError::Wire)
}
