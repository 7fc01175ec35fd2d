//! Logs: for a person on a terminal, JSON elsewhere, always on standard error. Never: what is logged.

use crate::config::Log;
use crate::error::{Error, Result};
use std::io::IsTerminal;
use std::sync::OnceLock;
use tracing_subscriber::EnvFilter;

/// Changes the filter of a running process.
static CHANGE: OnceLock<Box<dyn Fn(EnvFilter) + Send + Sync>> = OnceLock::new();

/// Says from now on what is logged.
pub fn set_level(log: &Log) -> Result<()> {
    let filter = filter(log)?;
    if let Some(change) = CHANGE.get() {
        change(filter);
    }
    Ok(())
}

fn filter(log: &Log) -> Result<EnvFilter> {
    let filter = EnvFilter::try_new(&log.level)
        .map_err(|e| Error::usage(format!("log.level \"{}\" is not a level or filter: {e}", log.level)))?;
    // The SDK and the driver tell of requests; who wants that asks for it by name.
    Ok(if log.level.contains('=') { filter } else { quiet(filter) })
}

/// Starts logging for the process.
pub fn start(log: &Log) -> Result<()> {
    let human = match log.format.as_str() {
        "human" => true,
        "json" => false,
        _ => std::io::stderr().is_terminal(),
    };
    let builder = tracing_subscriber::fmt().with_env_filter(filter(log)?).with_writer(std::io::stderr);
    let started = if human {
        let builder =
            builder.with_target(false).with_ansi(std::io::stderr().is_terminal()).with_filter_reloading();
        let handle = builder.reload_handle();
        let _ = CHANGE.set(Box::new(move |filter| drop(handle.reload(filter))));
        builder.try_init()
    } else {
        let builder = builder.json().flatten_event(true).with_target(false).with_filter_reloading();
        let handle = builder.reload_handle();
        let _ = CHANGE.set(Box::new(move |filter| drop(handle.reload(filter))));
        builder.try_init()
    };
    started.map_err(|e| Error::end(format!("logs cannot be started: {e}")))
}

fn quiet(filter: EnvFilter) -> EnvFilter {
    let names = ["aws", "hyper", "hyper_util", "tokio_postgres", "rustls", "h2"];
    names.iter().filter_map(|name| format!("{name}=warn").parse().ok()).fold(filter, EnvFilter::add_directive)
}
