//! What the extension promises, as queries. Each takes one snapshot, so it may be asked while everything runs.

use crate::Acknowledged;
use crate::endpoint::last_by_shard;
use anyhow::{Result, ensure};
use std::collections::BTreeMap;
use tokio_postgres::Client;

/// One number.
///
/// # Errors
/// When the query fails.
pub async fn number(client: &Client, query: &str) -> Result<i64> {
    Ok(client.query_one(query, &[]).await?.try_get(0)?)
}

/// Every acknowledged event is in the table, once, and nothing else is.
///
/// # Errors
/// When that is not so.
pub async fn exactly_once(client: &Client, acknowledged: &[Acknowledged]) -> Result<()> {
    exactly_once_in(client, "clicks", acknowledged).await
}

/// The same of another table, whose name is quoted where it must be.
///
/// # Errors
/// When that is not so.
pub async fn exactly_once_in(client: &Client, table: &str, acknowledged: &[Acknowledged]) -> Result<()> {
    let query = format!("SELECT event_id, count(*) FROM {table} GROUP BY event_id ORDER BY event_id");
    let rows = client.query(&query, &[]).await?;
    let found: BTreeMap<i64, i64> = rows.iter().map(|row| (row.get(0), row.get(1))).collect();
    let told: BTreeMap<i64, i64> = acknowledged.iter().fold(BTreeMap::new(), |mut told, one| {
        *told.entry(one.id).or_default() += 1;
        told
    });
    let missing: Vec<_> = told.keys().filter(|id| !found.contains_key(id)).take(10).collect();
    let extra: Vec<_> = found.keys().filter(|id| !told.contains_key(id)).take(10).collect();
    let wrong: Vec<_> =
        found.iter().filter(|(id, count)| told.get(id).is_some_and(|n| n != *count)).take(10).collect();
    ensure!(
        missing.is_empty() && extra.is_empty() && wrong.is_empty(),
        "{} events told, {} found; missing {missing:?}, never told {extra:?}, count wrong {wrong:?}",
        told.len(),
        found.len()
    );
    Ok(())
}

/// The rollup is its defining query, row by row, both ways.
///
/// # Errors
/// When that is not so.
pub async fn rollup_is_its_query(client: &Client) -> Result<()> {
    let query: String =
        client.query_one("SELECT strata.rollup_query('clicks_by_user_day')", &[]).await?.try_get(0)?;
    let query = query.trim_end_matches(';');
    let both_ways = format!(
        "WITH stored AS MATERIALIZED (SELECT * FROM clicks_by_user_day), fresh AS MATERIALIZED ({query})
         SELECT count(*) FROM (
             (TABLE stored EXCEPT ALL TABLE fresh) UNION ALL (TABLE fresh EXCEPT ALL TABLE stored)
         ) AS difference"
    );
    let differences = number(client, &both_ways).await?;
    ensure!(differences == 0, "the rollup and its query differ in {differences} rows");
    Ok(())
}

/// The verifiers find nothing, and the ledger counts what is there.
///
/// # Errors
/// When that is not so.
pub async fn verified(client: &Client) -> Result<()> {
    let faults = client
        .query("SELECT batch_id, fault, expected, found FROM strata.verify_batches('clicks')", &[])
        .await?;
    ensure!(faults.is_empty(), "verify_batches found {faults:?}");
    let groups =
        client.query("SELECT bucket, key::text FROM strata.verify_rollup('clicks_by_user_day')", &[]).await?;
    ensure!(groups.is_empty(), "verify_rollup found {groups:?}");
    let uncounted = "SELECT count(*) FROM (
             SELECT batch_id, sum(rows)::bigint FROM strata.batches WHERE relation = 'clicks'::regclass AND rows > 0 GROUP BY batch_id
             EXCEPT SELECT batch_id, count(*) FROM clicks GROUP BY batch_id
         ) AS wrong";
    ensure!(number(client, uncounted).await? == 0, "the ledger counts otherwise than the table");
    Ok(())
}

/// Every shard's checkpoint is the last record the producer was told of.
///
/// # Errors
/// When that is not so.
pub async fn checkpoints_at_end(client: &Client, arn: &str, acknowledged: &[Acknowledged]) -> Result<()> {
    let query = "SELECT shard, sequence_number, rows FROM strata.shards WHERE relation = 'clicks'::regclass AND stream = $1";
    let rows = client.query(query, &[&arn]).await?;
    let found: BTreeMap<String, String> = rows
        .iter()
        .filter_map(|row| Some((row.get::<_, String>(0), row.get::<_, Option<String>>(1)?)))
        .collect();
    let told = last_by_shard(acknowledged);
    ensure!(found == told, "checkpoints {found:?}, the producer was told {told:?}");
    Ok(())
}
