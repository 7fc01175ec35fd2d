//! Records that are more than one event: aggregated by the Kinesis Producer Library's rules, compressed, several events
//! in one payload. The records come from AWS's own aggregator and the formats' own libraries (tests/data/kpl).

use anyhow::{Context, Result, ensure};
use serde_json::Value;
use strata_e2e::{Acknowledged, Cluster, Endpoint, Event, Sidecar, events, promises, sidecar, until};
use tokio_postgres::Client;

/// More than a sidecar takes that holds two batches, and less than one that holds what bombs decompress to.
const PEAK_MB: u64 = 150;

fn vectors() -> Result<Value> {
    let path = strata_e2e::root().join("tests/data/kpl/vectors.json");
    Ok(serde_json::from_str(&std::fs::read_to_string(path)?)?)
}

fn bytes(hex: &Value) -> Result<Vec<u8>> {
    let hex = hex.as_str().context("no record")?;
    let byte = |at| u8::from_str_radix(&hex[at..at + 2], 16).map_err(anyhow::Error::from);
    (0..hex.len()).step_by(2).map(byte).collect()
}

async fn set_up() -> Result<(Cluster, Endpoint, Client)> {
    let cluster = Cluster::start().await?;
    let endpoint = Endpoint::start().await?;
    endpoint.create_stream("clicks", 2).await?;
    let client = cluster.connect().await?;
    client.batch_execute(events::TABLE).await?;
    // The records have fixed times.
    client.batch_execute("SELECT strata.alter_event_table('clicks', accept_past => '100 years')").await?;
    Ok((cluster, endpoint, client))
}

/// A configuration file that takes lines, removed when it is dropped.
struct Configuration(String);

impl Configuration {
    fn lines() -> Result<Self> {
        let name = format!("pg_strata-{}-{:x}.toml", std::process::id(), fastrand::u64(..));
        let path = std::env::temp_dir().join(name).to_string_lossy().into_owned();
        std::fs::write(&path, "[[feeds]]\nstream = \"clicks\"\nrelation = \"clicks\"\nevents = \"lines\"\n")?;
        Ok(Self(path))
    }
}

impl Drop for Configuration {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

fn told(ids: impl Iterator<Item = i64>) -> Vec<Acknowledged> {
    let one = |id| Acknowledged { id, shard: String::new(), sequence: String::new() };
    ids.map(one).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn records_of_other_producers() -> Result<()> {
    let (cluster, endpoint, client) = set_up().await?;
    let vectors = vectors()?;
    let mut all = Vec::new();
    for (id, vector) in (0..).zip(vectors["sound"].as_array().context("no vectors")?) {
        all.push(Event { id, key: format!("key-{id}"), record: bytes(&vector["record"])? });
    }
    let placed = endpoint.put("clicks", &all).await?;
    let configuration = Configuration::lines()?;
    let ingest = ["ingest", "--exit-when-caught-up", "--config", &configuration.0];
    let output = sidecar::run(&cluster, &endpoint, &ingest)?;
    ensure!(output.status.code() == Some(0), "{}", String::from_utf8_lossy(&output.stderr));
    let dead = "SELECT coalesce(string_agg(reason, '; '), '') FROM strata.dead_letters";
    let dead: String = client.query_one(dead, &[]).await?.get(0);
    ensure!(dead.is_empty(), "dead letters: {dead}");
    promises::exactly_once(&client, &told(0..500)).await?;
    let item = "SELECT count(*) FROM clicks WHERE item = 'item-' || event_id AND user_id = event_id % 7";
    ensure!(promises::number(&client, item).await? == 500, "values are not those of their events");
    promises::verified(&client).await?;
    promises::checkpoints_at_end(&client, &endpoint.arn("clicks").await?, &placed).await
}

#[tokio::test(flavor = "multi_thread")]
async fn bad_events_are_named_and_their_record_is_kept_once() -> Result<()> {
    let (cluster, endpoint, client) = set_up().await?;
    let mixed = bytes(&vectors()?["mixed"])?;
    // What only the server knows of an event is told of the event, too.
    client.batch_execute("ALTER TABLE clicks ADD CHECK (event_id <> 902)").await?;
    let event = Event { id: 0, key: "outer".to_owned(), record: mixed.clone() };
    endpoint.put("clicks", std::slice::from_ref(&event)).await?;
    let configuration = Configuration::lines()?;
    let with_config = |arguments: &[&str]| {
        sidecar::run(&cluster, &endpoint, &[arguments, &["--config", &configuration.0]].concat())
    };
    let path = std::env::temp_dir().join(format!("pg_strata-{}-mixed", std::process::id()));
    std::fs::write(&path, &mixed)?;
    let tried = with_config(&["try", "--whole", &path.to_string_lossy()]);
    std::fs::remove_file(&path)?;
    let tried = tried?;
    let answers = String::from_utf8(tried.stdout)?;
    let answers: Vec<Value> = answers.lines().map(serde_json::from_str).collect::<Result<_, _>>()?;
    let order: Vec<_> = answers.iter().map(|a| (a["event"].as_u64(), a["row"].is_object())).collect();
    let expected = [true, false, false, true, false, true];
    let expected: Vec<_> = (0..).map(Some).zip(expected).collect();
    ensure!(tried.status.code() == Some(3) && order == expected, "try says {answers:?}");

    let output = with_config(&["ingest", "--exit-when-caught-up"])?;
    ensure!(output.status.code() == Some(0), "{}", String::from_utf8_lossy(&output.stderr));
    promises::exactly_once(&client, &told([900, 903].into_iter())).await?;
    let query = "SELECT dead_letter_id, sub_sequence, partition_key, sqlstate, reason, payload_bytes
                 FROM strata.dead_letters ORDER BY sub_sequence";
    let letters = client.query(query, &[]).await?;
    let found: Vec<(i32, String, String)> =
        letters.iter().map(|row| (row.get(1), row.get(2), row.get(3))).collect();
    let expected = [(1, "b", "22P02"), (2, "c", "22P03"), (3, "d", "23514"), (4, "d", "23502")];
    let expected: Vec<_> =
        expected.iter().map(|(n, key, state)| (*n, (*key).to_owned(), (*state).to_owned())).collect();
    ensure!(found == expected, "{found:?}");
    for (i, row) in letters.iter().enumerate() {
        let (reason, size): (String, i32) = (row.get(4), row.get(5));
        ensure!(reason.starts_with(&format!("event {} of the record: ", i + 1)), "{reason}");
        ensure!(size == if i == 0 { i32::try_from(mixed.len())? } else { 0 }, "payload_bytes {size}");
        let id = row.get::<_, i64>(0).to_string();
        let shown = sidecar::run(&cluster, &endpoint, &["dead-letters", "show", &id, "--payload"])?;
        ensure!(shown.stdout == mixed, "dead letter {id} shows another record");
    }
    promises::verified(&client).await
}

#[tokio::test(flavor = "multi_thread")]
async fn bombs_are_dead_letters_and_memory_is_bounded() -> Result<()> {
    let (cluster, endpoint, client) = set_up().await?;
    let vectors = vectors()?;
    let (large, bomb) = (bytes(&vectors["large"])?, bytes(&vectors["bomb"])?);
    let record = |i: i64| if i % 2 == 0 { large.clone() } else { bomb.clone() };
    let all: Vec<Event> =
        (0..100).map(|i| Event { id: i, key: format!("key-{i}"), record: record(i) }).collect();
    endpoint.put("clicks", &all).await?;
    let running = Sidecar::ingest(&cluster, &endpoint, "clicks", &[])?;
    until("all rows and dead letters", async || {
        let rows = promises::number(&client, "SELECT count(*) FROM clicks").await?;
        let dead = promises::number(&client, "SELECT count(*) FROM strata.dead_letters").await?;
        Ok((rows + dead >= 100).then_some(()))
    })
    .await?;
    let peak = running.process.peak_mb()?;
    ensure!(peak < PEAK_MB, "the sidecar took {peak} MB");
    ensure!(running.stop().await? == Some(0), "SIGTERM must end it with 0");
    promises::exactly_once(&client, &told(std::iter::repeat_n(904, 50))).await?;
    let dead = "SELECT count(*) FROM strata.dead_letters
                WHERE sqlstate = '54000' AND reason ~ 'decompresses' AND payload_bytes BETWEEN 10000 AND 11000";
    ensure!(promises::number(&client, dead).await? == 50, "not every bomb is a dead letter");
    promises::verified(&client).await
}

#[tokio::test(flavor = "multi_thread")]
async fn aggregates_survive_a_crash_whole() -> Result<()> {
    let (cluster, endpoint, client) = set_up().await?;
    let table = "CREATE TABLE produced (
                     event_id uuid NOT NULL, ts timestamptz NOT NULL, user_id bigint NOT NULL, session_id uuid,
                     item_id int, kind text NOT NULL, device text, amount numeric(10, 2), properties jsonb
                 );
                 SELECT strata.create_event_table('produced', 'ts')";
    client.batch_execute(table).await?;
    let acked = std::env::temp_dir().join(format!("pg_strata-{}-packed", std::process::id()));
    let path = acked.to_string_lossy();
    let produce =
        ["produce", "--count", "20000", "--malformed-share", "0.01", "--stream", "clicks", "--acked", &path];
    let packing = ["--aggregate", "37", "--compression", "zstd"];
    let output = sidecar::run(&cluster, &endpoint, &[&produce[..], &packing].concat())?;
    ensure!(output.status.code() == Some(0), "{}", String::from_utf8_lossy(&output.stderr));
    let told = std::fs::read_to_string(&acked)?;
    std::fs::remove_file(&acked)?;

    let small = [
        "--set",
        "batch.rows=500",
        "--set",
        "kinesis.page_records=10",
        "--set",
        "kinesis.poll_interval_ms=0",
    ];
    let feed = ["ingest", "--stream", "clicks", "--relation", "produced", "--exit-when-caught-up"];
    let ingest = [&feed[..], &small].concat();
    let rows = "SELECT count(*) FROM produced";
    for enough in [1, 5_000] {
        let command = sidecar::command(&cluster, &endpoint, &ingest)?;
        let mut running = strata_e2e::process::Process::spawn(command, "strata")?;
        until("some rows", async || Ok((promises::number(&client, rows).await? >= enough).then_some(())))
            .await?;
        running.kill()?;
        let torn = "SELECT count(*) FROM strata.batches b
                    WHERE relation = 'produced'::regclass AND rows <> (SELECT count(*) FROM produced p WHERE p.batch_id = b.batch_id)";
        ensure!(promises::number(&client, torn).await? == 0, "a batch is there in part");
    }
    let output = sidecar::run(&cluster, &endpoint, &ingest)?;
    ensure!(output.status.code() == Some(0), "{}", String::from_utf8_lossy(&output.stderr));
    let mut told: Vec<&str> = told.lines().collect();
    told.sort_unstable();
    let found = client.query("SELECT event_id::text FROM produced ORDER BY 1", &[]).await?;
    let found: Vec<String> = found.iter().map(|row| row.get(0)).collect();
    ensure!(told == found, "{} told, {} found", told.len(), found.len());
    let dead = "SELECT count(DISTINCT (shard, sequence_number, sub_sequence)) FROM strata.dead_letters";
    let dead = usize::try_from(promises::number(&client, dead).await?)?;
    ensure!(dead > 0 && told.len() + dead == 20_000, "{} rows, {dead} dead letters", told.len());
    let faults = "SELECT count(*) FROM strata.verify_batches('produced')";
    ensure!(promises::number(&client, faults).await? == 0, "verify_batches found faults");
    Ok(())
}
