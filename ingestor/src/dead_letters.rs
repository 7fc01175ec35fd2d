//! `strata dead-letters`: records that could not become rows, and why; those that are too old deleted.

use crate::cli::DeadLettersCommand;
use crate::config::Config;
use crate::error::{Error, Result};
use crate::postgres::Database;
use crate::postgres::views::DeadLetter;
use crate::print;
use crate::status::table;
use serde_json::{Value, json};
use std::io::Write;
use strata_core::time::format_timestamptz;

/// Does what was asked for.
pub async fn run(config: &Config, relation: Option<&str>, command: &DeadLettersCommand) -> Result<()> {
    if let DeadLettersCommand::Retry { ids } = command {
        return crate::retry::run(config, ids).await;
    }
    let session = Database::new(config)?.connect().await?;
    match command {
        DeadLettersCommand::List { limit, json } => {
            let letters = session.dead_letters(relation, *limit).await?;
            if *json {
                return letters.iter().try_for_each(|letter| print(&format!("{}\n", describe(letter))));
            }
            let rows = letters.iter().map(|d| {
                let state = d.sqlstate.clone().unwrap_or_default();
                let place = format!("{} {}", d.shard, d.sequence_number);
                vec![
                    d.id.to_string(),
                    d.relation.clone(),
                    format_timestamptz(d.created_at),
                    state,
                    d.reason.clone(),
                    place,
                ]
            });
            print(&table(
                &["id", "table", "set aside at", "state", "reason", "place"],
                &rows.collect::<Vec<_>>(),
            ))
        }
        DeadLettersCommand::Retry { .. } => Ok(()),
        DeadLettersCommand::Purge { older_than_days } => {
            let relation =
                relation.ok_or_else(|| Error::usage("which table's dead letters? give --relation"))?;
            let purged = session.purge_dead_letters(relation, *older_than_days).await?;
            print(&format!("{relation}: {purged} dead letters deleted\n"))
        }
        DeadLettersCommand::Show { id, payload } => {
            let letter = session
                .dead_letter(*id)
                .await?
                .ok_or_else(|| Error::end(format!("there is no dead letter {id} that you may see")))?;
            let whole = decompressed(&letter)?;
            if *payload {
                return std::io::stdout()
                    .lock()
                    .write_all(&whole)
                    .map_err(|e| Error::end(format!("cannot write: {e}")));
            }
            let mut shown = describe(&letter);
            if let Value::Object(fields) = &mut shown {
                fields.insert("payload".to_owned(), json!(String::from_utf8_lossy(&whole)));
            }
            print(&format!("{shown:#}\n"))
        }
    }
}

fn decompressed(letter: &DeadLetter) -> Result<Vec<u8>> {
    crate::payload::decompress(&letter.payload, usize::try_from(letter.payload_bytes).unwrap_or_default())
}

fn describe(letter: &DeadLetter) -> Value {
    json!({
        "id": letter.id,
        "relation": letter.relation,
        "shard": letter.shard,
        "sequence_number": letter.sequence_number,
        "sub_sequence": letter.sub_sequence,
        "partition_key": letter.partition_key,
        "created_at": format_timestamptz(letter.created_at),
        "reason": letter.reason,
        "sqlstate": letter.sqlstate,
        "column": letter.column,
        "payload_bytes": letter.payload_bytes,
    })
}
