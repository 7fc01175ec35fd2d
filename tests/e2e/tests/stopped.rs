//! A table that was stopped by an error, and goes on without a restart when what was wrong is put right.

use anyhow::{Context, Result, ensure};
use serde_json::Value;
use std::process::Command;
use strata_e2e::process::Process;
use strata_e2e::{Acknowledged, Cluster, Endpoint, Event, Sidecar, events, http, promises, sidecar, until};
use tokio_postgres::Client;

const FEEDS: &str = "[[feeds]]\nstream = \"clicks\"\nrelation = \"other\"\n[[feeds]]\nstream = \"clicks\"\nrelation = \"clicks\"\n";

async fn rows(client: &Client, table: &str, count: i64) -> Result<()> {
    let query = format!("SELECT count(*) FROM {table}");
    until(&format!("{count} rows in {table}"), async || {
        Ok((promises::number(client, &query).await? >= count).then_some(()))
    })
    .await
}

struct Scene {
    _cluster: Cluster,
    /// The cluster as the sidecar's role sees it.
    role: Cluster,
    endpoint: Endpoint,
    client: Client,
    told: Vec<Acknowledged>,
    rng: fastrand::Rng,
}

/// Two tables that one stream feeds, by a role that may just do that.
async fn scene(test: &str) -> Result<Scene> {
    let cluster = Cluster::start().await?;
    let endpoint = Endpoint::start().await?;
    endpoint.create_stream("clicks", 2).await?;
    let client = cluster.connect().await?;
    client.batch_execute(events::TABLE).await?;
    let role = cluster.role("sidecar").await?;
    let other =
        "CREATE TABLE other (event_id bigint NOT NULL, ts timestamptz NOT NULL, user_id int NOT NULL);
                 SELECT strata.create_event_table('other', 'ts');
                 SELECT strata.grant_ingest(t::regclass, 'sidecar') FROM unnest(ARRAY['clicks', 'other']) t";
    client.batch_execute(other).await?;
    Ok(Scene { _cluster: cluster, role, endpoint, client, told: Vec::new(), rng: strata_e2e::random(test) })
}

impl Scene {
    async fn put(&mut self, ids: std::ops::Range<i64>) -> Result<()> {
        let events = events::events(ids, &mut self.rng);
        self.told.extend(self.endpoint.put("clicks", &events).await?);
        Ok(())
    }

    /// What `strata status` says of stopped tables.
    fn status(&self) -> Result<Vec<Value>> {
        let output = sidecar::run(&self.role, &self.endpoint, &["status", "--json"])?;
        let text = String::from_utf8(output.stdout)?;
        let status: Value = serde_json::from_str(&text).with_context(|| text.clone())?;
        Ok(status["stopped"].as_array().context("no stopped tables")?.clone())
    }

    /// Both tables have every event, once.
    async fn whole(&self) -> Result<()> {
        promises::exactly_once(&self.client, &self.told).await?;
        promises::exactly_once_in(&self.client, "other", &self.told).await?;
        promises::verified(&self.client).await
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_right_that_comes_back_is_noticed() -> Result<()> {
    let mut scene = scene("a_right_that_comes_back_is_noticed").await?;
    scene.put(1..301).await?;
    let toml = format!("[retry]\nfirst_ms = 300\nlast_ms = 600\n[http]\nlisten = \"127.0.0.1:0\"\n{FEEDS}");
    let sidecar = Sidecar::configured(&scene.role, &scene.endpoint, &toml)?;
    let address = http::address(&sidecar).await?;
    rows(&scene.client, "clicks", 300).await?;
    rows(&scene.client, "other", 300).await?;

    scene.client.batch_execute("REVOKE INSERT ON other FROM sidecar").await?;
    scene.put(301..601).await?;
    // The other table of the same shards goes on, and the process with it.
    rows(&scene.client, "clicks", 600).await?;
    let next = "strata_table_next_try_timestamp_seconds{relation=\"public.other\"}";
    until("the stop to be counted", async || {
        let (_, text) = http::get(&address, "/metrics").await?;
        let stopped = (http::value(&text, "strata_tables_stopped") - 1.0).abs() < 0.1;
        Ok((stopped && http::value(&text, next) > 1e9).then_some(()))
    })
    .await?;
    let stopped = until("the stop in strata status", async || Ok(scene.status()?.pop())).await?;
    ensure!(
        stopped["relation"] == "other"
            && stopped["worker"] == "e2e"
            && stopped["reason"].as_str().is_some_and(|reason| reason.contains("permission denied"))
            && stopped["next_try_in_ms"].as_i64().is_some_and(|ms| ms <= 600),
        "strata status says {stopped}"
    );
    let said = sidecar.process.output();
    ensure!(said.contains("\"code\":\"42501\"") && said.contains("\"next_try\":\"20"), "{said}");
    let one_of_two = http::get(&address, "/readyz").await?;
    ensure!(one_of_two.0 == 200, "one table of two is fed: {one_of_two:?}");
    ensure!(promises::number(&scene.client, "SELECT count(*) FROM other").await? == 300);
    ensure!(promises::number(&scene.client, "SELECT count(*) FROM strata.dead_letters").await? == 0);

    scene.client.batch_execute("GRANT INSERT ON other TO sidecar").await?;
    rows(&scene.client, "other", 600).await?;
    scene.put(601..701).await?;
    rows(&scene.client, "other", 700).await?;
    rows(&scene.client, "clicks", 700).await?;
    let (_, text) = http::get(&address, "/metrics").await?;
    ensure!(http::value(&text, "strata_tables_stopped") < 0.5 && !text.contains(next), "{text}");
    ensure!(scene.status()?.is_empty(), "strata status still tells of a stop");
    ensure!(sidecar.stop().await? == Some(0), "a table that goes on is no failure");
    scene.whole().await
}

#[tokio::test(flavor = "multi_thread")]
async fn sighup_tries_at_once_with_the_mapping_of_then() -> Result<()> {
    let mut scene = scene("sighup_tries_at_once_with_the_mapping_of_then").await?;
    let renamed = |event: Event| Event {
        record: String::from_utf8_lossy(&event.record).replace("user_id", "userId").into_bytes(),
        ..event
    };
    let bad: Vec<Event> = events::events(1..1501, &mut scene.rng).into_iter().map(renamed).collect();
    scene.told = scene.endpoint.put("clicks", &bad).await?;
    let path = std::env::temp_dir().join(format!("pg_strata-stopped-{}.toml", std::process::id()));
    let write = |column: &str| {
        let head = "[retry]\nfirst_ms = 3600000\nlast_ms = 3600000\n[batch]\nlinger_ms = 2000\n";
        let feed = |relation| {
            format!("[[feeds]]\nstream = \"clicks\"\nrelation = \"{relation}\"\n[feeds.columns]\n{column}\n")
        };
        let http = "[http]\nlisten = \"127.0.0.1:0\"\n";
        std::fs::write(&path, format!("{head}{http}{}{}", feed("clicks"), feed("other")))
    };
    write("")?;
    let arguments = ["ingest", "--config", &path.to_string_lossy()];
    let command: Command = sidecar::command(&scene.role, &scene.endpoint, &arguments)?;
    let sidecar = Sidecar { process: Process::spawn(command, "strata")? };
    let address = http::address(&sidecar).await?;
    // Nothing is fed any more.
    http::ready(&address, 503, "every table is stopped").await?;
    ensure!(http::get(&address, "/healthz").await?.0 == 200, "the process lives");
    ensure!(sidecar.process.output().contains("mend the mapping"), "it does not say what is wrong");
    ensure!(scene.status()?.len() == 2, "both tables are stopped: {:?}", scene.status()?);
    ensure!(promises::number(&scene.client, "SELECT count(*) FROM strata.dead_letters").await? == 0);

    write("user_id = \"$.userId\"")?;
    sidecar.process.signal("HUP")?;
    rows(&scene.client, "clicks", 1500).await?;
    rows(&scene.client, "other", 1500).await?;
    http::ready(&address, 200, "").await?;
    ensure!(sidecar.stop().await? == Some(0), "a table that goes on is no failure");
    std::fs::remove_file(&path)?;
    scene.whole().await
}

#[tokio::test(flavor = "multi_thread")]
async fn an_end_while_a_table_is_stopped_says_so() -> Result<()> {
    let mut scene = scene("an_end_while_a_table_is_stopped_says_so").await?;
    scene.put(1..101).await?;
    scene.client.batch_execute("REVOKE INSERT ON other FROM sidecar").await?;
    let sidecar = Sidecar::configured(&scene.role, &scene.endpoint, FEEDS)?;
    rows(&scene.client, "clicks", 100).await?;
    until("the stop", async || Ok((!scene.status()?.is_empty()).then_some(()))).await?;
    ensure!(sidecar.stop().await? == Some(1), "its exit code must say that a table failed");
    ensure!(promises::number(&scene.client, "SELECT count(*) FROM other").await? == 0);
    // A process that ends when it has caught up does not rest.
    let arguments = ["ingest", "--stream", "clicks", "--relation", "other", "--exit-when-caught-up"];
    let output = sidecar::run(&scene.role, &scene.endpoint, &arguments)?;
    ensure!(output.status.code() == Some(1), "{output:?}");
    scene.client.batch_execute("GRANT INSERT ON other TO sidecar").await?;
    let output = sidecar::run(&scene.role, &scene.endpoint, &arguments)?;
    ensure!(output.status.success(), "{output:?}");
    scene.whole().await
}
