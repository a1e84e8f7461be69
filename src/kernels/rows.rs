//! Looking for extremes and order along an axis, running sums, and taking and adding rows by index.

/// Where the first maximum (minimum) along the middle axis of `x[outer, n, inner]` stands. NaN never
/// wins; if nothing does, the index is 0.
///
/// # Safety
/// `x` holds `outer * n * inner` numbers, `out` as many indices without `n`.
pub unsafe fn arg_extreme(outer: usize, n: usize, inner: usize, min: bool, x: *const f32, out: *mut i32) {
    for o in 0..outer {
        for i in 0..inner {
            let mut best = (f32::NAN, 0);
            for k in 0..n {
                // SAFETY: `o`, `k` and `i` are below their extents.
                let x = unsafe { *x.add((o * n + k) * inner + i) };
                let wins = if min { x < best.0 } else { x > best.0 };
                if wins || (best.0.is_nan() && !x.is_nan()) {
                    best = (x, k as i32);
                }
            }
            // SAFETY: as above.
            unsafe { *out.add(o * inner + i) = best.1 };
        }
    }
}

/// For each of `outer` lists of `n` numbers, where its elements stand in order: equal ones in theirs, NaN last.
/// Allocates nothing.
///
/// # Safety
/// `x` and `out` hold `outer * n` elements and do not overlap.
pub unsafe fn arg_sort(outer: usize, n: usize, descending: bool, x: *const f32, out: *mut i32) {
    for o in 0..outer {
        // SAFETY: `o` is below `outer`.
        let (x, out) = unsafe {
            (std::slice::from_raw_parts(x.add(o * n), n), std::slice::from_raw_parts_mut(out.add(o * n), n))
        };
        out.iter_mut().enumerate().for_each(|(i, place)| *place = i as i32);
        // The place breaks ties, which makes the order of an unstable sort, which needs no memory, a stable one.
        out.sort_unstable_by(|i, j| {
            let (a, b) = (x[*i as usize], x[*j as usize]);
            let by_value = if descending { b.partial_cmp(&a) } else { a.partial_cmp(&b) };
            by_value.unwrap_or_else(|| a.is_nan().cmp(&b.is_nan())).then(i.cmp(j))
        });
    }
}

/// The sums along the middle axis of `x[outer, n, inner]` up to each place, in double precision.
///
/// # Safety
/// `x` and `out` hold as many numbers as the shape says and do not overlap.
pub unsafe fn cumulative_sum(
    [outer, n, inner]: [usize; 3],
    exclusive: bool,
    reverse: bool,
    x: *const f32,
    out: *mut f32,
) {
    for o in 0..outer {
        for i in 0..inner {
            let mut sum = 0.0f64;
            for step in 0..n {
                let k = if reverse { n - 1 - step } else { step };
                let at = (o * n + k) * inner + i;
                let before = sum;
                // SAFETY: `o`, `k` and `i` are below their extents.
                unsafe {
                    sum += f64::from(*x.add(at));
                    *out.add(at) = if exclusive { before } else { sum } as f32;
                }
            }
        }
    }
}

/// The row that an index means: the nearest that exists.
#[inline(always)]
fn row(index: i32, rows: usize) -> usize {
    (index.max(0) as usize).min(rows - 1)
}

/// `out[i] = table[index[i]]`, row by row; an index out of range means the nearest row.
///
/// # Safety
/// `table` holds `rows * width` numbers (at least one row), `index` `count`, `out` `count * width`; `out`
/// overlaps neither.
pub unsafe fn gather(
    rows: usize,
    width: usize,
    count: usize,
    table: *const f32,
    index: *const i32,
    out: *mut f32,
) {
    for i in 0..count {
        // SAFETY: `row` keeps the index in the table.
        unsafe {
            let from = table.add(row(*index.add(i), rows) * width);
            std::ptr::copy_nonoverlapping(from, out.add(i * width), width);
        }
    }
}

/// `out[index[i]] += values[i]`, row by row, in the order of `i`; an index out of range means the
/// nearest row. `out` keeps what it holds.
///
/// # Safety
/// `out` holds `rows * width` numbers (at least one row), `index` `count`, `values` `count * width`; `out`
/// overlaps neither.
pub unsafe fn scatter_add(
    rows: usize,
    width: usize,
    count: usize,
    index: *const i32,
    values: *const f32,
    out: *mut f32,
) {
    for i in 0..count {
        // SAFETY: `row` keeps the index in the result; the slices are of different operands.
        unsafe {
            let to = out.add(row(*index.add(i), rows) * width);
            let to = std::slice::from_raw_parts_mut(to, width);
            let from = std::slice::from_raw_parts(values.add(i * width), width);
            for (to, from) in to.iter_mut().zip(from) {
                *to += from;
            }
        }
    }
}
