//! `strata check`: everything that can be known to be wrong without starting. Never: waiting, writing.

use crate::config::{Config, Start};
use crate::decode::event_time::TimeType;
use crate::decode::plan::{TablePlan, Target};
use crate::error::{Error, Kind, Result};
use crate::files::STDIN;
use crate::ingest::{TableSetup, setup_tables};
use crate::postgres::Database;
use crate::print;
use crate::source::{PageBounds, Sources};
use crate::stream::{Listing, Position};
use crate::witness::Witness;
use std::fmt::Write;
use strata_core::time::format_timestamptz;

/// Prints what was found; the first thing that is wrong ends it.
pub async fn check(config: &Config) -> Result<()> {
    let feeds = config.feeds()?;
    let database = Database::new(config)?;
    let sources = Sources::new(config).await?;
    let mut streams = Vec::new();
    for feed in feeds {
        let source = sources.of(&feed.stream)?;
        let stream = source.describe(&feed.stream).await.map_err(|e| allowed(e, "DescribeStreamSummary"))?;
        let shards = source.list_shards(&stream, Listing::All).await.map_err(|e| allowed(e, "ListShards"))?;
        // Asking for an iterator shows that records may be read; of standard input there is but one reading.
        if let Some(shard) = shards.first().filter(|_| !feed.stream.starts_with(STDIN)) {
            let iterator = source.iterator(&stream, &shard.id, &Position::TrimHorizon).await;
            let iterator = iterator.map_err(|e| allowed(e, "GetShardIterator"))?;
            let bounds = PageBounds { records: 1, bytes: 1 };
            source
                .records(&stream, &shard.id, &iterator, bounds)
                .await
                .map_err(|e| allowed(e, "GetRecords"))?;
        }
        print(&format!(
            "stream {}: {} open shards, {} listed\n",
            stream.name,
            stream.open_shards,
            shards.len()
        ))?;
        if stream.ignores_keys {
            print(
                "  warning: records go to any shard, whatever their key; their order by key is not kept\n",
            )?;
        }
        streams.push(Some(stream));
    }
    let session = database.connect().await.map_err(wrong_now)?;
    print(&format!("database: pg_strata {}\n", session.version().await.map_err(missing_extension)?))?;
    let (role, mut lacking) = (session.role().await?, Vec::new());
    for table in setup_tables(&session, feeds, &streams).await? {
        print(&describe(&table))?;
        let relation = &table.plan.relation;
        let mut missing = session.missing_rights(relation, table.plan.is_keyed()).await?;
        if let (Some(dedupe), Some(time)) = (table.plan.dedupe, table.plan.time_column()) {
            let id = &table.plan.columns[dedupe.column].name;
            missing.extend(session.missing_for_dedupe(relation, id, &time.name).await?);
        }
        if !missing.is_empty() {
            lacking.push(format!(
                "role \"{role}\" lacks {} on {relation}; its owner can run: SELECT strata.grant_ingest('{relation}', '{role}')",
                missing.join(", ")
            ));
        }
    }
    if let Some(witness) = Box::pin(Witness::configured(config)).await? {
        print(&witness.check(&session).await?)?;
    }
    if lacking.is_empty() { Ok(()) } else { Err(Error::new(Kind::Check, lacking.join("\n"))) }
}

/// A database that is away is a failure here, not something to wait for.
fn wrong_now(error: Error) -> Error {
    if error.kind == Kind::Retry { Error { kind: Kind::End, ..error } } else { error }
}

/// Says which action a policy must allow, where one does not.
fn allowed(error: Error, action: &str) -> Error {
    match error.code.as_deref() {
        Some("AccessDeniedException") => Error {
            kind: Kind::Check,
            message: format!("{}; the policy must allow kinesis:{action}", error.message),
            ..error
        },
        _ => error,
    }
}

fn missing_extension(error: Error) -> Error {
    match error.code.as_deref() {
        Some("3F000" | "42883") => Error::no_extension(),
        _ => error,
    }
}

fn describe(table: &TableSetup) -> String {
    let mut text = String::new();
    let (from, to) = table.accepted;
    let time = |us: i64| match us {
        i64::MIN | i64::MAX => "any time".to_owned(),
        us => table.plan.time_type().map_or_else(|| us.to_string(), |time_type| time_type.show(us)),
    };
    // Writing into a string cannot fail.
    let _ = match table.plan.target {
        Target::Keyed { .. } => {
            writeln!(text, "table {}: changes are applied by primary key", table.plan.relation)
        }
        Target::Events { time_type, .. } => writeln!(
            text,
            "table {}: accepts event times{} from {} to {}",
            table.plan.relation,
            match time_type {
                TimeType::TimestampTz => "",
                TimeType::Timestamp | TimeType::Date => " (by the wall clock)",
                TimeType::Uuid => " (of UUIDs of version 7)",
            },
            time(from),
            time(to)
        ),
    };
    for feed in &table.feeds {
        let start = match feed.start {
            Start::TrimHorizon => "TRIM_HORIZON".to_owned(),
            Start::Latest => "LATEST".to_owned(),
            Start::At(us) => format_timestamptz(us),
        };
        let stream = feed.stream.as_ref().map_or("?", |s| s.name.as_str());
        let _ = writeln!(text, "  from {stream}, starting at {start}");
        let plan: &TablePlan = &table.plan;
        for (column, field) in plan.columns.iter().zip(&feed.mapping.fields) {
            let null = if column.not_null { " NOT NULL" } else { "" };
            let path = &field.shown;
            let _ = writeln!(
                text,
                "    {:<20} {:<28} {path}",
                column.name,
                format!("{}{null}", column.type_name)
            );
        }
    }
    for column in &table.catalog.columns {
        if !table.plan.columns.iter().any(|c| c.name == column.name) {
            let why = if column.is_generated { "generated" } else { "left to its default" };
            let _ = writeln!(text, "    {:<20} {:<28} {why}", column.name, column.type_name);
        }
    }
    text
}
