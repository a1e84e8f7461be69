//! Convolution over a run of examples, without im2col: each output pixel is a row of a matrix product
//! whose taps are the rows of the kernel, summed in registers.
//!
//! Images are `[h, w, channels]`, weights `[kh, kw, channels / groups, out_channels]`, row-major.

use super::background::{Background, repeat};
pub use super::conv_gradient::{input_gradient, lumped_input_gradient, weight_gradient};
use super::depthwise;
use super::gemm::{Matrix, finish};
use super::isa::Isa;
use super::products::Product;
use super::scratch::Scratch;
pub use super::tile::Epilogue;
use super::tile::Tiles;
use super::windows::reduce;

/// Windows over one example in `[h, w, c]` order. Extents are `[h, w]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Window {
    /// Extents of the input.
    pub input: [usize; 2],
    /// Number of channels of the input.
    pub channels: usize,
    /// Extents of the result.
    pub output: [usize; 2],
    /// Extents of the window.
    pub kernel: [usize; 2],
    /// Distance between windows.
    pub stride: [usize; 2],
    /// Distance between the taps of a window.
    pub dilation: [usize; 2],
    /// Rows and columns of padding before the input.
    pub pad: [usize; 2],
}

impl Window {
    /// Elements of one input.
    pub fn input_elements(&self) -> usize {
        self.input[0] * self.input[1] * self.channels
    }

    /// Number of windows.
    pub fn windows(&self) -> usize {
        self.output[0] * self.output[1]
    }

    /// Extents of the region that the windows cover, padding included.
    pub(super) fn covered(&self) -> [usize; 2] {
        [0, 1].map(|d| (self.output[d] - 1) * self.stride[d] + (self.kernel[d] - 1) * self.dilation[d] + 1)
    }

    /// Whether no window reaches outside of the input.
    pub(super) fn inside(&self) -> bool {
        let covered = self.covered();
        self.pad == [0, 0] && covered[0] <= self.input[0] && covered[1] <= self.input[1]
    }

    /// The windows `start..end` along dimension `d` whose tap `tap` lies in the input.
    pub(super) fn valid(&self, d: usize, tap: usize) -> (usize, usize) {
        let shift = tap * self.dilation[d];
        let start = self.pad[d].saturating_sub(shift).div_ceil(self.stride[d]);
        let beyond = (self.input[d] + self.pad[d]).saturating_sub(shift).div_ceil(self.stride[d]);
        let end = beyond.min(self.output[d]);
        (start.min(end), end)
    }
}

/// A 2-D convolution over one example in `[h, w, c]` order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Conv {
    /// The windows; `channels` is the number of input channels.
    pub window: Window,
    /// Number of output channels.
    pub out_channels: usize,
    /// Channels are convolved in this many separate groups.
    pub groups: usize,
}

impl Conv {
    /// Input channels of a group.
    pub fn group_in(&self) -> usize {
        self.window.channels / self.groups
    }

    /// Output channels of a group.
    pub fn group_out(&self) -> usize {
        self.out_channels / self.groups
    }

    /// Elements of the weights.
    pub fn weight_elements(&self) -> usize {
        self.window.kernel[0] * self.window.kernel[1] * self.group_in() * self.out_channels
    }

    /// Elements of one result.
    pub fn output_elements(&self) -> usize {
        self.window.windows() * self.out_channels
    }

    /// Whether each channel is convolved alone.
    pub(super) fn depthwise(&self) -> bool {
        self.groups > 1 && self.group_in() == 1 && self.group_out() == 1
    }
}

/// A run of examples in memory: where the first starts, and the distance from one to the next.
#[derive(Clone, Copy, Debug)]
pub struct Batch<P> {
    /// The first element of the first example.
    pub start: P,
    /// Elements from one example to the next.
    pub stride: usize,
}

impl Batch<*mut f32> {
    /// The same memory in bytes.
    pub fn bytes(self) -> Batch<*mut u8> {
        Batch { start: self.start.cast(), stride: 4 * self.stride }
    }
}

impl Batch<*const f32> {
    /// The same memory in bytes.
    pub fn bytes(self) -> Batch<*const u8> {
        Batch { start: self.start.cast(), stride: 4 * self.stride }
    }
}

/// The image in which windows are looked up: the input itself, or a padded copy.
pub(super) struct Padding {
    /// Extents of the image that is read.
    pub extents: [usize; 2],
    /// Whether that is a copy.
    pub copies: bool,
}

impl Padding {
    pub(super) fn of(window: &Window) -> Padding {
        if window.inside() {
            Padding { extents: window.input, copies: false }
        } else {
            Padding { extents: window.covered(), copies: true }
        }
    }

    /// Elements of a padded image.
    pub(super) fn elements(&self, channels: usize) -> usize {
        self.extents[0] * self.extents[1] * channels
    }

    /// The first `count` inputs as the kernels read them: copied one after the other to `to`, with zeros around
    /// each, or where they are without a place for copies.
    ///
    /// # Safety
    /// The inputs are readable; `to` holds [`Padding::elements`] numbers for each.
    pub(super) unsafe fn group(
        &self,
        window: &Window,
        x: Batch<*const f32>,
        count: usize,
        to: Option<*mut f32>,
    ) -> Batch<*const f32> {
        let Some(to) = to else { return x };
        let stride = self.elements(window.channels);
        for i in 0..count {
            // SAFETY: the caller's contract, for each of them.
            unsafe { self.copy(window, x.start.add(i * x.stride), to.add(i * stride)) };
        }
        Batch { start: to, stride }
    }

    /// Copies an input to the middle of a padded image, with zeros around it.
    ///
    /// # Safety
    /// The input is readable; `to` holds [`Padding::elements`] numbers.
    pub(super) unsafe fn copy(&self, window: &Window, x: *const f32, to: *mut f32) {
        let c = window.channels;
        let [top, left] = [0, 1].map(|d| window.pad[d].min(self.extents[d]));
        let [rows, columns] =
            [(0, top), (1, left)].map(|(d, pad)| window.input[d].min(self.extents[d] - pad));
        let (width, before, inside) = (self.extents[1] * c, left * c, columns * c);
        // SAFETY: `rows` and `columns` are inside of both images, and lines follow each other.
        unsafe {
            to.write_bytes(0, top * width);
            for row in 0..rows {
                let line = to.add((top + row) * width);
                line.write_bytes(0, before);
                std::ptr::copy_nonoverlapping(x.add(row * window.input[1] * c), line.add(before), inside);
                line.add(before + inside).write_bytes(0, width - before - inside);
            }
            to.add((top + rows) * width).write_bytes(0, (self.extents[0] - top - rows) * width);
        }
    }
}

/// `y = conv(x, w)` for each example, with something done to each element at the end; a bias has a number per output
/// channel.
///
/// # Safety
/// `x` and `y` hold `examples` examples at their strides, `w` the weights; `y` overlaps neither, nor the bias, and its
/// examples do not overlap each other.
pub unsafe fn forward(
    conv: &Conv,
    examples: usize,
    x: Batch<*const f32>,
    w: *const f32,
    y: Batch<*mut f32>,
    epilogue: Epilogue,
    scratch: &mut Scratch,
) {
    // SAFETY: the same contract.
    unsafe { forward_on(Isa::current(), conv, examples, x, w, y, epilogue, scratch) }
}

/// # Safety
/// As for [`forward`].
#[allow(clippy::too_many_arguments)]
pub(super) unsafe fn forward_on(
    isa: Isa,
    conv: &Conv,
    examples: usize,
    x: Batch<*const f32>,
    w: *const f32,
    y: Batch<*mut f32>,
    epilogue: Epilogue,
    scratch: &mut Scratch,
) {
    // SAFETY: rows and taps stay inside of the image that `Padding` describes.
    unsafe {
        if conv.depthwise() {
            depthwise::forward(isa, &conv.window, examples, x, w, y);
            for example in 0..examples {
                let c = Matrix::new(y.start.add(example * y.stride), conv.out_channels, 1);
                finish([conv.window.windows(), conv.out_channels], c, epilogue);
            }
            return;
        }
        let window = &conv.window;
        let padding = Padding::of(window);
        let padded =
            padding.copies.then(|| scratch.image.take(padding.elements(window.channels)).as_mut_ptr());
        let (mut background, mut over_it) = (None, None::<*const f32>);
        window_rows(conv, &padding, &mut scratch.rows);
        for example in 0..examples {
            let mut image = x.start.add(example * x.stride);
            if let Some(to) = padded {
                padding.copy(window, image, to);
                image = to;
            }
            let result = y.start.add(example * y.stride);
            if example == 0 {
                background = Background::of(isa, conv, &padding, 1, image, scratch);
            } else if let Some(background) = background {
                background.split(isa, image, scratch);
            }
            if background.is_some() {
                let Scratch { rows, some_rows, live, blank, .. } = &mut *scratch;
                // The first window over the background is computed as well.
                let first = blank.first().filter(|_| over_it.is_none());
                some_rows.clear();
                some_rows.extend(live.iter().chain(first).map(|window| rows[*window]));
                over_it = over_it.or(first.map(|first| result.add(first * conv.out_channels).cast_const()));
            }
            let rows = if background.is_some() { &scratch.some_rows } else { &scratch.rows };
            for group in 0..conv.groups {
                let k = weight_taps(conv, &padding, group, &mut scratch.taps);
                let p = Product {
                    m: window.windows(),
                    n: conv.group_out(),
                    k,
                    a: image,
                    a_step: 1,
                    b: w.add(group * conv.group_out()),
                    b_step: conv.out_channels as isize,
                    c: result.add(group * conv.group_out()),
                    taps: &scratch.taps,
                    accumulate: false,
                    epilogue: epilogue.from(group * conv.group_out()),
                };
                reduce(Tiles::of(isa), &p, rows);
            }
            if let Some(from) = over_it {
                let left_out = window.windows() - rows.len();
                repeat(&scratch.blank, conv.out_channels, from, result);
                scratch.left_out += (left_out * conv.weight_elements()) as u64;
            }
        }
    }
}

/// For each window its offsets in the (padded) input and in the result.
pub(super) fn window_rows(conv: &Conv, padding: &Padding, rows: &mut Vec<(isize, isize)>) {
    let Window { output, stride, channels, .. } = conv.window;
    rows.clear();
    for oy in 0..output[0] {
        for ox in 0..output[1] {
            let a = (oy * stride[0] * padding.extents[1] + ox * stride[1]) * channels;
            let c = (oy * output[1] + ox) * conv.out_channels;
            rows.push((a as isize, c as isize));
        }
    }
}

/// The offsets of the taps in the window and in the weights; gives the length of each.
fn weight_taps(conv: &Conv, padding: &Padding, group: usize, taps: &mut Vec<(isize, isize)>) -> usize {
    let Window { kernel, dilation, channels, .. } = conv.window;
    taps.clear();
    let width = padding.extents[1];
    if conv.groups == 1 && dilation[1] == 1 {
        for ky in 0..kernel[0] {
            let a = ky * dilation[0] * width * channels;
            taps.push((a as isize, (ky * kernel[1] * channels * conv.out_channels) as isize));
        }
        return kernel[1] * channels;
    }
    for ky in 0..kernel[0] {
        for kx in 0..kernel[1] {
            let a = (ky * dilation[0] * width + kx * dilation[1]) * channels + group * conv.group_in();
            let b = (ky * kernel[1] + kx) * conv.group_in() * conv.out_channels;
            taps.push((a as isize, b as isize));
        }
    }
    conv.group_in()
}
