//! Raising errors of PostgreSQL's own SQLSTATEs. Codes of class ST are raised in SQL, above Rust: the binding layer
//! knows only the codes PostgreSQL ships with.

use pgrx::pg_sys::panic::ErrorReport;
use pgrx::prelude::*;

/// Ends the statement with an error. Empty detail or hint are left out.
pub fn raise(code: PgSqlErrorCode, message: impl Into<String>, detail: &str, hint: &str) -> ! {
    let mut report = ErrorReport::new(code, message.into(), "pg_strata");
    if !detail.is_empty() {
        report = report.set_detail(detail);
    }
    if !hint.is_empty() {
        report = report.set_hint(hint);
    }
    report.report(PgLogLevel::ERROR);
    unreachable!("a report at ERROR does not return")
}
