//! The gradient of the input of a convolution with a stride: pixels whose rows and columns leave the same rest
//! when divided by the stride are read by the same taps. For each such class the gradient is a convolution of the
//! result's gradient, with some of the weights and a stride of 1.

use super::conv::{Batch, Conv, Padding, Window};
use super::conv_gradient::group_of;
use super::gemm::{Epilogue, Product};
use super::isa::Isa;
use super::scratch::Scratch;
use super::tile::Tiles;
use super::windows::reduce;

/// The pixels `first`, `first + stride`, .. of one dimension.
#[derive(Clone, Copy)]
struct Class<'a> {
    window: &'a Window,
    d: usize,
    first: usize,
}

impl<'a> Class<'a> {
    /// The classes of dimension `d`.
    fn all(window: &'a Window, d: usize) -> impl Iterator<Item = Class<'a>> {
        (0..window.stride[d].min(window.input[d])).map(move |first| Class { window, d, first })
    }

    fn pixels(self) -> usize {
        (self.window.input[self.d] - self.first).div_ceil(self.window.stride[self.d])
    }

    /// Each tap that reads them, and how many windows behind the window `j` (below 0: before it) that one stands of
    /// which the tap reads pixel `j` of the class.
    fn taps(self) -> impl Iterator<Item = (usize, isize)> {
        let Class { window, d, first } = self;
        let shift = move |tap: usize| (first + window.pad[d]) as isize - (tap * window.dilation[d]) as isize;
        let stride = window.stride[d] as isize;
        let reads = move |tap: &usize| shift(*tap).rem_euclid(stride) == 0;
        (0..window.kernel[d]).filter(reads).map(move |tap| (tap, shift(tap).div_euclid(stride)))
    }
}

/// How many windows before the first and behind the last all classes of dimension `d` ask for.
fn beyond(window: &Window, d: usize) -> (usize, usize) {
    let (mut before, mut after) = (0, 0);
    for class in Class::all(window, d) {
        for (_, shift) in class.taps() {
            before = before.max(-shift);
            after = after.max(class.pixels() as isize + shift - window.output[d] as isize);
        }
    }
    (before as usize, after as usize)
}

/// Whether this needs no more products than there are, or hardly more: windows that are not there count as zeros.
pub(super) fn pays(conv: &Conv) -> bool {
    let w = &conv.window;
    let strided = w.stride[0] > 1 || w.stride[1] > 1;
    let products = |d: usize| Class::all(w, d).map(|c| c.pixels() * c.taps().count()).sum::<usize>();
    // The other way reads and writes each pixel once more for each tap.
    let (cout, moved) = (conv.group_out(), 4);
    strided && products(0) * products(1) * cout <= w.windows() * w.kernel[0] * w.kernel[1] * (cout + moved)
}

/// The gradient, with weights as `[kh, kw, out_channels / groups, channels]`.
///
/// # Safety
/// `g` and `dx` hold `examples` examples at their strides, `turned` the weights; `dx` overlaps neither, and its
/// examples do not overlap each other.
pub(super) unsafe fn gradient(
    isa: Isa,
    conv: &Conv,
    examples: usize,
    g: Batch<*const f32>,
    turned: *const f32,
    dx: Batch<*mut f32>,
    scratch: &mut Scratch,
) {
    let w = &conv.window;
    let ((top, bottom), (left, right)) = (beyond(w, 0), beyond(w, 1));
    let padding = Padding {
        extents: [top + w.output[0] + bottom, left + w.output[1] + right],
        copies: top + bottom + left + right > 0,
    };
    let of_g = Window { input: w.output, channels: conv.out_channels, pad: [top, left], ..*w };
    let floats = padding.elements(conv.out_channels);
    let size = group_of(examples, floats + w.input_elements());
    let padded = padding.copies.then(|| scratch.image.take(size * floats).as_mut_ptr());
    let untouched = (0..2).any(|d| Class::all(w, d).any(|class| class.taps().next().is_none()));
    // SAFETY: windows that the taps ask for stand in the padded image, pixels in the input.
    unsafe {
        for first in (0..examples).step_by(size) {
            let count = size.min(examples - first);
            let images = Batch { start: g.start.add(first * g.stride), stride: g.stride };
            let images = padding.group(&of_g, images, count, padded);
            if untouched {
                for example in first..first + count {
                    dx.start.add(example * dx.stride).write_bytes(0, w.input_elements());
                }
            }
            for (down, across) in
                Class::all(w, 0).flat_map(|down| Class::all(w, 1).map(move |across| (down, across)))
            {
                pixel_rows(conv, &padding, [top, left], [down, across], &mut scratch.rows);
                for group in 0..conv.groups {
                    taps(conv, &padding, group, [down, across], &mut scratch.taps);
                    for i in 0..count {
                        let p = Product {
                            m: scratch.rows.len(),
                            n: conv.group_in(),
                            k: conv.group_out(),
                            a: images.start.add(i * images.stride),
                            a_step: 1,
                            b: turned.add(group * conv.group_in()),
                            b_step: w.channels as isize,
                            c: dx.start.add((first + i) * dx.stride + group * conv.group_in()),
                            taps: &scratch.taps,
                            accumulate: false,
                            epilogue: Epilogue::default(),
                        };
                        reduce(Tiles::of(isa), &p, &scratch.rows);
                    }
                }
            }
        }
    }
}

/// For each pixel of a class the offset of the window with its number, and that of the pixel.
fn pixel_rows(
    conv: &Conv,
    padding: &Padding,
    [top, left]: [usize; 2],
    [down, across]: [Class; 2],
    rows: &mut Vec<(isize, isize)>,
) {
    let w = &conv.window;
    rows.clear();
    for y in 0..down.pixels() {
        for x in 0..across.pixels() {
            let a = ((y + top) * padding.extents[1] + x + left) * conv.out_channels;
            let pixel = (down.first + y * w.stride[0]) * w.input[1] + across.first + x * w.stride[1];
            rows.push((a as isize, (pixel * w.channels) as isize));
        }
    }
}

/// The offsets of the windows of a class's taps from there, and of their weights.
fn taps(
    conv: &Conv,
    padding: &Padding,
    group: usize,
    [down, across]: [Class; 2],
    taps: &mut Vec<(isize, isize)>,
) {
    let w = &conv.window;
    taps.clear();
    for (ky, y) in down.taps() {
        for (kx, x) in across.taps() {
            let a = (y * padding.extents[1] as isize + x) * conv.out_channels as isize;
            let b = (ky * w.kernel[1] + kx) * conv.group_out() * w.channels;
            taps.push((a + (group * conv.group_out()) as isize, b as isize));
        }
    }
}
