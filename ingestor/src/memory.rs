//! What the C library's allocator is told at the start. Left alone, glibc keeps a heap for each of up to eight threads
//! a processor; buffers of megabytes pass from thread to thread here, and each heap kept room for its largest moment.
//! Never: allocations.

/// Has all threads share two heaps, unless `MALLOC_ARENA_MAX` says otherwise.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
pub fn share_heaps() {
    if std::env::var_os("MALLOC_ARENA_MAX").is_none() {
        #[expect(unsafe_code, reason = "a call of the C library that takes and returns numbers")]
        // SAFETY: called before there is a second thread; an option that is not known is ignored.
        unsafe {
            libc::mallopt(libc::M_ARENA_MAX, 2);
        }
    }
}

/// Other allocators need no advice.
#[cfg(not(all(target_os = "linux", target_env = "gnu")))]
pub fn share_heaps() {}
