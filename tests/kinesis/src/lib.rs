//! A Kinesis-compatible endpoint for tests, demonstration and benchmarks: JSON 1.1 over HTTP on loopback, in memory.
//! Right first, then fast; `README.md` says what is covered. It stands alone: nothing of the sidecar may be used here,
//! or we would test our reading of the protocol against itself.

pub mod body;
pub mod clock;
pub mod control;
pub mod error;
pub mod faults;
mod frames;
pub mod http;
pub mod ids;
pub mod iterator;
pub mod limits;
pub mod log;
pub mod operations;
pub mod reshard;
pub mod server;
pub mod stream;

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use tokio::net::TcpListener;
use tokio::task::{JoinHandle, JoinSet};

pub use crate::clock::Clock;
pub use crate::control::Command;
pub use crate::server::{Options, Server};

/// Why an endpoint did not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// There is no authentication, so nobody else may reach it.
    #[error("{0} is not a loopback address")]
    NotLoopback(SocketAddr),
    /// The address is not to be had.
    #[error("could not listen on {0}")]
    Listen(SocketAddr, #[source] io::Error),
}

/// A running endpoint; it ends when this is dropped.
#[derive(Debug)]
pub struct Endpoint {
    address: SocketAddr,
    server: Arc<Server>,
    accepting: JoinHandle<()>,
}

impl Endpoint {
    /// Listens on a loopback address; port 0 takes a free one.
    pub async fn start(listen: SocketAddr, options: Options) -> Result<Self, StartError> {
        if !listen.ip().is_loopback() {
            return Err(StartError::NotLoopback(listen));
        }
        let listener = TcpListener::bind(listen).await.map_err(|error| StartError::Listen(listen, error))?;
        let address = listener.local_addr().map_err(|error| StartError::Listen(listen, error))?;
        let server = Arc::new(Server::new(options));
        let accepting = tokio::spawn(accept(listener, Arc::clone(&server)));
        Ok(Self { address, server, accepting })
    }

    /// `http://127.0.0.1:PORT`.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// The state behind it, for orders and for looking inside.
    pub fn server(&self) -> &Arc<Server> {
        &self.server
    }
}

impl Drop for Endpoint {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

async fn accept(listener: TcpListener, server: Arc<Server>) {
    // Dropped with this task, and the connections with it.
    let mut connections = JoinSet::new();
    loop {
        // A failed accept is that connection's trouble only; without the pause, running out of file descriptors would spin.
        let Ok((socket, _)) = listener.accept().await else {
            tokio::time::sleep(std::time::Duration::from_millis(10)).await;
            continue;
        };
        connections.spawn(http::serve(socket, Arc::clone(&server)));
        while connections.try_join_next().is_some() {}
    }
}
