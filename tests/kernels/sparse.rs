//! Products that leave zeros out have the bits of those that do not.

use nnc::kernels::Scratch;
use nnc::kernels::gemm::{Matrix, gemm_checked};
use nnc::kernels::isa::Isa;
use nnc::kernels::sparse::gemm_sparse_checked;

use super::gemm::numbers;

/// Numbers of which about `share` of a hundred are not 0.
fn sparse(n: usize, share: usize) -> Vec<f32> {
    let keep = numbers(n, 9);
    let kept = |keep: f32| ((keep + 0.5) * 100.0) < share as f32;
    numbers(n, 1).iter().zip(keep).map(|(x, keep)| if kept(keep) { *x } else { 0.0 }).collect()
}

fn check(
    isa: Isa,
    [m, n, k]: [usize; 3],
    share: usize,
    turned: bool,
    accumulate: bool,
    scratch: &mut Scratch,
) {
    let (a, b, c) = (sparse(m * k, share), numbers(k * (n + 3), 2), numbers(m * (n + 5), 3));
    let (row, column) = if turned { (1, m) } else { (k, 1) };
    let [expected, got] = [false, true].map(|sparse| {
        let mut c = c.clone();
        let (a, b) = (Matrix::new(&a[..], row, column), Matrix::new(&b[..], n + 3, 1));
        let multiply = if sparse { gemm_sparse_checked } else { gemm_checked };
        multiply(isa, [m, n, k], a, b, Matrix::new(&mut c[..], n + 5, 1), accumulate, scratch);
        c
    });
    let same = got.iter().zip(&expected).all(|(x, y)| x.to_bits() == y.to_bits());
    assert!(same, "{isa:?} {m} {n} {k}, {share} of a hundred, turned {turned}, accumulate {accumulate}");
}

#[test]
fn zeros_are_left_out_without_a_change_of_bits() {
    let mut scratch = Scratch::new();
    let before = scratch.left_out();
    for isa in Isa::available() {
        for sizes in [
            [8, 32, 1],
            [9, 33, 15],
            [64, 128, 64],
            [65, 129, 65],
            [70, 250, 130],
            [130, 47, 200],
            [7, 31, 40],
        ] {
            for share in [0, 3, 20, 39, 60, 100] {
                for (turned, accumulate) in [(false, false), (false, true), (true, false), (true, true)] {
                    check(isa, sizes, share, turned, accumulate, &mut scratch);
                }
            }
        }
    }
    assert!(scratch.left_out() > before);
}

/// What is left out is counted, and dense factors are multiplied in full.
#[test]
fn the_count_of_what_is_left_out() {
    for (share, least, most) in [(0, 1.0, 1.0), (10, 0.85, 0.95), (90, 0.0, 0.0)] {
        let mut scratch = Scratch::new();
        let [m, n, k] = [64, 48, 300];
        check(Isa::current(), [m, n, k], share, false, false, &mut scratch);
        let part = scratch.left_out() as f64 / (m * n * k) as f64;
        assert!((least..=most).contains(&part), "{share} of a hundred: {part} left out");
    }
}

/// An undefined number is no zero, and a negative zero is one.
#[test]
fn undefined_numbers_and_negative_zeros() {
    let [m, n, k] = [16, 40, 70];
    let (mut a, b) = (vec![0.0; m * k], numbers(k * n, 2));
    (a[3], a[k + 1], a[2 * k]) = (f32::NAN, -0.0, f32::INFINITY);
    for isa in Isa::available() {
        let mut c = vec![1.0; m * n];
        let (left, right) = (Matrix::new(&a[..], k, 1), Matrix::new(&b[..], n, 1));
        let mut scratch = Scratch::new();
        gemm_sparse_checked(isa, [m, n, k], left, right, Matrix::new(&mut c[..], n, 1), false, &mut scratch);
        assert!(c[..n].iter().all(|x| x.is_nan()));
        assert!(c[n..2 * n].iter().all(|x| x.to_bits() == 0));
        assert!(c[2 * n..3 * n].iter().all(|x| x.is_infinite()));
        assert!(c[3 * n..].iter().all(|x| x.to_bits() == 0));
    }
}
