//! Each fault as a consumer or producer meets it.

use crate::subject::{code, start, texts};

#[tokio::test]
async fn throttled_calls_are_refused_and_then_go_on() {
    let subject = start(1).await;
    subject.put(&["0"]).await.unwrap();
    let iterator = subject.iterator(0).await;
    subject.order(r#"{"fault":{"operation":"GetRecords","kind":"throttle","after":1,"count":2}}"#);
    let mut seen = Vec::new();
    for _ in 0..4 {
        seen.push(code(&subject.get(&iterator).await).to_owned());
    }
    let throttled = "ProvisionedThroughputExceededException";
    assert_eq!(seen, ["ok", throttled, throttled, "ok"]);
}

#[tokio::test]
async fn single_entries_are_throttled_and_the_others_stored() {
    let subject = start(1).await;
    subject.order(r#"{"fault":{"operation":"PutRecords","kind":"throttle_entries","after":1,"count":2}}"#);
    let put = subject.put(&["0", "1", "2", "3"]).await.unwrap();
    assert_eq!(put.failed_record_count(), Some(2));
    let refused: Vec<_> = put.records().iter().map(|record| record.error_code().is_some()).collect();
    assert_eq!(refused, [false, true, true, false]);
    assert!(
        put.records()
            .iter()
            .all(|record| record.error_code().is_some() != record.sequence_number().is_some())
    );
    let page = subject.get(&subject.iterator(0).await).await.unwrap();
    assert_eq!(texts(&page), ["0", "3"]);
}

#[tokio::test]
async fn an_empty_page_leads_on_to_the_records() {
    let subject = start(1).await;
    subject.put(&["0"]).await.unwrap();
    subject.clock.advance_ms(500);
    subject.order(r#"{"fault":{"kind":"empty"}}"#);
    let empty = subject.get(&subject.iterator(0).await).await.unwrap();
    assert!(empty.records().is_empty());
    assert_eq!(empty.millis_behind_latest(), Some(500));
    let page = subject.get(empty.next_shard_iterator().unwrap()).await.unwrap();
    assert_eq!(texts(&page), ["0"]);
}

#[tokio::test]
async fn an_empty_page_does_not_end_a_closed_shard() {
    let subject = start(1).await;
    subject.put(&["0"]).await.unwrap();
    let stream = subject.server().stream("s").unwrap();
    stream.split_evenly("shardId-000000000000", subject.clock.now_ms()).unwrap();
    subject.order(r#"{"fault":{"kind":"empty"}}"#);
    let empty = subject.get(&subject.iterator(0).await).await.unwrap();
    let page = subject.get(empty.next_shard_iterator().expect("records wait")).await.unwrap();
    assert_eq!(texts(&page), ["0"]);
    assert_eq!(page.next_shard_iterator(), None);
    assert_eq!(page.child_shards().len(), 2);
}

#[tokio::test]
async fn a_duplicated_page_comes_twice() {
    let subject = start(1).await;
    subject.put(&["0", "1"]).await.unwrap();
    subject.order(r#"{"fault":{"kind":"duplicate"}}"#);
    let first = subject.get(&subject.iterator(0).await).await.unwrap();
    let second = subject.get(first.next_shard_iterator().unwrap()).await.unwrap();
    assert_eq!(texts(&first), ["0", "1"]);
    assert_eq!(first.records(), second.records());
    let third = subject.get(second.next_shard_iterator().unwrap()).await.unwrap();
    assert!(third.records().is_empty());
}

#[tokio::test]
async fn a_fault_stays_with_its_shard_and_stream() {
    let subject = start(2).await;
    subject.order(r#"{"fault":{"kind":"expire","stream":"other"}}"#);
    subject.order(r#"{"fault":{"kind":"expire","shard":"shardId-000000000001"}}"#);
    let (first, second) = (subject.iterator(0).await, subject.iterator(1).await);
    assert_eq!(code(&subject.get(&first).await), "ok");
    assert_eq!(code(&subject.get(&second).await), "ExpiredIteratorException");
    assert_eq!(code(&subject.get(&second).await), "ok");
}

#[tokio::test]
async fn all_iterators_expire_at_once_and_new_ones_work() {
    let subject = start(2).await;
    let (first, second) = (subject.iterator(0).await, subject.iterator(1).await);
    subject.order(r#""expire_iterators""#);
    assert_eq!(code(&subject.get(&first).await), "ExpiredIteratorException");
    assert_eq!(code(&subject.get(&second).await), "ExpiredIteratorException");
    assert_eq!(code(&subject.get(&subject.iterator(0).await).await), "ok");
}

#[tokio::test]
async fn a_reset_before_leaves_nothing_and_a_reset_after_leaves_the_records() {
    let subject = start(1).await;
    subject.order(r#"{"fault":{"operation":"PutRecords","kind":"reset"}}"#);
    assert_eq!(code(&subject.put(&["lost"]).await), "no answer");
    subject.order(r#"{"fault":{"operation":"PutRecords","kind":"reset_after"}}"#);
    assert_eq!(code(&subject.put(&["kept"]).await), "no answer");
    let page = subject.get(&subject.iterator(0).await).await.unwrap();
    assert_eq!(texts(&page), ["kept"]);
}

#[tokio::test]
async fn a_cut_body_is_an_error_and_the_page_can_be_had_again() {
    let subject = start(1).await;
    subject.put(&["x".repeat(100_000).as_str(); 4]).await.unwrap();
    let iterator = subject.iterator(0).await;
    subject.order(r#"{"fault":{"operation":"GetRecords","kind":"cut_body"}}"#);
    assert_eq!(code(&subject.get(&iterator).await), "no answer");
    assert_eq!(subject.get(&iterator).await.unwrap().records().len(), 4);
}

#[tokio::test]
async fn a_slow_body_arrives_whole() {
    let subject = start(1).await;
    subject.put(&["x".repeat(30_000).as_str()]).await.unwrap();
    let iterator = subject.iterator(0).await;
    subject.order(r#"{"fault":{"operation":"GetRecords","kind":"slow_body","delay_ms":5}}"#);
    let start = std::time::Instant::now();
    assert_eq!(subject.get(&iterator).await.unwrap().records()[0].data().as_ref().len(), 30_000);
    // 40,000 bytes of base64 are at least nine pauses; this bounds from below and so does not depend on the machine.
    assert!(start.elapsed().as_millis() >= 45, "{:?}", start.elapsed());
}

#[tokio::test]
async fn an_internal_error_is_http_500() {
    let subject = start(1).await;
    subject.order(r#"{"fault":{"operation":"ListShards","kind":"internal_error"}}"#);
    let refused = subject.client.list_shards().stream_name("s").send().await;
    assert_eq!(code(&refused), "InternalFailureException");
    assert_eq!(refused.unwrap_err().raw_response().unwrap().status().as_u16(), 500);
}

#[tokio::test]
async fn a_planned_split_falls_between_two_records_of_one_request() {
    let subject = start(1).await;
    subject.put(&["0"]).await.unwrap();
    subject.order(r#"{"split_at":{"stream":"s","record":3}}"#);
    let put = subject.put(&["1", "2", "3", "4"]).await.unwrap();
    let shards: Vec<_> =
        put.records().iter().map(|record| record.shard_id().unwrap()[18..].to_owned()).collect();
    assert_eq!(shards, ["00", "00", "01", "01"]);
    let last = subject.get(&subject.iterator(0).await).await.unwrap();
    assert_eq!(texts(&last), ["0", "1", "2"]);
    assert_eq!(last.next_shard_iterator(), None);
    assert_eq!(last.child_shards().len(), 2);
    let child = subject.get(&subject.iterator(1).await).await.unwrap();
    assert_eq!(texts(&child), ["3", "4"]);
}

#[tokio::test]
async fn a_cleared_fault_does_not_strike() {
    let subject = start(1).await;
    subject.order(r#"{"fault":{"kind":"throttle","count":1000}}"#);
    subject.order(r#""clear""#);
    assert_eq!(code(&subject.put(&["0"]).await), "ok");
}
