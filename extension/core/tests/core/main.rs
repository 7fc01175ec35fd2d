//! What strata-core promises, one module per module of it.
//!
//! One binary, because linking is slow. Golden vectors made by a server stand in `tests/data`.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod chunk;
mod copy;
mod digest;
mod encoding;
mod formats;
mod jsonb;
mod lthash;
mod merkle;
mod nested;
mod numeric;
mod proof;
mod support;
mod time;
mod time_bucket;
mod zones;
