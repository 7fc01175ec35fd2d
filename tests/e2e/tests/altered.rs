//! Tables altered, and feeds configured anew, while records flow: nothing is lost, nothing doubled, no restart.

use anyhow::{Result, ensure};
use strata_e2e::process::Process;
use strata_e2e::{Cluster, Endpoint, Event, events, promises, sidecar, until};
use tokio_postgres::Client;

const TABLE: &str = "
    CREATE TABLE events (event_id bigint NOT NULL, ts timestamptz NOT NULL, n int, kind text, old text);
    SELECT strata.create_event_table('events', 'ts');";

const CONFIG: &str = "[batch]\nrows = 300\nlinger_ms = 5\n[http]\nlisten = \"127.0.0.1:0\"\n\
    [[feeds]]\nstream = \"events\"\nrelation = \"events\"\n[feeds.columns]\n";

fn event(id: i64) -> Event {
    let ts = events::now_ms();
    let more = r#""kind":"view","old":"x","label":"l","extra":"e""#;
    let record = format!(r#"{{"event_id":{id},"ts":{ts},"n":{},{more}}}"#, id % 1000);
    Event { id, key: format!("k{}", id % 17), record: record.into_bytes() }
}

/// Waits until that many events are rows.
async fn rows(client: &Client, wanted: i64) -> Result<()> {
    until(&format!("{wanted} rows"), async || {
        let rows = promises::number(client, "SELECT count(*) FROM events").await?;
        ensure!(rows <= wanted, "{rows} rows of {wanted}");
        Ok((rows == wanted).then_some(()))
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_table_may_be_altered_under_its_feed() -> Result<()> {
    let cluster = Cluster::start().await?;
    let endpoint = Endpoint::start().await?;
    endpoint.create_stream("events", 2).await?;
    let client = cluster.connect().await?;
    client.batch_execute(TABLE).await?;
    let path = std::env::temp_dir().join(format!("pg_strata-altered-{}.toml", std::process::id()));
    let write = |columns: &str| std::fs::write(&path, format!("{CONFIG}{columns}"));
    write("")?;
    let file = path.to_string_lossy().into_owned();
    let command = sidecar::command(&cluster, &endpoint, &["ingest", "--config", &file])?;
    let mut process = Process::spawn(command, "strata")?;

    let mut told = Vec::new();
    let mut next = 1;
    let mut wanted = 0;
    let changes = [
        "SELECT 1",
        "ALTER TABLE events ADD COLUMN extra text",
        "ALTER TABLE events ADD COLUMN must int NOT NULL DEFAULT 7",
        "ALTER TABLE events DROP COLUMN old",
        "ALTER TABLE events ALTER COLUMN n TYPE text USING n::text",
        "ALTER TABLE events ALTER COLUMN n TYPE bigint USING n::bigint",
        "ALTER TABLE events RENAME COLUMN kind TO label",
    ];
    for change in changes {
        // Before, while and after it is altered.
        for part in 0..3 {
            let batch: Vec<Event> = (next..next + 400).map(event).collect();
            next += 400;
            wanted += 400;
            told.extend(endpoint.put("events", &batch).await?);
            if part == 1 {
                client.batch_execute(change).await?;
            }
        }
        rows(&client, wanted).await?;
    }
    let dead = "SELECT count(*) FROM strata.dead_letters";
    ensure!(promises::number(&client, dead).await? == 0, "dead letters");
    promises::exactly_once_in(&client, "events", &told).await?;
    let last = format!(
        "SELECT count(*) FROM events WHERE event_id > {} AND n = event_id % 1000 AND extra = 'e' AND must = 7 AND label = 'l'",
        next - 400
    );
    ensure!(promises::number(&client, &last).await? >= 399, "{}", process.output());
    let faults = "SELECT count(*) FROM strata.verify_batches('events') WHERE fault <> 'column_missing' AND fault <> 'checksum'";
    ensure!(promises::number(&client, faults).await? == 0, "verify_batches found faults");
    ensure!(process.output().contains("a new column is left to its default"));

    // A rule by SIGHUP; and a file that is wrong changes nothing.
    write("label = { from = \"$.kind\", one_of = [\"click\"] }\n")?;
    process.signal("HUP")?;
    let more = std::cell::Cell::new(next);
    until("the new rule", async || {
        endpoint.put("events", &[event(more.replace(more.get() + 1))]).await?;
        Ok((promises::number(&client, dead).await? > 0).then_some(()))
    })
    .await?;
    write("label = { from = \"$.kind\", one_off = [\"click\"] }\n")?;
    process.signal("HUP")?;
    until("the refusal of a wrong file", async || Ok(process.output().contains("one_off").then_some(())))
        .await?;
    write("label = \"$.kind\"\n")?;
    std::fs::write(&path, std::fs::read_to_string(&path)?.replace("rows = 300", "rows = 301"))?;
    process.signal("HUP")?;
    let before = promises::number(&client, "SELECT count(*) FROM events").await?;
    until("rows again", async || {
        endpoint.put("events", &[event(more.replace(more.get() + 1))]).await?;
        Ok((promises::number(&client, "SELECT count(*) FROM events").await? > before).then_some(()))
    })
    .await?;
    ensure!(process.output().contains("take a restart"), "{}", process.output());

    // What is configured and gone stops the table, and says so.
    client.batch_execute("ALTER TABLE events DROP COLUMN label").await?;
    endpoint.put("events", &[event(more.get())]).await?;
    until("the table to be stopped", async || {
        let said = process.output();
        Ok((said.contains("no column \\\"label\\\"") && said.contains("was altered")).then_some(()))
    })
    .await?;
    // And goes on when it is there again.
    let before = promises::number(&client, "SELECT count(*) FROM events").await?;
    client.batch_execute("ALTER TABLE events ADD COLUMN label text").await?;
    process.signal("HUP")?;
    until("rows again", async || {
        Ok((promises::number(&client, "SELECT count(*) FROM events").await? > before).then_some(()))
    })
    .await?;
    process.signal("TERM")?;
    ensure!(process.wait().await?.success(), "a table that goes on is no failure: {}", process.output());
    std::fs::remove_file(path)?;
    Ok(())
}
