//! An endpoint whose time stands still until told otherwise, and a client that sees every refusal.

use std::net::{Ipv4Addr, SocketAddr};

use aws_sdk_kinesis::Client;
use aws_sdk_kinesis::config::retry::RetryConfig;
use aws_sdk_kinesis::config::{BehaviorVersion, Credentials, Region};
use aws_sdk_kinesis::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_kinesis::operation::get_records::{GetRecordsError, GetRecordsOutput};
use aws_sdk_kinesis::operation::put_records::{PutRecordsError, PutRecordsOutput};
use aws_sdk_kinesis::primitives::Blob;
use aws_sdk_kinesis::types::{PutRecordsRequestEntry, ShardIteratorType};
use kinesis_endpoint::{Clock, Endpoint, Options, Server};

/// When the tests' time begins.
pub const START_MS: u64 = 1_790_000_000_000;

pub struct Subject {
    pub client: Client,
    pub clock: Clock,
    pub endpoint: Endpoint,
}

/// A stream `s` with so many shards, without rates.
pub async fn start(shards: u64) -> Subject {
    start_with(shards, Options::default()).await
}

/// The same with other options; the clock is always a standing one.
pub async fn start_with(shards: u64, options: Options) -> Subject {
    let clock = Clock::manual(START_MS);
    let listen = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    let endpoint = Endpoint::start(listen, Options { clock: clock.clone(), ..options }).await.unwrap();
    endpoint.server().create_stream("s", shards, "PROVISIONED").unwrap();
    let config = aws_sdk_kinesis::Config::builder()
        .behavior_version(BehaviorVersion::latest())
        .endpoint_url(endpoint.url())
        .region(Region::new("us-east-1"))
        .credentials_provider(Credentials::new("test", "test", None, None, "test"))
        .retry_config(RetryConfig::disabled())
        .build();
    Subject { client: Client::from_conf(config), clock, endpoint }
}

impl Subject {
    pub fn server(&self) -> &Server {
        self.endpoint.server()
    }

    /// Gives an order as the control path would take it.
    pub fn order(&self, json: &str) {
        self.server().apply(serde_json::from_str(json).unwrap()).unwrap();
    }

    /// Puts payloads under one key in one request.
    pub async fn put(&self, payloads: &[&str]) -> Result<PutRecordsOutput, SdkError<PutRecordsError>> {
        let entries = payloads.iter().map(|data| {
            PutRecordsRequestEntry::builder().partition_key("a").data(Blob::new(*data)).build().unwrap()
        });
        self.client.put_records().stream_name("s").set_records(Some(entries.collect())).send().await
    }

    pub async fn iterator(&self, shard: usize) -> String {
        let get = self.client.get_shard_iterator().stream_name("s").shard_id(format!("shardId-{shard:012}"));
        let get = get.shard_iterator_type(ShardIteratorType::TrimHorizon).send().await.unwrap();
        get.shard_iterator().unwrap().to_owned()
    }

    pub async fn get(&self, iterator: &str) -> Result<GetRecordsOutput, SdkError<GetRecordsError>> {
        self.client.get_records().shard_iterator(iterator).send().await
    }
}

/// Payloads of a page, as text.
pub fn texts(page: &GetRecordsOutput) -> Vec<String> {
    page.records().iter().map(|record| String::from_utf8_lossy(record.data().as_ref()).into_owned()).collect()
}

/// `ok`, the exception's name, or `no answer`.
pub fn code<T, E: ProvideErrorMetadata>(result: &Result<T, SdkError<E>>) -> &str {
    match result {
        Ok(_) => "ok",
        Err(error) => error.code().unwrap_or("no answer"),
    }
}
