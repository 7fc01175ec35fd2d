//! What pending rows and marks reach, in whole partitions: only what changes seldom may stand in a kept statement.
//! Pure but for its types.

use super::cache::{Bounds, Entry, Exact};

#[derive(Debug, PartialEq, Eq)]
pub enum Reach {
    Nothing,
    /// Buckets from the first on and before the second may differ from what is stored.
    Buckets((i64, i64), Exact),
    /// Too much to keep statements for: times that are not known, or no reader to read with.
    Unknown,
}

pub fn reach(entry: &Entry, pending: Option<(i64, i64)>, marks: Option<(i64, i64)>) -> Reach {
    // a group that a pending row belongs to begins and ends within a bucket's length of it
    let span = entry.span;
    let groups = [pending.map(|(lower, upper)| (lower.saturating_sub(span), upper)), marks];
    let low = groups.iter().flatten().map(|group| group.0).min();
    let high = groups.iter().flatten().map(|group| group.1).max();
    let (Some(low), Some(high)) = (low, high) else { return Reach::Nothing };
    if entry.reader.is_none() {
        // it may be there the next time
        entry.stale.set(true);
        return Reach::Unknown;
    }
    let known = |(lower, upper): (i64, i64)| lower > i64::MIN && upper < i64::MAX;
    if !pending.into_iter().chain(marks).all(known) {
        return Reach::Unknown;
    }
    // bounds in the wrong order where there is nothing
    let rows = pending.map_or((i64::MAX, i64::MIN), |times| widened(&entry.rows, times));
    let (lower, upper) = widened(&entry.stored, (low, high));
    let exact = Exact {
        pending: rows,
        marked: marks.is_some(),
        changed: widened(&entry.rows, (low, high.saturating_add(span))),
    };
    Reach::Buckets((lower, upper.saturating_add(1)), exact)
}

/// Times widened to the bounds of the partitions they lie in, or of the gaps between; both inclusive.
fn widened(partitions: &Bounds, (lower, upper): (i64, i64)) -> (i64, i64) {
    let from = partitions
        .iter()
        .flat_map(|&(low, high)| [low, high])
        .take_while(|&bound| bound <= lower)
        .last()
        .unwrap_or(i64::MIN);
    let to = partitions
        .iter()
        .flat_map(|&(low, high)| [low, high])
        .find(|&bound| bound > upper)
        .map_or(i64::MAX, |bound| if bound == i64::MAX { bound } else { bound - 1 });
    (from, to)
}
