//! Reading: where iterators begin, how pages follow one another, what is refused.

use std::time::{Duration, SystemTime};

use aws_sdk_kinesis::error::SdkError;
use aws_sdk_kinesis::operation::get_shard_iterator::{GetShardIteratorError, GetShardIteratorOutput};
use aws_sdk_kinesis::primitives::DateTime;
use aws_sdk_kinesis::types::{Record, ShardIteratorType};

use crate::subject::{Subject, code, shard_id};

type Issued = Result<GetShardIteratorOutput, SdkError<GetShardIteratorError>>;

impl Subject {
    async fn at_number(&self, stream: &str, kind: ShardIteratorType, number: Option<&str>) -> Issued {
        let get = self
            .client
            .get_shard_iterator()
            .stream_name(stream)
            .shard_id(shard_id(0))
            .shard_iterator_type(kind);
        get.set_starting_sequence_number(number.map(str::to_owned)).send().await
    }

    async fn at_time(&self, stream: &str, at: Option<DateTime>) -> Issued {
        let get = self.client.get_shard_iterator().stream_name(stream).shard_id(shard_id(0));
        get.shard_iterator_type(ShardIteratorType::AtTimestamp).set_timestamp(at).send().await
    }

    async fn first(&self, issued: Issued) -> Option<Record> {
        let iterator = issued.unwrap().shard_iterator().unwrap().to_owned();
        self.read(&iterator, 1).await.0.into_iter().next()
    }

    async fn numbered(&self, stream: &str, count: usize) -> Vec<String> {
        let mut numbers = Vec::new();
        for index in 0..count {
            numbers.push(self.put(stream, "a", format!("{index}").as_bytes()).await.1);
        }
        numbers
    }
}

fn text(record: Option<Record>) -> String {
    record.map_or("nothing".to_owned(), |record| String::from_utf8_lossy(record.data().as_ref()).into_owned())
}

/// The nearest millisecond: times travel as binary fractions, and a millisecond may arrive as a nanosecond less.
fn millis(at: DateTime) -> i64 {
    i64::try_from((at.as_nanos() + 500_000) / 1_000_000).unwrap()
}

#[tokio::test]
async fn iterators_begin_where_their_type_says() {
    let subject = Subject::start().await;
    let stream = subject.stream(1).await;
    let latest_of_empty = subject.iterator(&stream, &shard_id(0), ShardIteratorType::Latest).await;
    let numbers = subject.numbered(&stream, 3).await;
    assert_eq!(text(subject.read(&latest_of_empty, 1).await.0.into_iter().next()), "0");
    let horizon = subject.at_number(&stream, ShardIteratorType::TrimHorizon, None).await;
    assert_eq!(text(subject.first(horizon).await), "0");
    let at = subject.at_number(&stream, ShardIteratorType::AtSequenceNumber, Some(&numbers[1])).await;
    assert_eq!(text(subject.first(at).await), "1");
    let after = subject.at_number(&stream, ShardIteratorType::AfterSequenceNumber, Some(&numbers[1])).await;
    assert_eq!(text(subject.first(after).await), "2");

    let latest = subject.iterator(&stream, &shard_id(0), ShardIteratorType::Latest).await;
    let page = subject.page(&latest, 10).await;
    assert!(page.records().is_empty());
    subject.put(&stream, "a", b"later").await;
    let (records, _) = subject.read(page.next_shard_iterator().unwrap(), 1).await;
    assert_eq!(text(records.into_iter().next()), "later");

    let start = subject.shards(&stream).await[0]
        .sequence_number_range()
        .unwrap()
        .starting_sequence_number()
        .to_owned();
    let at_start = subject.at_number(&stream, ShardIteratorType::AtSequenceNumber, Some(&start)).await;
    assert_eq!(text(subject.first(at_start).await), "0");
}

#[tokio::test]
async fn an_iterator_at_a_time_begins_with_the_first_record_since() {
    let subject = Subject::start().await;
    let stream = subject.stream(1).await;
    subject.numbered(&stream, 1).await;
    let first =
        subject.first(subject.at_number(&stream, ShardIteratorType::TrimHorizon, None).await).await.unwrap();
    let arrival = *first.approximate_arrival_timestamp().unwrap();
    // The next record must bear another millisecond.
    while millis(DateTime::from(SystemTime::now())) <= millis(arrival) + 1 {
        tokio::task::yield_now().await;
    }
    subject.put(&stream, "a", b"1").await;
    let between = DateTime::from_millis(millis(arrival) + 1);
    for (name, at, wanted) in [
        ("timestamp-exact", arrival, "0"),
        ("timestamp-between", between, "1"),
        ("timestamp-old", DateTime::from_secs(1), "0"),
    ] {
        let seen = text(subject.first(subject.at_time(&stream, Some(at)).await).await);
        subject.check(name, seen == wanted, seen);
    }
    let future = DateTime::from(SystemTime::now() + Duration::from_hours(1));
    subject.check_code(
        "future-timestamp",
        "InvalidArgumentException",
        &subject.at_time(&stream, Some(future)).await,
    );
    let missing = subject.at_time(&stream, None).await;
    subject.check_code("timestamp-missing", "InvalidArgumentException", &missing);
}

#[tokio::test]
async fn a_position_that_cannot_be_is_refused() {
    let subject = Subject::start().await;
    let stream = subject.stream(2).await;
    let (shard, number) = subject.put(&stream, "e", b"x").await;
    assert_eq!(shard, shard_id(1));
    let foreign = subject.at_number(&stream, ShardIteratorType::AtSequenceNumber, Some(&number)).await;
    subject.check_code("number-of-another-shard", "InvalidArgumentException", &foreign);
    let missing = subject.at_number(&stream, ShardIteratorType::AtSequenceNumber, None).await;
    subject.check_code("number-missing", "InvalidArgumentException", &missing);
    let needless = subject.at_number(&stream, ShardIteratorType::TrimHorizon, Some(&number)).await;
    subject.check_code("number-needless", "InvalidArgumentException", &needless);
    let nowhere = subject.client.get_shard_iterator().stream_name(&stream).shard_id(shard_id(7));
    let nowhere = nowhere.shard_iterator_type(ShardIteratorType::Latest).send().await;
    subject.check_code("iterator-unknown-shard", "ResourceNotFoundException", &nowhere);
    let garbage = subject.client.get_records().shard_iterator("garbage").send().await;
    subject.check_code("iterator-garbage", "InvalidArgumentException", &garbage);
}

#[tokio::test]
async fn pages_follow_one_another() {
    let subject = Subject::start().await;
    let stream = subject.stream(1).await;
    subject.numbered(&stream, 10).await;
    let mut iterator = subject.iterator(&stream, &shard_id(0), ShardIteratorType::TrimHorizon).await;
    let mut payloads = Vec::new();
    while payloads.len() < 10 {
        let page = subject.page(&iterator, 4).await;
        assert!(page.records().len() <= 4);
        payloads.extend(page.records().iter().map(|record| text(Some(record.clone()))));
        iterator = page.next_shard_iterator().unwrap().to_owned();
        let behind = page.millis_behind_latest().unwrap_or_default();
        let tip = payloads.len() == 10;
        subject.check(
            if tip { "caught-up-is-zero" } else { "behind-is-not-zero" },
            (behind == 0) == tip,
            behind,
        );
    }
    assert_eq!(payloads, (0..10).map(|i| i.to_string()).collect::<Vec<_>>());
    // An iterator may be used again.
    let (again, also) = (subject.page(&iterator, 1).await, subject.page(&iterator, 1).await);
    assert_eq!(again.records(), also.records());
}

#[tokio::test]
async fn the_limit_of_a_page_is_1_to_10000() {
    let subject = Subject::start().await;
    let stream = subject.stream(1).await;
    let iterator = subject.iterator(&stream, &shard_id(0), ShardIteratorType::TrimHorizon).await;
    assert!(subject.page(&iterator, 10_000).await.records().is_empty());
    let get = |limit: i32| subject.client.get_records().shard_iterator(&iterator).limit(limit).send();
    let (above, below) = (get(10_001).await, get(0).await);
    subject.check("limit-10001", code(&above) != "ok", code(&above));
    subject.check_code("limit-10001-code", "InvalidArgumentException", &above);
    subject.check("limit-0", code(&below) != "ok", code(&below));
}

#[tokio::test]
async fn a_page_has_at_most_ten_mebibytes() {
    let subject = Subject::start().await;
    let stream = subject.stream(1).await;
    for _ in 0..12 {
        subject.put(&stream, "a", &vec![b'x'; 1_000_000]).await;
    }
    let iterator = subject.iterator(&stream, &shard_id(0), ShardIteratorType::TrimHorizon).await;
    let page = subject.page(&iterator, 100).await;
    subject.check("page-of-10-mebibytes", page.records().len() <= 10, page.records().len());
    let next = page.next_shard_iterator().unwrap().to_owned();
    let rest = 12 - page.records().len();
    if rest > 0 {
        assert_eq!(subject.read(&next, rest).await.0.len(), rest);
    }
}

#[tokio::test]
async fn an_iterator_ends_with_its_stream() {
    let subject = Subject::start().await;
    let stream = subject.stream(1).await;
    let iterator = subject.iterator(&stream, &shard_id(0), ShardIteratorType::TrimHorizon).await;
    subject.delete(&stream).await;
    let read = subject.client.get_records().shard_iterator(&iterator).send().await;
    subject.check_code("iterator-of-deleted", "ResourceNotFoundException", &read);
}
