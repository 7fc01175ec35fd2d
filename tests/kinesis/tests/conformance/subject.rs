//! The endpoint under test, and the checks.
//! Helpers read as the protocol does; they never hide a refusal.

use std::fmt::Debug;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use aws_sdk_kinesis::Client;
use aws_sdk_kinesis::config::retry::RetryConfig;
use aws_sdk_kinesis::config::{BehaviorVersion, Credentials, Region};
use aws_sdk_kinesis::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_kinesis::operation::get_records::GetRecordsOutput;
use aws_sdk_kinesis::primitives::Blob;
use aws_sdk_kinesis::types::{Record, Shard, ShardIteratorType, StreamStatus};
use kinesis_endpoint::{Endpoint, Options};

use crate::differences::DIFFERENCES;

/// Which endpoint it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Flavour {
    Ours,
    KinesisMock,
    Kinesalite,
}

/// An endpoint and a client for it.
pub struct Subject {
    pub client: Client,
    pub flavour: Flavour,
    _endpoint: Option<Endpoint>,
}

impl Subject {
    /// Ours, started for this test, or the one named by the environment.
    pub async fn start() -> Self {
        let (url, flavour, endpoint) = if let Ok(url) = std::env::var("KINESIS_ENDPOINT") {
            let flavour = match std::env::var("KINESIS_FLAVOUR").as_deref() {
                Ok("kinesis-mock") => Flavour::KinesisMock,
                Ok("kinesalite") => Flavour::Kinesalite,
                Ok("ours") | Err(_) => Flavour::Ours,
                Ok(other) => panic!("KINESIS_FLAVOUR={other} is none of ours, kinesis-mock, kinesalite"),
            };
            (url, flavour, None)
        } else {
            let listen = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
            let endpoint = Endpoint::start(listen, Options::default()).await.unwrap();
            (endpoint.url(), Flavour::Ours, Some(endpoint))
        };
        let config = aws_sdk_kinesis::Config::builder()
            .behavior_version(BehaviorVersion::latest())
            .endpoint_url(url)
            .region(Region::new("us-east-1"))
            .credentials_provider(Credentials::new("test", "test", None, None, "test"))
            // A refusal must be seen, not retried.
            .retry_config(RetryConfig::disabled())
            .build();
        Self { client: Client::from_conf(config), flavour, _endpoint: endpoint }
    }

    /// A statement about the endpoint, by a name that the table of differences may list.
    #[track_caller]
    pub fn check(&self, name: &str, holds: bool, seen: impl Debug) {
        let flavour = self.flavour;
        let known = DIFFERENCES.iter().find(|(other, check, _)| *other == flavour && *check == name);
        if holds == known.is_none() {
            return;
        }
        let complaint = match known {
            None => format!("{flavour:?} fails '{name}': {seen:?}"),
            Some((_, _, why)) => {
                format!("{flavour:?} no longer differs in '{name}' ({why}): strike it from the table")
            }
        };
        // To see all differences of a new endpoint at once, rather than one for each test.
        assert!(std::env::var_os("KINESIS_SURVEY").is_some(), "{complaint}");
        eprintln!("{complaint}");
    }

    /// Whether the table says that a check fails here; for what cannot even be tried.
    pub fn differs(&self, name: &str) -> bool {
        DIFFERENCES.iter().any(|(flavour, check, _)| *flavour == self.flavour && *check == name)
    }

    /// A refusal with one of these codes.
    #[track_caller]
    pub fn check_code<T, E: ProvideErrorMetadata>(
        &self,
        name: &str,
        wanted: &str,
        result: &Result<T, SdkError<E>>,
    ) {
        let seen = code(result);
        self.check(name, seen == wanted, seen);
    }

    /// A name no other test uses.
    pub fn name() -> String {
        static NAMES: AtomicU64 = AtomicU64::new(0);
        format!("conformance-{}-{}", std::process::id(), NAMES.fetch_add(1, Ordering::Relaxed))
    }

    /// An active stream.
    pub async fn stream(&self, shards: i32) -> String {
        let name = Self::name();
        self.client.create_stream().stream_name(&name).shard_count(shards).send().await.unwrap();
        self.settle(&name).await;
        name
    }

    /// Waits until the stream is active. Ours is at once; the others work in the background.
    pub async fn settle(&self, stream: &str) {
        let deadline = Instant::now() + Duration::from_secs(30);
        loop {
            let summary = self.client.describe_stream_summary().stream_name(stream).send().await.unwrap();
            if summary.stream_description_summary().unwrap().stream_status() == &StreamStatus::Active {
                return;
            }
            assert!(Instant::now() < deadline, "{stream} does not become active");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    /// Deletes a stream and waits until it is gone.
    pub async fn delete(&self, stream: &str) {
        self.client.delete_stream().stream_name(stream).send().await.unwrap();
        let deadline = Instant::now() + Duration::from_secs(30);
        while self.client.describe_stream_summary().stream_name(stream).send().await.is_ok() {
            assert!(Instant::now() < deadline, "{stream} does not go away");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    /// Puts one record and returns shard id and sequence number.
    pub async fn put(&self, stream: &str, key: &str, data: &[u8]) -> (String, String) {
        let put = self.client.put_record().stream_name(stream).partition_key(key).data(Blob::new(data));
        let output = put.send().await.unwrap();
        (output.shard_id().to_owned(), output.sequence_number().to_owned())
    }

    /// All shards.
    pub async fn shards(&self, stream: &str) -> Vec<Shard> {
        let output = self.client.list_shards().stream_name(stream).send().await.unwrap();
        output.shards().to_vec()
    }

    /// An iterator of a type that needs nothing else.
    pub async fn iterator(&self, stream: &str, shard: &str, kind: ShardIteratorType) -> String {
        let get =
            self.client.get_shard_iterator().stream_name(stream).shard_id(shard).shard_iterator_type(kind);
        get.send().await.unwrap().shard_iterator().unwrap().to_owned()
    }

    /// One page.
    pub async fn page(&self, iterator: &str, limit: i32) -> GetRecordsOutput {
        self.client.get_records().shard_iterator(iterator).limit(limit).send().await.unwrap()
    }

    /// Reads on until `wanted` records have come or the shard ends; empty pages are normal.
    pub async fn read(&self, iterator: &str, wanted: usize) -> (Vec<Record>, Option<GetRecordsOutput>) {
        let (mut records, mut iterator) = (Vec::new(), iterator.to_owned());
        for _ in 0..100 {
            let page = self.page(&iterator, 1000).await;
            records.extend_from_slice(page.records());
            let next = page.next_shard_iterator().map(str::to_owned);
            match next {
                None => return (records, Some(page)),
                Some(_) if records.len() >= wanted && wanted > 0 => return (records, Some(page)),
                Some(next) => iterator = next,
            }
        }
        (records, None)
    }

    /// Payloads of a shard from the start, as text.
    pub async fn payloads(&self, stream: &str, shard: &str, wanted: usize) -> Vec<String> {
        let iterator = self.iterator(stream, shard, ShardIteratorType::TrimHorizon).await;
        let (records, _) = self.read(&iterator, wanted).await;
        records.iter().map(|record| String::from_utf8_lossy(record.data().as_ref()).into_owned()).collect()
    }
}

/// `ok`, or the exception's name, or what else went wrong.
pub fn code<T, E: ProvideErrorMetadata>(result: &Result<T, SdkError<E>>) -> String {
    match result {
        Ok(_) => "ok".to_owned(),
        Err(error) => error.code().map_or_else(
            || format!("no code, HTTP {:?}", error.raw_response().map(|raw| raw.status().as_u16())),
            str::to_owned,
        ),
    }
}

/// `shardId-000000000002`.
pub fn shard_id(index: usize) -> String {
    format!("shardId-{index:012}")
}
