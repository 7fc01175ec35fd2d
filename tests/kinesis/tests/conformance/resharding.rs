//! Splits, merges and counts: what is closed, what is made, and how a reader learns of it.

use aws_sdk_kinesis::types::{ScalingType, Shard, ShardIteratorType};

use crate::subject::{Subject, code, shard_id};

const MIDDLE: &str = "170141183460469231731687303715884105728";

impl Subject {
    async fn split(&self, stream: &str, shard: usize, at: &str) {
        let split = self.client.split_shard().stream_name(stream).shard_to_split(shard_id(shard));
        split.new_starting_hash_key(at).send().await.unwrap();
        self.settle(stream).await;
    }

    async fn merge(&self, stream: &str, shard: usize, adjacent: usize) {
        let merge = self.client.merge_shards().stream_name(stream).shard_to_merge(shard_id(shard));
        merge.adjacent_shard_to_merge(shard_id(adjacent)).send().await.unwrap();
        self.settle(stream).await;
    }

    /// Reads a closed shard to its end: the payloads, and the children named there.
    async fn to_the_end(&self, stream: &str, shard: usize) -> (Vec<String>, Vec<(String, Vec<String>)>) {
        let iterator = self.iterator(stream, &shard_id(shard), ShardIteratorType::TrimHorizon).await;
        let (records, last) = self.read(&iterator, 0).await;
        let last = last.expect("a closed shard ends");
        assert_eq!(last.next_shard_iterator(), None);
        let texts = records
            .iter()
            .map(|record| String::from_utf8_lossy(record.data().as_ref()).into_owned())
            .collect();
        let children = last
            .child_shards()
            .iter()
            .map(|child| (child.shard_id().to_owned(), child.parent_shards().to_vec()));
        (texts, children.collect())
    }
}

fn is_open(shard: &Shard) -> bool {
    shard.sequence_number_range().unwrap().ending_sequence_number().is_none()
}

fn ids(indexes: &[usize]) -> Vec<String> {
    indexes.iter().copied().map(shard_id).collect()
}

#[tokio::test]
async fn a_split_closes_the_parent_and_leads_to_two_children() {
    let subject = Subject::start().await;
    let stream = subject.stream(1).await;
    let before = subject.put(&stream, "a", b"before").await.1;
    subject.split(&stream, 0, MIDDLE).await;

    let shards = subject.shards(&stream).await;
    assert_eq!(shards.iter().map(is_open).collect::<Vec<_>>(), [false, true, true]);
    let ending = shards[0].sequence_number_range().unwrap().ending_sequence_number().unwrap();
    assert!(ending >= before.as_str(), "{ending} {before}");
    for child in &shards[1..] {
        assert_eq!(child.parent_shard_id(), Some(shard_id(0).as_str()));
        assert_eq!(child.adjacent_parent_shard_id(), None);
        let starting = child.sequence_number_range().unwrap().starting_sequence_number();
        subject.check("child-numbers-follow", ending.len() == 56 && starting > ending, (ending, starting));
    }
    assert_eq!(shards[2].hash_key_range().unwrap().starting_hash_key(), MIDDLE);

    assert_eq!(subject.put(&stream, "a", b"lower").await.0, shard_id(1));
    assert_eq!(subject.put(&stream, "b", b"upper").await.0, shard_id(2));
    let (payloads, children) = subject.to_the_end(&stream, 0).await;
    assert_eq!(payloads, ["before"]);
    let wanted = vec![(shard_id(1), ids(&[0])), (shard_id(2), ids(&[0]))];
    subject.check("child-shards-of-split", children == wanted, children);
    assert_eq!(subject.payloads(&stream, &shard_id(1), 1).await, ["lower"]);
    let summary = subject.client.describe_stream_summary().stream_name(&stream).send().await.unwrap();
    assert_eq!(summary.stream_description_summary().unwrap().open_shard_count(), 2);
}

#[tokio::test]
async fn an_iterator_from_before_a_split_leads_to_the_end() {
    let subject = Subject::start().await;
    let stream = subject.stream(1).await;
    let latest = subject.iterator(&stream, &shard_id(0), ShardIteratorType::Latest).await;
    subject.put(&stream, "a", b"last").await;
    subject.split(&stream, 0, MIDDLE).await;
    let (records, last) = subject.read(&latest, 0).await;
    assert_eq!(records.len(), 1);
    assert!(last.expect("a closed shard ends").next_shard_iterator().is_none());
    // A new iterator for a closed shard is still to be had, and ends at once at the tip.
    let closed = subject.iterator(&stream, &shard_id(0), ShardIteratorType::Latest).await;
    let (records, last) = subject.read(&closed, 0).await;
    assert!(records.is_empty());
    assert!(last.is_some());
}

#[tokio::test]
async fn both_parents_of_a_merge_lead_to_the_child() {
    let subject = Subject::start().await;
    let stream = subject.stream(2).await;
    subject.put(&stream, "a", b"lower").await;
    subject.put(&stream, "b", b"upper").await;
    subject.merge(&stream, 0, 1).await;
    let shards = subject.shards(&stream).await;
    assert_eq!(shards.iter().map(is_open).collect::<Vec<_>>(), [false, false, true]);
    assert_eq!(shards[2].parent_shard_id(), Some(shard_id(0).as_str()));
    assert_eq!(shards[2].adjacent_parent_shard_id(), Some(shard_id(1).as_str()));
    assert_eq!(shards[2].hash_key_range().unwrap().ending_hash_key(), u128::MAX.to_string());
    for (parent, payload) in [(0, "lower"), (1, "upper")] {
        let (payloads, children) = subject.to_the_end(&stream, parent).await;
        assert_eq!(payloads, [payload]);
        let wanted = vec![(shard_id(2), ids(&[0, 1]))];
        subject.check("child-shards-of-merge", children == wanted, children);
    }
}

#[tokio::test]
async fn a_shard_is_split_only_inside_its_range() {
    let subject = Subject::start().await;
    let max = u128::MAX.to_string();
    for (name, at) in [("split-at-start", "0"), ("split-at-end", &max), ("split-elsewhere", MIDDLE)] {
        let stream = subject.stream(3).await;
        let shard = shard_id(if name == "split-at-end" { 2 } else { 0 });
        let split = subject.client.split_shard().stream_name(&stream).shard_to_split(shard);
        let refused = split.new_starting_hash_key(at).send().await;
        subject.check_code(name, "InvalidArgumentException", &refused);
    }
}

#[tokio::test]
async fn what_cannot_be_split_or_merged_is_refused() {
    let subject = Subject::start().await;
    let stream = subject.stream(3).await;
    let split = |shard: usize, at: &str| {
        let split = subject.client.split_shard().stream_name(&stream).shard_to_split(shard_id(shard));
        split.new_starting_hash_key(at).send()
    };
    subject.check_code("split-unknown", "ResourceNotFoundException", &split(9, MIDDLE).await);
    let merge = |shard: usize, adjacent: usize| {
        let merge = subject.client.merge_shards().stream_name(&stream).shard_to_merge(shard_id(shard));
        merge.adjacent_shard_to_merge(shard_id(adjacent)).send()
    };
    subject.check_code("merge-not-adjacent", "InvalidArgumentException", &merge(0, 2).await);
    subject.merge(&stream, 0, 1).await;
    let refused = split(0, "1000").await;
    subject.check("split-closed", code(&refused) != "ok", code(&refused));
    let refused = merge(0, 1).await;
    subject.check("merge-closed", code(&refused) != "ok", code(&refused));
}

#[tokio::test]
async fn the_shard_count_is_doubled_and_halved() {
    let subject = Subject::start().await;
    let stream = subject.stream(2).await;
    let update = |target: i32| {
        let update = subject.client.update_shard_count().stream_name(&stream).target_shard_count(target);
        update.scaling_type(ScalingType::UniformScaling).send()
    };
    let doubled = update(4).await;
    subject.check("update-shard-count", code(&doubled) == "ok", code(&doubled));
    let Ok(doubled) = doubled else { return };
    assert_eq!((doubled.current_shard_count(), doubled.target_shard_count()), (Some(2), Some(4)));
    subject.settle(&stream).await;
    let open: Vec<_> = subject.shards(&stream).await.into_iter().filter(is_open).collect();
    assert_eq!(open.len(), 4);
    let mut starts: Vec<u128> = open
        .iter()
        .map(|shard| shard.hash_key_range().unwrap().starting_hash_key().parse().unwrap())
        .collect();
    starts.sort_unstable();
    let quarter = 1u128 << 126;
    subject.check("update-shard-count-even", starts == [0, quarter, 2 * quarter, 3 * quarter], &starts);
    let refused = update(9).await;
    subject.check("update-more-than-double", code(&refused) != "ok", code(&refused));
    let refused = update(1).await;
    subject.check("update-less-than-half", code(&refused) != "ok", code(&refused));
    update(2).await.unwrap();
    subject.settle(&stream).await;
    assert_eq!(subject.shards(&stream).await.iter().filter(|shard| is_open(shard)).count(), 2);
}
