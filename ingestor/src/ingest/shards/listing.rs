//! The shards a stream has, and where reading of it begins. Never: claims.

use super::{Reading, SOON};
use crate::clock::now;
use crate::config::Start;
use crate::error::{Error, Kind, Result};
use crate::ingest::family::{Origin, time_of};
use crate::postgres::leases::KnownShard;
use crate::replay::Window;
use crate::stop::Backoff;
use crate::stream::{Listing, Shard};
use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

impl Reading {
    /// The ranges of a shard that are to be carried again.
    pub(super) fn replayed(&self, shard: &str) -> &[(String, String)] {
        let replay = self.context.options.replay.as_deref();
        replay.map_or(&[], |replay| replay.window.ranges(&self.stream.arn, shard))
    }

    /// Leaves the shards that a replay of records concerns; all of them must still be there.
    pub(super) fn only_replayed(&self, listed: &mut Vec<Shard>) -> Result<()> {
        let replay = self.context.options.replay.as_deref();
        let Some(Window::Records(ranges)) = replay.map(|replay| &replay.window) else { return Ok(()) };
        let ours = ranges.keys().filter(|(stream, _)| *stream == self.stream.arn);
        for (_, shard) in ours {
            if !listed.iter().any(|s| s.id == *shard) {
                return Err(Error::end(format!(
                    "{shard} is not in stream {} any more: its records are past the stream's retention",
                    self.stream.name
                )));
            }
        }
        listed.retain(|s| !self.replayed(&s.id).is_empty());
        Ok(())
    }

    /// The shards there are: listed anew now and then, and where another worker knows one that was not there.
    pub(super) async fn list(&mut self, known: &HashMap<String, KnownShard>) -> Result<Option<Vec<Shard>>> {
        let context = Arc::clone(&self.context);
        let source = context.sources.of(&self.stream.name)?;
        let old = self.listed.take();
        if let Some((at, listed)) = &old {
            let ids: HashSet<&str> = listed.iter().map(|s| s.id.as_str()).collect();
            let new = known.values().any(|k| !k.ended && !ids.contains(k.shard.as_str()));
            let interval = Duration::from_millis(context.config.kinesis.list_interval_ms);
            if at.elapsed() < if new { interval.min(SOON) } else { interval } {
                let listed = listed.clone();
                self.listed = old;
                return Ok(Some(listed));
            }
        }
        let listed = match (source.list_shards(&self.stream, Listing::All).await, old) {
            (Ok(listed), _) => Some(listed),
            // What was listed before is good enough: the database is told that we live meanwhile.
            (Err(error), Some((at, listed))) if error.kind == Kind::Retry => {
                self.table.wait(&context, &mut Backoff::default(), "listing shards", &error).await;
                self.listed = Some((at, listed.clone()));
                return Ok(Some(listed));
            }
            _ => {
                let attempt = || source.list_shards(&self.stream, Listing::All);
                self.table.insist(&context, "listing shards", attempt).await?
            }
        };
        let Some(listed) = listed else { return Ok(None) };
        self.listed = Some((Instant::now(), listed.clone()));
        Ok(Some(listed))
    }

    /// Where reading began, as persisted, or where it begins now.
    pub(super) async fn find_origin(&self, known: &HashMap<String, KnownShard>) -> Result<Option<Origin>> {
        let context = &self.context;
        let source = context.sources.of(&self.stream.name)?;
        let persisted = known.values().find_map(|k| time_of(&k.initial_position));
        let (at, listing) = match (persisted, self.feed.start) {
            (Some(at), _) | (None, Start::At(at)) => {
                (at, if at > now() { Listing::Open } else { Listing::OpenAt(at) })
            }
            (None, Start::TrimHorizon) => return Ok(Some(Origin::TrimHorizon)),
            (None, Start::Latest) if known.is_empty() => (now(), Listing::Open),
            // Begun before at a time that all shards read since have left behind: only what came of them.
            (None, Start::Latest) => return Ok(Some(Origin::At(0, HashSet::new()))),
        };
        let attempt = || source.list_shards(&self.stream, listing);
        let open = self.table.insist(context, "listing shards", attempt).await?;
        Ok(open.map(|open| Origin::At(at, open.into_iter().map(|s| s.id).collect())))
    }
}
