//! HTTP/1.1 on one socket: the JSON 1.1 protocol's envelope, and the control paths.
//! Turns requests into calls of `Server` and refusals into the form the SDKs parse; decides nothing itself.

use std::future::{Future, poll_fn};
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use bytes::Bytes;
use http_body_util::BodyExt;
use hyper::body::{Body, Incoming};
use hyper::header::{CONTENT_TYPE, HeaderValue};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use serde_json::json;
use tokio::net::TcpStream;

use crate::body::Pieces;
use crate::control::Command;
use crate::error::Refusal;
use crate::faults::Transport;
use crate::limits::BODY_BYTES_MAX;
use crate::server::{Reply, Server, parse};

const TARGET_PREFIX: &str = "Kinesis_20131202.";
const AMZ_JSON: &str = "application/x-amz-json-1.1";
const EVENT_STREAM: &str = "application/vnd.amazon.eventstream";
const JSON: &str = "application/json";

type Answer = Result<Response<Pieces>, io::Error>;

/// Serves one connection to its end.
pub async fn serve(socket: TcpStream, server: Arc<Server>) {
    // Small answers must not wait for the client's acknowledgement of the one before.
    let _ = socket.set_nodelay(true);
    let reset = Arc::new(AtomicBool::new(false));
    let seen = Arc::clone(&reset);
    let service = service_fn(move |request| {
        let answer: Pin<Box<dyn Future<Output = Answer> + Send>> =
            Box::pin(answer(Arc::clone(&server), request, Arc::clone(&seen)));
        answer
    });
    let mut connection = http1::Builder::new().serve_connection(TokioIo::new(socket), service);
    // An error here is the client's going away, or a reset that was ordered.
    let _ = poll_fn(|cx| connection.poll_without_shutdown(cx)).await;
    if reset.load(Ordering::Acquire) {
        let socket = connection.into_parts().io.into_inner();
        let _ = socket.set_zero_linger();
    }
}

async fn answer(server: Arc<Server>, request: Request<Incoming>, reset: Arc<AtomicBool>) -> Answer {
    let (head, body) = request.into_parts();
    let target = head.headers.get("x-amz-target").and_then(|value| value.to_str().ok()).unwrap_or_default();
    let body = match read(body).await {
        Ok(body) => body,
        Err(refusal) => return answer_refusal(&refusal, &reset),
    };
    let outcome = match (&head.method, head.uri.path()) {
        (&Method::GET, "/healthz") => return Ok(respond(200, JSON, "{\"status\":\"ok\"}".into(), &reset)),
        (&Method::GET, "/control/state") => {
            return Ok(respond(200, JSON, server.inspect().to_string().into(), &reset));
        }
        (&Method::POST, "/control") => {
            parse::<Command>(&body).and_then(|command| server.apply(command)).map(|()| Reply::default())
        }
        (&Method::POST, "/") => match target.strip_prefix(TARGET_PREFIX) {
            Some(operation) => server.call(operation, &body),
            None => Err(Refusal::unknown_operation()),
        },
        _ => Err(Refusal::unknown_operation()),
    };
    match outcome {
        Ok(Reply { transport: Transport::Reset, .. }) => answer_refusal(&Refusal::reset(), &reset),
        Ok(reply) => {
            let content_type = if reply.live.is_some() { EVENT_STREAM } else { AMZ_JSON };
            let mut response = respond(200, content_type, Bytes::new(), &reset);
            *response.body_mut() = Pieces::new(reply.pieces, reply.transport, reset).followed_by(reply.live);
            Ok(response)
        }
        Err(refusal) => answer_refusal(&refusal, &reset),
    }
}

async fn read(mut body: Incoming) -> Result<Vec<u8>, Refusal> {
    let expected = usize::try_from(body.size_hint().lower()).unwrap_or(usize::MAX);
    let too_large = || Refusal { status: 413, ..Refusal::validation("The request is too large.") };
    if expected > BODY_BYTES_MAX {
        return Err(too_large());
    }
    let mut whole = Vec::with_capacity(expected);
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|_| Refusal::reset())?;
        if let Some(data) = frame.data_ref() {
            if whole.len() + data.len() > BODY_BYTES_MAX {
                return Err(too_large());
            }
            whole.extend_from_slice(data);
        }
    }
    Ok(whole)
}

fn answer_refusal(refusal: &Refusal, reset: &Arc<AtomicBool>) -> Answer {
    if refusal.reset {
        reset.store(true, Ordering::Release);
        return Err(io::ErrorKind::ConnectionReset.into());
    }
    let body = json!({ "__type": refusal.code, "message": refusal.message }).to_string();
    let mut response = respond(refusal.status, AMZ_JSON, body.into(), reset);
    response.headers_mut().insert("x-amzn-errortype", HeaderValue::from_static(refusal.code));
    Ok(response)
}

fn respond(
    status: u16,
    content_type: &'static str,
    body: Bytes,
    reset: &Arc<AtomicBool>,
) -> Response<Pieces> {
    let pieces = if body.is_empty() { Vec::new() } else { vec![body] };
    let mut response = Response::new(Pieces::new(pieces, Transport::Plain, Arc::clone(reset)));
    *response.status_mut() = StatusCode::from_u16(status).unwrap_or(StatusCode::BAD_REQUEST);
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    let id = format!("{:032x}", fastrand::u128(..));
    if let Ok(id) = HeaderValue::from_str(&id) {
        headers.insert("x-amzn-requestid", id);
    }
    response
}
