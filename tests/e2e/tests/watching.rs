//! What a platform sees of a running sidecar: metrics that say what happened, and a readiness that follows the
//! database.

use anyhow::{Context, Result, ensure};
use std::io::Write;
use std::process::{Command, Stdio};
use strata_e2e::http::{self, get, ready, value};
use strata_e2e::{Cluster, Endpoint, Event, Sidecar, events, promises, until};

/// Prometheus' own opinion of the text, where its promtool is installed.
fn linted(text: &str) -> Result<()> {
    let tool = Command::new("promtool")
        .args(["check", "metrics"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn();
    let Ok(mut tool) = tool else {
        eprintln!("no promtool: the metrics are not linted");
        return Ok(());
    };
    tool.stdin.take().context("no stdin")?.write_all(text.as_bytes())?;
    let output = tool.wait_with_output()?;
    let said = [output.stdout, output.stderr].concat();
    ensure!(output.status.success() && said.is_empty(), "promtool: {}", String::from_utf8_lossy(&said));
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn metrics_tell_what_happened_and_readiness_follows_the_database() -> Result<()> {
    let mut rng = strata_e2e::random("metrics_tell_what_happened_and_readiness_follows_the_database");
    let cluster = Cluster::durable().await?;
    let endpoint = Endpoint::start().await?;
    endpoint.create_stream("clicks", 2).await?;
    let client = cluster.connect().await?;
    client.batch_execute(events::TABLE).await?;
    let bad = Event { id: -1, key: "bad".to_owned(), record: b"nonsense".to_vec() };
    let good = events::events(1..301, &mut rng);
    let bytes: usize = good.iter().chain([&bad]).map(|event| event.record.len()).sum();
    let mut told = endpoint.put("clicks", &good).await?;
    endpoint.put("clicks", &[bad]).await?;

    let sidecar = Sidecar::ingest(&cluster, &endpoint, "clicks", &["http.listen=127.0.0.1:0"])?;
    let address = http::address(&sidecar).await?;
    ready(&address, 200, "").await?;
    let text = until("300 rows", async || {
        let (status, text) = get(&address, "/metrics").await?;
        ensure!(status == 200, "/metrics answers {status}");
        let rows = value(&text, "strata_rows_total{relation=\"public.clicks\"}");
        let letters =
            value(&text, "strata_dead_letters_total{relation=\"public.clicks\",sqlstate=\"22P02\"}");
        Ok((rows >= 300.0 && letters >= 1.0).then_some(text))
    })
    .await?;
    linted(&text)?;
    let batches = value(&text, "strata_batches_total{relation=\"public.clicks\",outcome=\"committed\"}");
    #[allow(clippy::cast_precision_loss)]
    for (sample, expected) in [
        ("strata_records_total{relation=\"public.clicks\",stream=\"clicks\"}", 301.0),
        ("strata_record_bytes_total{relation=\"public.clicks\",stream=\"clicks\"}", bytes as f64),
        ("strata_rows_total{relation=\"public.clicks\"}", 300.0),
        ("strata_lease_changes_total{change=\"claimed\"}", 2.0),
        ("strata_copy_seconds_count{relation=\"public.clicks\"}", batches),
        ("strata_commit_seconds_bucket{relation=\"public.clicks\",le=\"+Inf\"}", batches),
        ("strata_shards", 2.0),
        ("strata_ready", 1.0),
        ("strata_postgres_up", 1.0),
    ] {
        let found = value(&text, sample);
        ensure!((found - expected).abs() < 0.5, "{sample} is {found}, expected {expected}:\n{text}");
    }
    for shard in endpoint.shards("clicks").await? {
        for name in ["strata_shard_lag_seconds", "strata_shard_read_age_seconds"] {
            let sample = format!("{name}{{relation=\"public.clicks\",stream=\"clicks\",shard=\"{shard}\"}} ");
            ensure!(text.contains(&sample), "no {sample}in\n{text}");
        }
    }
    ensure!(
        text.contains("strata_queue_fill_ratio{relation=\"public.clicks\",queue=\"batches\"} "),
        "{text}"
    );
    ensure!(get(&address, "/nothing").await?.0 == 404, "an unknown path is not found");

    cluster.crash()?;
    ready(&address, 503, "the database does not answer: ").await?;
    ensure!(get(&address, "/healthz").await?.0 == 200, "the process is alive while the database is away");
    told.extend(endpoint.put("clicks", &events::events(301..401, &mut rng)).await?);
    until("retries to be counted", async || {
        let (_, text) = get(&address, "/metrics").await?;
        Ok(text
            .lines()
            .any(|line| line.starts_with("strata_retries_total{kind=\"postgres_connection\"} "))
            .then_some(()))
    })
    .await?;
    cluster.start_again()?;
    ready(&address, 200, "").await?;
    let client = cluster.connect().await?;
    until("400 rows", async || {
        Ok((promises::number(&client, "SELECT count(*) FROM clicks").await? >= 400).then_some(()))
    })
    .await?;
    ensure!(sidecar.stop().await? == Some(0), "SIGTERM must end it with 0");
    promises::exactly_once(&client, &told).await
}
