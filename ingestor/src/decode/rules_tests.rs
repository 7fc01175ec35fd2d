#![allow(clippy::unwrap_used)]

use super::super::tests::{Spec, TS, decoder_with, record};
use super::*;
use crate::config::ColumnSetting;
use proptest::prelude::*;

fn setting(rules: RuleSettings) -> ColumnSetting {
    ColumnSetting { rules, ..ColumnSetting::default() }
}

/// What is said of a value, `None` where it is taken.
fn judged(spec: Spec, rules: &RuleSettings, json: &str) -> Option<(String, String)> {
    let mut subject = decoder_with(&[TS, spec], &[("c", setting(rules.clone()))]).unwrap();
    let decoded = subject.decode(&[record(format!("{{\"ts\":\"2026-01-01T00:00:00Z\",\"c\":{json}}}"))]);
    let reject = decoded.rejects.into_iter().next()?;
    assert_eq!(reject.column.as_deref(), Some("c"));
    Some((reject.sqlstate.unwrap(), reject.reason))
}

fn takes(spec: Spec, rules: &RuleSettings, good: &[&str], bad: &[&str]) {
    for json in good {
        assert_eq!(judged(spec, rules, json), None, "{json}");
    }
    for json in bad {
        let (state, reason) = judged(spec, rules, json).unwrap();
        assert_eq!(state, "23514", "{json}");
        assert!(!reason.contains(json.trim_matches('"')) || json.len() < 3, "a value in {reason}");
    }
}

fn between(min: &str, max: &str) -> RuleSettings {
    RuleSettings { min: Some(min.to_owned()), max: Some(max.to_owned()), ..RuleSettings::default() }
}

#[test]
fn bounds_are_those_of_the_type() {
    takes(
        ("c", 23, "integer", -1, false),
        &between("-2", "10"),
        &["-2", "10", "\"3\"", "null"],
        &["-3", "11"],
    );
    takes(
        ("c", 701, "double precision", -1, false),
        &between("0", "1.5"),
        &["-0.0", "1.5"],
        &["-0.1", "1.51", "\"NaN\""],
    );
    let numeric = ("c", 1700, "numeric", -1, false);
    takes(
        numeric,
        &between("-10.5", "10.50"),
        &["10.5", "10.500", "-10.5", "0", "1e-9"],
        &["10.501", "-10.51", "-100000", "\"NaN\""],
    );
    let time = ("c", 1184, "timestamp with time zone", -1, false);
    takes(
        time,
        &between("\"2026-01-01T00:00:00Z\"", "\"2026-12-31T23:59:59Z\""),
        &["\"2026-06-01T00:00:00+02:00\"", "1767225600000"],
        &["\"2025-12-31T23:59:59Z\"", "1767225599999"],
    );
}

#[test]
fn text_has_length_pattern_and_choices() {
    let text = ("c", 25, "text", -1, false);
    let length = RuleSettings { min_length: Some(2), max_length: Some(3), ..RuleSettings::default() };
    takes(text, &length, &["\"äö\"", "\"abc\""], &["\"ä\"", "\"abcd\""]);
    let pattern = RuleSettings { pattern: Some("^[a-z]+@é$".to_owned()), ..RuleSettings::default() };
    takes(text, &pattern, &["\"ab@é\""], &["\"AB@é\"", "\"ab@\""]);
    let choice = RuleSettings { one_of: vec!["\"a\"".to_owned(), "5".to_owned()], ..RuleSettings::default() };
    takes(text, &choice, &["\"a\"", "\"5\"", "5", "null"], &["\"zz\""]);
    takes(
        ("c", 1700, "numeric", -1, false),
        &RuleSettings { one_of: vec!["1.50".to_owned()], ..RuleSettings::default() },
        &["1.5"],
        &["1.51"],
    );
}

#[test]
fn a_required_value_is_not_null() {
    let rules = RuleSettings { required: true, ..RuleSettings::default() };
    let (state, reason) = judged(("c", 25, "text", -1, false), &rules, "null").unwrap();
    assert_eq!(state, "23502");
    assert!(reason.contains("required"), "{reason}");
}

#[test]
fn rules_that_a_type_cannot_have_are_refused() {
    let refused = |spec: Spec, rules: RuleSettings| {
        decoder_with(&[TS, spec], &[("c", setting(rules))]).err().unwrap().to_string()
    };
    let text = ("c", 25, "text", -1, false);
    let uuid = ("c", 2950, "uuid", -1, false);
    assert!(refused(uuid, between("1", "2")).contains("type uuid"));
    assert!(
        refused(uuid, RuleSettings { pattern: Some("a".to_owned()), ..RuleSettings::default() })
            .contains("pattern")
    );
    assert!(
        refused(uuid, RuleSettings { max_length: Some(1), ..RuleSettings::default() }).contains("max_length")
    );
    assert!(
        refused(text, RuleSettings { pattern: Some("(".to_owned()), ..RuleSettings::default() })
            .contains("pattern")
    );
    assert!(refused(("c", 23, "integer", -1, false), between("\"x\"", "2")).contains("integer"));
    assert!(
        refused(uuid, RuleSettings { one_of: vec!["\"x\"".to_owned()], ..RuleSettings::default() })
            .contains("one_of")
    );
}

proptest! {
    #[test]
    fn numerics_are_ordered_as_numbers(a in -10_000_000_i64..10_000_000, b in -10_000_000_i64..10_000_000, scale in 0_u32..8) {
        let wire = |value: i64| {
            let text = format!("{value}e-{scale}");
            let plain = strata_core::numeric::parse(&text, None).unwrap();
            numeric(&plain)
        };
        prop_assert_eq!(wire(a).cmp(&wire(b)), a.cmp(&b));
    }
}
