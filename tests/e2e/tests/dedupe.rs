//! Events that a producer sends twice are rows once, where that is asked for.

use anyhow::{Context, Result, ensure};
use fastrand::Rng;
use strata_e2e::{Cluster, Endpoint, Event, events, promises, sidecar};

const TABLE: &str = "
    CREATE TABLE events (event_id uuid NOT NULL, ts timestamptz NOT NULL, n int NOT NULL);
    SELECT strata.create_event_table('events', 'ts');
    CREATE ROLE sidecar LOGIN PASSWORD 'sidecar';
    SELECT strata.grant_ingest('events', 'sidecar');";

fn event(n: u32, ts: i64) -> Event {
    let id = format!("00000000-0000-4000-8000-{n:012x}");
    let record = format!(r#"{{"event_id":"{id}","ts":{ts},"n":{n}}}"#).into_bytes();
    Event { id: n.into(), key: format!("k{}", n % 7), record }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_sent_twice_is_there_once() -> Result<()> {
    let mut rng: Rng = strata_e2e::random("what_is_sent_twice_is_there_once");
    let cluster = Cluster::start().await?;
    let endpoint = Endpoint::start().await?;
    endpoint.create_stream("events", 2).await?;
    let client = cluster.connect().await?;
    client.batch_execute(TABLE).await?;
    let path = std::env::temp_dir().join(format!("pg_strata-dedupe-{}.toml", std::process::id()));
    let config = |window: u64| {
        let feed = "[batch]\nrows = 150\n[[feeds]]\nstream = \"events\"\nrelation = \"events\"\ndedupe = \"event_id\"\n";
        std::fs::write(&path, format!("{feed}dedupe_window_ms = {window}\n"))
    };
    config(0)?;
    let file = path.to_string_lossy().into_owned();
    let run = |arguments: &[&str]| -> Result<std::process::Output> {
        let mut command = sidecar::command(&cluster, &endpoint, &[arguments, &["--config", &file]].concat())?;
        let (_, host) = cluster.dsn.split_once('@').context("no host")?;
        command.env("STRATA_POSTGRES_DSN", format!("postgresql://sidecar:sidecar@{host}"));
        Ok(command.output()?)
    };
    let check = run(&["check"])?;
    let said = String::from_utf8_lossy(&check.stderr);
    for lacks in
        ["SELECT on its column event_id", "SELECT on its column ts", "an index that begins with event_id"]
    {
        ensure!(check.status.code() == Some(3) && said.contains(lacks), "{said}");
    }
    let rights = "CREATE INDEX ON events (event_id, ts); GRANT SELECT (event_id, ts) ON events TO sidecar";
    client.batch_execute(rights).await?;
    let check = run(&["check"])?;
    ensure!(check.status.success(), "{}", String::from_utf8_lossy(&check.stderr));

    let now = events::now_ms();
    let ingest = || -> Result<()> {
        let output = run(&["ingest", "--exit-when-caught-up"])?;
        ensure!(output.status.code() == Some(0), "{}", String::from_utf8_lossy(&output.stderr));
        Ok(())
    };
    // Every event twice or thrice, near and far apart, in a batch and over several, over days.
    let at = |n: u32| now - i64::from(n % 5) * 86_400_000 - i64::from(n);
    let mut sent: Vec<Event> = (0..1_000).map(|n| event(n, at(n))).collect();
    sent.extend((0..1_000).filter(|n| n % 3 > 0).map(|n| event(n, at(n))));
    rng.shuffle(&mut sent);
    endpoint.put("events", &sent).await?;
    ingest()?;
    endpoint.put("events", &(500..1_200).map(|n| event(n, at(n))).collect::<Vec<_>>()).await?;
    ingest()?;
    let count = "SELECT count(*) FROM events";
    let distinct = "SELECT count(DISTINCT event_id) FROM events";
    ensure!(promises::number(&client, count).await? == 1_200, "{}", promises::number(&client, count).await?);
    ensure!(promises::number(&client, distinct).await? == 1_200);
    // A repetition at another time is another event, unless the window holds both.
    endpoint.put("events", &(0..10).map(|n| event(n, at(n) + 5_000)).collect::<Vec<_>>()).await?;
    ingest()?;
    ensure!(promises::number(&client, count).await? == 1_210);
    config(10_000)?;
    endpoint.put("events", &(0..10).map(|n| event(n, at(n) + 14_000)).collect::<Vec<_>>()).await?;
    endpoint.put("events", &(20..30).map(|n| event(n, at(n) - 9_000)).collect::<Vec<_>>()).await?;
    ingest()?;
    ensure!(promises::number(&client, count).await? == 1_210);
    ensure!(promises::number(&client, "SELECT count(*) FROM strata.dead_letters").await? == 0);
    let faults = "SELECT count(*) FROM strata.verify_batches('events')";
    ensure!(promises::number(&client, faults).await? == 0, "verify_batches found faults");
    std::fs::remove_file(path)?;
    Ok(())
}
