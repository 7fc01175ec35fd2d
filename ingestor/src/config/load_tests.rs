#![allow(clippy::unwrap_used, clippy::expect_used)]

use super::*;
use crate::config::{EpochUnit, Start};
use crate::error::Kind;

fn from_text(text: &str) -> Result<Config> {
    with(text, &[], &Overrides::default())
}

fn with(text: &str, environment: &[(&str, &str)], overrides: &Overrides) -> Result<Config> {
    let path =
        std::env::temp_dir().join(format!("strata-config-{}-{}.toml", std::process::id(), fastrand::u64(..)));
    std::fs::write(&path, text).unwrap();
    let environment = environment.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned()));
    let config = load(Some(&path), environment, overrides);
    std::fs::remove_file(path).unwrap();
    config
}

#[test]
fn default_loads_and_has_no_feed() {
    let config = load(None, [], &Overrides::default()).unwrap();
    assert!(config.feeds.is_empty());
    assert_eq!(config.batch.rows, 50_000);
    assert_eq!(config.feeds().unwrap_err().kind, Kind::Usage);
}

#[test]
fn the_printed_default_is_a_valid_file() {
    let config = from_text(DEFAULT).unwrap();
    assert_eq!(config.feeds.len(), 1);
    assert!(config.feeds().unwrap_err().message.contains("feeds[0].stream is empty"));
}

#[test]
fn documentation_holds_the_default() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/ingestor.md");
    let text = std::fs::read_to_string(path).unwrap();
    assert!(
        text.contains(&format!("```toml\n{DEFAULT}```")),
        "docs/ingestor.md must quote ingestor/strata.toml: scripts/docs.sh puts it there"
    );
}

#[test]
fn feeds_take_their_defaults_from_the_example() {
    let config = from_text(
        "[[feeds]]\nstream = 's'\nrelation = 'r'\nepoch_unit = 's'\ncolumns = { ts = '$.t' }\n\
         [[feeds]]\nstream = 's2'\nrelation = 'r'\nstart = '2026-01-01T00:00:00Z'",
    )
    .unwrap();
    assert_eq!(config.feeds[0].epoch_unit, EpochUnit::S);
    assert_eq!(config.feeds[0].start().unwrap(), Start::TrimHorizon);
    assert_eq!(config.feeds[0].columns["ts"], super::super::ColumnSetting::from("$.t"));
    assert_eq!(config.feeds[1].epoch_unit, EpochUnit::Ms);
    assert!(matches!(config.feeds[1].start().unwrap(), Start::At(_)));
}

#[test]
fn unknown_keys_are_refused_with_the_nearest() {
    let message = |text| from_text(text).unwrap_err().message;
    assert!(
        message("[batch]\nlinger = 5").ends_with("unknown key \"batch.linger\": did you mean \"linger_ms\"?")
    );
    assert!(message("[kineses]\nregion = ''").contains("did you mean \"kinesis\"?"));
    assert!(message("wroker = 'a'").contains("did you mean \"worker\"?"));
    assert!(message("[[feeds]]\nstrem = 'a'").contains("\"feeds[0].strem\": did you mean \"stream\"?"));
    assert!(message("[batch]\nqqq = 5").contains("known are"));
    assert!(message("[batch]\nrows = 'many'").contains("batch.rows must be a integer, not a string"));
}

#[test]
fn environment_is_over_file_and_flags_over_both() {
    let file = "worker = 'file'\n[batch]\nrows = 1\nlinger_ms = 1\n[lease]\nduration_ms = 5000";
    let environment =
        [("STRATA_BATCH_ROWS", "2"), ("STRATA_BATCH_LINGER_MS", "2"), ("STRATA_PORT", "tcp://10.0.0.1:80")];
    let overrides = Overrides {
        set: vec!["batch.linger_ms=3".to_owned()],
        stream: Some("s".to_owned()),
        relation: Some("r".to_owned()),
    };
    let config = with(file, &environment, &overrides).unwrap();
    assert_eq!((config.batch.rows, config.batch.linger_ms, config.lease.duration_ms), (2, 3, 5000));
    assert_eq!(config.worker(), "file");
    assert_eq!(config.feeds().unwrap()[0].stream, "s");
}

#[test]
fn a_wrong_value_says_which() {
    let bad = Overrides { set: vec!["batch.rows=many".to_owned()], ..Overrides::default() };
    assert!(with("", &[], &bad).unwrap_err().message.contains("rows must be an integer"));
    assert!(from_text("[kinesis]\npage_records = 20000").unwrap_err().message.contains("10000"));
    assert!(from_text("[[feeds]]\nstream='s'\nrelation='r'\nepoch_unit='h'").is_err());
    assert!(from_text("[http]\nlisten = 'localhost'").unwrap_err().message.contains("127.0.0.1:9464"));
}

#[test]
fn database_url_is_the_last_resort() {
    let url = [("DATABASE_URL", "postgresql://url")];
    assert_eq!(
        with("", &url, &Overrides::default()).unwrap().postgres.dsn().unwrap().reveal(),
        "postgresql://url"
    );
    let config = with("[postgres]\ndsn = 'host=file'", &url, &Overrides::default()).unwrap();
    assert_eq!(config.postgres.dsn().unwrap().reveal(), "host=file");
}

#[test]
fn many_writers_share_what_a_table_may_take() {
    let config = |set: &[&str]| {
        let set = set.iter().map(|one| (*one).to_owned()).collect();
        load(None, std::iter::empty(), &Overrides { set, ..Overrides::default() }).unwrap()
    };
    for (writers, bytes, page) in [(1, 12 << 20, 1 << 20), (2, 8 << 20, 1 << 20), (4, 4 << 20, 512 << 10)] {
        let config = config(&[&format!("batch.writers={writers}")]);
        assert_eq!((config.batch.bytes_each(), config.page_bytes()), (bytes, page), "{writers} writers");
    }
    assert_eq!(config(&["batch.table_bytes=1000000"]).batch.bytes_each(), 500_000);
}
