//! `ListShards`: filters, pages, and the tokens between them.

use std::time::{Duration, SystemTime};

use aws_sdk_kinesis::primitives::DateTime;
use aws_sdk_kinesis::types::{Shard, ShardFilter, ShardFilterType};

use crate::subject::{Subject, code, shard_id};

fn filter(kind: ShardFilterType) -> ShardFilter {
    ShardFilter::builder().r#type(kind).build().unwrap()
}

fn indexes(shards: &[Shard]) -> Vec<usize> {
    shards.iter().map(|shard| shard.shard_id().rsplit('-').next().unwrap().parse().unwrap()).collect()
}

impl Subject {
    async fn filtered(&self, stream: &str, filter: ShardFilter) -> Vec<usize> {
        let output = self.client.list_shards().stream_name(stream).shard_filter(filter).send().await.unwrap();
        indexes(output.shards())
    }

    /// Three shards; the first is split, some time after they were made.
    async fn with_a_split(&self) -> (String, DateTime, DateTime) {
        let stream = self.stream(3).await;
        let before = self.a_moment().await;
        let split = self.client.split_shard().stream_name(&stream).shard_to_split(shard_id(0));
        split.new_starting_hash_key("1000").send().await.unwrap();
        self.settle(&stream).await;
        let after = self.a_moment().await;
        (stream, before, after)
    }

    /// A time that nothing else happens at.
    async fn a_moment(&self) -> DateTime {
        let start = SystemTime::now();
        while SystemTime::now() < start + Duration::from_millis(4) {
            tokio::task::yield_now().await;
        }
        DateTime::from_millis(DateTime::from(start).to_millis().unwrap() + 2)
    }
}

#[tokio::test]
async fn filters_take_the_shards_they_name() {
    let subject = Subject::start().await;
    let (stream, before, after) = subject.with_a_split().await;
    let timed = |kind, at: DateTime| ShardFilter::builder().r#type(kind).timestamp(at).build().unwrap();
    let after_id =
        ShardFilter::builder().r#type(ShardFilterType::AfterShardId).shard_id(shard_id(1)).build().unwrap();
    for (name, filter, wanted) in [
        ("filter-at-latest", filter(ShardFilterType::AtLatest), vec![1, 2, 3, 4]),
        ("filter-at-trim-horizon", filter(ShardFilterType::AtTrimHorizon), vec![0, 1, 2]),
        ("filter-from-trim-horizon", filter(ShardFilterType::FromTrimHorizon), vec![0, 1, 2, 3, 4]),
        ("filter-after-shard-id", after_id, vec![2, 3, 4]),
        ("filter-at-timestamp-before", timed(ShardFilterType::AtTimestamp, before), vec![0, 1, 2]),
        ("filter-at-timestamp-after", timed(ShardFilterType::AtTimestamp, after), vec![1, 2, 3, 4]),
        ("filter-from-timestamp-before", timed(ShardFilterType::FromTimestamp, before), vec![0, 1, 2, 3, 4]),
        ("filter-from-timestamp-after", timed(ShardFilterType::FromTimestamp, after), vec![1, 2, 3, 4]),
    ] {
        let seen = subject.filtered(&stream, filter).await;
        subject.check(name, seen == wanted, seen);
    }
}

#[tokio::test]
async fn a_filter_without_its_value_is_refused() {
    let subject = Subject::start().await;
    let stream = subject.stream(1).await;
    for kind in [ShardFilterType::AfterShardId, ShardFilterType::AtTimestamp, ShardFilterType::FromTimestamp]
    {
        let refused =
            subject.client.list_shards().stream_name(&stream).shard_filter(filter(kind)).send().await;
        subject.check("filter-value-missing", code(&refused) != "ok", code(&refused));
    }
}

#[tokio::test]
async fn pages_are_asked_for_with_the_token_alone() {
    let subject = Subject::start().await;
    let stream = subject.stream(5).await;
    let first = subject.client.list_shards().stream_name(&stream).max_results(2).send().await.unwrap();
    subject.check("list-shards-pages", indexes(first.shards()) == [0, 1], indexes(first.shards()));
    let Some(token) = first.next_token() else { return };
    let with_name = subject.client.list_shards().stream_name(&stream).next_token(token).send().await;
    subject.check_code("token-with-name", "InvalidArgumentException", &with_name);
    let second = subject.client.list_shards().next_token(token).max_results(2).send().await.unwrap();
    assert_eq!(indexes(second.shards()), [2, 3]);
    let third = subject.client.list_shards().next_token(second.next_token().unwrap()).send().await.unwrap();
    assert_eq!(indexes(third.shards()), [4]);
    assert_eq!(third.next_token(), None);
}

#[tokio::test]
async fn a_page_token_remembers_its_filter() {
    let subject = Subject::start().await;
    let (stream, _, _) = subject.with_a_split().await;
    let list = subject.client.list_shards().stream_name(&stream).max_results(3);
    let first = list.shard_filter(filter(ShardFilterType::AtLatest)).send().await.unwrap();
    subject.check(
        "list-shards-filtered-pages",
        indexes(first.shards()) == [1, 2, 3],
        indexes(first.shards()),
    );
    let Some(token) = first.next_token() else { return };
    let second = subject.client.list_shards().next_token(token).send().await.unwrap();
    subject.check("token-keeps-filter", indexes(second.shards()) == [4], indexes(second.shards()));
}

#[tokio::test]
async fn a_listing_may_begin_after_a_shard() {
    let subject = Subject::start().await;
    let stream = subject.stream(3).await;
    let after =
        subject.client.list_shards().stream_name(&stream).exclusive_start_shard_id(shard_id(0)).send().await;
    let seen = indexes(after.unwrap().shards());
    subject.check("exclusive-start", seen == [1, 2], seen);
    if subject.differs("list-shards-without-name") {
        return;
    }
    let garbage = subject.client.list_shards().next_token("garbage").send().await;
    subject.check("token-garbage", code(&garbage) != "ok", code(&garbage));
}
