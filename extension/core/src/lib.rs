//! Bytes both sides agree on: what the server stores, what the ingestor sends, what a verifier recomputes.
//!
//! Pure: no I/O, no clock, no environment, no unsafe code. Everywhere a timestamp is microseconds since
//! 2000-01-01 00:00 UTC, as in PostgreSQL, with `i64::MAX` and `i64::MIN` for plus and minus infinity.

pub mod chunk;
mod civil;
pub mod commitment;
pub mod copy;
pub mod copy_out;
pub mod digest;
pub mod encoding;
pub mod jsonb;
pub mod lthash;
pub mod merkle;
pub mod nested;
pub mod numeric;
pub mod proof;
pub mod time;
pub mod time_bucket;
pub mod wire;
