//! Convolution, bias, ReLU and max-pooling in one, and its gradients, against the steps one by one.

use nnc::kernels::Scratch;
use nnc::kernels::checked;
use nnc::kernels::checked_conv_pool as fused;
use nnc::kernels::conv::{Batch, Conv, Window};
use nnc::kernels::conv_pool::{ConvPool, NONE};
use nnc::kernels::isa::Isa;

use super::gemm::numbers;

const CANARY: f32 = 12345.0;
const GAP: usize = 19;

/// What does not follow from the shape.
#[derive(Clone, Copy, Debug)]
struct Case {
    shape: ConvPool,
    bias: bool,
    examples: usize,
    /// Few different numbers, so that there are ties.
    ties: bool,
    /// Only the middle of the images is not 0, of the last one nothing.
    blank: bool,
}

/// A convolution of all windows that fit, with as much padding after the input as before it.
#[allow(clippy::too_many_arguments)]
fn shape(
    input: [usize; 2],
    channels: usize,
    out_channels: usize,
    kernel: [usize; 2],
    stride: [usize; 2],
    dilation: [usize; 2],
    pad: [usize; 2],
    pool: [usize; 2],
) -> Option<ConvPool> {
    let mut output = [0; 2];
    for (d, output) in output.iter_mut().enumerate() {
        let room = (input[d] + 2 * pad[d]).checked_sub((kernel[d] - 1) * dilation[d] + 1)?;
        *output = room / stride[d] + 1;
    }
    let window = Window { input, channels, output, kernel, stride, dilation, pad };
    let shape = ConvPool::new(Conv { window, out_channels, groups: 1 }, pool, true);
    (shape.windows() > 0).then_some(shape)
}

/// Examples with a gap of canaries after each.
fn spread(x: &[f32], elements: usize) -> Vec<f32> {
    x.chunks(elements).flat_map(|example| [example, &[CANARY; GAP]].concat()).collect()
}

fn batch<T>(x: &[T], stride: usize) -> Batch<&[T]> {
    Batch { start: x, stride }
}

fn batch_mut<T>(start: &mut [T], stride: usize) -> Batch<&mut [T]> {
    Batch { start, stride }
}

/// The values and the taps from the whole result of the convolution, bias added.
fn pooled(shape: &ConvPool, full: &[f32], y: &mut Vec<f32>, which: &mut Vec<u8>) {
    let (c, width) = (shape.conv.out_channels, shape.conv.window.output[1]);
    for at in 0..shape.pooled_elements() {
        let (window, channel) = (at / c, at % c);
        let (py, px) = (window / shape.pooled[1], window % shape.pooled[1]);
        let value = |tap: usize| {
            let (ty, tx) = (tap / shape.pool[1], tap % shape.pool[1]);
            full[((py * shape.pool[0] + ty) * width + px * shape.pool[1] + tx) * c + channel]
        };
        let best = (1..shape.taps()).fold(0, |best, tap| if value(tap) > value(best) { tap } else { best });
        let dead = shape.relu && value(best) <= 0.0;
        y.push(if dead { 0.0 } else { value(best) });
        which.push(if dead { NONE } else { best as u8 });
    }
}

/// The gradient of the whole result of the convolution.
fn unpooled(shape: &ConvPool, g: &[f32], which: &[u8]) -> Vec<f32> {
    let (c, width) = (shape.conv.out_channels, shape.conv.window.output[1]);
    let mut full = vec![0.0; shape.conv.output_elements()];
    for (at, tap) in which.iter().enumerate().filter(|(_, tap)| **tap != NONE) {
        let (window, channel, tap) = (at / c, at % c, usize::from(*tap));
        let (py, px) = (window / shape.pooled[1], window % shape.pooled[1]);
        let (ty, tx) = (tap / shape.pool[1], tap % shape.pool[1]);
        full[((py * shape.pool[0] + ty) * width + px * shape.pool[1] + tx) * c + channel] = g[at];
    }
    full
}

fn close(name: &str, got: &[f32], expected: &[f32], terms: usize, case: &Case) {
    for (i, (x, y)) in got.iter().zip(expected).enumerate() {
        assert!((x - y).abs() <= 1e-6 * (1.0 + terms as f32), "{name}[{i}]: {x} for {y}: {case:?}");
    }
}

fn check(case: &Case, scratch: &mut Scratch) {
    let shape = &case.shape;
    let conv = &shape.conv;
    assert!(shape.supported());
    let (nx, ny) = (conv.window.input_elements(), shape.pooled_elements());
    let (nw, c, full) = (conv.weight_elements(), conv.out_channels, conv.output_elements());
    let e = case.examples;
    let coarse = |x: Vec<f32>| if case.ties { x.iter().map(|x| (x * 4.0).round()).collect() } else { x };
    let (mut x, w, g) = (coarse(numbers(e * nx, 1)), coarse(numbers(nw, 2)), numbers(e * ny, 3));
    if case.blank {
        let [height, width] = conv.window.input;
        for (pixel, x) in x.chunks_mut(conv.window.channels).enumerate() {
            let (example, row, column) = (pixel / (height * width), pixel / width % height, pixel % width);
            let middle =
                (height / 3..=height / 2).contains(&row) && (width / 4..=width / 2).contains(&column);
            if !middle || example + 1 == e {
                x.fill(0.0);
            }
        }
    }
    let bias = case.bias.then(|| coarse(numbers(c, 4)));
    let (old_w, old_b) = (numbers(nw, 5), numbers(c, 6));

    let mut whole = vec![0.0; e * full];
    let scalar = Isa::Scalar;
    checked::conv_forward(scalar, conv, e, batch(&x, nx), &w, batch_mut(&mut whole, full), scratch);
    if let Some(bias) = &bias {
        whole.iter_mut().enumerate().for_each(|(i, x)| *x += bias[i % c]);
    }
    let (mut y, mut which) = (Vec::new(), Vec::new());
    whole.chunks(full).for_each(|full| pooled(shape, full, &mut y, &mut which));
    let mut dense = Vec::new();
    for (g, which) in g.chunks(ny).zip(which.chunks(ny)) {
        dense.extend(unpooled(shape, g, which));
    }
    let dense = batch(&dense, full);
    let mut dx = vec![0.0; e * nx];
    checked::conv_input_gradient(scalar, conv, e, dense, &w, batch_mut(&mut dx, nx), scratch);
    let mut dw = old_w.clone();
    checked::conv_weight_gradient(scalar, conv, e, batch(&x, nx), dense, &mut dw, true, scratch);
    let mut db = old_b.clone();
    for (i, tap) in which.iter().enumerate().filter(|(_, tap)| **tap != NONE) {
        assert!(usize::from(*tap) < shape.taps());
        db[i % c] += g[i];
    }

    let (xs, gs) = (spread(&x, nx), spread(&g, ny));
    let (xs, gs) = (batch(&xs, nx + GAP), batch(&gs, ny + GAP));
    let mut first: Option<[Vec<f32>; 3]> = None;
    for isa in Isa::available() {
        let mut out_y = vec![CANARY; e * (ny + GAP)];
        let mut out_which = vec![0xee; e * (ny + GAP)];
        let bias = bias.as_deref();
        let to = batch_mut(&mut out_y, ny + GAP);
        let taps = batch_mut(&mut out_which, ny + GAP);
        fused::forward(isa, shape, e, xs, &w, bias, to, taps, scratch);
        for i in 0..e {
            let (line, gap) = out_y[i * (ny + GAP)..][..ny + GAP].split_at(ny);
            assert!(line == &y[i * ny..][..ny], "y {isa:?} {case:?}\n{line:?}\n{:?}", &y[i * ny..][..ny]);
            assert_eq!(gap, [CANARY; GAP]);
            let (line, gap) = out_which[i * (ny + GAP)..][..ny + GAP].split_at(ny);
            assert!(line == &which[i * ny..][..ny], "which {isa:?} {case:?}");
            assert_eq!(gap, [0xee; GAP]);
        }
        let taps = batch(&out_which, ny + GAP);
        // Where no gradient flows, the kernels must not look at it... nor at other examples' gaps.
        let mut out_dx = vec![CANARY; e * (nx + GAP)];
        fused::input_gradient(isa, shape, e, gs, taps, &w, batch_mut(&mut out_dx, nx + GAP), scratch);
        for i in 0..e {
            let (line, gap) = out_dx[i * (nx + GAP)..][..nx + GAP].split_at(nx);
            close("dx", line, &dx[i * nx..][..nx], nw / conv.group_in(), case);
            assert_eq!(gap, [CANARY; GAP]);
        }
        let mut out_dw = [&old_w[..], &[CANARY; GAP]].concat();
        let mut out_db = [&old_b[..], &[CANARY; GAP]].concat();
        fused::weight_gradient(isa, shape, e, xs, gs, taps, &mut out_dw, Some(&mut out_db), true, scratch);
        close("dw", &out_dw[..nw], &dw, e * shape.windows(), case);
        close("db", &out_db[..c], &db, e * shape.windows(), case);
        assert!(out_dw[nw..] == [CANARY; GAP] && out_db[c..] == [CANARY; GAP]);
        // Without accumulation the old weights do not matter.
        let mut fresh = vec![CANARY; nw];
        fused::weight_gradient(isa, shape, e, xs, gs, taps, &mut fresh, None, false, scratch);
        for (i, x) in fresh.iter().enumerate() {
            assert_eq!((old_w[i] + x).to_bits(), out_dw[i].to_bits(), "fresh dw[{i}] {case:?}");
        }
        let all = [out_dx, out_dw, out_db];
        if let Some(first) = &first {
            assert!(first == &all, "bits differ on {isa:?}: {case:?}");
        }
        first = Some(all);
    }
}

const POOLS: [[usize; 2]; 6] = [[1, 1], [2, 1], [1, 3], [2, 2], [2, 3], [3, 3]];

#[test]
fn every_mix_of_kernel_stride_dilation_and_padding() {
    let mut scratch = Scratch::new();
    for kernel in [[1, 1], [2, 3], [3, 3], [4, 2]] {
        for stride in [[1, 1], [2, 1], [2, 3]] {
            for dilation in [[1, 1], [2, 1], [1, 2]] {
                for pad in [[0, 0], [1, 1], [2, 0]] {
                    for (channels, out_channels) in [(1, 5), (3, 3), (4, 17)] {
                        for pool in POOLS {
                            let all =
                                shape([9, 8], channels, out_channels, kernel, stride, dilation, pad, pool);
                            let Some(all) = all else { continue };
                            let relu = (kernel[0] + stride[0] + pool[0]) % 3 != 0;
                            let all = ConvPool { relu, ..all };
                            let (bias, ties) = (pool[1] != 3, pad[1] == 1);
                            for blank in [false, true] {
                                check(&Case { shape: all, bias, examples: 2, ties, blank }, &mut scratch);
                            }
                        }
                    }
                }
            }
        }
    }
}

#[test]
fn channels_around_every_edge() {
    let mut scratch = Scratch::new();
    for channels in [1, 2, 5, 15, 16, 17, 32] {
        for out_channels in [1, 7, 8, 15, 16, 17, 31, 33, 48, 63, 64, 65, 129] {
            for (pad, pool) in [(0, [2, 2]), (1, [3, 3]), (0, [1, 1])] {
                let one = shape([7, 8], channels, out_channels, [3, 3], [1, 1], [1, 1], [pad; 2], pool);
                let Some(shape) = one else { unreachable!("the windows fit") };
                check(&Case { shape, bias: true, examples: 1, ties: false, blank: false }, &mut scratch);
            }
        }
    }
}

#[test]
fn the_layers_of_a_digit_classifier() {
    let mut scratch = Scratch::new();
    let cases = [
        shape([28, 28], 1, 32, [3, 3], [1, 1], [1, 1], [0, 0], [2, 2]),
        shape([13, 13], 32, 64, [3, 3], [1, 1], [1, 1], [0, 0], [2, 2]),
        shape([28, 28], 1, 24, [5, 5], [1, 1], [1, 1], [2, 2], [2, 2]),
        shape([12, 12], 24, 48, [5, 5], [1, 1], [1, 1], [0, 0], [2, 2]),
        shape([20, 20], 3, 16, [3, 3], [1, 1], [1, 1], [1, 1], [2, 2]),
        shape([20, 20], 3, 16, [7, 7], [2, 2], [1, 1], [3, 3], [3, 3]),
    ];
    for shape in cases.into_iter().flatten() {
        for (bias, ties, blank) in [(true, false, false), (false, true, false), (true, false, true)] {
            check(&Case { shape, bias, examples: 3, ties, blank }, &mut scratch);
        }
    }
}

#[test]
fn rows_that_no_window_reads_may_hold_anything() {
    let Some(shape) = shape([5, 5], 2, 3, [2, 2], [1, 1], [1, 1], [0, 0], [3, 3]) else {
        unreachable!("one window fits")
    };
    let (w, mut scratch) = (numbers(24, 1), Scratch::new());
    let mut x = numbers(50, 2);
    for (i, x) in x.iter_mut().enumerate() {
        if i / 10 == 4 || i % 10 >= 8 {
            *x = f32::NAN;
        }
    }
    for isa in Isa::available() {
        let (mut y, mut which) = (vec![CANARY; 3], vec![0; 3]);
        let (to, taps) = (batch_mut(&mut y, 3), batch_mut(&mut which, 3));
        fused::forward(isa, &shape, 1, batch(&x, 50), &w, None, to, taps, &mut scratch);
        assert!(y.iter().all(|y| y.is_finite()));
        let mut dw = vec![0.0; 24];
        let (g, taps) = ([1.0; 3], batch(&which[..], 3));
        fused::weight_gradient(
            isa,
            &shape,
            1,
            batch(&x, 50),
            batch(&g, 3),
            taps,
            &mut dw,
            None,
            true,
            &mut scratch,
        );
        assert!(dw.iter().all(|x| x.is_finite()));
    }
}
