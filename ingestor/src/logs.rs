//! Logs: for a person on a terminal, JSON elsewhere, always on standard error. Never: what is logged.

use crate::config::Log;
use crate::error::{Error, Result};
use crate::traces::TARGET;
use std::io::IsTerminal;
use std::sync::OnceLock;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{EnvFilter, Layer, fmt, reload};

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
    let filter = if log.level.contains('=') { filter } else { quiet(filter) };
    Ok(format!("{TARGET}=off").parse().ok().into_iter().fold(filter, EnvFilter::add_directive))
}

/// Sends the last traces when it is dropped, where any are sent.
#[cfg(feature = "otel")]
pub type Traces = Option<crate::otel::Guard>;
/// No traces are sent by a build without the feature `otel`.
#[cfg(not(feature = "otel"))]
pub struct Traces;

/// Starts logging for the process, and tracing where that is built in.
pub fn start(log: &Log) -> Result<Traces> {
    let terminal = std::io::stderr().is_terminal();
    let human = match log.format.as_str() {
        "human" => true,
        "json" => false,
        _ => terminal,
    };
    let (filter, handle) = reload::Layer::new(filter(log)?);
    let _ = CHANGE.set(Box::new(move |filter| drop(handle.reload(filter))));
    let lines = fmt::layer().with_writer(std::io::stderr).with_target(false);
    let lines =
        if human { lines.with_ansi(terminal).boxed() } else { lines.json().flatten_event(true).boxed() };
    let registry = tracing_subscriber::registry().with(lines.with_filter(filter));
    #[cfg(not(feature = "otel"))]
    let (registry, traces) = (registry, Traces);
    #[cfg(feature = "otel")]
    let (layer, traces) = crate::otel::layer()?.unzip();
    #[cfg(feature = "otel")]
    let registry = registry.with(layer);
    registry.try_init().map_err(|e| Error::end(format!("logs cannot be started: {e}")))?;
    Ok(traces)
}

fn quiet(filter: EnvFilter) -> EnvFilter {
    let names = ["aws", "hyper", "hyper_util", "tokio_postgres", "rustls", "h2"];
    names.iter().filter_map(|name| format!("{name}=warn").parse().ok()).fold(filter, EnvFilter::add_directive)
}
