//! Memory in 64-byte lines: what all values of a program live in.

use std::alloc::{Layout, alloc, dealloc};
use std::ptr::NonNull;

pub use crate::base::memory::available;
use crate::base::{Diagnostic, Exit};

/// One cache line.
#[derive(Clone, Copy)]
#[repr(C, align(64))]
struct Line([f32; 16]);

/// The size of a huge page. Memory of at least one starts at a multiple of it and is asked for in huge pages: steps
/// go through it from end to end, and looking up small pages takes a good part of the time that caches do not save.
const HUGE: usize = 2 << 20;

/// A run of zeroed lines.
pub struct Memory {
    lines: NonNull<Line>,
    count: usize,
}

// SAFETY: the lines belong to it alone, and are plain numbers.
unsafe impl Send for Memory {}
// SAFETY: shared references only read.
unsafe impl Sync for Memory {}

/// The layout of this many lines; `None` if there cannot be as many.
fn layout(count: usize) -> Option<Layout> {
    let bytes = count.checked_mul(size_of::<Line>())?;
    Layout::from_size_align(bytes, if bytes < HUGE { align_of::<Line>() } else { HUGE }).ok()
}

/// Asks the system for huge pages; it may have none.
#[cfg(target_os = "linux")]
fn advise(start: *mut u8, bytes: usize) {
    use std::ffi::{c_int, c_void};
    unsafe extern "C" {
        fn madvise(start: *mut c_void, bytes: usize, advice: c_int) -> c_int;
    }
    const MADV_HUGEPAGE: c_int = 14;
    // SAFETY: the range was just allocated, and the advice changes no contents. Without huge pages it fails, and
    // small ones serve.
    unsafe { madvise(start.cast(), bytes, MADV_HUGEPAGE) };
}

#[cfg(not(target_os = "linux"))]
fn advise(_: *mut u8, _: usize) {}

impl Memory {
    /// At least this many bytes.
    ///
    /// # Errors
    /// When the system has no such amount of memory.
    pub fn new(bytes: usize) -> Result<Memory, Diagnostic> {
        let count = bytes.div_ceil(size_of::<Line>());
        if count == 0 {
            return Ok(Memory { lines: NonNull::dangling(), count });
        }
        let short = || short(bytes as u64, available());
        let layout = layout(count).ok_or_else(short)?;
        // SAFETY: the size is not 0.
        let start = unsafe { alloc(layout) };
        let lines = NonNull::new(start.cast::<Line>()).ok_or_else(short)?;
        if layout.size() >= HUGE {
            advise(start, layout.size());
        }
        // SAFETY: as many bytes were allocated, and all of them 0 are numbers.
        unsafe { start.write_bytes(0, layout.size()) };
        Ok(Memory { lines, count })
    }

    /// The first byte.
    pub fn base(&mut self) -> *mut u8 {
        self.lines.as_ptr().cast()
    }

    fn range(&self, offset: usize, elements: usize) -> std::ops::Range<usize> {
        let start = offset / 4;
        assert!(offset.is_multiple_of(4) && start + elements <= self.count * 16, "a range of its arena");
        start..start + elements
    }

    /// Elements from a byte offset on.
    pub fn floats(&self, offset: usize, elements: usize) -> &[f32] {
        let range = self.range(offset, elements);
        // SAFETY: a line is 16 floats without padding, and the range lies within the lines.
        unsafe { std::slice::from_raw_parts(self.lines.as_ptr().cast::<f32>().add(range.start), range.len()) }
    }

    /// Elements from a byte offset on.
    pub fn floats_mut(&mut self, offset: usize, elements: usize) -> &mut [f32] {
        let range = self.range(offset, elements);
        let start = self.lines.as_ptr().cast::<f32>();
        // SAFETY: as in `floats`, and `self` is borrowed mutably.
        unsafe { std::slice::from_raw_parts_mut(start.add(range.start), range.len()) }
    }

    /// Elements from a byte offset on, as indices.
    pub fn indices(&self, offset: usize, elements: usize) -> &[i32] {
        let floats = self.floats(offset, elements);
        // SAFETY: every bit pattern of 4 bytes is an `i32`, of the same size and alignment.
        unsafe { std::slice::from_raw_parts(floats.as_ptr().cast(), elements) }
    }

    /// Elements from a byte offset on, as indices.
    pub fn indices_mut(&mut self, offset: usize, elements: usize) -> &mut [i32] {
        let floats = self.floats_mut(offset, elements);
        // SAFETY: every bit pattern of 4 bytes is an `i32` and an `f32`, of the same size and alignment.
        unsafe { std::slice::from_raw_parts_mut(floats.as_mut_ptr().cast(), elements) }
    }
}

impl Drop for Memory {
    fn drop(&mut self) {
        if let (1.., Some(layout)) = (self.count, layout(self.count)) {
            // SAFETY: allocated with this layout, and nothing refers to it any more.
            unsafe { dealloc(self.lines.as_ptr().cast(), layout) };
        }
    }
}

/// The diagnostic for a program that does not fit into memory.
pub fn short(needed: u64, available: Option<u64>) -> Diagnostic {
    let megabytes = |bytes: u64| bytes.div_ceil(1 << 20);
    let mut title = format!("the step needs {} MB of memory", megabytes(needed));
    if let Some(available) = available {
        title.push_str(&format!(", and {} MB are available", megabytes(available)));
    }
    Diagnostic::error("out-of-memory", title)
        .exit(Exit::Resources)
        .help("use a smaller `batch`, a smaller model, or fewer threads")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_zeroed_and_aligned() {
        for bytes in [0, 4, 64, 1000, HUGE - 64, HUGE, 2 * HUGE + 4] {
            let mut memory = Memory::new(bytes).unwrap();
            let align = if bytes.next_multiple_of(64) < HUGE { 64 } else { HUGE };
            assert!(memory.base().addr().is_multiple_of(align), "{bytes} bytes");
            assert!(memory.floats(0, bytes / 4).iter().all(|x| x.to_bits() == 0), "{bytes} bytes");
            memory.floats_mut(0, bytes / 4).fill(1.5);
            assert!(memory.floats(0, bytes / 4).iter().all(|x| *x == 1.5), "{bytes} bytes");
        }
    }

    #[test]
    fn more_memory_than_there_can_be_is_refused() {
        for bytes in [usize::MAX, usize::MAX / 2] {
            assert!(Memory::new(bytes).is_err_and(|error| error.exit == Exit::Resources));
        }
    }
}
