//! Winograd's form for convolutions whose results are all wanted, and for the gradient of the input of such a
//! convolution, which is one as well (with weights turned round).

use super::conv::{Batch, Conv, Epilogue, Padding};
use super::conv_gradient::mirrored;
use super::isa::Isa;
use super::scratch::{Buffer, Scratch};
use super::winograd::{GROUP, Results, compute, has_form};

/// Whether that is faster than without: transforms cost the same for few channels as for many, and tiles reach over
/// odd ends. Measured for 3x3 on images of 16x16, 16 channels to 16 lose a fifth, 16 to 32 break even, 32 to 32 gain 1.3
/// times (within a step 1.4), 64 to 64 on 8x8 1.4; for 5x5 on 12x12, 32 to 64 gain 1.5 times. Gradients of the weights
/// (`winograd_weights.rs`): 16 to 32 break even, 32 to 32 gain 1.4 times, 64 to 64 1.7; for 5x5, 32 to 64 gain 1.6.
pub fn pays(conv: &Conv) -> bool {
    let (cin, cout) = (conv.window.channels, conv.out_channels);
    let [rows, columns] = conv.window.output;
    let computed = rows.next_multiple_of(2) * columns.next_multiple_of(2);
    has_form(conv) && cin >= 32 && cout >= 32 && rows * columns >= 16 && 4 * computed <= 5 * rows * columns
}

/// The convolution of the result's gradient that gives the gradient of the input of `conv`, if it has the form.
pub fn of_input_gradient(conv: &Conv) -> Option<Conv> {
    mirrored(conv).filter(has_form)
}

/// `y = conv(x, w)` for each example, with weights from [`super::winograd::prepare_weights`] and something done to each
/// element at the end; a bias has a number per output channel.
///
/// # Safety
/// The convolution has the form. `x` and `y` hold `examples` examples at their strides; `y` overlaps nothing, nor do its examples.
pub unsafe fn forward(
    conv: &Conv,
    examples: usize,
    x: Batch<*const f32>,
    weights: *const f32,
    y: Batch<*mut f32>,
    epilogue: Epilogue,
    scratch: &mut Scratch,
) {
    // SAFETY: the same contract.
    unsafe { forward_on(Isa::current(), conv, examples, x, weights, y, epilogue, scratch) }
}

/// # Safety
/// As for [`forward`].
#[allow(clippy::too_many_arguments)]
pub(super) unsafe fn forward_on(
    isa: Isa,
    conv: &Conv,
    examples: usize,
    x: Batch<*const f32>,
    weights: *const f32,
    y: Batch<*mut f32>,
    epilogue: Epilogue,
    scratch: &mut Scratch,
) {
    let row = conv.window.output[1] * conv.out_channels;
    // SAFETY: tiles stay inside of the images, results in `y`.
    unsafe {
        in_groups(conv, examples, x, y.stride, GROUP, scratch, |image, tiles, extents, buffer| {
            let results = Results::Plain { extents, row, epilogue };
            compute(isa, conv, tiles, image, weights, y.start, results, buffer);
        });
    }
}

/// Calls a function for groups of about `size` tiles: with the start of their images, padded where they must be, and the
/// floats of a row of these; for each tile the offsets of its first pixel and, in all results, of its first one; its rows
/// and columns of results; and room for planes.
///
/// # Safety
/// The convolution has the form; `x` holds `examples` examples at its stride.
pub(super) unsafe fn in_groups(
    conv: &Conv,
    examples: usize,
    x: Batch<*const f32>,
    y_stride: usize,
    size: usize,
    scratch: &mut Scratch,
    mut run: impl FnMut((*const f32, usize), &[(isize, isize)], &[[u8; 2]], &mut Buffer),
) {
    // Of whole tiles.
    let mut whole = *conv;
    whole.window.output = conv.window.output.map(|n| n.next_multiple_of(2));
    let padding = Padding::of(&whole.window);
    let floats = padding.elements(conv.window.channels);
    let of_example = whole.window.windows() / 4;
    let together = (size / of_example).clamp(1, examples.max(1));
    let mut tiles = std::mem::take(&mut scratch.rows);
    let mut extents = std::mem::take(&mut scratch.extents);
    let padded = padding.copies.then(|| scratch.image.take(together * floats).as_mut_ptr());
    for first in (0..examples).step_by(together) {
        let count = together.min(examples - first);
        let images = Batch { start: x.start.wrapping_add(first * x.stride), stride: x.stride };
        // SAFETY: images of the caller; there is room for as many copies.
        let images = unsafe { padding.group(&whole.window, images, count, padded) };
        tiles.clear();
        extents.clear();
        for example in 0..count {
            for (from, to, extent) in tiles_of(conv, &padding) {
                let to = (first + example) * y_stride + to;
                tiles.push(((example * images.stride + from) as isize, to as isize));
                extents.push(extent);
            }
        }
        let image = (images.start, padding.extents[1] * conv.window.channels);
        for (tiles, extents) in tiles.chunks(size).zip(extents.chunks(size)) {
            run(image, tiles, extents, &mut scratch.patches);
        }
    }
    scratch.rows = tiles;
    scratch.extents = extents;
}

/// Each tile's first pixel in the (padded) image, its place in the results, and its rows and columns of results.
fn tiles_of(conv: &Conv, padding: &Padding) -> impl Iterator<Item = (usize, usize, [u8; 2])> {
    let [rows, columns] = conv.window.output;
    let (width, channels, out_channels) = (padding.extents[1], conv.window.channels, conv.out_channels);
    (0..rows).step_by(2).flat_map(move |y| {
        (0..columns).step_by(2).map(move |x| {
            let extents = [(rows - y).min(2) as u8, (columns - x).min(2) as u8];
            ((y * width + x) * channels, (y * columns + x) * out_channels, extents)
        })
    })
}
