//! What the fuzz targets share: a limit on memory, and input cut into parts.
//!
//! A target gets arbitrary bytes and calls one parser. Besides a panic, these are findings: a result that depends on
//! how the bytes were cut ([`parts`]), more memory than the input justifies ([`within`]), and a value that is not the
//! same after it was written and read again.

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::BytesMut;

static HELD: AtomicUsize = AtomicUsize::new(0);
static PEAK: AtomicUsize = AtomicUsize::new(0);

/// The system's allocator, counting.
struct Counting;

// SAFETY: every call is passed on unchanged; the counters do not touch memory.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let held = HELD.fetch_add(layout.size(), Ordering::Relaxed) + layout.size();
        PEAK.fetch_max(held, Ordering::Relaxed);
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, memory: *mut u8, layout: Layout) {
        HELD.fetch_sub(layout.size(), Ordering::Relaxed);
        unsafe { System.dealloc(memory, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// Runs `work` and fails when it held more than `bytes` at any time, beyond what was held before.
pub fn within<R>(bytes: usize, work: impl FnOnce() -> R) -> R {
    let before = HELD.load(Ordering::Relaxed);
    PEAK.store(before, Ordering::Relaxed);
    let result = work();
    let used = PEAK.load(Ordering::Relaxed).saturating_sub(before);
    assert!(used <= bytes, "{used} bytes were held, {bytes} are allowed");
    result
}

/// The first byte of the input decides how the rest is cut; 0 = not at all.
pub fn split_seed(data: &[u8]) -> Option<(u8, &[u8])> {
    let (seed, rest) = data.split_first()?;
    Some((*seed, rest))
}

/// `data` in parts of 1 to `seed` bytes, of changing sizes.
pub fn parts(data: &[u8], seed: u8) -> Vec<&[u8]> {
    if seed == 0 {
        return vec![data];
    }
    let mut state = u32::from(seed);
    let mut rest = data;
    let mut parts = Vec::new();
    while !rest.is_empty() {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        let size = 1 + (state >> 16) as usize % usize::from(seed);
        let (part, later) = rest.split_at(size.min(rest.len()));
        parts.push(part);
        rest = later;
    }
    parts
}

/// What a decoder makes of `data` when it arrives in parts: all values, and the error that ended them. What is left of
/// the input must never be more than what came.
pub fn decode_all<T, E>(
    data: &[u8],
    seed: u8,
    mut decode: impl FnMut(&mut BytesMut) -> Result<Option<T>, E>,
) -> (Vec<T>, Option<E>) {
    let mut input = BytesMut::new();
    let mut values = Vec::new();
    for part in parts(data, seed) {
        input.extend_from_slice(part);
        loop {
            match decode(&mut input) {
                Ok(Some(value)) => values.push(value),
                Ok(None) => break,
                Err(error) => return (values, Some(error)),
            }
        }
    }
    (values, None)
}

/// Seeds in a format that changes with the code are written by their target, into the folder that `FUZZ_SEEDS` names.
pub fn offer_seeds<'n>(seeds: impl IntoIterator<Item = (&'n str, Vec<u8>)>) {
    let Some(folder) = std::env::var_os("FUZZ_SEEDS").map(std::path::PathBuf::from) else {
        return;
    };
    for (name, seed) in seeds {
        let path = folder.join(format!("seed-{name}"));
        if let Err(error) = std::fs::write(&path, seed) {
            eprintln!("cannot write {}: {error}", path.display());
        }
    }
}
