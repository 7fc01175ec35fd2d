//! Who calls. A SECURITY DEFINER function cannot see its caller, and `session_user` is not it (a superuser may be
//! running somebody else's index expression). So public functions run with the caller's rights, check them here, and
//! leave a permit that exactly one privileged function takes. Never here: what the right is used for.

use std::cell::Cell;

use pgrx::pg_sys;
use pgrx::prelude::*;

use crate::catalog;
use crate::errors::raise;

#[derive(Clone, Copy, PartialEq, Eq)]
enum Privilege {
    Owner,
    Ingest,
    Insert,
    Select,
    /// To see old versions of all rows.
    History,
}

thread_local! {
    static PERMIT: Cell<Option<(pg_sys::Oid, Privilege)>> = const { Cell::new(None) };
}

/// `strata._authorize(relation regclass, privilege text) RETURNS regclass`
#[pg_extern(sql = false)]
fn authorize(relation: pg_sys::Oid, privilege: &str) -> pg_sys::Oid {
    let privilege = parse(privilege);
    require(relation, privilege);
    PERMIT.set(Some((relation, privilege)));
    relation
}

/// An error unless the calling role may see old versions of all rows of a relation.
pub fn require_history(relation: pg_sys::Oid) {
    require(relation, Privilege::History);
}

fn require(relation: pg_sys::Oid, privilege: Privilege) {
    if !has_right(relation, privilege) {
        let name = catalog::relation_name(relation);
        let (detail, hint) = match privilege {
            Privilege::Owner => {
                ("It takes ownership of the table.", "Ask its owner, or SET ROLE to the owning role.")
            }
            Privilege::Ingest => (
                "It takes ownership of the table, or the right to run ingestion into it.",
                "Its owner can run: SELECT strata.grant_ingest('<table>', '<role>');",
            ),
            Privilege::Insert => (
                "It takes the INSERT privilege on the table.",
                "Its owner can run: GRANT INSERT ON <table> TO <role>;",
            ),
            Privilege::History => (
                "It takes the SELECT privilege on the table, and no policy that hides rows of it.",
                "Ask its owner: old versions of rows have no policies.",
            ),
            Privilege::Select => (
                "It takes the SELECT privilege on the rollup.",
                "Its owner can run: GRANT SELECT ON <rollup> TO <role>;",
            ),
        };
        raise(
            PgSqlErrorCode::ERRCODE_INSUFFICIENT_PRIVILEGE,
            match privilege {
                Privilege::Select => format!("permission denied for rollup \"{name}\""),
                Privilege::History => format!("permission denied for the history of \"{name}\""),
                _ => format!("permission denied for table \"{name}\""),
            },
            detail,
            hint,
        );
    }
}

/// `strata._authorized(relation regclass, privilege text) RETURNS void`
#[pg_extern(sql = false)]
fn authorized(relation: pg_sys::Oid, privilege: &str) {
    if PERMIT.take() != Some((relation, parse(privilege))) {
        raise(
            PgSqlErrorCode::ERRCODE_INSUFFICIENT_PRIVILEGE,
            "permission denied for an inner function of pg_strata",
            "It runs only from the public function that checks the caller's rights.",
            "Call the public function of the same name, without the leading underscore.",
        );
    }
}

/// `strata._may(relation regclass, privilege text) RETURNS boolean`
#[pg_extern(sql = false)]
fn may(relation: pg_sys::Oid, privilege: &str) -> bool {
    has_right(relation, parse(privilege))
}

/// Permits end with the (sub)transaction that failed, so that none is left lying for somebody else's code.
pub fn forget_permit() {
    PERMIT.set(None);
}

fn parse(privilege: &str) -> Privilege {
    match privilege {
        "OWNER" => Privilege::Owner,
        "INGEST" => Privilege::Ingest,
        "INSERT" => Privilege::Insert,
        "SELECT" => Privilege::Select,
        "HISTORY" => Privilege::History,
        other => raise(
            PgSqlErrorCode::ERRCODE_INVALID_PARAMETER_VALUE,
            format!("unknown privilege \"{other}\""),
            "",
            "Privileges are OWNER, INGEST, INSERT, SELECT and HISTORY.",
        ),
    }
}

/// Whether policies of a relation apply to the calling role.
fn has_policies(relation: pg_sys::Oid) -> bool {
    // SAFETY: catalog look-ups by OID on the backend's main thread, inside a transaction.
    let applied = unsafe { pg_sys::check_enable_rls(relation, pg_sys::InvalidOid, true) };
    applied.cast_unsigned() == pg_sys::CheckEnableRlsResult::RLS_ENABLED
}

fn has_right(relation: pg_sys::Oid, privilege: Privilege) -> bool {
    // SAFETY: catalog look-ups by OID on the backend's main thread, inside a transaction.
    unsafe {
        let user = pg_sys::GetUserId();
        match privilege {
            Privilege::Select => return catalog::may_select(relation, user),
            Privilege::History => return catalog::may_select(relation, user) && !has_policies(relation),
            _ => {}
        }
        let Some(owner) = catalog::owner_of(relation) else { return false };
        pg_sys::has_privs_of_role(user, owner)
            || (privilege != Privilege::Owner && catalog::is_ingest_granted(relation, user))
            || (privilege == Privilege::Insert && catalog::may_insert(relation, user))
    }
}
