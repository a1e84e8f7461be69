//! The product under convolutions: many rows of A and C that are given one by one, few columns, sums over taps.
//!
//! Loops from the outside: columns that fit a register tile, steps of k whose part of B stays in the nearest cache,
//! rows. Each element is one chain of fused multiply-adds in the order of taps and steps, so bits do not depend on
//! how any of this is cut.

use super::products::{Product, share};
use super::tile::{Tiles, Variant};

/// Floats of B that are read again and again: half of a nearest cache of 48 KB, so that rows of A find room.
const PANEL: usize = 6 * 1024;

/// Computes a product; `rows` are the offsets of each row in A and in C. `p.m` does not count. Without taps or steps
/// nothing is done.
///
/// # Safety
/// Every address the description names is readable, in C writable; C overlaps neither A nor B, and its rows do not
/// overlap each other.
pub(super) unsafe fn reduce(tiles: &Tiles, p: &Product, rows: &[(isize, isize)]) {
    if rows.is_empty() || p.taps.is_empty() || p.n == 0 || p.k == 0 {
        return;
    }
    for columns in p.column_blocks(tiles) {
        let [.., vectors] = columns;
        let steps = (PANEL / (vectors * tiles.lanes)).max(1);
        // SAFETY: blocks name the same addresses as the whole, each once.
        p.in_blocks(steps, |p| unsafe { all_rows(tiles, p, rows, columns) });
    }
}

/// All rows for one block of columns and steps.
unsafe fn all_rows(
    tiles: &Tiles,
    p: &Product,
    rows: &[(isize, isize)],
    [first, columns, vectors]: [usize; 3],
) {
    let full = columns == vectors * tiles.lanes;
    let mut tile = p.tile(first, columns);
    // SAFETY: rows and columns are the product's; variants suit the columns and the rows' distances.
    let mut run = |variant: &Variant, rows: &[(isize, isize)]| unsafe {
        for r in 0..variant.rows {
            // A tile with more rows than are left does the last one again.
            (tile.a_rows[r], tile.c_rows[r]) = rows[r.min(rows.len() - 1)];
        }
        if full { (variant.full)(&tile) } else { (variant.masked)(&tile) }
    };
    let most = tiles.even_rows(vectors);
    if vectors > 1 || tiles.even[0].is_empty() {
        return in_tiles(rows, most, |rows| run(tiles.at_least(vectors, rows.len()), rows));
    }
    let mut rest = rows;
    while !rest.is_empty() {
        let (run_of, apart) = even(rest);
        let (now, then) = rest.split_at(run_of);
        in_tiles(now, most, |rows| run(tiles.for_even_rows(1, rows.len(), apart), rows));
        rest = then;
    }
}

/// Cuts rows into tiles of nearly equal size, `most` at most.
fn in_tiles(rows: &[(isize, isize)], most: usize, mut run: impl FnMut(&[(isize, isize)])) {
    let count = rows.len().div_ceil(most);
    for i in 0..count {
        run(&rows[share(rows.len(), count, i)..share(rows.len(), count, i + 1)]);
    }
}

/// How many rows from the first on stand at one distance in A, and that distance.
fn even(rows: &[(isize, isize)]) -> (usize, isize) {
    let apart = rows.get(1).map_or(0, |second| second.0 - rows[0].0);
    let more = rows.windows(2).take_while(|pair| pair[1].0 - pair[0].0 == apart).count();
    (more + 1, apart)
}
