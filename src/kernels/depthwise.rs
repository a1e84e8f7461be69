//! Convolution of each channel alone: plain loops over runs of channels. Weights are `[kh, kw, channels]`.

use super::conv::{Batch, Window};
use super::isa::Isa;

/// A pixel's channels: `y += x * w`, or `w += x * y`: always a chain of fused multiply-adds.
#[inline(always)]
unsafe fn add_product(n: usize, a: *const f32, b: *const f32, c: *mut f32) {
    for i in 0..n {
        // SAFETY: `n` numbers are readable in `a` and `b`, and writable in `c`.
        unsafe { *c.add(i) = (*a.add(i)).mul_add(*b.add(i), *c.add(i)) };
    }
}

/// Which of the three operands is the result.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Part {
    Result,
    Input,
    Weights,
}

/// The loops that all three functions share: every tap of every window that lies in the input.
#[inline(always)]
unsafe fn each_tap(window: &Window, part: Part, x: *mut f32, w: *mut f32, y: *mut f32) {
    let c = window.channels;
    for ky in 0..window.kernel[0] {
        let (y0, y1) = window.valid(0, ky);
        for oy in y0..y1 {
            let iy = oy * window.stride[0] + ky * window.dilation[0] - window.pad[0];
            for kx in 0..window.kernel[1] {
                let (x0, x1) = window.valid(1, kx);
                for ox in x0..x1 {
                    let ix = ox * window.stride[1] + kx * window.dilation[1] - window.pad[1];
                    // SAFETY: `valid` keeps the pixel inside of the input; the rest are extents.
                    unsafe {
                        let x = x.add((iy * window.input[1] + ix) * c);
                        let w = w.add((ky * window.kernel[1] + kx) * c);
                        let y = y.add((oy * window.output[1] + ox) * c);
                        match part {
                            Part::Result => add_product(c, x, w, y),
                            Part::Input => add_product(c, y, w, x),
                            Part::Weights => add_product(c, x, y, w),
                        }
                    }
                }
            }
        }
    }
}

unsafe fn scalar<const PART: u8>(window: &Window, x: *mut f32, w: *mut f32, y: *mut f32) {
    let part = [Part::Result, Part::Input, Part::Weights][PART as usize];
    // SAFETY: the caller's contract is the same.
    unsafe { each_tap(window, part, x, w, y) }
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,fma")]
unsafe fn avx2<const PART: u8>(window: &Window, x: *mut f32, w: *mut f32, y: *mut f32) {
    let part = [Part::Result, Part::Input, Part::Weights][PART as usize];
    // SAFETY: the caller's contract is the same, and the features are there.
    unsafe { each_tap(window, part, x, w, y) }
}

fn loops<const PART: u8>(isa: Isa) -> unsafe fn(&Window, *mut f32, *mut f32, *mut f32) {
    match isa.min(Isa::detected()) {
        Isa::Scalar => scalar::<PART>,
        #[cfg(target_arch = "x86_64")]
        Isa::Avx2 | Isa::Avx512 => avx2::<PART>,
        #[cfg(not(target_arch = "x86_64"))]
        Isa::Avx2 | Isa::Avx512 => scalar::<PART>,
    }
}

/// `y = conv(x, w)`.
///
/// # Safety
/// As for `conv::forward`.
pub(super) unsafe fn forward(
    isa: Isa,
    window: &Window,
    examples: usize,
    x: Batch<*const f32>,
    w: *const f32,
    y: Batch<*mut f32>,
) {
    for example in 0..examples {
        // SAFETY: the examples are there; `x` and `w` are only read.
        unsafe {
            let result = y.start.add(example * y.stride);
            std::slice::from_raw_parts_mut(result, window.windows() * window.channels).fill(0.0);
            let image = x.start.add(example * x.stride).cast_mut();
            loops::<0>(isa)(window, image, w.cast_mut(), result);
        }
    }
}

/// The gradient of the input.
///
/// # Safety
/// As for `conv::input_gradient`.
pub(super) unsafe fn input_gradient(
    isa: Isa,
    window: &Window,
    examples: usize,
    g: Batch<*const f32>,
    w: *const f32,
    dx: Batch<*mut f32>,
) {
    for example in 0..examples {
        // SAFETY: the examples are there; `g` and `w` are only read.
        unsafe {
            let result = dx.start.add(example * dx.stride);
            std::slice::from_raw_parts_mut(result, window.input_elements()).fill(0.0);
            let g = g.start.add(example * g.stride).cast_mut();
            loops::<1>(isa)(window, result, w.cast_mut(), g);
        }
    }
}

/// Adds the gradient of the weights to `dw`.
///
/// # Safety
/// As for `conv::weight_gradient`.
pub(super) unsafe fn weight_gradient(
    isa: Isa,
    window: &Window,
    examples: usize,
    x: Batch<*const f32>,
    g: Batch<*const f32>,
    dw: *mut f32,
) {
    for example in 0..examples {
        // SAFETY: the examples are there; `x` and `g` are only read.
        unsafe {
            let image = x.start.add(example * x.stride).cast_mut();
            let g = g.start.add(example * g.stride).cast_mut();
            loops::<2>(isa)(window, image, dw, g);
        }
    }
}
