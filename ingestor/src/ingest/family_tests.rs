use super::*;

fn shard(id: &str, parents: &[&str]) -> Shard {
    Shard { id: id.to_owned(), parents: parents.iter().map(|p| (*p).to_owned()).collect() }
}

fn known(shards: &[(&str, bool)]) -> HashMap<String, KnownShard> {
    shards
        .iter()
        .map(|(id, ended)| {
            (
                (*id).to_owned(),
                KnownShard {
                    shard: (*id).to_owned(),
                    ended: *ended,
                    worker: None,
                    initial_position: TRIM_HORIZON.to_owned(),
                    epoch: 1,
                    sequence_number: None,
                },
            )
        })
        .collect()
}

fn ready(
    listed: &[Shard],
    known: &HashMap<String, KnownShard>,
    origin: &Origin,
) -> (Vec<(String, String)>, usize) {
    let (ready, waiting) = plan(listed, known, origin);
    (ready.into_iter().map(|w| (w.shard, w.position)).collect(), waiting)
}

fn pairs(expected: &[(&str, &str)]) -> Vec<(String, String)> {
    expected.iter().map(|(a, b)| ((*a).to_owned(), (*b).to_owned())).collect()
}

/// 0 was split into 1 and 2; these were merged into 3. 4 stands alone.
fn family() -> Vec<Shard> {
    vec![shard("0", &[]), shard("1", &["0"]), shard("2", &["0"]), shard("3", &["1", "2"]), shard("4", &[])]
}

#[test]
fn children_wait_for_all_parents() {
    let origin = Origin::TrimHorizon;
    let all = family();
    let begin = pairs(&[("0", TRIM_HORIZON), ("4", TRIM_HORIZON)]);
    assert_eq!(ready(&all, &known(&[]), &origin), (begin, 3));
    assert_eq!(ready(&all, &known(&[("0", false), ("4", false)]), &origin), (vec![], 3));
    let children = pairs(&[("1", TRIM_HORIZON), ("2", TRIM_HORIZON)]);
    assert_eq!(ready(&all, &known(&[("0", true), ("4", false)]), &origin), (children, 1));
    assert_eq!(
        ready(&all, &known(&[("0", true), ("1", true), ("2", false), ("4", false)]), &origin),
        (vec![], 1)
    );
    let merged = pairs(&[("3", TRIM_HORIZON)]);
    assert_eq!(
        ready(&all, &known(&[("0", true), ("1", true), ("2", true), ("4", false)]), &origin),
        (merged, 0)
    );
}

#[test]
fn parents_that_expired_hold_nobody_up() {
    let listed = [shard("3", &["1", "2"])];
    assert_eq!(ready(&listed, &known(&[]), &Origin::TrimHorizon), (pairs(&[("3", TRIM_HORIZON)]), 0));
}

#[test]
fn a_time_begins_with_the_shards_open_then() {
    let at = |roots: &[&str]| Origin::At(0, roots.iter().map(|r| (*r).to_owned()).collect());
    let time = format!("{AT}{}", format_timestamptz(0));
    let open = at(&["1", "2", "4"]);
    let begin = pairs(&[("1", &time), ("2", &time), ("4", &time)]);
    assert_eq!(ready(&family(), &known(&[]), &open), (begin, 1));
    // After a crash between the claims, the rest of the roots begin at the same time; what is older stays unread.
    assert_eq!(ready(&family(), &known(&[("1", false)]), &open), (pairs(&[("2", &time), ("4", &time)]), 1));
    // What came of a root is read whole.
    let ended = known(&[("1", true), ("2", true), ("4", false)]);
    assert_eq!(ready(&family(), &ended, &open), (pairs(&[("3", TRIM_HORIZON)]), 0));
    // Begun before, the time long gone: only what came of what is known.
    assert_eq!(ready(&family(), &ended, &at(&[])), (pairs(&[("3", TRIM_HORIZON)]), 0));
}

#[test]
fn a_child_waits_again_when_the_end_of_its_parent_is_taken_back() {
    let begun = |known: &HashMap<String, KnownShard>| {
        let (ready, waiting) = begun(&family(), known);
        (ready.into_iter().map(|w| w.shard).collect::<Vec<_>>(), waiting)
    };
    let all = |shards: &[&str]| shards.iter().map(|s| (*s).to_owned()).collect::<Vec<_>>();
    assert_eq!(begun(&known(&[("0", true), ("1", false), ("2", false)])), (all(&["1", "2"]), 0));
    let mut taken_back = known(&[("0", false), ("1", false), ("4", false)]);
    assert_eq!(begun(&taken_back), (all(&["0", "4"]), 1));
    // Of what is stored of it nothing can be undone.
    taken_back.insert(
        "1".to_owned(),
        KnownShard { sequence_number: Some("7".to_owned()), ..taken_back["1"].clone() },
    );
    assert_eq!(begun(&taken_back), (all(&["0", "1", "4"]), 0));
}
