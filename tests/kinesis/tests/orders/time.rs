//! What time does: iterators and tokens expire, records and closed shards are forgotten.

use aws_sdk_kinesis::primitives::DateTime;
use aws_sdk_kinesis::types::{ShardFilter, ShardFilterType, ShardIteratorType};
use kinesis_endpoint::Options;

use crate::subject::{START_MS, Subject, code, start, start_with, texts};

const HOUR_MS: u64 = 3_600_000;

async fn listed(subject: &Subject) -> usize {
    subject.client.list_shards().stream_name("s").send().await.unwrap().shards().len()
}

#[tokio::test]
async fn an_iterator_lives_five_minutes_and_each_page_gives_a_new_one() {
    let subject = start(1).await;
    let first = subject.iterator(0).await;
    subject.clock.advance_ms(300_000);
    let page = subject.get(&first).await.unwrap();
    let second = page.next_shard_iterator().unwrap().to_owned();
    subject.clock.advance_ms(1);
    assert_eq!(code(&subject.get(&first).await), "ExpiredIteratorException");
    subject.clock.advance_ms(299_999);
    assert_eq!(code(&subject.get(&second).await), "ok");
}

#[tokio::test]
async fn the_life_of_an_iterator_may_be_set() {
    let subject = start_with(1, Options { iterator_ttl_ms: 1_000, ..Options::default() }).await;
    let iterator = subject.iterator(0).await;
    subject.clock.advance_ms(1_000);
    assert_eq!(code(&subject.get(&iterator).await), "ok");
    subject.clock.advance_ms(1);
    assert_eq!(code(&subject.get(&iterator).await), "ExpiredIteratorException");
}

#[tokio::test]
async fn a_page_token_lives_300_seconds() {
    let subject = start(2).await;
    let page = subject.client.list_shards().stream_name("s").max_results(1).send().await.unwrap();
    let token = page.next_token().unwrap();
    subject.clock.advance_ms(300_000);
    assert_eq!(subject.client.list_shards().next_token(token).send().await.unwrap().shards().len(), 1);
    subject.clock.advance_ms(1);
    let expired = subject.client.list_shards().next_token(token).send().await;
    assert_eq!(code(&expired), "ExpiredNextTokenException");
}

#[tokio::test]
async fn records_are_forgotten_after_the_retention_period() {
    let subject = start(1).await;
    let old = subject.put(&["old"]).await.unwrap();
    let number = old.records()[0].sequence_number().unwrap().to_owned();
    subject.clock.advance_ms(HOUR_MS);
    subject.put(&["young"]).await.unwrap();
    subject.clock.advance_ms(23 * HOUR_MS);
    assert_eq!(texts(&subject.get(&subject.iterator(0).await).await.unwrap()), ["old", "young"]);
    subject.clock.advance_ms(1);
    assert_eq!(texts(&subject.get(&subject.iterator(0).await).await.unwrap()), ["young"]);
    // A position that was trimmed begins at the horizon, without an error: the loss is the consumer's to notice.
    let at = subject.client.get_shard_iterator().stream_name("s").shard_id("shardId-000000000000");
    let at = at.shard_iterator_type(ShardIteratorType::AtSequenceNumber).starting_sequence_number(number);
    let at = at.send().await.unwrap();
    assert_eq!(texts(&subject.get(at.shard_iterator().unwrap()).await.unwrap()), ["young"]);
}

#[tokio::test]
async fn a_longer_retention_keeps_records() {
    let subject = start(1).await;
    subject.put(&["old"]).await.unwrap();
    subject
        .client
        .increase_stream_retention_period()
        .stream_name("s")
        .retention_period_hours(48)
        .send()
        .await
        .unwrap();
    subject.clock.advance_ms(48 * HOUR_MS);
    assert_eq!(texts(&subject.get(&subject.iterator(0).await).await.unwrap()), ["old"]);
}

#[tokio::test]
async fn trimmed_records_are_gone() {
    let subject = start(1).await;
    subject.put(&["0", "1", "2"]).await.unwrap();
    subject.order(r#"{"trim":{"stream":"s","shard":"shardId-000000000000","records":2}}"#);
    assert_eq!(texts(&subject.get(&subject.iterator(0).await).await.unwrap()), ["2"]);
}

#[tokio::test]
async fn a_closed_shard_is_listed_until_its_records_are_forgotten() {
    let subject = start(1).await;
    subject.clock.advance_ms(HOUR_MS);
    let iterator = subject.iterator(0).await;
    let stream = subject.server().stream("s").unwrap();
    stream.split_evenly("shardId-000000000000", subject.clock.now_ms()).unwrap();
    subject.clock.advance_ms(24 * HOUR_MS);
    assert_eq!(listed(&subject).await, 3);
    subject.clock.advance_ms(1);
    assert_eq!(listed(&subject).await, 2);
    let gone = subject.client.get_shard_iterator().stream_name("s").shard_id("shardId-000000000000");
    let gone = gone.shard_iterator_type(ShardIteratorType::TrimHorizon).send().await;
    assert_eq!(code(&gone), "ResourceNotFoundException");
    assert_eq!(code(&subject.get(&iterator).await), "ExpiredIteratorException");
}

#[tokio::test]
async fn filters_by_time_take_both_ends() {
    let subject = start(1).await;
    subject.clock.advance_ms(1_000);
    let stream = subject.server().stream("s").unwrap();
    stream.split_evenly("shardId-000000000000", subject.clock.now_ms()).unwrap();
    subject.clock.advance_ms(1_000);
    for (offset_ms, at, from) in [(999, 1, 3), (1_000, 3, 3), (1_001, 2, 2)] {
        let timestamp = DateTime::from_millis((START_MS + offset_ms).cast_signed());
        for (kind, wanted) in [(ShardFilterType::AtTimestamp, at), (ShardFilterType::FromTimestamp, from)] {
            let filter = ShardFilter::builder().r#type(kind.clone()).timestamp(timestamp).build().unwrap();
            let seen =
                subject.client.list_shards().stream_name("s").shard_filter(filter).send().await.unwrap();
            assert_eq!(seen.shards().len(), wanted, "{kind} at {offset_ms} ms");
        }
    }
}
