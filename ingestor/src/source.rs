//! What reading needs of any source of records, and which source a feed's stream means. Another source is another
//! implementation of one trait: pages of records from a place in a shard. Never: what becomes of records.

use crate::config::Config;
use crate::error::{Error, Result};
use crate::files::{Files, is_files};
use crate::kinesis::Kinesis;
use crate::stream::{Listing, Page, Position, Shard, Stream};
use std::pin::Pin;
use std::sync::Arc;

/// An answer that is on its way.
pub type Answer<'a, T> = Pin<Box<dyn Future<Output = Result<T>> + Send + 'a>>;

/// A source of records in shards.
pub trait Source: Send + Sync {
    /// The stream of this name.
    fn describe<'a>(&'a self, name: &'a str) -> Answer<'a, Stream>;
    /// Its shards, closed ones too.
    fn list_shards<'a>(&'a self, stream: &'a Stream, listing: Listing) -> Answer<'a, Vec<Shard>>;
    /// Whether its owner bounds how often and how much is read.
    fn is_paced(&self) -> bool;
    /// What reading a shard from a position goes on with.
    fn iterator<'a>(
        &'a self,
        stream: &'a Stream,
        shard: &'a str,
        position: &'a Position,
    ) -> Answer<'a, String>;
    /// The next page.
    fn records<'a>(
        &'a self,
        stream: &'a Stream,
        shard: &'a str,
        iterator: &'a str,
        bounds: PageBounds,
    ) -> Answer<'a, Page>;
}

/// How much one page may hold.
#[derive(Debug, Clone, Copy)]
pub struct PageBounds {
    /// Records.
    pub records: u32,
    /// Bytes, about.
    pub bytes: u64,
}

/// The sources of a configuration.
#[derive(Clone)]
pub struct Sources {
    kinesis: Option<Arc<Kinesis>>,
    /// Files and standard input.
    pub files: Files,
}

impl Sources {
    /// Makes what the feeds need.
    pub async fn new(config: &Config) -> Result<Self> {
        let all_files = config.feeds.iter().all(|feed| is_files(&feed.stream)) && !config.feeds.is_empty();
        let kinesis = if all_files { None } else { Some(Arc::new(Kinesis::new(&config.kinesis).await?)) };
        Ok(Self { kinesis, files: Files::default() })
    }

    /// The source of a stream.
    pub fn of(&self, stream: &str) -> Result<&dyn Source> {
        if is_files(stream) {
            return Ok(&self.files);
        }
        let missing = || Error::end("there is no source for this stream");
        self.kinesis.as_deref().map(|kinesis| kinesis as &dyn Source).ok_or_else(missing)
    }

    /// Kinesis, for what no other source has.
    pub fn kinesis(&self) -> Result<&Kinesis> {
        self.kinesis.as_deref().ok_or_else(|| Error::usage("a consumer is for streams of Kinesis alone"))
    }

    /// Whether every feed ends by itself.
    pub fn all_end(&self) -> bool {
        self.kinesis.is_none()
    }
}

impl Source for Kinesis {
    fn is_paced(&self) -> bool {
        true
    }

    fn describe<'a>(&'a self, name: &'a str) -> Answer<'a, Stream> {
        Box::pin(Self::describe(self, name))
    }

    fn list_shards<'a>(&'a self, stream: &'a Stream, listing: Listing) -> Answer<'a, Vec<Shard>> {
        Box::pin(Self::list_shards(self, stream, listing))
    }

    fn iterator<'a>(
        &'a self,
        stream: &'a Stream,
        shard: &'a str,
        position: &'a Position,
    ) -> Answer<'a, String> {
        Box::pin(Self::iterator(self, stream, shard, position))
    }

    fn records<'a>(
        &'a self,
        stream: &'a Stream,
        _: &'a str,
        iterator: &'a str,
        bounds: PageBounds,
    ) -> Answer<'a, Page> {
        Box::pin(Self::records(self, stream, iterator, bounds.records))
    }
}

impl Source for Files {
    fn is_paced(&self) -> bool {
        false
    }

    fn describe<'a>(&'a self, name: &'a str) -> Answer<'a, Stream> {
        Box::pin(async move { Self::describe(name) })
    }

    fn list_shards<'a>(&'a self, stream: &'a Stream, _: Listing) -> Answer<'a, Vec<Shard>> {
        Box::pin(async move { Self::list_shards(self, stream) })
    }

    fn iterator<'a>(&'a self, _: &'a Stream, _: &'a str, position: &'a Position) -> Answer<'a, String> {
        Box::pin(async move { Ok(Self::iterator(position)) })
    }

    /// Reads on a thread of its own: a disk, or a pipe that nobody writes into, must not hold others up.
    fn records<'a>(
        &'a self,
        stream: &'a Stream,
        shard: &'a str,
        iterator: &'a str,
        bounds: PageBounds,
    ) -> Answer<'a, Page> {
        let (files, stream) = (self.clone(), stream.clone());
        let (shard, iterator) = (shard.to_owned(), iterator.to_owned());
        Box::pin(async move {
            let read = move || files.records(&stream, &shard, &iterator, bounds.records, bounds.bytes);
            tokio::task::spawn_blocking(read)
                .await
                .map_err(|e| Error::end(format!("reading a file broke off: {e}")))?
        })
    }
}
