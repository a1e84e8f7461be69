//! Winograd's form for the gradient of the weights: the adjoint of the form for results. Pixels and gradients of a tile's
//! results are transformed to its places, where products of all tiles are summed over; the sums are transformed back to
//! taps once for all tiles.

use super::conv::{Batch, Conv};
use super::isa::{Isa, by_isa};
use super::products::{Alike, Product, products};
use super::scratch::Scratch;
use super::simd::{Portable, Vector, load_some, store_some};
#[cfg(target_arch = "x86_64")]
use super::simd::{Wide256, Wide512};
use super::tile::{Epilogue, Tiles};
use super::winograd::{GAP, Results, Tiling, places, transforms_of, weights_elements};
use super::winograd_lines::{Five, Lines, Three};
use super::winograd_plain::in_groups;

/// About how many tiles make a group: steps of the products, which each read and write all sums.
const GROUP: usize = 72;

/// The gradient of the weights, summed over the examples and, if `accumulate`, added to `dw`.
///
/// # Safety
/// The convolution has the form. `x` and `g` hold `examples` examples at their strides, `dw` the weights; `dw` overlaps
/// neither.
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
    let (cin, cout, places) = (conv.window.channels, conv.out_channels, places(conv));
    let (enter, adjoints) = (transforms_of(isa, conv).enter, adjoints_of(isa, conv));
    let mut weights = std::mem::take(&mut scratch.weights);
    let sums = weights.take(weights_elements(conv));
    if examples == 0 {
        sums.fill(0.0);
    }
    let sums = sums.as_mut_ptr();
    let mut first = true;
    // SAFETY: tiles stay inside of the images, results in `g`; planes hold all tiles of a group.
    unsafe {
        in_groups(conv, examples, x, g.stride, GROUP, scratch, |(image, row), tiles, extents, buffer| {
            let (plane_in, plane_out) = (tiles.len() * cin + GAP, tiles.len() * cout + GAP);
            let pixels = buffer.take(places * (plane_in + plane_out)).as_mut_ptr();
            let gradients = pixels.add(places * plane_in);
            let results =
                Results::Plain { extents, row: conv.window.output[1] * cout, epilogue: Epilogue::default() };
            let y = g.start.cast_mut();
            let mut tiling =
                Tiling { tiles, channels: cin, plane: plane_in, planes: pixels, image, row, y, results };
            enter(&tiling);
            (tiling.channels, tiling.plane, tiling.planes) = (cout, plane_out, gradients);
            (adjoints.results)(&tiling);
            let p = Product {
                m: cin,
                n: cout,
                k: tiles.len(),
                a: pixels,
                a_step: cin as isize,
                b: gradients,
                b_step: cout as isize,
                c: sums,
                taps: &[(0, 0)],
                accumulate: !first,
                epilogue: Epilogue::default(),
            };
            let alike = Alike { count: places, apart: [plane_in, plane_out, cin * cout] };
            products(Tiles::of(isa), &p, [1, cout], alike);
            first = false;
        });
        (adjoints.taps)(cin * cout, sums, dw, accumulate);
    }
    scratch.weights = weights;
}

/// `A g A^T` for the gradients of each tile's results, 0 where it has none: from results to planes.
///
/// # Safety
/// The processor has V's features; results and planes hold all tiles.
#[inline(always)]
#[allow(clippy::needless_range_loop)] // the indices name registers
unsafe fn results<L: Lines<T, R>, V: Vector, const T: usize, const R: usize>(t: &Tiling) {
    let Results::Plain { extents, row, .. } = t.results else { return };
    for ((i, (_, from)), [rows, columns]) in t.tiles.iter().enumerate().zip(extents) {
        for first in (0..t.channels).step_by(V::LANES) {
            let n = V::LANES.min(t.channels - first);
            // SAFETY: the tile's results and places; lanes beyond the channels are masked.
            unsafe {
                let from = t.y.offset(*from).add(first);
                let to = t.planes.add(i * t.channels + first);
                let mut lines = [[V::zero(); T]; 2];
                for y in 0..usize::from(*rows) {
                    let mut g = [V::zero(); 2];
                    for x in 0..usize::from(*columns) {
                        g[x] = load_some(from.add(y * row + x * t.channels), n);
                    }
                    lines[y] = L::of_results(g);
                }
                for x in 0..T {
                    let column = L::of_results([lines[0][x], lines[1][x]]);
                    for y in 0..T {
                        store_some(column[y], to.add((y * T + x) * t.plane), n);
                    }
                }
            }
        }
    }
}

/// `G^T s G` for the sums of each pair of channels, added to what `dw` holds if `accumulate`.
///
/// # Safety
/// The processor has V's features; `sums` holds a plane for each place, `dw` one for each tap.
#[inline(always)]
#[allow(clippy::needless_range_loop)] // the indices name registers
unsafe fn taps<L: Lines<T, R>, V: Vector, const T: usize, const R: usize>(
    plane: usize,
    sums: *const f32,
    dw: *mut f32,
    accumulate: bool,
) {
    for first in (0..plane).step_by(V::LANES) {
        let n = V::LANES.min(plane - first);
        // SAFETY: `n` numbers of each plane.
        unsafe {
            let mut lines = [[V::zero(); R]; T];
            for y in 0..T {
                let mut places = [V::zero(); T];
                for x in 0..T {
                    places[x] = load_some(sums.add((y * T + x) * plane + first), n);
                }
                lines[y] = L::of_places(places);
            }
            for x in 0..R {
                let mut places = [V::zero(); T];
                for y in 0..T {
                    places[y] = lines[y][x];
                }
                let column = L::of_places(places);
                for y in 0..R {
                    let to = dw.add((y * R + x) * plane + first);
                    let tap = if accumulate { load_some::<V>(to, n).add(column[y]) } else { column[y] };
                    store_some(tap, to, n);
                }
            }
        }
    }
}

/// The adjoint transforms of a form on an instruction set.
struct Adjoints {
    results: unsafe fn(&Tiling),
    taps: unsafe fn(usize, *const f32, *mut f32, bool),
}

macro_rules! adjoints {
    ($name:ident, $vector:ty $(, $feature:literal)?) => {
        mod $name {
            use super::*;
            pub fn all<L: Lines<T, R>, const T: usize, const R: usize>() -> Adjoints {
                Adjoints { results: results::<L, T, R>, taps: taps::<L, T, R> }
            }
            $(#[target_feature(enable = $feature)])?
            unsafe fn results<L: Lines<T, R>, const T: usize, const R: usize>(t: &Tiling) {
                // SAFETY: the caller's contract is the same, and the features are there.
                unsafe { super::results::<L, $vector, T, R>(t) }
            }
            $(#[target_feature(enable = $feature)])?
            unsafe fn taps<L: Lines<T, R>, const T: usize, const R: usize>(
                plane: usize,
                sums: *const f32,
                dw: *mut f32,
                accumulate: bool,
            ) {
                // SAFETY: the caller's contract is the same, and the features are there.
                unsafe { super::taps::<L, $vector, T, R>(plane, sums, dw, accumulate) }
            }
        }
    };
}

adjoints!(portable, Portable);
#[cfg(target_arch = "x86_64")]
adjoints!(avx2, Wide256, "avx2,fma");
#[cfg(target_arch = "x86_64")]
adjoints!(avx512, Wide512, "avx512f,avx512vl,avx512dq,avx512bw,avx2,fma");

fn adjoints_of(isa: Isa, conv: &Conv) -> Adjoints {
    match conv.window.kernel[0] {
        3 => adjoints_on::<Three, 4, 3>(isa),
        _ => adjoints_on::<Five, 6, 5>(isa),
    }
}

fn adjoints_on<L: Lines<T, R>, const T: usize, const R: usize>(isa: Isa) -> Adjoints {
    by_isa!(isa, portable::all::<L, T, R>(), avx2::all::<L, T, R>(), avx512::all::<L, T, R>())
}
