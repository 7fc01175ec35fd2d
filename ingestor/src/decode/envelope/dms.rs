//! JSON messages of the AWS Database Migration Service, load and ongoing changes. Control messages tell of the source's
//! schema: `create-table`, which begins every task, is passed over, all others are set aside.

use super::{Change, Look, Opened, Operation, object, set_aside, stranger};
use crate::decode::Fault;

/// What a message is made of.
pub const PATHS: &[&[&str]] =
    &[&["metadata", "record-type"], &["metadata", "operation"], &["data"], &["before-image"], &["control"]];

pub(super) fn open<'a>(look: &mut Look, text: &'a str) -> Result<Opened<'a>, Fault> {
    look.at(text)?;
    let operation = look.word(text, 1);
    let control = look.word(text, 0) == Some("control") || look.value(text, 4).is_some();
    let operation = match operation {
        Some("load") => Operation::Load,
        Some("insert") => Operation::Insert,
        Some("update") => Operation::Update,
        Some("delete") => Operation::Delete,
        Some("create-table") => return Ok(Opened::Nothing),
        Some("truncate-table") => return Err(set_aside("a truncate of the source table")),
        Some(other) if control => {
            let named = [
                "drop-table",
                "rename-table",
                "add-column",
                "drop-column",
                "rename-column",
                "change-columns",
            ];
            let name = named.into_iter().find(|name| *name == other).unwrap_or("of an unknown kind");
            return Err(set_aside(&format!("a change of the source's schema ({name})")));
        }
        // A control message that names no operation only tells about the task.
        None if control => return Ok(Opened::Nothing),
        _ => return Err(stranger("AWS DMS", "metadata.operation that is known")),
    };
    let image = object(look.value(text, 2)).ok_or_else(|| stranger("AWS DMS", "data"))?;
    let before = object(look.value(text, 3));
    Ok(Opened::Change(Change { operation, image: Some(image), before, schema: None }))
}
