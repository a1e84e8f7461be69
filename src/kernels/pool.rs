//! Pooling: the maximum or the sum of each window, channel by channel, and their gradients.
//!
//! Channels are neighbours in memory, so all loops run over blocks of channels, which the compiler turns
//! into vectors. Taps in the padding do not exist.

use super::conv::{Batch, Window};
use super::isa::{Isa, versions};

/// Channels that are worked on at a time.
const BLOCK: usize = 16;

/// The taps of window `o` along dimension `d` that lie in the input, and the input index of tap 0 plus
/// the padding.
#[inline(always)]
fn taps(w: &Window, d: usize, o: usize) -> (usize, usize, usize) {
    let first = o * w.stride[d];
    let start = w.pad[d].saturating_sub(first).div_ceil(w.dilation[d]);
    let end = (w.input[d] + w.pad[d]).saturating_sub(first).div_ceil(w.dilation[d]).min(w.kernel[d]);
    (start.min(end), end, first)
}

/// What is done at one window, for a block of channels. A trait, not a closure: a closure is its own
/// function, which need not be compiled for the instruction set of its caller.
trait Body {
    /// The result's channels from offset `at` on, `n` of them, and where the taps stand in the input.
    ///
    /// # Safety
    /// The operands are those of the window that `each_window` walks over.
    unsafe fn window(&self, at: usize, n: usize, taps: Taps);
}

/// Runs a body for each window and block of channels.
///
/// # Safety
/// The body's operands are as large as `w` says.
#[inline(always)]
unsafe fn each_window(w: &Window, body: impl Body) {
    for oy in 0..w.output[0] {
        let (y0, y1, y) = taps(w, 0, oy);
        for ox in 0..w.output[1] {
            let (x0, x1, x) = taps(w, 1, ox);
            let result = (oy * w.output[1] + ox) * w.channels;
            let mut taps = Taps { start: 0, rows: 0, columns: 0, down: 0, right: 0 };
            if y0 < y1 && x0 < x1 {
                let iy = y + y0 * w.dilation[0] - w.pad[0];
                let ix = x + x0 * w.dilation[1] - w.pad[1];
                taps = Taps {
                    start: (iy * w.input[1] + ix) * w.channels,
                    rows: y1 - y0,
                    columns: x1 - x0,
                    down: w.dilation[0] * w.input[1] * w.channels,
                    right: w.dilation[1] * w.channels,
                };
            }
            let whole = w.channels - w.channels % BLOCK;
            for c in (0..whole).step_by(BLOCK) {
                let taps = Taps { start: taps.start + c, ..taps };
                // SAFETY: the block's channels exist, and `taps` keeps to the input.
                unsafe {
                    // The usual windows, with loops over taps that the compiler writes out.
                    match [taps.rows, taps.columns] {
                        [2, 2] => body.window(result + c, BLOCK, Taps { rows: 2, columns: 2, ..taps }),
                        [3, 3] => body.window(result + c, BLOCK, Taps { rows: 3, columns: 3, ..taps }),
                        _ => body.window(result + c, BLOCK, taps),
                    }
                }
            }
            if whole < w.channels {
                let taps = Taps { start: taps.start + whole, ..taps };
                // SAFETY: as above.
                unsafe { body.window(result + whole, w.channels - whole, taps) };
            }
        }
    }
}

/// The offsets of the taps of one window in the input.
#[derive(Clone, Copy)]
struct Taps {
    start: usize,
    rows: usize,
    columns: usize,
    down: usize,
    right: usize,
}

/// Runs the block for each tap, row by row, with its offset.
macro_rules! each_tap {
    ($taps:expr, |$at:ident| $do:block) => {
        for row in 0..$taps.rows {
            for column in 0..$taps.columns {
                let $at = $taps.start + row * $taps.down + column * $taps.right;
                $do
            }
        }
    };
}

/// A block of channels from memory; lanes from `n` on are 0.
#[inline(always)]
unsafe fn load(p: *const f32, n: usize) -> [f32; BLOCK] {
    if n == BLOCK {
        // SAFETY: 16 numbers are readable.
        return unsafe { p.cast::<[f32; BLOCK]>().read() };
    }
    let mut out = [0.0; BLOCK];
    if n == BLOCK / 2 {
        // SAFETY: 8 numbers are readable.
        let half = unsafe { p.cast::<[f32; BLOCK / 2]>().read() };
        out[..BLOCK / 2].copy_from_slice(&half);
        return out;
    }
    for (i, x) in out.iter_mut().enumerate().take(n) {
        // SAFETY: `n` numbers are readable.
        *x = unsafe { *p.add(i) };
    }
    out
}

#[inline(always)]
unsafe fn store(p: *mut f32, n: usize, x: &[f32; BLOCK]) {
    if n == BLOCK {
        // SAFETY: 16 numbers are writable.
        return unsafe { p.cast::<[f32; BLOCK]>().write(*x) };
    }
    if n == BLOCK / 2 {
        let half: [f32; BLOCK / 2] = std::array::from_fn(|i| x[i]);
        // SAFETY: 8 numbers are writable.
        return unsafe { p.cast::<[f32; BLOCK / 2]>().write(half) };
    }
    for (i, x) in x.iter().enumerate().take(n) {
        // SAFETY: `n` numbers are writable.
        unsafe { *p.add(i) = *x };
    }
}

/// The maximum over the taps.
#[inline(always)]
unsafe fn maximum(x: *const f32, n: usize, taps: Taps) -> [f32; BLOCK] {
    let mut best = [f32::NEG_INFINITY; BLOCK];
    each_tap!(taps, |at| {
        // SAFETY: the tap lies in the input.
        let x = unsafe { load(x.add(at), n) };
        for i in 0..BLOCK {
            best[i] = if x[i] > best[i] { x[i] } else { best[i] };
        }
    });
    best
}

#[inline(always)]
fn plus(a: [f32; BLOCK], b: [f32; BLOCK]) -> [f32; BLOCK] {
    let mut out = a;
    for i in 0..BLOCK {
        out[i] += b[i];
    }
    out
}

/// What goes to a tap with values `x`, and what is left after it. Without branches: these would be
/// guesses.
#[inline(always)]
fn give(x: [f32; BLOCK], best: [f32; BLOCK], rest: [f32; BLOCK]) -> ([f32; BLOCK], [f32; BLOCK]) {
    let (mut given, mut left) = ([0.0; BLOCK], [0.0; BLOCK]);
    for i in 0..BLOCK {
        let hit = u32::from(x[i] == best[i]).wrapping_neg();
        given[i] = f32::from_bits(rest[i].to_bits() & hit);
        left[i] = f32::from_bits(rest[i].to_bits() & !hit);
    }
    (given, left)
}

struct Max {
    x: *const f32,
    y: *mut f32,
}

impl Body for Max {
    #[inline(always)]
    unsafe fn window(&self, at: usize, n: usize, taps: Taps) {
        // SAFETY: offsets lie in the input and the result.
        unsafe { store(self.y.add(at), n, &maximum(self.x, n, taps)) }
    }
}

/// With `OVERLAP`, windows may share pixels; `dx` is 0 before.
struct MaxGradient<const OVERLAP: bool> {
    x: *const f32,
    g: *const f32,
    dx: *mut f32,
}

impl<const OVERLAP: bool> Body for MaxGradient<OVERLAP> {
    #[inline(always)]
    unsafe fn window(&self, at: usize, n: usize, taps: Taps) {
        // SAFETY: offsets lie in the input and the result.
        unsafe {
            let best = maximum(self.x, n, taps);
            // What is left to give away: 0 once the first maximum has it.
            let mut rest = load(self.g.add(at), n);
            each_tap!(taps, |at| {
                let (given, left) = give(load(self.x.add(at), n), best, rest);
                rest = left;
                let to = self.dx.add(at);
                let out = if OVERLAP { plus(load(to, n), given) } else { given };
                store(to, n, &out);
            });
        }
    }
}

struct Pick {
    x: *const f32,
    v: *const f32,
    y: *mut f32,
}

impl Body for Pick {
    #[inline(always)]
    unsafe fn window(&self, at: usize, n: usize, taps: Taps) {
        // SAFETY: offsets lie in the input and the result.
        unsafe {
            let best = maximum(self.x, n, taps);
            let mut picked = [0u32; BLOCK];
            let mut open = [u32::MAX; BLOCK];
            each_tap!(taps, |at| {
                let (x, v) = (load(self.x.add(at), n), load(self.v.add(at), n));
                for i in 0..BLOCK {
                    let hit = u32::from(x[i] == best[i]).wrapping_neg() & open[i];
                    picked[i] |= v[i].to_bits() & hit;
                    open[i] &= !hit;
                }
            });
            store(self.y.add(at), n, &picked.map(f32::from_bits));
        }
    }
}

struct Sum {
    x: *const f32,
    y: *mut f32,
}

impl Body for Sum {
    #[inline(always)]
    unsafe fn window(&self, at: usize, n: usize, taps: Taps) {
        // SAFETY: offsets lie in the input and the result.
        unsafe {
            let mut sum = [0.0; BLOCK];
            each_tap!(taps, |at| {
                sum = plus(sum, load(self.x.add(at), n));
            });
            store(self.y.add(at), n, &sum);
        }
    }
}

/// `dx` is 0 before.
struct SumGradient {
    g: *const f32,
    dx: *mut f32,
}

impl Body for SumGradient {
    #[inline(always)]
    unsafe fn window(&self, at: usize, n: usize, taps: Taps) {
        // SAFETY: offsets lie in the input and the result.
        unsafe {
            let g = load(self.g.add(at), n);
            each_tap!(taps, |at| {
                let to = self.dx.add(at);
                store(to, n, &plus(load(to, n), g));
            });
        }
    }
}

versions! {
    unsafe fn max_one(w: &Window, body: Max) = each_window;
}
versions! {
    unsafe fn max_gradient_apart(w: &Window, body: MaxGradient<false>) = each_window;
}
versions! {
    unsafe fn max_gradient_overlap(w: &Window, body: MaxGradient<true>) = each_window;
}
versions! {
    unsafe fn pick_one(w: &Window, body: Pick) = each_window;
}
versions! {
    unsafe fn sum_one(w: &Window, body: Sum) = each_window;
}
versions! {
    unsafe fn sum_gradient_one(w: &Window, body: SumGradient) = each_window;
}

/// The maximum of each window; minus infinity where a window has no tap in the input.
///
/// # Safety
/// `x` and `y` hold `examples` examples at their strides; `y` does not overlap `x`, nor itself.
pub unsafe fn max_pool(isa: Isa, w: &Window, examples: usize, x: Batch<*const f32>, y: Batch<*mut f32>) {
    for e in 0..examples {
        // SAFETY: the examples are there.
        unsafe { max_one(isa, w, Max { x: x.start.add(e * x.stride), y: y.start.add(e * y.stride) }) };
    }
}

/// The gradient of [`max_pool`]'s input; of equal maxima the first in row-major order takes all.
///
/// # Safety
/// `x`, `g` and `dx` hold `examples` examples at their strides; `dx` overlaps neither, nor itself.
pub unsafe fn max_pool_gradient(
    isa: Isa,
    w: &Window,
    examples: usize,
    x: Batch<*const f32>,
    g: Batch<*const f32>,
    dx: Batch<*mut f32>,
) {
    let apart = (0..2).all(|d| w.dilation[d] == 1 && w.kernel[d] <= w.stride[d]);
    for e in 0..examples {
        // SAFETY: the examples are there.
        unsafe {
            let (x, g) = (x.start.add(e * x.stride), g.start.add(e * g.stride));
            let dx = dx.start.add(e * dx.stride);
            clear(w, apart, dx);
            if apart {
                max_gradient_apart(isa, w, MaxGradient { x, g, dx });
            } else {
                max_gradient_overlap(isa, w, MaxGradient { x, g, dx });
            }
        }
    }
}

/// Sets to 0 what windows may leave out: nothing if they stand `apart` and cover the whole input.
unsafe fn clear(w: &Window, apart: bool, dx: *mut f32) {
    let covered =
        (0..2).all(|d| w.kernel[d] == w.stride[d] && w.output[d] * w.stride[d] >= w.input[d] + w.pad[d]);
    if !(apart && covered) {
        // SAFETY: `dx` is an input's gradient.
        unsafe { std::slice::from_raw_parts_mut(dx, w.input_elements()).fill(0.0) };
    }
}

/// At each window the element of `v` where `x` has its first maximum; 0 where a window has no tap.
///
/// # Safety
/// `x`, `v` and `y` hold `examples` examples at their strides; `y` overlaps neither, nor itself.
pub unsafe fn max_pool_pick(
    isa: Isa,
    w: &Window,
    examples: usize,
    x: Batch<*const f32>,
    v: Batch<*const f32>,
    y: Batch<*mut f32>,
) {
    for e in 0..examples {
        // SAFETY: the examples are there.
        unsafe {
            let (x, v) = (x.start.add(e * x.stride), v.start.add(e * v.stride));
            pick_one(isa, w, Pick { x, v, y: y.start.add(e * y.stride) });
        }
    }
}

/// The sum of each window.
///
/// # Safety
/// `x` and `y` hold `examples` examples at their strides; `y` does not overlap `x`, nor itself.
pub unsafe fn sum_pool(isa: Isa, w: &Window, examples: usize, x: Batch<*const f32>, y: Batch<*mut f32>) {
    for e in 0..examples {
        // SAFETY: the examples are there.
        unsafe { sum_one(isa, w, Sum { x: x.start.add(e * x.stride), y: y.start.add(e * y.stride) }) };
    }
}

/// The gradient of [`sum_pool`]'s input.
///
/// # Safety
/// `g` and `dx` hold `examples` examples at their strides; `dx` does not overlap `g`, nor itself.
pub unsafe fn sum_pool_gradient(
    isa: Isa,
    w: &Window,
    examples: usize,
    g: Batch<*const f32>,
    dx: Batch<*mut f32>,
) {
    for e in 0..examples {
        // SAFETY: the examples are there.
        unsafe {
            let dx = dx.start.add(e * dx.stride);
            clear(w, false, dx);
            sum_gradient_one(isa, w, SumGradient { g: g.start.add(e * g.stride), dx });
        }
    }
}
