//! `/metrics`, `/healthz` and `/readyz`: a small HTTP server that answers from memory, and the probe that asks the
//! database once a second whether it is there. Never: anything a request could change or wait for.

use crate::config::Http;
use crate::error::{Error, Kind, Result};
use crate::exposition::CONTENT_TYPE;
use crate::metrics::{Metrics, Readiness};
use crate::postgres::{Database, Session};
use crate::stop::Stop;
use bytes::Bytes;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::header::{ALLOW, CONTENT_TYPE as CONTENT_TYPE_HEADER, HeaderValue};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tokio::task::JoinHandle;

/// Connections at one time; the next one waits.
const CONNECTIONS: usize = 32;
/// How long a request may take to come.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(10);
/// How often the database is asked.
const PROBE_INTERVAL: Duration = Duration::from_secs(1);
/// How long it may take to answer.
const PROBE_TIMEOUT: Duration = Duration::from_secs(5);
/// After a failure to accept a connection: it may be that all file descriptors are taken.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// A server that runs until it is dropped.
pub struct Server(Vec<JoinHandle<()>>);

impl Drop for Server {
    fn drop(&mut self) {
        self.0.iter().for_each(JoinHandle::abort);
    }
}

/// Starts the server, where the configuration wants one.
pub async fn start(
    settings: &Http,
    metrics: &Arc<Metrics>,
    database: Database,
    stop: &Stop,
) -> Result<Option<Server>> {
    let Some(address) = settings.address()? else { return Ok(None) };
    let refused = |e| Error::usage(format!("http.listen \"{}\" cannot be listened on: {e}", settings.listen));
    let listener = TcpListener::bind(address).await.map_err(refused)?;
    let bound = listener.local_addr().map_err(refused)?;
    tracing::info!(address = %bound, "answering /metrics, /healthz and /readyz");
    let server = tokio::spawn(accept(listener, Arc::clone(metrics)));
    let probe = tokio::spawn(probe(database, Arc::clone(metrics), stop.clone()));
    Ok(Some(Server(vec![server, probe])))
}

async fn accept(listener: TcpListener, metrics: Arc<Metrics>) {
    let places = Arc::new(Semaphore::new(CONNECTIONS));
    loop {
        let Ok(place) = Arc::clone(&places).acquire_owned().await else { return };
        let Ok((socket, _)) = listener.accept().await else {
            tokio::time::sleep(ACCEPT_PAUSE).await;
            continue;
        };
        let metrics = Arc::clone(&metrics);
        tokio::spawn(async move {
            let service = service_fn(|request: Request<Incoming>| {
                let answer = answer(request.method(), request.uri().path(), &metrics);
                async move { Ok::<_, Infallible>(answer) }
            });
            let connection = http1::Builder::new()
                .timer(TokioTimer::new())
                .header_read_timeout(REQUEST_TIMEOUT)
                .serve_connection(TokioIo::new(socket), service);
            // An error is the client's going away.
            let _ = connection.await;
            drop(place);
        });
    }
}

fn answer(method: &Method, path: &str, metrics: &Metrics) -> Response<Full<Bytes>> {
    let plain = "text/plain; charset=utf-8";
    let (status, kind, text) = match path {
        "/metrics" | "/healthz" | "/readyz" if method != Method::GET && method != Method::HEAD => {
            (StatusCode::METHOD_NOT_ALLOWED, plain, "only GET and HEAD\n".to_owned())
        }
        "/metrics" => (StatusCode::OK, CONTENT_TYPE, metrics.expose()),
        "/healthz" => (StatusCode::OK, plain, "ok\n".to_owned()),
        "/readyz" => match metrics.readiness() {
            Readiness::Ready => (StatusCode::OK, plain, "ready\n".to_owned()),
            other => (StatusCode::SERVICE_UNAVAILABLE, plain, format!("{}\n", other.text())),
        },
        _ => (StatusCode::NOT_FOUND, plain, "there are /metrics, /healthz and /readyz\n".to_owned()),
    };
    let mut response = Response::new(Full::new(Bytes::from(text)));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE_HEADER, HeaderValue::from_static(kind));
    if status == StatusCode::METHOD_NOT_ALLOWED {
        response.headers_mut().insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
    }
    response
}

/// Notes once a second whether the database answers, on a connection of its own.
async fn probe(database: Database, metrics: Arc<Metrics>, stop: Stop) {
    let mut session: Option<Session> = None;
    loop {
        let asked = async {
            let open = match session.take().filter(|open| !open.is_closed()) {
                Some(open) => open,
                None => database.connect().await?,
            };
            open.run("SELECT 1").await?;
            Ok::<_, Error>(open)
        };
        // A session that does not answer is given up with its connection.
        match tokio::time::timeout(PROBE_TIMEOUT, asked).await {
            Ok(Ok(open)) => {
                session = Some(open);
                metrics.database_answers(None);
            }
            Ok(Err(error)) => metrics.database_answers(Some(&error)),
            Err(_) => metrics.database_answers(Some(&Error::new(Kind::Retry, "a probe timed out"))),
        }
        if !stop.sleep(PROBE_INTERVAL).await {
            metrics.stopping();
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn what_is_answered() {
        let metrics = Metrics::default();
        let status = |method: &Method, path| answer(method, path, &metrics).status().as_u16();
        assert_eq!(status(&Method::GET, "/healthz"), 200);
        assert_eq!(status(&Method::GET, "/readyz"), 503, "starting");
        metrics.started(2);
        assert_eq!(status(&Method::GET, "/readyz"), 503, "the database was never seen");
        metrics.database_answers(None);
        assert_eq!(status(&Method::HEAD, "/readyz"), 200);
        let full = Error::new(Kind::Retry, "no space left");
        metrics.database_answers(Some(&full));
        assert_eq!(metrics.readiness().text(), "the database does not answer: no space left");
        assert_eq!(status(&Method::GET, "/readyz"), 503);
        metrics.database_answers(None);
        metrics.blocked("t", "writing", &full);
        metrics.blocked("t", "preparing", &full);
        assert_eq!(metrics.readiness().text(), "the database takes no rows of t: no space left");
        metrics.unblocked("t", Some("writing"));
        assert_eq!(status(&Method::GET, "/readyz"), 503, "one of two is still blocked");
        metrics.unblocked("t", None);
        metrics.table_stopped("t", Some(0));
        assert_eq!(status(&Method::GET, "/readyz"), 200, "the other table goes on");
        metrics.table_stopped("u", None);
        assert_eq!(metrics.readiness(), Readiness::Stopped);
        metrics.table_tried_again("u");
        assert_eq!(status(&Method::GET, "/readyz"), 200);
        metrics.stopping();
        assert_eq!(status(&Method::GET, "/readyz"), 503, "stopping");
        assert_eq!(status(&Method::GET, "/healthz"), 200);
        assert_eq!(status(&Method::GET, "/nothing"), 404);
        let refused = answer(&Method::POST, "/metrics", &metrics);
        assert_eq!(
            (refused.status().as_u16(), &refused.headers()[ALLOW]),
            (405, &HeaderValue::from_static("GET, HEAD"))
        );
        assert_eq!(answer(&Method::GET, "/metrics", &metrics).headers()[CONTENT_TYPE_HEADER], CONTENT_TYPE);
    }
}
