//! Why one value, and with it one record, cannot be stored.

use std::borrow::Cow;

/// Why one value, and with it one record, cannot be stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// What PostgreSQL would say.
    pub sqlstate: &'static str,
    /// For a person.
    pub reason: Cow<'static, str>,
}

impl Fault {
    /// A fault with its SQLSTATE.
    pub fn new(sqlstate: &'static str, reason: impl Into<Cow<'static, str>>) -> Self {
        Self { sqlstate, reason: reason.into() }
    }
}
