//! Faults on order: which call goes wrong next, how, and how often.
//! Rules are asked once per call (once per entry for refused `PutRecords` entries); a fault never changes stored records.

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};

use serde::Deserialize;

use crate::error::{Refusal, Result};
use crate::stream::lock;

/// How a call goes wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// `ProvisionedThroughputExceededException`.
    Throttle,
    /// The same for single entries of `PutRecords`; `count` counts entries.
    ThrottleEntries,
    /// `ExpiredIteratorException`.
    Expire,
    /// HTTP 500.
    InternalError,
    /// A `GetRecords` page without records that leads on to them.
    Empty,
    /// A `GetRecords` page whose next iterator delivers it again.
    Duplicate,
    /// The connection is reset before anything is done.
    Reset,
    /// It is done, then the connection is reset instead of an answer.
    ResetAfter,
    /// Half the body, then a reset.
    CutBody,
    /// The body in small pieces, `delay_ms` between them.
    SlowBody,
}

impl Kind {
    /// Whether a call of this operation can go wrong in this way.
    pub fn fits(self, operation: &str) -> bool {
        match self {
            Self::Empty | Self::Duplicate | Self::Expire => operation == "GetRecords",
            Self::ThrottleEntries => operation == "PutRecords",
            _ => true,
        }
    }
}

/// A fault, the calls it is for, and how many of them.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rule {
    /// Operation name; all if absent.
    pub operation: Option<String>,
    /// Stream name; all if absent.
    pub stream: Option<String>,
    /// Shard id; all if absent.
    pub shard: Option<String>,
    /// Matching calls to let through first.
    #[serde(default)]
    pub after: u64,
    /// Calls that go wrong.
    #[serde(default = "one")]
    pub count: u64,
    /// How.
    pub kind: Kind,
    /// Pause between pieces of a slow body.
    #[serde(default)]
    pub delay_ms: u64,
}

fn one() -> u64 {
    1
}

/// How an answer travels.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Transport {
    /// At once.
    #[default]
    Plain,
    /// In pieces with this pause.
    Slow(u64),
    /// Half of it.
    Cut,
    /// Not at all.
    Reset,
}

/// What is left for the operation and the transport to do.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Effect {
    /// Give no records.
    pub empty: bool,
    /// Lead back to the start of the page.
    pub duplicate: bool,
    /// How the answer travels.
    pub transport: Transport,
}

/// What a call is about.
#[derive(Debug, Clone, Copy)]
pub struct Target<'a> {
    /// Operation name.
    pub operation: &'a str,
    /// Stream name.
    pub stream: &'a str,
    /// Shard id, where the operation is about one.
    pub shard: Option<&'a str>,
}

/// The rules in force.
#[derive(Debug, Default)]
pub struct Faults {
    any: AtomicBool,
    rules: Mutex<Vec<Rule>>,
}

impl Rule {
    fn matches(&self, target: Target<'_>) -> bool {
        let is = |wanted: &Option<String>, got: Option<&str>| {
            wanted.as_deref().is_none_or(|wanted| got == Some(wanted))
        };
        self.kind.fits(target.operation)
            && is(&self.operation, Some(target.operation))
            && is(&self.stream, Some(target.stream))
            && is(&self.shard, target.shard)
    }
}

impl Faults {
    /// Adds a rule behind the others.
    pub fn add(&self, rule: Rule) {
        lock(&self.rules).push(rule);
        self.any.store(true, Ordering::Release);
    }

    /// Forgets all rules.
    pub fn clear(&self) {
        lock(&self.rules).clear();
        self.any.store(false, Ordering::Release);
    }

    /// Faults not yet used up.
    pub fn pending(&self) -> u64 {
        lock(&self.rules).iter().map(|rule| rule.count).sum()
    }

    fn take(&self, target: Target<'_>, entries: bool) -> Option<Rule> {
        if !self.any.load(Ordering::Acquire) {
            return None;
        }
        let mut rules = lock(&self.rules);
        let position = rules
            .iter()
            .position(|rule| (rule.kind == Kind::ThrottleEntries) == entries && rule.matches(target))?;
        let rule = rules.get_mut(position)?;
        if rule.after > 0 {
            rule.after -= 1;
            return None;
        }
        rule.count -= 1;
        let taken = rule.clone();
        rules.retain(|rule| rule.count > 0);
        self.any.store(!rules.is_empty(), Ordering::Release);
        Some(taken)
    }

    /// Called once per call, before it is carried out.
    pub fn strike(&self, target: Target<'_>) -> Result<Effect> {
        let mut effect = Effect::default();
        let Some(rule) = self.take(target, false) else {
            return Ok(effect);
        };
        match rule.kind {
            Kind::Throttle => return Err(Refusal::throttled("Rate exceeded (injected).")),
            Kind::Expire => return Err(Refusal::expired_iterator("Iterator expired (injected).")),
            Kind::InternalError => return Err(Refusal::internal()),
            Kind::Reset => return Err(Refusal::reset()),
            Kind::Empty => effect.empty = true,
            Kind::Duplicate => effect.duplicate = true,
            Kind::ResetAfter => effect.transport = Transport::Reset,
            Kind::CutBody => effect.transport = Transport::Cut,
            Kind::SlowBody => effect.transport = Transport::Slow(rule.delay_ms),
            Kind::ThrottleEntries => {}
        }
        Ok(effect)
    }

    /// Called once per entry of `PutRecords`.
    pub fn strikes_entry(&self, target: Target<'_>) -> bool {
        self.take(target, true).is_some()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn rule(json: &str) -> Rule {
        serde_json::from_str(json).unwrap()
    }

    fn get(shard: &str) -> Target<'_> {
        Target { operation: "GetRecords", stream: "s", shard: Some(shard) }
    }

    #[test]
    fn a_rule_lets_some_pass_then_strikes_count_times() {
        let faults = Faults::default();
        faults.add(rule(r#"{"operation":"GetRecords","after":1,"count":2,"kind":"throttle"}"#));
        let refused: Vec<_> = (0..4).map(|_| faults.strike(get("a")).is_err()).collect();
        assert_eq!(refused, [false, true, true, false]);
        assert_eq!(faults.pending(), 0);
    }

    #[test]
    fn a_rule_strikes_its_shard_only() {
        let faults = Faults::default();
        faults.add(rule(r#"{"shard":"b","kind":"empty"}"#));
        assert!(!faults.strike(get("a")).unwrap().empty);
        assert!(faults.strike(get("b")).unwrap().empty);
        assert!(!faults.strike(get("b")).unwrap().empty);
    }

    #[test]
    fn entry_rules_do_not_strike_calls() {
        let faults = Faults::default();
        let put = Target { operation: "PutRecords", ..get("a") };
        faults.add(rule(r#"{"kind":"throttle_entries"}"#));
        assert_eq!(faults.strike(put).unwrap(), Effect::default());
        assert!(faults.strikes_entry(put));
        assert!(!faults.strikes_entry(put));
    }
}
