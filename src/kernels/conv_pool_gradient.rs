//! The gradients of convolution, ReLU and max-pooling from the pooled gradient and the places of the
//! maxima: only what carries gradient is touched, one element per pooling window and channel at most.
//!
//! For the weights, each output channel gathers the pixels under its maxima; for the input, each pixel of
//! the convolution's result sends the weights of those channels that have their maximum there.

use super::blank::Reach;
use super::conv::{Batch, Padding, Window};
use super::conv_pool::{ConvPool, MAX_TAPS, NONE, Segments, all_live};
use super::isa::{Isa, versions};
use super::maxima::{CHANNELS, Example, Maxima};
use super::patch;
use super::products::share;
use super::rowsum::{Gather, Rows, SPREAD_COLUMNS, Spread};
use super::scratch::Scratch;
use super::transpose::transpose;

/// Channels of which a word of [`tap_masks`] knows.
pub(super) const MASK_CHANNELS: usize = 64;

/// `dw += `, `dbias += ` the gradients of the weights and of the bias for some examples, or `=` unless
/// `accumulate`; `dbias` may be null. The examples are summed in order, then added to what was there.
///
/// # Safety
/// `shape` is supported. `x`, `g` and `which` hold `examples` examples at their strides, `which` as
/// [`super::conv_pool::forward`] left it; `dw` the weights, `dbias` one number per output channel. Neither
/// overlaps anything.
#[allow(clippy::too_many_arguments)]
pub unsafe fn weight_gradient(
    shape: &ConvPool,
    examples: usize,
    x: Batch<*const f32>,
    g: Batch<*const f32>,
    which: Batch<*const u8>,
    dw: *mut f32,
    dbias: *mut f32,
    accumulate: bool,
    scratch: &mut Scratch,
) {
    // SAFETY: the same contract.
    unsafe {
        weight_gradient_on(Isa::current(), shape, examples, x, g, which, dw, dbias, accumulate, scratch)
    }
}

/// # Safety
/// As for [`weight_gradient`].
#[allow(clippy::too_many_arguments)]
pub(super) unsafe fn weight_gradient_on(
    isa: Isa,
    shape: &ConvPool,
    examples: usize,
    x: Batch<*const f32>,
    g: Batch<*const f32>,
    which: Batch<*const u8>,
    dw: *mut f32,
    dbias: *mut f32,
    accumulate: bool,
    scratch: &mut Scratch,
) {
    let conv = shape.needed();
    let padding = Padding::of(&conv.window);
    let channels = conv.out_channels;
    let floats = padding.elements(conv.window.channels);
    let (windows, weights) = (shape.windows(), conv.weight_elements());
    let (patches, reach) = (patch::Patches::of(shape, &padding), Reach::of(shape, &padding));
    all_live(shape, scratch);
    scratch.offsets.clear();
    scratch.offsets.extend(shape.window_offsets(&padding));
    let mut sums = std::mem::take(&mut scratch.sums);
    let total = sums.zeros(weights + channels).as_mut_ptr();
    // SAFETY: windows and taps stay inside of the image that `Padding` describes.
    unsafe {
        let bias = total.add(weights);
        let padded = padding.copies.then(|| scratch.image.take(floats).as_mut_ptr());
        for example in 0..examples {
            let mut image = x.start.add(example * x.stride);
            if let Some(to) = padded {
                padding.copy(&conv.window, image, to);
                image = to;
            }
            let g = g.start.add(example * g.stride);
            let which = which.start.add(example * which.stride);
            if let Some(patches) = &patches {
                if let Some(reach) = reach {
                    reach.split(isa, image, scratch);
                }
                let Scratch { offsets, live, blank, patches: buffer, left_out, .. } = &mut *scratch;
                *left_out += (blank.len() * weights) as u64;
                let lists = [&live[..], &blank[..]];
                patches.weight_gradient(isa, image, offsets, lists, channels, g, which, total, bias, buffer);
            } else {
                gather_example(isa, shape, &padding, image, g, which, total, scratch);
                bias_sums(isa, which, g, windows, channels, bias);
            }
        }
        let turned = patches.is_none();
        add_to(turned, weights / channels, channels, total, dw, accumulate);
        if !dbias.is_null() {
            add_to(false, 1, channels, bias, dbias, accumulate);
        }
    }
    scratch.sums = sums;
}

/// Adds `from`, which has `rows` and `columns` changed if `turned`, to `to`.
unsafe fn add_to(
    turned: bool,
    rows: usize,
    columns: usize,
    from: *const f32,
    to: *mut f32,
    accumulate: bool,
) {
    const BLOCK: usize = 32;
    let (down, right) = if turned { (1, rows) } else { (columns, 1) };
    let mut block = [0.0; BLOCK * BLOCK];
    for i0 in (0..rows).step_by(BLOCK) {
        for j0 in (0..columns).step_by(BLOCK) {
            let (height, width) = (BLOCK.min(rows - i0), BLOCK.min(columns - j0));
            // SAFETY: a block of both matrices.
            unsafe {
                transpose(from.add(i0 * down + j0 * right), down, right, height, width, &mut block);
                for (i, line) in block.chunks_exact(width).take(height).enumerate() {
                    let to = std::slice::from_raw_parts_mut(to.add((i0 + i) * columns + j0), width);
                    for (to, from) in to.iter_mut().zip(line) {
                        *to = if accumulate { *to + from } else { *from };
                    }
                }
            }
        }
    }
}

versions! {
    /// Adds the gradients that flow, window by window.
    unsafe fn bias_sums(which: *const u8, g: *const f32, windows: usize, channels: usize, bias: *mut f32)
        = sum_windows;
}

#[inline(always)]
unsafe fn sum_windows(which: *const u8, g: *const f32, windows: usize, channels: usize, bias: *mut f32) {
    const BLOCK: usize = 16;
    let whole = channels - channels % BLOCK;
    for first in (0..whole).step_by(BLOCK) {
        // SAFETY: a window's channels in all three.
        unsafe {
            let mut sums = bias.add(first).cast::<[f32; BLOCK]>().read();
            for at in (0..windows).map(|w| w * channels + first) {
                let which = which.add(at).cast::<[u8; BLOCK]>().read();
                let g = g.add(at).cast::<[f32; BLOCK]>().read();
                for c in 0..BLOCK {
                    sums[c] += if which[c] == NONE { 0.0 } else { g[c] };
                }
            }
            bias.add(first).cast::<[f32; BLOCK]>().write(sums);
        }
    }
    for c in whole..channels {
        for at in (0..windows).map(|w| w * channels + c) {
            // SAFETY: as above.
            unsafe { *bias.add(c) += if *which.add(at) == NONE { 0.0 } else { *g.add(at) } };
        }
    }
}

/// Adds one example's gradient to the weights' in the order `[out_channels, kh, kw, channels]`.
///
/// # Safety
/// As for [`weight_gradient`]; `image` is the padded one, and `scratch` knows the windows' offsets.
#[allow(clippy::too_many_arguments)]
unsafe fn gather_example(
    isa: Isa,
    shape: &ConvPool,
    padding: &Padding,
    image: *const f32,
    g: *const f32,
    which: *const u8,
    sums: *mut f32,
    scratch: &mut Scratch,
) {
    let channels = shape.conv.out_channels;
    let segments = Segments::of(&shape.conv, padding);
    let taps = shape.tap_offsets(padding);
    let rows = Rows::of(isa);
    let Scratch { offsets, maxima, .. } = scratch;
    let example = Example { which, g, channels, windows: offsets, taps: &taps };
    // SAFETY: the caller's windows; a channel's sums hold all segments.
    unsafe {
        for first in (0..channels).step_by(CHANNELS) {
            maxima.list(isa, &example, first);
            let own = sums.add(first * segments.count * segments.len);
            gather_channels(rows, &segments, image, own, maxima);
        }
    }
}

/// All segments and columns of the listed output channels.
///
/// # Safety
/// The pixels of the lists lie in the image; `sums` holds all segments of each channel.
unsafe fn gather_channels(
    rows: &Rows,
    segments: &Segments,
    image: *const f32,
    sums: *mut f32,
    maxima: &mut Maxima,
) {
    let vectors = segments.len.div_ceil(rows.lanes);
    let passes = |together: usize, most: usize| (segments.count / together) * vectors.div_ceil(most);
    let threes = passes(3, rows.gather_three.len()) <= 3 * passes(3, rows.gather_one.len());
    let mut segment = 0;
    while segment < segments.count {
        let three = threes && segment + 3 <= segments.count;
        let (count, variants) = if three { (3, rows.gather_three) } else { (1, rows.gather_one) };
        let blocks = vectors.div_ceil(variants.len());
        for block in 0..blocks {
            let (start, end) = (share(vectors, blocks, block), share(vectors, blocks, block + 1));
            let first = start * rows.lanes;
            let columns = (segments.len - first).min((end - start) * rows.lanes);
            let full = columns == (end - start) * rows.lanes;
            let gather = variants[end - start - 1][usize::from(full)];
            let from = std::array::from_fn(|i| segments.offset(segment + i.min(count - 1)) + first);
            for channel in 0..maxima.channels() {
                let own = (channel * segments.count + segment) * segments.len + first;
                let part = Gather {
                    image,
                    segments: from,
                    sums: sums.wrapping_add(own),
                    sums_step: segments.len,
                    list: maxima.of(channel),
                    columns,
                };
                // SAFETY: segments and columns exist; the variant suits the columns.
                unsafe { gather(&part) };
            }
        }
        segment += count;
    }
}

/// Elements of the weights that [`input_gradient`] wants.
pub fn input_weights_elements(shape: &ConvPool) -> usize {
    shape.conv.weight_elements()
}

/// The weights as [`input_gradient`] wants them: once for all examples that use the same weights. The
/// order is `[kh, out_channels, kw, channels]` (`[kh, kw, out_channels, channels]` with dilated columns).
///
/// # Safety
/// `w` holds the weights, `to` [`input_weights_elements`]; they do not overlap.
pub unsafe fn prepare_input_weights(shape: &ConvPool, w: *const f32, to: *mut f32) {
    let conv = shape.needed();
    let Segments { count, len, .. } = Segments::of(&conv, &Padding::of(&conv.window));
    let size = len * conv.out_channels;
    for segment in 0..count {
        // SAFETY: a segment's weights, in both as many.
        unsafe {
            let to = std::slice::from_raw_parts_mut(to.add(segment * size), size);
            transpose(w.add(segment * size), 1, conv.out_channels, conv.out_channels, len, to);
        }
    }
}

/// The gradient of the input, with weights from [`prepare_input_weights`].
///
/// # Safety
/// `shape` is supported. `g`, `which` and `dx` hold `examples` examples at their strides, `which` as
/// [`super::conv_pool::forward`] left it; `dx` overlaps nothing, nor do its examples.
pub unsafe fn input_gradient(
    shape: &ConvPool,
    examples: usize,
    g: Batch<*const f32>,
    which: Batch<*const u8>,
    weights: *const f32,
    dx: Batch<*mut f32>,
    scratch: &mut Scratch,
) {
    // SAFETY: the same contract.
    unsafe { input_gradient_on(Isa::current(), shape, examples, g, which, weights, dx, scratch) }
}

/// # Safety
/// As for [`input_gradient`].
#[allow(clippy::too_many_arguments)]
pub(super) unsafe fn input_gradient_on(
    isa: Isa,
    shape: &ConvPool,
    examples: usize,
    g: Batch<*const f32>,
    which: Batch<*const u8>,
    weights: *const f32,
    dx: Batch<*mut f32>,
    scratch: &mut Scratch,
) {
    let conv = shape.needed();
    let padding = Padding::of(&conv.window);
    let floats = padding.elements(conv.window.channels);
    scratch.offsets.clear();
    scratch.offsets.extend(shape.window_offsets(&padding));
    // SAFETY: windows and taps stay inside of the image that `Padding` describes.
    unsafe {
        for example in 0..examples {
            let to = dx.start.add(example * dx.stride);
            let image = if padding.copies { scratch.image.take(floats).as_mut_ptr() } else { to };
            std::slice::from_raw_parts_mut(image, floats).fill(0.0);
            let g = g.start.add(example * g.stride);
            let which = which.start.add(example * which.stride);
            spread_example(isa, shape, &padding, g, which, weights, image, scratch);
            if padding.copies {
                copy_back(&padding, &conv.window, image, to);
            }
        }
    }
}

/// Takes the middle out of a padded image.
unsafe fn copy_back(padding: &Padding, window: &Window, image: *const f32, to: *mut f32) {
    let c = window.channels;
    let [top, left] = window.pad;
    let rows = window.input[0].min(padding.extents[0].saturating_sub(top));
    let columns = window.input[1].min(padding.extents[1].saturating_sub(left));
    // SAFETY: `rows` and `columns` are inside of both images.
    unsafe {
        std::slice::from_raw_parts_mut(to, window.input_elements()).fill(0.0);
        for row in 0..rows {
            let from = image.add(((row + top) * padding.extents[1] + left.min(padding.extents[1])) * c);
            std::ptr::copy_nonoverlapping(from, to.add(row * window.input[1] * c), columns * c);
        }
    }
}

/// Adds one example's gradient to the (padded) image.
///
/// # Safety
/// As for [`input_gradient`]; `scratch` knows the windows' offsets.
#[allow(clippy::too_many_arguments)]
unsafe fn spread_example(
    isa: Isa,
    shape: &ConvPool,
    padding: &Padding,
    g: *const f32,
    which: *const u8,
    weights: *const f32,
    image: *mut f32,
    scratch: &mut Scratch,
) {
    let channels = shape.conv.out_channels;
    let segments = Segments::of(&shape.conv, padding);
    let taps: [usize; MAX_TAPS] = shape.tap_offsets(padding);
    let rows = Rows::of(isa);
    let words = channels.div_ceil(MASK_CHANNELS);
    scratch.masks.resize(shape.windows() * shape.taps() * words, 0);
    // Blocks of columns are summed one after the other, so they must not depend on the instruction set.
    let units = segments.len.div_ceil(16);
    let blocks = units.div_ceil(SPREAD_COLUMNS / 16);
    // SAFETY: the masks hold as many words; segments and columns exist in the weights and the image.
    unsafe {
        (rows.masks)(which, shape.windows(), shape.taps(), channels, scratch.masks.as_mut_ptr());
        for segment in 0..segments.count {
            for block in 0..blocks {
                let (first, end) = (share(units, blocks, block) * 16, share(units, blocks, block + 1) * 16);
                let columns = segments.len.min(end) - first;
                let vectors = columns.div_ceil(rows.lanes);
                let spread = Spread {
                    image: image.add(segments.offset(segment) + first),
                    weights: weights.add(segment * channels * segments.len + first),
                    weights_step: segments.len,
                    masks: scratch.masks.as_ptr(),
                    windows: scratch.offsets.as_ptr(),
                    window_count: shape.windows(),
                    taps: taps.as_ptr(),
                    tap_count: shape.taps(),
                    g,
                    channels,
                    columns,
                };
                let full = columns == vectors * rows.lanes;
                rows.spread[vectors - 1][usize::from(full)](&spread);
            }
        }
    }
}
