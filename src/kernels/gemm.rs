//! Matrix products for any strides: copies first what the register tile could not read well.

use super::isa::Isa;
use super::products::{K_BLOCK, Product, product, share};
use super::scratch::{ProductScratch, Scratch};
use super::tile::{Epilogue, Tiles};
use super::transpose::{copy_rows, transpose, transpose_to};

/// Columns of C from which on a transposed A is copied first, so that a row's steps of k are neighbours.
const PACK_COLUMNS: usize = 64;
/// Steps of k up to which that does not pay: so many lines of the cache find room beside each other.
const PACK_STEPS: usize = 32;
/// Rows of C from which on a block of columns of a wide B is copied first: lines that stand whole powers of
/// two apart share few places of the nearest cache. (Both: 1.1 to 1.4 times as fast on Sapphire Rapids.)
const PACK_ROWS: usize = 48;

/// A matrix in memory: where its element (0, 0) is, and the distances between rows and between columns.
#[derive(Clone, Copy, Debug)]
pub struct Matrix<P> {
    /// Element (0, 0).
    pub start: P,
    /// From one row to the next.
    pub row: usize,
    /// From one column to the next.
    pub column: usize,
}

impl<P> Matrix<P> {
    /// A matrix with these distances.
    pub fn new(start: P, row: usize, column: usize) -> Matrix<P> {
        Matrix { start, row, column }
    }

    fn transposed(self) -> Matrix<P> {
        Matrix { start: self.start, row: self.column, column: self.row }
    }
}

/// `c (+)= a b` with `a` of m x k and `b` of k x n. Each element is one chain of fused multiply-adds in
/// the order of k, so its bits depend on nothing else.
///
/// # Safety
/// Every element is readable, of `c` writable; `c` overlaps neither `a` nor `b`, and no element of `c`
/// has two places.
#[allow(clippy::too_many_arguments)] // the signature of BLAS
pub unsafe fn gemm(
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
    unsafe { gemm_with(m, n, k, a, b, c, accumulate, Epilogue::default(), scratch) }
}

/// [`gemm`] with something done to each element at the end; the bias has `n` numbers.
///
/// # Safety
/// As for [`gemm`]; the bias is readable, and `c` does not overlap it.
#[allow(clippy::too_many_arguments)]
pub unsafe fn gemm_with(
    m: usize,
    n: usize,
    k: usize,
    a: Matrix<*const f32>,
    b: Matrix<*const f32>,
    c: Matrix<*mut f32>,
    accumulate: bool,
    epilogue: Epilogue,
    scratch: &mut Scratch,
) {
    // SAFETY: the same contract.
    unsafe { gemm_on(Isa::current(), [m, n, k], a, b, c, accumulate, epilogue, &mut scratch.product) }
}

/// [`gemm_with`] on a given instruction set.
///
/// # Safety
/// As for [`gemm_with`].
#[allow(clippy::too_many_arguments)]
pub(super) unsafe fn gemm_on(
    isa: Isa,
    [m, n, k]: [usize; 3],
    a: Matrix<*const f32>,
    b: Matrix<*const f32>,
    c: Matrix<*mut f32>,
    accumulate: bool,
    epilogue: Epilogue,
    scratch: &mut ProductScratch,
) {
    if m == 0 || n == 0 {
        return;
    }
    let tiles = Tiles::of(isa);
    // SAFETY: (a b)^T = b^T a^T, so both ways name the same elements.
    unsafe {
        let straight = cost(tiles, [m, n, k], [packing(b, n), packing(c, n)]);
        let turned = cost(tiles, [n, m, k], [packing(a.transposed(), m), packing(c.transposed(), m)]);
        if straight <= turned && (c.column == 1 || n == 1) {
            return unit_b(tiles, [m, n, k], a, b, c, accumulate, epilogue, scratch);
        }
        if straight <= turned {
            unit_c(tiles, [m, n, k], a, b, c, accumulate, scratch);
        } else {
            let (a, b) = (b.transposed(), a.transposed());
            unit_c(tiles, [n, m, k], a, b, c.transposed(), accumulate, scratch);
        }
        finish([m, n], c, epilogue);
    }
}

/// Takes the memory for a product with neighbouring columns in B and C.
pub(super) fn reserve_for(isa: Isa, [m, n, k]: [usize; 3], scratch: &mut ProductScratch) {
    let tiles = Tiles::of(isa);
    let width = tiles.lanes * tiles.by_vectors.len();
    scratch.panel.take(K_BLOCK.min(k) * width.min(n.max(m)));
    if cost(tiles, [n, m, k], [0.0, 0.0]) < cost(tiles, [m, n, k], [0.0, 0.0]) {
        scratch.result.take(m * n);
        scratch.left.take(n * k);
    }
}

/// Does an epilogue to sums that are in memory already.
///
/// # Safety
/// Every element is readable and writable, the bias readable.
pub(super) unsafe fn finish([m, n]: [usize; 2], c: Matrix<*mut f32>, epilogue: Epilogue) {
    if epilogue.is_empty() {
        return;
    }
    for i in 0..m {
        for j in 0..n {
            // SAFETY: an element of the matrix and of the bias.
            unsafe {
                let at = c.start.add(i * c.row + j * c.column);
                let sum = epilogue.bias.map_or(*at, |bias| *at + *bias.add(j));
                *at = if epilogue.relu && sum < 0.0 { 0.0 } else { sum };
            }
        }
    }
}

/// What it takes to copy an element, if the `n` columns of a matrix must be made neighbours; in multiply-adds of a
/// vector.
fn packing<P>(matrix: Matrix<P>, n: usize) -> f32 {
    if matrix.column == 1 || n <= 1 {
        0.0
    } else if matrix.row == 1 {
        1.2
    } else {
        4.0
    }
}

/// About how many multiply-adds of a vector take as long as a product, with the copies of elements of B and C.
fn cost(tiles: &Tiles, [m, n, k]: [usize; 3], [of_b, of_c]: [f32; 2]) -> f32 {
    let width = tiles.vectors(n);
    (m * width * k) as f32 + (k * n) as f32 * of_b + (m * n) as f32 * of_c
}

/// Makes the columns of C neighbours.
unsafe fn unit_c(
    tiles: &Tiles,
    [m, n, k]: [usize; 3],
    a: Matrix<*const f32>,
    b: Matrix<*const f32>,
    c: Matrix<*mut f32>,
    accumulate: bool,
    scratch: &mut ProductScratch,
) {
    // SAFETY: addresses are the caller's, or in buffers taken large enough.
    unsafe {
        if c.column == 1 || n == 1 {
            return unit_b(tiles, [m, n, k], a, b, c, accumulate, Epilogue::default(), scratch);
        }
        let mut result = std::mem::take(&mut scratch.result);
        let own = result.take(m * n);
        if accumulate {
            transpose(c.start, c.row, c.column, m, n, own);
        }
        let own_c = Matrix::new(own.as_mut_ptr(), n, 1);
        unit_b(tiles, [m, n, k], a, b, own_c, accumulate, Epilogue::default(), scratch);
        let own = result.take(m * n);
        if c.row == 1 {
            transpose_to(own.as_ptr(), [1, n], [n, m], c.start, c.column);
        } else {
            for (i, row) in own.chunks_exact(n).enumerate() {
                for (j, x) in row.iter().enumerate() {
                    *c.start.add(i * c.row + j * c.column) = *x;
                }
            }
        }
        scratch.result = result;
    }
}

/// Makes the columns of B neighbours, and its lines and those of A close; the columns of C are neighbours.
#[allow(clippy::too_many_arguments)]
unsafe fn unit_b(
    tiles: &Tiles,
    [m, n, k]: [usize; 3],
    a: Matrix<*const f32>,
    b: Matrix<*const f32>,
    c: Matrix<*mut f32>,
    accumulate: bool,
    epilogue: Epilogue,
    scratch: &mut ProductScratch,
) {
    let rows = [a.row, c.row];
    let whole = Product {
        m,
        n,
        k,
        a: a.start,
        a_step: a.column as isize,
        b: b.start,
        b_step: b.row as isize,
        c: c.start,
        taps: &[(0, 0)],
        accumulate,
        epilogue,
    };
    // SAFETY: addresses are the caller's, or in the panel.
    unsafe {
        let width = tiles.lanes * tiles.by_vectors.len();
        if a.row == 1 && a.column != 1 && n >= PACK_COLUMNS && k > PACK_STEPS {
            let mut left = std::mem::take(&mut scratch.left);
            let rows = left.take(m * k);
            transpose(a.start, a.row, a.column, m, k, rows);
            let a = Matrix::new(rows.as_ptr(), k, 1);
            unit_b(tiles, [m, n, k], a, b, c, accumulate, epilogue, scratch);
            scratch.left = left;
            return;
        }
        let apart = b.row > width && m >= PACK_ROWS;
        if n == 1 || b.column == 1 && !apart {
            return product(tiles, &whole, rows);
        }
        let blocks = k.div_ceil(K_BLOCK).max(1);
        for i in 0..blocks {
            let (start, end) = (share(k, blocks, i), share(k, blocks, i + 1));
            for first in (0..n).step_by(width) {
                let columns = width.min(n - first);
                let panel = scratch.panel.take((end - start) * columns);
                let from = b.start.add(start * b.row + first * b.column);
                if b.column == 1 {
                    copy_rows(from, b.row, [end - start, columns], panel.as_mut_ptr(), columns);
                } else {
                    transpose(from, b.row, b.column, end - start, columns, panel);
                }
                let part = Product {
                    n: columns,
                    k: end - start,
                    a: a.start.add(start * a.column),
                    b: panel.as_ptr(),
                    b_step: columns as isize,
                    c: c.start.add(first),
                    accumulate: accumulate || i > 0,
                    epilogue: if i + 1 == blocks { epilogue.from(first) } else { Epilogue::default() },
                    ..whole
                };
                product(tiles, &part, rows);
            }
        }
    }
}

/// [`gemm`] with every access checked beforehand, on a given instruction set: for tests.
#[allow(clippy::too_many_arguments)]
pub fn gemm_checked(
    isa: Isa,
    sizes: [usize; 3],
    a: Matrix<&[f32]>,
    b: Matrix<&[f32]>,
    c: Matrix<&mut [f32]>,
    accumulate: bool,
    scratch: &mut Scratch,
) {
    gemm_with_checked(isa, sizes, a, b, c, accumulate, None, false, scratch);
}

/// [`gemm_with`] with every access checked beforehand, on a given instruction set: for tests.
#[allow(clippy::too_many_arguments)]
pub fn gemm_with_checked(
    isa: Isa,
    sizes: [usize; 3],
    a: Matrix<&[f32]>,
    b: Matrix<&[f32]>,
    c: Matrix<&mut [f32]>,
    accumulate: bool,
    bias: Option<&[f32]>,
    relu: bool,
    scratch: &mut Scratch,
) {
    assert!(bias.is_none_or(|bias| bias.len() >= sizes[1]));
    let epilogue = Epilogue { bias: bias.map(<[f32]>::as_ptr), relu };
    let (a, b, c) = within(sizes, a, b, c);
    // SAFETY: every element is inside; references to `c` are exclusive.
    unsafe { gemm_on(isa, sizes, a, b, c, accumulate, epilogue, &mut scratch.product) }
}

/// The matrices of a product as pointers; panics unless all elements lie inside, those of `c` each at its own place.
pub(super) fn within(
    [m, n, k]: [usize; 3],
    a: Matrix<&[f32]>,
    b: Matrix<&[f32]>,
    c: Matrix<&mut [f32]>,
) -> (Matrix<*const f32>, Matrix<*const f32>, Matrix<*mut f32>) {
    let last = |rows: usize, columns: usize, row: usize, column: usize| {
        if rows * columns == 0 { 0 } else { (rows - 1) * row + (columns - 1) * column + 1 }
    };
    assert!(last(m, k, a.row, a.column) <= a.start.len());
    assert!(last(k, n, b.row, b.column) <= b.start.len());
    assert!(last(m, n, c.row, c.column) <= c.start.len());
    let (inner, outer) = if c.column <= c.row { ((c.column, n), c.row) } else { ((c.row, m), c.column) };
    let apart = inner.0 > 0 && inner.0 * (inner.1.max(1) - 1) < outer;
    assert!(apart || m <= 1 || n <= 1, "elements of c share a place");
    (
        Matrix::new(a.start.as_ptr(), a.row, a.column),
        Matrix::new(b.start.as_ptr(), b.row, b.column),
        Matrix::new(c.start.as_mut_ptr(), c.row, c.column),
    )
}
