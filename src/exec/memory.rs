//! Memory in 64-byte lines: what all values of a program live in.

pub use crate::base::memory::available;
use crate::base::{Diagnostic, Exit};

/// One cache line.
#[derive(Clone, Copy)]
#[repr(C, align(64))]
struct Line([f32; 16]);

/// A run of zeroed lines.
pub struct Memory {
    lines: Vec<Line>,
}

impl Memory {
    /// At least this many bytes.
    ///
    /// # Errors
    /// When the system has no such amount of memory.
    pub fn new(bytes: usize) -> Result<Memory, Diagnostic> {
        let count = bytes.div_ceil(64);
        let mut lines = Vec::new();
        lines.try_reserve_exact(count).map_err(|_| short(bytes as u64, available()))?;
        lines.resize(count, Line([0.0; 16]));
        Ok(Memory { lines })
    }

    /// The first byte.
    pub fn base(&mut self) -> *mut u8 {
        self.lines.as_mut_ptr().cast()
    }

    fn range(&self, offset: usize, elements: usize) -> std::ops::Range<usize> {
        let start = offset / 4;
        assert!(
            offset.is_multiple_of(4) && start + elements <= self.lines.len() * 16,
            "a range of its arena"
        );
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
        let start = self.lines.as_mut_ptr().cast::<f32>();
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
