//! `strata status`: what the database knows of shards, tables, rollups and retention. Never: streams, writing.

use crate::config::Config;
use crate::error::Result;
use crate::human::{bytes, duration};
use crate::postgres::Database;
use crate::postgres::maintain::Expired;
use crate::postgres::views::StopStatus;
use crate::print;
use serde_json::json;
use std::io::IsTerminal;

/// Prints tables on a terminal, JSON elsewhere or where asked for.
pub async fn status(config: &Config, as_json: bool) -> Result<()> {
    let session = Database::new(config)?.connect().await?;
    let tables = session.table_status().await?;
    let shards = session.shard_status().await?;
    let rollups = session.rollup_status().await?;
    let stops = session.stop_status().await?;
    let expired = session.expired_partitions(None).await?;
    if as_json || !std::io::stdout().is_terminal() {
        let all = json!({
            "tables": tables, "shards": shards, "stopped": stops, "rollups": rollups, "expired": expired
        });
        return print(&format!("{all}\n"));
    }
    let age =
        |ms: Option<i64>| ms.map_or("-".to_owned(), |ms| duration(u64::try_from(ms).unwrap_or_default()));
    let rows = tables.iter().map(|t| {
        let last = age(t.last_batch_age_ms);
        vec![t.relation.clone(), t.rows.to_string(), t.batches.to_string(), last, t.dead_letters.to_string()]
    });
    print(&table(&["table", "rows", "batches", "last batch", "dead letters"], &rows.collect::<Vec<_>>()))?;
    let rows = shards.iter().map(|s| {
        let state = match (s.ended, s.leased) {
            (true, _) => "ended",
            (false, true) => "leased",
            (false, false) => "free",
        };
        let stream = s.stream.rsplit('/').next().unwrap_or(&s.stream).to_owned();
        let worker = s.worker.clone().unwrap_or_default();
        vec![
            s.relation.clone(),
            stream,
            s.shard.clone(),
            state.to_owned(),
            worker,
            age(s.age_ms),
            s.rows.to_string(),
        ]
    });
    let heads = ["table", "stream", "shard", "state", "worker", "last record", "rows"];
    print(&format!("\n{}", table(&heads, &rows.collect::<Vec<_>>())))?;
    let rows = rollups.iter().map(|r| {
        let pending = r.pending_batches.map_or("-".to_owned(), |n| n.to_string());
        vec![r.rollup.clone(), r.source.clone(), pending]
    });
    print(&format!("\n{}", table(&["rollup", "table", "pending batches"], &rows.collect::<Vec<_>>())))?;
    if !stops.is_empty() {
        let age = |ms: i64| age(Some(ms));
        let row = |s: &StopStatus| {
            vec![s.relation.clone(), s.worker.clone(), age(s.age_ms), age(s.next_try_in_ms), s.reason.clone()]
        };
        let heads = ["stopped", "worker", "for", "next try in", "reason"];
        print(&format!("\n{}", table(&heads, &stops.iter().map(row).collect::<Vec<_>>())))?;
    }
    if expired.is_empty() { Ok(()) } else { print(&format!("\n{}", expired_table(&expired))) }
}

/// What is past retention and still there.
pub fn expired_table(expired: &[Expired]) -> String {
    let rows = expired.iter().map(|e| {
        let blocked = e.blocked_by.clone().unwrap_or_else(|| "nothing".to_owned());
        vec![e.relation.clone(), e.partition.clone(), e.upper.clone(), bytes(e.bytes), blocked]
    });
    table(&["table", "past retention", "until", "size", "held back by"], &rows.collect::<Vec<_>>())
}

/// Columns as wide as they must be.
pub fn table(heads: &[&str], rows: &[Vec<String>]) -> String {
    let width = |i: usize| {
        let cells = rows.iter().filter_map(|row| row.get(i)).map(|cell| cell.chars().count());
        cells.chain([heads[i].chars().count()]).max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..heads.len()).map(width).collect();
    let line = |cells: &mut dyn Iterator<Item = &str>| {
        let padded = cells.zip(&widths).map(|(cell, width)| format!("{cell:<width$}"));
        format!("{}\n", padded.collect::<Vec<_>>().join("  ").trim_end())
    };
    let mut text = line(&mut heads.iter().copied());
    text += &line(&mut widths.iter().map(|w| "-".repeat(*w)).collect::<Vec<_>>().iter().map(String::as_str));
    for row in rows {
        text += &line(&mut row.iter().map(String::as_str));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tables_line_up() {
        let rows = [vec!["a".to_owned(), "long".to_owned()], vec!["größe".to_owned(), "x".to_owned()]];
        assert_eq!(table(&["h", "i"], &rows), "h      i\n-----  ----\na      long\ngröße  x\n");
    }
}
