//! Room on the disk under the data directory. Never here: tablespaces and a `pg_wal` that live on other disks.

use pgrx::pg_sys;
use pgrx::prelude::*;

/// `strata._disk_space(OUT total_bytes bigint, OUT free_bytes bigint)`
#[pg_extern(sql = false)]
fn disk_space() -> TableIterator<'static, (name!(total_bytes, Option<i64>), name!(free_bytes, Option<i64>))> {
    let space = file_system_of_data();
    TableIterator::once((space.map(|(total, _)| total), space.map(|(_, free)| free)))
}

/// Bytes in all, and bytes that PostgreSQL may still fill.
fn file_system_of_data() -> Option<(i64, i64)> {
    let mut status = std::mem::MaybeUninit::<libc::statvfs>::uninit();
    // SAFETY: DataDir is a C string set before any backend starts; statvfs fills the structure where it returns 0.
    let status = unsafe {
        if libc::statvfs(pg_sys::DataDir, status.as_mut_ptr()) != 0 {
            return None;
        }
        status.assume_init()
    };
    let bytes = |blocks: libc::fsblkcnt_t| i64::try_from(blocks.checked_mul(status.f_frsize)?).ok();
    Some((bytes(status.f_blocks)?, bytes(status.f_bavail)?))
}
