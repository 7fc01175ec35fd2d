//! What an operator meets: exit codes, messages that say what exists, and the subcommands that only look.

use anyhow::{Result, ensure};
use std::process::Output;
use strata_e2e::{Cluster, Endpoint, Event, Sidecar, events, promises, sidecar, until};

/// What `strata produce` makes.
const PRODUCED: &str = "
    CREATE TABLE produced (
        event_id uuid NOT NULL, ts timestamptz NOT NULL, user_id bigint NOT NULL, session_id uuid, item_id int,
        kind text NOT NULL, device text, amount numeric(10, 2), properties jsonb
    );
    SELECT strata.create_event_table('produced', 'ts')";

fn text(output: &Output) -> String {
    String::from_utf8_lossy(&[output.stdout.as_slice(), output.stderr.as_slice()].concat()).into_owned()
}

fn says(output: &Output, code: i32, words: &[&str]) -> Result<()> {
    let text = text(output);
    ensure!(
        output.status.code() == Some(code),
        "exit code {:?}, expected {code}:\n{text}",
        output.status.code()
    );
    for word in words {
        ensure!(text.contains(word), "says nothing of {word}:\n{text}");
    }
    Ok(())
}

async fn set_up() -> Result<(Cluster, Endpoint)> {
    let cluster = Cluster::start().await?;
    let endpoint = Endpoint::start().await?;
    endpoint.create_stream("clicks", 2).await?;
    cluster.connect().await?.batch_execute(events::TABLE).await?;
    Ok((cluster, endpoint))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_configuration_is_told_what_exists() -> Result<()> {
    let (cluster, endpoint) = set_up().await?;
    let config = |name: &str, text: &str| -> Result<String> {
        let path = std::env::temp_dir().join(format!("pg_strata-{}-{name}.toml", std::process::id()));
        std::fs::write(&path, text)?;
        Ok(path.to_string_lossy().into_owned())
    };
    let column = config(
        "column",
        "[[feeds]]\nstream = \"clicks\"\nrelation = \"clicks\"\n[feeds.columns]\nusr_id = \"$.user\"\n",
    )?;
    let key = config("key", "[batch]\nrowz = 5\n")?;
    client_is_plain_table(&cluster).await?;
    for command in ["check", "ingest"] {
        let run = |arguments: &[&str]| sidecar::run(&cluster, &endpoint, &[&[command], arguments].concat());
        says(&run(&["--stream", "clacks", "--relation", "clicks"])?, 2, &["clacks", "clicks"])?;
        says(&run(&["--stream", "clicks", "--relation", "clack"])?, 2, &["clack", "clicks"])?;
        says(&run(&["--stream", "clicks", "--relation", "plain"])?, 2, &["plain", "create_event_table"])?;
        says(&run(&["--config", &column])?, 2, &["usr_id", "user_id"])?;
        says(&run(&["--config", &key])?, 2, &["rowz", "rows"])?;
        says(&run(&["--config", "/nowhere/strata.toml"])?, 2, &["/nowhere/strata.toml"])?;
        says(&run(&["--no-such-flag"])?, 2, &["--no-such-flag"])?;
        says(&run(&[])?, 2, &["--stream"])?;
    }
    std::fs::remove_file(column)?;
    std::fs::remove_file(key)?;

    let mut wrong_password =
        sidecar::command(&cluster, &endpoint, &["check", "--stream", "clicks", "--relation", "clicks"])?;
    let (before, after) = cluster.dsn.split_once('@').unwrap_or_default();
    wrong_password.env("STRATA_POSTGRES_DSN", format!("{before}x@{after}"));
    let output = wrong_password.output()?;
    says(&output, 2, &["password"])?;
    let secret = before.rsplit(':').next().unwrap_or_default();
    ensure!(!text(&output).contains(secret), "the password is printed");

    let check = sidecar::run(&cluster, &endpoint, &["check", "--stream", "clicks", "--relation", "clicks"])?;
    says(&check, 0, &["clicks", "user_id"])?;
    ensure!(!text(&check).contains(secret), "the password is printed");
    ensure!(
        promises::number(&cluster.connect().await?, "SELECT count(*) FROM strata.shards").await? == 0,
        "check left something"
    );
    Ok(())
}

async fn client_is_plain_table(cluster: &Cluster) -> Result<()> {
    Ok(cluster.connect().await?.batch_execute("CREATE TABLE plain (event_id bigint, ts timestamptz)").await?)
}

#[tokio::test(flavor = "multi_thread")]
async fn config_try_and_status() -> Result<()> {
    let mut rng = strata_e2e::random("config_try_and_status");
    let (cluster, endpoint) = set_up().await?;
    let client = cluster.connect().await?;

    let config = sidecar::run(&cluster, &endpoint, &["config"])?;
    says(&config, 0, &["[postgres]", "[[feeds]]", "linger_ms"])?;
    ensure!(
        config.stdout == std::fs::read(strata_e2e::root().join("ingestor/strata.toml"))?,
        "config is not the embedded file"
    );

    let good = String::from_utf8(events::event(5, &mut rng).record)?;
    let path = std::env::temp_dir().join(format!("pg_strata-{}-try.json", std::process::id()));
    std::fs::write(&path, format!("{good}\n{{\"event_id\": 6, \"ts\": 1}}\nnonsense\n"))?;
    let tried = sidecar::run(
        &cluster,
        &endpoint,
        &["try", "--stream", "clicks", "--relation", "clicks", &path.to_string_lossy()],
    )?;
    says(&tried, 3, &[r#""user_id":"#, r#""sqlstate":"23502""#, "2 of 3 records"])?;
    ensure!(promises::number(&client, "SELECT count(*) FROM clicks").await? == 0, "try wrote a row");
    ensure!(
        promises::number(&client, "SELECT count(*) FROM strata.dead_letters").await? == 0,
        "try wrote a dead letter"
    );
    std::fs::remove_file(path)?;

    let told = endpoint.put("clicks", &events::events(1..201, &mut rng)).await?;
    let running = Sidecar::ingest(&cluster, &endpoint, "clicks", &[])?;
    until("200 rows", async || {
        Ok((promises::number(&client, "SELECT count(*) FROM clicks").await? >= 200).then_some(()))
    })
    .await?;
    let status =
        sidecar::run(&cluster, &endpoint, &["status", "--stream", "clicks", "--relation", "clicks"])?;
    says(&status, 0, &["clicks", "shardId-000000000000", "e2e"])?;
    ensure!(running.stop().await? == Some(0), "SIGTERM must end it with 0");
    promises::exactly_once(&client, &told).await
}

#[tokio::test(flavor = "multi_thread")]
async fn dead_letters_can_be_looked_at() -> Result<()> {
    let (cluster, endpoint) = set_up().await?;
    let bad = Event { id: -1, key: "bad".to_owned(), record: b"{\"event_id\": \xff}".to_vec() };
    endpoint.put("clicks", std::slice::from_ref(&bad)).await?;
    let feed = ["--stream", "clicks", "--relation", "clicks"];
    says(
        &sidecar::run(&cluster, &endpoint, &[&["ingest", "--exit-when-caught-up"], &feed[..]].concat())?,
        0,
        &[],
    )?;
    let list = sidecar::run(&cluster, &endpoint, &["dead-letters", "list", "--relation", "clicks"])?;
    says(&list, 0, &["22021", "clicks", "shardId-"])?;
    let shown = sidecar::run(&cluster, &endpoint, &["dead-letters", "show", "1", "--payload"])?;
    ensure!(shown.stdout == bad.record, "the payload shown is not the record: {:?}", shown.stdout);
    says(&sidecar::run(&cluster, &endpoint, &["dead-letters", "show", "77"])?, 1, &["77"])
}

#[tokio::test(flavor = "multi_thread")]
async fn produce_feeds_ingest() -> Result<()> {
    let (cluster, endpoint) = set_up().await?;
    let client = cluster.connect().await?;
    client.batch_execute(PRODUCED).await?;
    let acked = std::env::temp_dir().join(format!("pg_strata-{}-acked", std::process::id()));
    let path = acked.to_string_lossy();
    let produce =
        ["produce", "--count", "500", "--malformed-share", "0.1", "--stream", "clicks", "--acked", &path];
    says(&sidecar::run(&cluster, &endpoint, &produce)?, 0, &["500"])?;
    let feed = ["--stream", "clicks", "--relation", "produced"];
    says(
        &sidecar::run(&cluster, &endpoint, &[&["ingest", "--exit-when-caught-up"], &feed[..]].concat())?,
        0,
        &[],
    )?;
    let told = std::fs::read_to_string(&acked)?;
    std::fs::remove_file(&acked)?;
    let mut told: Vec<&str> = told.lines().collect();
    told.sort_unstable();
    let rows = client.query("SELECT event_id::text FROM produced ORDER BY 1", &[]).await?;
    let found: Vec<String> = rows.iter().map(|row| row.get(0)).collect();
    ensure!(told == found, "{} told, {} found", told.len(), found.len());
    let dead = promises::number(&client, "SELECT count(*) FROM strata.dead_letters").await?;
    ensure!(
        dead > 0 && told.len() + usize::try_from(dead)? == 500,
        "{} rows, {dead} dead letters",
        told.len()
    );
    let help = sidecar::run(&cluster, &endpoint, &["produce", "--help"])?;
    says(&help, 0, &["--stream"])?;
    let help = sidecar::run(&cluster, &endpoint, &["--help"])?;
    says(&help, 0, &["ingest", "run", "check", "try", "status", "produce", "config"])
}
