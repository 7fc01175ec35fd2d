//! The leaves of an event table as a batch needs them: which one takes which event time. Pure. Never: rows.

/// A leaf partition and the event times it takes.
#[derive(Debug, Clone)]
pub struct Leaf {
    /// Identity inside this database.
    pub oid: u32,
    /// First time.
    pub lower: i64,
    /// First time after it.
    pub upper: i64,
}

/// Leaves that the batch's times fall into, and the accepted window, as the database gave them.
#[derive(Debug, Clone)]
pub struct Layout {
    /// Sorted by time.
    pub leaves: Vec<Leaf>,
    /// Accepted times, both ends included.
    pub accepted: (i64, i64),
    /// It was asked for again after the server knew no partition for a row.
    pub confirmed: bool,
}

impl Layout {
    /// Index of the leaf that takes a time.
    pub fn leaf_of(&self, time: i64) -> Option<usize> {
        let at = self.leaves.partition_point(|leaf| leaf.lower <= time).checked_sub(1)?;
        (time < self.leaves[at].upper).then_some(at)
    }
}
