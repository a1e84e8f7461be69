//! Pooling, extremes and rows against plain loops, on every instruction set.

use nnc::kernels::checked;
use nnc::kernels::conv::{Batch, Window};
use nnc::kernels::isa::Isa;

use super::gemm::numbers;

const CANARY: f32 = 12345.0;
const GAP: usize = 17;

/// The offsets of a window's taps in the input, row by row.
fn taps(w: &Window, oy: usize, ox: usize) -> Vec<usize> {
    let mut out = Vec::new();
    for ky in 0..w.kernel[0] {
        for kx in 0..w.kernel[1] {
            let y = (oy * w.stride[0] + ky * w.dilation[0]).checked_sub(w.pad[0]);
            let x = (ox * w.stride[1] + kx * w.dilation[1]).checked_sub(w.pad[1]);
            if let (Some(y), Some(x)) = (y, x)
                && y < w.input[0]
                && x < w.input[1]
            {
                out.push((y * w.input[1] + x) * w.channels);
            }
        }
    }
    out
}

/// The tap of the first maximum.
fn first_maximum(x: &[f32], taps: &[usize], c: usize) -> Option<usize> {
    let mut best: Option<usize> = None;
    for tap in taps {
        if best.is_none_or(|best| x[tap + c] > x[best]) {
            best = Some(tap + c);
        }
    }
    best
}

struct Reference {
    max: Vec<f32>,
    sum: Vec<f32>,
    pick: Vec<f32>,
    max_gradient: Vec<f32>,
    sum_gradient: Vec<f32>,
}

fn reference(w: &Window, x: &[f32], v: &[f32], g: &[f32]) -> Reference {
    let mut r = Reference {
        max: vec![f32::NEG_INFINITY; g.len()],
        sum: vec![0.0; g.len()],
        pick: vec![0.0; g.len()],
        max_gradient: vec![0.0; x.len()],
        sum_gradient: vec![0.0; x.len()],
    };
    for (at, g) in g.iter().enumerate() {
        let (window, c) = (at / w.channels, at % w.channels);
        let taps = taps(w, window / w.output[1], window % w.output[1]);
        if let Some(best) = first_maximum(x, &taps, c) {
            r.max[at] = x[best];
            r.pick[at] = v[best];
            r.max_gradient[best] += g;
        }
        for tap in &taps {
            r.sum[at] += x[tap + c];
            r.sum_gradient[tap + c] += g;
        }
    }
    r
}

fn batch(x: &[f32], elements: usize) -> Batch<&[f32]> {
    Batch { start: x, stride: elements }
}

/// Runs a kernel on two equal examples apart from each other and compares both.
fn compare(name: &str, expected: &[f32], w: &Window, f: impl Fn(Batch<&mut [f32]>)) {
    let stride = expected.len() + GAP;
    let mut out = vec![CANARY; 2 * stride];
    f(Batch { start: &mut out, stride });
    for example in out.chunks(stride) {
        let (line, gap) = example.split_at(expected.len());
        assert!(line == expected, "{name} {w:?}\n{line:?}\n{expected:?}");
        assert_eq!(gap, [CANARY; GAP]);
    }
}

fn check(w: &Window) {
    let (nx, ny) = (w.input_elements(), w.windows() * w.channels);
    // Few different values, so that there are ties.
    let twice = |x: Vec<f32>| [x.clone(), x].concat();
    let x: Vec<f32> = twice(numbers(nx, 1).iter().map(|x| (x * 6.0).round()).collect());
    let (v, g) = (twice(numbers(nx, 2)), twice(numbers(ny, 3)));
    let r = reference(w, &x[..nx], &v[..nx], &g[..ny]);
    for isa in Isa::available() {
        compare("max", &r.max, w, |y| checked::pool(isa, w, false, 2, batch(&x, nx), y));
        compare("sum", &r.sum, w, |y| checked::pool(isa, w, true, 2, batch(&x, nx), y));
        compare("pick", &r.pick, w, |y| checked::max_pool_pick(isa, w, 2, batch(&x, nx), batch(&v, nx), y));
        compare("max gradient", &r.max_gradient, w, |dx| {
            checked::max_pool_gradient(isa, w, 2, batch(&x, nx), batch(&g, ny), dx)
        });
        compare("sum gradient", &r.sum_gradient, w, |dx| {
            checked::sum_pool_gradient(isa, w, 2, batch(&g, ny), dx)
        });
    }
}

#[test]
fn every_mix_of_kernel_stride_and_padding() {
    for kernel in [[1, 1], [2, 2], [3, 2], [3, 3]] {
        for stride in [[1, 1], [2, 2], [3, 2], [4, 4]] {
            for dilation in [[1, 1], [2, 1]] {
                for pad in [[0, 0], [1, 1], [0, 2]] {
                    for channels in [1, 3, 16, 17] {
                        for output in [[2, 2], [1, 3], [3, 4]] {
                            let input = [7, 6];
                            check(&Window { input, channels, output, kernel, stride, dilation, pad });
                        }
                    }
                }
            }
        }
    }
}

#[test]
fn channels_around_every_edge() {
    for channels in [2, 7, 8, 9, 15, 31, 32, 33, 63, 64, 65] {
        let (stride, dilation) = ([2, 2], [1, 1]);
        let even =
            Window { input: [6, 8], channels, output: [3, 4], kernel: [2, 2], stride, dilation, pad: [0, 0] };
        check(&even);
        check(&Window { input: [7, 9], ..even });
        check(&Window { kernel: [3, 3], pad: [1, 1], ..even });
    }
}

#[test]
fn extremes_are_the_first_ones() {
    let x = [1.0, 3.0, 3.0, -2.0, -2.0, f32::NAN, 0.5, 0.5];
    let mut out = [7; 2];
    checked::arg_extreme([2, 4, 1], false, &x, &mut out);
    assert_eq!(out, [1, 2]);
    checked::arg_extreme([2, 4, 1], true, &x, &mut out);
    assert_eq!(out, [3, 0]);
    let mut out = [7; 4];
    checked::arg_extreme([1, 2, 4], false, &x, &mut out);
    assert_eq!(out, [0, 0, 0, 1]);
    let mut out = [7; 3];
    checked::arg_extreme([2, 1, 1], false, &[f32::NAN, f32::NEG_INFINITY], &mut out);
    assert_eq!(out, [0, 0, 7]);
}

#[test]
fn rows_are_taken_and_added_by_index_and_never_outside() {
    for width in [1, 7, 16, 33] {
        let table = numbers(5 * width, 1);
        let index = [4, 0, 2, 2, -3, 99];
        let meant = [4, 0, 2, 2, 0, 4];
        let mut out = vec![CANARY; index.len() * width + GAP];
        checked::gather(width, &table, &index, &mut out);
        for (i, row) in meant.iter().enumerate() {
            assert_eq!(out[i * width..][..width], table[row * width..][..width]);
        }
        assert_eq!(out[index.len() * width..], [CANARY; GAP]);
        let values = numbers(index.len() * width, 2);
        let mut sums = vec![1.0; 5 * width];
        let mut expected = sums.clone();
        checked::scatter_add(width, &index, &values, &mut sums);
        for (i, row) in meant.iter().enumerate() {
            for c in 0..width {
                expected[row * width + c] += values[i * width + c];
            }
        }
        assert_eq!(sums, expected);
    }
}
