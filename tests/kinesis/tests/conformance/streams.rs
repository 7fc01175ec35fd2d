//! Streams as a whole: their life, names, description, retention.

use aws_sdk_kinesis::types::StreamStatus;

use crate::subject::{Subject, code};

#[tokio::test]
async fn a_stream_is_made_described_listed_and_deleted() {
    let subject = Subject::start().await;
    let name = subject.stream(2).await;
    let again = subject.client.create_stream().stream_name(&name).shard_count(1).send().await;
    subject.check_code("create-twice", "ResourceInUseException", &again);

    let described = subject.client.describe_stream().stream_name(&name).send().await.unwrap();
    let described = described.stream_description().unwrap();
    assert_eq!(described.stream_name(), name);
    assert_eq!(described.stream_status(), &StreamStatus::Active);
    assert_eq!(described.retention_period_hours(), 24);
    assert_eq!(described.shards().len(), 2);
    assert!(!described.has_more_shards());
    assert!(described.stream_arn().ends_with(&format!(":stream/{name}")), "{}", described.stream_arn());

    let summary = subject.client.describe_stream_summary().stream_name(&name).send().await.unwrap();
    let summary = summary.stream_description_summary().unwrap();
    assert_eq!(summary.open_shard_count(), 2);
    assert_eq!(summary.stream_arn(), described.stream_arn());

    let listed = subject.client.list_streams().limit(1000).send().await.unwrap();
    assert!(listed.stream_names().contains(&name));

    subject.delete(&name).await;
    let gone = subject.client.describe_stream().stream_name(&name).send().await;
    subject.check_code("describe-deleted", "ResourceNotFoundException", &gone);
}

#[tokio::test]
async fn a_stream_that_cannot_be_is_refused() {
    let subject = Subject::start().await;
    let bad_name = subject.client.create_stream().stream_name("no spaces").shard_count(1).send().await;
    subject.check("create-bad-name", code(&bad_name) != "ok", code(&bad_name));
    let no_shards = subject.client.create_stream().stream_name(Subject::name()).shard_count(0).send().await;
    subject.check("create-zero-shards", code(&no_shards) != "ok", code(&no_shards));
    let unknown = subject.client.describe_stream_summary().stream_name("nobody-made-this").send().await;
    subject.check_code("describe-unknown", "ResourceNotFoundException", &unknown);
}

#[tokio::test]
async fn streams_are_listed_by_pages() {
    let subject = Subject::start().await;
    let mut made = [subject.stream(1).await, subject.stream(1).await, subject.stream(1).await];
    made.sort();
    let (mut seen, mut after) = (Vec::new(), None);
    loop {
        assert!(seen.len() < 1000, "the pages have no end: {seen:?}");
        let page = subject
            .client
            .list_streams()
            .limit(1)
            .set_exclusive_start_stream_name(after)
            .send()
            .await
            .unwrap();
        seen.extend_from_slice(page.stream_names());
        if !page.has_more_streams() {
            break;
        }
        after = page.stream_names().last().cloned();
    }
    let ours: Vec<_> = seen.into_iter().filter(|name| made.contains(name)).collect();
    subject.check("list-streams-pages", ours == made, (&ours, &made));
}

#[tokio::test]
async fn hash_keys_are_divided_evenly_and_completely() {
    let subject = Subject::start().await;
    for (shards, first_end) in [
        (1, "340282366920938463463374607431768211455"),
        (2, "170141183460469231731687303715884105727"),
        (3, "113427455640312821154458202477256070484"),
        (4, "85070591730234615865843651857942052863"),
    ] {
        let stream = subject.stream(shards).await;
        let listed = subject.shards(&stream).await;
        let ranges: Vec<_> = listed.iter().map(|shard| shard.hash_key_range().unwrap()).collect();
        let mut next = Some(0u128);
        for range in &ranges {
            assert_eq!(range.starting_hash_key().parse().ok(), next);
            next = range.ending_hash_key().parse::<u128>().unwrap().checked_add(1);
        }
        assert_eq!(next, None, "{ranges:?}");
        subject.check(
            &format!("first-range-of-{shards}"),
            ranges[0].ending_hash_key() == first_end,
            ranges[0],
        );
    }
}

#[tokio::test]
async fn a_stream_is_known_by_its_arn_too() {
    let subject = Subject::start().await;
    let name = subject.stream(1).await;
    let summary = subject.client.describe_stream_summary().stream_name(&name).send().await.unwrap();
    let arn = summary.stream_description_summary().unwrap().stream_arn().to_owned();
    if subject.differs("list-shards-without-name") {
        return;
    }
    let by_arn = subject.client.list_shards().stream_arn(&arn).send().await;
    subject.check("by-arn", code(&by_arn) == "ok", code(&by_arn));
    let foreign = arn.replace(&name, "nobody-made-this");
    let by_foreign = subject.client.list_shards().stream_arn(foreign).send().await;
    subject.check_code("by-foreign-arn", "ResourceNotFoundException", &by_foreign);
    let by_nothing = subject.client.list_shards().send().await;
    subject.check_code("by-nothing", "InvalidArgumentException", &by_nothing);
}

#[tokio::test]
async fn retention_grows_and_shrinks_within_bounds() {
    let subject = Subject::start().await;
    let stream = subject.stream(1).await;
    let client = &subject.client;
    let grow = |hours| {
        client.increase_stream_retention_period().stream_name(&stream).retention_period_hours(hours).send()
    };
    let shrink = |hours| {
        client.decrease_stream_retention_period().stream_name(&stream).retention_period_hours(hours).send()
    };
    grow(48).await.unwrap();
    let summary = client.describe_stream_summary().stream_name(&stream).send().await.unwrap();
    assert_eq!(summary.stream_description_summary().unwrap().retention_period_hours(), 48);
    subject.check_code("retention-grow-down", "InvalidArgumentException", &grow(24).await);
    subject.check_code("retention-shrink-up", "InvalidArgumentException", &shrink(72).await);
    let too_long = grow(8761).await;
    subject.check_code("retention-too-long", "InvalidArgumentException", &too_long);
    shrink(24).await.unwrap();
    subject.check_code("retention-too-short", "InvalidArgumentException", &shrink(23).await);
}
