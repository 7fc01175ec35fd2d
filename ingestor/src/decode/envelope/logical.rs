//! Debezium's logical types: what the schema of a message says about numbers that are times and bytes that are
//! decimals. The schema is read once and again only when it changes. Never: columns of a table.

use crate::decode::Fault;
use base64::Engine;
use serde::Deserialize;
use std::collections::HashMap;
use std::fmt::Write;

/// Digits a decimal of a source may have.
const DECIMAL_BYTES_MAX: usize = 512;

/// How a field's value is to be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Logical {
    /// A time since 1970, so many of this unit to a second.
    Instant(i64),
    /// A time since midnight, likewise.
    Time(i64),
    /// Two's complement in base64, with so many digits after the point.
    Decimal(i32),
}

/// The logical types of the fields of a row, by name.
#[derive(Debug, Default)]
pub struct Schema {
    text: String,
    fields: HashMap<String, Logical>,
}

#[derive(Deserialize)]
struct Node {
    #[serde(default)]
    field: String,
    name: Option<String>,
    parameters: Option<HashMap<String, String>>,
    #[serde(default)]
    fields: Vec<Node>,
}

impl Schema {
    /// Reads a schema, unless it is the one read last.
    pub fn read(&mut self, text: Option<&str>) -> Result<(), Fault> {
        let text = text.unwrap_or_default();
        if text == self.text {
            return Ok(());
        }
        let root: Option<Node> = if text.is_empty() {
            None
        } else {
            let broken = |e| Fault::new("22P02", format!("schema of the message cannot be read: {e}"));
            Some(serde_json::from_str(text).map_err(broken)?)
        };
        text.clone_into(&mut self.text);
        self.fields.clear();
        let fields = root.map(|node| node.fields).unwrap_or_default();
        for row in fields.into_iter().filter(|node| node.field == "after" || node.field == "before") {
            let known = row.fields.into_iter().filter_map(|node| {
                let logical = logical(&node)?;
                Some((node.field, logical))
            });
            self.fields.extend(known);
        }
        Ok(())
    }

    /// How a field is to be read, where that is not as it stands.
    pub fn field(&self, name: &str) -> Option<Logical> {
        self.fields.get(name).copied()
    }
}

fn logical(node: &Node) -> Option<Logical> {
    let parameter = |name: &str| node.parameters.as_ref()?.get(name)?.parse().ok();
    Some(match node.name.as_deref()? {
        "io.debezium.time.Timestamp" | "org.apache.kafka.connect.data.Timestamp" => Logical::Instant(1_000),
        "io.debezium.time.MicroTimestamp" => Logical::Instant(1_000_000),
        "io.debezium.time.NanoTimestamp" => Logical::Instant(1_000_000_000),
        "io.debezium.time.Time" | "org.apache.kafka.connect.data.Time" => Logical::Time(1_000),
        "io.debezium.time.MicroTime" => Logical::Time(1_000_000),
        "io.debezium.time.NanoTime" => Logical::Time(1_000_000_000),
        "org.apache.kafka.connect.data.Decimal" => Logical::Decimal(parameter("scale")?),
        _ => return None,
    })
}

impl Logical {
    /// The characters PostgreSQL's type is read from.
    pub fn text(self, json: &str, out: &mut String) -> Result<(), Fault> {
        out.clear();
        let whole = || {
            json.parse::<i128>()
                .map_err(|_| Fault::new("22P02", "value is no whole number, which its schema says"))
        };
        // Writing into a string cannot fail.
        match self {
            Self::Instant(unit) => {
                let us = whole()? * 1_000_000 / i128::from(unit);
                let us = i64::try_from(us - 946_684_800_000_000);
                let us = us.map_err(|_| Fault::new("22008", "timestamp out of range"))?;
                out.push_str(&strata_core::time::format_timestamptz(us));
            }
            Self::Time(unit) => {
                let us = whole()? * 1_000_000 / i128::from(unit);
                if !(0..=86_400_000_000).contains(&us) {
                    return Err(Fault::new("22008", "time out of range"));
                }
                let (seconds, us) = (us / 1_000_000, us % 1_000_000);
                let _ =
                    write!(out, "{:02}:{:02}:{:02}.{us:06}", seconds / 3600, seconds / 60 % 60, seconds % 60);
            }
            Self::Decimal(scale) => {
                let broken = || Fault::new("22P02", "value is no decimal in base64, which its schema says");
                let quoted =
                    json.strip_prefix('"').and_then(|text| text.strip_suffix('"')).ok_or_else(broken)?;
                let engine = &base64::engine::general_purpose::STANDARD;
                let bytes = engine.decode(quoted).map_err(|_| broken())?;
                if bytes.is_empty() || bytes.len() > DECIMAL_BYTES_MAX {
                    return Err(broken());
                }
                let _ = write!(out, "{}e{}", integer(bytes), -i64::from(scale));
            }
        }
        Ok(())
    }
}

/// A big-endian two's complement integer in decimal.
fn integer(mut bytes: Vec<u8>) -> String {
    const BILLION: u64 = 1_000_000_000;
    let negative = bytes.first().is_some_and(|byte| *byte > 0x7f);
    if negative {
        let mut carry = true;
        for byte in bytes.iter_mut().rev() {
            (*byte, carry) = (!*byte).overflowing_add(u8::from(carry));
        }
    }
    // Groups of nine digits, the lowest first.
    let mut groups: Vec<u64> = vec![0];
    for byte in bytes {
        let mut carry = u64::from(byte);
        for group in &mut groups {
            let value = *group * 256 + carry;
            (*group, carry) = (value % BILLION, value / BILLION);
        }
        if carry > 0 {
            groups.push(carry);
        }
    }
    let mut text = if negative { "-".to_owned() } else { String::new() };
    let mut groups = groups.iter().rev();
    let _ = write!(text, "{}", groups.next().copied().unwrap_or_default());
    for group in groups {
        let _ = write!(text, "{group:09}");
    }
    text
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use proptest::prelude::*;

    fn text(logical: Logical, json: &str) -> Result<String, &'static str> {
        let mut out = String::new();
        logical.text(json, &mut out).map(|()| out).map_err(|fault| fault.sqlstate)
    }

    #[test]
    fn logical_types_become_text() {
        assert_eq!(text(Logical::Instant(1_000), "946684801001").unwrap(), "2000-01-01T00:00:01.001Z");
        assert_eq!(
            text(Logical::Instant(1_000_000_000), "946684801000001999").unwrap(),
            "2000-01-01T00:00:01.000001Z"
        );
        assert_eq!(text(Logical::Time(1_000_000), "86399000001").unwrap(), "23:59:59.000001");
        assert_eq!(text(Logical::Time(1_000), "86400001"), Err("22008"));
        // 12.34 and -1 as the documentation of Kafka Connect encodes them: the unscaled value, big-endian.
        assert_eq!(text(Logical::Decimal(2), "\"BNI=\"").unwrap(), "1234e-2");
        assert_eq!(text(Logical::Decimal(0), "\"/w==\"").unwrap(), "-1e0");
        for bad in ["12", "\"\"", "\"*\"", "\"B\""] {
            assert_eq!(text(Logical::Decimal(0), bad), Err("22P02"), "{bad}");
        }
    }

    #[test]
    fn a_schema_tells_the_types_of_fields() {
        let text = r#"{"type":"struct","fields":[{"type":"struct","field":"after","fields":[
            {"type":"int64","name":"io.debezium.time.MicroTimestamp","field":"at"},
            {"type":"bytes","name":"org.apache.kafka.connect.data.Decimal","parameters":{"scale":"3","x":"y"},"field":"n"},
            {"type":"int32","field":"id"}]},{"type":"string","field":"op"}]}"#;
        let mut schema = Schema::default();
        schema.read(Some(text)).unwrap();
        assert_eq!(schema.field("at"), Some(Logical::Instant(1_000_000)));
        assert_eq!(schema.field("n"), Some(Logical::Decimal(3)));
        assert_eq!((schema.field("id"), schema.field("op")), (None, None));
        schema.read(None).unwrap();
        assert_eq!(schema.field("at"), None);
        assert!(schema.read(Some("{\"fields\":5}")).is_err());
    }

    proptest! {
        #[test]
        fn integers_are_what_they_are(value in any::<i128>()) {
            prop_assert_eq!(integer(value.to_be_bytes().to_vec()), value.to_string());
        }

        #[test]
        fn noise_never_panics(json in ".{0,40}", unit in 1_i64..1_000_000_000) {
            let mut out = String::new();
            for logical in [Logical::Instant(unit), Logical::Time(unit), Logical::Decimal(3)] {
                let _ = logical.text(&json, &mut out);
            }
        }
    }
}
