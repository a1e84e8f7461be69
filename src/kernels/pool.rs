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

/// Calls `f` with the offset of the window in the result, of its channels, and an iterator over the
/// offsets of its taps in the input, for each window and block of channels.
#[inline(always)]
fn each_window(w: &Window, mut f: impl FnMut(usize, usize, Taps)) {
    for oy in 0..w.output[0] {
        let (y0, y1, y) = taps(w, 0, oy);
        for ox in 0..w.output[1] {
            let (x0, x1, x) = taps(w, 1, ox);
            let result = (oy * w.output[1] + ox) * w.channels;
            if y0 == y1 || x0 == x1 {
                let none = Taps { start: 0, rows: 0, columns: 0, down: 0, right: 0 };
                each_block(w.channels, |c, n| f(result + c, n, none));
                continue;
            }
            let iy = y + y0 * w.dilation[0] - w.pad[0];
            let ix = x + x0 * w.dilation[1] - w.pad[1];
            let there = Taps {
                start: (iy * w.input[1] + ix) * w.channels,
                rows: y1 - y0,
                columns: x1 - x0,
                down: w.dilation[0] * w.input[1] * w.channels,
                right: w.dilation[1] * w.channels,
            };
            each_block(w.channels, |c, n| f(result + c, n, Taps { start: there.start + c, ..there }));
        }
    }
}

#[inline(always)]
fn each_block(channels: usize, mut f: impl FnMut(usize, usize)) {
    let whole = channels - channels % BLOCK;
    for c in (0..whole).step_by(BLOCK) {
        f(c, BLOCK);
    }
    if whole < channels {
        f(whole, channels - whole);
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

impl Taps {
    /// Row by row.
    #[inline(always)]
    fn each(self, mut f: impl FnMut(usize)) {
        for y in 0..self.rows {
            for x in 0..self.columns {
                f(self.start + y * self.down + x * self.right);
            }
        }
    }
}

/// A block of channels from memory; lanes from `n` on are 0.
#[inline(always)]
unsafe fn load(p: *const f32, n: usize) -> [f32; BLOCK] {
    if n == BLOCK {
        // SAFETY: 16 numbers are readable.
        return unsafe { p.cast::<[f32; BLOCK]>().read() };
    }
    let mut out = [0.0; BLOCK];
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
    for (i, x) in x.iter().enumerate().take(n) {
        // SAFETY: `n` numbers are writable.
        unsafe { *p.add(i) = *x };
    }
}

/// The maximum over the taps.
#[inline(always)]
unsafe fn maximum(x: *const f32, n: usize, taps: Taps) -> [f32; BLOCK] {
    let mut best = [f32::NEG_INFINITY; BLOCK];
    taps.each(|at| {
        // SAFETY: the tap lies in the input.
        let x = unsafe { load(x.add(at), n) };
        for (best, x) in best.iter_mut().zip(x) {
            *best = if x > *best { x } else { *best };
        }
    });
    best
}

#[inline(always)]
unsafe fn max_body(w: &Window, x: *const f32, y: *mut f32) {
    // SAFETY: offsets lie in the input and the result.
    each_window(w, |at, n, taps| unsafe { store(y.add(at), n, &maximum(x, n, taps)) });
}

/// With `OVERLAP`, windows may share pixels; `dx` is 0 before.
#[inline(always)]
unsafe fn max_gradient_body<const OVERLAP: bool>(w: &Window, x: *const f32, g: *const f32, dx: *mut f32) {
    each_window(w, |at, n, taps| {
        // SAFETY: offsets lie in the input and the result.
        unsafe {
            let best = maximum(x, n, taps);
            // What is left to give away: 0 once the first maximum has it.
            let mut rest = load(g.add(at), n);
            taps.each(|at| {
                let x = load(x.add(at), n);
                let mut out = if OVERLAP { load(dx.add(at), n) } else { [0.0; BLOCK] };
                for i in 0..BLOCK {
                    let hit = x[i] == best[i];
                    let given = if hit { rest[i] } else { 0.0 };
                    out[i] = if OVERLAP { out[i] + given } else { given };
                    rest[i] = if hit { 0.0 } else { rest[i] };
                }
                store(dx.add(at), n, &out);
            });
        }
    });
}

#[inline(always)]
unsafe fn pick_body(w: &Window, x: *const f32, v: *const f32, y: *mut f32) {
    each_window(w, |at, n, taps| {
        // SAFETY: offsets lie in the input and the result.
        unsafe {
            let best = maximum(x, n, taps);
            let mut picked = [0.0; BLOCK];
            let mut open = [true; BLOCK];
            taps.each(|at| {
                let (x, v) = (load(x.add(at), n), load(v.add(at), n));
                for i in 0..BLOCK {
                    let hit = open[i] & (x[i] == best[i]);
                    picked[i] = if hit { v[i] } else { picked[i] };
                    open[i] &= !hit;
                }
            });
            store(y.add(at), n, &picked);
        }
    });
}

#[inline(always)]
unsafe fn sum_body(w: &Window, x: *const f32, y: *mut f32) {
    each_window(w, |at, n, taps| {
        let mut sum = [0.0; BLOCK];
        taps.each(|at| {
            // SAFETY: the tap lies in the input.
            let x = unsafe { load(x.add(at), n) };
            for (sum, x) in sum.iter_mut().zip(x) {
                *sum += x;
            }
        });
        // SAFETY: the offset lies in the result.
        unsafe { store(y.add(at), n, &sum) };
    });
}

/// `dx` is 0 before.
#[inline(always)]
unsafe fn sum_gradient_body(w: &Window, g: *const f32, dx: *mut f32) {
    each_window(w, |at, n, taps| {
        // SAFETY: offsets lie in the input and the result.
        unsafe {
            let g = load(g.add(at), n);
            taps.each(|at| {
                let mut out = load(dx.add(at), n);
                for (out, g) in out.iter_mut().zip(g) {
                    *out += g;
                }
                store(dx.add(at), n, &out);
            });
        }
    });
}

versions! {
    unsafe fn max_one(w: &Window, x: *const f32, y: *mut f32) = max_body;
}
versions! {
    unsafe fn max_gradient_apart(w: &Window, x: *const f32, g: *const f32, dx: *mut f32) = max_gradient_body::<false>;
}
versions! {
    unsafe fn max_gradient_overlap(w: &Window, x: *const f32, g: *const f32, dx: *mut f32) = max_gradient_body::<true>;
}
versions! {
    unsafe fn pick_one(w: &Window, x: *const f32, v: *const f32, y: *mut f32) = pick_body;
}
versions! {
    unsafe fn sum_one(w: &Window, x: *const f32, y: *mut f32) = sum_body;
}
versions! {
    unsafe fn sum_gradient_one(w: &Window, g: *const f32, dx: *mut f32) = sum_gradient_body;
}

/// The maximum of each window; minus infinity where a window has no tap in the input.
///
/// # Safety
/// `x` and `y` hold `examples` examples at their strides; `y` does not overlap `x`, nor itself.
pub unsafe fn max_pool(isa: Isa, w: &Window, examples: usize, x: Batch<*const f32>, y: Batch<*mut f32>) {
    for e in 0..examples {
        // SAFETY: the examples are there.
        unsafe { max_one(isa, w, x.start.add(e * x.stride), y.start.add(e * y.stride)) };
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
                max_gradient_apart(isa, w, x, g, dx);
            } else {
                max_gradient_overlap(isa, w, x, g, dx);
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
            pick_one(isa, w, x, v, y.start.add(e * y.stride));
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
        unsafe { sum_one(isa, w, x.start.add(e * x.stride), y.start.add(e * y.stride)) };
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
            sum_gradient_one(isa, w, g.start.add(e * g.stride), dx);
        }
    }
}
