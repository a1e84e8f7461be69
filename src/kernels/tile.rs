//! The register tile of every matrix product: a few rows times a few vectors of columns.
//!
//! An element of C is one chain of fused multiply-adds over the taps and, in each, over k, whatever the
//! tile, the blocks or the instruction set: results have equal bits everywhere.

use super::isa::{Isa, by_isa};
use super::simd::{Portable, Vector};
#[cfg(target_arch = "x86_64")]
use super::simd::{Wide256, Wide512};

/// What is done to a sum before it is stored: the bias is added, then ReLU taken (0 for what is below 0).
/// Bits are those of the steps one by one.
#[derive(Clone, Copy, Debug, Default)]
pub struct Epilogue {
    /// A number for each column.
    pub bias: Option<*const f32>,
    /// Whether there is a ReLU.
    pub relu: bool,
}

impl Epilogue {
    /// For the columns from `first` on.
    pub(super) fn from(self, first: usize) -> Epilogue {
        Epilogue { bias: self.bias.map(|bias| bias.wrapping_add(first)), ..self }
    }

    /// Done to a vector of sums, with the bias of their columns if there is one.
    ///
    /// # Safety
    /// The processor has V's features.
    #[inline(always)]
    pub(super) unsafe fn apply<V: Vector>(&self, sum: V, bias: V) -> V {
        // SAFETY: the caller vouches for the features.
        unsafe {
            let sum = if self.bias.is_some() { sum.add(bias) } else { sum };
            let zero = V::zero();
            if self.relu { V::select(zero.greater(sum), zero, sum) } else { sum }
        }
    }

    /// Whether there is nothing to do.
    pub(super) fn is_empty(&self) -> bool {
        self.bias.is_none() && !self.relu
    }
}

/// The most rows of any tile.
pub const MAX_ROWS: usize = 16;

/// What a tile computes: `c[i][j] (+)= sum over taps (ta, tb), k of a[i][ta + k * a_step] * b[tb + k * b_step + j]`.
/// Offsets are in elements.
#[derive(Clone, Copy, Debug)]
pub struct Tile<'a> {
    /// Where offsets into A start.
    pub a: *const f32,
    /// The offset of each row of A.
    pub a_rows: [isize; MAX_ROWS],
    /// From one k to the next in A.
    pub a_step: isize,
    /// Where offsets into B start, at the tile's first column.
    pub b: *const f32,
    /// From one k to the next in B.
    pub b_step: isize,
    /// Where offsets into C start, at the tile's first column.
    pub c: *mut f32,
    /// The offset of each row of C.
    pub c_rows: [isize; MAX_ROWS],
    /// Pairs of offsets into A and B.
    pub taps: &'a [(isize, isize)],
    /// Steps of k in each tap.
    pub k: usize,
    /// How many columns; the last vector may be partial.
    pub columns: usize,
    /// Start from what C holds, not from 0.
    pub accumulate: bool,
    /// At the tile's first column.
    pub epilogue: Epilogue,
}

/// The tile itself.
///
/// # Safety
/// The processor has V's features; every address the description names is readable, and in C writable.
/// Rows may repeat, but different rows of C do not overlap. `columns` fills NV vectors, the last
/// completely if FULL and at least by one lane otherwise.
#[inline(always)]
#[allow(clippy::needless_range_loop)] // the indices name registers
unsafe fn run<V: Vector, const MR: usize, const NV: usize, const FULL: bool>(t: &Tile) {
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
        let mut sums = [[V::zero(); NV]; MR];
        if t.accumulate {
            for i in 0..MR {
                for j in 0..NV {
                    sums[i][j] = load(t.c.offset(t.c_rows[i]), j);
                }
            }
        }
        let rows: [*const f32; MR] = std::array::from_fn(|i| t.a.wrapping_offset(t.a_rows[i]));
        for &(a, b) in t.taps {
            let mut a = a;
            let mut b = t.b.wrapping_offset(b);
            for _ in 0..t.k {
                let columns: [V; NV] = std::array::from_fn(|j| load(b, j));
                for i in 0..MR {
                    let x = V::splat(*rows[i].wrapping_offset(a));
                    for j in 0..NV {
                        sums[i][j] = x.fma(columns[j], sums[i][j]);
                    }
                }
                a += t.a_step;
                b = b.wrapping_offset(t.b_step);
            }
        }
        if let Some(bias) = t.epilogue.bias {
            for j in 0..NV {
                let bias = load(bias, j);
                for i in 0..MR {
                    sums[i][j] = sums[i][j].add(bias);
                }
            }
        }
        if t.epilogue.relu {
            let zero = V::zero();
            for i in 0..MR {
                for j in 0..NV {
                    sums[i][j] = V::select(zero.greater(sums[i][j]), zero, sums[i][j]);
                }
            }
        }
        for i in 0..MR {
            let c = t.c.offset(t.c_rows[i]);
            for j in 0..NV {
                let p = c.add(j * V::LANES);
                if FULL || j + 1 < NV { sums[i][j].store(p) } else { sums[i][j].store_masked(p, mask) }
            }
        }
    }
}

/// [`run`] for one vector of columns and rows of A that all stand as far apart as the first two: next to each other
/// if NEIGHBOURS. Where every row has an address of its own, there are more than a processor has registers for, and
/// the tile is bound by reading them.
///
/// # Safety
/// As for [`run`]; there are at least two rows.
#[inline(always)]
#[allow(clippy::needless_range_loop)] // the indices name registers
unsafe fn run_even<V: Vector, const MR: usize, const NEIGHBOURS: bool, const FULL: bool>(t: &Tile) {
    // SAFETY: all addresses are those of the description; the vector is masked unless full.
    unsafe {
        let mask = V::mask(t.columns);
        let load = |p: *const f32| if FULL { V::load(p) } else { V::load_masked(p, mask) };
        let mut sums = [V::zero(); MR];
        if t.accumulate {
            for i in 0..MR {
                sums[i] = load(t.c.offset(t.c_rows[i]));
            }
        }
        // In bytes. Sums of a base and 1, 2, 4 or 8 times a register are addresses that cost nothing.
        let apart = if NEIGHBOURS { 4 } else { 4 * (t.a_rows[1] - t.a_rows[0]) };
        let [three, five, seven] = [3 * apart, 5 * apart, 7 * apart];
        for &(a, b) in t.taps {
            let mut a = t.a.wrapping_offset(t.a_rows[0] + a).cast::<u8>();
            let mut b = t.b.wrapping_offset(b);
            for _ in 0..t.k {
                let columns = load(b);
                let near = if NEIGHBOURS { a } else { somewhere(a) };
                let far = near.wrapping_offset(8 * apart);
                let far = if NEIGHBOURS { far } else { somewhere(far) };
                let distances = [0, apart, 2 * apart, three, 4 * apart, five, 2 * three, seven];
                let row = |base: *const u8, i: usize| base.wrapping_offset(distances[i % 8]).cast::<f32>();
                for i in 0..MR.min(8) {
                    sums[i] = V::splat(*row(near, i)).fma(columns, sums[i]);
                }
                for i in 8..MR {
                    sums[i] = V::splat(*row(far, i)).fma(columns, sums[i]);
                }
                a = a.wrapping_offset(4 * t.a_step);
                b = b.wrapping_offset(t.b_step);
            }
        }
        finish_even::<V, MR, FULL>(t, sums, mask);
    }
}

/// The same address, of which the compiler then knows nothing: it would keep one for every row of a loop.
#[allow(clippy::pointers_in_nomem_asm_block)] // nothing is read there
#[inline(always)]
fn somewhere(address: *const u8) -> *const u8 {
    #[cfg(target_arch = "x86_64")]
    {
        let mut address = address;
        // SAFETY: no instruction.
        unsafe {
            std::arch::asm!("/* {0} */", inout(reg) address, options(pure, nomem, nostack, preserves_flags));
        }
        address
    }
    #[cfg(not(target_arch = "x86_64"))]
    address
}

/// Does the epilogue to one vector of columns and stores it.
///
/// # Safety
/// As for [`run`].
#[inline(always)]
#[allow(clippy::needless_range_loop)] // the indices name registers
unsafe fn finish_even<V: Vector, const MR: usize, const FULL: bool>(t: &Tile, sums: [V; MR], mask: V::Mask) {
    // SAFETY: the caller's contract.
    unsafe {
        let bias = t.epilogue.bias.map(|p| if FULL { V::load(p) } else { V::load_masked(p, mask) });
        let bias = bias.unwrap_or(V::zero());
        for i in 0..MR {
            let sum = t.epilogue.apply(sums[i], bias);
            let c = t.c.offset(t.c_rows[i]);
            if FULL { sum.store(c) } else { sum.store_masked(c, mask) }
        }
    }
}

/// A compiled tile.
pub type TileFn = unsafe fn(&Tile);

/// A tile of so many rows, for full and for partial last vectors.
#[derive(Clone, Copy)]
pub struct Variant {
    /// How many rows it has.
    pub rows: usize,
    /// For columns that fill the vectors.
    pub full: TileFn,
    /// For any number of columns.
    pub masked: TileFn,
}

/// The tiles of an instruction set.
#[derive(Clone, Copy)]
pub struct Tiles {
    /// Numbers in a vector.
    pub lanes: usize,
    /// By number of vectors less one: the variants, by ascending number of rows.
    pub by_vectors: &'static [&'static [Variant]],
    /// For one vector and rows of A at one distance: the variants of 2 rows, 3 rows and so on, for any distance and
    /// for neighbours. Empty where the others are as fast.
    pub even: [&'static [Variant]; 2],
}

unsafe fn portable<const MR: usize, const NV: usize, const FULL: bool>(t: &Tile) {
    // SAFETY: the caller's contract is the same.
    unsafe { run::<Portable, MR, NV, FULL>(t) }
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,fma")]
unsafe fn avx2<const MR: usize, const NV: usize, const FULL: bool>(t: &Tile) {
    // SAFETY: the caller's contract is the same, and the features are there.
    unsafe { run::<Wide256, MR, NV, FULL>(t) }
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f,avx512vl,avx512dq,avx512bw,avx2,fma")]
unsafe fn avx512<const MR: usize, const NV: usize, const FULL: bool>(t: &Tile) {
    // SAFETY: the caller's contract is the same, and the features are there.
    unsafe { run::<Wide512, MR, NV, FULL>(t) }
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f,avx512vl,avx512dq,avx512bw,avx2,fma")]
unsafe fn avx512_even<const MR: usize, const NEIGHBOURS: bool, const FULL: bool>(t: &Tile) {
    // SAFETY: the caller's contract is the same, and the features are there.
    unsafe { run_even::<Wide512, MR, NEIGHBOURS, FULL>(t) }
}

macro_rules! even {
    ($tile:ident, $neighbours:literal: $($rows:literal)*) => {
        &[$(Variant {
            rows: $rows,
            full: $tile::<$rows, $neighbours, true>,
            masked: $tile::<$rows, $neighbours, false>,
        }),*]
    };
}

macro_rules! variants {
    ($tile:ident, $vectors:literal: $($rows:literal)*) => {
        &[$(Variant {
            rows: $rows,
            full: $tile::<$rows, $vectors, true>,
            masked: $tile::<$rows, $vectors, false>,
        }),*]
    };
}

static PORTABLE: Tiles = Tiles {
    lanes: 8,
    by_vectors: &[variants!(portable, 1: 1 2 4), variants!(portable, 2: 1 2 4)],
    even: [&[], &[]],
};

#[cfg(target_arch = "x86_64")]
static AVX2: Tiles = Tiles {
    lanes: 8,
    by_vectors: &[variants!(avx2, 1: 1 2 4 6 8 12), variants!(avx2, 2: 1 2 3 4 5 6)],
    even: [&[], &[]],
};

#[cfg(target_arch = "x86_64")]
static AVX512: Tiles = Tiles {
    lanes: 16,
    by_vectors: &[
        variants!(avx512, 1: 1 2 4 6 8 12),
        variants!(avx512, 2: 1 2 4 6 8 10 11 12),
        variants!(avx512, 3: 1 2 4 6 7 8),
        variants!(avx512, 4: 1 2 3 4 5 6),
    ],
    even: [
        even!(avx512_even, false: 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16),
        even!(avx512_even, true: 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16),
    ],
};

/// The most rows of a tile with one vector of columns and rows at one distance. (Of 16 operands 16 are read from memory
/// besides B's one.)
const EVEN_ROWS: usize = 16;

impl Tiles {
    /// Vectors that hold so many columns.
    #[inline]
    pub(super) fn vectors(&self, columns: usize) -> usize {
        debug_assert!(self.lanes.is_power_of_two());
        (columns + self.lanes - 1) >> self.lanes.trailing_zeros()
    }

    /// The most rows that a tile takes, if they are at one distance in A.
    pub(super) fn even_rows(&self, vectors: usize) -> usize {
        let variants = self.by_vectors[vectors - 1];
        if vectors > 1 || self.even[0].is_empty() { variants[variants.len() - 1].rows } else { EVEN_ROWS }
    }

    /// The tile for so many rows at one distance in A, `apart` from each other.
    pub(super) fn for_even_rows(&self, vectors: usize, rows: usize, apart: isize) -> &Variant {
        if vectors > 1 || rows == 1 || self.even[0].is_empty() {
            return self.at_least(vectors, rows);
        }
        &self.even[usize::from(apart == 1)][rows - 2]
    }

    /// The smallest tile with so many rows, else the largest.
    pub(super) fn at_least(&self, vectors: usize, rows: usize) -> &Variant {
        let variants = self.by_vectors[vectors - 1];
        variants.iter().find(|v| v.rows >= rows).unwrap_or(&variants[variants.len() - 1])
    }

    /// The tiles of an instruction set; of a weaker one if the processor does not have it.
    pub fn of(isa: Isa) -> &'static Tiles {
        by_isa!(isa, &PORTABLE, &AVX2, &AVX512)
    }
}
