//! Segmented row accumulation: sums of `g * row` over rows that lists or bit masks choose, kept in registers.

use super::conv_pool_gradient::MASK_CHANNELS;
use super::isa::{Isa, by_isa};
use super::maxima::List;
use super::simd::{Portable, Vector};
#[cfg(target_arch = "x86_64")]
use super::simd::{Wide256, Wide512};

/// The most columns of a [`Spread`].
pub(super) const SPREAD_COLUMNS: usize = 96;

/// `sums[s] += sum over the list of gradient * image[offset + segment s]`, for one channel.
#[derive(Clone, Copy)]
pub(super) struct Gather {
    pub image: *const f32,
    /// Offsets of the segments, at the first column.
    pub segments: [usize; 3],
    /// Where the first segment's sums are, and from one to the next.
    pub sums: *mut f32,
    pub sums_step: usize,
    pub list: List,
    pub columns: usize,
}

/// # Safety
/// The processor has V's features; every address the description names is readable, in `sums` writable.
/// `columns` fills NV vectors, the last completely if FULL and at least by one lane otherwise.
#[inline(always)]
#[allow(clippy::needless_range_loop)] // the indices name registers
unsafe fn gather<V: Vector, const S: usize, const NV: usize, const FULL: bool>(t: &Gather) {
    // SAFETY: all addresses are those of the description; the last vector is masked unless full.
    unsafe {
        let mask = V::mask(t.columns - (NV - 1) * V::LANES);
        let load = |p: *const f32, j: usize| {
            if FULL || j + 1 < NV {
                V::load(p.add(j * V::LANES))
            } else {
                V::load_masked(p.add(j * V::LANES), mask)
            }
        };
        let mut sums = [[V::zero(); NV]; S];
        for s in 0..S {
            for j in 0..NV {
                sums[s][j] = load(t.sums.add(s * t.sums_step), j);
            }
        }
        let segments: [*const f32; S] = std::array::from_fn(|s| t.image.wrapping_add(t.segments[s]));
        for i in 0..t.list.count {
            let offset = (*t.list.offsets.add(i)).to_bits() as usize;
            let g = V::splat(*t.list.gradients.add(i));
            for s in 0..S {
                for j in 0..NV {
                    sums[s][j] = g.fma(load(segments[s].wrapping_add(offset), j), sums[s][j]);
                }
            }
        }
        for s in 0..S {
            let to = t.sums.add(s * t.sums_step);
            for j in 0..NV {
                let p = to.add(j * V::LANES);
                if FULL || j + 1 < NV { sums[s][j].store(p) } else { sums[s][j].store_masked(p, mask) }
            }
        }
    }
}

/// `image[window + tap] += sum over chosen channels of g[window, channel] * weights[channel]`, for all
/// windows and taps.
#[derive(Clone, Copy)]
pub(super) struct Spread {
    pub image: *mut f32,
    pub weights: *const f32,
    pub weights_step: usize,
    /// For each window and tap a bit per channel.
    pub masks: *const u64,
    /// Offsets of the windows, and of their taps.
    pub windows: *const usize,
    pub window_count: usize,
    pub taps: *const usize,
    pub tap_count: usize,
    pub g: *const f32,
    pub channels: usize,
    pub columns: usize,
}

/// # Safety
/// As for [`gather`]; `image` is writable.
#[inline(always)]
#[allow(clippy::needless_range_loop)] // the indices name registers
unsafe fn spread<V: Vector, const NV: usize, const FULL: bool>(t: &Spread) {
    // SAFETY: all addresses are those of the description; the last vector is masked unless full.
    unsafe {
        let mask = V::mask(t.columns - (NV - 1) * V::LANES);
        let load = |p: *const f32, j: usize| {
            if FULL || j + 1 < NV {
                V::load(p.add(j * V::LANES))
            } else {
                V::load_masked(p.add(j * V::LANES), mask)
            }
        };
        let words = t.channels.div_ceil(MASK_CHANNELS);
        let mut masks = t.masks;
        for window in 0..t.window_count {
            let offset = *t.windows.add(window);
            let g = t.g.add(window * t.channels);
            for tap in 0..t.tap_count {
                let to = t.image.add(offset + *t.taps.add(tap));
                let mut sums: [V; NV] = std::array::from_fn(|j| load(to, j));
                for word in 0..words {
                    let mut bits = *masks;
                    masks = masks.add(1);
                    while bits != 0 {
                        let channel = word * MASK_CHANNELS + bits.trailing_zeros() as usize;
                        bits &= bits - 1;
                        let x = V::splat(*g.add(channel));
                        let row = t.weights.add(channel * t.weights_step);
                        for j in 0..NV {
                            sums[j] = x.fma(load(row, j), sums[j]);
                        }
                    }
                }
                for j in 0..NV {
                    let p = to.add(j * V::LANES);
                    if FULL || j + 1 < NV { sums[j].store(p) } else { sums[j].store_masked(p, mask) }
                }
            }
        }
    }
}

/// For each window and tap, a bit per channel that has its maximum there.
///
/// # Safety
/// The processor has V's features; `which` holds all windows and channels, `masks` a word for each window,
/// tap and [`MASK_CHANNELS`] channels.
#[inline(always)]
unsafe fn tap_masks<V: Vector>(
    which: *const u8,
    windows: usize,
    taps: usize,
    channels: usize,
    masks: *mut u64,
) {
    let mut to = masks;
    for window in 0..windows {
        for tap in 0..taps {
            for first in (0..channels).step_by(MASK_CHANNELS) {
                let n = MASK_CHANNELS.min(channels - first);
                // SAFETY: `n` channels of the window; there are as many words.
                unsafe {
                    *to = V::equal_bytes(which.add(window * channels + first), n, tap as u8);
                    to = to.add(1);
                }
            }
        }
    }
}

/// For partial and for full last vectors.
type Pair<T> = [unsafe fn(&T); 2];

/// The kernels of an instruction set, by number of vectors less one.
pub(super) struct Rows {
    /// Numbers in a vector.
    pub lanes: usize,
    /// Three segments at a time.
    pub gather_three: &'static [Pair<Gather>],
    /// One segment at a time.
    pub gather_one: &'static [Pair<Gather>],
    pub spread: &'static [Pair<Spread>],
    /// [`tap_masks`]
    pub masks: unsafe fn(*const u8, usize, usize, usize, *mut u64),
}

/// The functions of one instruction set.
macro_rules! compiled {
    ($name:ident, $vector:ty $(, $feature:literal)?) => {
        mod $name {
            use super::*;
            $(#[target_feature(enable = $feature)])?
            pub unsafe fn gather<const S: usize, const NV: usize, const FULL: bool>(t: &Gather) {
                // SAFETY: the caller's contract is the same, and the features are there.
                unsafe { super::gather::<$vector, S, NV, FULL>(t) }
            }
            $(#[target_feature(enable = $feature)])?
            pub unsafe fn spread<const NV: usize, const FULL: bool>(t: &Spread) {
                // SAFETY: the caller's contract is the same, and the features are there.
                unsafe { super::spread::<$vector, NV, FULL>(t) }
            }
            $(#[target_feature(enable = $feature)])?
            pub unsafe fn masks(which: *const u8, windows: usize, taps: usize, channels: usize, to: *mut u64) {
                // SAFETY: the caller's contract is the same, and the features are there.
                unsafe { super::tap_masks::<$vector>(which, windows, taps, channels, to) }
            }
        }
    };
}

compiled!(portable, Portable);
#[cfg(target_arch = "x86_64")]
compiled!(avx2, Wide256, "avx2,fma");
#[cfg(target_arch = "x86_64")]
compiled!(avx512, Wide512, "avx512f,avx512vl,avx512dq,avx512bw,avx2,fma");

macro_rules! rows {
    ($isa:ident, $lanes:literal, three: $($three:literal)*, one: $($one:literal)*, spread: $($spread:literal)*) => {
        Rows {
            lanes: $lanes,
            gather_three: &[$([$isa::gather::<3, $three, false>, $isa::gather::<3, $three, true>]),*],
            gather_one: &[$([$isa::gather::<1, $one, false>, $isa::gather::<1, $one, true>]),*],
            spread: &[$([$isa::spread::<$spread, false>, $isa::spread::<$spread, true>]),*],
            masks: $isa::masks,
        }
    };
}

static PORTABLE: Rows = rows!(portable, 8, three: 1, one: 1 2, spread: 1 2 3 4 5 6 7 8 9 10 11 12);
#[cfg(target_arch = "x86_64")]
static AVX2: Rows =
    rows!(avx2, 8, three: 1 2 3 4, one: 1 2 3 4 5 6 7 8 9 10 11 12, spread: 1 2 3 4 5 6 7 8 9 10 11 12);
#[cfg(target_arch = "x86_64")]
static AVX512: Rows =
    rows!(avx512, 16, three: 1 2 3 4 5 6 7 8, one: 1 2 3 4 5 6 7 8 9 10 11 12, spread: 1 2 3 4 5 6);

impl Rows {
    /// The kernels of an instruction set; of a weaker one if the processor does not have it.
    pub(super) fn of(isa: Isa) -> &'static Rows {
        by_isa!(isa, &PORTABLE, &AVX2, &AVX512)
    }
}
