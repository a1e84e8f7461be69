//! Matrix products in the batch-reduce form that convolutions use: summed over taps, in blocks of steps, rows and columns
//! around the register tile.

use super::tile::{Epilogue, MAX_ROWS, Tile, TileFn, Tiles};

/// Steps of k in a block: a panel of B of this many rows stays in the cache while the rows of A pass.
pub(super) const K_BLOCK: usize = 512;

/// A product summed over taps: `c[row(i).1 + j] (+)= sum over (ta, tb), k of
/// a[row(i).0 + ta + k * a_step] * b[tb + k * b_step + j]`. Offsets are in elements.
#[derive(Clone, Copy, Debug)]
pub struct Product<'a> {
    /// Rows of C.
    pub m: usize,
    /// Columns of C, which are neighbours in B and C.
    pub n: usize,
    /// Steps in each tap.
    pub k: usize,
    /// Where offsets into A start.
    pub a: *const f32,
    /// From one k to the next in A.
    pub a_step: isize,
    /// Where offsets into B start.
    pub b: *const f32,
    /// From one k to the next in B.
    pub b_step: isize,
    /// Where offsets into C start.
    pub c: *mut f32,
    /// Pairs of offsets into A and B.
    pub taps: &'a [(isize, isize)],
    /// Start from what C holds, not from 0.
    pub accumulate: bool,
    /// What is done to the sums at the end.
    pub epilogue: Epilogue,
}

impl Product<'_> {
    /// The tile for so many columns from `first` on, still without rows.
    pub(super) fn tile(&self, first: usize, columns: usize) -> Tile<'_> {
        Tile {
            a: self.a,
            a_rows: [0; MAX_ROWS],
            a_step: self.a_step,
            b: self.b.wrapping_add(first),
            b_step: self.b_step,
            c: self.c.wrapping_add(first),
            c_rows: [0; MAX_ROWS],
            taps: self.taps,
            k: self.k,
            columns,
            accumulate: self.accumulate,
            epilogue: self.epilogue.from(first),
        }
    }

    /// The columns in blocks that fit a tile: for each its first column, how many, and how many vectors they fill.
    pub(super) fn column_blocks(&self, tiles: &Tiles) -> impl Iterator<Item = [usize; 3]> + use<> {
        let (n, lanes) = (self.n, tiles.lanes);
        let (vectors, most) = (tiles.vectors(n), tiles.by_vectors.len());
        let blocks = if vectors <= most { 1 } else { vectors.div_ceil(most) };
        (0..blocks).map(move |i| {
            let (start, end) = (share(vectors, blocks, i), share(vectors, blocks, i + 1));
            [start * lanes, (n - start * lanes).min((end - start) * lanes), end - start]
        })
    }

    /// The product in blocks of `steps` steps over taps and k, one after the other; there is a step.
    pub(super) fn in_blocks(&self, steps: usize, mut run: impl FnMut(&Product)) {
        if self.taps.len() * self.k <= steps {
            return run(self);
        }
        let mut accumulate = self.accumulate;
        let mut block = |taps: &[(isize, isize)], k: usize, last: bool| {
            let epilogue = if last { self.epilogue } else { Epilogue::default() };
            run(&Product { taps, k, accumulate, epilogue, ..*self });
            accumulate = true;
        };
        if self.k <= steps {
            let parts = self.taps.len().div_ceil(steps / self.k);
            for i in 0..parts {
                let (start, end) = (share(self.taps.len(), parts, i), share(self.taps.len(), parts, i + 1));
                block(&self.taps[start..end], self.k, i + 1 == parts);
            }
            return;
        }
        let parts = self.k.div_ceil(steps);
        for (tap, &(a, b)) in self.taps.iter().enumerate() {
            for i in 0..parts {
                let (start, end) = (share(self.k, parts, i), share(self.k, parts, i + 1));
                let from = [(a + start as isize * self.a_step, b + start as isize * self.b_step)];
                block(&from, end - start, tap + 1 == self.taps.len() && i + 1 == parts);
            }
        }
    }
}

/// Computes a product of which rows stand as far apart as `rows` says, in A and in C.
///
/// # Safety
/// Every address the description names is readable, in C writable; C overlaps neither A nor B, and its
/// rows do not overlap each other.
pub unsafe fn product(tiles: &Tiles, p: &Product, rows: [usize; 2]) {
    in_steps(p, |p| {
        let mut strips = Strips::of(p, rows);
        // SAFETY: blocks name the same addresses as the whole, each once.
        each_strip(tiles, p, rows, |strip| unsafe { strips.run(strip, [0; 3]) });
    });
}

/// The blocks of a product over taps and k; if nothing is summed, all of it.
fn in_steps(p: &Product, mut run: impl FnMut(&Product)) {
    if p.m == 0 || p.n == 0 {
        return;
    }
    if p.taps.is_empty() || p.k == 0 {
        return run(p);
    }
    p.in_blocks(K_BLOCK, run);
}

/// Products of the same form.
#[derive(Clone, Copy, Debug)]
pub(super) struct Alike {
    pub count: usize,
    /// From one to the next in A, B and C.
    pub apart: [usize; 3],
}

/// [`product`] for some that are alike, of which the first is given.
///
/// # Safety
/// As for [`product`], for each of them; none overlaps another in C.
pub(super) unsafe fn products(tiles: &Tiles, p: &Product, rows: [usize; 2], alike: Alike) {
    in_steps(p, |p| {
        let mut strips = Strips::of(p, rows);
        let (mut some, mut count) = ([None; STRIPS], 0);
        let mut work_off = |some: &[Option<Strip>]| {
            for i in 0..alike.count {
                let at = alike.apart.map(|apart| i * apart);
                // SAFETY: the contract, for each of the products.
                some.iter().flatten().for_each(|strip| unsafe { strips.run(strip, at) });
            }
        };
        each_strip(tiles, p, rows, |strip| {
            some[count] = Some(*strip);
            count += 1;
            if count == STRIPS {
                work_off(&some);
                count = 0;
            }
        });
        work_off(&some[..count]);
    });
}

/// Where part `i` starts when `total` is cut into `parts` nearly equal ones.
#[inline]
pub(super) fn share(total: usize, parts: usize, i: usize) -> usize {
    if parts == 1 {
        return total * i;
    }
    let (each, more) = (total / parts, total % parts);
    each * i + more.min(i)
}

/// Tiles with the same columns and as many rows, one below the other.
#[derive(Clone, Copy)]
struct Strip {
    first_column: usize,
    columns: usize,
    first_row: usize,
    /// Rows of a tile, and how many tiles.
    rows: usize,
    count: usize,
    /// What computes a tile, and for how many rows: more than there are, or as many.
    run: TileFn,
    run_rows: usize,
}

/// How many strips are found out before they are worked off for all products that are alike.
const STRIPS: usize = 8;

/// What works strips off: a tile that is moved, and the numbers of rows for which it is set up.
struct Strips<'a> {
    p: &'a Product<'a>,
    /// From one row to the next in A and C.
    rows: [usize; 2],
    tile: Tile<'a>,
    set_up: (usize, usize),
}

impl<'a> Strips<'a> {
    fn of(p: &'a Product, rows: [usize; 2]) -> Strips<'a> {
        Strips { p, rows, tile: p.tile(0, 0), set_up: (0, 0) }
    }

    /// Computes the tiles of a strip, of the product that starts so far behind the given one in A, B and C.
    ///
    /// # Safety
    /// The strip is one of the product's.
    #[inline(always)]
    unsafe fn run(&mut self, strip: &Strip, [a, b, c]: [usize; 3]) {
        let (p, tile, first, [a_row, c_row]) = (self.p, &mut self.tile, strip.first_column, self.rows);
        (tile.b, tile.columns) = (p.b.wrapping_add(b + first), strip.columns);
        tile.epilogue = p.epilogue.from(first);
        if self.set_up != (strip.rows, strip.run_rows) {
            self.set_up = (strip.rows, strip.run_rows);
            for r in 0..strip.run_rows {
                // A tile with more rows than are left does the last one again.
                let row = r.min(strip.rows - 1);
                (tile.a_rows[r], tile.c_rows[r]) = ((row * a_row) as isize, (row * c_row) as isize);
            }
        }
        for i in 0..strip.count {
            let row = strip.first_row + i * strip.rows;
            tile.a = p.a.wrapping_add(a + row * a_row);
            tile.c = p.c.wrapping_add(c + first + row * c_row);
            // SAFETY: rows and columns are the product's; the variant suits the columns and the rows.
            unsafe { (strip.run)(tile) };
        }
    }
}

/// Finds all strips of one block of k, for `take` to do something with each.
#[inline(always)]
fn each_strip(tiles: &Tiles, p: &Product, [a_row, _]: [usize; 2], mut take: impl FnMut(&Strip)) {
    for [first_column, columns, vectors] in p.column_blocks(tiles) {
        let most = tiles.even_rows(vectors);
        let parts = if p.m <= most { 1 } else { p.m.div_ceil(most) };
        for (rows, first_row, count) in shares(p.m, parts) {
            if count > 0 {
                let variant = tiles.for_even_rows(vectors, rows, a_row as isize);
                let full = columns == vectors * tiles.lanes;
                let run = if full { variant.full } else { variant.masked };
                let run_rows = variant.rows;
                take(&Strip { first_column, columns, first_row, rows, count, run, run_rows });
            }
        }
    }
}

/// The parts of [`share`] by size: how large, where the first of them starts and how many they are.
#[inline]
fn shares(total: usize, parts: usize) -> [(usize, usize, usize); 2] {
    if parts == 1 {
        return [(total, 0, 1), (0, 0, 0)];
    }
    let (each, more) = (total / parts, total % parts);
    [(each + 1, 0, more), (each, more * (each + 1), parts - more)]
}
