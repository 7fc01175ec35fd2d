//! Takes the body of an answer out of the SDK's hands, for those to read who do it with less. Its connections,
//! signatures, time limits and errors stay the SDK's. Never: what the body means.

use super::broken_answer;
use crate::error::Result;
use aws_sdk_kinesis::config::interceptors::BeforeDeserializationInterceptorContextMut;
use aws_sdk_kinesis::config::{ConfigBag, Intercept, RuntimeComponents};
use aws_sdk_kinesis::error::BoxError;
use aws_smithy_types::body::SdkBody;
use aws_smithy_types::byte_stream::{AggregatedBytes, ByteStream};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// What the SDK finds in place of the body.
const EMPTY: &str = r#"{"Records":[]}"#;

/// The body of one answer; an interceptor of its call.
#[derive(Debug, Clone, Default)]
pub(super) struct Kept(Arc<Mutex<Option<SdkBody>>>);

impl Intercept for Kept {
    fn name(&self) -> &'static str {
        "Kept"
    }

    fn modify_before_deserialization(
        &self,
        context: &mut BeforeDeserializationInterceptorContextMut<'_>,
        _: &RuntimeComponents,
        _: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        let response = context.response_mut();
        // What is refused is for the SDK to explain.
        if response.status().is_success() {
            let body = std::mem::replace(response.body_mut(), SdkBody::from(EMPTY));
            *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(body);
        }
        Ok(())
    }
}

impl Kept {
    /// The whole body, once the call has come back.
    pub async fn read(&self, timeout: Duration) -> Result<AggregatedBytes> {
        let body = self.0.lock().unwrap_or_else(PoisonError::into_inner).take();
        let body = body.ok_or_else(|| broken_answer("it has no body"))?;
        match tokio::time::timeout(timeout, ByteStream::new(body).collect()).await {
            Ok(Ok(whole)) => Ok(whole),
            Ok(Err(error)) => Err(broken_answer(&format!("it broke off: {error}"))),
            Err(_) => Err(broken_answer("it did not come in time")),
        }
    }
}
