//! Enhanced fan-out as the AWS SDK sees it: consumers, subscriptions, their end.

use aws_sdk_kinesis::types::{
    ShardIteratorType, StartingPosition, SubscribeToShardEvent, SubscribeToShardEventStream,
};

use crate::subject::{Subject, code, start};

async fn registered(subject: &Subject) -> String {
    let arn = subject.server().stream("s").unwrap().arn.clone();
    let made =
        subject.client.register_stream_consumer().stream_arn(&arn).consumer_name("c").send().await.unwrap();
    made.consumer().unwrap().consumer_arn().to_owned()
}

fn from(kind: ShardIteratorType, number: Option<&str>) -> StartingPosition {
    StartingPosition::builder().r#type(kind).set_sequence_number(number.map(str::to_owned)).build().unwrap()
}

/// The events of a subscription to the first shard until one is as wanted, which is the last.
async fn events(
    subject: &Subject,
    consumer: &str,
    start: StartingPosition,
    last: impl Fn(&SubscribeToShardEvent) -> bool,
) -> Vec<SubscribeToShardEvent> {
    let request = subject.client.subscribe_to_shard().consumer_arn(consumer).shard_id("shardId-000000000000");
    let mut output = request.starting_position(start).send().await.unwrap();
    let mut events = Vec::new();
    while let Some(event) = output.event_stream.recv().await.unwrap() {
        if let SubscribeToShardEventStream::SubscribeToShardEvent(event) = event {
            let done = last(&event);
            events.push(event);
            if done {
                break;
            }
        }
    }
    events
}

fn texts(events: &[SubscribeToShardEvent]) -> Vec<String> {
    let records = events.iter().flat_map(SubscribeToShardEvent::records);
    records.map(|record| String::from_utf8_lossy(record.data().as_ref()).into_owned()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_subscription_pushes_and_goes_on_where_another_ended() {
    let subject = start(1).await;
    let consumer = registered(&subject).await;
    subject.put(&["a", "b"]).await.unwrap();
    let some = |event: &SubscribeToShardEvent| !event.records().is_empty();
    let first = events(&subject, &consumer, from(ShardIteratorType::TrimHorizon, None), some).await;
    assert_eq!(texts(&first), ["a", "b"]);
    let next = first.last().unwrap().continuation_sequence_number().to_owned();
    subject.put(&["c"]).await.unwrap();
    subject.clock.advance_ms(5_000);
    let start = from(ShardIteratorType::AfterSequenceNumber, Some(&next));
    assert_eq!(texts(&events(&subject, &consumer, start, some).await), ["c"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_last_event_of_a_closed_shard_names_its_children() {
    let subject = start(1).await;
    let consumer = registered(&subject).await;
    subject.put(&["a"]).await.unwrap();
    let split = subject.client.split_shard().stream_name("s").shard_to_split("shardId-000000000000");
    split.new_starting_hash_key((1_u128 << 127).to_string()).send().await.unwrap();
    let all = events(&subject, &consumer, from(ShardIteratorType::TrimHorizon, None), |_| false).await;
    assert_eq!(texts(&all), ["a"]);
    assert_eq!(all.last().unwrap().child_shards().len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_subscription_waits_and_then_takes_over() {
    let subject = start(1).await;
    let consumer = registered(&subject).await;
    let subscribe = || {
        let request =
            subject.client.subscribe_to_shard().consumer_arn(&consumer).shard_id("shardId-000000000000");
        request.starting_position(from(ShardIteratorType::TrimHorizon, None)).send()
    };
    let mut first = subscribe().await.unwrap();
    assert_eq!(code(&subscribe().await), "ResourceInUseException");
    subject.clock.advance_ms(5_000);
    let _second = subscribe().await.unwrap();
    let ended = loop {
        match first.event_stream.recv().await {
            Ok(Some(_)) => {}
            ended => break ended,
        }
    };
    assert!(ended.is_err(), "the first one must be told");
}

#[tokio::test]
async fn consumers_are_registered_once_and_found() {
    let subject = start(1).await;
    let arn = subject.server().stream("s").unwrap().arn.clone();
    let describe = || subject.client.describe_stream_consumer().stream_arn(&arn).consumer_name("c").send();
    assert_eq!(code(&describe().await), "ResourceNotFoundException");
    let consumer = registered(&subject).await;
    let again = subject.client.register_stream_consumer().stream_arn(&arn).consumer_name("c").send().await;
    assert_eq!(code(&again), "ResourceInUseException");
    let found = describe().await.unwrap();
    assert_eq!(found.consumer_description().unwrap().consumer_arn(), consumer);
    let listed = subject.client.list_stream_consumers().stream_arn(&arn).send().await.unwrap();
    assert_eq!(listed.consumers().len(), 1);
    subject.client.deregister_stream_consumer().consumer_arn(&consumer).send().await.unwrap();
    assert_eq!(code(&describe().await), "ResourceNotFoundException");
}
