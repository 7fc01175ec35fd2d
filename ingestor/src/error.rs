//! The one error type of the sidecar. An error has a *kind*, and the kind decides what happens next: every
//! SQLSTATE and every AWS error code is mapped to a kind here and nowhere else.
//! Never: retry loops, logging.

use std::fmt;
use std::process::ExitCode;

/// What to do about an error.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Wait with jittered backoff and try again, for as long as it takes.
    Retry,
    /// The iterator is too old: make a new one from the last sequence number.
    Iterator,
    /// The shard is no longer ours: drop what was read of it, go on with the others.
    GiveUpShard,
    /// A row's data is at fault: set the record aside, go on with the rest.
    SetAside,
    /// The table is not what it was planned for: plan it anew, and go on from its checkpoints.
    Replan,
    /// Nothing that waiting would mend: end, with exit code 1.
    End,
    /// Wrong usage or configuration: exit code 2.
    Usage,
    /// A check did not hold: exit code 3.
    Check,
}

/// An error with its kind, the SQLSTATE or AWS code it came from, and the place it names.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{message}")]
pub struct Error {
    /// What to do about it.
    pub kind: Kind,
    /// What could not be done and why, with what hint there is.
    pub message: String,
    /// SQLSTATE or AWS error code.
    pub code: Option<String>,
    /// Line of the COPY the server named, counted from 1.
    pub line: Option<u64>,
    /// Column the server named.
    pub column: Option<String>,
    /// The server has no partition for the row: there was one when it was prepared for, so that it may have gone with a
    /// crash.
    pub unplaced: bool,
    /// The connection is gone with it; what it was doing may or may not have been done.
    pub connection_lost: bool,
}

/// What functions of the sidecar return.
pub type Result<T, E = Error> = std::result::Result<T, E>;

impl Error {
    /// An error without a code.
    pub fn new(kind: Kind, message: impl fmt::Display) -> Self {
        Self {
            kind,
            message: message.to_string(),
            code: None,
            line: None,
            column: None,
            unplaced: false,
            connection_lost: false,
        }
    }

    /// Nothing that waiting would mend.
    pub fn end(message: impl fmt::Display) -> Self {
        Self::new(Kind::End, message)
    }

    /// Wrong usage or configuration.
    pub fn usage(message: impl fmt::Display) -> Self {
        Self::new(Kind::Usage, message)
    }

    /// The database knows nothing of event tables.
    pub fn no_extension() -> Self {
        Self::usage("the database has no extension pg_strata; run CREATE EXTENSION pg_strata")
    }

    /// The same error, saying first what was being done.
    #[must_use]
    pub fn while_doing(mut self, what: impl fmt::Display) -> Self {
        self.message = format!("{what}: {}", self.message);
        self
    }

    /// Whether it is the database that failed, and not the source.
    pub fn is_of_database(&self) -> bool {
        self.connection_lost || self.has_sqlstate()
    }

    fn has_sqlstate(&self) -> bool {
        let code = self.code.as_deref().unwrap_or_default();
        code.len() == 5 && code.bytes().all(|b| b.is_ascii_digit() || b.is_ascii_uppercase())
    }

    /// What kind of failure is tried again: one of a few, to count by.
    pub fn retry_kind(&self) -> &'static str {
        let code = self.code.as_deref().unwrap_or_default();
        let sqlstate = self.has_sqlstate();
        match code {
            _ if self.kind == Kind::Iterator => "expired_iterator",
            _ if self.connection_lost => "postgres_connection",
            _ if code.contains("Throughput") || code.contains("Thrott") || code.contains("LimitExceeded") => {
                "kinesis_throttled"
            }
            _ if sqlstate && matches!(&code[..2], "08" | "57" | "58") => "postgres_connection",
            _ if sqlstate && matches!(&code[..2], "40" | "55") => "postgres_conflict",
            _ if sqlstate => "postgres_other",
            "Timeout" | "DispatchFailure" | "ResponseError" => "kinesis_connection",
            "" => "other",
            _ => "kinesis_other",
        }
    }

    /// The code an orchestrator sees.
    pub fn exit_code(&self) -> ExitCode {
        ExitCode::from(match self.kind {
            Kind::Usage => 2,
            Kind::Check => 3,
            _ => 1,
        })
    }
}

/// Kind of an SQLSTATE.
pub fn kind_of_sqlstate(code: &str) -> Kind {
    let Some(class) = code.get(..2) else { return Kind::End };
    match (class, code) {
        // Wrong password, unknown database: a start with them is a wrong configuration, but a server being restored
        // or a rotated secret mends itself, so a running process waits. `check` and the first connection say Usage.
        ("28" | "3D", _) => Kind::Usage,
        // Lost, overloaded, shutting down, not there yet, read-only after a failover, out of space or connections;
        // serialization failures and deadlocks; 55P03 lock not available; statement and lock timeouts.
        // 25P03: the transaction was ended under us for idling, and its connection is gone.
        ("08" | "53" | "57" | "58" | "40", _) | (_, "25006" | "25P03" | "25P04" | "55P03" | "55006") => {
            Kind::Retry
        }
        // Data exceptions, constraints, CHECK OPTION and no partition for the row; 54000 an index row too large;
        // P0001 raised by a trigger of the user's own.
        ("22" | "23" | "44" | "54", _) | (_, "P0001") => Kind::SetAside,
        _ => Kind::End,
    }
}

/// Kind of an AWS error code, as spelled in the service model or by the HTTP layer.
pub fn kind_of_aws(code: &str) -> Kind {
    match code {
        "ExpiredIteratorException" => Kind::Iterator,
        "ResourceNotFoundException"
        | "InvalidArgumentException"
        | "ValidationException"
        | "SerializationException"
        | "UnknownOperationException"
        | "AccessDeniedException"
        | "UnrecognizedClientException"
        | "InvalidSignatureException"
        | "MissingAuthenticationTokenException"
        | "IncompleteSignatureException"
        | "KMSAccessDeniedException"
        | "KMSNotFoundException"
        | "KMSOptInRequired" => Kind::End,
        // Throttles (ProvisionedThroughputExceeded, LimitExceeded, KMSThrottling, Throttling…), KMSDisabled and
        // KMSInvalidState (mended by an operator, nothing is lost by waiting), ResourceInUse, ExpiredToken (the
        // chain renews it), 5xx, and everything the network does.
        _ => Kind::Retry,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sqlstates_have_kinds() {
        for code in ["57P01", "57P03", "08006", "53100", "53300", "40001", "40P01", "25006", "58030"] {
            assert_eq!(kind_of_sqlstate(code), Kind::Retry, "{code}");
        }
        for code in ["22003", "23502", "23505", "23514", "22P05", "54000", "P0001"] {
            assert_eq!(kind_of_sqlstate(code), Kind::SetAside, "{code}");
        }
        for code in ["42501", "42P01", "42703", "XX000", "", "4"] {
            assert_eq!(kind_of_sqlstate(code), Kind::End, "{code}");
        }
        assert_eq!(kind_of_sqlstate("28P01"), Kind::Usage);
    }

    #[test]
    fn retries_are_of_few_kinds() {
        let kind =
            |code: &str| Error { code: Some(code.to_owned()), ..Error::new(Kind::Retry, "x") }.retry_kind();
        assert_eq!(kind("ProvisionedThroughputExceededException"), "kinesis_throttled");
        assert_eq!(kind("DispatchFailure"), "kinesis_connection");
        assert_eq!(kind("HTTP 500"), "kinesis_other");
        assert_eq!(kind("57P01"), "postgres_connection");
        assert_eq!(kind("40P01"), "postgres_conflict");
        assert_eq!(kind("53100"), "postgres_other");
        assert_eq!(Error::new(Kind::Iterator, "x").retry_kind(), "expired_iterator");
        assert_eq!(Error::new(Kind::Retry, "x").retry_kind(), "other");
    }

    #[test]
    fn aws_codes_have_kinds() {
        assert_eq!(kind_of_aws("ExpiredIteratorException"), Kind::Iterator);
        assert_eq!(kind_of_aws("ProvisionedThroughputExceededException"), Kind::Retry);
        assert_eq!(kind_of_aws("InternalFailure"), Kind::Retry);
        assert_eq!(kind_of_aws("ResourceNotFoundException"), Kind::End);
        assert_eq!(kind_of_aws("AccessDeniedException"), Kind::End);
    }
}
