//! As `decode` of the sidecar.

#[path = "../../../ingestor/src/decode/compression.rs"]
pub mod compression;
#[path = "../../../ingestor/src/decode/fault.rs"]
mod fault;
#[path = "../../../ingestor/src/decode/gzip.rs"]
pub mod gzip;
#[path = "../../../ingestor/src/decode/json.rs"]
pub mod json;
#[path = "../../../ingestor/src/decode/kpl.rs"]
pub mod kpl;
#[path = "../../../ingestor/src/decode/path.rs"]
pub mod path;
#[path = "../../../ingestor/src/decode/scalar.rs"]
pub mod scalar;

pub use fault::Fault;
