//! Winograd's F(2x2, 3x3) and F(2x2, 5x5): a tile of 2x2 results is made from 4x4 pixels by 16 products instead of 36, or
//! from 6x6 by 36 instead of 100. The products of all tiles of a group are matrix products, one for each place in the
//! transformed tile. With bias, ReLU and 2x2 max-pooling a tile is one pooling window; without, tiles at the end of odd
//! rows and columns reach over it (`winograd_plain.rs`).
//!
//! Rounding: each element is a sum of `channels` products, and results are sums of these, with factors. Measured
//! against f64 with normal weights and 16 to 512 channels the greatest error for 3x3 is 0.6e-6 to 2e-6 of the results'
//! root mean square, no more than that of the direct form, whose chains of sums are nine times as long; for 5x5 with 32
//! channels it is 5e-6, twice that of the direct form. Where two taps are that close the maximum may be found at the
//! other. Bits do not depend on the instruction set nor on how examples are grouped.

use super::conv::{Batch, Conv, Padding};
use super::conv_pool::{ConvPool, First};
use super::isa::{Isa, by_isa};
use super::products::{Alike, Product, products, share};
use super::scratch::{Buffer, Scratch};
use super::simd::{Portable, Vector, load_some, store_some};
#[cfg(target_arch = "x86_64")]
use super::simd::{Wide256, Wide512};
use super::tile::{Epilogue, Tiles};
use super::transpose::transpose_to;
use super::winograd_lines::{Five, Lines, Three};

/// About how many tiles make a group: enough rows for the products, few enough for the cache.
pub(super) const GROUP: usize = 36;

/// Floats between planes besides their own, so that they do not fall in the same lines of the cache.
pub(super) const GAP: usize = 16;

/// Whether a convolution under a pool has this form.
pub fn applies(shape: &ConvPool) -> bool {
    shape.supported() && has_form(&shape.conv) && shape.pool == [2, 2]
}

/// Whether a convolution has it.
pub fn has_form(conv: &Conv) -> bool {
    let window = &conv.window;
    let [rows, columns] = window.kernel;
    let plain = window.stride == [1, 1] && window.dilation == [1, 1] && conv.groups == 1;
    rows == columns && [3, 5].contains(&rows) && plain
}

/// Places in a transformed tile: as many products stand for those of four windows.
pub fn places(conv: &Conv) -> usize {
    (conv.window.kernel[0] + 1).pow(2)
}

/// Whether it is faster than the direct form: products are fewer, but transforms cost the same for few
/// channels as for many. Measured for 3x3, 16 channels to 16 break even, 32 to 16 gain 1.4 times, 24 to 48 1.7, 64
/// to 64 1.9; for 5x5, 16 to 32 break even, 32 to 32 gain 1.3 times or more, 32 to 64 1.7.
pub fn pays(shape: &ConvPool) -> bool {
    let (cin, cout) = (shape.conv.window.channels, shape.conv.out_channels);
    let least = if places(&shape.conv) == 16 { 512 } else { 1024 };
    applies(shape) && cin >= 16 && cout >= 16 && cin * cout >= least && shape.windows() >= 4
}

/// Elements of transformed weights.
pub fn weights_elements(conv: &Conv) -> usize {
    places(conv) * conv.window.channels * conv.out_channels
}

/// Transforms the weights, once for all examples that use the same ones: `[places, channels, out_channels]`. If
/// `turned` they are those of the convolution of which this one is the input's gradient, `[kh, kw, out_channels,
/// channels]`, and used from the last tap to the first.
///
/// # Safety
/// The convolution has the form; `w` holds the weights, `to` [`weights_elements`]; they do not overlap.
pub unsafe fn prepare_weights(conv: &Conv, turned: bool, w: *const f32, to: *mut f32, scratch: &mut Scratch) {
    // SAFETY: the same contract.
    unsafe { prepare_weights_on(Isa::current(), conv, turned, w, to, scratch) }
}

/// # Safety
/// As for [`prepare_weights`].
pub(super) unsafe fn prepare_weights_on(
    isa: Isa,
    conv: &Conv,
    turned: bool,
    w: *const f32,
    to: *mut f32,
    scratch: &mut Scratch,
) {
    let (channels, out_channels) = (conv.window.channels, conv.out_channels);
    let plane = channels * out_channels;
    let transform = transforms_of(isa, conv).weights;
    // SAFETY: a plane of as many weights for each tap and each place.
    unsafe {
        if !turned {
            return transform(plane, w, to, false);
        }
        let planes = scratch.weights.take(places(conv) * plane).as_mut_ptr();
        transform(plane, w, planes, true);
        for place in (0..places(conv)).map(|place| place * plane) {
            let (from, to) = (planes.add(place), to.add(place));
            transpose_to(from, [1, channels], [channels, out_channels], to, out_channels);
        }
    }
}

/// `G g G^T` for the weights of each pair of channels; from the last tap to the first if `backwards`.
///
/// # Safety
/// The processor has V's features; `w` holds a plane for each tap, `to` one for each place.
#[inline(always)]
#[allow(clippy::needless_range_loop)] // the indices name registers
unsafe fn weight_planes<L: Lines<T, R>, V: Vector, const T: usize, const R: usize>(
    plane: usize,
    w: *const f32,
    to: *mut f32,
    backwards: bool,
) {
    for first in (0..plane).step_by(V::LANES) {
        let n = V::LANES.min(plane - first);
        // SAFETY: `n` weights of each plane.
        unsafe {
            let mut rows = [[V::zero(); T]; R];
            for y in 0..R {
                let mut taps = [V::zero(); R];
                for x in 0..R {
                    let tap = if backwards { R * R - 1 - (y * R + x) } else { y * R + x };
                    taps[x] = load_some(w.add(tap * plane + first), n);
                }
                rows[y] = L::taps(taps);
            }
            for x in 0..T {
                let mut taps = [V::zero(); R];
                for y in 0..R {
                    taps[y] = rows[y][x];
                }
                let column = L::taps(taps);
                for y in 0..T {
                    store_some(column[y], to.add((y * T + x) * plane + first), n);
                }
            }
        }
    }
}

/// Tiles on their way into or out of the planes.
pub(super) struct Tiling<'a> {
    /// Each tile's first pixel and its place in the results.
    pub tiles: &'a [(isize, isize)],
    /// Channels of the input or the output.
    pub channels: usize,
    pub plane: usize,
    pub planes: *mut f32,
    pub image: *const f32,
    /// Floats of a row of the image.
    pub row: usize,
    pub y: *mut f32,
    pub results: Results<'a>,
}

/// What becomes of the results of tiles.
#[derive(Clone, Copy)]
pub(super) enum Results<'a> {
    /// The maximum of each tile, with a bias, or none where it is null.
    Pooled { bias: *const f32, relu: bool, which: *mut u8 },
    /// All that there are.
    Plain {
        /// For each tile how many rows and columns of results it has.
        extents: &'a [[u8; 2]],
        /// Floats of a row of results.
        row: usize,
        /// What is done to each.
        epilogue: Epilogue,
    },
}

/// `B^T d B` for each tile: from pixels to planes.
///
/// # Safety
/// The processor has V's features; tiles lie in the image, planes hold all tiles.
#[inline(always)]
#[allow(clippy::needless_range_loop)] // the indices name registers
unsafe fn enter<L: Lines<T, R>, V: Vector, const T: usize, const R: usize>(t: &Tiling) {
    for (i, (from, _)) in t.tiles.iter().enumerate() {
        for first in (0..t.channels).step_by(V::LANES) {
            let n = V::LANES.min(t.channels - first);
            // SAFETY: the tile's pixels and places; lanes beyond the channels are masked.
            unsafe {
                let pixel = t.image.offset(*from).add(first);
                let to = t.planes.add(i * t.channels + first);
                let mut rows = [[V::zero(); T]; T];
                for y in 0..T {
                    let mut pixels = [V::zero(); T];
                    for x in 0..T {
                        pixels[x] = load_some(pixel.add(y * t.row + x * t.channels), n);
                    }
                    rows[y] = L::pixels(pixels);
                }
                for x in 0..T {
                    let mut pixels = [V::zero(); T];
                    for y in 0..T {
                        pixels[y] = rows[y][x];
                    }
                    let column = L::pixels(pixels);
                    for y in 0..T {
                        store_some(column[y], to.add((y * T + x) * t.plane), n);
                    }
                }
            }
        }
    }
}

/// `A^T m A` for each tile, then what its results are for: from planes to results.
///
/// # Safety
/// The processor has V's features; planes and results hold all tiles.
#[inline(always)]
#[allow(clippy::needless_range_loop)] // the indices name registers
unsafe fn leave<L: Lines<T, R>, V: Vector, const T: usize, const R: usize>(t: &Tiling) {
    for first in (0..t.channels).step_by(V::LANES) {
        let n = V::LANES.min(t.channels - first);
        // SAFETY: the tile's places and results; lanes beyond the channels are masked.
        unsafe {
            let bias = match t.results {
                Results::Pooled { bias, .. } if !bias.is_null() => load_some(bias.add(first), n),
                Results::Plain { epilogue: Epilogue { bias: Some(bias), .. }, .. } => {
                    load_some(bias.add(first), n)
                }
                Results::Pooled { .. } | Results::Plain { .. } => V::zero(),
            };
            for (i, (_, to)) in t.tiles.iter().enumerate() {
                let from = t.planes.add(i * t.channels + first);
                let (mut left, mut right) = ([V::zero(); T], [V::zero(); T]);
                for y in 0..T {
                    let mut places = [V::zero(); T];
                    for x in 0..T {
                        places[x] = load_some(from.add((y * T + x) * t.plane), n);
                    }
                    [left[y], right[y]] = L::results(places);
                }
                let (left, right) = (L::results(left), L::results(right));
                match t.results {
                    Results::Pooled { relu, which, .. } => {
                        let mut best = First::new(left[0].add(bias));
                        best.take(right[0].add(bias), 1);
                        best.take(left[1].add(bias), 2);
                        best.take(right[1].add(bias), 3);
                        let (y, tap) = best.finish(relu);
                        store_some(y, t.y.offset(*to).add(first), n);
                        tap.store_bytes(which.offset(*to).add(first), n);
                    }
                    Results::Plain { extents, row, epilogue } => {
                        let finish = |x: V| epilogue.apply(x, bias);
                        for y in 0..usize::from(extents[i][0]) {
                            let to = t.y.offset(*to).add(y * row + first);
                            store_some(finish(left[y]), to, n);
                            if extents[i][1] > 1 {
                                store_some(finish(right[y]), to.add(t.channels), n);
                            }
                        }
                    }
                }
            }
        }
    }
}

/// The transforms of a form on an instruction set.
pub(super) struct Transforms {
    weights: unsafe fn(usize, *const f32, *mut f32, bool),
    pub enter: unsafe fn(&Tiling),
    leave: unsafe fn(&Tiling),
}

macro_rules! transforms {
    ($name:ident, $vector:ty $(, $feature:literal)?) => {
        mod $name {
            use super::*;
            pub fn all<L: Lines<T, R>, const T: usize, const R: usize>() -> Transforms {
                Transforms { weights: weights::<L, T, R>, enter: enter::<L, T, R>, leave: leave::<L, T, R> }
            }
            $(#[target_feature(enable = $feature)])?
            unsafe fn weights<L: Lines<T, R>, const T: usize, const R: usize>(
                plane: usize,
                w: *const f32,
                to: *mut f32,
                backwards: bool,
            ) {
                // SAFETY: the caller's contract is the same, and the features are there.
                unsafe { weight_planes::<L, $vector, T, R>(plane, w, to, backwards) }
            }
            $(#[target_feature(enable = $feature)])?
            unsafe fn enter<L: Lines<T, R>, const T: usize, const R: usize>(t: &Tiling) {
                // SAFETY: the caller's contract is the same, and the features are there.
                unsafe { super::enter::<L, $vector, T, R>(t) }
            }
            $(#[target_feature(enable = $feature)])?
            unsafe fn leave<L: Lines<T, R>, const T: usize, const R: usize>(t: &Tiling) {
                // SAFETY: the caller's contract is the same, and the features are there.
                unsafe { super::leave::<L, $vector, T, R>(t) }
            }
        }
    };
}

transforms!(portable, Portable);
#[cfg(target_arch = "x86_64")]
transforms!(avx2, Wide256, "avx2,fma");
#[cfg(target_arch = "x86_64")]
transforms!(avx512, Wide512, "avx512f,avx512vl,avx512dq,avx512bw,avx2,fma");

pub(super) fn transforms_of(isa: Isa, conv: &Conv) -> Transforms {
    match conv.window.kernel[0] {
        3 => transforms_on::<Three, 4, 3>(isa),
        _ => transforms_on::<Five, 6, 5>(isa),
    }
}

fn transforms_on<L: Lines<T, R>, const T: usize, const R: usize>(isa: Isa) -> Transforms {
    by_isa!(isa, portable::all::<L, T, R>(), avx2::all::<L, T, R>(), avx512::all::<L, T, R>())
}

/// As [`super::conv_pool::forward`], with weights from [`prepare_weights`]; results differ in rounding.
///
/// # Safety
/// The form applies. `x`, `y` and `which` hold `examples` examples at their strides, `bias` one number per
/// output channel or is null; `y` and `which` overlap nothing, nor do their examples.
#[allow(clippy::too_many_arguments)]
pub unsafe fn forward(
    shape: &ConvPool,
    examples: usize,
    x: Batch<*const f32>,
    weights: *const f32,
    bias: *const f32,
    y: Batch<*mut f32>,
    which: Batch<*mut u8>,
    scratch: &mut Scratch,
) {
    // SAFETY: the same contract.
    unsafe { forward_on(Isa::current(), shape, examples, x, weights, bias, y, which, scratch) }
}

/// # Safety
/// As for [`forward`].
#[allow(clippy::too_many_arguments)]
pub(super) unsafe fn forward_on(
    isa: Isa,
    shape: &ConvPool,
    examples: usize,
    x: Batch<*const f32>,
    weights: *const f32,
    bias: *const f32,
    y: Batch<*mut f32>,
    which: Batch<*mut u8>,
    scratch: &mut Scratch,
) {
    let conv = shape.needed();
    let padding = Padding::of(&conv.window);
    let floats = padding.elements(conv.window.channels);
    let (cin, cout) = (conv.window.channels, conv.out_channels);
    let mut tiles = std::mem::take(&mut scratch.rows);
    // SAFETY: tiles stay inside of the image that `Padding` describes, and planes are large enough.
    unsafe {
        let padded = padding.copies.then(|| scratch.image.take(floats).as_mut_ptr());
        for example in 0..examples {
            let mut image = x.start.add(example * x.stride);
            if let Some(to) = padded {
                padding.copy(&conv.window, image, to);
                image = to;
            }
            tiles.clear();
            let offsets = shape.window_offsets(&padding).enumerate();
            tiles.extend(offsets.map(|(i, from)| (from as isize, (i * cout) as isize)));
            let row = padding.extents[1] * cin;
            let y = y.start.add(example * y.stride);
            let which = which.start.add(example * which.stride);
            let groups = tiles.len().div_ceil(GROUP);
            for group in 0..groups {
                let (start, end) = (share(tiles.len(), groups, group), share(tiles.len(), groups, group + 1));
                let results = Results::Pooled { bias, relu: shape.relu, which };
                compute(
                    isa,
                    &conv,
                    &tiles[start..end],
                    (image, row),
                    weights,
                    y,
                    results,
                    &mut scratch.patches,
                );
            }
        }
    }
    scratch.rows = tiles;
}

/// Computes a group of tiles: of an image with rows of so many floats, with transformed weights.
///
/// # Safety
/// The convolution has the form; tiles lie in the image, their results in `y` and where `results` says.
#[allow(clippy::too_many_arguments)]
pub(super) unsafe fn compute(
    isa: Isa,
    conv: &Conv,
    tiles: &[(isize, isize)],
    (image, row): (*const f32, usize),
    weights: *const f32,
    y: *mut f32,
    results: Results,
    buffer: &mut Buffer,
) {
    let (cin, cout) = (conv.window.channels, conv.out_channels);
    let (transforms, places) = (transforms_of(isa, conv), places(conv));
    let (plane_in, plane_out) = (tiles.len() * cin + GAP, tiles.len() * cout + GAP);
    let planes = buffer.take(places * (plane_in + plane_out)).as_mut_ptr();
    let mut tiling = Tiling { tiles, channels: cin, plane: plane_in, planes, image, row, y, results };
    // SAFETY: planes hold all tiles and channels.
    unsafe {
        (transforms.enter)(&tiling);
        (tiling.channels, tiling.plane) = (cout, plane_out);
        tiling.planes = planes.add(places * plane_in);
        plane_products(isa, &tiling, places, cin, planes, weights);
        (transforms.leave)(&tiling);
    }
}

/// The products of all planes: from those of pixels at `from` to those of `t`.
unsafe fn plane_products(
    isa: Isa,
    t: &Tiling,
    places: usize,
    cin: usize,
    from: *const f32,
    weights: *const f32,
) {
    let (tiles, plane) = (t.tiles.len(), t.tiles.len() * cin + GAP);
    let p = Product {
        m: tiles,
        n: t.channels,
        k: cin,
        a: from,
        a_step: 1,
        b: weights,
        b_step: t.channels as isize,
        c: t.planes,
        taps: &[(0, 0)],
        accumulate: false,
        epilogue: Epilogue::default(),
    };
    let alike = Alike { count: places, apart: [plane, cin * t.channels, t.plane] };
    // SAFETY: planes hold all tiles and channels.
    unsafe { products(Tiles::of(isa), &p, [cin, t.channels], alike) };
}
