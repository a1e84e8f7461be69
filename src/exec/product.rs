//! Matrix products: strides and extents of a planned product at one tile.

use std::ops::Range;

use super::places::{Frame, Place};
use crate::ir::plan::{self, Buffer, Cut, Extent, Gemm, WriteMode};
use crate::kernels;
use crate::kernels::gemm::{Matrix, gemm};
use crate::kernels::sparse::gemm_sparse;

/// A planned product with its places.
#[derive(Clone, Debug)]
pub struct Product {
    outer: Vec<(Extent, [i64; 3])>,
    sizes: [Extent; 3],
    places: [Place; 3],
    strides: [[isize; 2]; 3],
    slot: bool,
    cut: Cut,
    sparse: bool,
}

/// Which part of a kernel one worker does.
#[derive(Clone, Copy, Debug)]
pub struct Part {
    /// Which worker.
    pub worker: usize,
    /// Of how many.
    pub workers: usize,
}

impl Part {
    /// The worker's share of `count` things, in units of `grain`.
    pub fn of(self, count: usize, grain: usize) -> Range<usize> {
        let share = count.div_ceil(self.workers).next_multiple_of(grain);
        (self.worker * share).min(count)..((self.worker + 1) * share).min(count)
    }
}

/// Rows that stay together where rows are dealt out to workers.
const ROWS: usize = 8;
/// As for [`ROWS`]: as many as whole register tiles make up.
const COLUMNS: usize = 64;

/// More loops than a product ever has around it.
const DEPTH: usize = 16;

impl Product {
    /// A product of a plan; `None` if it has more loops than [`DEPTH`].
    pub fn new(gemm: &Gemm, buffers: &[Buffer]) -> Option<Product> {
        let place = |m: &plan::Matrix| Place::new(buffers, m.buffer, m.offset);
        let strides = |m: &plan::Matrix| [m.row as isize, m.column as isize];
        (gemm.outer.len() <= DEPTH).then(|| Product {
            outer: gemm.outer.clone(),
            sizes: [gemm.m, gemm.n, gemm.k],
            places: [place(&gemm.a), place(&gemm.b), place(&gemm.c)],
            strides: [strides(&gemm.a), strides(&gemm.b), strides(&gemm.c)],
            slot: gemm.mode == WriteMode::Slot,
            cut: gemm.cut.unwrap_or(Cut::Rows),
            sparse: gemm.sparse,
        })
    }

    /// Runs all or a part of it at one tile.
    pub fn run(&self, frame: &Frame, part: Part, scratch: &mut kernels::Scratch) {
        let mut counts = self.sizes.map(|size| frame.count(size));
        let mut bases = self.places.map(|place| frame.address(&place).cast::<f32>());
        let mut loops: [usize; DEPTH] =
            std::array::from_fn(|i| self.outer.get(i).map_or(1, |(extent, _)| frame.count(*extent)));
        match self.cut {
            Cut::Rows => {
                let rows = part.of(counts[0], ROWS);
                counts[0] = rows.len();
                skip(&mut bases, rows.start, [self.strides[0][0], 0, self.strides[2][0]]);
            }
            Cut::Columns => {
                let columns = part.of(counts[1], COLUMNS);
                counts[1] = columns.len();
                skip(&mut bases, columns.start, [0, self.strides[1][1], self.strides[2][1]]);
            }
            Cut::Outer => {
                let turns = part.of(loops[0], 1);
                loops[0] = turns.len();
                skip(&mut bases, turns.start, self.outer[0].1.map(|step| step as isize));
            }
        }
        let [m, n, k] = counts;
        if m == 0 || n == 0 || loops[0] == 0 {
            return;
        }
        let mut index = [0usize; DEPTH];
        loop {
            let mut at = bases;
            let mut adds = self.slot && frame.adds;
            for ((_, steps), i) in self.outer.iter().zip(index) {
                for side in 0..3 {
                    at[side] = at[side].wrapping_offset(steps[side] as isize * i as isize);
                }
                adds |= steps[2] == 0 && i > 0;
            }
            multiply(self.sparse, [m, n, k], at, self.strides, adds, scratch);
            let mut dim = self.outer.len();
            loop {
                if dim == 0 {
                    return;
                }
                dim -= 1;
                index[dim] += 1;
                if index[dim] < loops[dim] {
                    break;
                }
                index[dim] = 0;
            }
        }
    }
}

/// Moves the places of the three matrices by so many steps.
fn skip(bases: &mut [*mut f32; 3], count: usize, steps: [isize; 3]) {
    bases.iter_mut().zip(steps).for_each(|(base, step)| *base = base.wrapping_offset(count as isize * step));
}

fn multiply(
    sparse: bool,
    [m, n, k]: [usize; 3],
    [a, b, c]: [*mut f32; 3],
    strides: [[isize; 2]; 3],
    adds: bool,
    scratch: &mut kernels::Scratch,
) {
    let [[ra, ca], [rb, cb], [rc, cc]] = strides;
    if strides.as_flattened().iter().any(|stride| *stride < 0) {
        // Operands read backwards are rare; the general routine takes any strides.
        let beta = if adds { 1.0 } else { 0.0 };
        // SAFETY: the plan gives extents and strides that stay within their buffers, and `c` overlaps
        // neither `a` nor `b`.
        return unsafe { matrixmultiply::sgemm(m, k, n, 1.0, a, ra, ca, b, rb, cb, beta, c, rc, cc) };
    }
    let size = |stride: isize| stride as usize;
    let a = Matrix::new(a.cast_const(), size(ra), size(ca));
    let b = Matrix::new(b.cast_const(), size(rb), size(cb));
    let c = Matrix::new(c, size(rc), size(cc));
    let gemm = if sparse { gemm_sparse } else { gemm };
    // SAFETY: as above.
    unsafe { gemm(m, n, k, a, b, c, adds, scratch) }
}
