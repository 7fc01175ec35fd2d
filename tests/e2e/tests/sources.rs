//! Files and standard input as sources: every line once, wherever the process is killed.

use anyhow::{Context, Result, ensure};
use std::collections::HashSet;
use std::io::Write;
use std::path::Path;
use std::process::{Command, Output, Stdio};
use strata_e2e::process::Process;
use strata_e2e::{Cluster, promises, until};

const TABLE: &str = "
    CREATE TABLE produced (
        event_id uuid NOT NULL, ts timestamptz NOT NULL, user_id bigint NOT NULL, session_id uuid, item_id int,
        kind text NOT NULL, device text, amount numeric(10, 2), properties jsonb, file text NOT NULL
    );
    SELECT strata.create_event_table('produced', 'ts')";

/// A call without any endpoint or region: files need none.
fn strata(cluster: &Cluster, arguments: &[&str]) -> Result<Command> {
    let mut command = Command::new(strata_e2e::program("strata")?);
    command
        .args(arguments)
        .env_clear()
        .env("STRATA_POSTGRES_DSN", &cluster.dsn)
        .env("STRATA_WORKER", "files");
    Ok(command)
}

fn lines(seed: u32, count: u32) -> Result<Vec<u8>> {
    let (seed, count) = (seed.to_string(), count.to_string());
    let out = Command::new(strata_e2e::program("strata")?)
        .args(["produce", "--dry-run", "--seed", &seed, "--count", &count, "--malformed-share", "0.01"])
        .output()?;
    ensure!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
    ensure!(count_of(&out.stdout) == count.parse::<usize>()?);
    Ok(out.stdout)
}

/// Lines that are not empty.
fn count_of(text: &[u8]) -> usize {
    text.split(|b| *b == b'\n').filter(|line| !line.trim_ascii().is_empty()).count()
}

fn config(dir: &Path, stream: &str) -> Result<String> {
    let path = dir.join("strata.toml");
    let text = format!(
        "[batch]\nrows = 500\nlinger_ms = 1\n[kinesis]\npage_records = 200\n\
         [[feeds]]\nstream = \"{stream}\"\nrelation = \"produced\"\n[feeds.columns]\nfile = \"$shard\"\n"
    );
    std::fs::write(&path, text)?;
    Ok(path.to_string_lossy().into_owned())
}

fn pipe(command: &mut Command, text: &[u8]) -> Result<Output> {
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()?;
    // A process that has nothing to do reads nothing.
    let _ = child.stdin.take().context("no stdin")?.write_all(text);
    Ok(child.wait_with_output()?)
}

#[tokio::test(flavor = "multi_thread")]
async fn every_line_is_there_once_wherever_it_is_killed() -> Result<()> {
    let mut rng = strata_e2e::random("every_line_is_there_once_wherever_it_is_killed");
    let cluster = Cluster::start().await?;
    let client = cluster.connect().await?;
    client.batch_execute(TABLE).await?;
    let dir = std::env::temp_dir().join(format!("pg_strata-sources-{}", std::process::id()));
    std::fs::create_dir_all(dir.join("in"))?;
    let (plain, packed) = (lines(1, 20_000)?, lines(2, 10_000)?);
    std::fs::write(dir.join("in/a.ndjson"), &plain)?;
    std::fs::write(dir.join("in/b.ndjson"), &packed)?;
    ensure!(Command::new("gzip").arg(dir.join("in/b.ndjson")).status()?.success());
    let config = config(&dir, &format!("file:{}/in/*.ndjson*", dir.display()))?;

    let check = strata(&cluster, &["check", "--config", &config])?.output()?;
    let said = String::from_utf8_lossy(&check.stdout);
    ensure!(
        check.status.success() && said.contains("2 open shards"),
        "{said}{}",
        String::from_utf8_lossy(&check.stderr)
    );
    let ingest = ["ingest", "--config", &config];
    for _ in 0..4 {
        let mut process = Process::spawn(strata(&cluster, &ingest)?, "strata")?;
        let before = promises::number(&client, "SELECT count(*) FROM produced").await?;
        // Killed while it is at it, at any place, unless it is through.
        until("more rows", async || {
            let rows = promises::number(&client, "SELECT count(*) FROM produced").await?;
            Ok((rows > before || process.output().contains("finished")).then_some(()))
        })
        .await?;
        tokio::time::sleep(std::time::Duration::from_millis(rng.u64(..40))).await;
        let _ = process.signal("KILL");
        process.wait().await?;
    }
    let last = strata(&cluster, &ingest)?.output()?;
    let log = String::from_utf8_lossy(&last.stderr).into_owned();
    ensure!(last.status.code() == Some(0), "{log}");
    let total = count_of(&plain) + count_of(&packed);
    let rows = promises::number(&client, "SELECT count(*) FROM produced").await?;
    let distinct = promises::number(&client, "SELECT count(DISTINCT event_id) FROM produced").await?;
    let dead = "SELECT count(DISTINCT (shard, sequence_number)) FROM strata.dead_letters";
    let dead = promises::number(&client, dead).await?;
    ensure!(
        rows == distinct && dead > 0 && rows + dead == i64::try_from(total)?,
        "{rows} rows, {distinct}, {dead}, {total}"
    );
    let files = client.query("SELECT DISTINCT file FROM produced", &[]).await?;
    let files: HashSet<String> = files.iter().map(|row| row.get(0)).collect();
    ensure!(files.len() == 2 && files.iter().any(|file| file.ends_with("b.ndjson.gz")), "{files:?}");
    // Read to the end, there is nothing to do.
    let again = strata(&cluster, &ingest)?.output()?;
    ensure!(again.status.code() == Some(0));
    ensure!(promises::number(&client, "SELECT count(*) FROM produced").await? == rows);
    std::fs::remove_dir_all(dir)?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn standard_input_is_a_source() -> Result<()> {
    let cluster = Cluster::start().await?;
    let client = cluster.connect().await?;
    client.batch_execute(TABLE).await?;
    let dir = std::env::temp_dir().join(format!("pg_strata-stdin-{}", std::process::id()));
    std::fs::create_dir_all(&dir)?;
    let config = config(&dir, "stdin:backfill")?;
    let text = lines(3, 3_000)?;
    let half: Vec<&[u8]> = text.split_inclusive(|b| *b == b'\n').take(1_000).collect();
    // A pipe that breaks in the middle of a run whose end is never seen.
    let mut child = strata(&cluster, &["ingest", "--config", &config])?
        .stdin(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()?;
    let mut stdin = child.stdin.take().context("no stdin")?;
    stdin.write_all(&half.concat())?;
    stdin.flush()?;
    let count = "SELECT (SELECT count(*) FROM produced) + (SELECT count(*) FROM strata.dead_letters)";
    until("what came so far", async || Ok((promises::number(&client, count).await? >= 900).then_some(())))
        .await?;
    // It waits for more, and ends when asked to.
    let ended = Command::new("kill").arg(child.id().to_string()).status()?;
    ensure!(ended.success() && child.wait()?.code() == Some(0), "SIGTERM must end it with 0");
    drop(stdin);
    // The same input from its beginning: what was committed is passed over.
    for _ in 0..2 {
        let output = pipe(&mut strata(&cluster, &["ingest", "--config", &config])?, &text)?;
        ensure!(output.status.code() == Some(0), "{}", String::from_utf8_lossy(&output.stderr));
        ensure!(promises::number(&client, count).await? == 3_000);
    }
    ensure!(
        promises::number(&client, "SELECT count(DISTINCT event_id) - count(*) FROM produced").await? == 0
    );
    std::fs::remove_dir_all(dir)?;
    Ok(())
}
