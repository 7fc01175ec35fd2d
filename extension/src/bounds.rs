//! The partitions of a table: their bounds, read where PostgreSQL keeps them parsed and sorted, the relation cache; what
//! lies below them; and their size. Never here: deciding which partitions there should be.

use pgrx::pg_sys;
use pgrx::prelude::*;

unsafe extern "C-unwind" {
    fn find_all_inheritors(
        parent: pg_sys::Oid,
        lock: pg_sys::LOCKMODE,
        parents_of_each: *mut *mut pg_sys::List,
    ) -> *mut pg_sys::List;
}

const MICROS_PER_DAY: i64 = 86_400_000_000;
/// Milliseconds from 1970-01-01 to 2000-01-01.
const POSTGRES_EPOCH_MS: i64 = 946_684_800_000;

/// `strata._leaves(relation regclass, OUT partition regclass, OUT lower timestamptz, OUT upper timestamptz)`
#[pg_extern(sql = false)]
fn leaves(
    relation: pg_sys::Oid,
) -> TableIterator<
    'static,
    (name!(partition, pg_sys::Oid), name!(lower, TimestampWithTimeZone), name!(upper, TimestampWithTimeZone)),
> {
    // SAFETY: the relation cache, on the backend's main thread, inside a transaction.
    TableIterator::new(unsafe { read_leaves(relation, i64::MIN, i64::MAX) })
}

/// `strata._leaves_between(relation regclass, low timestamptz, high timestamptz, OUT partition regclass,
/// OUT lower timestamptz, OUT upper timestamptz)`
#[pg_extern(sql = false)]
fn leaves_between(
    relation: pg_sys::Oid,
    low: TimestampWithTimeZone,
    high: TimestampWithTimeZone,
) -> TableIterator<
    'static,
    (name!(partition, pg_sys::Oid), name!(lower, TimestampWithTimeZone), name!(upper, TimestampWithTimeZone)),
> {
    // SAFETY: as in `leaves`.
    TableIterator::new(unsafe { read_leaves(relation, low.into(), high.into()) })
}

unsafe fn read_leaves(
    relation: pg_sys::Oid,
    low: i64,
    high: i64,
) -> Vec<(pg_sys::Oid, TimestampWithTimeZone, TimestampWithTimeZone)> {
    unsafe {
        let lock = pg_sys::AccessShareLock as pg_sys::LOCKMODE;
        let rel = pg_sys::try_relation_open(relation, lock);
        if rel.is_null() {
            // dropped in the meantime
            return Vec::new();
        }
        let leaves = time_key(rel).map_or_else(Vec::new, |key_type| bounds(rel, key_type, low, high));
        // A catalog function like PostgreSQL's own: what it told may be out of date at once, and a view over
        // hundreds of tables must not hold hundreds of locks.
        pg_sys::relation_close(rel, lock);
        leaves
    }
}

/// The type of the one column a relation is RANGE-partitioned by, if it tells time.
unsafe fn time_key(rel: pg_sys::Relation) -> Option<pg_sys::Oid> {
    // pg_partitioned_table, by position: partstrat 2, partnatts 3, partattrs 5
    unsafe {
        if (*(*rel).rd_rel).relkind as u8 != pg_sys::RELKIND_PARTITIONED_TABLE {
            return None;
        }
        let cache = pg_sys::SysCacheIdentifier::PARTRELID as i32;
        let tuple = pg_sys::SearchSysCache1(cache, pg_sys::Datum::from((*rel).rd_id));
        if tuple.is_null() {
            return None;
        }
        let attribute = |number| {
            let mut is_null = false;
            pg_sys::SysCacheGetAttr(cache, tuple, number, &raw mut is_null)
        };
        let is_range = attribute(2).value() as u8 == b'r';
        let columns = attribute(3).value() as i16;
        let column = *(*attribute(5).cast_mut_ptr::<pg_sys::int2vector>()).values.as_ptr();
        pg_sys::ReleaseSysCache(tuple);
        // an expression has column number 0
        if !is_range || columns != 1 || column <= 0 {
            return None;
        }
        let type_oid = pg_sys::getBaseType(pg_sys::get_atttype((*rel).rd_id, column));
        [pg_sys::TIMESTAMPTZOID, pg_sys::TIMESTAMPOID, pg_sys::DATEOID, pg_sys::UUIDOID]
            .contains(&type_oid)
            .then_some(type_oid)
    }
}

unsafe fn bounds(
    rel: pg_sys::Relation,
    key_type: pg_sys::Oid,
    low: i64,
    high: i64,
) -> Vec<(pg_sys::Oid, TimestampWithTimeZone, TimestampWithTimeZone)> {
    unsafe {
        let partitions = pg_sys::RelationGetPartitionDesc(rel, true);
        if (*partitions).nparts == 0 {
            // there is no boundinfo then
            return Vec::new();
        }
        let info = (*partitions).boundinfo;
        let instant = |bound: usize| match *(*(*info).kind.add(bound)) {
            pg_sys::PartitionRangeDatumKind::PARTITION_RANGE_DATUM_MINVALUE => i64::MIN,
            pg_sys::PartitionRangeDatumKind::PARTITION_RANGE_DATUM_MAXVALUE => i64::MAX,
            _ => on_axis(*(*(*info).datums.add(bound)), key_type),
        };
        // Bounds ascend. The index beside a bound names the partition that ends there, -1 where a gap or nothing
        // does; it begins at the bound before.
        (1..(*info).ndatums as usize)
            .filter_map(|bound| {
                let index = usize::try_from(*(*info).indexes.add(bound)).ok()?;
                let (lower, upper) = (instant(bound - 1), instant(bound));
                // an upper bound of infinity is that of a partition without end
                (lower <= high && (upper > low || upper == i64::MAX))
                    .then(|| (*(*partitions).oids.add(index), saturate(lower), saturate(upper)))
            })
            .collect()
    }
}

/// A value of the partition key on the axis everything here speaks: microseconds of a timestamptz.
unsafe fn on_axis(datum: pg_sys::Datum, key_type: pg_sys::Oid) -> i64 {
    match key_type {
        pg_sys::DATEOID => match datum.value() as i32 {
            i32::MIN => i64::MIN,
            i32::MAX => i64::MAX,
            days => i64::from(days).saturating_mul(MICROS_PER_DAY),
        },
        pg_sys::UUIDOID => {
            // SAFETY: a uuid passes by reference and has 16 bytes.
            let id = unsafe { *datum.cast_mut_ptr::<[u8; 16]>() };
            let millis = id[..6].iter().fold(0, |number, &byte| number << 8 | i64::from(byte));
            (millis - POSTGRES_EPOCH_MS) * 1000
        }
        // timestamptz, and timestamp read as UTC
        _ => datum.value() as i64,
    }
}

/// Dates reach further than timestamps do.
fn saturate(micros: i64) -> TimestampWithTimeZone {
    let infinity = if micros < 0 { i64::MIN } else { i64::MAX };
    TimestampWithTimeZone::try_from(micros)
        .or_else(|_| TimestampWithTimeZone::try_from(infinity))
        .unwrap_or_else(|_| unreachable!("infinity is a timestamp"))
}

/// `strata._tree(relation regclass) RETURNS SETOF regclass`
#[pg_extern(sql = false)]
fn tree(relation: pg_sys::Oid) -> SetOfIterator<'static, pg_sys::Oid> {
    // SAFETY: a catalog scan on the backend's main thread, inside a transaction.
    SetOfIterator::new(unsafe { with_descendants(relation) })
}

/// `strata._partition_bytes(partition regclass) RETURNS bigint`
#[pg_extern(sql = false)]
fn partition_bytes(relation: pg_sys::Oid) -> Option<i64> {
    // SAFETY: catalog look-ups on the backend's main thread, inside a transaction.
    unsafe {
        match pg_sys::get_rel_relkind(relation) as u8 {
            0 => None,
            // its own size is none, that of what lies below it is meant
            pg_sys::RELKIND_PARTITIONED_TABLE => {
                Some(with_descendants(relation).into_iter().filter_map(|part| bytes_of(part)).sum())
            }
            _ => bytes_of(relation),
        }
    }
}

/// What `pg_total_relation_size` gives, without the locks that it waits for: who looks at sizes often wants to know why
/// something hangs. NULL if the relation was dropped in the meantime.
unsafe fn bytes_of(relation: pg_sys::Oid) -> Option<i64> {
    unsafe {
        let (mut parts, toast) = with_indexes(relation)?;
        if let Some((toast_parts, _)) = with_indexes(toast) {
            parts.extend(toast_parts);
        }
        Some(parts.into_iter().map(|part| file_bytes(part)).sum())
    }
}

/// A relation with its indexes, and its TOAST table.
unsafe fn with_indexes(relation: pg_sys::Oid) -> Option<(Vec<pg_sys::Oid>, pg_sys::Oid)> {
    unsafe {
        let rel = if relation == pg_sys::InvalidOid {
            return None;
        } else {
            pg_sys::RelationIdGetRelation(relation)
        };
        if rel.is_null() {
            return None;
        }
        let indexes = pg_sys::RelationGetIndexList(rel);
        let toast = (*(*rel).rd_rel).reltoastrelid;
        let parts = std::iter::once(relation)
            .chain((0..pg_sys::list_length(indexes)).map(|nth| pg_sys::list_nth_oid(indexes, nth)))
            .collect();
        pg_sys::list_free(indexes);
        pg_sys::RelationClose(rel);
        Some((parts, toast))
    }
}

/// The files of all forks and segments, as they are now.
unsafe fn file_bytes(relation: pg_sys::Oid) -> i64 {
    let path: Option<String> =
        unsafe { pgrx::direct_function_call(pg_sys::pg_relation_filepath, &[relation.into_datum()]) };
    let Some(path) = path else { return 0 };
    let length = |file: String| std::fs::metadata(file).ok().map(|data| data.len());
    ["", "_fsm", "_vm", "_init"]
        .iter()
        .filter_map(|fork| {
            let first = length(format!("{path}{fork}"))?;
            let further = (1..).map_while(|segment| length(format!("{path}{fork}.{segment}")));
            i64::try_from(further.fold(first, u64::saturating_add)).ok()
        })
        .sum()
}

/// A relation and all below it, unlocked.
pub unsafe fn with_descendants(relation: pg_sys::Oid) -> Vec<pg_sys::Oid> {
    unsafe { locked_with_descendants(relation, pg_sys::NoLock as pg_sys::LOCKMODE) }
}

/// The same, each locked until the transaction ends; what is dropped meanwhile is left out.
pub unsafe fn locked_with_descendants(relation: pg_sys::Oid, lock: pg_sys::LOCKMODE) -> Vec<pg_sys::Oid> {
    unsafe {
        let list =
            pg_sys::ffi::pg_guard_ffi_boundary(|| find_all_inheritors(relation, lock, std::ptr::null_mut()));
        let oids = (0..pg_sys::list_length(list)).map(|nth| pg_sys::list_nth_oid(list, nth)).collect();
        pg_sys::list_free(list);
        oids
    }
}
