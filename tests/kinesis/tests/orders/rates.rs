//! The per-shard rates of the service, when they are asked for.

use aws_sdk_kinesis::types::ShardIteratorType;
use kinesis_endpoint::Options;

use crate::subject::{Subject, code, start, start_with};

const THROTTLED: &str = "ProvisionedThroughputExceededException";

async fn limited(shards: u64) -> Subject {
    start_with(shards, Options { enforce_limits: true, ..Options::default() }).await
}

#[tokio::test]
async fn a_shard_is_read_five_times_a_second() {
    let subject = limited(2).await;
    let (first, second) = (subject.iterator(0).await, subject.iterator(1).await);
    for _ in 0..5 {
        assert_eq!(code(&subject.get(&first).await), "ok");
    }
    assert_eq!(code(&subject.get(&first).await), THROTTLED);
    assert_eq!(code(&subject.get(&second).await), "ok", "each shard has its own rate");
    subject.clock.advance_ms(999);
    assert_eq!(code(&subject.get(&first).await), THROTTLED);
    subject.clock.advance_ms(1);
    assert_eq!(code(&subject.get(&first).await), "ok");
}

#[tokio::test]
async fn without_being_asked_nothing_is_limited() {
    let subject = start(1).await;
    let iterator = subject.iterator(0).await;
    for _ in 0..20 {
        assert_eq!(code(&subject.get(&iterator).await), "ok");
    }
}

#[tokio::test]
async fn a_full_page_costs_five_seconds() {
    let subject = limited(1).await;
    let megabyte = "x".repeat((1 << 20) - 1);
    for _ in 0..10 {
        assert_eq!(subject.put(&[&megabyte]).await.unwrap().failed_record_count(), Some(0));
        subject.clock.advance_ms(1_000);
    }
    let iterator = subject.iterator(0).await;
    assert_eq!(subject.get(&iterator).await.unwrap().records().len(), 10);
    subject.clock.advance_ms(4_999);
    assert_eq!(code(&subject.get(&iterator).await), THROTTLED);
    subject.clock.advance_ms(1);
    assert_eq!(code(&subject.get(&iterator).await), "ok");
}

#[tokio::test]
async fn a_shard_takes_a_thousand_records_a_second() {
    let subject = limited(1).await;
    let half = vec!["x"; 500];
    for _ in 0..2 {
        assert_eq!(subject.put(&half).await.unwrap().failed_record_count(), Some(0));
    }
    let refused = subject.put(&["x", "y"]).await.unwrap();
    assert_eq!(refused.failed_record_count(), Some(2));
    assert_eq!(refused.records()[0].error_code(), Some(THROTTLED));
    subject.clock.advance_ms(1);
    assert_eq!(subject.put(&["x", "y"]).await.unwrap().failed_record_count(), Some(1));
}

#[tokio::test]
async fn a_shard_takes_a_mebibyte_a_second() {
    let subject = limited(1).await;
    let half = "x".repeat((1 << 19) - 1);
    let put = subject.put(&[&half, &half, &half]).await.unwrap();
    let refused: Vec<_> = put.records().iter().map(|record| record.error_code().is_some()).collect();
    assert_eq!(refused, [false, false, true]);
}

#[tokio::test]
async fn iterators_of_a_shard_are_issued_five_times_a_second() {
    let subject = limited(1).await;
    for _ in 0..5 {
        subject.iterator(0).await;
    }
    let sixth = subject.client.get_shard_iterator().stream_name("s").shard_id("shardId-000000000000");
    let sixth = sixth.shard_iterator_type(ShardIteratorType::Latest).send().await;
    assert_eq!(code(&sixth), THROTTLED);
}
