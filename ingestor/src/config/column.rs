//! What the configuration says about one column: where its value comes from, and what it must be like. Either a
//! string, which is the source alone, or a table. Never: types of columns, records.

use super::EpochUnit;
use serde::Deserialize;
use serde::de::IntoDeserializer;

/// One column of a feed.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(try_from = "toml::Value")]
pub struct ColumnSetting {
    /// JSON path or `$name` of something beside the record; `None`: the member of the column's name.
    pub from: Option<String>,
    /// The value itself, as JSON, instead of one from the record.
    pub constant: Option<String>,
    /// Unit of numbers, where it differs from the feed's.
    pub epoch_unit: Option<EpochUnit>,
    /// What a value must be like.
    pub rules: RuleSettings,
}

/// What a value must be like; bounds and choices as JSON.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct RuleSettings {
    /// NULL is refused.
    pub required: bool,
    /// Smallest value.
    pub min: Option<String>,
    /// Largest value.
    pub max: Option<String>,
    /// Fewest characters, bytes or elements.
    pub min_length: Option<usize>,
    /// Most of them.
    pub max_length: Option<usize>,
    /// A regular expression that text must match somewhere.
    pub pattern: Option<String>,
    /// The values there may be; empty: any.
    pub one_of: Vec<String>,
}

/// The table as it is written.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    from: Option<String>,
    constant: Option<toml::Value>,
    epoch_unit: Option<EpochUnit>,
    #[serde(default)]
    required: bool,
    min: Option<toml::Value>,
    max: Option<toml::Value>,
    min_length: Option<usize>,
    max_length: Option<usize>,
    pattern: Option<String>,
    #[serde(default)]
    one_of: Vec<toml::Value>,
}

impl ColumnSetting {
    /// A source alone.
    pub fn from(source: impl Into<String>) -> Self {
        Self { from: Some(source.into()), ..Self::default() }
    }
}

impl TryFrom<toml::Value> for ColumnSetting {
    type Error = String;

    fn try_from(value: toml::Value) -> Result<Self, String> {
        let written = match value {
            toml::Value::String(source) => return Ok(Self::from(source)),
            table @ toml::Value::Table(_) => Written::deserialize(table.into_deserializer())
                .map_err(|e: toml::de::Error| format!("a column of a feed: {}", e.message()))?,
            other => {
                return Err(format!(
                    "a column of a feed must be a JSON path or a table, not a {}",
                    other.type_str()
                ));
            }
        };
        if written.from.is_some() && written.constant.is_some() {
            return Err("a column of a feed has both from and constant".to_owned());
        }
        Ok(Self {
            from: written.from,
            constant: written.constant.as_ref().map(json).transpose()?,
            epoch_unit: written.epoch_unit,
            rules: RuleSettings {
                required: written.required,
                min: written.min.as_ref().map(json).transpose()?,
                max: written.max.as_ref().map(json).transpose()?,
                min_length: written.min_length,
                max_length: written.max_length,
                pattern: written.pattern,
                one_of: written.one_of.iter().map(json).collect::<Result<_, _>>()?,
            },
        })
    }
}

/// A value of the file as JSON text; a date or time becomes a string.
pub fn json(value: &toml::Value) -> Result<String, String> {
    let plain = match value {
        toml::Value::Datetime(time) => return Ok(format!("\"{time}\"")),
        other => other,
    };
    serde_json::to_string(plain).map_err(|e| e.to_string())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[derive(Debug, Deserialize)]
    struct Wrapped {
        c: ColumnSetting,
    }

    fn read(text: &str) -> Result<ColumnSetting, String> {
        toml::from_str::<Wrapped>(text).map(|w| w.c).map_err(|e| e.message().to_owned())
    }

    #[test]
    fn a_column_is_a_source_or_a_table() {
        assert_eq!(read("c = '$.a'").unwrap(), ColumnSetting::from("$.a"));
        let whole = read(
            "[c]\nfrom = '$stream'\nepoch_unit = 'us'\nrequired = true\nmin = 1.5\nmax = 2026-01-01T00:00:00Z\n\
             min_length = 1\nmax_length = 9\npattern = '^a'\none_of = ['a', 1, true]",
        )
        .unwrap();
        assert_eq!(whole.from.as_deref(), Some("$stream"));
        assert_eq!(whole.epoch_unit, Some(EpochUnit::Us));
        let rules = whole.rules;
        assert!(rules.required);
        assert_eq!(rules.min.as_deref(), Some("1.5"));
        assert_eq!(rules.max.as_deref(), Some("\"2026-01-01T00:00:00Z\""));
        assert_eq!((rules.min_length, rules.max_length), (Some(1), Some(9)));
        assert_eq!(rules.one_of, ["\"a\"", "1", "true"]);
        assert_eq!(read("c = { constant = {a = [1]} }").unwrap().constant.as_deref(), Some("{\"a\":[1]}"));
    }

    #[test]
    fn what_is_wrong_is_named() {
        assert!(read("c = 5").unwrap_err().contains("not a integer"), "{:?}", read("c = 5"));
        assert!(read("c = { form = '$.a' }").unwrap_err().contains("form"));
        assert!(read("c = { from = '$.a', constant = 1 }").unwrap_err().contains("both"));
        assert!(read("c = { min_length = -1 }").is_err());
    }
}
