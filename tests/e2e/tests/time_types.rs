//! Every type of time column through the whole pipeline: each event is one row in the partition of its time, or one
//! dead letter, also when the sidecar is killed on the way.

use anyhow::{Result, ensure};
use std::fmt::Write as _;
use strata_e2e::{Acknowledged, Cluster, Endpoint, Event, promises, sidecar, until};
use tokio_postgres::Client;

/// Table, type of its time column, the member that fills it, and the arguments it is created with.
const TABLES: [(&str, &str, &str, &str); 5] = [
    ("by_instant", "timestamptz", "instant", "timezone => 'Europe/Berlin'"),
    ("by_wall_clock", "timestamp", "wall", "timezone => 'America/New_York'"),
    ("by_day", "date", "day", "partition_interval => '1 week'"),
    ("by_uuid", "uuid", "uuid", "partition_interval => '12 hours'"),
    ("By hash, \"too\"", "timestamp(0)", "wall", "subpartition_by => 'event_id', subpartitions => 3"),
];
/// Good events.
const EVENTS: i64 = 3000;
/// Events of an age that no table accepts.
const ANCIENT: i64 = 7;
/// Events whose UUID is of another version.
const TIMELESS: i64 = 5;

/// Records made by the server, so that no second calendar is needed: the same time as an instant, a wall clock in New
/// York, a day and a UUID.
const RECORDS: &str = "
    SELECT i, json_build_object(
        'event_id', i,
        'instant', to_char(t AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.US\"Z\"'),
        'wall', to_char(t AT TIME ZONE 'America/New_York', 'YYYY-MM-DD\"T\"HH24:MI:SS.US'),
        'day', (t AT TIME ZONE 'UTC')::date,
        'uuid', overlay(overlay(overlay(
            gen_random_uuid()::text PLACING left(hex, 8) FROM 1) PLACING right(hex, 4) FROM 10)
            PLACING CASE WHEN i % 1000000 > 900000 THEN '4' ELSE '7' END FROM 15)
    )::text
    FROM generate_series($1::bigint, $2::bigint) AS i,
        LATERAL (SELECT now() - make_interval(secs => ($3 + random() * 20) * 86400.0 / 2)) AS a (t),
        LATERAL (SELECT lpad(to_hex((extract(epoch FROM t) * 1000)::bigint), 12, '0')) AS h (hex)";

async fn records(
    client: &Client,
    ids: std::ops::RangeInclusive<i64>,
    half_days_old: f64,
) -> Result<Vec<Event>> {
    let rows = client.query(RECORDS, &[ids.start(), ids.end(), &half_days_old]).await?;
    let event = |row: &tokio_postgres::Row| Event {
        id: row.get(0),
        key: row.get::<_, i64>(0).to_string(),
        record: row.get::<_, String>(1).into_bytes(),
    };
    Ok(rows.iter().map(event).collect())
}

fn quoted(table: &str) -> String {
    format!("\"{}\"", table.replace('"', "\"\""))
}

/// The tables, and the configuration that feeds them all from one stream.
async fn set_up(client: &Client) -> Result<String> {
    let mut config = String::new();
    for (table, time_type, member, arguments) in TABLES {
        let name = quoted(table);
        client
            .batch_execute(&format!(
                "CREATE TABLE {name} (event_id bigint NOT NULL, ts {time_type} NOT NULL);
                 SELECT strata.create_event_table('{name}', 'ts', {arguments})"
            ))
            .await?;
        let relation = name.replace('\\', "\\\\").replace('"', "\\\"");
        writeln!(
            config,
            "[[feeds]]\nstream = \"clicks\"\nrelation = \"{relation}\"\n[feeds.columns]\nts = \"$.{member}\""
        )?;
    }
    Ok(config)
}

#[tokio::test(flavor = "multi_thread")]
async fn every_time_type_exactly_once() -> Result<()> {
    let cluster = Cluster::start().await?;
    let endpoint = Endpoint::start().await?;
    endpoint.create_stream("clicks", 3).await?;
    let client = cluster.connect().await?;
    let path = std::env::temp_dir().join(format!("pg_strata-{}-times.toml", std::process::id()));
    std::fs::write(&path, set_up(&client).await?)?;
    let config = path.to_string_lossy().into_owned();

    let mut all = records(&client, 1..=EVENTS, 0.0).await?;
    all.extend(records(&client, 10_001..=10_000 + ANCIENT, 1000.0).await?);
    all.extend(records(&client, 900_001..=900_000 + TIMELESS, 0.0).await?);
    fastrand::shuffle(&mut all);
    let told = endpoint.put("clicks", &all).await?;

    let arguments =
        ["ingest", "--config", &config, "--set", "batch.rows=200", "--set", "kinesis.page_records=100"];
    let running = sidecar::command(&cluster, &endpoint, &arguments)?;
    let mut running = strata_e2e::process::Process::spawn(running, "strata")?;
    until("some rows", async || {
        let rows = promises::number(&client, "SELECT count(*) FROM by_uuid").await?;
        Ok((rows >= 400).then_some(()))
    })
    .await?;
    running.kill()?;
    let rest = sidecar::run(&cluster, &endpoint, &[&arguments[..], &["--exit-when-caught-up"]].concat())?;
    ensure!(rest.status.code() == Some(0), "{}", String::from_utf8_lossy(&rest.stderr));

    for (table, time_type, _, _) in TABLES {
        let timeless = if time_type == "uuid" { TIMELESS } else { 0 };
        stored(&client, table, &told, timeless).await?;
    }
    spoken_of(&cluster, &endpoint, &config, &all)?;
    std::fs::remove_file(path)?;
    Ok(())
}

/// Each event is there once, what is missing is a dead letter with its reason, and the ledger agrees with the rows.
async fn stored(client: &Client, table: &str, told: &[Acknowledged], timeless: i64) -> Result<()> {
    let name = quoted(table);
    let good = |one: &&Acknowledged| one.id <= EVENTS || (one.id > 900_000 && timeless == 0);
    let good: Vec<Acknowledged> = told.iter().filter(good).cloned().collect();
    promises::exactly_once_in(client, &name, &good).await?;
    let letters = format!(
        "SELECT count(*) FILTER (WHERE sqlstate = '23514' AND reason ~ 'outside the accepted window'),
                count(*) FILTER (WHERE sqlstate = '22007' AND reason ~ 'version 7'),
                count(*), count(*) FILTER (WHERE column_name = 'ts')
         FROM strata.dead_letters WHERE relation = '{name}'::regclass"
    );
    let row = client.query_one(&letters, &[]).await?;
    let counts: [i64; 4] = std::array::from_fn(|i| row.get(i));
    ensure!(
        counts == [ANCIENT, timeless, ANCIENT + timeless, ANCIENT + timeless],
        "dead letters of {name}: {counts:?}"
    );
    let faults = client
        .query(&format!("SELECT batch_id, fault, expected, found FROM strata.verify_batches('{name}')"), &[])
        .await?;
    ensure!(faults.is_empty(), "verify_batches of {name} found {faults:?}");
    // A checksum counts the rows of each partition: none would be there if rows had been placed wrongly.
    let unchecked = format!(
        "SELECT (SELECT count(*) FROM {name}) - coalesce(sum(c.row_count), 0)::bigint FROM strata._batch_checksums c
         JOIN strata._event_tables t USING (table_id) WHERE t.relation = '{name}'::regclass"
    );
    let unchecked = promises::number(client, &unchecked).await?;
    ensure!(unchecked == 0, "{unchecked} rows of {name} are in no checksum");
    Ok(())
}

/// `check` and `try` say times as the column has them.
fn spoken_of(cluster: &Cluster, endpoint: &Endpoint, config: &str, all: &[Event]) -> Result<()> {
    let output = sidecar::run(cluster, endpoint, &["check", "--config", config])?;
    let text = String::from_utf8_lossy(&output.stdout);
    ensure!(output.status.code() == Some(0), "{}", String::from_utf8_lossy(&output.stderr));
    for words in ["event times (by the wall clock)", "event times (of UUIDs of version 7)", "uuid NOT NULL"] {
        ensure!(text.contains(words), "check says nothing of {words}:\n{text}");
    }
    let path = std::env::temp_dir().join(format!("pg_strata-{}-timeless.json", std::process::id()));
    let timeless = all.iter().find(|event| event.id > 900_000).map(|event| event.record.clone());
    std::fs::write(&path, timeless.unwrap_or_default())?;
    let output = sidecar::run(cluster, endpoint, &["try", "--config", config, &path.to_string_lossy()])?;
    std::fs::remove_file(path)?;
    let text = String::from_utf8_lossy(&output.stdout);
    ensure!(output.status.code() == Some(3), "try: {output:?}");
    ensure!(text.contains("not of version 7") && text.contains(r#""sqlstate":"22007""#), "try says:\n{text}");
    let wall = text.lines().find(|line| line.contains("by_wall_clock")).unwrap_or_default();
    ensure!(wall.contains(r#""ts":"20"#) && !wall.contains('Z'), "a wall clock has no zone:\n{wall}");
    Ok(())
}
