//! Pages held against what was put.
#![allow(clippy::unwrap_used)]
use super::*;
use serde_json::Value;

fn log_of(payloads: &[String]) -> Log {
    let mut log = Log::new("49".to_owned() + &"0".repeat(SEQUENCE_PREFIX_DIGITS - 2));
    for (index, payload) in payloads.iter().enumerate() {
        let size = payload.len() as u64;
        log.append(Incoming { base64: payload, partition_key: "k\"\n", size }, index as u64);
    }
    log
}

fn data(page: &Page) -> Vec<String> {
    let bytes = page.pieces.concat();
    let text = format!("[{}]", String::from_utf8_lossy(bytes.get(1..).unwrap_or_default()));
    let records: Vec<Value> = serde_json::from_str(&text).unwrap();
    assert!(records.iter().all(|record| record["PartitionKey"] == "k\"\n"));
    records.iter().map(|record| record["Data"].as_str().unwrap().to_owned()).collect()
}

/// Payloads of all lengths, so that blocks end at odd places and one record needs a block of its own.
fn payloads() -> Vec<String> {
    (0..3_000).map(|i| "x".repeat(if i == 1_500 { 2 * BLOCK_BYTES } else { i % 997 })).collect()
}

#[test]
fn pages_of_any_limit_give_every_record_once() {
    let payloads = payloads();
    for limit in [1, 7, 500, 10_000] {
        let mut log = log_of(&payloads);
        let (mut got, mut from) = (Vec::new(), 0);
        loop {
            let page = log.page(from, limit, u64::MAX / 2);
            assert!(page.count <= limit);
            got.extend(data(&page));
            from = page.next;
            if !page.more {
                break;
            }
        }
        assert!(got == payloads, "limit {limit}: {} of {}", got.len(), payloads.len());
    }
}

#[test]
fn a_page_keeps_to_its_size_but_gives_one_record_however_large() {
    let mut log = log_of(&["xxxx".to_owned(), "yyyy".to_owned(), "zzzzzzzz".to_owned()]);
    assert_eq!(data(&log.page(0, 10, 8)), ["xxxx", "yyyy"]);
    assert_eq!(data(&log.page(0, 10, 7)), ["xxxx"]);
    assert_eq!(data(&log.page(0, 10, 1)), ["xxxx"]);
    assert_eq!(log.page(0, 10, 16).size, 16);
}

#[test]
fn trimming_leaves_the_rest_as_it_was() {
    let payloads = payloads();
    let mut log = log_of(&payloads);
    log.page(0, 1, 1);
    log.trim_before(10);
    assert_eq!(data(&log.page(0, 5, 1 << 20)), payloads[10..15]);
    log.trim_count(2_000);
    assert_eq!(data(&log.page(0, 5, 1 << 20)), payloads[2_010..2_015]);
    log.trim_count(10_000);
    assert!(log.is_empty() && log.blocks.is_empty());
    log.append(Incoming { base64: "bmV3", partition_key: "k\"\n", size: 3 }, 0);
    assert_eq!(data(&log.page(0, 5, 1 << 20)), ["bmV3"]);
    assert_eq!(log.appended(), 3_001);
}

#[test]
fn arrival_never_runs_backwards() {
    let mut log = log_of(&["a".repeat(4), "b".repeat(4)]);
    log.append(Incoming { base64: "cccc", partition_key: "k\"\n", size: 3 }, 0);
    assert_eq!(log.counter_at(1), log.page(0, 1, 4).next + 7);
    assert_eq!(data(&log.page(log.counter_at(1), 10, 100)), ["bbbb", "cccc"]);
    assert_eq!(log.counter_at(2), log.next_counter());
}
