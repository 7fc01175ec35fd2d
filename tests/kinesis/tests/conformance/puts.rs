//! Putting records: where they go, what they become, what is refused.

use aws_sdk_kinesis::error::SdkError;
use aws_sdk_kinesis::operation::put_records::{PutRecordsError, PutRecordsOutput};
use aws_sdk_kinesis::primitives::Blob;
use aws_sdk_kinesis::types::{PutRecordsRequestEntry, ShardIteratorType};

use crate::subject::{Subject, code, shard_id};

fn entry(key: &str, data: &[u8]) -> PutRecordsRequestEntry {
    PutRecordsRequestEntry::builder().partition_key(key).data(Blob::new(data)).build().unwrap()
}

impl Subject {
    async fn put_many(
        &self,
        stream: &str,
        entries: Vec<PutRecordsRequestEntry>,
    ) -> Result<PutRecordsOutput, SdkError<PutRecordsError>> {
        self.client.put_records().stream_name(stream).set_records(Some(entries)).send().await
    }
}

#[tokio::test]
async fn a_record_goes_to_the_shard_that_owns_its_key() {
    let subject = Subject::start().await;
    let stream = subject.stream(4).await;
    // First digits of the MD5: 0cc1, 92eb, 4a8a, e358.
    for (key, shard) in [("a", 0), ("b", 2), ("c", 1), ("e", 3)] {
        assert_eq!(subject.put(&stream, key, b"x").await.0, shard_id(shard), "{key}");
    }
    let output =
        subject.put_many(&stream, ["a", "b", "c", "e"].map(|key| entry(key, b"y")).to_vec()).await.unwrap();
    assert_eq!(output.failed_record_count(), Some(0));
    let shards: Vec<_> = output.records().iter().map(|record| record.shard_id().unwrap()).collect();
    assert_eq!(shards, [0, 2, 1, 3].map(shard_id));
}

#[tokio::test]
async fn an_explicit_hash_key_decides() {
    let subject = Subject::start().await;
    let stream = subject.stream(4).await;
    let put = |hash: &str| {
        let put = subject.client.put_record().stream_name(&stream).partition_key("a");
        put.data(Blob::new("x")).explicit_hash_key(hash).send()
    };
    for (hash, shard) in
        [("0", 0), ("85070591730234615865843651857942052864", 1), (&u128::MAX.to_string(), 3)]
    {
        let output = put(hash).await.unwrap();
        assert_eq!(output.shard_id(), shard_id(shard), "{hash}");
    }
    for wrong in ["340282366920938463463374607431768211456", "-1", "x"] {
        let refused = put(wrong).await;
        subject.check("bad-hash-key", code(&refused) != "ok", (wrong, code(&refused)));
    }
}

#[tokio::test]
async fn sequence_numbers_grow_within_a_shard() {
    let subject = Subject::start().await;
    let stream = subject.stream(1).await;
    let mut numbers = Vec::new();
    for index in 0..5 {
        numbers.push(subject.put(&stream, "a", format!("{index}").as_bytes()).await.1);
    }
    let output =
        subject.put_many(&stream, (5..10).map(|i| entry("a", format!("{i}").as_bytes())).collect()).await;
    numbers
        .extend(output.unwrap().records().iter().map(|record| record.sequence_number().unwrap().to_owned()));
    assert!(numbers.iter().all(|number| number.len() == 56), "{numbers:?}");
    assert!(numbers.is_sorted_by(|a, b| a < b), "{numbers:?}");

    let iterator = subject.iterator(&stream, &shard_id(0), ShardIteratorType::TrimHorizon).await;
    let (records, _) = subject.read(&iterator, 10).await;
    let read: Vec<_> = records.iter().map(|record| record.sequence_number().to_owned()).collect();
    assert_eq!(read, numbers);
    let payloads: Vec<_> = records.iter().map(|record| record.data().as_ref().to_vec()).collect();
    assert_eq!(payloads, (0..10).map(|i| format!("{i}").into_bytes()).collect::<Vec<_>>());
}

#[tokio::test]
async fn what_is_put_comes_back_byte_for_byte() {
    let subject = Subject::start().await;
    let stream = subject.stream(1).await;
    let all_bytes: Vec<u8> = (0..=255).collect();
    let keys =
        ["plain", "with \"quotes\" and \\", "line\nbreak\ttab", "größe 大きさ 🦀", &"k".repeat(256), "\u{1}"];
    let mut wanted = Vec::new();
    for (key, length) in keys.into_iter().zip([256, 255, 254, 1, 2, 3]) {
        subject.put(&stream, key, &all_bytes[..length]).await;
        wanted.push((key.to_owned(), all_bytes[..length].to_vec()));
    }
    let iterator = subject.iterator(&stream, &shard_id(0), ShardIteratorType::TrimHorizon).await;
    let (records, _) = subject.read(&iterator, keys.len()).await;
    let got: Vec<_> = records
        .iter()
        .map(|record| {
            (record.partition_key().unwrap_or_default().to_owned(), record.data().as_ref().to_vec())
        })
        .collect();
    assert_eq!(got, wanted);
    assert!(records.iter().all(|record| record.approximate_arrival_timestamp().is_some()));
}

#[tokio::test]
async fn an_empty_payload_is_a_payload() {
    let subject = Subject::start().await;
    let stream = subject.stream(1).await;
    let put =
        subject.client.put_record().stream_name(&stream).partition_key("a").data(Blob::new("")).send().await;
    subject.check("empty-payload", code(&put) == "ok", code(&put));
}

#[tokio::test]
async fn at_most_500_records_at_once() {
    let subject = Subject::start().await;
    let stream = subject.stream(1).await;
    assert_eq!(code(&subject.put_many(&stream, vec![entry("a", b"x"); 500]).await), "ok");
    let refused = subject.put_many(&stream, vec![entry("a", b"x"); 501]).await;
    subject.check("put-501", code(&refused) != "ok", code(&refused));
    let none = subject.put_many(&stream, Vec::new()).await;
    subject.check("put-0", code(&none) != "ok", code(&none));
}

#[tokio::test]
async fn a_record_has_at_most_one_mebibyte_with_its_key() {
    let subject = Subject::start().await;
    let stream = subject.stream(1).await;
    let put = |bytes: usize| {
        let data = Blob::new(vec![b'x'; bytes]);
        subject.client.put_record().stream_name(&stream).partition_key("key").data(data).send()
    };
    assert_eq!(code(&put((1 << 20) - 3).await), "ok");
    let refused = put((1 << 20) + 1).await;
    subject.check("record-too-large", code(&refused) != "ok", code(&refused));
    let refused = put((1 << 20) - 2).await;
    subject.check("record-too-large-with-key", code(&refused) != "ok", code(&refused));
}

#[tokio::test]
async fn a_request_has_at_most_ten_mebibytes() {
    let subject = Subject::start().await;
    let stream = subject.stream(1).await;
    let mebibyte = vec![b'x'; (1 << 20) - 1];
    let fits = subject.put_many(&stream, vec![entry("k", &mebibyte); 10]).await;
    subject.check("request-of-10-mebibytes", code(&fits) == "ok", code(&fits));
    let refused = subject.put_many(&stream, vec![entry("k", &mebibyte); 11]).await;
    subject.check("request-too-large", code(&refused) != "ok", code(&refused));
}

#[tokio::test]
async fn a_partition_key_has_1_to_256_characters() {
    let subject = Subject::start().await;
    let stream = subject.stream(1).await;
    let put = |key: String| {
        subject.client.put_record().stream_name(&stream).partition_key(key).data(Blob::new("x")).send()
    };
    assert_eq!(code(&put("k".repeat(256)).await), "ok");
    let characters = put("ö".repeat(256)).await;
    subject.check("key-of-256-characters", code(&characters) == "ok", code(&characters));
    for wrong in [String::new(), "k".repeat(257)] {
        let refused = put(wrong).await;
        subject.check("bad-partition-key", code(&refused) != "ok", code(&refused));
    }
}

#[tokio::test]
async fn nothing_is_put_into_a_stream_that_is_not_there() {
    let subject = Subject::start().await;
    let refused = subject.put_many("nobody-made-this", vec![entry("a", b"x")]).await;
    subject.check_code("put-unknown-stream", "ResourceNotFoundException", &refused);
}

#[tokio::test]
async fn a_dry_run_puts_nothing() {
    let subject = Subject::start().await;
    let stream = subject.stream(1).await;
    let put = subject
        .client
        .put_records()
        .stream_name(&stream)
        .records(entry("a", b"dry"))
        .dry_run(true)
        .send()
        .await;
    subject.check_code("dry-run", "DryRunOperationException", &put);
    subject.put(&stream, "a", b"wet").await;
    let payloads = subject.payloads(&stream, &shard_id(0), 1).await;
    subject.check("dry-run-stores-nothing", payloads == ["wet"], payloads);
}
