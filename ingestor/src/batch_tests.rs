#![allow(clippy::unwrap_used)]

use super::*;
use crate::decode::event_time::TimeType::TimestampTz;
use crate::layout::Leaf;
use crate::lease::Checkpoint;
use proptest::prelude::*;

fn lease(shard: &str) -> Arc<Lease> {
    Arc::new(Lease::new("t", "arn", shard, 1, Checkpoint::default()))
}

/// A chunk whose rows have these times; every row is its number's eight bytes and the place of the batch id.
fn chunk(lease: &Arc<Lease>, first: u64, times: &[i64]) -> Chunk {
    let mut bytes = Vec::new();
    let mut rows = Vec::new();
    let mut records = Vec::new();
    for (i, time) in (0_u32..).zip(times) {
        let number = first + u64::from(i);
        bytes.extend_from_slice(&number.to_be_bytes());
        bytes.extend_from_slice(&[0; 8]);
        let mut hash = [0; 32];
        hash[..8].copy_from_slice(&number.to_be_bytes());
        rows.push(Row {
            record: i,
            start: i * 16,
            end: i * 16 + 16,
            event: EventNumber::WHOLE,
            time: *time,
            hash,
        });
        records.push(Record::new(b"", &number.to_string(), "", None));
    }
    let (bytes, rejects, keys) = (bytes.into(), Vec::new(), Vec::new());
    Chunk {
        lease: Arc::clone(lease),
        records,
        bytes,
        rows,
        rejects,
        keys,
        ended: false,
        trace: tracing::Span::none(),
    }
}

fn batch(chunks: Vec<Chunk>) -> Batch {
    let mut batch = Batch::default();
    for chunk in chunks {
        batch.push(chunk);
    }
    batch
}

fn layout() -> Layout {
    let leaf = |oid, lower, upper| Leaf { oid, lower, upper };
    Layout {
        leaves: vec![leaf(1, 0, 10), leaf(2, 10, 20), leaf(3, 30, 40)],
        accepted: (2, 50),
        confirmed: false,
    }
}

#[test]
fn a_lost_end_of_a_shard_moves_the_places_of_the_rest() {
    let (gone, kept) = (lease("gone"), lease("kept"));
    let mut batch = Batch::default();
    batch.push(Chunk { ended: true, ..chunk(&gone, 0, &[]) });
    batch.push(chunk(&kept, 1, &[5]));
    batch.push(chunk(&kept, 2, &[6]));
    batch.arranged = Some(Arranged {
        places: vec![(1, 0), (2, 0)],
        unplaced: Vec::new(),
        roots: Vec::new(),
        before: std::collections::HashMap::new(),
    });
    gone.lose();
    assert_eq!(batch.drop_lost(), 0, "no record is lost");
    assert!(batch.arranged().is_none(), "places would name the rows of other chunks");
}

#[test]
fn rows_go_to_leaves_and_the_rest_to_dead_letters() {
    let batch =
        batch(vec![chunk(&lease("a"), 0, &[1, 2, 9, 10]), chunk(&lease("b"), 100, &[19, 20, 39, 51])]);
    assert_eq!(batch.range(), Some((1, 51)));
    let (places, refused) = batch.place(&layout(), TimestampTz);
    assert_eq!(places, [(0, 1), (0, 2), (0, 3), (1, 0), (1, 2)]);
    assert_eq!(
        refused.iter().map(|r| (r.chunk, r.reject.record)).collect::<Vec<_>>(),
        [(0, 0), (1, 1), (1, 3)]
    );
    assert!(refused[0].reject.reason.contains("window") && refused[1].reject.reason.contains("partition"));
    let roots = batch.roots(&places, &layout());
    assert_eq!(roots.iter().map(|r| (r.oid, r.rows)).collect::<Vec<_>>(), [(1, 2), (2, 2), (3, 1)]);
    assert_eq!(roots[2].root, batch.row((1, 2)).hash);
    assert_eq!(batch.range_of(&places), Some((2, 39)));
}

#[test]
fn overlapping_leaves_have_no_roots() {
    let mut layout = layout();
    layout.leaves[1].lower = 5;
    let batch = batch(vec![chunk(&lease("a"), 0, &[6])]);
    assert!(batch.roots(&[(0, 0)], &layout).is_empty());
}

#[test]
fn checkpoints_advance_by_shard_in_order() {
    let (a, b) = (lease("a"), lease("b"));
    let mut end = chunk(&a, 0, &[]);
    end.ended = true;
    let batch = batch(vec![chunk(&b, 100, &[5, 6]), chunk(&a, 1, &[5]), chunk(&b, 102, &[7]), end]);
    let advances = batch.advances(&[(0, 0), (0, 1), (1, 0)]);
    let plain: Vec<_> = advances
        .iter()
        .map(|a| (a.lease.shard.as_str(), a.first.as_deref(), a.last.as_deref(), a.rows, a.ended))
        .collect();
    assert_eq!(plain, [("a", Some("1"), Some("1"), 1, true), ("b", Some("100"), Some("102"), 2, false)]);
    assert!(advances[1].is_covered_by(Some("102"), false));
    assert!(!advances[1].is_covered_by(Some("99"), false));
    assert!(!advances[1].is_covered_by(None, false));
    assert!(!advances[0].is_covered_by(Some("1"), false));
    assert!(advances[0].is_covered_by(Some("1"), true));
}

#[test]
fn lost_shards_leave_the_batch() {
    let (a, b) = (lease("a"), lease("b"));
    let mut batch = batch(vec![chunk(&a, 0, &[5, 6]), chunk(&b, 10, &[7])]);
    a.lose();
    assert_eq!(batch.drop_lost(), 2);
    assert_eq!((batch.rows(), batch.records(), batch.chunks.len()), (1, 1, 1));
}

proptest! {
    #[test]
    fn slices_are_the_chosen_rows_stamped(
        sizes in proptest::collection::vec(0_usize..40, 0..5),
        chosen in proptest::collection::vec(any::<bool>(), 200),
        batch_id in any::<i64>(),
    ) {
        let lease = lease("a");
        let mut first = 0;
        let mut batch = Batch::default();
        for size in sizes {
            batch.push(chunk(&lease, first, &vec![5; size]));
            first += size as u64;
        }
        let kept = batch.slices(&[]).count();
        prop_assert_eq!(kept, 0);
        let held = batch.chunks.first().map(|c| c.bytes.clone());
        batch.stamp(batch_id);
        drop(held);
        let (mut places, _) = batch.place(&layout(), TimestampTz);
        let mut choose = chosen.into_iter();
        places.retain(|_| choose.next().unwrap_or(true));
        let sent: Vec<u8> = batch.slices(&places).flatten().collect();
        let wanted: Vec<u8> = places.iter().flat_map(|(c, r)| {
            let before: usize = batch.chunks[..*c as usize].iter().map(|c| c.rows.len()).sum();
            let number = before as u64 + u64::from(*r);
            [number.to_be_bytes(), batch_id.to_be_bytes()].concat()
        }).collect();
        prop_assert_eq!(sent, wanted);
    }
}
