//! Rows of the log, written by direct heap and index insert: whoever changes a table has no right on it. Never here:
//! which rows, and when.

use std::cell::OnceCell;
use std::ffi::CStr;
use std::rc::Rc;

use pgrx::pg_sys;
use pgrx::prelude::*;
use strata_core::chunk::{Entry, Record, Rows};

use super::segment::Segment;
use super::target::Target;
use crate::{batch, catalog};

/// Columns of `strata._audit_chunks`; `sql/schema/11_audit.sql` declares them in this order.
pub const CHUNK_COLUMNS: usize = 23;

/// Who changes something, as the log has it.
struct Who {
    session: Option<String>,
    role: Option<String>,
    application: Option<String>,
    client: Option<String>,
}

/// A row of the log.
struct Chunk<'row> {
    id: i64,
    audit_id: i32,
    uuid: [u8; 16],
    operation: &'row str,
    schema: u32,
    changed_at: i64,
    tuple_xid: Option<pg_sys::TransactionId>,
    role: pg_sys::Oid,
    context: Option<&'row str>,
    detail: Option<&'row str>,
    added: &'row mut Vec<Entry>,
    removed: &'row mut Vec<Entry>,
}

/// The next chunk's id. The transaction has its own by then: the sealer's horizon rests on that.
pub unsafe fn next_chunk_id() -> i64 {
    unsafe {
        pg_sys::GetTopTransactionId();
        let Some(sequence) = catalog::our_table(c"_audit_chunk_id_seq") else {
            pgrx::error!("pg_strata was dropped in this transaction")
        };
        batch::nextval_internal(sequence, false)
    }
}

/// What the application says of itself, for this transaction.
pub unsafe fn context() -> Option<String> {
    unsafe {
        let value = pg_sys::GetConfigOption(c"strata.audit_context".as_ptr(), true, false);
        text(value).filter(|value| !value.is_empty())
    }
}

unsafe fn text(value: *const std::ffi::c_char) -> Option<String> {
    (!value.is_null()).then(|| unsafe { CStr::from_ptr(value) }.to_string_lossy().into_owned())
}

thread_local! {
    static CLIENT: OnceCell<Option<String>> = const { OnceCell::new() };
}

/// Where the client is; none if it came through a socket of the machine.
unsafe fn client_address() -> Option<String> {
    let address: Option<pgrx::Inet> = unsafe { pgrx::direct_function_call(pg_sys::inet_client_addr, &[]) };
    address.map(|address| address.0)
}

unsafe fn who(role: pg_sys::Oid) -> Who {
    unsafe {
        Who {
            session: text(pg_sys::GetUserNameFromId(pg_sys::GetSessionUserId(), true)),
            role: text(pg_sys::GetUserNameFromId(role, true)),
            application: text(pg_sys::application_name).filter(|name| !name.is_empty()),
            client: CLIENT.with(|client| client.get_or_init(|| client_address()).clone()),
        }
    }
}

/// Writes the chunk of a segment.
pub unsafe fn chunk(segment: &mut Segment) {
    let target = segment.target.clone();
    let chunk = Chunk {
        id: segment.chunk_id,
        audit_id: target.audit_id,
        uuid: target.uuid,
        operation: segment.operation.name(),
        schema: target.encoder.schema(),
        changed_at: segment.changed_at,
        tuple_xid: segment.tuple_xid,
        role: segment.role,
        context: segment.context.as_deref(),
        detail: None,
        added: &mut segment.added,
        removed: &mut segment.removed,
    };
    unsafe { insert_chunk(chunk) };
}

/// Writes rows that all came or all went, without a segment; leaves `entries` empty.
pub unsafe fn rows(
    target: &Rc<Target>,
    operation: &str,
    detail: Option<&str>,
    come: bool,
    entries: &mut Vec<Entry>,
) {
    let mut none = Vec::new();
    let (added, removed) = if come { (entries, &mut none) } else { (&mut none, entries) };
    unsafe {
        write(target.audit_id, target.uuid, target.encoder.schema(), operation, detail, added, removed);
    }
}

/// Writes rows of a table that need not be there any more; leaves both empty.
pub unsafe fn plain(
    audit_id: i32,
    uuid: [u8; 16],
    operation: &str,
    detail: Option<&str>,
    added: &mut Vec<Entry>,
    removed: &mut Vec<Entry>,
) -> i64 {
    unsafe { write(audit_id, uuid, 0, operation, detail, added, removed) }
}

unsafe fn write(
    audit_id: i32,
    uuid: [u8; 16],
    schema: u32,
    operation: &str,
    detail: Option<&str>,
    added: &mut Vec<Entry>,
    removed: &mut Vec<Entry>,
) -> i64 {
    unsafe {
        let context = context();
        let id = next_chunk_id();
        insert_chunk(Chunk {
            id,
            audit_id,
            uuid,
            operation,
            schema,
            changed_at: pg_sys::GetCurrentTimestamp(),
            tuple_xid: None,
            role: pg_sys::GetUserId(),
            context: context.as_deref(),
            detail,
            added,
            removed,
        });
        added.clear();
        removed.clear();
        id
    }
}

/// Writes a chunk without rows: something that happened to the table or the log.
pub unsafe fn event(audit_id: i32, uuid: [u8; 16], operation: &str, detail: Option<&str>) -> i64 {
    unsafe { plain(audit_id, uuid, operation, detail, &mut Vec::new(), &mut Vec::new()) }
}

unsafe fn insert_chunk(chunk: Chunk) {
    unsafe {
        // dropped in this very transaction: there is no log any more
        let Some(table) = catalog::our_table(c"_audit_chunks") else { return };
        let lock = pg_sys::RowExclusiveLock as pg_sys::LOCKMODE;
        let log = pg_sys::table_open(table, lock);
        if usize::try_from((*(*log).rd_att).natts).ok() != Some(CHUNK_COLUMNS) {
            pgrx::error!("the library of pg_strata does not fit the audit log of this database");
        }
        let who = who(chunk.role);
        let (added, removed) = (Rows::of(chunk.added), Rows::of(chunk.removed));
        let mut values = [pg_sys::Datum::from(0); CHUNK_COLUMNS];
        let mut nulls = [false; CHUNK_COLUMNS];
        let mut put = |place: usize, datum: Option<pg_sys::Datum>| {
            nulls[place] = datum.is_none();
            values[place] = datum.unwrap_or(pg_sys::Datum::from(0));
        };
        put(0, chunk.id.into_datum());
        put(1, chunk.audit_id.into_datum());
        put(2, pgrx::datum::Uuid::from_bytes(chunk.uuid).into_datum());
        put(3, chunk.operation.into_datum());
        put(4, chunk.schema.cast_signed().into_datum());
        put(5, chunk.changed_at.into_datum());
        put(6, Some(pg_sys::Datum::from(pg_sys::GetTopFullTransactionId().value)));
        put(7, pg_sys::GetSystemIdentifier().cast_signed().into_datum());
        put(8, who.session.into_datum());
        put(9, who.role.into_datum());
        put(10, who.application.into_datum());
        put(11, who.client.into_datum());
        put(12, chunk.context.into_datum());
        put(13, chunk.detail.into_datum());
        put(22, chunk.tuple_xid.map(|xid| pg_sys::Datum::from(xid.into_inner())));
        for (place, rows, entries) in [(14, added, chunk.added), (17, removed, chunk.removed)] {
            let some = !entries.is_empty();
            put(place, rows.count.cast_signed().into_datum());
            put(place + 1, some.then(|| rows.root.as_slice().into_datum()).flatten());
            put(place + 2, some.then(|| rows.keys.as_slice().into_datum()).flatten());
            let stored = if place == 14 { 20 } else { 21 };
            put(stored, some.then(|| entries.as_flattened().into_datum()).flatten());
        }
        let tuple = pg_sys::heap_form_tuple((*log).rd_att, values.as_mut_ptr(), nulls.as_mut_ptr());
        pg_sys::CatalogTupleInsert(log, tuple);
        pg_sys::heap_freetuple(tuple);
        for place in [20, 21] {
            if !nulls[place] {
                pg_sys::pfree(values[place].cast_mut_ptr());
            }
        }
        pg_sys::table_close(log, lock);
    }
}

/// What the log's leaf of a stored chunk is, from its columns in the order of the table.
pub fn leaf_of(chunk: &StoredChunk) -> [u8; 32] {
    Record {
        chunk_id: chunk.id.cast_unsigned(),
        table: chunk.uuid,
        operation: &chunk.operation,
        schema: chunk.schema.cast_unsigned(),
        changed_at: chunk.changed_at,
        xid: chunk.xid,
        system_identifier: chunk.system_identifier.cast_unsigned(),
        added: chunk.added.clone(),
        removed: chunk.removed.clone(),
        texts: std::array::from_fn(|place| chunk.texts[place].as_deref()),
    }
    .leaf()
}

/// A row of the log as it was read.
pub struct StoredChunk {
    pub id: i64,
    pub uuid: [u8; 16],
    pub operation: String,
    pub schema: i32,
    pub changed_at: i64,
    pub xid: u64,
    pub system_identifier: i64,
    pub texts: [Option<String>; 6],
    pub added: Rows,
    pub removed: Rows,
}
