//! The endpoint as a program: options in, address out, ends on SIGTERM or SIGINT.
//! All it does is in the library.

use std::io::Write;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;
use kinesis_endpoint::limits::ITERATOR_TTL_MS;
use kinesis_endpoint::{Endpoint, Options};
use tokio::signal::unix::{SignalKind, signal};

/// A Kinesis-compatible endpoint on loopback, in memory.
#[derive(Debug, Parser)]
#[command(version, about)]
struct Arguments {
    /// Loopback address to listen on; port 0 takes a free one.
    #[arg(long, default_value = "127.0.0.1:0")]
    listen: SocketAddr,
    /// File to write the port to once it listens.
    #[arg(long)]
    port_file: Option<PathBuf>,
    /// Life of a shard iterator.
    #[arg(long, default_value_t = ITERATOR_TTL_MS)]
    iterator_ttl_ms: u64,
    /// Enforce the per-shard rates of the service.
    #[arg(long)]
    enforce_limits: bool,
    /// Stream to create at the start; may be repeated.
    #[arg(long = "create-stream", value_name = "NAME:SHARDS", value_parser = stream_argument)]
    create_streams: Vec<(String, u64)>,
}

fn stream_argument(text: &str) -> Result<(String, u64), String> {
    let (name, shards) = text.rsplit_once(':').ok_or("expected NAME:SHARDS")?;
    match shards.parse() {
        Ok(shards) if shards > 0 && !name.is_empty() => Ok((name.to_owned(), shards)),
        _ => Err("expected NAME:SHARDS, with at least one shard".to_owned()),
    }
}

#[tokio::main]
async fn main() -> ExitCode {
    match run(Arguments::parse()).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let cause = error.source().map(|cause| format!(": {cause}")).unwrap_or_default();
            eprintln!("kinesis-endpoint: {error}{cause}");
            ExitCode::FAILURE
        }
    }
}

async fn run(arguments: Arguments) -> Result<(), Box<dyn std::error::Error>> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let options = Options {
        iterator_ttl_ms: arguments.iterator_ttl_ms,
        enforce_limits: arguments.enforce_limits,
        ..Options::default()
    };
    let endpoint = Endpoint::start(arguments.listen, options).await?;
    for (name, shards) in &arguments.create_streams {
        endpoint.server().create_stream(name, *shards, "PROVISIONED").map_err(|refusal| refusal.message)?;
    }
    let url = endpoint.url();
    if let Some(path) = &arguments.port_file {
        // Whole or not there: a reader that waits for the file must not see half a number.
        let part = path.with_extension("part");
        std::fs::write(&part, format!("{}\n", url.rsplit(':').next().unwrap_or_default()))?;
        std::fs::rename(&part, path)?;
    }
    println!("listening on {url}");
    std::io::stdout().flush()?;
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    Ok(())
}
