//! The control paths as another process uses them, over a bare socket.

use kinesis_endpoint::{Endpoint, Options, StartError};
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::subject::{START_MS, Subject, code, start};

async fn http(subject: &Subject, method: &str, path: &str, body: &str) -> (String, Value) {
    let url = subject.endpoint.url();
    let mut socket = TcpStream::connect(url.trim_start_matches("http://")).await.unwrap();
    let length = body.len();
    let request = format!(
        "{method} {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: {length}\r\n\r\n{body}"
    );
    socket.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    socket.read_to_string(&mut answer).await.unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    let status = head.split(' ').nth(1).unwrap().to_owned();
    (status, serde_json::from_str(body).unwrap_or(Value::Null))
}

#[tokio::test]
async fn orders_come_by_http() {
    let subject = start(1).await;
    let (status, _) =
        http(&subject, "POST", "/control", r#"{"fault":{"operation":"PutRecords","kind":"throttle"}}"#).await;
    assert_eq!(status, "200");
    assert_eq!(code(&subject.put(&["0"]).await), "ProvisionedThroughputExceededException");
    let (status, _) = http(&subject, "POST", "/control", r#"{"advance_ms":1500}"#).await;
    assert_eq!(status, "200");
    assert_eq!(subject.clock.now_ms(), START_MS + 1500);
}

#[tokio::test]
async fn an_order_that_cannot_be_carried_out_is_refused() {
    let subject = start(1).await;
    for wrong in [
        r#"{"fault":{"operation":"GetRecord","kind":"throttle"}}"#,
        r#"{"fault":{"operation":"PutRecords","kind":"empty"}}"#,
        r#"{"fault":{"kind":"nonsense"}}"#,
        r#"{"fault":{"kind":"throttle","counts":2}}"#,
        r#"{"split_at":{"stream":"nobody","record":1}}"#,
        r#"{"trim":{"stream":"s","shard":"shardId-000000000009","records":1}}"#,
        "{}",
    ] {
        let (status, body) = http(&subject, "POST", "/control", wrong).await;
        assert_eq!(status, "400", "{wrong}: {body}");
    }
    assert_eq!(http(&subject, "GET", "/nowhere", "").await.0, "400");
}

#[tokio::test]
async fn the_state_says_what_was_stored_and_asked() {
    let subject = start(2).await;
    subject.put(&["0", "1"]).await.unwrap();
    subject.order(r#"{"fault":{"kind":"throttle","count":7}}"#);
    let (status, state) = http(&subject, "GET", "/control/state", "").await;
    assert_eq!(status, "200");
    assert_eq!(state["now_ms"], START_MS);
    assert_eq!(state["calls"]["PutRecords"], 1);
    assert_eq!(state["faults_pending"], 7);
    let stream = &state["streams"][0];
    assert_eq!((&stream["name"], &stream["accepted"]), (&Value::from("s"), &Value::from(2)));
    let shards = stream["shards"].as_array().unwrap();
    let records: Vec<_> = shards.iter().map(|shard| shard["records"].as_u64().unwrap()).collect();
    assert_eq!(records, [2, 0]);
    assert_eq!(http(&subject, "GET", "/healthz", "").await.0, "200");
}

#[tokio::test]
async fn only_loopback_is_served() {
    let refused = Endpoint::start("0.0.0.0:0".parse().unwrap(), Options::default()).await;
    assert!(matches!(refused, Err(StartError::NotLoopback(_))));
}
