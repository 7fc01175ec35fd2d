//! `strata`, the sidecar of `pg_strata`. Two phases: what can fail cheaply (command line, configuration, logs), then
//! the runtime and the subcommand. Never: anything a subcommand's own file could hold.

mod batch;
mod changes;
mod check;
mod cli;
mod clock;
mod config;
mod dead_letters;
mod decode;
mod error;
mod exposition;
mod files;
mod http;
mod human;
mod ingest;
mod kinesis;
mod layout;
mod lease;
mod logs;
mod maintain;
mod memory;
mod metrics;
#[cfg(feature = "otel")]
mod otel;
mod payload;
mod postgres;
mod process;
mod produce;
mod reload;
mod replay;
mod retry;
mod s3;
mod source;
mod status;
mod stop;
mod stream;
mod traces;
mod trial;
mod witness;

use clap::Parser;
use cli::{Cli, Command};
use config::Config;
use error::{Error, Result};
use std::io::Write;
use std::process::ExitCode;
use std::sync::Arc;
use tokio::sync::watch;

fn main() -> ExitCode {
    memory::share_heaps();
    // A wrong command line ends here with 2, as an orchestrator expects.
    let cli = Cli::parse();
    match prepare(&cli).and_then(|(config, _traces)| run(cli, config)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("strata: {error}");
            error.exit_code()
        }
    }
}

fn prepare(cli: &Cli) -> Result<(Config, logs::Traces)> {
    let config = config::load(cli.settings.config.as_deref(), std::env::vars(), &cli.settings.overrides())?;
    let traces = logs::start(&config.log)?;
    Ok((config, traces))
}

fn run(cli: Cli, config: Config) -> Result<()> {
    let runtime = tokio::runtime::Runtime::new()
        .map_err(|e| Error::end(format!("the runtime cannot be started: {e}")))?;
    let outcome = runtime.block_on(execute(cli, config));
    // Somebody may still be waiting for standard input: nobody waits for him.
    runtime.shutdown_background();
    outcome
}

async fn execute(cli: Cli, config: Config) -> Result<()> {
    let origin = reload::Origin { file: cli.settings.config.clone(), overrides: cli.settings.overrides() };
    let relation = cli.settings.relation;
    match cli.command {
        Command::Ingest(options) => Box::pin(carry(config, origin, &options, false)).await,
        Command::Run(options) => Box::pin(carry(config, origin, &options, true)).await,
        Command::Replay(options) => {
            Box::pin(with_signals(async |stopper, stop| replay::run(config, &options, stopper, stop).await))
                .await
        }
        Command::Maintain(options) => maintain::run(&config, &options).await,
        Command::Check => check::check(&config).await,
        Command::Try(options) => trial::run(&config, &options).await,
        Command::Status(options) => status::status(&config, options.json).await,
        Command::Produce(options) => produce::produce(&config, options).await,
        Command::DeadLetters(options) => {
            dead_letters::run(&config, relation.as_deref(), &options.command).await
        }
        Command::Keygen(options) => witness::keygen(&options),
        Command::Seal(options) => witness::seal(&config, &options).await,
        Command::Verify(options) => witness::verify(&config, &options).await,
        Command::Config => print(config::DEFAULT),
    }
}

async fn carry(config: Config, origin: reload::Origin, options: &cli::Ingest, maintain: bool) -> Result<()> {
    let options = ingest::Options { until_caught_up: options.exit_when_caught_up, maintain, replay: None };
    let (sender, configs) = watch::channel(Arc::new(config.clone()));
    let reloads = tokio::spawn(reload::run(origin, sender));
    let work = async |stopper, stop| ingest::ingest(config, options, configs, stopper, stop).await;
    let outcome = with_signals(work).await;
    reloads.abort();
    outcome
}

/// Runs what a signal may ask to end.
async fn with_signals(work: impl AsyncFnOnce(stop::Stopper, stop::Stop) -> Result<()>) -> Result<()> {
    let (stopper, stop) = stop::pair();
    let signals = tokio::spawn(signals(stopper.clone()));
    let outcome = work(stopper, stop).await;
    signals.abort();
    outcome
}

/// The first SIGTERM or SIGINT asks for the end, the second does not ask.
async fn signals(stopper: stop::Stopper) -> Result<()> {
    use tokio::signal::unix::{SignalKind, signal};
    let open = |kind| signal(kind).map_err(|e| Error::end(format!("signals cannot be received: {e}")));
    let (mut terminate, mut interrupt) = (open(SignalKind::terminate())?, open(SignalKind::interrupt())?);
    for asked_before in [false, true] {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        if asked_before {
            eprintln!("strata: ended at once; what was not committed is read again at the next start");
            std::process::exit(1);
        }
        stopper.stop();
    }
    Ok(())
}

/// Writes to standard output; a reader that has left is no failure.
pub(crate) fn print(text: &str) -> Result<()> {
    match std::io::stdout().lock().write_all(text.as_bytes()) {
        Err(e) if e.kind() != std::io::ErrorKind::BrokenPipe => Err(Error::end(format!("cannot write: {e}"))),
        _ => Ok(()),
    }
}
