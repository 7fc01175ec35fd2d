//! What a mapping may ask of a table.

use super::*;
use crate::decode::plan::Dedupe;
use crate::decode::source::Source;

#[test]
fn wrong_mappings_are_refused_by_name() {
    let refuse = |specs: &[Spec], feed: Feed| plan(&catalog(specs), &[&feed]).unwrap_err().message;
    let unknown = refuse(&[TS], feed(&[("kind", "$.kind")]));
    assert_eq!(unknown, "table public.t has no column \"kind\": it has ts");
    assert!(refuse(&[TS, ("i", 1186, "interval", -1, false)], feed(&[])).contains("\"i\" has type interval"));
    assert!(refuse(&[TS, ("p", 600, "point", -1, false)], feed(&[])).contains("skip_columns"));
    assert!(refuse(&[TS], feed(&[("ts", "ts")])).contains("must begin with $"));
    assert!(
        refuse(&[TS], Feed { skip_columns: vec!["ts".to_owned()], ..feed(&[]) })
            .contains("cannot be skipped")
    );
    assert!(refuse(&[("ts", 20, "bigint", -1, true)], feed(&[])).contains("\"ts\" has type bigint"));
}

#[test]
fn feeds_of_one_table_share_its_columns() {
    let specs = [TS, TEXT, ("d", 600, "point", -1, false)];
    let skip = |columns: &[&str]| columns.iter().map(|c| (*c).to_owned()).collect::<Vec<_>>();
    let (a, b) = (
        Feed { skip_columns: skip(&["d"]), ..feed(&[("c", "$.x")]) },
        Feed { skip_columns: skip(&["c", "d"]), ..feed(&[]) },
    );
    let (plan, mappings) = plan(&catalog(&specs), &[&a, &b]).unwrap();
    assert_eq!(plan.columns.iter().map(|c| c.name.as_str()).collect::<Vec<_>>(), ["ts", "c"]);
    assert_eq!(mappings[0].fields[1].shown, "$.x");
    assert_eq!(mappings[1].fields[1].source, Source::Absent);
}

#[test]
fn a_wrong_dedupe_is_refused() {
    let by = |dedupe: &str, specs: &[Spec]| {
        let feed = Feed { dedupe: dedupe.to_owned(), dedupe_window_ms: 5, ..feed(&[]) };
        plan(&catalog(specs), &[&feed]).map(|(plan, _)| plan.dedupe)
    };
    let uuid = ("id", 2950, "uuid", -1, true);
    assert_eq!(by("id", &[TS, uuid]).unwrap(), Some(Dedupe { column: 1, window_ms: 5 }));
    assert_eq!(by("", &[TS, uuid]).unwrap(), None);
    assert!(by("x", &[TS, uuid]).unwrap_err().message.contains("no such column"));
    assert!(by("c", &[TS, JSONB]).unwrap_err().message.contains("differ in bytes"));
    assert!(by("id", &[("ts", 1082, "date", -1, true), uuid]).unwrap_err().message.contains("timestamptz"));
    let (one, other) = (Feed { dedupe: "id".to_owned(), ..feed(&[]) }, feed(&[]));
    assert!(plan(&catalog(&[TS, uuid]), &[&one, &other]).unwrap_err().message.contains("the same"));
}
