//! Matrix products that leave out the zeros of the left factor: data that is mostly zeros (ink on paper, words of
//! a vocabulary, one-hot categories).
//!
//! The numbers that are not zero are listed, a row of a block of k after the other. Each row's list is then worked
//! off against a block of B that stays in the nearest cache, with the row of C in registers. A term `0 * b` adds
//! nothing to a sum and the others come in the order of k, so the bits are those of [`gemm`]; only an infinite or
//! undefined `b` that meets nothing but zeros no longer makes the sum undefined.

use super::gemm::{Matrix, gemm_on, reserve_for, within};
use super::isa::{Isa, by_isa};
use super::products::share;
use super::scratch::{Buffer, ProductScratch, Scratch};
use super::simd::{Lookup, Portable, load_some, store_some};
#[cfg(target_arch = "x86_64")]
use super::simd::{Wide256, Wide512};
use super::tile::Epilogue;
use super::transpose::{copy_rows, transpose};

/// Steps of k in a block.
const STEPS: usize = 64;
/// Vectors of columns in a block: as many sums as keep the multipliers busy.
const VECTORS: usize = 8;
/// Rows that are listed while they are in the nearest cache.
const ROWS_AT_ONCE: usize = 64;
/// Blocks of k are whole lines of the cache.
const LINE: usize = 16;
/// The share of numbers other than zero up to which leaving out zeros is worth it.
const MOST: f32 = 0.4;
/// About so many numbers are looked at first.
const SAMPLE: usize = 1024;
/// With fewer rows or columns, lists and panels cost more than they save.
pub const ROWS: usize = 8;
/// As for [`ROWS`].
pub const COLUMNS: usize = 32;

/// [`gemm`](super::gemm::gemm) for an `a` that may be mostly zeros: looks, and leaves them out where that is worth it.
/// Counts in `scratch` the multiply-adds that were not done.
///
/// # Safety
/// As for [`gemm`](super::gemm::gemm).
#[allow(clippy::too_many_arguments)] // the signature of BLAS
pub unsafe fn gemm_sparse(
    m: usize,
    n: usize,
    k: usize,
    a: Matrix<*const f32>,
    b: Matrix<*const f32>,
    c: Matrix<*mut f32>,
    accumulate: bool,
    scratch: &mut Scratch,
) {
    // SAFETY: the same contract.
    unsafe { gemm_sparse_on(Isa::current(), [m, n, k], a, b, c, accumulate, scratch) }
}

/// [`gemm_sparse`] on a given instruction set.
///
/// # Safety
/// As for [`gemm_sparse`].
pub(super) unsafe fn gemm_sparse_on(
    isa: Isa,
    sizes: [usize; 3],
    a: Matrix<*const f32>,
    b: Matrix<*const f32>,
    c: Matrix<*mut f32>,
    accumulate: bool,
    scratch: &mut Scratch,
) {
    let Scratch { product: scratch, left_out, .. } = scratch;
    let [m, n, k] = sizes;
    let routines = Routines::of(isa);
    let rows_or_columns = a.column == 1 || a.row == 1;
    let suits = m >= ROWS && n >= COLUMNS && k > 0 && rows_or_columns && b.column == 1 && c.column == 1;
    if suits {
        reserve(isa, sizes, a.column == 1, scratch);
    }
    // SAFETY: the caller vouches for the matrices; lists and panels are taken large enough.
    unsafe {
        if !suits || !mostly_zeros([m, k], a) {
            return gemm_on(isa, sizes, a, b, c, accumulate, Epilogue::default(), scratch);
        }
        let width = VECTORS * routines.lanes;
        let lists = &mut scratch.lists;
        for (block, [from, to]) in blocks(k, LINE, STEPS).enumerate() {
            let steps = to - from;
            lists.start(m, steps);
            for first in (0..m).step_by(ROWS_AT_ONCE) {
                let start = a.start.add(first * a.row + from * a.column);
                let rows = ROWS_AT_ONCE.min(m - first);
                if a.column == 1 {
                    (routines.list)(lists, [rows, steps], start, a.row);
                } else {
                    let turned = scratch.left.take(rows * steps);
                    transpose(start, a.row, a.column, rows, steps, turned);
                    (routines.list)(lists, [rows, steps], turned.as_ptr(), steps);
                }
            }
            *left_out += ((m * steps - lists.len()) * n) as u64;
            for [first, end] in blocks(n, routines.lanes, width) {
                let columns = end - first;
                let panel = scratch.panel.take(STEPS * width);
                let from = b.start.add(from * b.row + first);
                copy_rows(from, b.row, [steps, columns], panel.as_mut_ptr(), width);
                let rows = Rows {
                    starts: &lists.starts,
                    values: lists.values.take(0).as_ptr(),
                    offsets: lists.offsets.take(0).as_ptr(),
                    panel: panel.as_ptr(),
                    c: c.start.add(first),
                    c_row: c.row,
                    columns,
                    accumulate: accumulate || block > 0,
                };
                (routines.by_vectors[columns.div_ceil(routines.lanes) - 1])(&rows);
            }
        }
    }
}

/// Takes the memory of both ways, so that nothing is allocated where a batch is the first to go the other one.
fn reserve(isa: Isa, [m, n, k]: [usize; 3], rows: bool, scratch: &mut ProductScratch) {
    reserve_for(isa, [m, n, k], scratch);
    if !rows {
        scratch.left.take(m * k);
    }
    scratch.lists.start(m, STEPS.min(k));
}

/// `total` in nearly equal parts of at most `most`, all but the last in whole units: where each starts and ends.
fn blocks(total: usize, unit: usize, most: usize) -> impl Iterator<Item = [usize; 2]> {
    let units = total.div_ceil(unit);
    let count = units.div_ceil(most / unit);
    (0..count).map(move |i| [i, i + 1].map(|i| (share(units, count, i) * unit).min(total)))
}

/// Whether few enough numbers of a sample of the rows are not zero.
///
/// # Safety
/// Every element is readable.
unsafe fn mostly_zeros([m, k]: [usize; 2], a: Matrix<*const f32>) -> bool {
    let rows = SAMPLE.div_ceil(k).min(m);
    let mut found = 0;
    for row in (0..rows).map(|i| share(m, rows, i)) {
        for step in 0..k {
            // SAFETY: an element.
            found += usize::from(unsafe { *a.start.add(row * a.row + step * a.column) } != 0.0);
        }
    }
    found as f32 <= MOST * (rows * k) as f32
}

/// The numbers of a block of k that are not zero, row by row.
#[derive(Clone, Default)]
pub(super) struct Lists {
    /// Where the list of each row starts, and where the last one ends.
    starts: Vec<u32>,
    values: Buffer,
    /// From the start of a panel to the row of B that a number is multiplied with, as bits.
    offsets: Buffer,
    room: usize,
}

impl Lists {
    /// Empty lists with room for so many rows and for all numbers of each.
    fn start(&mut self, rows: usize, steps: usize) {
        self.starts.clear();
        self.starts.reserve(rows + 1);
        self.starts.push(0);
        // A vector is stored behind the last number.
        self.room = rows * steps + LINE;
        self.values.take(self.room);
        self.offsets.take(self.room);
    }

    fn len(&self) -> usize {
        self.starts.last().map_or(0, |end| *end as usize)
    }
}

/// Lists the numbers that are not zero in more rows, each of neighbours, and `row` from the next.
///
/// # Safety
/// The processor has V's features; the rows are readable, and there is room for them.
#[inline(always)]
unsafe fn list<V: Lookup>(lists: &mut Lists, [rows, steps]: [usize; 2], a: *const f32, row: usize) {
    // SAFETY: there is room for all numbers and a vector more; the others are the matrix's.
    unsafe {
        let mut at = lists.len();
        let values = lists.values.take(lists.room).as_mut_ptr();
        let offsets = lists.offsets.take(lists.room).as_mut_ptr();
        let row_of_panel = VECTORS * V::LANES;
        let first: [f32; LINE] = std::array::from_fn(|i| f32::from_bits((i * row_of_panel) as u32));
        let first = V::load(first.as_ptr());
        let next = V::splat(f32::from_bits((V::LANES * row_of_panel) as u32));
        for line in (0..rows).map(|i| a.add(i * row)) {
            let mut offset = first;
            for step in (0..steps).step_by(V::LANES) {
                let x: V = load_some(line.add(step), V::LANES.min(steps - step));
                let chosen = x.nonzero();
                x.store_chosen(chosen, values.add(at));
                offset.store_chosen(chosen, offsets.add(at));
                at += V::bits(chosen).count_ones() as usize;
                offset = offset.add_bits(next);
            }
            lists.starts.push(at as u32);
        }
    }
}

/// Rows of a product for one block of columns and one of k.
struct Rows<'a> {
    /// For each row where its list starts, and the end.
    starts: &'a [u32],
    values: *const f32,
    offsets: *const f32,
    /// The block of B.
    panel: *const f32,
    c: *mut f32,
    c_row: usize,
    columns: usize,
    /// Start from what C holds, not from 0.
    accumulate: bool,
}

/// Works off the rows' lists.
///
/// # Safety
/// The processor has V's features; lists and panel are those of a product, of which C is writable. The columns fill
/// NV vectors, the last at least by one lane.
#[inline(always)]
#[allow(clippy::needless_range_loop)] // the index names registers
unsafe fn rows<V: Lookup, const NV: usize>(r: &Rows) {
    // SAFETY: the caller's contract; what the panel holds behind the last column is not stored.
    unsafe {
        let last = r.columns - (NV - 1) * V::LANES;
        let lanes = |v: usize| if v + 1 < NV { V::LANES } else { last };
        for (row, ends) in r.starts.windows(2).enumerate() {
            let [start, end] = [ends[0] as usize, ends[1] as usize];
            if start == end && r.accumulate {
                continue;
            }
            let c = r.c.add(row * r.c_row);
            let mut sums = [V::zero(); NV];
            if r.accumulate {
                for v in 0..NV {
                    sums[v] = load_some(c.add(v * V::LANES), lanes(v));
                }
            }
            for i in start..end {
                let x = V::splat(*r.values.add(i));
                let line = r.panel.add((*r.offsets.add(i)).to_bits() as usize);
                for v in 0..NV {
                    sums[v] = x.fma(V::load(line.add(v * V::LANES)), sums[v]);
                }
            }
            for v in 0..NV {
                store_some(sums[v], c.add(v * V::LANES), lanes(v));
            }
        }
    }
}

type ListFn = unsafe fn(&mut Lists, [usize; 2], *const f32, usize);
type RowsFn = unsafe fn(&Rows);

/// The routines of an instruction set.
struct Routines {
    lanes: usize,
    list: ListFn,
    /// By number of vectors less one.
    by_vectors: [RowsFn; VECTORS],
}

macro_rules! routines {
    ($name:ident, $vector:ty $(, $features:literal)?) => {
        mod $name {
            use super::*;
            use crate::kernels::simd::Vector;
            $(#[target_feature(enable = $features)])?
            unsafe fn list(lists: &mut Lists, sizes: [usize; 2], a: *const f32, row: usize) {
                // SAFETY: the caller's contract is the same, and the features are there.
                unsafe { super::list::<$vector>(lists, sizes, a, row) }
            }
            $(#[target_feature(enable = $features)])?
            unsafe fn rows<const NV: usize>(r: &Rows) {
                // SAFETY: as above.
                unsafe { super::rows::<$vector, NV>(r) }
            }
            pub static ROUTINES: Routines = Routines {
                lanes: <$vector>::LANES,
                list,
                by_vectors: [rows::<1>, rows::<2>, rows::<3>, rows::<4>, rows::<5>, rows::<6>, rows::<7>, rows::<8>],
            };
        }
    };
}

routines!(portable, Portable);
#[cfg(target_arch = "x86_64")]
routines!(avx2, Wide256, "avx2,fma,popcnt");
#[cfg(target_arch = "x86_64")]
routines!(avx512, Wide512, "avx512f,avx512vl,avx512dq,avx512bw,avx2,fma,popcnt");

impl Routines {
    fn of(isa: Isa) -> &'static Routines {
        by_isa!(isa, &portable::ROUTINES, &avx2::ROUTINES, &avx512::ROUTINES)
    }
}

/// [`gemm_sparse`] with every access checked beforehand, on a given instruction set: for tests and benches.
#[allow(clippy::too_many_arguments)]
pub fn gemm_sparse_checked(
    isa: Isa,
    sizes: [usize; 3],
    a: Matrix<&[f32]>,
    b: Matrix<&[f32]>,
    c: Matrix<&mut [f32]>,
    accumulate: bool,
    scratch: &mut Scratch,
) {
    let (a, b, c) = within(sizes, a, b, c);
    // SAFETY: every element is inside; references to `c` are exclusive.
    unsafe { gemm_sparse_on(isa, sizes, a, b, c, accumulate, scratch) }
}
