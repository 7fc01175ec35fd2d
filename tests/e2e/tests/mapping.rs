//! Columns from everywhere, and rules that keep bad data out with the reason.

use anyhow::{Context, Result, ensure};
use std::process::Command;
use strata_e2e::{Cluster, Endpoint, Event, events, promises, sidecar};

const TABLE: &str = "
    CREATE TYPE mood AS ENUM ('sad', 'ok', 'happy');
    CREATE DOMAIN positive AS int CHECK (VALUE > 0);
    CREATE TABLE mapped (
        event_id bigint NOT NULL, ts timestamptz NOT NULL, stream text NOT NULL, shard text NOT NULL,
        place numeric NOT NULL, key text NOT NULL, arrived timestamptz NOT NULL, source text, amount numeric(10, 2),
        kind text, email text, mood mood, moods mood[], tags text[], counts int[], stamps timestamptz[], day date,
        score positive, rest jsonb NOT NULL
    );
    SELECT strata.create_event_table('mapped', 'ts');";

const CONFIG: &str = r#"
[[feeds]]
stream = "mapped"
relation = "mapped"
[feeds.columns]
stream = "$stream"
shard = "$shard"
place = "$sequence_number"
key = "$partition_key"
arrived = "$arrived_at"
rest = "$rest"
source = { constant = "web" }
amount = { from = "$.order.price", required = true, min = 0, max = 1000.50 }
kind = { one_of = ["view", "click"] }
email = { min_length = 5, max_length = 20, pattern = "^[^@ ]+@[^@ ]+$" }
counts = { max_length = 3 }
"#;

fn record(id: i64, fields: &str) -> Event {
    let ts = events::now_ms();
    let record = format!(r#"{{"event_id":{id},"ts":{ts},{fields}}}"#).into_bytes();
    Event { id, key: format!("user-{id}"), record }
}

#[tokio::test(flavor = "multi_thread")]
async fn columns_come_from_everywhere_and_rules_hold() -> Result<()> {
    let cluster = Cluster::start().await?;
    let endpoint = Endpoint::start().await?;
    endpoint.create_stream("mapped", 1).await?;
    let client = cluster.connect().await?;
    client.batch_execute(TABLE).await?;
    let whole = r#""order":{"price":"9.99","currency":"EUR"},"kind":"view","email":"a@b.c","mood":"happy",
        "moods":["sad",null,"ok"],"tags":["x","y z"],"counts":[1,null,3],"stamps":["2026-01-01T00:00:00Z",0],
        "day":19723,"score":5,"extra":{"a":[1]},"more":null"#;
    let price = r#""order":{"price":1}"#;
    let bad = [
        (2, r#""kind":"view""#.to_owned(), "23502", "amount", "required"),
        (3, r#""order":{"price":-0.01}"#.to_owned(), "23514", "amount", "minimum of 0"),
        (4, r#""order":{"price":1000.51}"#.to_owned(), "23514", "amount", "maximum of 1000.5"),
        (5, format!(r#"{price},"kind":"buy""#), "23514", "kind", "one_of"),
        (6, format!(r#"{price},"email":"a@b""#), "23514", "email", "minimum of 5"),
        (7, format!(r#"{price},"email":"secret-value""#), "23514", "email", "pattern"),
        (8, format!(r#"{price},"counts":[1,2,3,4]"#), "23514", "counts", "maximum of 3"),
        (9, format!(r#"{price},"tags":"x""#), "22P02", "tags", "array"),
        (10, format!(r#"{price},"counts":[1,"x"]"#), "22P02", "counts", "element 1"),
        // What only the server knows: labels and domains.
        (11, format!(r#"{price},"mood":"blue""#), "22P02", "mood", "mood"),
        (12, format!(r#"{price},"score":-1"#), "23514", "score", "positive"),
    ];
    let mut all = vec![record(1, whole)];
    all.extend(bad.iter().map(|(id, fields, ..)| record(*id, fields)));
    endpoint.put("mapped", &all).await?;

    let config = std::env::temp_dir().join(format!("pg_strata-mapping-{}.toml", std::process::id()));
    std::fs::write(&config, CONFIG)?;
    let config = config.to_string_lossy().into_owned();
    let run = |arguments: &[&str]| -> Result<Command> {
        sidecar::command(&cluster, &endpoint, &[&["--config", &config], arguments].concat())
    };
    let check = run(&["check"])?.output()?;
    let said = String::from_utf8_lossy(&check.stdout);
    for words in ["$arrived_at", "always \"web\"", "$.order.price, checked", "mood[]"] {
        ensure!(check.status.success() && said.contains(words), "check says nothing of {words}:\n{said}");
    }
    let output = run(&["ingest", "--exit-when-caught-up"])?.output()?;
    ensure!(output.status.code() == Some(0), "{}", String::from_utf8_lossy(&output.stderr));

    let row = "SELECT event_id = 1 AND stream = 'mapped' AND shard ~ '^shardId-' AND place > 1 AND key = 'user-1'
               AND arrived > now() - interval '1 hour' AND source = 'web' AND amount = 9.99 AND kind = 'view'
               AND mood = 'happy' AND moods = '{sad,NULL,ok}' AND tags = '{x,\"y z\"}' AND counts = '{1,NULL,3}'
               AND stamps = '{2026-01-01T00:00:00Z,1970-01-01T00:00:00Z}' AND day = '2024-01-01' AND score = 5
               AND rest = '{\"order\": {\"price\": \"9.99\", \"currency\": \"EUR\"}, \"extra\": {\"a\": [1]}, \"more\": null}'
               FROM mapped";
    let found = client.query(row, &[]).await?;
    let row = client.query("SELECT mapped::text FROM mapped", &[]).await?;
    let shown = row.iter().map(|r| r.get::<_, String>(0)).collect::<Vec<_>>();
    ensure!(found.len() == 1 && found[0].get::<_, Option<bool>>(0) == Some(true), "{shown:#?}");
    let letters = "SELECT partition_key, sqlstate, column_name, reason FROM strata.dead_letters ORDER BY dead_letter_id";
    let letters = client.query(letters, &[]).await?;
    ensure!(letters.len() == bad.len(), "{} dead letters", letters.len());
    for (id, _, state, column, words) in &bad {
        let key = format!("user-{id}");
        let letter = letters.iter().find(|l| l.get::<_, &str>(0) == key).context(key)?;
        let reason: String = letter.get(3);
        ensure!(letter.get::<_, &str>(1) == *state, "{id}: {reason}");
        // (the server names no column where a domain refuses)
        ensure!(letter.get::<_, Option<&str>>(2).is_none_or(|c| c == *column), "{id}: {reason}");
        ensure!(reason.contains(words) && !reason.contains("secret-value"), "{id}: {reason}");
    }
    let faults = "SELECT count(*) FROM strata.verify_batches('mapped')";
    ensure!(promises::number(&client, faults).await? == 0, "verify_batches found faults");
    std::fs::remove_file(config)?;
    Ok(())
}
