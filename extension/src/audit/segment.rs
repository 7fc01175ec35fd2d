//! Rows that a statement has brought or taken away and that are not written yet, and when they are: before the next
//! statements' pile up, at the end of the (sub)transaction at the latest.

use std::cell::RefCell;
use std::rc::Rc;

use pgrx::pg_sys;
use strata_core::chunk::{CHUNK_ROWS_MAX, Entry};

use super::target::Target;
use super::{history, write};

/// Segments kept open at most.
const SEGMENTS_MAX: usize = 8;
/// Old versions, and bytes of them, kept at most.
const OLD_ROWS_MAX: usize = 1000;
const OLD_BYTES_MAX: usize = 1 << 20;

/// What was done to rows.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Operation {
    Insert,
    Update,
    Delete,
    Truncate,
    Baseline,
    BaselineMore,
}

impl Operation {
    pub fn name(self) -> &'static str {
        match self {
            Self::Insert => "insert",
            Self::Update => "update",
            Self::Delete => "delete",
            Self::Truncate => "truncate",
            Self::Baseline => strata_core::chunk::BASELINE,
            Self::BaselineMore => "baseline_more",
        }
    }
}

impl Operation {
    /// What a row of history has of it.
    pub fn letter(self) -> u8 {
        match self {
            Self::Update => b'U',
            Self::Truncate => b'T',
            _ => b'D',
        }
    }
}

/// A chunk in the making.
pub struct Segment {
    pub target: Rc<Target>,
    pub operation: Operation,
    /// Which statement, by its command id.
    command: pg_sys::CommandId,
    pub role: pg_sys::Oid,
    /// The subtransaction that is to write it.
    subtransaction: pg_sys::SubTransactionId,
    pub chunk_id: i64,
    /// What its rows bear for an xmin, if a subtransaction wrote them.
    pub tuple_xid: Option<pg_sys::TransactionId>,
    pub xid: u64,
    pub changed_at: i64,
    pub context: Option<String>,
    pub added: Vec<Entry>,
    pub removed: Vec<Entry>,
    old_rows: Vec<pg_sys::HeapTuple>,
    old_bytes: usize,
}

thread_local! {
    static SEGMENTS: RefCell<Vec<Segment>> = const { RefCell::new(Vec::new()) };
}

// What only reads a variable of the backend, and runs for every row: without the guard of pgrx's bindings.
unsafe extern "C-unwind" {
    fn GetUserId() -> pg_sys::Oid;
    fn GetCurrentSubTransactionId() -> pg_sys::SubTransactionId;
}

/// Hands the segment of a statement to `take`, made if there is none yet, and writes it when it is full.
pub unsafe fn with_segment(
    target: &Rc<Target>,
    operation: Operation,
    command: pg_sys::CommandId,
    take: impl FnOnce(&mut Segment),
) {
    unsafe {
        let (role, subtransaction) = (GetUserId(), GetCurrentSubTransactionId());
        let place = SEGMENTS.with_borrow(|segments| {
            segments.iter().rposition(|segment| {
                segment.command == command
                    && segment.operation == operation
                    && segment.target.audit_id == target.audit_id
                    && segment.role == role
                    && segment.subtransaction == subtransaction
            })
        });
        let place = place.unwrap_or_else(|| begin(target, operation, command, role, subtransaction));
        let full = SEGMENTS.with_borrow_mut(|segments| {
            let segment = &mut segments[place];
            take(segment);
            (
                segment.added.len().max(segment.removed.len()) >= CHUNK_ROWS_MAX,
                segment.old_rows.len() >= OLD_ROWS_MAX || segment.old_bytes >= OLD_BYTES_MAX,
            )
        });
        if full.0 {
            let mut segment = SEGMENTS.with_borrow_mut(|segments| segments.remove(place));
            segment.write();
        } else if full.1 {
            // (writing may look things up, and must not find the list borrowed)
            let (target, rows) = SEGMENTS.with_borrow_mut(|segments| segments[place].take_old_rows());
            history::write(&target, &rows);
        }
    }
}

unsafe fn begin(
    target: &Rc<Target>,
    operation: Operation,
    command: pg_sys::CommandId,
    role: pg_sys::Oid,
    subtransaction: pg_sys::SubTransactionId,
) -> usize {
    unsafe {
        if SEGMENTS.with_borrow(Vec::len) >= SEGMENTS_MAX {
            flush_subtransaction(subtransaction);
        }
        let segment = Segment {
            target: target.clone(),
            operation,
            command,
            role,
            subtransaction,
            chunk_id: write::next_chunk_id(),
            tuple_xid: xid_of_subtransaction(),
            xid: pg_sys::GetTopFullTransactionId().value,
            changed_at: pg_sys::GetCurrentTimestamp(),
            context: write::context(),
            added: Vec::new(),
            removed: Vec::new(),
            old_rows: Vec::new(),
            old_bytes: 0,
        };
        SEGMENTS.with_borrow_mut(|segments| {
            segments.push(segment);
            segments.len() - 1
        })
    }
}

unsafe fn xid_of_subtransaction() -> Option<pg_sys::TransactionId> {
    unsafe {
        let xid = pg_sys::GetCurrentTransactionId();
        (xid != pg_sys::GetTopTransactionId()).then_some(xid)
    }
}

impl Segment {
    /// Keeps an old version until it is written; it lies in memory of the transaction.
    pub unsafe fn keep_old_row(&mut self, row: pg_sys::HeapTuple) {
        self.old_bytes += unsafe { (*row).t_len } as usize;
        self.old_rows.push(row);
    }

    fn take_old_rows(&mut self) -> (Rc<Target>, Vec<pg_sys::HeapTuple>) {
        self.old_bytes = 0;
        (self.target.clone(), std::mem::take(&mut self.old_rows))
    }

    unsafe fn write(&mut self) {
        unsafe {
            write::chunk(self);
            let (target, rows) = self.take_old_rows();
            history::write(&target, &rows);
        }
    }
}

/// Writes what belongs to a subtransaction. What an outer one has waiting stays: it would go with the inner one.
unsafe fn flush_subtransaction(subtransaction: pg_sys::SubTransactionId) {
    flush_where(|segment| segment.subtransaction == subtransaction);
}

/// Writes all that this subtransaction has waiting, so that a query to come sees it.
pub unsafe fn flush() {
    unsafe { flush_subtransaction(GetCurrentSubTransactionId()) };
}

fn flush_where(belongs: impl Fn(&Segment) -> bool) {
    let mut ready = Vec::new();
    SEGMENTS.with_borrow_mut(|segments| {
        let mut kept = Vec::new();
        for segment in segments.drain(..) {
            if belongs(&segment) { ready.push(segment) } else { kept.push(segment) }
        }
        *segments = kept;
    });
    for mut segment in ready {
        // SAFETY: on the backend's main thread, inside the transaction the rows belong to.
        unsafe { segment.write() };
    }
}

/// The end of a transaction: everything is written before it commits or is prepared.
pub fn on_transaction(event: pg_sys::XactEvent::Type) {
    use pg_sys::XactEvent::{
        XACT_EVENT_ABORT, XACT_EVENT_COMMIT, XACT_EVENT_PRE_COMMIT, XACT_EVENT_PRE_PREPARE,
        XACT_EVENT_PREPARE,
    };
    match event {
        XACT_EVENT_PRE_COMMIT | XACT_EVENT_PRE_PREPARE => flush_where(|_| true),
        XACT_EVENT_COMMIT | XACT_EVENT_ABORT | XACT_EVENT_PREPARE => SEGMENTS.with_borrow_mut(Vec::clear),
        _ => {}
    }
}

/// The end of a subtransaction: what it did is undone, or is its parent's from now on.
pub fn on_subtransaction(
    event: pg_sys::SubXactEvent::Type,
    mine: pg_sys::SubTransactionId,
    parent: pg_sys::SubTransactionId,
) {
    SEGMENTS.with_borrow_mut(|segments| match event {
        pg_sys::SubXactEvent::SUBXACT_EVENT_ABORT_SUB => {
            segments.retain(|segment| segment.subtransaction != mine);
        }
        pg_sys::SubXactEvent::SUBXACT_EVENT_COMMIT_SUB => {
            for segment in segments.iter_mut().filter(|segment| segment.subtransaction == mine) {
                segment.subtransaction = parent;
            }
        }
        _ => {}
    });
}
