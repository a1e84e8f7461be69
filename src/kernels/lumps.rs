//! Gradients of pixels that come of windows over nothing but zeros: the background of drawings, seen by a first layer.
//! Such windows have no part in the gradient of that layer's weights, and in that of its bias only the sum of their
//! gradients counts, since all of them have the same result. So these pixels are left out, and the first of them gets
//! the sum: what all pixels get together, less what the others got.

use super::background::add_gradients;
use super::blank::Reach;
use super::conv::{Batch, Conv, Padding};
use super::conv_gradient::mirrored;
use super::conv_pool::ConvPool;
use super::isa::{Isa, versions};
use super::scratch::{Buffer, Scratch};

/// Of so many pixels of an image at least one must be left out.
const SHARE: usize = 8;

/// The images of the layer that the pixels come from, and its windows: one for each pixel.
#[derive(Clone, Copy)]
pub struct Over<'a> {
    /// One image per example.
    pub images: Batch<*const f32>,
    /// The layer.
    pub layer: &'a Conv,
}

/// Whether the gradient of the input of a convolution can leave out pixels that come of this layer: every window has all
/// its taps, the gradient is made by sets of pixels, and looking at the layer's images costs little.
pub fn applies(conv: &Conv, layer: &Conv) -> bool {
    let pixels = layer.window.output == conv.window.input && layer.out_channels == conv.window.channels;
    let by_pixels = conv.groups == 1 && conv.window.inside() && mirrored(conv).is_none();
    pixels && by_pixels && layer.groups == 1 && reach(layer).is_some()
}

/// What each window of the layer reaches.
fn reach(layer: &Conv) -> Option<Reach> {
    Reach::of(&ConvPool::new(*layer, [1, 1], false), &Padding::of(&layer.window))
}

/// What a call keeps of pixels that are left out.
#[derive(Clone, Default)]
pub(super) struct Lumps {
    /// For each pixel of a group of examples whether it is left out.
    left_out: Vec<bool>,
    /// Of each example how many are not.
    live: Vec<usize>,
    /// The pixels of each example, those that are left out at the end.
    order: Vec<usize>,
    /// The weights of each pair of channels summed over the taps, `[out_channels, channels]`.
    weights: Buffer,
    /// All windows.
    windows: Vec<usize>,
    /// The gradients of each output channel.
    sums: Buffer,
    pixels: usize,
    out_channels: usize,
    channels: usize,
}

impl Lumps {
    /// For groups of so many examples of a convolution with turned weights `[kh, kw, out_channels, channels]`.
    ///
    /// # Safety
    /// There are as many weights as the convolution has.
    pub unsafe fn start(&mut self, conv: &Conv, examples: usize, turned: *const f32) {
        let w = &conv.window;
        (self.pixels, self.out_channels, self.channels) =
            (w.input[0] * w.input[1], conv.out_channels, w.channels);
        self.left_out.resize(self.left_out.len().max(examples * self.pixels), false);
        self.order.resize(self.order.len().max(examples * self.pixels), 0);
        self.live.resize(self.live.len().max(examples), 0);
        self.windows.clear();
        self.windows.extend(0..w.windows());
        self.sums.take(conv.out_channels);
        let sums = self.weights.zeros(conv.out_channels * w.channels);
        for tap in 0..w.kernel[0] * w.kernel[1] {
            // SAFETY: the weights of a tap.
            let weights = unsafe { std::slice::from_raw_parts(turned.add(tap * sums.len()), sums.len()) };
            sums.iter_mut().zip(weights).for_each(|(sum, weight)| *sum += weight);
        }
    }

    /// Looks at an example, which is number `at` of its group.
    ///
    /// # Safety
    /// Its image is readable.
    pub unsafe fn look(&mut self, isa: Isa, over: Over, example: usize, at: usize, scratch: &mut Scratch) {
        self.live[at] = self.pixels;
        let window = &over.layer.window;
        let padding = Padding::of(window);
        let Some(reach) = reach(over.layer) else { return };
        // SAFETY: the caller's contract; the copy is as large as the padded image.
        unsafe {
            let mut image = over.images.start.add(example * over.images.stride);
            if padding.copies {
                let to = scratch.image.take(padding.elements(window.channels)).as_mut_ptr();
                padding.copy(window, image, to);
                image = to;
            }
            reach.split(isa, image, scratch);
        }
        if scratch.blank.len() * SHARE >= self.pixels {
            let here = at * self.pixels..(at + 1) * self.pixels;
            self.live[at] = scratch.live.len();
            let (live, blank) = self.order[here.clone()].split_at_mut(scratch.live.len());
            live.copy_from_slice(&scratch.live);
            blank.copy_from_slice(&scratch.blank);
            let left_out = &mut self.left_out[here];
            left_out.fill(false);
            scratch.blank.iter().for_each(|pixel| left_out[*pixel] = true);
        }
    }

    /// The pixels of an example that are left out, if there are any.
    pub fn left_out(&self, at: usize) -> Option<&[bool]> {
        (self.live[at] < self.pixels).then(|| &self.left_out[at * self.pixels..][..self.pixels])
    }

    /// Finishes the gradient of an example's image, from those of its windows.
    ///
    /// # Safety
    /// Gradients and image are as large as the convolution says.
    pub unsafe fn finish(&mut self, isa: Isa, at: usize, g: *const f32, image: *mut f32) {
        if self.live[at] == self.pixels {
            return;
        }
        let (out_channels, channels) = (self.out_channels, self.channels);
        let sums = self.sums.zeros(out_channels);
        let weights = self.weights.take(out_channels * channels).as_ptr();
        let (live, left_out) = self.order[at * self.pixels..][..self.pixels].split_at(self.live[at]);
        // SAFETY: the caller's contract; the buffers are as large.
        unsafe {
            add_gradients(isa, &self.windows, g, sums);
            lump(isa, [out_channels, channels], sums.as_ptr(), weights, live, left_out, image);
        }
    }
}

versions! {
    /// Sets the gradients of pixels that are left out to 0, but for the first, which gets what all get together, the
    /// products of `sums[out_channels]` and `weights[out_channels, channels]`, less what the others got.
    ///
    /// # Safety
    /// The image has all pixels of both lists.
    unsafe fn lump(
        sizes: [usize; 2],
        sums: *const f32,
        weights: *const f32,
        live: &[usize],
        left_out: &[usize],
        image: *mut f32,
    ) = lump_body;
}

/// Channels that are done at a time.
const BLOCK: usize = 16;

#[inline(always)]
unsafe fn lump_body(
    [out_channels, channels]: [usize; 2],
    sums: *const f32,
    weights: *const f32,
    live: &[usize],
    left_out: &[usize],
    image: *mut f32,
) {
    for first in (0..channels).step_by(BLOCK) {
        let n = BLOCK.min(channels - first);
        // SAFETY: the caller's contract; `n` channels of each.
        unsafe {
            if n == BLOCK {
                lump_channels::<BLOCK>(
                    out_channels,
                    channels,
                    sums,
                    weights.add(first),
                    [live, left_out],
                    image.add(first),
                );
            } else {
                for one in first..channels {
                    let (weights, image) = (weights.add(one), image.add(one));
                    lump_channels::<1>(out_channels, channels, sums, weights, [live, left_out], image);
                }
            }
        }
    }
}

#[inline(always)]
unsafe fn lump_channels<const N: usize>(
    out_channels: usize,
    channels: usize,
    sums: *const f32,
    weights: *const f32,
    [live, left_out]: [&[usize]; 2],
    image: *mut f32,
) {
    // SAFETY: the caller's contract.
    unsafe {
        let mut total = [0.0f32; N];
        for out in 0..out_channels {
            let (sum, weights) = (*sums.add(out), weights.add(out * channels));
            for (i, total) in total.iter_mut().enumerate() {
                *total = sum.mul_add(*weights.add(i), *total);
            }
        }
        for pixel in live {
            let at = image.add(pixel * channels);
            for (i, total) in total.iter_mut().enumerate() {
                *total -= *at.add(i);
            }
        }
        for pixel in left_out {
            image.add(pixel * channels).cast::<[f32; N]>().write_unaligned([0.0; N]);
        }
        if let Some(first) = left_out.first() {
            image.add(first * channels).cast::<[f32; N]>().write_unaligned(total);
        }
    }
}
