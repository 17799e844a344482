//! How much memory a run takes: an allocator that counts bytes.
//!
//! The counts are those of the program, not of one run: two runs at the same time share them.

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

static CURRENT: AtomicUsize = AtomicUsize::new(0);
static PEAK: AtomicUsize = AtomicUsize::new(0);

/// The system's allocator, counting the bytes asked of it. A program installs it once:
///
/// ```
/// #[global_allocator]
/// static ALLOCATOR: snn_repro::memory::Counting = snn_repro::memory::Counting;
///
/// snn_repro::memory::reset_peak();
/// let before = snn_repro::memory::peak();
/// drop(vec![0u8; 1 << 20]);
/// assert!(snn_repro::memory::peak() >= before + (1 << 20));
/// ```
///
/// Costs one atomic addition per allocation and one per release.
pub struct Counting;

/// Bytes allocated now; 0 if [`Counting`] is not installed.
pub fn current() -> usize {
    CURRENT.load(Relaxed)
}

/// The most bytes allocated at a time since [`reset_peak`]; 0 if [`Counting`] is not installed.
pub fn peak() -> usize {
    PEAK.load(Relaxed)
}

/// Begins a new measurement: the peak becomes what is allocated now.
pub fn reset_peak() {
    PEAK.store(CURRENT.load(Relaxed), Relaxed);
}

fn grown(bytes: usize) {
    let now = CURRENT.fetch_add(bytes, Relaxed) + bytes;
    // Most allocations do not reach the peak: a plain load keeps them from fighting over its cache line.
    if now > PEAK.load(Relaxed) {
        PEAK.fetch_max(now, Relaxed);
    }
}

fn shrunk(bytes: usize) {
    CURRENT.fetch_sub(bytes, Relaxed);
}

// SAFETY: every call goes to `System` unchanged, which keeps the contract; the counting allocates nothing and cannot panic.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the caller keeps the contract of `alloc`, which is that of `System.alloc`.
        let pointer = unsafe { System.alloc(layout) };
        if !pointer.is_null() {
            grown(layout.size());
        }
        pointer
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the caller keeps the contract of `alloc_zeroed`, which is that of `System.alloc_zeroed`.
        let pointer = unsafe { System.alloc_zeroed(layout) };
        if !pointer.is_null() {
            grown(layout.size());
        }
        pointer
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: `pointer` came from `System` through one of these functions, with this layout.
        unsafe { System.dealloc(pointer, layout) };
        shrunk(layout.size());
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        // SAFETY: `pointer` came from `System` with this layout; the caller vouches for the new size.
        let moved = unsafe { System.realloc(pointer, layout, size) };
        if !moved.is_null() {
            // The new bytes first: while the contents move, both blocks may exist.
            grown(size);
            shrunk(layout.size());
        }
        moved
    }
}
