//! Change data capture into ordinary tables: whatever dies in between, the table is what its source was, by key.

use anyhow::{Context, Result, ensure};
use fastrand::Rng;
use std::collections::BTreeMap;
use strata_e2e::process::Process;
use strata_e2e::{Cluster, Endpoint, Event, promises, sidecar, until};
use tokio_postgres::Client;

const TABLES: &str = "
    CREATE TABLE users (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, name text NOT NULL, score int CHECK (score >= 0),
                        profile jsonb, doubled int GENERATED ALWAYS AS (score * 2) STORED);
    CREATE TABLE orders (region text, number numeric, total numeric(10, 2), PRIMARY KEY (region, number));
    CREATE ROLE sidecar LOGIN PASSWORD 'sidecar';
    SELECT strata.create_target_table('users'), strata.create_target_table('orders');
    SELECT strata.grant_ingest('users', 'sidecar'), strata.grant_ingest('orders', 'sidecar');";

const CONFIG: &str = r#"
[batch]
rows = 200
linger_ms = 5
[[feeds]]
stream = "changes"
relation = "users"
envelope = "debezium"
[feeds.only]
"$.source.table" = ["users"]
[[feeds]]
stream = "orders"
relation = "orders"
envelope = "dms"
[feeds.only]
"$.metadata.table-name" = ["orders"]
"#;

/// What the source's table holds: name, score, profile.
type Model = BTreeMap<i64, (String, i32, Option<i32>)>;

fn message(op: &str, before: &str, after: &str, table: &str) -> Vec<u8> {
    format!(
        r#"{{"before":{before},"after":{after},"source":{{"connector":"postgresql","table":"{table}"}},"op":"{op}","ts_ms":1}}"#
    )
    .into_bytes()
}

/// One random change at the source, as its capture sends it. Some bring what the target refuses.
fn change(model: &mut Model, rng: &mut Rng) -> Event {
    let id = rng.i64(1..300);
    let record = if model.contains_key(&id) && rng.u8(..4) == 0 {
        model.remove(&id);
        message("d", &format!(r#"{{"id":{id},"name":null}}"#), "null", "users")
    } else {
        let (name, score) = (format!("name {}", rng.u32(..)), rng.i32(0..1000));
        let there = model.get(&id).cloned();
        // What is large and did not change is not sent.
        let (profile, sent) = match &there {
            Some((_, _, profile)) if rng.bool() => (*profile, "\"__debezium_unavailable_value\"".to_owned()),
            _ if rng.u8(..5) == 0 => (None, "null".to_owned()),
            _ => {
                let n = rng.i32(..);
                (Some(n), format!(r#""{{\"n\": {n}}}""#))
            }
        };
        let op = if there.is_some() { "u" } else { ["c", "r"][rng.usize(..2)] };
        model.insert(id, (name.clone(), score, profile));
        let after = format!(r#"{{"id":{id},"name":"{name}","score":{score},"profile":{sent}}}"#);
        message(op, "null", &after, "users")
    };
    Event { id, key: format!("{{\"id\":{id}}}"), record }
}

fn strata(cluster: &Cluster, endpoint: &Endpoint, arguments: &[&str]) -> Result<std::process::Command> {
    let mut command = sidecar::command(cluster, endpoint, arguments)?;
    let (_, host) = cluster.dsn.split_once('@').context("no host")?;
    command.env("STRATA_POSTGRES_DSN", format!("postgresql://sidecar:sidecar@{host}"));
    Ok(command)
}

async fn found(client: &Client) -> Result<Model> {
    let sql = "SELECT id, name, score, (profile ->> 'n')::int FROM users WHERE doubled = score * 2";
    let rows = client.query(sql, &[]).await?;
    Ok(rows.iter().map(|row| (row.get(0), (row.get(1), row.get(2), row.get(3)))).collect())
}

fn config(name: &str) -> Result<String> {
    let path = std::env::temp_dir().join(format!("pg_strata-{}-{name}.toml", std::process::id()));
    std::fs::write(&path, CONFIG)?;
    Ok(path.to_string_lossy().into_owned())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_target_is_what_its_source_is() -> Result<()> {
    let mut rng = strata_e2e::random("a_target_is_what_its_source_is");
    let cluster = Cluster::durable().await?;
    let endpoint = Endpoint::start().await?;
    endpoint.create_stream("changes", 3).await?;
    endpoint.create_stream("orders", 1).await?;
    let client = cluster.connect().await?;
    client.batch_execute(TABLES).await?;
    let config = config("cdc")?;
    let mut model = Model::new();
    let mut crashed = false;
    let mut process: Option<Process> = None;
    for round in 0..6 {
        let mut events: Vec<Event> = (0..700).map(|_| change(&mut model, &mut rng)).collect();
        let other = message("c", "null", r#"{"id":1}"#, "others");
        events.push(Event { id: 0, key: "o".to_owned(), record: other });
        events.push(Event { id: 0, key: "t".to_owned(), record: b"default".to_vec() });
        endpoint.put("changes", &events).await?;
        if let Some(mut running) = process.take() {
            running.signal("KILL")?;
            running.wait().await?;
        }
        if round == 3 {
            cluster.crash_and_restart()?;
            crashed = true;
        }
        let command = strata(&cluster, &endpoint, &["ingest", "--config", &config])?;
        process = Some(Process::spawn(command, "strata")?);
        // Killed at any moment from its start on.
        tokio::time::sleep(std::time::Duration::from_millis(rng.u64(150..900))).await;
    }
    let running = process.context("no process")?;
    ensure!(crashed);
    let client = cluster.connect().await?;
    until("the target to be as its source", async || Ok((found(&client).await? == model).then_some(())))
        .await?;
    let letters = "SELECT count(*) FROM strata.dead_letters";
    ensure!(promises::number(&client, letters).await? == 0, "dead letters");

    // What the target refuses is set aside, and the change before it of the same key stands, though both lay in one batch.
    let user = |id: i64, after: &str| Event {
        id,
        key: format!("{{\"id\":{id}}}"),
        record: message("u", "null", after, "users"),
    };
    let good = r#"{"id":1000,"name":"kept","score":1,"profile":null}"#;
    let last = [
        user(1000, good),
        user(1000, r#"{"id":1000,"name":"refused","score":-1,"profile":null}"#),
        user(1001, r#"{"id":1001,"name":"fine","score":5,"profile":null}"#),
        user(1002, r#"{"id":1002,"score":5,"profile":null}"#),
        Event { id: 0, key: "t".to_owned(), record: message("t", "null", "null", "users") },
    ];
    endpoint.put("changes", &last).await?;
    until("the last changes", async || {
        let users = promises::number(&client, "SELECT count(*) FROM users WHERE id >= 1000").await?;
        let letters = promises::number(&client, letters).await?;
        Ok((users >= 2 && letters >= 3).then_some(()))
    })
    .await?;
    let kept = "SELECT count(*) FROM users WHERE (id, name) IN ((1000, 'kept'), (1001, 'fine'))";
    ensure!(promises::number(&client, kept).await? == 2);
    let states = "SELECT string_agg(sqlstate, ' ' ORDER BY sqlstate) FROM strata.dead_letters
                  WHERE relation = 'users'::regclass AND batch_id = 0";
    let states: String = client.query_one(states, &[]).await?.get(0);
    ensure!(states == "0A000 23502 23514", "{states}");
    let mut running = running;
    running.signal("TERM")?;
    ensure!(running.wait().await?.code() == Some(0), "{}", running.output());
    std::fs::remove_file(config)?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_may_be_of_several_columns_and_change() -> Result<()> {
    let cluster = Cluster::start().await?;
    let endpoint = Endpoint::start().await?;
    endpoint.create_stream("changes", 1).await?;
    endpoint.create_stream("orders", 1).await?;
    let client = cluster.connect().await?;
    client.batch_execute(TABLES).await?;
    let message = |operation: &str, table: &str, data: &str, before: &str| {
        let text = format!(
            r#"{{"data":{data},{before}"metadata":{{"record-type":"data","operation":"{operation}","schema-name":"public","table-name":"{table}"}}}}"#
        );
        Event { id: 0, key: "k".to_owned(), record: text.into_bytes() }
    };
    let order = |operation: &str, data: &str| message(operation, "orders", data, "");
    let control = r#"{"control":{"table-def":{}},"metadata":{"record-type":"control","operation":"create-table","table-name":"orders"}}"#;
    let changes = [
        Event { id: 0, key: "k".to_owned(), record: control.as_bytes().to_vec() },
        order("load", r#"{"region":"eu","number":1,"total":"10.50"}"#),
        order("insert", r#"{"region":"eu","number":2,"total":20}"#),
        order("insert", r#"{"region":"us","number":1.0,"total":30}"#),
        order("update", r#"{"region":"us","number":1.00,"total":31}"#),
        order("delete", r#"{"region":"eu","number":2.0}"#),
        order("insert", r#"{"region":"eu","number":3,"total":1}"#),
        // The key changes: the old row goes.
        message(
            "update",
            "orders",
            r#"{"region":"eu","number":4,"total":2}"#,
            r#""before-image":{"region":"eu","number":3},"#,
        ),
        message("insert", "other", r#"{"region":"xx","number":9}"#, ""),
    ];
    endpoint.put("orders", &changes).await?;
    let config = config("keys")?;
    let check = strata(&cluster, &endpoint, &["check", "--config", &config])?.output()?;
    let said = String::from_utf8_lossy(&check.stdout);
    ensure!(check.status.success() && said.contains("changes are applied by primary key"), "{said}");
    client.batch_execute("REVOKE UPDATE, DELETE ON orders FROM sidecar").await?;
    let check = strata(&cluster, &endpoint, &["check", "--config", &config])?.output()?;
    let said = String::from_utf8_lossy(&check.stderr);
    ensure!(
        check.status.code() == Some(3) && said.contains("lacks UPDATE, DELETE on public.orders"),
        "{said}"
    );
    client.batch_execute("GRANT UPDATE, DELETE ON orders TO sidecar").await?;
    for _ in 0..2 {
        let arguments = ["ingest", "--exit-when-caught-up", "--config", &config];
        let output = strata(&cluster, &endpoint, &arguments)?.output()?;
        ensure!(output.status.code() == Some(0), "{}", String::from_utf8_lossy(&output.stderr));
        let rows = "SELECT string_agg(format('%s %s %s', region, number::int, total), ', ' ORDER BY region, number) FROM orders";
        let rows: String = client.query_one(rows, &[]).await?.get(0);
        ensure!(rows == "eu 1 10.50, eu 4 2.00, us 1 31.00", "{rows}");
    }
    let status = strata(&cluster, &endpoint, &["status", "--json"])?.output()?;
    let status: serde_json::Value = serde_json::from_slice(&status.stdout)?;
    let tables = status["tables"].as_array().context("no tables")?;
    let orders = tables.iter().find(|table| table["relation"] == "orders").context("no target")?;
    ensure!(orders["rows"].as_i64().is_some_and(|rows| rows > 0), "{orders}");
    let letters = promises::number(&client, "SELECT count(*) FROM strata.dead_letters").await?;
    ensure!(letters == 0, "{letters} dead letters");
    std::fs::remove_file(config)?;
    Ok(())
}
