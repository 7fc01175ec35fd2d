//! What spans of the pipeline are called for: a page with its fetch and decode, a batch with its copy and commit. They cost a
//! look at a flag where nobody listens, which only a build with the feature `otel` does. Never: logs.

/// The target of these spans. Logs leave it out.
pub const TARGET: &str = "strata::traces";

/// A count as OpenTelemetry has numbers, which has no unsigned ones.
pub fn count(n: usize) -> i64 {
    i64::try_from(n).unwrap_or(i64::MAX)
}
