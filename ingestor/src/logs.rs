//! Logs: for a person on a terminal, JSON elsewhere, always on standard error. Never: what is logged.

use crate::config::Log;
use crate::error::{Error, Result};
use std::io::IsTerminal;
use tracing_subscriber::EnvFilter;

/// Starts logging for the process.
pub fn start(log: &Log) -> Result<()> {
    let filter = EnvFilter::try_new(&log.level)
        .map_err(|e| Error::usage(format!("log.level \"{}\" is not a level or filter: {e}", log.level)))?;
    // The SDK and the driver tell of requests; who wants that asks for it by name.
    let filter = if log.level.contains('=') { filter } else { quiet(filter) };
    let human = match log.format.as_str() {
        "human" => true,
        "json" => false,
        _ => std::io::stderr().is_terminal(),
    };
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    let started = if human {
        builder.with_target(false).with_ansi(std::io::stderr().is_terminal()).try_init()
    } else {
        builder.json().flatten_event(true).with_target(false).try_init()
    };
    started.map_err(|e| Error::end(format!("logs cannot be started: {e}")))
}

fn quiet(filter: EnvFilter) -> EnvFilter {
    let names = ["aws", "hyper", "hyper_util", "tokio_postgres", "rustls", "h2"];
    names.iter().filter_map(|name| format!("{name}=warn").parse().ok()).fold(filter, EnvFilter::add_directive)
}
