//! The gradients of a convolution: for the input a convolution of the result's gradient with turned weights, or a product
//! for each set of pixels that the same taps read; for the weights one product over all windows of some examples.

use super::background::{Background, add_gradients};
use super::conv::{Batch, Conv, Padding, Window, forward_on, window_rows};
use super::depthwise;
use super::input_classes;
use super::isa::Isa;
use super::lumps::Over;
use super::products::Product;
use super::scratch::{Buffer, Scratch};
use super::tile::{Epilogue, Tiles};
use super::transpose::transpose;
use super::windows::reduce;

/// Floats of inputs and results that are worked on at a time, so that they stay in the cache.
const GROUP_FLOATS: usize = 64 * 1024;

/// How many examples make a group.
pub(super) fn group_of(examples: usize, floats_per_example: usize) -> usize {
    (GROUP_FLOATS / floats_per_example.max(1)).clamp(1, examples.max(1))
}

/// The gradient of the input: `dx[i] = sum of g[o] * w[tap]` over the windows and taps that read `i`.
///
/// # Safety
/// `g` and `dx` hold `examples` examples at their strides, `w` the weights; `dx` overlaps neither, and
/// its examples do not overlap each other.
pub unsafe fn input_gradient(
    conv: &Conv,
    examples: usize,
    g: Batch<*const f32>,
    w: *const f32,
    dx: Batch<*mut f32>,
    scratch: &mut Scratch,
) {
    // SAFETY: the same contract.
    unsafe { input_gradient_on(Isa::current(), conv, examples, g, w, dx, None, scratch) }
}

/// [`input_gradient`] with lumps, where they apply to the convolution.
///
/// # Safety
/// As for [`input_gradient`]; the layer's images are readable.
pub unsafe fn lumped_input_gradient(
    conv: &Conv,
    examples: usize,
    g: Batch<*const f32>,
    w: *const f32,
    dx: Batch<*mut f32>,
    over: Over,
    scratch: &mut Scratch,
) {
    // SAFETY: the same contract.
    unsafe { input_gradient_on(Isa::current(), conv, examples, g, w, dx, Some(over), scratch) }
}

/// # Safety
/// As for [`input_gradient`] and, with lumps, [`lumped_input_gradient`].
#[allow(clippy::too_many_arguments)]
pub(super) unsafe fn input_gradient_on(
    isa: Isa,
    conv: &Conv,
    examples: usize,
    g: Batch<*const f32>,
    w: *const f32,
    dx: Batch<*mut f32>,
    over: Option<Over>,
    scratch: &mut Scratch,
) {
    // SAFETY: the same contract.
    unsafe {
        if conv.depthwise() {
            return depthwise::input_gradient(isa, &conv.window, examples, g, w, dx);
        }
        let mut weights = std::mem::take(&mut scratch.weights);
        let mirror = mirrored(conv);
        let turned = turn_weights(conv, w, mirror.is_some(), &mut weights);
        match mirror {
            Some(mirror) => forward_on(isa, &mirror, examples, g, turned, dx, Epilogue::default(), scratch),
            None => input_classes::gradient(isa, conv, examples, g, turned, dx, over, scratch),
        }
        scratch.weights = weights;
    }
}

/// The convolution of `g` that gives the gradient of the input, where that does little needless work:
/// for windows side by side, whose results are hardly fewer than the inputs.
pub(super) fn mirrored(conv: &Conv) -> Option<Conv> {
    let w = &conv.window;
    let mut pad = [0; 2];
    for (d, pad) in pad.iter_mut().enumerate() {
        if w.stride[d] != 1 {
            return None;
        }
        *pad = ((w.kernel[d] - 1) * w.dilation[d]).checked_sub(w.pad[d])?;
    }
    let gather = w.input[0] * w.input[1] * conv.group_out();
    let scatter = w.windows() * (conv.group_out() + 4);
    let window = Window { input: w.output, channels: conv.out_channels, output: w.input, pad, ..*w };
    (gather <= scatter).then_some(Conv { window, out_channels: w.channels, groups: conv.groups })
}

/// Weights as `[kh, kw, out_channels / groups, channels]`, taps in reverse if `flip`.
unsafe fn turn_weights(conv: &Conv, w: *const f32, flip: bool, to: &mut Buffer) -> *const f32 {
    let (cin, cout) = (conv.group_in(), conv.group_out());
    let taps = conv.window.kernel[0] * conv.window.kernel[1];
    let to = to.take(conv.weight_elements() + cin * cout);
    let (to, block) = to.split_at_mut(conv.weight_elements());
    for tap in 0..taps {
        let target = if flip { taps - 1 - tap } else { tap };
        for group in 0..conv.groups {
            // SAFETY: a group's `cin` x `cout` weights of one tap; the copy is as large as the weights.
            unsafe {
                let from = w.add(tap * cin * conv.out_channels + group * cout);
                transpose(from, 1, conv.out_channels, cout, cin, block);
            }
            for (o, line) in block.chunks_exact(cin).enumerate() {
                let at = (target * cout + o) * conv.window.channels + group * cin;
                to[at..at + cin].copy_from_slice(line);
            }
        }
    }
    to.as_ptr()
}

/// The gradient of the weights, summed over the examples and, if `accumulate`, added to `dw`.
///
/// # Safety
/// `x` and `g` hold `examples` examples at their strides, `dw` the weights; `dw` overlaps neither.
#[allow(clippy::too_many_arguments)]
pub unsafe fn weight_gradient(
    conv: &Conv,
    examples: usize,
    x: Batch<*const f32>,
    g: Batch<*const f32>,
    dw: *mut f32,
    accumulate: bool,
    scratch: &mut Scratch,
) {
    // SAFETY: the same contract.
    unsafe { weight_gradient_on(Isa::current(), conv, examples, x, g, dw, accumulate, scratch) }
}

/// # Safety
/// As for [`weight_gradient`].
#[allow(clippy::too_many_arguments)]
pub(super) unsafe fn weight_gradient_on(
    isa: Isa,
    conv: &Conv,
    examples: usize,
    x: Batch<*const f32>,
    g: Batch<*const f32>,
    dw: *mut f32,
    accumulate: bool,
    scratch: &mut Scratch,
) {
    let window = &conv.window;
    // SAFETY: rows and taps stay inside of the images that `Padding` describes, and of `g`.
    unsafe {
        if !accumulate {
            std::slice::from_raw_parts_mut(dw, conv.weight_elements()).fill(0.0);
        }
        if conv.depthwise() {
            return depthwise::weight_gradient(isa, window, examples, x, g, dw);
        }
        let padding = Padding::of(window);
        let floats = padding.elements(window.channels);
        let size = group_of(examples, floats + conv.output_elements());
        let padded = padding.copies.then(|| scratch.image.take(size * floats).as_mut_ptr());
        weight_rows(conv, &padding, &mut scratch.rows);
        let mut background = None;
        let mut sums = std::mem::take(&mut scratch.pixel_sums);
        sums.zeros(conv.out_channels);
        for first in (0..examples).step_by(size) {
            let count = size.min(examples - first);
            let images = Batch { start: x.start.add(first * x.stride), stride: x.stride };
            let images = padding.group(window, images, count, padded);
            if first == 0 {
                background = Background::of(isa, conv, &padding, size, images.start, scratch);
                if background.is_some() {
                    window_rows(conv, &padding, &mut scratch.some_rows);
                }
            }
            let k = match background {
                None => window_taps(conv, &padding, count, images.stride, g.stride, &mut scratch.taps),
                Some(background) => {
                    scratch.taps.clear();
                    for example in 0..count {
                        background.split(isa, images.start.add(example * images.stride), scratch);
                        let Scratch { taps, some_rows: windows, live, blank, left_out, .. } = &mut *scratch;
                        let [of_image, of_g] = [images.stride, g.stride].map(|n| (example * n) as isize);
                        let offsets = live.iter().map(|window| windows[*window]);
                        taps.extend(offsets.map(|(x, g)| (of_image + x, of_g + g)));
                        let g = g.start.add((first + example) * g.stride);
                        add_gradients(isa, blank, g, sums.take(conv.out_channels));
                        *left_out += (blank.len() * conv.weight_elements()) as u64;
                    }
                    1
                }
            };
            for group in 0..conv.groups {
                let p = Product {
                    m: scratch.rows.len(),
                    n: conv.group_out(),
                    k,
                    a: images.start.add(group * conv.group_in()),
                    a_step: (window.stride[1] * window.channels) as isize,
                    b: g.start.add(first * g.stride + group * conv.group_out()),
                    b_step: conv.out_channels as isize,
                    c: dw.add(group * conv.group_out()),
                    taps: &scratch.taps,
                    accumulate: true,
                    epilogue: Epilogue::default(),
                };
                reduce(Tiles::of(isa), &p, &scratch.rows);
            }
        }
        if let Some(background) = background {
            background.add_products(isa, sums.take(conv.out_channels), dw);
        }
        scratch.pixel_sums = sums;
    }
}

/// For each weight of one output channel: the offset of its first pixel, and of the weight.
fn weight_rows(conv: &Conv, padding: &Padding, rows: &mut Vec<(isize, isize)>) {
    let Window { kernel, dilation, channels, .. } = conv.window;
    rows.clear();
    for ky in 0..kernel[0] {
        for kx in 0..kernel[1] {
            let a = (ky * dilation[0] * padding.extents[1] + kx * dilation[1]) * channels;
            for ci in 0..conv.group_in() {
                let c = ((ky * kernel[1] + kx) * conv.group_in() + ci) * conv.out_channels;
                rows.push(((a + ci) as isize, c as isize));
            }
        }
    }
}

/// The rows of windows of all examples, offsets in the images and in `g`; gives the length of each.
fn window_taps(
    conv: &Conv,
    padding: &Padding,
    examples: usize,
    x_stride: usize,
    g_stride: usize,
    taps: &mut Vec<(isize, isize)>,
) -> usize {
    let Window { output, stride, channels, .. } = conv.window;
    taps.clear();
    let row = stride[0] * padding.extents[1];
    // Where the next row of windows goes on right after this one, all are one tap.
    let joined = row == output[1] * stride[1];
    let rows = if joined { 1 } else { output[0] };
    for example in 0..examples {
        for oy in 0..rows {
            let a = example * x_stride + oy * row * channels;
            let b = example * g_stride + oy * output[1] * conv.out_channels;
            taps.push((a as isize, b as isize));
        }
    }
    if joined { conv.window.windows() } else { output[1] }
}
