//! One HTTP/1.1 request over one connection, with TLS where the address asks for it. Never: what it is about.

use crate::error::{Error, Kind, Result};
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Bytes;
use hyper::{Request, StatusCode};
use hyper_util::rt::TokioIo;
use rustls::RootCertStore;
use rustls::pki_types::ServerName;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;

/// Bounds on one request.
const TIMEOUT: Duration = Duration::from_secs(30);
const ANSWER_BYTES_MAX: usize = 4 << 20;

/// Where requests go.
#[derive(Debug, Clone)]
pub struct Address {
    pub is_tls: bool,
    /// With its port, where it is not the usual one.
    pub authority: String,
    host: String,
    port: u16,
}

impl Address {
    /// Of an endpoint like `https://host:port`.
    pub fn parse(endpoint: &str) -> Option<Self> {
        let (scheme, authority) = endpoint.trim_end_matches('/').split_once("://")?;
        let is_tls = match scheme {
            "https" => true,
            "http" => false,
            _ => return None,
        };
        let usual = if is_tls { 443 } else { 80 };
        let (host, port) = match authority.rsplit_once(':') {
            Some((host, port)) if !port.ends_with(']') => (host, port.parse().ok()?),
            _ => (authority, usual),
        };
        let is_host = !host.is_empty() && !host.contains(['/', '?', '#', '@']);
        is_host.then(|| Self {
            is_tls,
            authority: authority.to_owned(),
            host: host.trim_matches(['[', ']']).to_owned(),
            port,
        })
    }

    /// The same, at another host below this one.
    pub fn below(&self, name: &str) -> Self {
        Self {
            authority: format!("{name}.{}", self.authority),
            host: format!("{name}.{}", self.host),
            ..self.clone()
        }
    }
}

/// Sends a request and reads the whole answer.
pub async fn send(address: &Address, request: Request<Full<Bytes>>) -> Result<(StatusCode, Bytes)> {
    let away = |e: String| Error::new(Kind::Retry, format!("{} does not answer: {e}", address.authority));
    tokio::time::timeout(TIMEOUT, exchange(address, request))
        .await
        .map_err(|_| away(format!("not within {} s", TIMEOUT.as_secs())))?
        .map_err(|e| away(e.to_string()))
}

type Failure = Box<dyn std::error::Error + Send + Sync>;

async fn exchange(address: &Address, request: Request<Full<Bytes>>) -> Result<(StatusCode, Bytes), Failure> {
    let stream = TcpStream::connect((address.host.as_str(), address.port)).await?;
    if !address.is_tls {
        return over(stream, request).await;
    }
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots)
        .with_no_client_auth();
    let name = ServerName::try_from(address.host.clone())?;
    over(tokio_rustls::TlsConnector::from(Arc::new(config)).connect(name, stream).await?, request).await
}

async fn over(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    request: Request<Full<Bytes>>,
) -> Result<(StatusCode, Bytes), Failure> {
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
    let driver = tokio::spawn(connection);
    let answer = sender.send_request(request).await?;
    let status = answer.status();
    let body = Limited::new(answer.into_body(), ANSWER_BYTES_MAX).collect().await?.to_bytes();
    drop(sender);
    driver.abort();
    Ok((status, body))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_read() {
        let read = |text| Address::parse(text).map(|a| (a.is_tls, a.host, a.port));
        assert_eq!(
            read("https://s3.eu-west-1.amazonaws.com"),
            Some((true, "s3.eu-west-1.amazonaws.com".to_owned(), 443))
        );
        assert_eq!(read("http://127.0.0.1:9000/"), Some((false, "127.0.0.1".to_owned(), 9000)));
        assert_eq!(read("http://[::1]:9000"), Some((false, "::1".to_owned(), 9000)));
        assert_eq!(read("http://[::1]"), Some((false, "::1".to_owned(), 80)));
        for text in ["s3.amazonaws.com", "ftp://host", "http://", "http://host/path", "http://host:port"] {
            assert_eq!(read(text), None, "{text}");
        }
    }
}
