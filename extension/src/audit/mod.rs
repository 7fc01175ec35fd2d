//! The audit log inside a backend: the trigger that takes down what rows come and go, the scan that says what rows there
//! are. What a chunk's bytes mean is strata-core's; the log itself is SQL's.

mod births;
mod chunks;
mod compare;
mod history;
mod keys;
mod log;
mod partition;
mod record;
mod replay;
mod salts;
mod scan;
mod segment;
mod spi;
mod target;
mod trigger;
mod write;

pub use partition::Expiry;
pub use segment::{on_subtransaction, on_transaction};
pub use target::register_callbacks;
