//! JSON paths and what they find: a path on the first line, a document below. What is found is JSON, and lies in the record.
#![no_main]

use libfuzzer_sys::fuzz_target;
use strata_fuzz::decode::json::{self, Span};
use strata_fuzz::decode::path::{self, Node};
use strata_fuzz::decode::scalar;

fuzz_target!(|text: &str| {
    let (first, document) = text.split_once('\n').unwrap_or(("$.a", text));
    let paths: Vec<_> =
        [first, "$.a", "$.a.b[1]", "$['c']"].iter().filter_map(|p| path::parse(p).ok()).collect();
    let (root, slots) = Node::build(&paths);
    let mut spans = vec![Span::MISSING; root.last.max(1)];
    if json::find(document, &root, &mut spans).is_ok() {
        assert!(serde_json::from_str::<serde::de::IgnoredAny>(document).is_ok());
        for slot in slots {
            if let Some(found) = spans.get(slot).and_then(|span| span.text(document)) {
                assert!(serde_json::from_str::<serde::de::IgnoredAny>(found).is_ok(), "{found}");
            }
        }
    }
    let _ = json::elements(document);
    let mut rest = String::new();
    if json::rest(document, &["a".to_owned()], &mut rest).is_ok() {
        assert!(serde_json::from_str::<serde::de::IgnoredAny>(&rest).is_ok(), "{rest}");
    }
    let _ = scalar::unescape(first, &mut String::new());
    let _ = scalar::uuid(first);
    for cidr in [false, true] {
        let _ = scalar::inet(first, cidr, &mut Vec::new());
    }
});
