//! What a call can be refused with, spelled as the service spells it.
//! Only names, HTTP statuses and messages: the wire form is made in `http`.

use std::fmt::Display;

/// A refused call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// The exception's name in the service model.
    pub code: &'static str,
    /// HTTP status.
    pub status: u16,
    /// What a person reads.
    pub message: String,
    /// Close the connection without an answer; only injected faults do that.
    pub reset: bool,
}

/// Result of an operation.
pub type Result<T> = std::result::Result<T, Refusal>;

fn refuse(code: &'static str, status: u16, message: impl Display) -> Refusal {
    Refusal { code, status, message: message.to_string(), reset: false }
}

impl Refusal {
    /// A value breaks a rule of the operation.
    pub fn invalid_argument(message: impl Display) -> Self {
        refuse("InvalidArgumentException", 400, message)
    }

    /// A value breaks a constraint of the service model.
    pub fn validation(message: impl Display) -> Self {
        refuse("ValidationException", 400, format!("1 validation error detected: {message}"))
    }

    /// The body is not the JSON that the operation takes.
    pub fn serialization(message: impl Display) -> Self {
        refuse("SerializationException", 400, message)
    }

    /// No such stream or shard.
    pub fn not_found(message: impl Display) -> Self {
        refuse("ResourceNotFoundException", 400, message)
    }

    /// The name is taken.
    pub fn in_use(message: impl Display) -> Self {
        refuse("ResourceInUseException", 400, message)
    }

    /// Beyond what an account or a stream may have.
    pub fn limit(message: impl Display) -> Self {
        refuse("LimitExceededException", 400, message)
    }

    /// Too fast for the shard.
    pub fn throttled(message: impl Display) -> Self {
        refuse("ProvisionedThroughputExceededException", 400, message)
    }

    /// The iterator is too old.
    pub fn expired_iterator(message: impl Display) -> Self {
        refuse("ExpiredIteratorException", 400, message)
    }

    /// The page token is too old.
    pub fn expired_token(message: impl Display) -> Self {
        refuse("ExpiredNextTokenException", 400, message)
    }

    /// The call would have been carried out.
    pub fn dry_run() -> Self {
        refuse("DryRunOperationException", 400, "Request would have succeeded, but DryRun flag is set.")
    }

    /// Not an operation of this endpoint.
    pub fn unknown_operation() -> Self {
        refuse("UnknownOperationException", 400, "The operation is unknown to this endpoint.")
    }

    /// The service's own failure; only injected faults do that.
    pub fn internal() -> Self {
        refuse(
            "InternalFailureException",
            500,
            "The request processing has failed because of an internal error.",
        )
    }

    /// No answer at all.
    pub fn reset() -> Self {
        Self { reset: true, ..refuse("ConnectionReset", 500, "the connection is reset") }
    }
}
