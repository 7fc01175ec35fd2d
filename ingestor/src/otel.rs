//! Traces sent to an OpenTelemetry collector by OTLP over HTTP, where the standard variables name one
//! (`OTEL_EXPORTER_OTLP_ENDPOINT`, …); without them nothing is sent. Never: what is traced.

use crate::error::{Error, Result};
use crate::traces::TARGET;
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper::{Request, Uri, header};
use hyper_util::rt::TokioIo;
use opentelemetry::trace::TracerProvider;
use opentelemetry_http::{Bytes, HttpClient, HttpError, Response};
use opentelemetry_otlp::{SpanExporter, WithHttpConfig};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::trace::SdkTracerProvider;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tracing::Subscriber;
use tracing_subscriber::Layer;
use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::registry::LookupSpan;

/// How long a request may take where the variables say nothing.
const TIMEOUT_MS: u64 = 10_000;

/// Sends what is left when it is dropped.
pub struct Guard(SdkTracerProvider);

impl Drop for Guard {
    fn drop(&mut self) {
        if let Err(error) = self.0.shutdown() {
            eprintln!("strata: the last traces were not sent: {error}");
        }
    }
}

/// Listens to the spans of the pipeline, where a collector is named.
pub fn layer<S>() -> Result<Option<(impl Layer<S> + use<S>, Guard)>>
where
    S: Subscriber + for<'span> LookupSpan<'span>,
{
    if !is_wanted(|name| std::env::var(name).ok()) {
        return Ok(None);
    }
    let failed = |e: &dyn std::fmt::Display| Error::usage(format!("traces cannot be sent: {e}"));
    let exporter = SpanExporter::builder()
        .with_http()
        .with_http_client(Client::new()?)
        .build()
        .map_err(|e| failed(&e))?;
    let mut resource = Resource::builder();
    // The name is OTEL_SERVICE_NAME's, or stands in OTEL_RESOURCE_ATTRIBUTES; only without both it is ours.
    let named = std::env::var("OTEL_RESOURCE_ATTRIBUTES").is_ok_and(|all| all.contains("service.name="));
    if std::env::var_os("OTEL_SERVICE_NAME").is_none() && !named {
        resource = resource.with_service_name("strata");
    }
    let provider =
        SdkTracerProvider::builder().with_resource(resource.build()).with_batch_exporter(exporter).build();
    let layer = tracing_opentelemetry::layer()
        .with_tracer(provider.tracer("strata"))
        .with_location(false)
        .with_threads(false)
        .with_target(false)
        .with_tracked_inactivity(false)
        .with_filter(Targets::new().with_target(TARGET, LevelFilter::TRACE));
    Ok(Some((layer, Guard(provider))))
}

/// Whether the standard variables ask for traces.
fn is_wanted(variable: impl Fn(&str) -> Option<String>) -> bool {
    let is = |name: &str, value: &str| variable(name).is_some_and(|v| v.eq_ignore_ascii_case(value));
    let named = |name: &str| variable(name).is_some_and(|v| !v.is_empty());
    !is("OTEL_SDK_DISABLED", "true")
        && !is("OTEL_TRACES_EXPORTER", "none")
        && (named("OTEL_EXPORTER_OTLP_ENDPOINT") || named("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT"))
}

/// Posts to the collector. It is called on the exporter's own thread, which has no runtime: each request brings one.
#[derive(Debug)]
struct Client {
    tls: Arc<rustls::ClientConfig>,
    timeout: Duration,
}

impl Client {
    fn new() -> Result<Self> {
        let mut authorities = rustls::RootCertStore::empty();
        authorities.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let tls = rustls::ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(|e| Error::end(format!("TLS cannot be set up: {e}")))?
            .with_root_certificates(authorities)
            .with_no_client_auth();
        let said = ["OTEL_EXPORTER_OTLP_TRACES_TIMEOUT", "OTEL_EXPORTER_OTLP_TIMEOUT"];
        let said = said.iter().find_map(|name| std::env::var(name).ok()?.parse().ok());
        Ok(Self { tls: Arc::new(tls), timeout: Duration::from_millis(said.unwrap_or(TIMEOUT_MS)) })
    }

    async fn post(&self, request: Request<Bytes>) -> Result<Response<Bytes>, HttpError> {
        let uri = request.uri().clone();
        let host = uri.host().ok_or("the endpoint names no host")?.to_owned();
        let secure = uri.scheme_str() == Some("https");
        let port = uri.port_u16().unwrap_or(if secure { 443 } else { 80 });
        let bare = host.trim_start_matches('[').trim_end_matches(']').to_owned();
        let socket = TcpStream::connect((bare.as_str(), port)).await?;
        if secure {
            let name = rustls::pki_types::ServerName::try_from(bare)?;
            let connector = tokio_rustls::TlsConnector::from(Arc::clone(&self.tls));
            exchange(connector.connect(name, socket).await?, request, &uri).await
        } else {
            exchange(socket, request, &uri).await
        }
    }
}

/// One request and its answer.
async fn exchange<I>(io: I, request: Request<Bytes>, uri: &Uri) -> Result<Response<Bytes>, HttpError>
where
    I: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let (mut sender, connection): (SendRequest<Full<Bytes>>, _) = handshake(TokioIo::new(io)).await?;
    // It ends with the request, for good or ill.
    let connection = tokio::spawn(connection);
    let (mut parts, body) = request.into_parts();
    let authority = uri.authority().ok_or("the endpoint names no host")?;
    parts.headers.insert(header::HOST, authority.as_str().parse()?);
    parts.uri = uri.path_and_query().map_or("/", |path| path.as_str()).parse()?;
    let answer = sender.send_request(Request::from_parts(parts, Full::new(body))).await?;
    let (parts, body) = answer.into_parts();
    let body = body.collect().await?.to_bytes();
    connection.abort();
    Ok(Response::from_parts(parts, body))
}

impl HttpClient for Client {
    fn send_bytes<'client, 'answer>(
        &'client self,
        request: Request<Bytes>,
    ) -> Pin<Box<dyn Future<Output = Result<Response<Bytes>, HttpError>> + Send + 'answer>>
    where
        'client: 'answer,
        Self: 'answer,
    {
        Box::pin(async move {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
            runtime.block_on(async { tokio::time::timeout(self.timeout, self.post(request)).await })?
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn traces_are_sent_only_where_a_collector_is_named() {
        let wanted = |set: &[(&str, &str)]| {
            is_wanted(|name| set.iter().find(|(n, _)| *n == name).map(|(_, value)| (*value).to_owned()))
        };
        let endpoint = ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://localhost:4318");
        assert!(!wanted(&[]) && !wanted(&[("OTEL_EXPORTER_OTLP_ENDPOINT", "")]));
        assert!(
            wanted(&[endpoint]) && wanted(&[("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "http://c/v1/traces")])
        );
        assert!(!wanted(&[endpoint, ("OTEL_TRACES_EXPORTER", "none")]));
        assert!(!wanted(&[endpoint, ("OTEL_SDK_DISABLED", "TRUE")]));
    }
}
