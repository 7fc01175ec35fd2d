//! The decoders of the sidecar that bytes of strangers reach first, compiled from where they are: it is a program and has no
//! library.
#![allow(dead_code)]

#[path = "../../../ingestor/src/error.rs"]
pub mod error;

pub mod decode;
