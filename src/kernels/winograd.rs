//! Winograd's F(2x2, 3x3) with bias, ReLU and 2x2 max-pooling: a tile of 2x2 results is one pooling
//! window, made from 4x4 pixels by 16 products instead of 36. The products of all tiles of a group are 16
//! matrix products, one for each place in the transformed tile.
//!
//! Rounding: each element is a sum of `channels` products, four of them to a result with additions of
//! rounded numbers, so the error stays below about `(channels + 12) eps` times the sum of `|d| |U|` over the
//! transformed tile. Measured against f64 with normal weights and 16 to 512 channels the greatest error is
//! 0.6e-6 to 2e-6 of the results' root mean square, no more than that of the direct form, whose chains of
//! sums are nine times as long. Where two taps are that close the maximum may be found at the other. Bits
//! do not depend on the instruction set nor on how examples are grouped.

use super::conv::{Batch, Padding};
use super::conv_pool::{ConvPool, First};
use super::gemm::{Epilogue, Product, product, share};
use super::isa::Isa;
use super::scratch::Scratch;
use super::simd::{Portable, Vector, load_some, store_some};
#[cfg(target_arch = "x86_64")]
use super::simd::{Wide256, Wide512};
use super::tile::Tiles;

/// Places in a transformed tile.
const PLANES: usize = 16;

/// About how many tiles make a group: enough rows for the products, few enough for the cache.
const GROUP: usize = 36;

/// Floats between planes besides their own, so that they do not fall in the same lines of the cache.
const GAP: usize = 16;

/// Whether a shape has this form.
pub fn applies(shape: &ConvPool) -> bool {
    let window = &shape.conv.window;
    let plain = window.stride == [1, 1] && window.dilation == [1, 1];
    shape.supported() && window.kernel == [3, 3] && plain && shape.pool == [2, 2]
}

/// Whether it is faster than the direct form: products are fewer, but transforms cost the same for few
/// channels as for many. Measured, 16 channels to 16 break even, 32 to 16 gain 1.4 times, 24 to 48 1.7, 64
/// to 64 1.9.
pub fn pays(shape: &ConvPool) -> bool {
    let (cin, cout) = (shape.conv.window.channels, shape.conv.out_channels);
    applies(shape) && cin >= 16 && cout >= 16 && cin * cout >= 512 && shape.windows() >= 4
}

/// Elements of transformed weights.
pub fn weights_elements(shape: &ConvPool) -> usize {
    PLANES * shape.conv.window.channels * shape.conv.out_channels
}

/// Transforms the weights, once for all examples that use the same ones: `[16, channels, out_channels]`.
///
/// # Safety
/// The form applies; `w` holds the weights, `to` [`weights_elements`]; they do not overlap.
pub unsafe fn prepare_weights(shape: &ConvPool, w: *const f32, to: *mut f32) {
    // SAFETY: the same contract.
    unsafe { prepare_weights_on(Isa::current(), shape, w, to) }
}

/// # Safety
/// As for [`prepare_weights`].
pub(super) unsafe fn prepare_weights_on(isa: Isa, shape: &ConvPool, w: *const f32, to: *mut f32) {
    let plane = shape.conv.window.channels * shape.conv.out_channels;
    // SAFETY: nine and sixteen planes of as many weights.
    unsafe { (transforms_of(isa).weights)(plane, w, to) }
}

/// `G g G^T` for the weights of each pair of channels.
///
/// # Safety
/// The processor has V's features; `w` holds nine planes, `to` sixteen.
#[inline(always)]
#[allow(clippy::needless_range_loop)] // the indices name registers
unsafe fn weight_planes<V: Vector>(plane: usize, w: *const f32, to: *mut f32) {
    /// `G g`
    #[inline(always)]
    unsafe fn line<V: Vector>(a: V, b: V, c: V) -> [V; 4] {
        // SAFETY: the caller vouches for the features.
        unsafe {
            let half = V::splat(0.5);
            let (even, odd) = (a.add(c).fma(half, V::zero()), b.fma(half, V::zero()));
            [a, even.add(odd), even.sub(odd), c]
        }
    }
    for first in (0..plane).step_by(V::LANES) {
        let n = V::LANES.min(plane - first);
        // SAFETY: `n` weights of each plane.
        unsafe {
            let mut rows = [[V::zero(); 4]; 3];
            for y in 0..3 {
                let g = w.add(y * 3 * plane + first);
                let (a, b, c) = (load_some(g, n), load_some(g.add(plane), n), load_some(g.add(2 * plane), n));
                rows[y] = line(a, b, c);
            }
            for x in 0..4 {
                let column = line(rows[0][x], rows[1][x], rows[2][x]);
                for y in 0..4 {
                    store_some(column[y], to.add((y * 4 + x) * plane + first), n);
                }
            }
        }
    }
}

/// Tiles on their way into or out of the planes.
struct Tiling<'a> {
    /// Each tile's first pixel and its place in the results.
    tiles: &'a [(isize, isize)],
    /// Channels of the input or the output.
    channels: usize,
    plane: usize,
    planes: *mut f32,
    image: *const f32,
    /// Floats of a row of the image.
    row: usize,
    bias: *const f32,
    relu: bool,
    y: *mut f32,
    which: *mut u8,
}

/// `B^T d B` for each tile: from pixels to planes.
///
/// # Safety
/// The processor has V's features; tiles lie in the image, planes hold all tiles.
#[inline(always)]
#[allow(clippy::needless_range_loop)] // the indices name registers
unsafe fn enter<V: Vector>(t: &Tiling) {
    #[inline(always)]
    unsafe fn line<V: Vector>(d: [V; 4]) -> [V; 4] {
        // SAFETY: the caller vouches for the features.
        unsafe { [d[0].sub(d[2]), d[1].add(d[2]), d[2].sub(d[1]), d[1].sub(d[3])] }
    }
    for (i, (from, _)) in t.tiles.iter().enumerate() {
        for first in (0..t.channels).step_by(V::LANES) {
            let n = V::LANES.min(t.channels - first);
            // SAFETY: the tile's pixels and places; lanes beyond the channels are masked.
            unsafe {
                let pixel = t.image.offset(*from).add(first);
                let to = t.planes.add(i * t.channels + first);
                let mut d = [[V::zero(); 4]; 4];
                for y in 0..4 {
                    let mut pixels = [V::zero(); 4];
                    for x in 0..4 {
                        pixels[x] = load_some(pixel.add(y * t.row + x * t.channels), n);
                    }
                    d[y] = line(pixels);
                }
                for x in 0..4 {
                    let column = line([d[0][x], d[1][x], d[2][x], d[3][x]]);
                    for y in 0..4 {
                        store_some(column[y], to.add((y * 4 + x) * t.plane), n);
                    }
                }
            }
        }
    }
}

/// `A^T m A` for each tile, bias, maximum and ReLU: from planes to results.
///
/// # Safety
/// The processor has V's features; planes and results hold all tiles.
#[inline(always)]
#[allow(clippy::needless_range_loop)] // the indices name registers
unsafe fn leave<V: Vector>(t: &Tiling) {
    #[inline(always)]
    unsafe fn line<V: Vector>(m: [V; 4]) -> [V; 2] {
        // SAFETY: the caller vouches for the features.
        unsafe { [m[0].add(m[1]).add(m[2]), m[1].sub(m[2]).sub(m[3])] }
    }
    for first in (0..t.channels).step_by(V::LANES) {
        let n = V::LANES.min(t.channels - first);
        // SAFETY: the tile's places and results; lanes beyond the channels are masked.
        unsafe {
            let bias = if t.bias.is_null() { V::zero() } else { load_some(t.bias.add(first), n) };
            for (i, (_, to)) in t.tiles.iter().enumerate() {
                let from = t.planes.add(i * t.channels + first);
                let mut rows = [[V::zero(); 2]; 4];
                for y in 0..4 {
                    let mut places = [V::zero(); 4];
                    for x in 0..4 {
                        places[x] = load_some(from.add((y * 4 + x) * t.plane), n);
                    }
                    rows[y] = line(places);
                }
                let left = line([rows[0][0], rows[1][0], rows[2][0], rows[3][0]]);
                let right = line([rows[0][1], rows[1][1], rows[2][1], rows[3][1]]);
                let mut best = First::new(left[0].add(bias));
                best.take(right[0].add(bias), 1);
                best.take(left[1].add(bias), 2);
                best.take(right[1].add(bias), 3);
                let (y, which) = best.finish(t.relu);
                store_some(y, t.y.offset(*to).add(first), n);
                which.store_bytes(t.which.offset(*to).add(first), n);
            }
        }
    }
}

/// The transforms of an instruction set.
struct Transforms {
    weights: unsafe fn(usize, *const f32, *mut f32),
    enter: unsafe fn(&Tiling),
    leave: unsafe fn(&Tiling),
}

macro_rules! transforms {
    ($name:ident, $vector:ty $(, $feature:literal)?) => {
        mod $name {
            use super::*;
            pub const ALL: Transforms = Transforms { weights, enter, leave };
            $(#[target_feature(enable = $feature)])?
            unsafe fn weights(plane: usize, w: *const f32, to: *mut f32) {
                // SAFETY: the caller's contract is the same, and the features are there.
                unsafe { weight_planes::<$vector>(plane, w, to) }
            }
            $(#[target_feature(enable = $feature)])?
            unsafe fn enter(t: &Tiling) {
                // SAFETY: the caller's contract is the same, and the features are there.
                unsafe { super::enter::<$vector>(t) }
            }
            $(#[target_feature(enable = $feature)])?
            unsafe fn leave(t: &Tiling) {
                // SAFETY: the caller's contract is the same, and the features are there.
                unsafe { super::leave::<$vector>(t) }
            }
        }
    };
}

transforms!(portable, Portable);
#[cfg(target_arch = "x86_64")]
transforms!(avx2, Wide256, "avx2,fma");
#[cfg(target_arch = "x86_64")]
transforms!(avx512, Wide512, "avx512f,avx512vl,avx512dq,avx512bw,avx2,fma");

fn transforms_of(isa: Isa) -> Transforms {
    match isa.min(Isa::detected()) {
        Isa::Scalar => portable::ALL,
        #[cfg(target_arch = "x86_64")]
        Isa::Avx2 => avx2::ALL,
        #[cfg(target_arch = "x86_64")]
        Isa::Avx512 => avx512::ALL,
        #[cfg(not(target_arch = "x86_64"))]
        Isa::Avx2 | Isa::Avx512 => portable::ALL,
    }
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
            let groups = tiles.len().div_ceil(GROUP);
            for group in 0..groups {
                let (start, end) = (share(tiles.len(), groups, group), share(tiles.len(), groups, group + 1));
                let (plane_in, plane_out) = ((end - start) * cin + GAP, (end - start) * cout + GAP);
                let planes = scratch.patches.take(PLANES * (plane_in + plane_out)).as_mut_ptr();
                let mut tiling = Tiling {
                    tiles: &tiles[start..end],
                    channels: cin,
                    plane: plane_in,
                    planes,
                    image,
                    row: padding.extents[1] * cin,
                    bias,
                    relu: shape.relu,
                    y: y.start.add(example * y.stride),
                    which: which.start.add(example * which.stride),
                };
                let transforms = transforms_of(isa);
                (transforms.enter)(&tiling);
                (tiling.channels, tiling.plane) = (cout, plane_out);
                tiling.planes = planes.add(PLANES * plane_in);
                plane_products(isa, &tiling, cin, planes, weights);
                (transforms.leave)(&tiling);
            }
        }
    }
    scratch.rows = tiles;
}

/// The products of all planes: from those of pixels at `from` to those of `t`.
unsafe fn plane_products(isa: Isa, t: &Tiling, cin: usize, from: *const f32, weights: *const f32) {
    let tiles = t.tiles.len();
    for plane in 0..PLANES {
        let p = Product {
            m: tiles,
            n: t.channels,
            k: cin,
            a: from.wrapping_add(plane * (tiles * cin + GAP)),
            a_step: 1,
            b: weights.wrapping_add(plane * cin * t.channels),
            b_step: t.channels as isize,
            c: t.planes.wrapping_add(plane * t.plane),
            taps: &[(0, 0)],
            accumulate: false,
            epilogue: Epilogue::default(),
        };
        // SAFETY: planes hold all tiles and channels.
        unsafe { product(Tiles::of(isa), &p, |i| ((i * cin) as isize, (i * t.channels) as isize)) };
    }
}
