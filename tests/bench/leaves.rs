//! `cargo bench --bench leaves`: the hand-written kernels on one thread, in operations a second against the
//! measured peak. A multiply-add is two operations; divan calls them items, so `160 Gitem/s` are 160 GFLOP/s.
//!
//! Kernels that leave operations out are counted by what they do, as in `nnc plan`. Sizes are those of the
//! networks in `tests/bench`, eight examples a call. `NNC_ISA` chooses the instruction set.

use std::ops::{Deref, DerefMut};

use divan::Bencher;
use divan::counter::{BytesCount, ItemsCount};
use nnc::kernels::checked::{
    self, conv_forward, conv_forward_in_winograd, conv_input_gradient, conv_weight_gradient,
    conv_weight_gradient_in_winograd,
};
use nnc::kernels::checked_conv_pool as joined;
use nnc::kernels::conv::{Batch, Conv, Window};
use nnc::kernels::conv_pool::ConvPool;
use nnc::kernels::gemm::{Matrix, gemm_checked};
use nnc::kernels::isa::Isa;
use nnc::kernels::sparse::gemm_sparse_checked;
use nnc::kernels::{Scratch, peak, vecmath, winograd};

const EXAMPLES: usize = 8;

fn main() {
    let isa = Isa::current();
    println!("peak of one thread ({isa:?}): {:.0} GFLOP/s", peak::flops_per_second(1) / 1e9);
    divan::main();
}

/// Numbers that start with a line of the cache, as every buffer of a plan does.
struct Numbers {
    all: Vec<f32>,
    first: usize,
}

impl Deref for Numbers {
    type Target = [f32];
    fn deref(&self) -> &[f32] {
        &self.all[self.first..]
    }
}

impl DerefMut for Numbers {
    fn deref_mut(&mut self) -> &mut [f32] {
        &mut self.all[self.first..]
    }
}

/// Numbers between -1 and 1 without a pattern that a kernel could use.
fn numbers(count: usize) -> Numbers {
    let mut state = 0x2545_F491_u32;
    let mut next = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 8) as f32 / 8_388_608.0 - 1.0
    };
    let mut all = vec![0.0; count + 16];
    let first = all.as_ptr().align_offset(64);
    all[first..].iter_mut().for_each(|x| *x = next());
    all.truncate(first + count);
    Numbers { all, first }
}

fn batch<T>(start: T, stride: usize) -> Batch<T> {
    Batch { start, stride }
}

/// `[rows, columns, steps]` of a product and whether the left and the right factor are read transposed.
const PRODUCTS: [(&str, [usize; 3], bool, bool); 12] = [
    ("forward 64x256x784", [64, 256, 784], false, false),
    ("forward 8x256x784", [8, 256, 784], false, false),
    ("input gradient 64x256x128", [64, 256, 128], false, true),
    ("input gradient 16x2304x64", [16, 2304, 64], false, true),
    ("weight gradient 784x256x64", [784, 256, 64], true, false),
    ("weight gradient 1600x64x128", [1600, 64, 128], true, false),
    ("weight gradient 2304x64x16", [2304, 64, 16], true, false),
    ("last layer 32x10x128", [32, 10, 128], false, false),
    ("square 256", [256, 256, 256], false, false),
    ("small forward 16x16x4", [16, 16, 4], false, false),
    ("small input gradient 16x16x3", [16, 16, 3], false, true),
    ("small weight gradient 16x3x16", [16, 3, 16], true, false),
];

#[divan::bench(args = PRODUCTS.map(|(name, ..)| name))]
fn product(bencher: Bencher, name: &str) {
    let found = PRODUCTS.iter().find(|product| product.0 == name);
    let (_, [m, n, k], turn_a, turn_b) = *found.expect("one of them");

    let (a, b, mut c) = (numbers(m * k), numbers(k * n), numbers(m * n));
    let mut scratch = Scratch::new();
    let stride = |rows: usize, columns: usize, turned| if turned { (1, rows) } else { (columns, 1) };
    let ((ra, ca), (rb, cb)) = (stride(m, k, turn_a), stride(k, n, turn_b));
    bencher.counter(ItemsCount::new(2 * m * n * k)).bench_local(|| {
        let (a, b) = (Matrix::new(&a[..], ra, ca), Matrix::new(&b[..], rb, cb));
        let c = Matrix::new(&mut c[..], n, 1);
        gemm_checked(Isa::current(), [m, n, k], a, b, c, false, &mut scratch);
    });
}

/// Products with a left factor of which so many of a hundred numbers are not zero; counted as if all were done.
#[divan::bench(args = [5, 10, 20, 30, 40, 50, 60])]
fn sparse_forward(bencher: Bencher, share: usize) {
    sparse(bencher, [64, 256, 784], share, false);
}

#[divan::bench(args = [5, 10, 20, 30, 40, 50, 60])]
fn sparse_weight_gradient(bencher: Bencher, share: usize) {
    sparse(bencher, [784, 256, 64], share, true);
}

fn sparse(bencher: Bencher, [m, n, k]: [usize; 3], share: usize, turn: bool) {
    let (mut a, b, mut c) = (numbers(m * k), numbers(k * n), numbers(m * n));
    let keep = numbers(m * k);
    a.iter_mut().zip(keep.iter()).for_each(|(a, keep)| {
        if (keep + 1.0) * 50.0 >= share as f32 {
            *a = 0.0;
        }
    });
    let mut scratch = Scratch::new();
    let (row, column) = if turn { (1, m) } else { (k, 1) };
    bencher.counter(ItemsCount::new(2 * m * n * k)).bench_local(|| {
        let (a, b) = (Matrix::new(&a[..], row, column), Matrix::new(&b[..], n, 1));
        let c = Matrix::new(&mut c[..], n, 1);
        gemm_sparse_checked(Isa::current(), [m, n, k], a, b, c, false, &mut scratch);
    });
}

fn window(side: usize, channels: usize, kernel: usize, stride: usize) -> Window {
    let output = (side - kernel) / stride + 1;
    Window {
        input: [side; 2],
        channels,
        output: [output; 2],
        kernel: [kernel; 2],
        stride: [stride; 2],
        dilation: [1; 2],
        pad: [0; 2],
    }
}

/// Convolutions of the networks by name; those called `same` have padding, and as many results as stride 1 leaves.
fn convolution(name: &str) -> Conv {
    let (side, channels, kernel, stride, out_channels) = match name {
        "first 3x3" => (28, 1, 3, 1, 32),
        "second 3x3" => (13, 32, 3, 1, 64),
        "first stride 2" => (28, 1, 3, 2, 32),
        "second stride 2" => (13, 32, 3, 2, 64),
        "second 5x5" => (12, 32, 5, 1, 64),
        "pooled 16 to 32" => (12, 16, 5, 1, 32),
        "pooled 32" => (12, 32, 5, 1, 32),
        "same 3 to 16" => (32, 3, 3, 1, 16),
        "same 16" => (32, 16, 3, 1, 16),
        "same 16 to 32 by 2" => (32, 16, 3, 2, 32),
        "same 16 to 32" => (16, 16, 3, 1, 32),
        "same 32 to 16" => (16, 32, 3, 1, 16),
        "same 32" => (16, 32, 3, 1, 32),
        "same 32 to 64 by 2" => (16, 32, 3, 2, 64),
        "same 64" => (8, 64, 3, 1, 64),
        _ => unreachable!("{name}"),
    };
    let mut window = window(side, channels, kernel, stride);
    if name.starts_with("same") {
        window.output = [side / stride; 2];
        // With a stride of 2 only what lies behind the image is padded.
        window.pad = [usize::from(stride == 1); 2];
    }
    Conv { window, out_channels, groups: 1 }
}

const CONVOLUTIONS: [&str; 13] = [
    "first 3x3",
    "second 3x3",
    "first stride 2",
    "second stride 2",
    "second 5x5",
    "same 3 to 16",
    "same 16",
    "same 16 to 32",
    "same 32 to 16",
    "same 16 to 32 by 2",
    "same 32",
    "same 32 to 64 by 2",
    "same 64",
];

/// Operands of a convolution over some examples: `x`, `w`, and one of the result's size.
struct Operands {
    conv: Conv,
    x: Numbers,
    w: Numbers,
    y: Numbers,
    scratch: Scratch,
}

impl Operands {
    fn new(name: &str) -> Operands {
        let conv = convolution(name);
        Operands {
            conv,
            x: numbers(EXAMPLES * conv.window.input_elements()),
            w: numbers(conv.weight_elements()),
            y: numbers(EXAMPLES * conv.output_elements()),
            scratch: Scratch::new(),
        }
    }

    fn strides(&self) -> [usize; 2] {
        [self.conv.window.input_elements(), self.conv.output_elements()]
    }

    fn operations(&self) -> ItemsCount {
        ItemsCount::new(2 * EXAMPLES * self.conv.window.windows() * self.conv.weight_elements())
    }
}

#[divan::bench(args = CONVOLUTIONS)]
fn convolution_forward(bencher: Bencher, name: &str) {
    let mut o = Operands::new(name);
    let [sx, sy] = o.strides();
    bencher.counter(o.operations()).bench_local(|| {
        let (x, y) = (batch(&o.x[..], sx), batch(&mut o.y[..], sy));
        conv_forward(Isa::current(), &o.conv, EXAMPLES, x, &o.w, y, &mut o.scratch);
    });
}

#[divan::bench(args = CONVOLUTIONS)]
fn convolution_input_gradient(bencher: Bencher, name: &str) {
    let mut o = Operands::new(name);
    let [sx, sy] = o.strides();
    bencher.counter(o.operations()).bench_local(|| {
        let (g, dx) = (batch(&o.y[..], sy), batch(&mut o.x[..], sx));
        conv_input_gradient(Isa::current(), &o.conv, EXAMPLES, g, &o.w, dx, &mut o.scratch);
    });
}

#[divan::bench(args = CONVOLUTIONS)]
fn convolution_weight_gradient(bencher: Bencher, name: &str) {
    let mut o = Operands::new(name);
    let [sx, sy] = o.strides();
    bencher.counter(o.operations()).bench_local(|| {
        let (x, g) = (batch(&o.x[..], sx), batch(&o.y[..], sy));
        conv_weight_gradient(Isa::current(), &o.conv, EXAMPLES, x, g, &mut o.w, false, &mut o.scratch);
    });
}

/// In Winograd's form, with the transformation of the weights, which a step makes once.
#[divan::bench(args = ["second 3x3", "second 5x5", "same 16", "same 16 to 32", "same 32 to 16", "same 32", "same 64"])]
fn convolution_winograd(bencher: Bencher, name: &str) {
    let mut o = Operands::new(name);
    let [sx, sy] = o.strides();
    let tiles: usize = o.conv.window.output.iter().map(|n| n.div_ceil(2)).product();
    let operations = 2 * EXAMPLES * tiles * winograd::weights_elements(&o.conv);
    bencher.counter(ItemsCount::new(operations)).bench_local(|| {
        let (x, y) = (batch(&o.x[..], sx), batch(&mut o.y[..], sy));
        conv_forward_in_winograd(
            Isa::current(),
            &o.conv,
            false,
            EXAMPLES,
            x,
            &o.w,
            y,
            None,
            false,
            &mut o.scratch,
        );
    });
}

/// As [`convolution_winograd`], for the gradient of the weights.
#[divan::bench(args = ["second 3x3", "second 5x5", "same 16", "same 16 to 32", "same 32 to 16", "same 32", "same 64"])]
fn convolution_winograd_weight_gradient(bencher: Bencher, name: &str) {
    let mut o = Operands::new(name);
    let [sx, sy] = o.strides();
    bencher.counter(o.operations()).bench_local(|| {
        let (x, g) = (batch(&o.x[..], sx), batch(&o.y[..], sy));
        let (conv, w) = (&o.conv, &mut o.w);
        conv_weight_gradient_in_winograd(Isa::current(), conv, EXAMPLES, x, g, w, false, &mut o.scratch);
    });
}

/// The joined form of a convolution with bias, ReLU and 2x2 maximum.
fn joined_form(name: &str) -> (ConvPool, Operands, Numbers, Vec<u8>) {
    let mut o = Operands::new(name);
    let shape = ConvPool::new(o.conv, [2, 2], true);
    let (mut y, mut which) =
        (numbers(EXAMPLES * shape.pooled_elements()), vec![0; EXAMPLES * shape.pooled_elements()]);
    let (sx, sy) = (o.conv.window.input_elements(), shape.pooled_elements());
    let (x, to, taps) = (batch(&o.x[..], sx), batch(&mut y[..], sy), batch(&mut which[..], sy));
    joined::forward(Isa::current(), &shape, EXAMPLES, x, &o.w, None, to, taps, &mut o.scratch);
    (shape, o, y, which)
}

/// What the joined form does: of the convolution, what a window of the maximum reads.
fn joined_operations(shape: &ConvPool) -> usize {
    2 * EXAMPLES * shape.windows() * shape.taps() * shape.conv.weight_elements()
}

#[divan::bench(args = ["first 3x3", "second 3x3", "second 5x5", "pooled 16 to 32", "pooled 32"])]
fn joined_forward(bencher: Bencher, name: &str) {
    let (shape, mut o, mut y, mut which) = joined_form(name);
    let (sx, sy) = (shape.conv.window.input_elements(), shape.pooled_elements());
    bencher.counter(ItemsCount::new(joined_operations(&shape))).bench_local(|| {
        let (x, to, taps) = (batch(&o.x[..], sx), batch(&mut y[..], sy), batch(&mut which[..], sy));
        joined::forward(Isa::current(), &shape, EXAMPLES, x, &o.w, None, to, taps, &mut o.scratch);
    });
}

/// With the transformation of the weights, which a step makes once.
#[divan::bench(args = ["second 3x3", "second 5x5", "pooled 16 to 32", "pooled 32"])]
fn winograd_forward(bencher: Bencher, name: &str) {
    let (shape, mut o, mut y, mut which) = joined_form(name);
    let (sx, sy) = (shape.conv.window.input_elements(), shape.pooled_elements());
    let taps = shape.conv.window.kernel[0] * shape.conv.window.kernel[1];
    let operations = joined_operations(&shape) * winograd::places(&shape.conv) / (4 * taps);
    bencher.counter(ItemsCount::new(operations)).bench_local(|| {
        let (x, to, taps) = (batch(&o.x[..], sx), batch(&mut y[..], sy), batch(&mut which[..], sy));
        joined::winograd_forward(Isa::current(), &shape, EXAMPLES, x, &o.w, None, to, taps, &mut o.scratch);
    });
}

#[divan::bench(args = ["first 3x3", "second 3x3", "second 5x5"])]
fn joined_weight_gradient(bencher: Bencher, name: &str) {
    let (shape, mut o, g, which) = joined_form(name);
    let (sx, sy) = (shape.conv.window.input_elements(), shape.pooled_elements());
    bencher.counter(ItemsCount::new(joined_operations(&shape) / shape.taps())).bench_local(|| {
        let (x, g, taps) = (batch(&o.x[..], sx), batch(&g[..], sy), batch(&which[..], sy));
        let (isa, scratch) = (Isa::current(), &mut o.scratch);
        joined::weight_gradient(isa, &shape, EXAMPLES, x, g, taps, &mut o.w, None, false, scratch);
    });
}

/// With the turning of the weights, which a step makes once.
#[divan::bench(args = ["second 3x3", "second 5x5"])]
fn joined_input_gradient(bencher: Bencher, name: &str) {
    let (shape, mut o, g, which) = joined_form(name);
    let (sx, sy) = (shape.conv.window.input_elements(), shape.pooled_elements());
    bencher.counter(ItemsCount::new(joined_operations(&shape) / shape.taps())).bench_local(|| {
        let (g, taps, dx) = (batch(&g[..], sy), batch(&which[..], sy), batch(&mut o.x[..], sx));
        joined::input_gradient(Isa::current(), &shape, EXAMPLES, g, taps, &o.w, dx, &mut o.scratch);
    });
}

/// Pools are bound by memory: bytes read and written.
#[divan::bench(args = ["maximum", "sum"])]
fn pool(bencher: Bencher, name: &str) {
    let w = Window { stride: [2; 2], output: [13; 2], ..window(26, 32, 2, 1) };
    let (sx, sy) = (w.input_elements(), w.windows() * w.channels);
    let (x, mut y) = (numbers(EXAMPLES * sx), numbers(EXAMPLES * sy));
    bencher.counter(BytesCount::new(4 * EXAMPLES * (sx + sy))).bench_local(|| {
        let (x, y) = (batch(&x[..], sx), batch(&mut y[..], sy));
        checked::pool(Isa::current(), &w, name == "sum", EXAMPLES, x, y);
    });
}

/// The elementary functions, as the compiler's own Rust code runs them; items are numbers.
#[divan::bench(args = ["exp", "log", "tanh", "sigmoid", "erf", "rsqrt"])]
fn function(bencher: Bencher, name: &str) {
    let f = match name {
        "exp" => vecmath::exp,
        "log" => vecmath::log,
        "tanh" => vecmath::tanh,
        "sigmoid" => vecmath::sigmoid,
        "erf" => vecmath::erf,
        "rsqrt" => vecmath::rsqrt,
        _ => unreachable!("{name}"),
    };
    let x: Vec<f32> = numbers(4096).iter().map(|x| x + 1.5).collect();
    bencher.counter(ItemsCount::new(x.len())).bench_local(|| x.iter().map(|x| f(*x)).sum::<f32>());
}
