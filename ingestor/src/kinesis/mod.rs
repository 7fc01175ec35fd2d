//! The only place that names the AWS SDK: streams described, shards listed, records read and put.
//! Never: retry loops, decoding, checkpoints.

mod body;
mod fanout;
mod page;

pub use fanout::Subscription;

use crate::clock::EPOCH_2000;
use crate::config;
use crate::error::{Error, Kind, Result, kind_of_aws};
use crate::stream::{Listing, Page, Position, Shard, Stream};
use aws_sdk_kinesis::Client;
use aws_sdk_kinesis::config::retry::RetryConfig;
use aws_sdk_kinesis::config::timeout::TimeoutConfig;
use aws_sdk_kinesis::config::{BehaviorVersion, Credentials, Region};
use aws_sdk_kinesis::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_kinesis::primitives::{Blob, DateTime};
use aws_sdk_kinesis::types::{PutRecordsRequestEntry, ShardFilter, ShardFilterType, ShardIteratorType};
use body::Kept;
use std::time::Duration;

/// How long one attempt of a call may take.
const ATTEMPT: Duration = Duration::from_secs(15);
/// Entries Kinesis takes in one `PutRecords` call.
pub const PUT_RECORDS_MAX: usize = 500;

/// A client of one Kinesis endpoint.
#[derive(Debug, Clone)]
pub struct Kinesis {
    client: Client,
    /// Emulators know streams by name; AWS advises ARNs.
    by_name: bool,
}

/// What became of one entry of a `PutRecords` call: `None` is stored, else the error code.
pub type PutResult = Option<String>;

impl Kinesis {
    /// Reads the AWS configuration; connects to nothing.
    pub async fn new(settings: &config::Kinesis) -> Result<Self> {
        let mut loader = aws_config::defaults(BehaviorVersion::latest())
            .retry_config(RetryConfig::disabled())
            .timeout_config(
                TimeoutConfig::builder()
                    .connect_timeout(Duration::from_secs(3))
                    .read_timeout(Duration::from_secs(10))
                    .operation_attempt_timeout(ATTEMPT)
                    .operation_timeout(Duration::from_secs(30))
                    .build(),
            );
        if !settings.region.is_empty() {
            loader = loader.region(Region::new(settings.region.clone()));
        }
        let endpoint = settings.endpoint_url.as_str();
        if !endpoint.is_empty() {
            if !endpoint.starts_with("http://") && !endpoint.starts_with("https://") {
                return Err(Error::usage("kinesis.endpoint_url must begin with http:// or https://"));
            }
            loader = loader.endpoint_url(endpoint);
            let local = ["//127.", "//localhost", "//[::1]"].iter().any(|host| endpoint.contains(host));
            if local && std::env::var_os("AWS_ACCESS_KEY_ID").is_none() {
                loader =
                    loader.credentials_provider(Credentials::new("local", "local", None, None, "loopback"));
                if settings.region.is_empty() && std::env::var_os("AWS_REGION").is_none() {
                    loader = loader.region(Region::new("us-east-1"));
                }
            }
        }
        let shared = loader.load().await;
        if shared.region().is_none() {
            return Err(Error::usage("no AWS region is configured: set kinesis.region or AWS_REGION"));
        }
        Ok(Self { client: Client::new(&shared), by_name: !endpoint.is_empty() })
    }

    /// Name and ARN as the endpoint wants them: one of the two.
    fn address(&self, stream: &Stream) -> (Option<String>, Option<String>) {
        if self.by_name { (Some(stream.name.clone()), None) } else { (None, Some(stream.arn.clone())) }
    }

    /// A stream by name or ARN. An unknown one is answered with those there are.
    pub async fn describe(&self, name_or_arn: &str) -> Result<Stream> {
        let is_arn = name_or_arn.starts_with("arn:");
        let last = name_or_arn.rsplit('/').next().unwrap_or(name_or_arn);
        let request = self.client.describe_stream_summary();
        let request =
            if is_arn && !self.by_name { request.stream_arn(name_or_arn) } else { request.stream_name(last) };
        let output = match request.send().await.map_err(|e| failure("describing the stream", &e)) {
            Ok(output) => output,
            Err(error) if error.code.as_deref() == Some("ResourceNotFoundException") => {
                return Err(self.unknown_stream(name_or_arn).await);
            }
            Err(error) => return Err(error),
        };
        let summary =
            output.stream_description_summary.ok_or_else(|| Error::end("the stream has no description"))?;
        Ok(Stream {
            name: summary.stream_name,
            label: summary.stream_arn.clone(),
            arn: summary.stream_arn,
            open_shards: summary.open_shard_count,
            retention_hours: summary.retention_period_hours,
            ignores_keys: summary.record_distribution_strategy.is_some_and(|s| s.as_str() == "AUTO"),
        })
    }

    async fn unknown_stream(&self, name: &str) -> Error {
        let existing = match self.client.list_streams().limit(100).send().await {
            Ok(output) if !output.stream_names.is_empty() => {
                format!("there are {}", output.stream_names.join(", "))
            }
            Ok(_) => "there is none".to_owned(),
            Err(_) => "the streams there are may not be listed".to_owned(),
        };
        let mut error = Error::usage(format!("stream \"{name}\" does not exist: {existing}"));
        error.code = Some("ResourceNotFoundException".to_owned());
        error
    }

    /// Shards of a stream, all pages.
    pub async fn list_shards(&self, stream: &Stream, listing: Listing) -> Result<Vec<Shard>> {
        let filter = match listing {
            Listing::All => None,
            Listing::Open => Some(ShardFilter::builder().r#type(ShardFilterType::AtLatest)),
            Listing::OpenAt(us) => {
                Some(ShardFilter::builder().r#type(ShardFilterType::AtTimestamp).timestamp(timestamp(us)))
            }
        };
        let filter = filter
            .map(aws_sdk_kinesis::types::builders::ShardFilterBuilder::build)
            .transpose()
            .map_err(|e| Error::end(format!("listing shards: {e}")))?;
        let (name, arn) = self.address(stream);
        let mut request =
            self.client.list_shards().set_stream_name(name).set_stream_arn(arn).set_shard_filter(filter);
        let mut shards = Vec::new();
        loop {
            let output = request.send().await.map_err(|e| failure("listing shards", &e))?;
            for shard in output.shards.unwrap_or_default() {
                let parents =
                    shard.parent_shard_id.into_iter().chain(shard.adjacent_parent_shard_id).collect();
                shards.push(Shard { id: shard.shard_id, parents });
            }
            let Some(token) = output.next_token else { return Ok(shards) };
            // The token stands for everything else in the request.
            request = self.client.list_shards().next_token(token);
        }
    }

    /// An iterator that reads from a position on.
    pub async fn iterator(&self, stream: &Stream, shard: &str, position: &Position) -> Result<String> {
        let (name, arn) = self.address(stream);
        let request =
            self.client.get_shard_iterator().set_stream_name(name).set_stream_arn(arn).shard_id(shard);
        let request = match position {
            Position::TrimHorizon => request.shard_iterator_type(ShardIteratorType::TrimHorizon),
            Position::At(us) => {
                request.shard_iterator_type(ShardIteratorType::AtTimestamp).timestamp(timestamp(*us))
            }
            Position::Record(number) => request
                .shard_iterator_type(ShardIteratorType::AtSequenceNumber)
                .starting_sequence_number(number),
            Position::After(number) => request
                .shard_iterator_type(ShardIteratorType::AfterSequenceNumber)
                .starting_sequence_number(number),
        };
        let output =
            request.send().await.map_err(|e| failure("making a shard iterator", &e)).map_err(gone)?;
        output.shard_iterator.ok_or_else(|| Error::new(Kind::Retry, "no shard iterator came back"))
    }

    /// The next page.
    pub async fn records(&self, stream: &Stream, iterator: &str, limit: u32) -> Result<Page> {
        let limit = i32::try_from(limit).unwrap_or(10_000);
        let request = self.client.get_records().shard_iterator(iterator).limit(limit);
        let request = if self.by_name { request } else { request.stream_arn(&stream.arn) };
        let kept = Kept::default();
        let request = request.customize().interceptor(kept.clone());
        request.send().await.map_err(|e| failure("reading records", &e))?;
        let body = kept.read(ATTEMPT).await?;
        // (not where others wait for the network)
        tokio::task::spawn_blocking(move || page::read(&body.into_bytes()))
            .await
            .map_err(|e| Error::end(format!("reading records broke off: {e}")))?
            .map_err(|e| broken_answer(&format!("it is not understood: {e}")))
    }

    /// Puts records; each entry of the answer belongs to the entry at its place.
    pub async fn put(&self, stream: &Stream, entries: &[(String, Vec<u8>)]) -> Result<Vec<PutResult>> {
        let (name, arn) = self.address(stream);
        let mut request = self.client.put_records().set_stream_name(name).set_stream_arn(arn);
        for (key, data) in entries {
            let entry = PutRecordsRequestEntry::builder().partition_key(key).data(Blob::new(data.clone()));
            request =
                request.records(entry.build().map_err(|e| Error::end(format!("putting records: {e}")))?);
        }
        let output = request.send().await.map_err(|e| failure("putting records", &e))?;
        Ok(output.records.into_iter().map(|entry| entry.error_code).collect())
    }
}

/// A shard that is listed no more has expired with all its records; the stream itself is another matter, which
/// listing its shards will tell.
fn gone(error: Error) -> Error {
    let gone = error.code.as_deref() == Some("ResourceNotFoundException");
    if gone { Error { kind: Kind::GiveUpShard, ..error } } else { error }
}

fn timestamp(us: i64) -> DateTime {
    DateTime::from_millis(us.div_euclid(1000) + EPOCH_2000 * 1000)
}

fn micros(time: DateTime) -> Option<i64> {
    let seconds = time.secs().checked_sub(EPOCH_2000)?;
    // (the SDK has it from a floating-point number, which may lie a little below)
    seconds.checked_mul(1_000_000)?.checked_add(i64::from(time.subsec_nanos().saturating_add(500) / 1000))
}

/// An answer that came and is of no use: asking again may help.
fn broken_answer(why: &str) -> Error {
    let code = "ResponseError".to_owned();
    Error {
        code: Some(code),
        ..Error::new(Kind::Retry, format!("reading records: the answer is of no use: {why}"))
    }
}

/// A failure of the SDK as an error of ours: the one place where this happens.
fn failure<E: ProvideErrorMetadata + std::error::Error + 'static>(what: &str, error: &SdkError<E>) -> Error {
    let code = match error {
        SdkError::ServiceError(service) => {
            let status = service.raw().status().as_u16();
            match service.err().code() {
                Some(code) => code.to_owned(),
                None => format!("HTTP {status}"),
            }
        }
        SdkError::TimeoutError(_) => "Timeout".to_owned(),
        SdkError::DispatchFailure(_) => "DispatchFailure".to_owned(),
        SdkError::ResponseError(_) => "ResponseError".to_owned(),
        _ => "ConstructionFailure".to_owned(),
    };
    let mut text = match error {
        SdkError::ServiceError(service) => service.err().message().unwrap_or("no message").to_owned(),
        _ => String::new(),
    };
    if text.is_empty() {
        let mut source: Option<&dyn std::error::Error> = Some(error);
        let mut parts = Vec::new();
        while let Some(cause) = source {
            parts.push(cause.to_string());
            source = cause.source();
        }
        text = parts.join(": ");
    }
    let kind = if code == "ConstructionFailure" { Kind::End } else { kind_of_aws(&code) };
    Error { code: Some(code.clone()), ..Error::new(kind, format!("{what}: {code}: {text}")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_convert_both_ways() {
        for us in [0, 1_000, 820_000_000_123_000, -946_684_800_000_000] {
            assert_eq!(micros(timestamp(us)), Some(us));
        }
    }
}
