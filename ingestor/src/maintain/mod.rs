//! `strata maintain`: partitions made ahead, those past retention let go of, the ledger pruned, table by table. `run`
//! does the same on its interval. What is printed and which exit code it comes to. Never: the order of the steps.

mod round;

use round::Outcome;
pub use round::maintain;

use crate::cli::Maintain;
use crate::config::Config;
use crate::error::{Error, Kind, Result};
use crate::human::bytes;
use crate::postgres::{Database, Session};
use crate::print;
use crate::status::expired_table;
use serde_json::json;
use std::io::IsTerminal;

/// Maintains the tables asked for, or configured, or all this role may maintain.
pub async fn run(config: &Config, options: &Maintain) -> Result<()> {
    let database = Database::new(config)?;
    let session = database.connect().await?;
    let as_json = options.json || !std::io::stdout().is_terminal();
    let relations = relations(config, options, &session).await?;
    if options.dry_run {
        let mut expired = Vec::new();
        for relation in &relations {
            expired.extend(session.expired_partitions(Some(relation)).await?);
        }
        return print(&if as_json {
            format!("{}\n", json!({ "expired": expired }))
        } else {
            expired_table(&expired)
        });
    }
    session.heal_catalog(config.maintain.lock_timeout_ms).await?;
    let mut outcomes = Vec::new();
    for relation in &relations {
        let outcome = maintain(&database, &session, relation, &config.maintain, true).await?;
        if !as_json {
            print(&lines(&outcome))?;
        }
        outcomes.push(outcome);
    }
    if as_json {
        let actions: Vec<_> = outcomes.iter().flat_map(|o| &o.actions).collect();
        let expired: Vec<_> = outcomes.iter().flat_map(|o| &o.expired).collect();
        print(&format!("{}\n", json!({ "actions": actions, "expired": expired })))?;
    }
    verdict(&outcomes)
}

async fn relations(config: &Config, options: &Maintain, session: &Session) -> Result<Vec<String>> {
    let configured = config.feeds.iter().map(|feed| &feed.relation).filter(|name| !name.is_empty());
    let named: Vec<&String> =
        if options.table.is_empty() { configured.collect() } else { options.table.iter().collect() };
    if named.is_empty() {
        return session.maintainable().await.map_err(|error| match error.code.as_deref() {
            Some("3F000" | "42883") => Error::no_extension(),
            _ => error,
        });
    }
    let mut relations = Vec::new();
    for name in named {
        let (found, _) = session.table(name).await?;
        if !relations.contains(&found.relation) {
            relations.push(found.relation);
        }
    }
    Ok(relations)
}

/// The exit code: failed before blocked before done.
fn verdict(outcomes: &[Outcome]) -> Result<()> {
    let failures = outcomes.iter().flat_map(Outcome::failures).collect::<Vec<_>>();
    if !failures.is_empty() {
        return Err(Error::end(failures.join("; ")));
    }
    let held: Vec<String> = outcomes.iter().filter_map(Outcome::held).collect();
    if held.is_empty() { Ok(()) } else { Err(Error::new(Kind::Check, held.join("; "))) }
}

fn lines(outcome: &Outcome) -> String {
    let size = |size: Option<i64>| size.map(bytes).unwrap_or_default();
    let line = |what: &str, on: &str, size: String, detail: &str| {
        format!("{}: {what:<9} {on} {size} {detail}", outcome.relation).trim_end().to_owned() + "\n"
    };
    let done = outcome.actions.iter().map(|a| {
        let on = a.on.clone().or(a.count.map(|n| n.to_string())).unwrap_or_default();
        line(a.action, &on, size(a.bytes), a.detail.as_deref().unwrap_or_default())
    });
    let held = outcome.expired.iter().filter_map(|e| {
        let why = e.blocked_by.as_ref()?;
        Some(line("blocked", &e.partition, size(Some(e.bytes)), why))
    });
    done.chain(held).collect()
}
