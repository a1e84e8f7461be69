//! Winograd's form against the direct one: values to within rounding, maxima at the same taps or at equally
//! good ones, and equal bits on every instruction set.

use nnc::kernels::Scratch;
use nnc::kernels::checked::{conv_forward_in_winograd, conv_weight_gradient_in_winograd};
use nnc::kernels::checked_conv_pool as fused;
use nnc::kernels::conv::{Batch, Conv, Window};
use nnc::kernels::conv_pool::{ConvPool, NONE};
use nnc::kernels::isa::Isa;
use nnc::kernels::winograd::applies;

use super::gemm::numbers;

const CANARY: f32 = 12345.0;
const GAP: usize = 19;

/// A convolution of 3x3 under a pool.
fn shape(input: [usize; 2], channels: usize, out_channels: usize, pad: [usize; 2], relu: bool) -> ConvPool {
    shape_of(3, input, channels, out_channels, pad, relu)
}

fn shape_of(
    kernel: usize,
    input: [usize; 2],
    channels: usize,
    out_channels: usize,
    pad: [usize; 2],
    relu: bool,
) -> ConvPool {
    let output = [0, 1].map(|d| input[d] + 2 * pad[d] + 1 - kernel);
    let kernel = [kernel; 2];
    let window = Window { input, channels, output, kernel, stride: [1; 2], dilation: [1; 2], pad };
    ConvPool::new(Conv { window, out_channels, groups: 1 }, [2, 2], relu)
}

/// The whole result of the convolution in f64, with the bias.
fn direct(conv: &Conv, x: &[f32], w: &[f32], bias: &[f32]) -> Vec<f64> {
    let window = &conv.window;
    let (cin, cout) = (window.channels, conv.out_channels);
    let mut y: Vec<f64> = (0..conv.output_elements()).map(|i| f64::from(bias[i % cout])).collect();
    for (at, out) in y.chunks_mut(cout).enumerate() {
        let (oy, ox) = (at / window.output[1], at % window.output[1]);
        for tap in 0..window.kernel[0] * window.kernel[1] {
            let (iy, ix) = (oy + tap / window.kernel[1], ox + tap % window.kernel[1]);
            let inside = |i: usize, d: usize| i >= window.pad[d] && i - window.pad[d] < window.input[d];
            if !inside(iy, 0) || !inside(ix, 1) {
                continue;
            }
            let pixel = ((iy - window.pad[0]) * window.input[1] + ix - window.pad[1]) * cin;
            for ci in 0..cin {
                let x = f64::from(x[pixel + ci]);
                for (co, out) in out.iter_mut().enumerate() {
                    *out += x * f64::from(w[(tap * cin + ci) * cout + co]);
                }
            }
        }
    }
    y
}

fn check(shape: &ConvPool, examples: usize, scratch: &mut Scratch) {
    assert!(applies(shape));
    let conv = &shape.conv;
    let (nx, ny, c) = (conv.window.input_elements(), shape.pooled_elements(), conv.out_channels);
    let (x, w) = (numbers(examples * (nx + GAP), 1), numbers(conv.weight_elements(), 2));
    let bias = numbers(c, 3);
    let bound = 1e-6 * conv.weight_elements() as f64 / c as f64;
    let mut first: Option<(Vec<f32>, Vec<u8>)> = None;
    for isa in Isa::available() {
        let (mut y, mut which) = (vec![CANARY; examples * (ny + GAP)], vec![0xee; examples * (ny + GAP)]);
        let xs = Batch { start: &x[..], stride: nx + GAP };
        let to = Batch { start: &mut y[..], stride: ny + GAP };
        let taps = Batch { start: &mut which[..], stride: ny + GAP };
        fused::winograd_forward(isa, shape, examples, xs, &w, Some(&bias), to, taps, scratch);
        for e in 0..examples {
            let full = direct(conv, &x[e * (nx + GAP)..][..nx], &w, &bias);
            let (y, gap) = y[e * (ny + GAP)..][..ny + GAP].split_at(ny);
            let (which, taps_gap) = which[e * (ny + GAP)..][..ny + GAP].split_at(ny);
            assert!(gap == [CANARY; GAP] && taps_gap == [0xee; GAP]);
            for (at, (y, tap)) in y.iter().zip(which).enumerate() {
                let (window, channel) = (at / c, at % c);
                let value = |tap: usize| {
                    let row = window / shape.pooled[1] * 2 + tap / 2;
                    let column = window % shape.pooled[1] * 2 + tap % 2;
                    full[(row * conv.window.output[1] + column) * c + channel]
                };
                let best = (0..4).map(value).fold(f64::MIN, f64::max);
                let expected = if shape.relu { best.max(0.0) } else { best };
                assert!((f64::from(*y) - expected).abs() < bound, "{y} for {expected}: {shape:?}");
                if *tap == NONE {
                    assert!(shape.relu && *y == 0.0 && best < bound);
                } else {
                    assert!(value(usize::from(*tap)) > best - bound, "tap {tap}: {shape:?}");
                    assert!(!shape.relu || *y > 0.0);
                }
            }
        }
        if let Some(first) = &first {
            assert!(first == &(y.clone(), which.clone()), "bits differ on {isa:?}: {shape:?}");
        }
        first = Some((y, which));
    }
}

#[test]
fn channels_extents_and_padding() {
    let mut scratch = Scratch::new();
    for channels in [1, 3, 8, 16, 17, 33] {
        for out_channels in [1, 5, 8, 16, 31, 64, 65] {
            check(&shape([7, 8], channels, out_channels, [0, 0], true), 1, &mut scratch);
            check(&shape([5, 6], channels, out_channels, [1, 1], false), 2, &mut scratch);
        }
    }
    for input in [[4, 4], [4, 9], [13, 13], [16, 18], [17, 30]] {
        for pad in [[0, 0], [1, 1], [2, 0], [0, 2]] {
            check(&shape(input, 4, 6, pad, true), 3, &mut scratch);
        }
    }
    check(&shape([13, 13], 32, 64, [0, 0], true), 2, &mut scratch);
}

#[test]
fn windows_of_five() {
    let mut scratch = Scratch::new();
    for (channels, out_channels) in [(1, 1), (3, 17), (8, 31), (16, 64), (33, 65)] {
        check(&shape_of(5, [9, 8], channels, out_channels, [0, 0], true), 1, &mut scratch);
        check(&shape_of(5, [6, 7], channels, out_channels, [2, 1], false), 2, &mut scratch);
    }
    for (input, pad) in [([6, 6], [0, 0]), ([12, 12], [0, 0]), ([13, 20], [2, 2]), ([21, 6], [4, 0])] {
        check(&shape_of(5, input, 4, 6, pad, true), 3, &mut scratch);
    }
}

/// Convolutions whose results are all wanted, and the gradients of images, which are such with turned weights.
#[test]
fn convolutions_without_a_pool() {
    let mut scratch = Scratch::new();
    for (kernel, input, [channels, out_channels], pad, examples) in [
        (3, [3, 3], [1, 1], [0, 0], 1),
        (3, [4, 7], [3, 17], [1, 1], 2),
        (3, [8, 8], [16, 33], [1, 1], 5),
        (3, [13, 13], [32, 64], [0, 0], 2),
        (3, [9, 6], [8, 16], [2, 0], 3),
        (3, [31, 17], [5, 6], [1, 2], 2),
        (5, [5, 5], [2, 3], [0, 0], 1),
        (5, [12, 9], [17, 31], [2, 2], 3),
    ] {
        let output = [0, 1].map(|d| input[d] + 2 * pad[d] + 1 - kernel);
        let kernel = [kernel; 2];
        let window = Window { input, channels, output, kernel, stride: [1; 2], dilation: [1; 2], pad };
        let conv = Conv { window, out_channels, groups: 1 };
        check_plain(&conv, examples, &mut scratch);
        check_weights(&conv, examples, &mut scratch);
    }
}

/// The gradient of the weights against f64, alone and added to what is there, with equal bits on all instruction sets.
fn check_weights(conv: &Conv, examples: usize, scratch: &mut Scratch) {
    let (nx, ny, nw) = (conv.window.input_elements(), conv.output_elements(), conv.weight_elements());
    let (x, g, old) = (numbers(examples * (nx + GAP), 1), numbers(examples * (ny + GAP), 2), numbers(nw, 3));
    let mut expected = vec![0.0; nw];
    let (cin, cout, w) = (conv.window.channels, conv.out_channels, &conv.window);
    let [_, columns] = w.output;
    for e in 0..examples {
        for (window, tap) in
            (0..w.windows()).flat_map(|o| (0..w.kernel[0] * w.kernel[1]).map(move |t| (o, t)))
        {
            let y = (window / columns + tap / w.kernel[1]).checked_sub(w.pad[0]).filter(|y| *y < w.input[0]);
            let x0 = (window % columns + tap % w.kernel[1]).checked_sub(w.pad[1]).filter(|x| *x < w.input[1]);
            let (Some(row), Some(column)) = (y, x0) else { continue };
            for (i, o) in (0..cin).flat_map(|i| (0..cout).map(move |o| (i, o))) {
                let pixel = x[e * (nx + GAP) + (row * w.input[1] + column) * cin + i];
                let slope = g[e * (ny + GAP) + window * cout + o];
                expected[(tap * cin + i) * cout + o] += f64::from(pixel) * f64::from(slope);
            }
        }
    }
    let bound = 3e-6 * ((examples * w.windows()) as f64).max(4.0).sqrt() * w.kernel[0] as f64;
    let mut first: Option<Vec<f32>> = None;
    for isa in Isa::available() {
        let (xs, gs) = (Batch { start: &x[..], stride: nx + GAP }, Batch { start: &g[..], stride: ny + GAP });
        for accumulate in [false, true] {
            let mut dw = [&old[..], &[CANARY; GAP]].concat();
            conv_weight_gradient_in_winograd(isa, conv, examples, xs, gs, &mut dw, accumulate, scratch);
            assert_eq!(dw[nw..], [CANARY; GAP]);
            for ((dw, old), expected) in dw.iter().zip(&old).zip(&expected) {
                let expected = expected + if accumulate { f64::from(*old) } else { 0.0 };
                let off = (f64::from(*dw) - expected).abs();
                assert!(off < bound, "{dw} for {expected}: {conv:?}, {examples} examples");
            }
            if !accumulate {
                let first = first.get_or_insert_with(|| dw.clone());
                assert!(*first == dw, "bits differ on {isa:?}: {conv:?}");
            }
        }
    }
}

fn check_plain(conv: &Conv, examples: usize, scratch: &mut Scratch) {
    let (nx, ny) = (conv.window.input_elements(), conv.output_elements());
    let (x, w) = (numbers(examples * (nx + GAP), 1), numbers(conv.weight_elements(), 2));
    let bound = 1e-6 * conv.weight_elements() as f64 / conv.out_channels as f64;
    // The same convolution from weights in the other order.
    let (cin, cout) = (conv.window.channels, conv.out_channels);
    let mut turned = vec![0.0; w.len()];
    for (i, w) in w.iter().enumerate() {
        let (tap, channel, out) = (i / (cin * cout), i / cout % cin, i % cout);
        let last = conv.window.kernel[0] * conv.window.kernel[1] - 1;
        turned[((last - tap) * cout + out) * cin + channel] = *w;
    }
    let straight = w.clone();
    let mut first: Option<Vec<f32>> = None;
    for isa in Isa::available() {
        for (turned, w) in [(false, &w), (true, &turned)] {
            let mut y = vec![CANARY; examples * (ny + GAP)];
            let xs = Batch { start: &x[..], stride: nx + GAP };
            let to = Batch { start: &mut y[..], stride: ny + GAP };
            conv_forward_in_winograd(isa, conv, turned, examples, xs, w, to, None, false, scratch);
            for e in 0..examples {
                let expected = direct(conv, &x[e * (nx + GAP)..][..nx], &straight, &vec![0.0; cout]);
                let (y, gap) = y[e * (ny + GAP)..][..ny + GAP].split_at(ny);
                assert_eq!(gap, [CANARY; GAP]);
                for (y, expected) in y.iter().zip(expected) {
                    assert!((f64::from(*y) - expected).abs() < bound, "{y} for {expected}: {conv:?}");
                }
            }
            let first = first.get_or_insert_with(|| y.clone());
            assert!(*first == y, "bits differ on {isa:?}, turned {turned}: {conv:?}");
            // Bias and ReLU in the same pass give the bits of the steps one by one.
            let bias = numbers(cout, 3);
            let mut fused = vec![CANARY; examples * (ny + GAP)];
            let to = Batch { start: &mut fused[..], stride: ny + GAP };
            conv_forward_in_winograd(isa, conv, turned, examples, xs, w, to, Some(&bias), true, scratch);
            for (i, (fused, y)) in fused.iter().zip(&y).enumerate() {
                let sum = y + bias[i % (ny + GAP) % cout];
                let expected = if sum < 0.0 { 0.0 } else { sum };
                let expected = if i % (ny + GAP) < ny { expected } else { CANARY };
                assert_eq!(fused.to_bits(), expected.to_bits(), "{conv:?}");
            }
        }
    }
}

#[test]
fn whole_numbers_give_what_the_direct_form_gives() {
    let shape = shape([9, 9], 4, 20, [1, 1], true);
    let (nx, ny) = (shape.conv.window.input_elements(), shape.pooled_elements());
    let whole = |x: Vec<f32>| -> Vec<f32> { x.iter().map(|x| (x * 8.0).round()).collect() };
    let (x, w) = (whole(numbers(nx, 1)), whole(numbers(shape.conv.weight_elements(), 2)));
    let mut scratch = Scratch::new();
    for isa in Isa::available() {
        let mut results = [(vec![0.0; ny], vec![0; ny]), (vec![0.0; ny], vec![0; ny])];
        for (i, (y, which)) in results.iter_mut().enumerate() {
            let xs = Batch { start: &x[..], stride: nx };
            let (to, taps) =
                (Batch { start: &mut y[..], stride: ny }, Batch { start: &mut which[..], stride: ny });
            if i == 0 {
                fused::winograd_forward(isa, &shape, 1, xs, &w, None, to, taps, &mut scratch);
            } else {
                fused::forward(isa, &shape, 1, xs, &w, None, to, taps, &mut scratch);
            }
        }
        assert!(results[0] == results[1], "ties and values are exact");
    }
}
