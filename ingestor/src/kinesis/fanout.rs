//! Enhanced fan-out: a consumer registered with a stream, and the pages that a subscription pushes. Never: retry loops.

use super::{Kinesis, failure, gone, micros, timestamp};
use crate::error::{Error, Kind, Result};
use crate::stream::{Page, Position, Records, Stream};
use aws_sdk_kinesis::error::SdkError;
use aws_sdk_kinesis::primitives::event_stream::EventReceiver;
use aws_sdk_kinesis::types::error::SubscribeToShardEventStreamError;
use aws_sdk_kinesis::types::{
    ConsumerStatus, ShardIteratorType, StartingPosition, SubscribeToShardEventStream,
};

/// A shard's records, pushed. It ends after five minutes at most.
pub struct Subscription(EventReceiver<SubscribeToShardEventStream, SubscribeToShardEventStreamError>);

impl Kinesis {
    /// The ARN of a stream's consumer of this name, registered where there is none. An error to wait out while it is not
    /// active yet.
    pub async fn consumer(&self, stream: &Stream, name: &str) -> Result<String> {
        let request = self.client.describe_stream_consumer().stream_arn(&stream.arn).consumer_name(name);
        let found = match request.send().await.map_err(|e| failure("describing the consumer", &e)) {
            Ok(found) => found.consumer_description,
            Err(error) if error.code.as_deref() == Some("ResourceNotFoundException") => {
                let request =
                    self.client.register_stream_consumer().stream_arn(&stream.arn).consumer_name(name);
                match request.send().await.map_err(|e| failure("registering the consumer", &e)) {
                    Ok(_) => tracing::info!(stream = stream.name, consumer = name, "registered the consumer"),
                    // Another worker was faster.
                    Err(error) if error.code.as_deref() == Some("ResourceInUseException") => {}
                    Err(error) => return Err(error),
                }
                None
            }
            Err(error) => return Err(error),
        };
        match found {
            Some(consumer) if consumer.consumer_status == ConsumerStatus::Active => Ok(consumer.consumer_arn),
            _ => Err(Error::new(Kind::Retry, format!("consumer \"{name}\" is not active yet"))),
        }
    }

    /// Subscribes a consumer to a shard, from a position on.
    pub async fn subscribe(&self, consumer: &str, shard: &str, position: &Position) -> Result<Subscription> {
        let start = match position {
            Position::TrimHorizon => StartingPosition::builder().r#type(ShardIteratorType::TrimHorizon),
            Position::At(us) => {
                StartingPosition::builder().r#type(ShardIteratorType::AtTimestamp).timestamp(timestamp(*us))
            }
            Position::Record(number) => StartingPosition::builder()
                .r#type(ShardIteratorType::AtSequenceNumber)
                .sequence_number(number),
            Position::After(number) => StartingPosition::builder()
                .r#type(ShardIteratorType::AfterSequenceNumber)
                .sequence_number(number),
        };
        let start = start.build().map_err(|e| Error::end(format!("subscribing to a shard: {e}")))?;
        let request = self.client.subscribe_to_shard().consumer_arn(consumer).shard_id(shard);
        let output = request.starting_position(start).send().await;
        let output = output.map_err(|e| failure("subscribing to a shard", &e)).map_err(gone)?;
        Ok(Subscription(output.event_stream))
    }
}

impl Subscription {
    /// The next page; `next` of it is where another subscription goes on, nothing at the end of the shard. `None`: the
    /// subscription is over.
    pub async fn next(&mut self) -> Result<Option<Page>> {
        loop {
            let event = match self.0.recv().await {
                Ok(Some(SubscribeToShardEventStream::SubscribeToShardEvent(event))) => event,
                Ok(Some(_)) => continue,
                Ok(None) => return Ok(None),
                Err(SdkError::ServiceError(service)) => {
                    let code = aws_sdk_kinesis::error::ProvideErrorMetadata::code(service.err())
                        .unwrap_or("SubscribeToShardFailure")
                        .to_owned();
                    let message = format!("a subscription ended: {code}: {}", service.err());
                    return Err(Error {
                        code: Some(code.clone()),
                        ..Error::new(crate::error::kind_of_aws(&code), message)
                    });
                }
                Err(error) => {
                    let message = format!("a subscription broke off: {error}");
                    return Err(Error {
                        code: Some("ResponseError".to_owned()),
                        ..Error::new(Kind::Retry, message)
                    });
                }
            };
            let ended = event.child_shards.is_some_and(|children| !children.is_empty())
                || event.continuation_sequence_number.is_empty();
            let mut records = Records::default();
            for record in event.records {
                records.payload().extend_from_slice(record.data.as_ref());
                let arrived_at = record.approximate_arrival_timestamp.and_then(micros);
                let key = record.partition_key.as_deref().unwrap_or_default();
                records.end(&record.sequence_number, key, arrived_at);
            }
            return Ok(Some(Page {
                records: records.finish(),
                next: (!ended).then_some(event.continuation_sequence_number),
                behind_ms: event.millis_behind_latest,
            }));
        }
    }
}
