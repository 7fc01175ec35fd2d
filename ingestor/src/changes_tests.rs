#![allow(clippy::unwrap_used)]

use super::*;
use crate::batch::Chunk;
use crate::config::{Feed, Missing};
use crate::decode::Decoder;
use crate::decode::envelope::Kind;
use crate::decode::tests::{ID, Spec, feed, keyed, record};
use crate::lease::{Checkpoint, Lease};
use crate::stream::Record;
use proptest::prelude::*;
use std::collections::BTreeMap;
use std::sync::Arc;

const SPECS: [Spec; 3] = [ID, ("a", 25, "text", -1, false), ("b", 25, "text", -1, false)];

fn chunk(subject: &mut Decoder, records: Vec<Record>) -> Chunk {
    let decoded = subject.decode(&records);
    assert!(decoded.rejects.is_empty(), "{:?}", decoded.rejects);
    Chunk {
        lease: Arc::new(Lease::new("t", "s", "shard", 1, Checkpoint::default())),
        records,
        bytes: decoded.bytes.into(),
        rows: decoded.rows,
        rejects: decoded.rejects,
        keys: decoded.keys,
        ended: false,
        trace: tracing::Span::none(),
    }
}

fn message(change: &Given) -> Record {
    let (id, values) = change;
    let text = match values {
        None => format!(r#"{{"op":"d","before":{{"id":{id}}}}}"#),
        Some(values) => {
            let member = |name: &str, value: Option<&str>| {
                value.map(|v| format!(r#","{name}":"{v}""#)).unwrap_or_default()
            };
            let (a, b) = (member("a", values[0]), member("b", values[1]));
            format!(r#"{{"op":"u","after":{{"id":{id}{a}{b}}}}}"#)
        }
    };
    record(text)
}

/// An id, and the values it gets or that it goes.
type Given<'a> = (i64, Option<[Option<&'a str>; 2]>);

/// What a batch comes to: by id the values it sets, those it keeps, or that the row goes.
type Outcome = BTreeMap<i64, Option<(Vec<Option<String>>, Vec<i16>)>>;

fn outcome(batch: &Batch, places: &[Place]) -> Outcome {
    let text = |value: Option<&[u8]>| value.map(|v| String::from_utf8(v.to_vec()).unwrap());
    places
        .iter()
        .map(|place| {
            let fields = fields(batch, *place);
            let id = i64::from_be_bytes(fields[0].unwrap().try_into().unwrap());
            let set = (vec![text(fields[1]), text(fields[2])], numbers(fields[3]).unwrap_or_default());
            (id, (fields[4] == Some(&[0])).then_some(set))
        })
        .collect()
}

fn batch_of(changes: &[Vec<Given>]) -> (Batch, LastByKey) {
    let patch = Feed { missing: Missing::Keep, ..feed(&[]) };
    let mut subject = keyed(&SPECS, Kind::Debezium, patch);
    let mut batch = Batch::default();
    for part in changes {
        batch.push(chunk(&mut subject, part.iter().map(message).collect()));
    }
    let columns = subject.plan().columns.clone();
    let found = last_by_key(&mut batch, &columns, &[0]);
    (batch, found)
}

#[test]
fn the_last_change_of_a_key_counts_and_is_made_whole() {
    let (a, b) = (Some("a1"), Some("b1"));
    let first = vec![(1, Some([a, b])), (2, Some([a, None])), (3, Some([a, b])), (4, None)];
    let second = vec![
        (1, Some([Some("a2"), None])),
        (2, Some([None, None])),
        (3, None),
        (3, Some([None, b])),
        (4, Some([a, None])),
    ];
    let (batch, found) = batch_of(&[first, second]);
    let own = |text: &str| Some(text.to_owned());
    let expected = BTreeMap::from([
        (1, Some((vec![own("a2"), own("b1")], vec![]))),
        (2, Some((vec![own("a1"), None], vec![3]))),
        // After a delete there is nothing to keep.
        (3, Some((vec![None, own("b1")], vec![]))),
        (4, Some((vec![own("a1"), None], vec![]))),
    ]);
    assert_eq!(outcome(&batch, &found.places), expected);
    assert!(found.places.is_sorted());
    // Every change that was left out is one step behind another.
    assert_eq!(found.before.len(), 5);
    assert_eq!(found.before[&(1, 3)], (1, 2));
    assert_eq!(found.before[&(1, 2)], (0, 2));
}

#[test]
fn equal_keys_are_equal_however_they_are_written() {
    let specs: [Spec; 1] = [("id", 1700, "numeric", -1, true)];
    let mut subject = keyed(&specs, Kind::None, feed(&[]));
    let mut batch = Batch::default();
    let records = ["1.0", "1.00", "10", "0", "0.000", "-1"].map(|id| record(format!("{{\"id\":{id}}}")));
    batch.push(chunk(&mut subject, records.into()));
    let columns = subject.plan().columns.clone();
    assert_eq!(last_by_key(&mut batch, &columns, &[0]).places, [(0, 1), (0, 2), (0, 4), (0, 5)]);
}

fn changes() -> impl Strategy<Value = Vec<Vec<Given<'static>>>> {
    let value = || proptest::option::of(prop_oneof![Just("x"), Just("y"), Just("z")]);
    let set = (value(), value()).prop_map(|(a, b)| [a, b]);
    let change = (0_i64..4, proptest::option::weighted(0.7, set));
    proptest::collection::vec(proptest::collection::vec(change, 0..8), 0..4)
}

proptest! {
    /// One statement with what counts comes to the same as all changes one after the other, whatever was there.
    #[test]
    fn what_counts_comes_to_the_same_as_everything(changes in changes(), there in proptest::bool::ANY) {
        let apply = |rows: &mut BTreeMap<i64, Vec<Option<String>>>, id: i64, values: Option<Vec<Option<String>>>, kept: &[i16]| {
            match values {
                None => drop(rows.remove(&id)),
                Some(mut values) => {
                    for number in kept {
                        let at = usize::try_from(number - 2).unwrap();
                        values[at] = rows.get(&id).and_then(|row| row[at].clone());
                    }
                    rows.insert(id, values);
                }
            }
        };
        let start: BTreeMap<i64, Vec<Option<String>>> = if there {
            (0..4).map(|id| (id, vec![Some("p".to_owned()), Some("q".to_owned())])).collect()
        } else {
            BTreeMap::new()
        };
        let mut one_by_one = start.clone();
        for (id, values) in changes.iter().flatten() {
            let kept: Vec<i16> = values.iter().flatten().zip(2_i16..).filter(|(v, _)| v.is_none()).map(|(_, n)| n).collect();
            let values = values.map(|values| values.iter().map(|v| v.map(str::to_owned)).collect());
            apply(&mut one_by_one, *id, values, &kept);
        }
        let (batch, found) = batch_of(&changes);
        let mut at_once = start;
        for (id, set) in outcome(&batch, &found.places) {
            let (values, kept) = set.map_or((None, vec![]), |(values, kept)| (Some(values), kept));
            apply(&mut at_once, id, values, &kept);
        }
        prop_assert_eq!(at_once, one_by_one);
    }
}
