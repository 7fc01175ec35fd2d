//! Which shards of a stream may be read now, by their family tree: parents before children. Pure. Never: I/O.

use crate::postgres::leases::KnownShard;
use crate::stream::Shard;
use std::collections::{HashMap, HashSet};
use strata_core::time::{format_timestamptz, parse_timestamptz};

/// What a persisted position begins with when it is a time.
pub const AT: &str = "AT:";
/// The other persisted position.
pub const TRIM_HORIZON: &str = "TRIM_HORIZON";

/// Where reading of the whole stream began, or begins.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    /// All shards there are.
    TrimHorizon,
    /// These shards at a time, and what comes of them.
    At(i64, HashSet<String>),
}

/// A shard to claim, and the position it begins at when it is new.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wanted {
    /// The shard.
    pub shard: String,
    /// As it is persisted.
    pub position: String,
}

/// The time of a persisted position, where it is one.
pub fn time_of(position: &str) -> Option<i64> {
    parse_timestamptz(position.strip_prefix(AT)?).ok()
}

/// The shards the database does not know that may be read now, and how many must wait for their parents.
pub fn plan(listed: &[Shard], known: &HashMap<String, KnownShard>, origin: &Origin) -> (Vec<Wanted>, usize) {
    let ids: HashSet<&str> = listed.iter().map(|s| s.id.as_str()).collect();
    // What is ever to be read: the roots, what is known, and all that came of them.
    let mut to_read: HashSet<&str> = match origin {
        Origin::TrimHorizon => ids.clone(),
        Origin::At(_, roots) => ids.iter().copied().filter(|id| roots.contains(*id)).collect(),
    };
    to_read.extend(known.keys().map(String::as_str));
    loop {
        let before = to_read.len();
        let come = listed.iter().filter(|s| s.parents.iter().any(|p| to_read.contains(p.as_str())));
        to_read.extend(come.map(|s| s.id.as_str()).collect::<Vec<_>>());
        if to_read.len() == before {
            break;
        }
    }
    let mut ready = Vec::new();
    let mut waiting = 0;
    for shard in listed.iter().filter(|s| to_read.contains(s.id.as_str()) && !known.contains_key(&s.id)) {
        let mut parents = shard.parents.iter().filter(|p| to_read.contains(p.as_str()));
        let (has_parents, unfinished) = (
            parents.clone().next().is_some(),
            parents.any(|p| ids.contains(p.as_str()) && !known.get(p).is_some_and(|k| k.ended)),
        );
        if unfinished {
            waiting += 1;
            continue;
        }
        let position = match origin {
            Origin::At(at, _) if !has_parents => format!("{AT}{}", format_timestamptz(*at)),
            _ => TRIM_HORIZON.to_owned(),
        };
        ready.push(Wanted { shard: shard.id.clone(), position });
    }
    (ready, waiting)
}

/// The shards the database knows that may be read on, and how many must wait: those of which nothing is stored, where a
/// crash took back the end of a parent.
pub fn begun(listed: &[Shard], known: &HashMap<String, KnownShard>) -> (Vec<Wanted>, usize) {
    let open = |id: &String| known.get(id).is_some_and(|k| !k.ended);
    let (mut ready, mut waiting) = (Vec::new(), 0);
    for shard in listed.iter().filter(|s| open(&s.id)) {
        let untouched = known.get(&shard.id).is_some_and(|k| k.sequence_number.is_none());
        if untouched && shard.parents.iter().any(open) {
            waiting += 1;
        } else {
            ready.push(Wanted { shard: shard.id.clone(), position: TRIM_HORIZON.to_owned() });
        }
    }
    (ready, waiting)
}

#[cfg(test)]
#[path = "family_tests.rs"]
mod tests;
