//! How fast an endpoint is: raw requests over keep-alive connections, 500-byte records, one connection a shard.
//! `cargo run --release -p kinesis-endpoint --example rate -- http://127.0.0.1:PORT [SHARDS] [RECORDS_PER_SHARD]`

use std::error::Error;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::time::Instant;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

type Outcome<T> = Result<T, Box<dyn Error + Send + Sync>>;

const PAYLOAD_BYTES: usize = 500;
const PER_PUT: usize = 500;

struct Connection {
    reader: BufReader<TcpStream>,
}

impl Connection {
    fn open(authority: &str) -> Outcome<Self> {
        let socket = TcpStream::connect(authority)?;
        socket.set_nodelay(true)?;
        Ok(Self { reader: BufReader::with_capacity(1 << 18, socket) })
    }

    fn call(&mut self, operation: &str, body: &str, answer: &mut Vec<u8>) -> Outcome<()> {
        let head = format!(
            "POST / HTTP/1.1\r\nHost: localhost\r\nX-Amz-Target: Kinesis_20131202.{operation}\r\n\
             Authorization: AWS4-HMAC-SHA256 Credential=a/20260101/us-east-1/kinesis/aws4_request, SignedHeaders=host, Signature=0\r\n\
             X-Amz-Date: 20260101T000000Z\r\nContent-Type: application/x-amz-json-1.1\r\nContent-Length: {}\r\n\r\n",
            body.len()
        );
        let socket = self.reader.get_mut();
        socket.write_all(head.as_bytes())?;
        socket.write_all(body.as_bytes())?;
        let mut status = String::new();
        self.reader.read_line(&mut status)?;
        let mut length = 0;
        loop {
            let mut line = String::new();
            self.reader.read_line(&mut line)?;
            if line.trim().is_empty() {
                break;
            }
            if let Some(value) = line.to_ascii_lowercase().strip_prefix("content-length:") {
                length = value.trim().parse()?;
            }
        }
        answer.resize(length, 0);
        self.reader.read_exact(answer)?;
        if status.contains(" 200 ") {
            Ok(())
        } else {
            Err(format!("{operation}: {status} {}", String::from_utf8_lossy(answer)).into())
        }
    }
}

fn put_all(authority: &str, hash_key: u128, records: usize) -> Outcome<usize> {
    let mut connection = Connection::open(authority)?;
    let data = STANDARD.encode([b'x'; PAYLOAD_BYTES]);
    let entry = json!({ "Data": data, "PartitionKey": "user-1234", "ExplicitHashKey": hash_key.to_string() });
    let body = json!({ "StreamName": "rate", "Records": vec![entry; PER_PUT] }).to_string();
    let mut answer = Vec::new();
    for _ in 0..records / PER_PUT {
        connection.call("PutRecords", &body, &mut answer)?;
    }
    Ok(records / PER_PUT * PER_PUT)
}

fn get_all(authority: &str, shard: usize, wanted: usize) -> Outcome<usize> {
    let mut connection = Connection::open(authority)?;
    let mut answer = Vec::new();
    let request = json!({ "StreamName": "rate", "ShardId": format!("shardId-{shard:012}"), "ShardIteratorType": "TRIM_HORIZON" });
    connection.call("GetShardIterator", &request.to_string(), &mut answer)?;
    let mut iterator =
        serde_json::from_slice::<Value>(&answer)?["ShardIterator"].as_str().unwrap_or_default().to_owned();
    let mut bytes = 0;
    loop {
        connection.call(
            "GetRecords",
            &json!({ "ShardIterator": iterator, "Limit": 10_000 }).to_string(),
            &mut answer,
        )?;
        // The rate of the endpoint is wanted, not of a JSON parser: look at the head of the answer only.
        let head = String::from_utf8_lossy(&answer[..answer.len().min(600)]);
        bytes += answer.len();
        if head.contains("\"MillisBehindLatest\":0,") {
            break;
        }
        let next = head.split("\"NextShardIterator\":\"").nth(1).and_then(|rest| rest.split('"').next());
        next.ok_or("no next iterator")?.clone_into(&mut iterator);
    }
    if bytes < wanted * PAYLOAD_BYTES * 4 / 3 { Err("records are missing".into()) } else { Ok(wanted) }
}

fn parallel(shards: usize, work: impl Fn(usize) -> Outcome<usize> + Sync) -> Outcome<usize> {
    std::thread::scope(|scope| {
        let running: Vec<_> = (0..shards)
            .map(|shard| {
                scope.spawn({
                    let work = &work;
                    move || work(shard)
                })
            })
            .collect();
        running.into_iter().map(|one| one.join().map_err(|_| "a worker panicked")?).sum()
    })
}

fn main() -> Outcome<()> {
    let mut arguments = std::env::args().skip(1);
    let url = arguments.next().ok_or("usage: rate URL [SHARDS] [RECORDS_PER_SHARD]")?;
    let authority = url.trim_start_matches("http://").trim_end_matches('/').to_owned();
    let shards: usize = arguments.next().map_or(Ok(2), |text| text.parse())?;
    let each: usize = arguments.next().map_or(Ok(200_000), |text| text.parse())?;
    Connection::open(&authority)?.call(
        "CreateStream",
        &json!({ "StreamName": "rate", "ShardCount": shards }).to_string(),
        &mut Vec::new(),
    )?;
    let width = u128::MAX / shards as u128;

    let start = Instant::now();
    let put = parallel(shards, |shard| put_all(&authority, width * shard as u128 + 1000, each))?;
    report("PutRecords", put, start);
    let start = Instant::now();
    let got = parallel(shards, |shard| get_all(&authority, shard, each))?;
    report("GetRecords", got, start);
    Ok(())
}

#[allow(clippy::cast_precision_loss)] // for people
fn report(what: &str, records: usize, start: Instant) {
    let seconds = start.elapsed().as_secs_f64();
    println!("{what}: {records} records in {seconds:.2} s, {:.0} records/s", records as f64 / seconds);
}
