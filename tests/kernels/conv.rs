//! Convolution and its gradients against plain loops in f64, on every instruction set, with equal bits.

use nnc::kernels::Scratch;
use nnc::kernels::checked;
use nnc::kernels::conv::{Batch, Conv, Window};
use nnc::kernels::isa::Isa;

use super::gemm::numbers;

const CANARY: f32 = 12345.0;
const GAP: usize = 19;

/// The fields of a convolution of which results have every window that fits.
#[derive(Clone, Copy, Debug)]
struct Case {
    input: [usize; 2],
    kernel: [usize; 2],
    stride: [usize; 2],
    dilation: [usize; 2],
    pad: [usize; 2],
    /// Padding after the input.
    after: [usize; 2],
    channels: usize,
    out_channels: usize,
    groups: usize,
}

impl Case {
    fn conv(&self) -> Option<Conv> {
        let mut output = [0; 2];
        for (d, output) in output.iter_mut().enumerate() {
            let reach = (self.kernel[d] - 1) * self.dilation[d] + 1;
            let room = (self.input[d] + self.pad[d] + self.after[d]).checked_sub(reach)?;
            *output = room / self.stride[d] + 1;
        }
        let window = Window {
            input: self.input,
            channels: self.channels,
            output,
            kernel: self.kernel,
            stride: self.stride,
            dilation: self.dilation,
            pad: self.pad,
        };
        Some(Conv { window, out_channels: self.out_channels, groups: self.groups })
    }
}

/// Calls `f(x, w, y)` with the indices of every product.
fn each_product(conv: &Conv, mut f: impl FnMut(usize, usize, usize)) {
    let w = &conv.window;
    let (cin, cout) = (conv.group_in(), conv.group_out());
    for oy in 0..w.output[0] {
        for ox in 0..w.output[1] {
            for ky in 0..w.kernel[0] {
                for kx in 0..w.kernel[1] {
                    let iy = oy * w.stride[0] + ky * w.dilation[0];
                    let ix = ox * w.stride[1] + kx * w.dilation[1];
                    let inside = |i: usize, d: usize| i >= w.pad[d] && i - w.pad[d] < w.input[d];
                    if !inside(iy, 0) || !inside(ix, 1) {
                        continue;
                    }
                    let pixel = (iy - w.pad[0]) * w.input[1] + ix - w.pad[1];
                    for co in 0..conv.out_channels {
                        for ci in 0..cin {
                            let x = pixel * w.channels + co / cout * cin + ci;
                            let weight = ((ky * w.kernel[1] + kx) * cin + ci) * conv.out_channels + co;
                            f(x, weight, (oy * w.output[1] + ox) * conv.out_channels + co);
                        }
                    }
                }
            }
        }
    }
}

/// Examples with a gap of canaries after each.
fn spread(x: &[f32], elements: usize) -> Vec<f32> {
    x.chunks(elements).flat_map(|example| [example, &[CANARY; GAP]].concat()).collect()
}

fn close(name: &str, got: &[f32], expected: &[f64], terms: f64, case: &Case) {
    for (i, (x, y)) in got.iter().zip(expected).enumerate() {
        assert!((f64::from(*x) - y).abs() < 1e-6 * (1.0 + terms), "{name}[{i}]: {x} for {y}: {case:?}");
    }
}

fn check(case: &Case, examples: usize, scratch: &mut Scratch) {
    let Some(conv) = case.conv() else { return };
    check_images(case, &numbers(examples * conv.window.input_elements(), 1), scratch);
}

fn check_images(case: &Case, x: &[f32], scratch: &mut Scratch) {
    let Some(conv) = case.conv() else { return };
    let (nx, ny, nw) = (conv.window.input_elements(), conv.output_elements(), conv.weight_elements());
    let examples = x.len() / nx;
    let (w, g) = (numbers(nw, 2), numbers(examples * ny, 3));
    let old = numbers(nw, 4);
    let mut y = vec![0f64; examples * ny];
    let mut dx = vec![0f64; examples * nx];
    let mut dw: Vec<f64> = old.iter().map(|x| f64::from(*x)).collect();
    for e in 0..examples {
        each_product(&conv, |i, j, k| {
            let (xe, ge, we) = (f64::from(x[e * nx + i]), f64::from(g[e * ny + k]), f64::from(w[j]));
            y[e * ny + k] += xe * we;
            dx[e * nx + i] += ge * we;
            dw[j] += xe * ge;
        });
    }
    let (x, g) = (spread(x, nx), spread(&g, ny));
    let xs = Batch { start: &x[..], stride: nx + GAP };
    let gs = Batch { start: &g[..], stride: ny + GAP };
    let mut first: Option<[Vec<f32>; 3]> = None;
    for isa in Isa::available() {
        let mut out_y = vec![CANARY; examples * (ny + GAP)];
        let result = Batch { start: &mut out_y[..], stride: ny + GAP };
        checked::conv_forward(isa, &conv, examples, xs, &w, result, scratch);
        let mut out_dx = vec![CANARY; examples * (nx + GAP)];
        let result = Batch { start: &mut out_dx[..], stride: nx + GAP };
        checked::conv_input_gradient(isa, &conv, examples, gs, &w, result, scratch);
        let mut out_dw = [&old[..], &[CANARY; GAP]].concat();
        checked::conv_weight_gradient(isa, &conv, examples, xs, gs, &mut out_dw, true, scratch);
        for e in 0..examples {
            let (line, gap) = out_y[e * (ny + GAP)..][..ny + GAP].split_at(ny);
            close("y", line, &y[e * ny..][..ny], (nw / conv.out_channels) as f64, case);
            assert_eq!(gap, [CANARY; GAP]);
            let (line, gap) = out_dx[e * (nx + GAP)..][..nx + GAP].split_at(nx);
            close("dx", line, &dx[e * nx..][..nx], (nw / conv.group_in()) as f64, case);
            assert_eq!(gap, [CANARY; GAP]);
        }
        let (line, gap) = out_dw.split_at(nw);
        close("dw", line, &dw, (examples * conv.window.windows()) as f64, case);
        assert_eq!(gap, [CANARY; GAP]);
        // Bias and ReLU in the same pass give the bits of the steps one by one.
        let bias = numbers(conv.out_channels, 5);
        let mut fused = vec![CANARY; examples * (ny + GAP)];
        let result = Batch { start: &mut fused[..], stride: ny + GAP };
        checked::conv_forward_with(isa, &conv, examples, xs, &w, result, Some(&bias), true, scratch);
        for e in 0..examples {
            let (line, gap) = fused[e * (ny + GAP)..][..ny + GAP].split_at(ny);
            for (i, x) in line.iter().enumerate() {
                let sum = out_y[e * (ny + GAP) + i] + bias[i % conv.out_channels];
                assert_eq!(x.to_bits(), if sum < 0.0 { 0.0f32 } else { sum }.to_bits(), "{case:?}");
            }
            assert_eq!(gap, [CANARY; GAP]);
        }
        // Without accumulation the old weights do not matter.
        let mut fresh = vec![CANARY; nw];
        checked::conv_weight_gradient(isa, &conv, examples, xs, gs, &mut fresh, false, scratch);
        let without: Vec<f64> = dw.iter().zip(&old).map(|(x, old)| x - f64::from(*old)).collect();
        close("fresh dw", &fresh, &without, (examples * conv.window.windows()) as f64, case);
        let all = [out_y, out_dx, out_dw];
        if let Some(first) = &first {
            assert!(first == &all, "bits differ on {isa:?}: {case:?}");
        }
        first = Some(all);
    }
}

#[test]
fn every_mix_of_stride_dilation_padding_and_groups() {
    let mut scratch = Scratch::new();
    for kernel in [[1, 1], [2, 3], [3, 3]] {
        for stride in [[1, 1], [2, 1], [2, 2], [1, 3]] {
            for dilation in [[1, 1], [2, 1], [1, 2]] {
                for pad in [[0, 0], [1, 1], [2, 0], [3, 3]] {
                    for (channels, out_channels, groups) in [(1, 5, 1), (4, 6, 2), (3, 3, 3), (2, 4, 2)] {
                        let after = [pad[0], pad[1] / 2];
                        let case = Case {
                            input: [6, 7],
                            kernel,
                            stride,
                            dilation,
                            pad,
                            after,
                            channels,
                            out_channels,
                            groups,
                        };
                        check(&case, 2, &mut scratch);
                    }
                }
            }
        }
    }
}

#[test]
fn channels_around_every_edge() {
    let mut scratch = Scratch::new();
    for channels in [1, 2, 8, 15, 17] {
        for out_channels in [1, 7, 16, 33, 65] {
            for (pad, stride) in [(0, 1), (1, 1), (1, 2)] {
                let case = Case {
                    input: [5, 9],
                    kernel: [3, 3],
                    stride: [stride; 2],
                    dilation: [1; 2],
                    pad: [pad; 2],
                    after: [pad; 2],
                    channels,
                    out_channels,
                    groups: 1,
                };
                check(&case, 1, &mut scratch);
            }
        }
    }
    for channels in [7, 8, 9, 31, 33] {
        let case = Case {
            input: [8, 6],
            kernel: [3, 2],
            stride: [1, 2],
            dilation: [1; 2],
            pad: [1, 1],
            after: [0, 1],
            channels,
            out_channels: channels,
            groups: channels,
        };
        check(&case, 3, &mut scratch);
    }
}

/// Rows of A at one distance, in tiles of 2 to 16 rows, with one vector of columns.
#[test]
fn few_channels_and_rows_of_any_length() {
    let mut scratch = Scratch::new();
    for width in [3, 15, 17, 18, 31, 33, 37] {
        for (channels, out_channels) in [(1, 16), (3, 5), (16, 16), (20, 11), (16, 3)] {
            for stride in [1, 2] {
                let case = Case {
                    input: [4, width],
                    kernel: [3, 3],
                    stride: [1, stride],
                    dilation: [1, 1],
                    pad: [1, 1],
                    after: [1, 1],
                    channels,
                    out_channels,
                    groups: 1,
                };
                check(&case, 2, &mut scratch);
            }
        }
    }
}

#[test]
fn the_layers_of_a_digit_classifier_and_of_a_residual_network() {
    let mut scratch = Scratch::new();
    let plain = Case {
        input: [28, 28],
        kernel: [3, 3],
        stride: [1, 1],
        dilation: [1, 1],
        pad: [0, 0],
        after: [0, 0],
        channels: 1,
        out_channels: 32,
        groups: 1,
    };
    check(&plain, 3, &mut scratch);
    check(&Case { input: [13, 13], channels: 32, out_channels: 64, ..plain }, 2, &mut scratch);
    let same = Case { input: [16, 16], pad: [1, 1], after: [1, 1], channels: 16, ..plain };
    check(&Case { out_channels: 16, ..same }, 2, &mut scratch);
    check(&Case { stride: [2, 2], ..same }, 2, &mut scratch);
    check(&Case { kernel: [1, 1], stride: [2, 2], pad: [0, 0], after: [0, 0], ..same }, 2, &mut scratch);
    check(&Case { kernel: [5, 5], pad: [2, 2], after: [2, 2], ..same }, 9, &mut scratch);
}

/// Images of one pixel but for a part, which is another in each.
fn drawings(case: &Case, examples: usize) -> Vec<f32> {
    let [rows, columns] = case.input;
    let pixel = numbers(case.channels, 7);
    let mut x = numbers(examples * rows * columns * case.channels, 1);
    for (at, to) in x.chunks_mut(case.channels).enumerate() {
        let (example, y, x) = (at / (rows * columns), at / columns % rows, at % columns);
        let drawn = (2 + example % 3..rows - 2).contains(&y) && (4..11 + example % 2).contains(&x);
        if !drawn {
            to.copy_from_slice(&pixel);
        }
    }
    x
}

/// What lies over the background is computed once, with the bits of the sum in its order; gradients are to within
/// rounding.
#[test]
fn windows_over_the_background() {
    let plain = Case {
        input: [12, 13],
        kernel: [3, 3],
        stride: [1, 1],
        dilation: [1, 1],
        pad: [0, 0],
        after: [0, 0],
        channels: 16,
        out_channels: 64,
        groups: 1,
    };
    for case in [
        plain,
        Case { stride: [2, 2], channels: 32, ..plain },
        Case { input: [12, 30], pad: [1, 2], after: [2, 0], channels: 17, out_channels: 5, ..plain },
        Case { dilation: [2, 1], stride: [1, 2], out_channels: 16, ..plain },
        Case { kernel: [1, 1], out_channels: 33, ..plain },
    ] {
        let mut scratch = Scratch::new();
        let x = drawings(&case, 11);
        check_images(&case, &x, &mut scratch);
        assert!(scratch.left_out() > 0, "{case:?}");
        in_order(&case, &x, &mut scratch);
    }
    // Padding that is wider than what windows cover.
    let narrow = Case { input: [1, 1], kernel: [1, 1], stride: [1, 4], pad: [24, 3], ..plain };
    check(&narrow, 3, &mut Scratch::new());
    // Nothing is left out where the first image has no background, where channels are few, or images wide.
    let mut noise = numbers(12 * 13 * 16, 1);
    noise.extend(drawings(&plain, 3));
    for (case, x) in [
        (plain, noise),
        (Case { channels: 8, ..plain }, drawings(&Case { channels: 8, ..plain }, 3)),
        (Case { input: [6, 65], ..plain }, drawings(&Case { input: [6, 65], ..plain }, 2)),
    ] {
        let mut scratch = Scratch::new();
        check_images(&case, &x, &mut scratch);
        assert_eq!(scratch.left_out(), 0, "{case:?}");
    }
}

/// Each result is one chain of fused multiply-adds over rows, columns and channels of its window.
fn in_order(case: &Case, x: &[f32], scratch: &mut Scratch) {
    let Some(conv) = case.conv() else { return };
    let (nx, ny) = (conv.window.input_elements(), conv.output_elements());
    let (w, mut y) = (numbers(conv.weight_elements(), 2), vec![CANARY; x.len() / nx * ny]);
    let images = Batch { start: x, stride: nx };
    checked::conv_forward(
        Isa::current(),
        &conv,
        x.len() / nx,
        images,
        &w,
        Batch { start: &mut y[..], stride: ny },
        scratch,
    );
    for (x, y) in x.chunks(nx).zip(y.chunks(ny)) {
        let mut expected = vec![0.0f32; ny];
        each_product(&conv, |i, j, k| expected[k] = x[i].mul_add(w[j], expected[k]));
        assert!(y.iter().zip(&expected).all(|(y, expected)| y == expected), "{case:?}");
    }
}

/// Pixels that come of nothing but zeros get only their sum, the others the bits that they get alone.
#[test]
fn lumps() {
    let layer = Case {
        input: [17, 19],
        kernel: [3, 3],
        stride: [2, 2],
        dilation: [1, 1],
        pad: [0, 0],
        after: [0, 0],
        channels: 1,
        out_channels: 20,
        groups: 1,
    };
    let padded = Case { input: [15, 16], pad: [1, 1], after: [1, 2], ..layer };
    let after = Case { input: [8, 9], channels: 20, out_channels: 33, ..layer };
    let wide = Case { stride: [3, 2], kernel: [2, 3], ..after };
    for (layer, case) in [(layer, after), (padded, after), (layer, wide)] {
        let (layer, conv) = (layer.conv().unwrap(), case.conv().unwrap());
        let (examples, ni) = (11, layer.window.input_elements());
        let mut images = numbers(examples * ni, 9);
        // The last one has no zeros, the one before nothing else.
        for (i, x) in images.iter_mut().enumerate().take((examples - 1) * ni) {
            let (y, column) = (i % ni / layer.window.input[1], i % layer.window.input[1]);
            if i / ni == examples - 2 || !(5..12).contains(&y) || column < 4 + i / ni {
                *x = 0.0;
            }
        }
        let (nx, ny, c) = (conv.window.input_elements(), conv.output_elements(), case.channels);
        let (w, g) = (numbers(conv.weight_elements(), 2), numbers(examples * ny, 3));
        let gs = Batch { start: &g[..], stride: ny };
        let seen = Batch { start: &images[..], stride: ni };
        let mut first: Option<Vec<f32>> = None;
        for isa in Isa::available() {
            let mut scratch = Scratch::new();
            let mut alone = vec![CANARY; examples * nx];
            let to = Batch { start: &mut alone[..], stride: nx };
            checked::conv_input_gradient(isa, &conv, examples, gs, &w, to, &mut scratch);
            let mut dx = vec![CANARY; examples * nx];
            let to = Batch { start: &mut dx[..], stride: nx };
            checked::conv_lumped_input_gradient(
                isa,
                &conv,
                examples,
                gs,
                &w,
                to,
                (&layer, seen),
                &mut scratch,
            );
            assert!(scratch.left_out() > 0);
            for (e, (dx, alone)) in dx.chunks(nx).zip(alone.chunks(nx)).enumerate() {
                let image = &images[e * ni..][..ni];
                let mut over_zeros = vec![true; nx / c];
                each_product(&layer, |x, _, y| over_zeros[y / layer.out_channels] &= image[x] == 0.0);
                assert_eq!(over_zeros.iter().all(|zeros| *zeros), e == examples - 2);
                assert_eq!(over_zeros.contains(&true), e < examples - 1);
                let lump = over_zeros.iter().position(|zeros| *zeros);
                for (pixel, zeros) in over_zeros.iter().enumerate() {
                    let (dx, alone) = (&dx[pixel * c..][..c], &alone[pixel * c..][..c]);
                    assert!(*zeros || dx == alone, "{case:?}");
                    assert!(!zeros || Some(pixel) == lump || dx.iter().all(|x| *x == 0.0), "{case:?}");
                }
                for channel in 0..c {
                    let sum =
                        |x: &[f32]| x.iter().skip(channel).step_by(c).map(|x| f64::from(*x)).sum::<f64>();
                    assert!((sum(dx) - sum(alone)).abs() < 1e-4, "{case:?}");
                }
            }
            let first = first.get_or_insert_with(|| dx.clone());
            assert!(*first == dx, "bits differ on {isa:?}: {case:?}");
        }
    }
}
