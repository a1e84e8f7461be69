//! Matrix products against three plain loops, on every instruction set, with equal bits.

use nnc::kernels::Scratch;
use nnc::kernels::gemm::{Matrix, gemm_checked, gemm_with_checked};
use nnc::kernels::isa::Isa;
use nnc::kernels::random::Generator;

const SIZES: [usize; 14] = [1, 2, 3, 7, 8, 9, 15, 16, 17, 31, 33, 63, 64, 65];
const CANARY: f32 = 12345.0;

pub fn numbers(n: usize, stream: u64) -> Vec<f32> {
    let mut out = vec![0.0; n];
    Generator::new(5, stream, 1, 0).fill_uniform(&mut out);
    out.iter().map(|x| x - 0.5).collect()
}

/// The specification: each element one chain of fused multiply-adds in the order of k.
fn reference(m: usize, n: usize, k: usize, a: &[f32], b: &[f32], c: &mut [f32], accumulate: bool) {
    for i in 0..m {
        for j in 0..n {
            let start = if accumulate { c[i * n + j] } else { 0.0 };
            c[i * n + j] = (0..k).fold(start, |sum, p| a[i * k + p].mul_add(b[p * n + j], sum));
        }
    }
}

/// A row-major matrix laid out with other strides, with canaries in all gaps.
fn spread(x: &[f32], columns: usize, row: usize, column: usize) -> Vec<f32> {
    let rows = x.len() / columns.max(1);
    let mut out = vec![CANARY; rows * row + columns * column + 40];
    for (i, line) in x.chunks(columns.max(1)).enumerate() {
        for (j, x) in line.iter().enumerate() {
            out[i * row + j * column] = *x;
        }
    }
    out
}

#[derive(Clone, Copy, Debug)]
enum Layout {
    Rows,
    Columns,
    GapsRows,
    GapsColumns,
    Sparse,
}

impl Layout {
    fn strides(self, rows: usize, columns: usize) -> (usize, usize) {
        match self {
            Layout::Rows => (columns, 1),
            Layout::Columns => (1, rows),
            Layout::GapsRows => (columns + 3, 1),
            Layout::GapsColumns => (1, rows + 5),
            Layout::Sparse => (columns * 2 + 1, 2),
        }
    }
}

fn check(isa: Isa, [m, n, k]: [usize; 3], layouts: [Layout; 3], accumulate: bool, scratch: &mut Scratch) {
    let (a, b, c) = (numbers(m * k, 1), numbers(k * n, 2), numbers(m * n, 3));
    let mut expected = c.clone();
    reference(m, n, k, &a, &b, &mut expected, accumulate);
    let (ar, ac) = layouts[0].strides(m, k);
    let (br, bc) = layouts[1].strides(k, n);
    let (cr, cc) = layouts[2].strides(m, n);
    let (a, b, mut c) = (spread(&a, k, ar, ac), spread(&b, n, br, bc), spread(&c, n, cr, cc));
    gemm_checked(
        isa,
        [m, n, k],
        Matrix::new(&a, ar, ac),
        Matrix::new(&b, br, bc),
        Matrix::new(&mut c, cr, cc),
        accumulate,
        scratch,
    );
    let expected = spread(&expected, n, cr, cc);
    let same = c.iter().zip(&expected).all(|(x, y)| x.to_bits() == y.to_bits());
    assert!(same, "{isa:?} {m} {n} {k} {layouts:?} {accumulate}");
}

#[test]
fn sizes_around_every_edge() {
    let mut scratch = Scratch::new();
    for isa in Isa::available() {
        for m in SIZES {
            for n in SIZES {
                for k in [1, 7, 33] {
                    check(isa, [m, n, k], [Layout::Rows; 3], (m + n + k) % 2 == 0, &mut scratch);
                }
            }
        }
    }
}

#[test]
fn every_combination_of_layouts() {
    use Layout::*;
    let all = [Rows, Columns, GapsRows, GapsColumns, Sparse];
    let mut scratch = Scratch::new();
    for isa in Isa::available() {
        for a in all {
            for b in all {
                for c in all {
                    for sizes in [[5, 70, 9], [50, 70, 9], [70, 5, 9], [13, 17, 31], [1, 40, 3], [40, 1, 3]] {
                        check(isa, sizes, [a, b, c], true, &mut scratch);
                        check(isa, sizes, [a, b, c], false, &mut scratch);
                    }
                }
            }
        }
    }
}

#[test]
fn long_sums_are_blocked_without_a_change_of_order() {
    use Layout::*;
    let mut scratch = Scratch::new();
    for isa in Isa::available() {
        for k in [511, 512, 513, 1025, 1600] {
            for b in [Rows, Columns] {
                check(isa, [9, 66, k], [Rows, b, Rows], true, &mut scratch);
                check(isa, [9, 66, k], [Columns, b, Rows], false, &mut scratch);
            }
        }
    }
}

#[test]
fn empty_sums_are_zero_and_empty_results_untouched() {
    let mut scratch = Scratch::new();
    for isa in Isa::available() {
        check(isa, [3, 5, 0], [Layout::Rows; 3], false, &mut scratch);
        check(isa, [3, 5, 0], [Layout::Rows; 3], true, &mut scratch);
        check(isa, [0, 5, 4], [Layout::Rows; 3], false, &mut scratch);
        check(isa, [4, 0, 4], [Layout::Rows; 3], false, &mut scratch);
    }
}

/// Bias and ReLU at the end give the bits of the steps one by one.
fn check_epilogue([m, n, k]: [usize; 3], layouts: [Layout; 3], accumulate: bool, scratch: &mut Scratch) {
    let (a, b, c, bias) = (numbers(m * k, 1), numbers(k * n, 2), numbers(m * n, 3), numbers(n, 4));
    let strides = [layouts[0].strides(m, k), layouts[1].strides(k, n), layouts[2].strides(m, n)];
    let [(ar, ac), (br, bc), (cr, cc)] = strides;
    let (sa, sb) = (spread(&a, k, ar, ac), spread(&b, n, br, bc));
    for isa in Isa::available() {
        for (with_bias, relu) in [(true, true), (true, false), (false, true)] {
            let mut expected = c.clone();
            reference(m, n, k, &a, &b, &mut expected, accumulate);
            for (i, x) in expected.iter_mut().enumerate() {
                let sum = if with_bias { *x + bias[i % n] } else { *x };
                *x = if relu && sum < 0.0 { 0.0 } else { sum };
            }
            let mut got = spread(&c, n, cr, cc);
            let (a, b) = (Matrix::new(&sa[..], ar, ac), Matrix::new(&sb[..], br, bc));
            let to = Matrix::new(&mut got[..], cr, cc);
            let bias = with_bias.then_some(&bias[..]);
            gemm_with_checked(isa, [m, n, k], a, b, to, accumulate, bias, relu, scratch);
            let expected = spread(&expected, n, cr, cc);
            let same = got.iter().zip(&expected).all(|(x, y)| x.to_bits() == y.to_bits());
            assert!(same, "{isa:?} {m} {n} {k} {layouts:?} {accumulate} {with_bias} {relu}");
        }
    }
}

#[test]
fn bias_and_relu_come_after_the_whole_sum() {
    use Layout::*;
    let mut scratch = Scratch::new();
    for sizes in [[1, 1, 1], [5, 70, 9], [70, 5, 9], [13, 33, 0], [9, 66, 513], [6, 40, 1600], [1, 17, 1030]]
    {
        for a in [Rows, Columns] {
            for b in [Rows, Columns, Sparse] {
                for c in [Rows, Columns, GapsRows, Sparse] {
                    check_epilogue(sizes, [a, b, c], sizes[0] % 2 == 1, &mut scratch);
                }
            }
        }
    }
}
