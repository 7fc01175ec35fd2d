//! CloudEvents 1.0 in structured mode, JSON format. An event is an insert. Batches are arrays: `events = "array"`.

use super::{Change, Look, Opened, Operation, stranger, unescaped};
use crate::decode::Fault;
use base64::Engine;

/// Attributes that every event has, then its data in both forms.
pub const PATHS: &[&[&str]] =
    &[&["specversion"], &["id"], &["source"], &["type"], &["data"], &["data_base64"]];
const REQUIRED: [&str; 4] = ["specversion", "id", "source", "type"];

pub(super) fn open<'a>(look: &mut Look, decoded: &'a mut String, text: &'a str) -> Result<Opened<'a>, Fault> {
    look.at(text)?;
    for (path, name) in REQUIRED.iter().enumerate() {
        if look.word(text, path).is_none_or(str::is_empty) {
            return Err(stranger("CloudEvents", name));
        }
    }
    // 1.0.1 and 1.0.2 write 1.0, too.
    if look.word(text, 0) != Some("1.0") {
        return Err(Fault::new("0A000", "record is of another version of CloudEvents than 1.0"));
    }
    let image = match (look.value(text, 4), look.value(text, 5)) {
        (Some(_), Some(_)) => {
            return Err(Fault::new("22P02", "event has both data and data_base64"));
        }
        (data, None) => data,
        (None, Some(encoded)) => {
            let broken = || Fault::new("22P02", "data_base64 is no base64 of JSON");
            if !unescaped(encoded, decoded)? {
                return Err(broken());
            }
            let bytes =
                base64::engine::general_purpose::STANDARD.decode(decoded.as_bytes()).map_err(|_| broken())?;
            *decoded = String::from_utf8(bytes).map_err(|_| broken())?;
            Some(decoded.as_str())
        }
    };
    Ok(Opened::Change(Change { operation: Operation::Insert, image, before: None, schema: None }))
}
