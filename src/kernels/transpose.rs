//! Copies of matrices with rows and columns changed.

/// Copies a matrix of `rows` x `columns` with any strides into row-major order, as [`transpose_to`].
///
/// # Safety
/// Every element is readable, and not in `to`.
pub unsafe fn transpose(
    from: *const f32,
    row: usize,
    column: usize,
    rows: usize,
    columns: usize,
    to: &mut [f32],
) {
    assert!(to.len() >= rows * columns);
    // SAFETY: `to` is long enough.
    unsafe { transpose_to(from, [row, column], [rows, columns], to.as_mut_ptr(), columns) }
}

/// Elements of a line of the cache.
const LINE: usize = 16;

/// Copies parts of rows, which stand `row` apart, to where they are `to_row` apart.
///
/// # Safety
/// Every element is readable, and its place, which is nowhere in the matrix, writable.
pub(super) unsafe fn copy_rows(
    from: *const f32,
    row: usize,
    [rows, columns]: [usize; 2],
    to: *mut f32,
    to_row: usize,
) {
    for i in 0..rows {
        // SAFETY: a row of both matrices.
        unsafe {
            let (from, to) = (from.add(i * row), to.add(i * to_row));
            // To call somebody takes longer than to copy so little.
            if columns == LINE {
                to.cast::<[f32; LINE]>().write(from.cast::<[f32; LINE]>().read());
            } else {
                std::ptr::copy_nonoverlapping(from, to, columns);
            }
        }
    }
}

/// Copies a matrix of `rows` x `columns` with any strides to where its rows stand `to_row` apart. With `row` 1 it is a
/// transposition, and done in square blocks of registers, four at a time, so that lines of the cache are done with.
///
/// # Safety
/// Every element is readable, and its place, which is nowhere in the matrix, writable.
pub unsafe fn transpose_to(
    from: *const f32,
    [row, column]: [usize; 2],
    [rows, columns]: [usize; 2],
    to: *mut f32,
    to_row: usize,
) {
    #[cfg(target_arch = "x86_64")]
    if row == 1 && rows >= 8 && columns >= 8 && is_x86_feature_detected!("avx2") {
        let (whole_rows, whole_columns) = (rows - rows % 8, columns - columns % 8);
        // SAFETY: the blocks, the columns right of them and the rows below them are parts of both matrices.
        unsafe {
            for i0 in (0..whole_rows).step_by(LINE) {
                for j0 in (0..whole_columns).step_by(LINE) {
                    for j in (j0..whole_columns.min(j0 + LINE)).step_by(8) {
                        for i in (i0..whole_rows.min(i0 + LINE)).step_by(8) {
                            x86::block(from.add(i + j * column), column, to.add(i * to_row + j), to_row);
                        }
                    }
                }
            }
            let right = columns - whole_columns;
            let after = from.add(whole_columns * column);
            plain(after, [1, column], [rows, right], to.add(whole_columns), to_row);
            let below = rows - whole_rows;
            let to = to.add(whole_rows * to_row);
            plain(from.add(whole_rows), [1, column], [below, whole_columns], to, to_row);
        }
        return;
    }
    // SAFETY: the same contract.
    unsafe { plain(from, [row, column], [rows, columns], to, to_row) }
}

/// Element by element.
unsafe fn plain(
    from: *const f32,
    [row, column]: [usize; 2],
    [rows, columns]: [usize; 2],
    to: *mut f32,
    to_row: usize,
) {
    const BLOCK: usize = 16;
    for i0 in (0..rows).step_by(BLOCK) {
        for j in 0..columns {
            for i in i0..rows.min(i0 + BLOCK) {
                // SAFETY: an element of both matrices.
                unsafe { *to.add(i * to_row + j) = *from.add(i * row + j * column) };
            }
        }
    }
}

#[cfg(target_arch = "x86_64")]
mod x86 {
    use std::arch::x86_64::*;

    /// A block of 8 x 8: pairs, then quarters, then halves change places.
    ///
    /// # Safety
    /// Both blocks are there, with these distances between the lines; the processor has AVX2.
    #[target_feature(enable = "avx2")]
    pub unsafe fn block(from: *const f32, from_line: usize, to: *mut f32, to_line: usize) {
        // SAFETY: the caller vouches for both blocks.
        unsafe {
            let mut v = [_mm256_setzero_ps(); 8];
            for (i, v) in v.iter_mut().enumerate() {
                *v = _mm256_loadu_ps(from.add(i * from_line));
            }
            let mut pairs = v;
            for i in 0..4 {
                pairs[2 * i] = _mm256_unpacklo_ps(v[2 * i], v[2 * i + 1]);
                pairs[2 * i + 1] = _mm256_unpackhi_ps(v[2 * i], v[2 * i + 1]);
            }
            let mut fours = v;
            for i in 0..2 {
                let p = &pairs[4 * i..4 * i + 4];
                fours[4 * i] = _mm256_shuffle_ps::<0x44>(p[0], p[2]);
                fours[4 * i + 1] = _mm256_shuffle_ps::<0xee>(p[0], p[2]);
                fours[4 * i + 2] = _mm256_shuffle_ps::<0x44>(p[1], p[3]);
                fours[4 * i + 3] = _mm256_shuffle_ps::<0xee>(p[1], p[3]);
            }
            for i in 0..4 {
                let low = _mm256_permute2f128_ps::<0x20>(fours[i], fours[i + 4]);
                let high = _mm256_permute2f128_ps::<0x31>(fours[i], fours[i + 4]);
                _mm256_storeu_ps(to.add(i * to_line), low);
                _mm256_storeu_ps(to.add((i + 4) * to_line), high);
            }
        }
    }
}
