//! The Kinesis-compatible endpoint, and an ordinary AWS client that puts records into it and keeps what it was told.

use crate::Event;
use crate::process::Process;
use anyhow::{Context, Result};
use aws_sdk_kinesis::Client;
use aws_sdk_kinesis::config::{BehaviorVersion, Credentials, Region};
use aws_sdk_kinesis::primitives::Blob;
use aws_sdk_kinesis::types::{PutRecordsRequestEntry, ShardFilter, ShardFilterType};
use std::collections::BTreeMap;
use std::process::Command;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

/// Where the producer was told a record lies.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Acknowledged {
    /// Event id.
    pub id: i64,
    /// Shard.
    pub shard: String,
    /// Place in the shard.
    pub sequence: String,
}

/// A running endpoint.
#[derive(Debug)]
pub struct Endpoint {
    _process: Process,
    /// Its address.
    pub url: String,
    /// A client of it.
    pub client: Client,
}

impl Endpoint {
    /// Starts one on a port of its own choice.
    ///
    /// # Errors
    /// When it does not come up.
    pub async fn start() -> Result<Self> {
        let mut command = Command::new(crate::program("kinesis-endpoint")?);
        command.args(["--listen", "127.0.0.1:0"]);
        let process = Process::spawn(command, "endpoint")?;
        let url = crate::until("the endpoint's address", async || {
            let output = process.output();
            let at = output.find("http://");
            Ok(at.and_then(|at| output[at..].split_whitespace().next().map(str::to_owned)))
        })
        .await?;
        let client = Client::from_conf(
            aws_sdk_kinesis::Config::builder()
                .behavior_version(BehaviorVersion::latest())
                .endpoint_url(&url)
                .region(Region::new("us-east-1"))
                .credentials_provider(Credentials::new("test", "test", None, None, "test"))
                .build(),
        );
        Ok(Self { _process: process, url, client })
    }

    /// Makes a stream and waits until it can be used.
    ///
    /// # Errors
    /// When that fails.
    pub async fn create_stream(&self, name: &str, shards: i32) -> Result<()> {
        self.client.create_stream().stream_name(name).shard_count(shards).send().await?;
        crate::until("the stream", async || {
            let shards = self.client.list_shards().stream_name(name).send().await;
            Ok(shards.ok().filter(|list| !list.shards().is_empty()).map(drop))
        })
        .await
    }

    /// Puts all events, again where an entry was refused, and gives what was acknowledged.
    ///
    /// # Errors
    /// When a call fails.
    pub async fn put(&self, stream: &str, events: &[Event]) -> Result<Vec<Acknowledged>> {
        let mut acknowledged = Vec::with_capacity(events.len());
        let mut left: Vec<&Event> = events.iter().collect();
        while !left.is_empty() {
            let mut refused = Vec::new();
            for chunk in left.chunks(500) {
                let entries = chunk.iter().map(|event| {
                    PutRecordsRequestEntry::builder()
                        .partition_key(&event.key)
                        .data(Blob::new(event.record.clone()))
                        .build()
                        .map_err(anyhow::Error::from)
                });
                let entries = entries.collect::<Result<Vec<_>>>()?;
                let answer =
                    self.client.put_records().stream_name(stream).set_records(Some(entries)).send().await?;
                for (event, entry) in chunk.iter().zip(answer.records()) {
                    match (entry.shard_id(), entry.sequence_number()) {
                        (Some(shard), Some(sequence)) => acknowledged.push(Acknowledged {
                            id: event.id,
                            shard: shard.to_owned(),
                            sequence: sequence.to_owned(),
                        }),
                        _ => refused.push(*event),
                    }
                }
            }
            left = refused;
        }
        Ok(acknowledged)
    }

    /// Orders a fault of the endpoint's, as in `{"operation": "GetRecords", "kind": "throttle"}`.
    ///
    /// # Errors
    /// When the endpoint refuses it.
    pub async fn fault(&self, rule: &str) -> Result<()> {
        self.control("POST /control", &format!(r#"{{"fault": {rule}}}"#)).await.map(drop)
    }

    /// Gives another order, as in `{"advance_ms": 1000}`.
    ///
    /// # Errors
    /// When the endpoint refuses it.
    pub async fn order(&self, order: &str) -> Result<()> {
        self.control("POST /control", order).await.map(drop)
    }

    /// How often an operation was called.
    ///
    /// # Errors
    /// When the call fails.
    pub async fn calls(&self, operation: &str) -> Result<u64> {
        let state: serde_json::Value = serde_json::from_str(&self.control("GET /control/state", "").await?)?;
        Ok(state["calls"][operation].as_u64().unwrap_or_default())
    }

    /// How often each operation was called that was.
    ///
    /// # Errors
    /// When the call fails.
    pub async fn all_calls(&self) -> Result<BTreeMap<String, u64>> {
        let state: serde_json::Value = serde_json::from_str(&self.control("GET /control/state", "").await?)?;
        Ok(serde_json::from_value(state["calls"].clone())?)
    }

    /// Faults that have not struck yet.
    ///
    /// # Errors
    /// When the call fails.
    pub async fn faults_pending(&self) -> Result<u64> {
        let state: serde_json::Value = serde_json::from_str(&self.control("GET /control/state", "").await?)?;
        state["faults_pending"].as_u64().context("no faults_pending")
    }

    async fn control(&self, request: &str, body: &str) -> Result<String> {
        let address = self.url.trim_start_matches("http://").trim_end_matches('/');
        let mut socket = tokio::net::TcpStream::connect(address).await?;
        let length = body.len();
        let head = format!(
            "{request} HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\ncontent-length: {length}\r\n\r\n"
        );
        socket.write_all(format!("{head}{body}").as_bytes()).await?;
        let mut answer = String::new();
        socket.read_to_string(&mut answer).await?;
        let (head, body) = answer.split_once("\r\n\r\n").context("no answer")?;
        anyhow::ensure!(head.starts_with("HTTP/1.1 200"), "{request} {body}: {answer}");
        let body = body.trim();
        // One chunk or none: the answer is small.
        Ok(body
            .find('{')
            .and_then(|at| body.rfind('}').map(|end| &body[at..=end]))
            .unwrap_or_default()
            .to_owned())
    }

    /// Every shard the stream has or had.
    ///
    /// # Errors
    /// When the call fails.
    pub async fn shards(&self, stream: &str) -> Result<Vec<String>> {
        let filter = ShardFilter::builder().r#type(ShardFilterType::FromTrimHorizon).build()?;
        let list = self.client.list_shards().stream_name(stream).shard_filter(filter).send().await?;
        Ok(list.shards().iter().map(|shard| shard.shard_id().to_owned()).collect())
    }

    /// The stream's ARN.
    ///
    /// # Errors
    /// When the call fails.
    pub async fn arn(&self, stream: &str) -> Result<String> {
        let summary = self.client.describe_stream_summary().stream_name(stream).send().await?;
        let summary = summary.stream_description_summary().context("no summary")?;
        Ok(summary.stream_arn().to_owned())
    }
}

/// The highest sequence number the producer was told of, by shard.
#[must_use]
pub fn last_by_shard(acknowledged: &[Acknowledged]) -> BTreeMap<String, String> {
    let mut last: BTreeMap<String, String> = BTreeMap::new();
    for one in acknowledged {
        let known = last.entry(one.shard.clone()).or_default();
        // Decimal numbers without leading zeros: the longer one is the larger.
        if (known.len(), known.as_str()) < (one.sequence.len(), one.sequence.as_str()) {
            known.clone_from(&one.sequence);
        }
    }
    last
}
