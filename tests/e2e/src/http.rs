//! What a sidecar answers to a platform: `/metrics`, `/readyz`.

use crate::{Sidecar, until};
use anyhow::{Context, Result};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

/// Status and body of a GET.
///
/// # Errors
/// When nobody answers.
pub async fn get(address: &str, path: &str) -> Result<(u16, String)> {
    let mut socket = tokio::net::TcpStream::connect(address).await?;
    let request = format!("GET {path} HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\n\r\n");
    socket.write_all(request.as_bytes()).await?;
    let mut answer = String::new();
    socket.read_to_string(&mut answer).await?;
    let (head, body) = answer.split_once("\r\n\r\n").context("no answer")?;
    let status = head.split(' ').nth(1).context("no status")?.parse()?;
    Ok((status, body.to_owned()))
}

/// Where a sidecar with `http.listen=127.0.0.1:0` answers.
///
/// # Errors
/// When it does not say.
pub async fn address(sidecar: &Sidecar) -> Result<String> {
    until("the address", async || {
        let output = sidecar.process.output();
        let found = output.split_once("\"address\":\"").and_then(|(_, rest)| rest.split_once('"'));
        Ok(found.map(|(address, _)| address.to_owned()))
    })
    .await
}

/// Waits for a readiness; gives its reason.
///
/// # Errors
/// When it does not come.
pub async fn ready(address: &str, wanted: u16, reason: &str) -> Result<String> {
    until(&format!("/readyz to answer {wanted} {reason}"), async || {
        let (status, body) = get(address, "/readyz").await?;
        Ok((status == wanted && body.contains(reason)).then_some(body))
    })
    .await
}

/// The value of a sample of a scrape, 0 where there is none.
#[must_use]
pub fn value(text: &str, sample: &str) -> f64 {
    let found = text.lines().find_map(|line| line.strip_prefix(sample)?.strip_prefix(' '));
    found.and_then(|value| value.parse().ok()).unwrap_or_default()
}

/// A sample, now.
///
/// # Errors
/// When nobody answers.
pub async fn sample(address: &str, name: &str) -> Result<f64> {
    Ok(value(&get(address, "/metrics").await?.1, name))
}
