//! What went wrong put right afterwards: dead letters tried again, a bad producer's batches taken out and replayed.

use anyhow::{Context, Result, ensure};
use strata_e2e::{Cluster, Endpoint, Event, Sidecar, events, promises, sidecar, until};
use tokio_postgres::Client;

async fn counted(client: &Client, query: &str, count: i64) -> Result<()> {
    until(&format!("{query} to be {count}"), async || {
        Ok((promises::number(client, query).await? == count).then_some(()))
    })
    .await
}

fn succeeded(output: &std::process::Output) -> Result<String> {
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    ensure!(output.status.success(), "{}{text}", String::from_utf8_lossy(&output.stderr));
    Ok(text)
}

/// Events of which every third has an item that is too long for its column.
fn partly_bad(all: Vec<Event>) -> Vec<Event> {
    let long = "\"item\":\"much too long for a column of forty characters: ";
    let spoil = |event: Event| match event.id % 3 {
        0 => Event {
            record: String::from_utf8_lossy(&event.record).replace("\"item\":\"", long).into_bytes(),
            ..event
        },
        _ => event,
    };
    all.into_iter().map(spoil).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn dead_letters_are_tried_again_and_purged() -> Result<()> {
    let mut rng = strata_e2e::random("dead_letters_are_tried_again_and_purged");
    let cluster = Cluster::start().await?;
    let endpoint = Endpoint::start().await?;
    endpoint.create_stream("clicks", 2).await?;
    let client = cluster.connect().await?;
    client.batch_execute(events::TABLE).await?;
    let all = partly_bad(events::events(1..301, &mut rng));
    let told = endpoint.put("clicks", &all).await?;
    // Three events in one record, one of them bad, and one record that no mapping will take.
    let lines = [all[0].record.clone(), all[2].record.clone(), all[3].record.clone()]
        .map(|r| String::from_utf8_lossy(&r).replace("\"event_id\":", "\"event_id\":1000"));
    let packed = Event { id: -1, key: "k".to_owned(), record: lines.join("\n").into_bytes() };
    let broken = Event { id: -1, key: "k".to_owned(), record: b"{\"event_id\": ".to_vec() };
    endpoint.put("clicks", &[packed, broken]).await?;
    let toml = "[[feeds]]\nstream = \"clicks\"\nrelation = \"clicks\"\nevents = \"lines\"\n";
    let worker = Sidecar::configured(&cluster, &endpoint, toml)?;
    counted(&client, "SELECT count(*) FROM strata.dead_letters", 102).await?;
    counted(&client, "SELECT count(*) FROM clicks", 202).await?;
    ensure!(worker.stop().await? == Some(0), "SIGTERM must end it with 0");
    let file = std::env::temp_dir().join(format!("pg_strata-retry-{}.toml", std::process::id()));
    std::fs::write(&file, toml)?;
    let retry = ["--config", file.to_str().context("path")?, "dead-letters", "retry"];

    // Nothing has changed: nothing becomes a row, nothing is lost.
    let said = succeeded(&sidecar::run(&cluster, &endpoint, &retry)?)?;
    ensure!(said.contains("102 dead letters tried, 0 became 0 rows"), "{said}");
    counted(&client, "SELECT count(*) FROM strata.dead_letters", 102).await?;
    client.batch_execute("ALTER TABLE clicks ALTER item TYPE varchar(400)").await?;
    let one: i64 = client
        .query_one("SELECT min(dead_letter_id) FROM strata.dead_letters WHERE sqlstate = '22001'", &[])
        .await?
        .get(0);
    let said = succeeded(&sidecar::run(&cluster, &endpoint, &[&retry[..], &[&one.to_string()]].concat())?)?;
    ensure!(said.contains("1 dead letters tried, 1 became 1 rows"), "{said}");
    let said = succeeded(&sidecar::run(&cluster, &endpoint, &retry)?)?;
    ensure!(said.contains("101 dead letters tried, 100 became 100 rows"), "{said}");
    counted(&client, "SELECT count(*) FROM strata.dead_letters", 1).await?;
    let mut expected: Vec<_> = told.clone();
    expected.extend([all[0].id, all[2].id, all[3].id].iter().map(|id| strata_e2e::Acknowledged {
        id: format!("1000{id}").parse().unwrap_or_default(),
        shard: String::new(),
        sequence: String::new(),
    }));
    promises::exactly_once(&client, &expected).await?;
    promises::verified(&client).await?;
    promises::rollup_is_its_query(&client).await?;
    let origins = "SELECT count(DISTINCT retry_of) FROM strata.batch_origins WHERE retry_of IS NOT NULL";
    ensure!(
        promises::number(&client, origins).await? >= 1,
        "the ledger does not know where these rows are from"
    );

    let purge = ["dead-letters", "purge", "--relation", "clicks", "--older-than-days"];
    succeeded(&sidecar::run(&cluster, &endpoint, &[&purge[..], &["1"]].concat())?)?;
    counted(&client, "SELECT count(*) FROM strata.dead_letters", 1).await?;
    succeeded(&sidecar::run(&cluster, &endpoint, &[&purge[..], &["0"]].concat())?)?;
    counted(&client, "SELECT count(*) FROM strata.dead_letters", 0).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bad_release_is_taken_out_and_replayed() -> Result<()> {
    let mut rng = strata_e2e::random("a_bad_release_is_taken_out_and_replayed");
    let cluster = Cluster::start().await?;
    let endpoint = Endpoint::start().await?;
    endpoint.create_stream("clicks", 3).await?;
    let client = cluster.connect().await?;
    client.batch_execute(events::TABLE).await?;
    let settings = ["batch.rows=100", "kinesis.page_records=40", "kinesis.poll_interval_ms=20"];
    let live = Sidecar::ingest(&cluster, &endpoint, "clicks", &settings)?;
    let mut told = endpoint.put("clicks", &events::events(1..501, &mut rng)).await?;
    counted(&client, "SELECT count(*) FROM clicks", 500).await?;
    let from: String = client
        .query_one(
            "SELECT (date_trunc('milliseconds', clock_timestamp()) AT TIME ZONE 'UTC')::text || 'Z'",
            &[],
        )
        .await?
        .get(0);
    let from = from.replace(' ', "T");
    // The bad release: values that a mapping or a constraint mended later would have put right, and dead letters.
    told.extend(endpoint.put("clicks", &partly_bad(events::events(501..1001, &mut rng))).await?);
    counted(
        &client,
        "SELECT (SELECT count(*) FROM clicks) + (SELECT count(*) FROM strata.dead_letters)",
        1000,
    )
    .await?;
    let to: String = client
        .query_one(
            "SELECT (date_trunc('milliseconds', clock_timestamp()) AT TIME ZONE 'UTC')::text || 'Z'",
            &[],
        )
        .await?
        .get(0);
    let to = to.replace(' ', "T");
    let good = endpoint.put("clicks", &events::events(1001..1201, &mut rng)).await?;
    told.extend(good);

    let revert = |dry: bool| {
        format!(
            "SELECT reversion_id, batches, rows, dead_letters FROM strata.revert_batches('clicks', tstzrange('{from}', '{to}'), {dry})"
        )
    };
    counted(
        &client,
        "SELECT (SELECT count(*) FROM clicks) + (SELECT count(*) FROM strata.dead_letters)",
        1200,
    )
    .await?;
    let dry = client.query_one(&revert(true), &[]).await?;
    let before = promises::number(&client, "SELECT count(*) FROM clicks").await?;
    let done = client.query_one(&revert(false), &[]).await?;
    let (id, rows, dead): (i64, i64, i64) = (done.get(0), done.get(2), done.get(3));
    ensure!(
        dry.get::<_, Option<i64>>(0).is_none()
            && dry.get::<_, i64>(2) == rows
            && dry.get::<_, i64>(3) == dead
    );
    ensure!(rows + dead >= 500, "{rows} rows and {dead} dead letters are not the bad release");
    let left = promises::number(&client, "SELECT count(*) FROM clicks").await?;
    ensure!(left == before - rows, "{before} rows, {rows} reverted, {left} left");
    promises::rollup_is_its_query(&client).await?;
    promises::verified(&client).await?;
    let again = client.query_one(&revert(true), &[]).await?;
    ensure!(again.get::<_, i64>(1) == 0, "what was reverted is reverted again");

    // The same records and no other, through a table that takes them now, while the rest goes on.
    client.batch_execute("ALTER TABLE clicks ALTER item TYPE varchar(400)").await?;
    told.extend(endpoint.put("clicks", &events::events(1201..1401, &mut rng)).await?);
    let id = id.to_string();
    let replay =
        ["replay", "--stream", "clicks", "--relation", "clicks", "--reversion", &id, "--rate", "2000"];
    succeeded(&sidecar::run(&cluster, &endpoint, &replay)?)?;
    counted(&client, "SELECT count(*) FROM clicks", 1400).await?;
    // Once more does nothing.
    succeeded(&sidecar::run(&cluster, &endpoint, &replay)?)?;
    ensure!(live.stop().await? == Some(0), "SIGTERM must end it with 0");
    promises::exactly_once(&client, &told).await?;
    promises::verified(&client).await?;
    promises::rollup_is_its_query(&client).await?;

    // By times of arrival, into another table.
    let other = "CREATE TABLE other (event_id bigint NOT NULL, ts timestamptz NOT NULL);
                 SELECT strata.create_event_table('other', 'ts')";
    client.batch_execute(other).await?;
    let replay = ["replay", "--stream", "clicks", "--relation", "other", "--from", &from, "--to", &to];
    succeeded(&sidecar::run(&cluster, &endpoint, &replay)?)?;
    let middle: Vec<_> = told.iter().filter(|one| (501..1001).contains(&one.id)).cloned().collect();
    promises::exactly_once_in(&client, "other", &middle).await
}
