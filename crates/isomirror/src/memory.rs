//! How the C library's allocator gives memory back.

/// Answers of 8 MiB come and go by the hundred. What is at least this large has a mapping of its own, which goes back to the
/// system at once; a lane's part of an answer, where it is copied, is smaller. Left alone, glibc takes the first that is freed for a sign to keep all later ones in its heap,
/// between small pieces that stay: with 1,000 lanes that is 30 MB more (measured by benches/, `--shapes wide`).
#[cfg(target_env = "gnu")]
const MAPPED: i32 = 4 * 1024 * 1024;

/// To be called before anything large is allocated.
pub fn settle() {
    #[cfg(target_env = "gnu")]
    #[expect(unsafe_code, reason = "there is no safe call for it")]
    // SAFETY: mallopt takes two numbers and changes how later allocations are made; no other thread runs yet.
    unsafe {
        libc::mallopt(libc::M_MMAP_THRESHOLD, MAPPED);
    }
}
