//! What a Kinesis endpoint does, said once, through the AWS SDK.
//! Runs against ours in-process, or against the one at `KINESIS_ENDPOINT`, whose known differences
//! (`KINESIS_FLAVOUR`) stand in one table, `differences`. Each check must hold, and each listed difference must exist.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod differences;
mod listing;
mod puts;
mod reads;
mod resharding;
mod streams;
mod subject;
