//! Windows over one and the same pixel: what lies over the background of a drawing, also behind layers that see it by
//! windows themselves. All of them have the same result, and as gradients of weights they are one product of that pixel
//! with the sum of their gradients.

use super::blank::sort;
use super::conv::{Conv, Padding, Window};
use super::isa::{Isa, by_isa, versions};
use super::scratch::Scratch;
use super::simd::{Portable, Vector, load_some};
#[cfg(target_arch = "x86_64")]
use super::simd::{Wide256, Wide512};

/// Windows of the first example of which at least one must be over the background, for the others to be looked at.
const SHARE: usize = 8;
/// Channels from which on a window costs more than the look at its pixels.
const CHANNELS: usize = 16;
/// Pixels of a row, which has a bit for each.
const MOST: usize = 64;

/// What is known of the background of some examples.
#[derive(Clone, Copy)]
pub(super) struct Background {
    window: Window,
    /// Of the (padded) image.
    extents: [usize; 2],
    /// The pixel.
    pixel: *const f32,
}

impl Background {
    /// Takes the first pixel of the first (padded) image inside of the padding for the background of so many examples, if
    /// that image has enough windows over nothing else.
    ///
    /// # Safety
    /// The image is readable.
    pub unsafe fn of(
        isa: Isa,
        conv: &Conv,
        padding: &Padding,
        examples: usize,
        image: *const f32,
        scratch: &mut Scratch,
    ) -> Option<Background> {
        let (window, extents) = (conv.window, padding.extents);
        let suits = conv.groups == 1 && window.channels >= CHANNELS && extents[1] <= MOST;
        if !suits || window.windows() < SHARE {
            return None;
        }
        // Room for lists of windows is taken at first use, not when a background first appears.
        scratch.some_rows.clear();
        scratch.some_rows.reserve(window.windows());
        scratch.taps.clear();
        scratch.taps.reserve(examples * window.windows());
        // Without copies there is no padding; with them it may be wider than what windows cover.
        let before = [0, 1].map(|d| window.pad[d].min(extents[d] - 1));
        let pixel = scratch.pixel.take(window.channels);
        // SAFETY: a pixel of the image.
        unsafe {
            let from = image.add((before[0] * extents[1] + before[1]) * window.channels);
            pixel.copy_from_slice(std::slice::from_raw_parts(from, window.channels));
            let background = Background { window, extents, pixel: pixel.as_ptr() };
            background.split(isa, image, scratch);
            (scratch.blank.len() * SHARE >= window.windows()).then_some(background)
        }
    }

    /// Sorts the windows into those over something else and those over the background alone, in `scratch.live` and
    /// `scratch.blank`.
    ///
    /// # Safety
    /// The image is readable.
    pub unsafe fn split(&self, isa: Isa, image: *const f32, scratch: &mut Scratch) {
        let Scratch { live, blank, masks, .. } = scratch;
        let Window { output, kernel, stride, dilation, channels, .. } = self.window;
        masks.resize(self.extents[0].max(masks.len()), 0);
        // SAFETY: the same contract; there is a word for each row.
        unsafe {
            by_isa!(isa, portable, avx2, avx512)(
                self.extents,
                channels,
                image,
                self.pixel,
                masks.as_mut_ptr(),
            )
        };
        sort(output, live, blank, |y| {
            let rows = (0..kernel[0]).map(|tap| masks[y * stride[0] + tap * dilation[0]]);
            let all = rows.fold(u64::MAX, |all, row| all & row);
            let all = (0..kernel[1]).fold(u64::MAX, |both, tap| both & all >> (tap * dilation[1]));
            move |x| all >> (x * stride[1]) & 1 == 1
        });
    }

    /// Adds the products of the pixel and `sums`, a number for each output channel, to each tap of `dw`.
    ///
    /// # Safety
    /// `dw` holds the weights of the convolution.
    pub unsafe fn add_products(&self, isa: Isa, sums: &[f32], dw: *mut f32) {
        let taps = self.window.kernel.iter().product();
        // SAFETY: the same contract.
        unsafe { outer(isa, [taps, self.window.channels, sums.len()], self.pixel, sums.as_ptr(), dw) };
    }
}

/// Copies the result of a window to the places of others.
///
/// # Safety
/// Results of all windows are writable, that at `from` readable.
pub(super) unsafe fn repeat(windows: &[usize], channels: usize, from: *const f32, y: *mut f32) {
    for window in windows {
        // SAFETY: the same contract; it may be one and the same place.
        unsafe { std::ptr::copy(from, y.add(window * channels), channels) };
    }
}

/// Adds the gradients of some windows to their sum.
///
/// # Safety
/// Gradients of all windows are readable.
pub(super) unsafe fn add_gradients(isa: Isa, windows: &[usize], g: *const f32, sums: &mut [f32]) {
    // SAFETY: the same contract.
    unsafe { add_rows(isa, windows, sums.len(), g, sums.as_mut_ptr()) };
}

versions! {
    /// # Safety
    /// As for [`add_gradients`].
    unsafe fn add_rows(windows: &[usize], channels: usize, g: *const f32, sums: *mut f32) = add_rows_body;
}

versions! {
    /// # Safety
    /// As for [`Background::add_products`].
    unsafe fn outer(sizes: [usize; 3], pixel: *const f32, sums: *const f32, dw: *mut f32) = outer_body;
}

/// For each row of the image a bit for each pixel that has the numbers of this one.
///
/// # Safety
/// The processor has V's features; image and pixel are readable, the masks of all rows writable.
#[inline(always)]
unsafe fn same_pixels<V: Vector>(
    [rows, columns]: [usize; 2],
    channels: usize,
    image: *const f32,
    pixel: *const f32,
    masks: *mut u64,
) {
    // SAFETY: `n` channels of each pixel.
    unsafe {
        let (least, all) = (V::splat(f32::MIN_POSITIVE), ((1u64 << V::LANES) - 1) as u32);
        for row in 0..rows {
            let mut others = 0;
            for first in (0..channels).step_by(V::LANES) {
                let n = V::LANES.min(channels - first);
                let this: V = load_some(pixel.add(first), n);
                for column in 0..columns {
                    let at: V = load_some(image.add((row * columns + column) * channels + first), n);
                    // What is not a number is less than nothing, so it is not the same as anything.
                    let (above, below) = (at.sub(this), this.sub(at));
                    let same = V::bits(least.greater(above)) & V::bits(least.greater(below));
                    others |= u64::from(same != all) << column;
                }
            }
            *masks.add(row) = !others;
        }
    }
}

macro_rules! same_pixels {
    ($name:ident, $vector:ty $(, $features:literal)?) => {
        $(#[target_feature(enable = $features)])?
        unsafe fn $name(e: [usize; 2], c: usize, image: *const f32, pixel: *const f32, masks: *mut u64) {
            // SAFETY: the caller's contract is the same, and the features are there.
            unsafe { same_pixels::<$vector>(e, c, image, pixel, masks) }
        }
    };
}

same_pixels!(portable, Portable);
#[cfg(target_arch = "x86_64")]
same_pixels!(avx2, Wide256, "avx2,fma");
#[cfg(target_arch = "x86_64")]
same_pixels!(avx512, Wide512, "avx512f,avx512vl,avx512dq,avx512bw,avx2,fma");

#[inline(always)]
unsafe fn add_rows_body(windows: &[usize], channels: usize, g: *const f32, sums: *mut f32) {
    // SAFETY: the caller's contract.
    unsafe {
        let sums = std::slice::from_raw_parts_mut(sums, channels);
        for window in windows {
            let g = std::slice::from_raw_parts(g.add(window * channels), channels);
            sums.iter_mut().zip(g).for_each(|(sum, g)| *sum += g);
        }
    }
}

#[inline(always)]
unsafe fn outer_body(
    [taps, channels, out_channels]: [usize; 3],
    pixel: *const f32,
    sums: *const f32,
    dw: *mut f32,
) {
    // SAFETY: the caller's contract.
    unsafe {
        let sums = std::slice::from_raw_parts(sums, out_channels);
        for row in 0..taps * channels {
            let x = *pixel.add(row % channels);
            let dw = std::slice::from_raw_parts_mut(dw.add(row * out_channels), out_channels);
            dw.iter_mut().zip(sums).for_each(|(dw, sum)| *dw = x.mul_add(*sum, *dw));
        }
    }
}
