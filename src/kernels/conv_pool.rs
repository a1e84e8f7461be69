//! Convolution, bias, ReLU and max-pooling in one pass: each pooling window is a few rows of a register
//! tile, so that the convolution's result is never stored. What no pooling window reads is not computed.
//!
//! Besides the pooled values, `which` says for each of them which tap of the window was the first
//! maximum, or [`NONE`] where no gradient flows: that is all the gradients need.

use super::blank::{self, Reach};
use super::conv::{Batch, Conv, Padding};
pub use super::conv_pool_gradient::{
    input_gradient, input_weights_elements, prepare_input_weights, weight_gradient,
};
use super::isa::{Isa, by_isa};
use super::products::share;
use super::scratch::Scratch;
use super::simd::{Portable, Vector};
#[cfg(target_arch = "x86_64")]
use super::simd::{Wide256, Wide512};

/// In place of a tap: ReLU gave 0, and no gradient flows.
pub const NONE: u8 = 0xff;

/// The most taps of a pooling window.
pub const MAX_TAPS: usize = 9;

/// `maxpool(relu(conv(x, w) + bias))` over one example in `[h, w, c]` order, with pooling windows side by side
/// and without padding.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ConvPool {
    /// The convolution; `groups` is 1.
    pub conv: Conv,
    /// Extents of a pooling window, and the distance between them.
    pub pool: [usize; 2],
    /// Number of pooling windows; they lie in the convolution's result.
    pub pooled: [usize; 2],
    /// Whether there is a ReLU before or after the pooling.
    pub relu: bool,
}

impl ConvPool {
    /// With all the pooling windows that fit.
    pub fn new(conv: Conv, pool: [usize; 2], relu: bool) -> ConvPool {
        let pooled = [0, 1].map(|d| conv.window.output[d] / pool[d]);
        ConvPool { conv, pool, pooled, relu }
    }

    /// Whether the kernels can do it.
    pub fn supported(&self) -> bool {
        let fits = (0..2).all(|d| self.pooled[d] * self.pool[d] <= self.conv.window.output[d]);
        self.conv.groups == 1 && fits && [1, 2, 3, 4, 6, 9].contains(&self.taps())
    }

    /// Taps of a pooling window.
    pub fn taps(&self) -> usize {
        self.pool[0] * self.pool[1]
    }

    /// Rows (0) or columns (1) of pixels under a pooling window.
    pub(super) fn reach(&self, d: usize) -> usize {
        let window = &self.conv.window;
        (self.pool[d] - 1) * window.stride[d] + (window.kernel[d] - 1) * window.dilation[d] + 1
    }

    /// Number of pooling windows.
    pub fn windows(&self) -> usize {
        self.pooled[0] * self.pooled[1]
    }

    /// Elements of one pooled result, and of `which`.
    pub fn pooled_elements(&self) -> usize {
        self.windows() * self.conv.out_channels
    }

    /// The convolution without the rows and columns that no pooling window reads.
    pub(super) fn needed(&self) -> Conv {
        let mut conv = self.conv;
        conv.window.output = [0, 1].map(|d| self.pooled[d] * self.pool[d]);
        conv
    }

    /// The offset of each window's first pixel in the (padded) image.
    pub(super) fn window_offsets(&self, padding: &Padding) -> impl Iterator<Item = usize> + use<> {
        let ([rows, columns], [ph, pw]) = (self.pooled, self.pool);
        let window = self.conv.window;
        let width = padding.extents[1];
        (0..rows).flat_map(move |y| {
            (0..columns).map(move |x| {
                (y * ph * window.stride[0] * width + x * pw * window.stride[1]) * window.channels
            })
        })
    }

    /// The offset of each tap of a pooling window in the (padded) image.
    pub(super) fn tap_offsets(&self, padding: &Padding) -> [usize; MAX_TAPS] {
        let window = &self.conv.window;
        std::array::from_fn(|tap| {
            let (y, x) = (tap / self.pool[1], tap % self.pool[1]);
            (y * window.stride[0] * padding.extents[1] + x * window.stride[1]) * window.channels
        })
    }
}

/// The pixels under the convolution's kernel as runs of neighbours: their offsets in the (padded) image.
pub(super) struct Segments {
    /// Extents of the kernel, with the columns of a run taken as one.
    pub count: usize,
    /// Floats of a run.
    pub len: usize,
    columns: usize,
    down: usize,
    right: usize,
}

impl Segments {
    pub(super) fn of(conv: &Conv, padding: &Padding) -> Segments {
        let window = &conv.window;
        let c = window.channels;
        let down = window.dilation[0] * padding.extents[1] * c;
        let right = window.dilation[1] * c;
        if window.dilation[1] == 1 || window.kernel[1] == 1 {
            return Segments { count: window.kernel[0], len: window.kernel[1] * c, columns: 1, down, right };
        }
        Segments {
            count: window.kernel[0] * window.kernel[1],
            len: c,
            columns: window.kernel[1],
            down,
            right,
        }
    }

    /// The offset of a run.
    #[inline(always)]
    pub(super) fn offset(&self, segment: usize) -> usize {
        // A division takes as long as a dozen products.
        if self.columns == 1 {
            return segment * self.down;
        }
        segment / self.columns * self.down + segment % self.columns * self.right
    }
}

/// The most pooling windows of a tile.
const MAX_WINDOWS: usize = 6;

/// What a tile computes.
struct PoolTile<'a> {
    /// The (padded) image.
    image: *const f32,
    /// Each window's first pixel in the image and its place in the result.
    windows: [(usize, usize); MAX_WINDOWS],
    /// The pooling window's taps in the image.
    taps: &'a [usize; MAX_TAPS],
    /// Runs under the convolution's kernel.
    segments: &'a Segments,
    /// The weights, at the tile's first column, and from one row to the next.
    w: *const f32,
    w_step: usize,
    /// The bias at the tile's first column, or null.
    bias: *const f32,
    y: *mut f32,
    which: *mut u8,
    columns: usize,
    relu: bool,
}

/// The first maximum over values given one after the other, and its number.
#[derive(Clone, Copy)]
pub(super) struct First<V> {
    best: V,
    tap: V,
}

impl<V: Vector> First<V> {
    /// # Safety
    /// The processor has the features, here and below.
    #[inline(always)]
    pub(super) unsafe fn new(x: V) -> First<V> {
        // SAFETY: the caller vouches for the features.
        First { best: x, tap: unsafe { V::zero() } }
    }

    #[inline(always)]
    pub(super) unsafe fn take(&mut self, x: V, tap: usize) {
        // SAFETY: the caller vouches for the features.
        unsafe {
            let more = x.greater(self.best);
            self.best = V::select(more, x, self.best);
            self.tap = V::select(more, V::splat(f32::from_bits(tap as u32)), self.tap);
        }
    }

    /// The pooled value and which tap it was. Not-a-number passes through ReLU.
    #[inline(always)]
    pub(super) unsafe fn finish(self, relu: bool) -> (V, V) {
        if !relu {
            return (self.best, self.tap);
        }
        // SAFETY: the caller vouches for the features.
        unsafe {
            let zero = V::zero();
            let y = V::select(zero.greater(self.best), zero, self.best);
            let none = V::splat(f32::from_bits(u32::from(NONE)));
            (y, V::select(self.best.greater(zero), self.tap, none))
        }
    }
}

/// The tile itself.
///
/// # Safety
/// The processor has V's features; every address the description names is readable, in the results
/// writable. `columns` fills NV vectors, the last completely if FULL and at least by one lane otherwise.
#[inline(always)]
#[allow(clippy::needless_range_loop)] // the indices name registers
unsafe fn run<V: Vector, const TAPS: usize, const NW: usize, const NV: usize, const FULL: bool>(
    t: &PoolTile,
) {
    // SAFETY: all addresses are those of the description; the last vector is masked unless full.
    unsafe {
        let last = t.columns - (NV - 1) * V::LANES;
        let mask = V::mask(last);
        let load = |p: *const f32, j: usize| {
            if FULL || j + 1 < NV {
                V::load(p.add(j * V::LANES))
            } else {
                V::load_masked(p.add(j * V::LANES), mask)
            }
        };
        let mut sums = [[[V::zero(); NV]; TAPS]; NW];
        let pixels: [[*const f32; TAPS]; NW] = std::array::from_fn(|w| {
            std::array::from_fn(|tap| t.image.wrapping_add(t.windows[w].0 + t.taps[tap]))
        });
        let mut b = t.w;
        for segment in 0..t.segments.count {
            let start = t.segments.offset(segment);
            for a in start..start + t.segments.len {
                let columns: [V; NV] = std::array::from_fn(|j| load(b, j));
                for w in 0..NW {
                    for tap in 0..TAPS {
                        let x = V::splat(*pixels[w][tap].add(a));
                        for j in 0..NV {
                            sums[w][tap][j] = x.fma(columns[j], sums[w][tap][j]);
                        }
                    }
                }
                b = b.wrapping_add(t.w_step);
            }
        }
        let bias: [V; NV] =
            std::array::from_fn(|j| if t.bias.is_null() { V::zero() } else { load(t.bias, j) });
        for w in 0..NW {
            let to = t.windows[w].1;
            for j in 0..NV {
                let value = |tap: usize| {
                    if t.bias.is_null() { sums[w][tap][j] } else { sums[w][tap][j].add(bias[j]) }
                };
                let mut first = First::new(value(0));
                for tap in 1..TAPS {
                    first.take(value(tap), tap);
                }
                let (y, which) = first.finish(t.relu);
                let at = to + j * V::LANES;
                if FULL || j + 1 < NV {
                    y.store(t.y.add(at));
                    which.store_bytes(t.which.add(at), V::LANES);
                } else {
                    y.store_masked(t.y.add(at), mask);
                    which.store_bytes(t.which.add(at), last);
                }
            }
        }
    }
}

type PoolTileFn = unsafe fn(&PoolTile);

/// A compiled tile.
struct Variant {
    taps: usize,
    windows: usize,
    vectors: usize,
    /// For columns that fill the vectors, and for any number.
    full: PoolTileFn,
    masked: PoolTileFn,
}

unsafe fn portable<const TAPS: usize, const NW: usize, const NV: usize, const FULL: bool>(t: &PoolTile) {
    // SAFETY: the caller's contract is the same.
    unsafe { run::<Portable, TAPS, NW, NV, FULL>(t) }
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,fma")]
unsafe fn avx2<const TAPS: usize, const NW: usize, const NV: usize, const FULL: bool>(t: &PoolTile) {
    // SAFETY: the caller's contract is the same, and the features are there.
    unsafe { run::<Wide256, TAPS, NW, NV, FULL>(t) }
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f,avx512vl,avx512dq,avx512bw,avx2,fma")]
unsafe fn avx512<const TAPS: usize, const NW: usize, const NV: usize, const FULL: bool>(t: &PoolTile) {
    // SAFETY: the caller's contract is the same, and the features are there.
    unsafe { run::<Wide512, TAPS, NW, NV, FULL>(t) }
}

macro_rules! variants {
    ($tile:ident: $(($taps:literal, $windows:literal, $vectors:literal))*) => {
        &[$(Variant {
            taps: $taps,
            windows: $windows,
            vectors: $vectors,
            full: $tile::<$taps, $windows, $vectors, true>,
            masked: $tile::<$taps, $windows, $vectors, false>,
        }),*]
    };
}

static PORTABLE: &[Variant] =
    variants!(portable: (1, 1, 1) (2, 1, 1) (3, 1, 1) (4, 1, 1) (6, 1, 1) (9, 1, 1));

#[cfg(target_arch = "x86_64")]
static AVX2: &[Variant] = variants!(avx2:
    (1, 6, 1) (1, 6, 2) (2, 3, 1) (2, 3, 2) (3, 2, 1) (3, 2, 2) (4, 1, 1) (4, 1, 2) (6, 1, 1) (6, 1, 2)
    (9, 1, 1));

#[cfg(target_arch = "x86_64")]
static AVX512: &[Variant] = variants!(avx512:
    (1, 6, 1) (1, 6, 2) (1, 6, 3) (1, 6, 4) (2, 3, 1) (2, 3, 2) (2, 3, 3) (2, 3, 4)
    (3, 2, 1) (3, 2, 2) (3, 2, 3) (3, 2, 4) (4, 2, 1) (4, 2, 2) (4, 1, 3) (4, 1, 4)
    (6, 1, 1) (6, 1, 2) (6, 1, 3) (6, 1, 4) (9, 1, 1) (9, 1, 2));

/// The tiles of an instruction set, and the numbers of a vector.
fn variants(isa: Isa) -> (usize, &'static [Variant]) {
    by_isa!(isa, (8, PORTABLE), (8, AVX2), (16, AVX512))
}

/// `y, which = maxpool(relu(conv(x, w) + bias))` for each example; `bias` may be null. Of equal maxima the
/// first in row-major order counts. Bits are those of the steps one by one.
///
/// # Safety
/// `shape` is supported. `x`, `y` and `which` hold `examples` examples at their strides, `w` the weights,
/// `bias` one number per output channel; `y` and `which` overlap nothing, nor do their examples.
#[allow(clippy::too_many_arguments)]
pub unsafe fn forward(
    shape: &ConvPool,
    examples: usize,
    x: Batch<*const f32>,
    w: *const f32,
    bias: *const f32,
    y: Batch<*mut f32>,
    which: Batch<*mut u8>,
    scratch: &mut Scratch,
) {
    // SAFETY: the same contract.
    unsafe { forward_on(Isa::current(), shape, examples, x, w, bias, y, which, scratch) }
}

/// # Safety
/// As for [`forward`].
#[allow(clippy::too_many_arguments)]
pub(super) unsafe fn forward_on(
    isa: Isa,
    shape: &ConvPool,
    examples: usize,
    x: Batch<*const f32>,
    w: *const f32,
    bias: *const f32,
    y: Batch<*mut f32>,
    which: Batch<*mut u8>,
    scratch: &mut Scratch,
) {
    let conv = shape.needed();
    let padding = Padding::of(&conv.window);
    let channels = conv.out_channels;
    let (taps, segments) = (shape.tap_offsets(&padding), Segments::of(&conv, &padding));
    let reach = Reach::of(shape, &padding);
    scratch.offsets.clear();
    scratch.offsets.extend(shape.window_offsets(&padding));
    all_live(shape, scratch);
    list_tiles(scratch, channels);
    // SAFETY: windows and taps stay inside of the image that `Padding` describes.
    unsafe {
        let elements = padding.elements(conv.window.channels);
        let padded = padding.copies.then(|| scratch.image.take(elements).as_mut_ptr());
        for example in 0..examples {
            let mut image = x.start.add(example * x.stride);
            if let Some(to) = padded {
                padding.copy(&conv.window, image, to);
                image = to;
            }
            if let Some(reach) = reach {
                reach.split(isa, image, scratch);
                list_tiles(scratch, channels);
            }
            let Scratch { rows, blank, left_out, .. } = &mut *scratch;
            *left_out += (blank.len().saturating_sub(1) * shape.taps() * conv.weight_elements()) as u64;
            let tile = PoolTile {
                image,
                windows: [(0, 0); MAX_WINDOWS],
                taps: &taps,
                segments: &segments,
                w,
                w_step: channels,
                bias,
                y: y.start.add(example * y.stride),
                which: which.start.add(example * which.stride),
                columns: channels,
                relu: shape.relu,
            };
            all_tiles(isa, shape.taps(), &tile, rows);
            blank::repeat(isa, blank, channels, tile.y, tile.which);
        }
    }
}

/// All windows are taken for such over something.
pub(super) fn all_live(shape: &ConvPool, scratch: &mut Scratch) {
    scratch.live.clear();
    scratch.live.extend(0..shape.windows());
    scratch.blank.clear();
}

/// The offsets of windows in the image and in the result: of all over something, and of one over zeros for the others.
fn list_tiles(scratch: &mut Scratch, channels: usize) {
    let Scratch { rows, offsets, live, blank, .. } = scratch;
    rows.clear();
    let windows = live.iter().chain(blank.first());
    rows.extend(windows.map(|window| (offsets[*window] as isize, (window * channels) as isize)));
}

/// Runs the tiles for all windows and columns of one example.
///
/// # Safety
/// As for [`run`], of all the windows in `rows`.
unsafe fn all_tiles(isa: Isa, taps: usize, tile: &PoolTile, rows: &[(isize, isize)]) {
    let (lanes, all) = variants(isa);
    let most = all.iter().filter(|v| v.taps == taps).map(|v| v.vectors).max().unwrap_or(1);
    let channels = tile.columns;
    let vectors = channels.div_ceil(lanes);
    let blocks = vectors.div_ceil(most);
    for block in 0..blocks {
        let (start, end) = (share(vectors, blocks, block), share(vectors, blocks, block + 1));
        let Some(variant) = all.iter().find(|v| v.taps == taps && v.vectors == end - start) else {
            unreachable!("there is a tile for each number of vectors")
        };
        let first = start * lanes;
        let columns = (channels - first).min((end - start) * lanes);
        let run = if columns == (end - start) * lanes { variant.full } else { variant.masked };
        let mut part = PoolTile {
            w: tile.w.wrapping_add(first),
            bias: if tile.bias.is_null() { tile.bias } else { tile.bias.wrapping_add(first) },
            y: tile.y.wrapping_add(first),
            which: tile.which.wrapping_add(first),
            columns,
            ..*tile
        };
        for windows in rows.chunks(variant.windows) {
            for i in 0..variant.windows {
                // A tile with more windows than are left does the last one again.
                let (from, to) = windows[i.min(windows.len() - 1)];
                part.windows[i] = (from as usize, to as usize);
            }
            // SAFETY: windows and columns exist; the variant suits the columns.
            unsafe { run(&part) };
        }
    }
}
