//! Whatever a record holds, the batch around it commits, and the record is kept whole with what was wrong with it.

use anyhow::{Context, Result, ensure};
use fastrand::Rng;
use std::collections::HashMap;
use strata_e2e::{Cluster, Endpoint, Event, Sidecar, events, promises, until};
use tokio_postgres::Row;

/// What is wrong, the record, the SQLSTATE to expect (empty where any or none will do) and the column.
type Case = (&'static str, Vec<u8>, &'static str, Option<&'static str>);

const SIZE_MAX: usize = 8_192;

fn record(fields: &str) -> Vec<u8> {
    let now = events::now_ms();
    format!(r#"{{"event_id": 1, "ts": {now}, "user_id": 7, "kind": "view", {fields}}}"#).into_bytes()
}

/// A record with one field replaced by bytes that need not be text.
fn with_kind(bytes: &[u8]) -> Vec<u8> {
    let now = events::now_ms();
    let mut record = format!(r#"{{"event_id": 1, "ts": {now}, "user_id": 7, "kind": ""#).into_bytes();
    record.extend_from_slice(bytes);
    record.extend_from_slice(b"\"}");
    record
}

/// Records that are no object in JSON.
fn shapes() -> Vec<Case> {
    let now = events::now_ms();
    let text = |text: String| text.into_bytes();
    vec![
        ("not JSON", b"not JSON at all".to_vec(), "", None),
        ("empty", b" ".to_vec(), "", None),
        ("no object", b"[1, 2]".to_vec(), "", None),
        ("cut off", text(format!(r#"{{"event_id": 1, "ts": {now}, "user_"#)), "", None),
        (
            "more behind",
            text(format!(r#"{{"event_id": 1, "ts": {now}, "user_id": 7, "kind": "x"}} {{"#)),
            "",
            None,
        ),
        (
            "over the size limit",
            record(&format!(r#""device": {{"pad": "{}"}}"#, "x".repeat(SIZE_MAX))),
            "",
            None,
        ),
    ]
}

/// Values their column cannot take.
fn values() -> Vec<Case> {
    let now = events::now_ms();
    let of = |event_id: &str, ts: &str, rest: &str| {
        format!(r#"{{"event_id": {event_id}, "ts": {ts}, "kind": "view"{rest}}}"#).into_bytes()
    };
    let now = now.to_string();
    let user = r#", "user_id": 7"#;
    vec![
        ("NOT NULL left out", of("1", &now, ""), "23502", Some("user_id")),
        ("NOT NULL null", of("1", &now, r#", "user_id": null"#), "23502", Some("user_id")),
        ("no time", of("1", "null", user), "23502", Some("ts")),
        ("int4 out of range", of("1", &now, r#", "user_id": 2147483648"#), "22003", Some("user_id")),
        ("int8 out of range", of("9223372036854775808", &now, user), "22003", Some("event_id")),
        ("int4 no number", of("1", &now, r#", "user_id": "seven""#), "22P02", Some("user_id")),
        ("numeric out of range", record(r#""amount": 12345678901.23"#), "22003", Some("amount")),
        ("varchar too long", record(&format!(r#""item": "{}""#, "x".repeat(41))), "22001", Some("item")),
        ("time no time", of("1", r#""yesterday""#, user), "22007", Some("ts")),
        ("time long ago", of("1", r#""1999-12-31T23:59:59Z""#, user), "", Some("ts")),
        ("time far ahead", of("1", r#""9999-01-01T00:00:00Z""#, user), "", Some("ts")),
        ("refused by a constraint", record(r#""amount": -1"#), "23514", None),
        ("refused by a unique index", Vec::new(), "23505", None),
    ]
}

/// Text PostgreSQL cannot hold.
fn texts() -> Vec<Case> {
    vec![
        ("invalid UTF-8", with_kind(b"caf\xe9"), "22021", None),
        ("NUL in text", with_kind(b"a\\u0000b"), "22P05", Some("kind")),
        ("NUL in jsonb", record(r#""device": {"a": "x\u0000y"}"#), "22P05", Some("device")),
        ("lone surrogate in jsonb", record(r#""device": {"a": "\ud800"}"#), "22P02", Some("device")),
    ]
}

/// What is wrong with a dead letter.
fn faults(case: &Case, letter: &Row, record: &[u8]) -> Result<Vec<String>> {
    let (name, _, sqlstate, column) = case;
    let reason: String = letter.get("reason");
    let code: Option<String> = letter.get("sqlstate");
    let found: Option<String> = letter.get("column_name");
    eprintln!(
        "{name:26} {:6} {:10} {reason}",
        code.as_deref().unwrap_or("-"),
        found.as_deref().unwrap_or("-")
    );
    let mut faults = Vec::new();
    if reason.is_empty() || (!sqlstate.is_empty() && code.as_deref() != Some(sqlstate)) {
        faults.push(format!("{name}: SQLSTATE {code:?}, expected {sqlstate}"));
    }
    if column.is_some() && found.as_deref() != *column {
        faults.push(format!("{name}: column {found:?}, expected {column:?}"));
    }
    let size = usize::try_from(letter.get::<_, i32>("payload_bytes"))?;
    if lz4_flex::block::decompress(letter.get("payload"), size).context(*name)? != record {
        faults.push(format!("{name}: the payload is not the record"));
    }
    if !letter.get::<_, bool>("placed") {
        faults.push(format!("{name}: stream, partition key, time of arrival or batch is missing"));
    }
    Ok(faults)
}

/// Good events with the bad ones among them, which have the ids -1, -2, … in the order of the cases.
fn mixture(cases: &[Case], rng: &mut Rng) -> Result<Vec<Event>> {
    let mut all = events::events(1000..1400, rng);
    let taken = record(r#""item": "taken""#);
    for (i, (_, bytes, sqlstate, _)) in cases.iter().enumerate() {
        let id = -i64::try_from(i)? - 1;
        let at = rng.usize(..all.len());
        if *sqlstate == "23505" {
            // One key, so one shard: the second one is refused.
            all.push(Event { id: 1, key: "taken".to_owned(), record: taken.clone() });
            all.push(Event { id, key: "taken".to_owned(), record: taken.clone() });
        } else {
            all.insert(at, Event { id, key: format!("bad-{i}"), record: bytes.clone() });
        }
    }
    Ok(all)
}

#[tokio::test(flavor = "multi_thread")]
async fn every_kind_becomes_a_dead_letter() -> Result<()> {
    let mut rng = strata_e2e::random("every_kind_becomes_a_dead_letter");
    let cluster = Cluster::start().await?;
    let endpoint = Endpoint::start().await?;
    endpoint.create_stream("clicks", 2).await?;
    let client = cluster.connect().await?;
    client.batch_execute(events::TABLE).await?;
    // What only the server can know: it refuses the COPY, and the record is found by the line it names.
    let rules = "ALTER TABLE clicks ADD CHECK (amount >= 0);
                 CREATE UNIQUE INDEX ON clicks (item, ts) WHERE item = 'taken'";
    client.batch_execute(rules).await?;

    let cases = [shapes(), values(), texts()].concat();
    let all = mixture(&cases, &mut rng)?;
    let told = endpoint.put("clicks", &all).await?;
    let size = format!("batch.record_bytes_max={SIZE_MAX}");
    let sidecar = Sidecar::ingest(&cluster, &endpoint, "clicks", &[&size])?;
    until("all rows and dead letters", async || {
        let rows = promises::number(&client, "SELECT count(*) FROM clicks").await?;
        let dead = promises::number(&client, "SELECT count(*) FROM strata.dead_letters").await?;
        Ok((rows + dead >= i64::try_from(all.len())?).then_some(()))
    })
    .await?;
    ensure!(sidecar.stop().await? == Some(0), "SIGTERM must end it with 0");

    let arn = endpoint.arn("clicks").await?;
    let query = "SELECT *, stream = $1 AND partition_key IS NOT NULL AND arrived_at IS NOT NULL
                     AND (relation, batch_id) IN (SELECT relation, batch_id FROM strata.batches) AS placed
                 FROM strata.dead_letters WHERE relation = 'clicks'::regclass";
    let letters = client.query(query, &[&arn]).await?;
    ensure!(letters.len() == cases.len(), "{} dead letters for {} bad records", letters.len(), cases.len());
    let by_place: HashMap<(String, String), &Row> =
        letters.iter().map(|row| ((row.get("shard"), row.get("sequence_number")), row)).collect();
    let records: HashMap<i64, &[u8]> = all.iter().map(|event| (event.id, event.record.as_slice())).collect();
    let mut wrong = Vec::new();
    for one in told.iter().filter(|one| one.id < 0) {
        let case = &cases[usize::try_from(-one.id - 1)?];
        match by_place.get(&(one.shard.clone(), one.sequence.clone())) {
            Some(letter) => wrong.extend(faults(case, letter, records[&one.id])?),
            None => wrong.push(format!("{}: no dead letter", case.0)),
        }
    }
    ensure!(wrong.is_empty(), "{wrong:#?}");

    let good = promises::number(&client, "SELECT count(*) FROM clicks WHERE event_id >= 1000").await?;
    ensure!(good == 400, "{good} good rows of 400");
    let partitions = "SELECT count(*) FROM pg_inherits WHERE inhparent = 'clicks'::regclass";
    let partitions = promises::number(&client, partitions).await?;
    ensure!(partitions < 50, "bogus times made {partitions} partitions");
    promises::rollup_is_its_query(&client).await?;
    promises::verified(&client).await?;
    promises::checkpoints_at_end(&client, &arn, &told).await
}
