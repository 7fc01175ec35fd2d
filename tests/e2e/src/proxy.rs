//! A TCP proxy between the sidecars and the database, for what networks do: connections cut, nothing passing for a
//! while, everything late.

use anyhow::Result;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::SeqCst};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

#[derive(Debug, Default)]
struct State {
    refusing: AtomicBool,
    stalled: AtomicBool,
    delay_ms: AtomicU64,
    bytes_per_second: AtomicU64,
    cuts: watch::Sender<u64>,
}

/// A running proxy; it ends with the test's runtime.
#[derive(Debug)]
pub struct Proxy {
    address: SocketAddr,
    state: Arc<State>,
}

impl Proxy {
    /// Starts one before a server.
    ///
    /// # Errors
    /// When it cannot listen.
    pub async fn start(target: String) -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let state = Arc::new(State::default());
        let shared = Arc::clone(&state);
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let (state, target) = (Arc::clone(&shared), target.clone());
                if !state.refusing.load(SeqCst) {
                    tokio::spawn(async move { drop(pass(client, &target, &state).await) });
                }
            }
        });
        Ok(Self { address, state })
    }

    /// A connection string that leads through it.
    #[must_use]
    pub fn dsn(&self, direct: &str) -> String {
        let (before, after) = direct.split_once('@').unwrap_or(("", direct));
        let database = after.split_once('/').map_or("", |(_, database)| database);
        format!("{before}@{}/{database}", self.address)
    }

    /// Cuts every connection, and refuses new ones for a while.
    pub async fn cut(&self, time: Duration) {
        self.state.refusing.store(true, SeqCst);
        self.state.cuts.send_modify(|n| *n += 1);
        tokio::time::sleep(time).await;
        self.state.refusing.store(false, SeqCst);
    }

    /// Lets so many bytes a second pass on each connection, in each direction, from now on; 0: all there are.
    pub fn throttle(&self, bytes_per_second: u64) {
        self.state.bytes_per_second.store(bytes_per_second, SeqCst);
    }

    /// Lets nothing pass for a while; connections stay.
    pub async fn stall(&self, time: Duration) {
        self.state.stalled.store(true, SeqCst);
        tokio::time::sleep(time).await;
        self.state.stalled.store(false, SeqCst);
    }

    /// Delays every piece for a while.
    pub async fn delay(&self, by: Duration, time: Duration) {
        self.state.delay_ms.store(u64::try_from(by.as_millis()).unwrap_or_default(), SeqCst);
        tokio::time::sleep(time).await;
        self.state.delay_ms.store(0, SeqCst);
    }
}

async fn pass(client: TcpStream, target: &str, state: &State) -> Result<()> {
    let mut cuts = state.cuts.subscribe();
    cuts.mark_unchanged();
    let server = TcpStream::connect(target).await?;
    client.set_nodelay(true)?;
    server.set_nodelay(true)?;
    let ((from_client, to_client), (from_server, to_server)) = (client.into_split(), server.into_split());
    tokio::select! {
        ended = copy(from_client, to_server, state) => ended,
        ended = copy(from_server, to_client, state) => ended,
        _ = cuts.changed() => Ok(()),
    }
}

async fn copy(
    mut from: tokio::net::tcp::OwnedReadHalf,
    mut to: tokio::net::tcp::OwnedWriteHalf,
    state: &State,
) -> Result<()> {
    let mut piece = vec![0; 64 * 1024];
    loop {
        let length = from.read(&mut piece).await?;
        if length == 0 {
            return Ok(());
        }
        tokio::time::sleep(Duration::from_millis(state.delay_ms.load(SeqCst))).await;
        let slow = (length as u64 * 1_000_000).checked_div(state.bytes_per_second.load(SeqCst));
        tokio::time::sleep(Duration::from_micros(slow.unwrap_or_default())).await;
        while state.stalled.load(SeqCst) {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        to.write_all(&piece[..length]).await?;
    }
}
