//! What only our endpoint can do: faults on order, the service's rates, and time that a test moves.
//! Driven through the AWS SDK where a consumer would feel it, so that a fault is what it says on the wire.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod control;
mod fanout;
mod faults;
mod program;
mod rates;
mod subject;
mod time;
