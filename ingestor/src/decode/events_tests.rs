#![allow(clippy::unwrap_used)]

use super::super::compression::{Format, Setting, compress};
use super::super::kpl::aggregate;
use super::super::tests::{BOUNDS, decoder, feed, record, unhex, vectors};
use super::*;
use crate::decode::Bounds;
use proptest::prelude::*;

fn subject(events: Events) -> Decoder {
    let mut feed = feed(&[]);
    feed.events = events;
    decoder(&[super::super::tests::TS, ("event_id", 20, "bigint", -1, false)], &feed)
}

fn event(id: i64) -> String {
    format!("{{\"ts\":\"2026-01-01T00:00:00Z\",\"event_id\":{id}}}")
}

/// Ids of the rows, and number and SQLSTATE of the rejects.
type Outcome = (Vec<(Option<u32>, i64)>, Vec<(Option<u32>, String)>);

fn outcome(subject: &mut Decoder, data: impl AsRef<[u8]>) -> Outcome {
    let decoded = subject.decode(&[record(data)]);
    let mut end = 0;
    let rows = decoded.rows.iter().map(|row| {
        assert_eq!(row.start, end, "rows lie one after the other");
        end = row.end;
        let id = &decoded.bytes[row.end as usize - 20..row.end as usize - 12];
        (row.event.number(), i64::from_be_bytes(id.try_into().unwrap()))
    });
    let rows = rows.collect();
    assert_eq!(decoded.bytes.len(), end as usize, "nothing of a reject is left");
    let rejects = decoded.rejects.iter().map(|r| (r.event.number(), r.sqlstate.clone().unwrap())).collect();
    (rows, rejects)
}

fn rows(ids: &[i64]) -> Vec<(Option<u32>, i64)> {
    ids.iter().enumerate().map(|(i, id)| (Some(u32::try_from(i).unwrap()), *id)).collect()
}

#[test]
fn compressed_payloads_are_taken_by_their_magic() {
    for format in [Format::Gzip, Format::Zstd, Format::Lz4] {
        let payload = compress(format, event(7).as_bytes()).unwrap();
        assert_eq!(outcome(&mut subject(Events::One), payload.clone()), (vec![(None, 7)], vec![]));
        let mut cut = subject(Events::One).decode(&[record(&payload[..payload.len() - 3])]);
        let reject = cut.rejects.remove(0);
        assert_eq!((reject.sqlstate.as_deref(), reject.event), (Some("22P03"), EventNumber::WHOLE));
        assert!(reject.reason.contains(format.name()), "{}", reject.reason);
    }
    let mut gzip = feed(&[]);
    gzip.compression = Setting::Gzip;
    let plain = outcome(&mut decoder(&[super::super::tests::TS], &gzip), event(1));
    assert_eq!(plain, (vec![], vec![(None, "22P03".to_owned())]));
    let mut none = feed(&[]);
    none.compression = Setting::None;
    let packed = compress(Format::Gzip, event(1).as_bytes()).unwrap();
    assert_eq!(
        outcome(&mut decoder(&[super::super::tests::TS], &none), packed).1,
        [(None, "22021".to_owned())]
    );
}

#[test]
fn arrays_and_lines() {
    let array = format!(" [ {} , {}, 5, {{}}, {} ] ", event(1), event(2), event(3));
    let bad = vec![(Some(2), "22P02".to_owned()), (Some(3), "23502".to_owned())];
    let three = vec![(Some(0), 1), (Some(1), 2), (Some(4), 3)];
    assert_eq!(outcome(&mut subject(Events::Array), array), (three.clone(), bad.clone()));
    let lines = format!("{}\r\n\n{}\n5\n{{}}\n{}", event(1), event(2), event(3));
    assert_eq!(outcome(&mut subject(Events::Lines), lines), (three, bad));
    assert_eq!(outcome(&mut subject(Events::Array), event(9)), (rows(&[9]), vec![]));
    for (mode, none) in [(Events::Array, "[]"), (Events::Lines, " \n\n"), (Events::Lines, "")] {
        assert_eq!(outcome(&mut subject(mode), none), (vec![], vec![]), "{none:?}");
    }
    // An array that breaks off is not taken in part; a line that is broken leaves the others alone.
    for broken in [
        format!("[{},{}", event(1), event(2)),
        format!("[{} {}]", event(1), event(2)),
        format!("[{}]x", event(1)),
    ] {
        assert_eq!(outcome(&mut subject(Events::Array), broken), (vec![], vec![(None, "22P02".to_owned())]));
    }
    let lines = [event(1).as_bytes(), b"\n{\"ts\":\xff}\n", event(2).as_bytes()].concat();
    let (found, refused) = outcome(&mut subject(Events::Lines), lines);
    assert_eq!((found, refused), (vec![(Some(0), 1), (Some(2), 2)], vec![(Some(1), "22021".to_owned())]));
    assert_eq!(outcome(&mut subject(Events::One), "[]").1, [(None, "22P02".to_owned())]);
}

#[test]
fn a_bad_user_record_leaves_the_others_alone() {
    let good = compress(Format::Gzip, format!("{}\n{}", event(1), event(2)).as_bytes()).unwrap();
    let cut = &good[..good.len() - 1];
    let last = event(3);
    let users = [("a", good.as_slice()), ("b", cut), ("c", b"{"), ("ключ", last.as_bytes())];
    let packed = record(aggregate(users.into_iter()));
    let decoded = subject(Events::Lines).decode(std::slice::from_ref(&packed));
    let events: Vec<_> = decoded.rows.iter().map(|r| r.event.number()).collect();
    assert_eq!(events, [Some(0), Some(1), Some(4)]);
    let refused: Vec<_> = decoded.rejects.iter().map(|r| (r.event.number(), r.sqlstate.as_deref())).collect();
    assert_eq!(refused, [(Some(2), Some("22P03")), (Some(3), Some("22P02"))]);
    let starts: Vec<_> = decoded.keys.iter().map(|k| k.event).collect();
    assert_eq!(starts, [0, 2, 3, 4]);
    let key = &decoded.keys[3];
    assert_eq!(&packed.data()[key.start as usize..key.end as usize], "ключ".as_bytes());
    assert_eq!(outcome(&mut subject(Events::One), aggregate([].into_iter())).1, [(None, "22021".to_owned())]);
}

#[test]
fn bounds_hold_for_the_whole_record() {
    let large = compress(Format::Gzip, &vec![b' '; 600_000]).unwrap();
    let ok = event(1);
    // Each user record is within the limit, the record is not: nothing of it is taken.
    let users = [("a", ok.as_bytes()), ("b", large.as_slice()), ("c", large.as_slice())];
    assert_eq!(
        outcome(&mut subject(Events::Lines), aggregate(users.into_iter())),
        (vec![], vec![(None, "54000".to_owned())])
    );
    assert_eq!(
        outcome(&mut subject(Events::Lines), aggregate(users.into_iter().take(2))),
        (rows(&[1]), vec![])
    );
    for (text, mode) in
        [(format!("[{}0]", "0,".repeat(1000)), Events::Array), ("0\n".repeat(1001), Events::Lines)]
    {
        assert_eq!(outcome(&mut subject(mode), text), (vec![], vec![(None, "54000".to_owned())]));
    }
    let users = std::iter::repeat_n(("a", ok.as_bytes()), 1001);
    assert_eq!(
        outcome(&mut subject(Events::One), aggregate(users)),
        (vec![], vec![(None, "54000".to_owned())])
    );
}

#[test]
fn a_page_that_grows_goes_on_in_another_chunk() {
    let line = format!("{}\n", event(1));
    let packed = compress(Format::Zstd, line.repeat(900).as_bytes()).unwrap();
    let records: Vec<Record> = (0..100).map(|_| record(packed.clone())).collect();
    let mut subject = subject(Events::Lines);
    let (mut left, mut rows, mut chunks) = (records.as_slice(), 0, 0);
    while !left.is_empty() {
        let decoded = subject.decode(left);
        assert!(decoded.bytes.len() + decoded.beside() < BOUNDS.chunk_bytes + 900 * 150);
        assert_eq!(decoded.rows.len(), decoded.records * 900, "no record is split");
        (rows, chunks) = (rows + decoded.rows.len(), chunks + 1);
        left = &left[decoded.records..];
    }
    assert!(rows == 90_000 && chunks > 5 && chunks < 20, "{rows} rows in {chunks} chunks");
}

#[test]
fn records_of_other_libraries() {
    let mut first = 0;
    for vector in vectors() {
        let count = vector["events"].as_i64().unwrap();
        let ids: Vec<i64> = (first..first + count).collect();
        let found = outcome(&mut subject(Events::Lines), unhex(vector["record"].as_str().unwrap()));
        assert_eq!(found, (rows(&ids), vec![]), "{}", vector["name"]);
        first += count;
    }
    assert_eq!(first, 500);
}

proptest! {
    #[test]
    fn nothing_panics_and_everything_is_accounted_for(
        users in proptest::collection::vec(proptest::collection::vec(
            prop_oneof![Just("{\"ts\":1}".to_owned()), "[\\[\\]{},1\"\n ]{0,20}".prop_map(|s: String| s)], 0..4), 0..5),
        format in proptest::option::of(0_usize..3),
        mode in 0_usize..3,
        damage in proptest::option::of((any::<u16>(), 1_u8..)),
    ) {
        let payloads: Vec<Vec<u8>> = users.iter().map(|lines| {
            let text = lines.join("\n").into_bytes();
            format.map_or(text.clone(), |f| compress([Format::Gzip, Format::Zstd, Format::Lz4][f], &text).unwrap())
        }).collect();
        let mut data = aggregate(payloads.iter().map(|p| ("k", p.as_slice())));
        if let Some((at, bits)) = damage {
            let at = usize::from(at) % data.len();
            data[at] ^= bits;
        }
        let mode = [Events::One, Events::Array, Events::Lines][mode];
        let (rows, rejects) = outcome(&mut subject(mode), data);
        let mut numbers: Vec<_> = rows.iter().map(|r| r.0).chain(rejects.iter().map(|r| r.0)).collect();
        numbers.sort_unstable();
        let all: Vec<_> = (0..).map(Some).take(numbers.len()).collect();
        prop_assert!(numbers == all || (rows.is_empty() && numbers == [None]), "{numbers:?}");
    }

    #[test]
    fn a_small_limit_holds(payload in "[{}1\n]{0,200}", limit in 1_u32..10) {
        let mut subject = subject(Events::Lines);
        subject.bounds = Bounds { record_events: limit, ..BOUNDS };
        let (rows, rejects) = outcome(&mut subject, payload);
        prop_assert!(rows.len() + rejects.len() <= limit as usize);
    }
}
