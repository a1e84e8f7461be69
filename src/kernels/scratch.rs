//! Memory that kernels need for a moment. A worker owns one; it grows at first use, so that the steady
//! state allocates nothing.

use super::lumps::Lumps;
use super::maxima::Maxima;
use super::sparse::Lists;

/// A line of the cache.
#[derive(Clone, Copy)]
#[repr(C, align(64))]
struct Line([f32; 16]);

/// Aligned numbers that only grow.
#[derive(Clone, Default)]
pub struct Buffer {
    lines: Vec<Line>,
}

impl Buffer {
    /// `n` numbers with unspecified contents.
    pub fn take(&mut self, n: usize) -> &mut [f32] {
        let lines = n.div_ceil(16);
        if self.lines.len() < lines {
            self.lines.resize(lines, Line([0.0; 16]));
        }
        // SAFETY: a line is 16 f32 without gaps, and there are at least `n / 16`, rounded up.
        unsafe { std::slice::from_raw_parts_mut(self.lines.as_mut_ptr().cast::<f32>(), n) }
    }

    /// `n` zeros.
    pub fn zeros(&mut self, n: usize) -> &mut [f32] {
        let out = self.take(n);
        out.fill(0.0);
        out
    }
}

/// What one call of a kernel may use; nothing in it outlives the call.
#[derive(Clone, Default)]
pub struct Scratch {
    /// Packed panels of a matrix product.
    pub(super) product: ProductScratch,
    /// Padded images.
    pub(super) image: Buffer,
    /// Weights in another order.
    pub(super) weights: Buffer,
    /// Offsets of rows of A and C.
    pub(super) rows: Vec<(isize, isize)>,
    /// Some of them.
    pub(super) some_rows: Vec<(isize, isize)>,
    /// Offsets of taps in A and B.
    pub(super) taps: Vec<(isize, isize)>,
    /// Gradients of weights in another order.
    pub(super) sums: Buffer,
    /// Pixels under pooling windows.
    pub(super) patches: Buffer,
    /// Offsets of windows.
    pub(super) offsets: Vec<usize>,
    /// Rows and columns of results that tiles have.
    pub(super) extents: Vec<[u8; 2]>,
    /// Gradients that are given as one.
    pub(super) lumps: Lumps,
    /// The pixel of the background, and sums of gradients of windows over it.
    pub(super) pixel: Buffer,
    pub(super) pixel_sums: Buffer,
    /// Windows over something, and over zeros or the background alone.
    pub(super) live: Vec<usize>,
    pub(super) blank: Vec<usize>,
    /// The maxima of some channels.
    pub(super) maxima: Maxima,
    /// A bit per channel, or per number of a row.
    pub(super) masks: Vec<u64>,
    /// Multiply-adds with zeros that were not done.
    pub(super) left_out: u64,
}

/// What a matrix product may use.
#[derive(Clone, Default)]
pub struct ProductScratch {
    /// A panel of B.
    pub(super) panel: Buffer,
    /// A with its rows in runs.
    pub(super) left: Buffer,
    /// C where its columns are not neighbours.
    pub(super) result: Buffer,
    /// The numbers of A that are not zero.
    pub(super) lists: Lists,
}

impl Scratch {
    /// Nothing yet.
    pub fn new() -> Scratch {
        Scratch::default()
    }

    /// How many multiply-adds with zeros were not done so far.
    pub fn left_out(&self) -> u64 {
        self.left_out
    }
}
