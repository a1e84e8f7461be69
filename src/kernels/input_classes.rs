//! The gradient of the input of a convolution by sets of pixels that the same taps read: their rows and columns leave
//! the same rest when divided by the stride, and near the edges some taps do not reach them. For each set the gradient
//! is a product of the windows' gradients with some of the weights.

use std::ops::Range;

use super::conv::{Batch, Conv, Window};
use super::conv_gradient::group_of;
use super::isa::Isa;
use super::lumps::Over;
use super::products::Product;
use super::scratch::Scratch;
use super::tile::{Epilogue, Tiles};
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

    /// Its pixels for which there is a window that stands so many behind them.
    fn reached(self, shift: isize) -> Range<usize> {
        let end = (self.window.output[self.d] as isize - shift).max(0) as usize;
        (-shift).max(0) as usize..end.min(self.pixels())
    }

    /// The first pixel after `start` that not the same taps read.
    fn same_taps(self, start: usize) -> usize {
        let edges = self.taps().flat_map(|(_, shift)| {
            let Range { start, end } = self.reached(shift);
            [start, end]
        });
        edges.filter(|edge| *edge > start).min().unwrap_or(self.pixels()).min(self.pixels())
    }
}

/// Neighbours in a class that the same taps read.
#[derive(Clone, Copy)]
struct Span<'a> {
    class: Class<'a>,
    /// The numbers of its pixels within the class.
    start: usize,
    end: usize,
}

impl<'a> Span<'a> {
    /// The spans of dimension `d`.
    fn all(window: &'a Window, d: usize) -> impl Iterator<Item = Span<'a>> {
        Class::all(window, d).flat_map(|class| {
            let mut start = 0;
            std::iter::from_fn(move || {
                let end = class.same_taps(start);
                let span = Span { class, start, end };
                start = end;
                (span.start < span.end).then_some(span)
            })
        })
    }

    /// Each tap that reads its pixels, and how far the windows' numbers are above the pixels'.
    fn taps(self) -> impl Iterator<Item = (usize, isize)> {
        self.class.taps().filter(move |(_, shift)| self.class.reached(*shift).contains(&self.start))
    }
}

/// The gradient, with weights as `[kh, kw, out_channels / groups, channels]`; with lumps, where they apply.
///
/// # Safety
/// `g` and `dx` hold `examples` examples at their strides, `turned` the weights; `dx` overlaps neither, and its
/// examples do not overlap each other.
#[allow(clippy::too_many_arguments)]
pub(super) unsafe fn gradient(
    isa: Isa,
    conv: &Conv,
    examples: usize,
    g: Batch<*const f32>,
    turned: *const f32,
    dx: Batch<*mut f32>,
    over: Option<Over>,
    scratch: &mut Scratch,
) {
    let w = &conv.window;
    let size = group_of(examples, conv.output_elements() + w.input_elements());
    let mut lumps = std::mem::take(&mut scratch.lumps);
    // SAFETY: windows and pixels are those of the operands.
    unsafe {
        if over.is_some() {
            lumps.start(conv, size, turned);
        }
        for first in (0..examples).step_by(size) {
            let count = size.min(examples - first);
            if let Some(over) = over {
                (0..count).for_each(|at| lumps.look(isa, over, first + at, at, scratch));
            }
            let left_out = |at: usize| over.and_then(|_| lumps.left_out(at));
            for (down, across) in
                Span::all(w, 0).flat_map(|down| Span::all(w, 1).map(move |across| (down, across)))
            {
                taps(conv, [down, across], &mut scratch.taps);
                let strides = [count, g.stride, dx.stride];
                let fewer = pixels(conv, [down, across], strides, left_out, &mut scratch.rows);
                scratch.left_out += (fewer * scratch.taps.len() * conv.group_out() * w.channels) as u64;
                for group in 0..conv.groups {
                    let p = Product {
                        m: scratch.rows.len(),
                        n: conv.group_in(),
                        k: conv.group_out(),
                        a: g.start.add(first * g.stride).wrapping_add(group * conv.group_out()),
                        a_step: 1,
                        b: turned.add(group * conv.group_in()),
                        b_step: w.channels as isize,
                        c: dx.start.add(first * dx.stride + group * conv.group_in()),
                        taps: &scratch.taps,
                        accumulate: false,
                        epilogue: Epilogue::default(),
                    };
                    if scratch.taps.is_empty() {
                        for (_, pixel) in &scratch.rows {
                            p.c.offset(*pixel).write_bytes(0, p.n);
                        }
                    }
                    reduce(Tiles::of(isa), &p, &scratch.rows);
                }
            }
            for at in (0..count).filter(|_| over.is_some()) {
                let (g, dx) = (g.start.add((first + at) * g.stride), dx.start.add((first + at) * dx.stride));
                lumps.finish(isa, at, g, dx);
            }
        }
    }
    scratch.lumps = lumps;
}

/// For each pixel of some examples that is not left out the offset of the window with its number, and that of the pixel;
/// gives how many are left out.
fn pixels<'a>(
    conv: &Conv,
    [down, across]: [Span; 2],
    [examples, g_stride, dx_stride]: [usize; 3],
    left_out: impl Fn(usize) -> Option<&'a [bool]>,
    rows: &mut Vec<(isize, isize)>,
) -> usize {
    let w = &conv.window;
    let mut fewer = 0;
    rows.clear();
    // However many are left out this time.
    rows.reserve(examples * (down.end - down.start) * (across.end - across.start));
    for example in 0..examples {
        let left_out = left_out(example);
        for y in down.start..down.end {
            for x in across.start..across.end {
                let window = (y * w.output[1] + x) * conv.out_channels;
                let [row, column] =
                    [(down, y), (across, x)].map(|(s, i)| s.class.first + i * w.stride[s.class.d]);
                let pixel = row * w.input[1] + column;
                if left_out.is_some_and(|left_out| left_out[pixel]) {
                    fewer += 1;
                    continue;
                }
                let pixel = pixel * w.channels;
                rows.push(((example * g_stride + window) as isize, (example * dx_stride + pixel) as isize));
            }
        }
    }
    fewer
}

/// The offsets of the windows of the taps from there, and of their weights.
fn taps(conv: &Conv, [down, across]: [Span; 2], taps: &mut Vec<(isize, isize)>) {
    let w = &conv.window;
    taps.clear();
    for (ky, y) in down.taps() {
        for (kx, x) in across.taps() {
            let a = (y * w.output[1] as isize + x) * conv.out_channels as isize;
            let b = (ky * w.kernel[1] + kx) * conv.group_out() * w.channels;
            taps.push((a, b as isize));
        }
    }
}
