//! One pass over a record's JSON that notes where the wanted values lie. Nothing is copied or allocated; the text
//! of every wanted value is validated, everything else skipped. Never: types of columns.

use super::Fault;
use super::path::Node;
use serde::de::{DeserializeSeed, Deserializer, Error as _, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;
use std::fmt;

/// Where a value's text lies in its record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Span {
    start: u32,
    end: u32,
}

impl Span {
    /// A value the record lacks.
    pub const MISSING: Self = Self { start: u32::MAX, end: 0 };

    /// The text, where there is one.
    pub fn text(self, record: &str) -> Option<&str> {
        record.get(self.start as usize..self.end as usize)
    }
}

/// Finds the wanted values of one record. A key that comes twice counts the last time, as in `jsonb`.
pub fn find(record: &str, root: &Node, slots: &mut [Span]) -> Result<(), serde_json::Error> {
    slots.fill(Span::MISSING);
    let first = record.bytes().find(|b| !b.is_ascii_whitespace());
    let wanted = match first {
        Some(b'{') | None => true,
        Some(b'[') => !root.indexes.is_empty(),
        Some(_) => false,
    };
    if !wanted {
        // Say first whether it is JSON at all.
        serde_json::from_str::<IgnoredAny>(record)?;
        return Err(serde_json::Error::custom("not an object"));
    }
    let mut deserializer = serde_json::Deserializer::from_str(record);
    let base = record.as_ptr() as usize;
    Walk { node: root, base, slots, below: false }.deserialize(&mut deserializer)?;
    deserializer.end()
}

/// What is wrong with a record that could not be read.
pub fn fault(error: &serde_json::Error) -> Fault {
    let reason = error.to_string();
    let what = if reason.starts_with("not an object") { "record is" } else { "record is not JSON:" };
    Fault::new("22P02", format!("{what} {reason}"))
}

/// The texts of an array's elements.
pub fn elements(array: &str) -> Result<Vec<&str>, serde_json::Error> {
    let elements: Vec<&RawValue> = serde_json::from_str(array)?;
    Ok(elements.into_iter().map(RawValue::get).collect())
}

/// Writes an object of those members whose names are not taken; nothing but an object has any.
pub fn rest(object: &str, taken: &[String], out: &mut String) -> Result<(), serde_json::Error> {
    out.clear();
    out.push('{');
    if object.trim_ascii_start().starts_with('{') {
        let mut deserializer = serde_json::Deserializer::from_str(object);
        deserializer.deserialize_map(Rest { taken, out })?;
    }
    out.push('}');
    Ok(())
}

struct Rest<'n, 'o> {
    taken: &'n [String],
    out: &'o mut String,
}

impl<'de> Visitor<'de> for Rest<'_, '_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        while let Some(key) = map.next_key::<std::borrow::Cow<'de, str>>()? {
            let value: &'de RawValue = map.next_value()?;
            if self.taken.iter().any(|name| *name == key) {
                continue;
            }
            if self.out.len() > 1 {
                self.out.push(',');
            }
            self.out.push_str(&serde_json::to_string(&key).map_err(A::Error::custom)?);
            self.out.push(':');
            self.out.push_str(value.get());
        }
        Ok(())
    }
}

struct Walk<'n, 's> {
    node: &'n Node,
    base: usize,
    slots: &'s mut [Span],
    /// The node's own slot is filled already.
    below: bool,
}

impl<'de> DeserializeSeed<'de> for Walk<'_, '_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        let Some(slot) = self.node.slot.filter(|_| !self.below) else {
            return deserializer.deserialize_any(self);
        };
        let raw: &'de RawValue = serde::Deserialize::deserialize(deserializer)?;
        let text = raw.get();
        let start = text.as_ptr() as usize - self.base;
        let (Ok(start), Ok(end)) = (u32::try_from(start), u32::try_from(start + text.len())) else {
            return Err(D::Error::custom("record too large"));
        };
        self.slots[slot] = Span { start, end };
        if self.node.has_children() {
            let walk = Walk { below: true, ..self };
            walk.deserialize(&mut serde_json::Deserializer::from_str(text)).map_err(D::Error::custom)?;
        }
        Ok(())
    }
}

impl<'de> Visitor<'de> for Walk<'_, '_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        // Records of one producer have their keys in one order: look first at the key after the last one found.
        let mut next = 0;
        while let Some(found) = map.next_key_seed(Key { node: self.node, next })? {
            let Some(at) = found else {
                map.next_value::<IgnoredAny>()?;
                continue;
            };
            next = at + 1;
            let node = &self.node.keys[at].1;
            self.slots[node.first..node.last].fill(Span::MISSING);
            map.next_value_seed(Walk { node, base: self.base, slots: self.slots, below: false })?;
        }
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<(), A::Error> {
        for index in 0.. {
            let node = self.node.indexes.iter().find(|(i, _)| *i == index).map(|(_, node)| node);
            let more = match node {
                Some(node) => seq
                    .next_element_seed(Walk { node, base: self.base, slots: self.slots, below: false })?
                    .is_some(),
                None => seq.next_element::<IgnoredAny>()?.is_some(),
            };
            if !more {
                break;
            }
        }
        Ok(())
    }

    // Where an object or array was wanted and something else is, what was wanted below is missing.
    fn visit_bool<E>(self, _: bool) -> Result<(), E> {
        Ok(())
    }
    fn visit_i64<E>(self, _: i64) -> Result<(), E> {
        Ok(())
    }
    fn visit_u64<E>(self, _: u64) -> Result<(), E> {
        Ok(())
    }
    fn visit_f64<E>(self, _: f64) -> Result<(), E> {
        Ok(())
    }
    fn visit_str<E>(self, _: &str) -> Result<(), E> {
        Ok(())
    }
    fn visit_unit<E>(self) -> Result<(), E> {
        Ok(())
    }
}

/// Recognises a key without keeping it.
struct Key<'n> {
    node: &'n Node,
    next: usize,
}

impl<'de> DeserializeSeed<'de> for Key<'_> {
    type Value = Option<usize>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl Visitor<'_> for Key<'_> {
    type Value = Option<usize>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a key")
    }

    fn visit_str<E>(self, key: &str) -> Result<Self::Value, E> {
        let keys = &self.node.keys;
        if keys.get(self.next).is_some_and(|(k, _)| k == key) {
            return Ok(Some(self.next));
        }
        Ok(keys.iter().position(|(k, _)| k == key))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::super::path;
    use super::*;
    use proptest::prelude::*;

    fn found(record: &str, paths: &[&str]) -> Result<Vec<Option<String>>, String> {
        let parsed: Vec<_> = paths.iter().map(|p| path::parse(p).unwrap()).collect();
        let (root, slots) = Node::build(&parsed);
        let mut spans = vec![Span::MISSING; root.last];
        find(record, &root, &mut spans).map_err(|e| e.to_string())?;
        Ok(slots.iter().map(|s| spans[*s].text(record).map(str::to_owned)).collect())
    }

    fn some(texts: &[&str]) -> Vec<Option<String>> {
        texts.iter().map(|t| (!t.is_empty()).then(|| (*t).to_owned())).collect()
    }

    #[test]
    fn values_are_found_in_one_pass() {
        let record = r#" {"z":[1,{"q":2}], "a": {"b" : [10, {"x": "y"} ], "c":null}, "k":1.50} "#;
        let paths = ["$.a.b[1]['x']", "$.k", "$.a", "$.missing", "$.a.c", "$.z[1].q", "$.k.below"];
        let expected = [r#""y""#, "1.50", r#"{"b" : [10, {"x": "y"} ], "c":null}"#, "", "null", "2", ""];
        assert_eq!(found(record, &paths).unwrap(), some(&expected));
        assert_eq!(found(r#"{"a":1}"#, &["$"]).unwrap(), some(&[r#"{"a":1}"#]));
        assert_eq!(found("[5]", &["$[0]"]).unwrap(), some(&["5"]));
    }

    #[test]
    fn the_last_of_equal_keys_counts() {
        assert_eq!(found(r#"{"a":1,"a":2}"#, &["$.a"]).unwrap(), some(&["2"]));
        assert_eq!(found(r#"{"a":{"b":1},"a":{}}"#, &["$.a.b", "$.a"]).unwrap(), some(&["", "{}"]));
        assert_eq!(found(r#"{"\u0061":1}"#, &["$.a"]).unwrap(), some(&["1"]));
    }

    #[test]
    fn the_rest_is_what_nobody_took() {
        let mut out = String::new();
        let taken = ["a".to_owned(), "é".to_owned()];
        rest(r#" {"a":1, "b" : {"a": 2}, "\u00e9":3, "c\"":[1 ,2]} "#, &taken, &mut out).unwrap();
        assert_eq!(out, r#"{"b":{"a": 2},"c\"":[1 ,2]}"#);
        rest("{}", &taken, &mut out).unwrap();
        assert_eq!(out, "{}");
        rest("[1]", &taken, &mut out).unwrap();
        assert_eq!(out, "{}");
    }

    #[test]
    fn what_is_no_object_is_refused() {
        for bad in
            ["", "{", "nonsense", "{\"a\":1} x", "{\"a\":01}", "{\"a\":\"\u{1}\"}", "{a:1}", "{\"b\":}"]
        {
            assert!(found(bad, &["$.a"]).is_err(), "{bad}");
        }
        for other in ["1", "[1]", "\"a\"", "null"] {
            assert!(found(other, &["$.a"]).unwrap_err().contains("not an object"), "{other}");
        }
        let deep = format!("{{\"a\":{}{}}}", "[".repeat(100_000), "]".repeat(100_000));
        assert!(found(&deep, &["$.b"]).is_ok());
    }

    fn json() -> impl Strategy<Value = serde_json::Value> {
        use serde_json::Value;
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            ".{0,6}".prop_map(Value::from)
        ];
        leaf.prop_recursive(4, 40, 5, |inner| {
            prop_oneof![
                proptest::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
                proptest::collection::btree_map("[ab\"é]", inner, 0..4)
                    .prop_map(|m| Value::Object(m.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #[test]
        fn agrees_with_a_tree_walk(value in json()) {
            let record = serde_json::json!({ "a": value });
            let text = record.to_string();
            let paths = ["$.a", "$.a.a", "$.a.b[1]", "$.a['\"'].b", "$.a[0]", "$.a['é']"];
            let pointers = ["/a", "/a/a", "/a/b/1", "/a/\"/b", "/a/0", "/a/é"];
            let parsed: Vec<Option<serde_json::Value>> = found(&text, &paths).unwrap().into_iter()
                .map(|t| t.map(|t| serde_json::from_str(&t).unwrap())).collect();
            // A pointer reads "0" as a key of an object too; an index of ours does not.
            let wanted: Vec<Option<serde_json::Value>> = pointers.iter().map(|p| record.pointer(p).cloned()).collect();
            prop_assert_eq!(parsed, wanted);
        }

        #[test]
        fn noise_never_panics(text in ".{0,60}") {
            let _ = found(&text, &["$.a.b", "$.c[0]"]);
        }
    }
}
