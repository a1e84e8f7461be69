//! The weights' gradient of a convolution with few input channels, before ReLU and max-pooling: all
//! pixels under a pooling window fit in one or two registers, from which each channel looks up those of
//! its maximum. So vectors are over output channels, and no list of maxima is needed.

use super::conv::Padding;
use super::conv_pool::{ConvPool, NONE};
use super::isa::Isa;
use super::scratch::Buffer;
use super::simd::{Lookup, Portable, load_some, store_some};
#[cfg(target_arch = "x86_64")]
use super::simd::{Wide256, Wide512};

/// The most numbers of a patch.
const PATCH: usize = 32;

/// The most weights that are summed at a time.
const MOST: usize = 12;

/// The same with 16 registers.
const MOST_NARROW: usize = 5;

/// How a convolution's windows are cut into patches.
pub(super) struct Patches {
    shape: ConvPool,
    /// Floats of a row of the padded image.
    image_row: usize,
    /// Floats of a row of the patch.
    row: usize,
}

impl Patches {
    /// If pixels are few enough.
    pub(super) fn of(shape: &ConvPool, padding: &Padding) -> Option<Patches> {
        let window = &shape.conv.window;
        let (row, image_row) = (shape.reach(1) * window.channels, padding.extents[1] * window.channels);
        let patches = Patches { shape: *shape, image_row, row };
        (patches.rows(1) * row <= PATCH).then_some(patches)
    }

    /// Rows of the patch that so many rows of the kernel read.
    fn rows(&self, kernel_rows: usize) -> usize {
        let window = &self.shape.conv.window;
        (self.shape.pool[0] - 1) * window.stride[0] + (kernel_rows - 1) * window.dilation[0] + 1
    }

    /// Adds one example's gradient to `sums`, which is in the order of the weights, and to `bias`. Of the windows,
    /// which are given by their numbers, those that are blank add to the bias alone.
    ///
    /// # Safety
    /// `image` is the padded image, `offsets` are the windows' in it; `g` and `which` hold the example, `sums` the
    /// weights, `bias` the output channels.
    #[allow(clippy::too_many_arguments)]
    pub(super) unsafe fn weight_gradient(
        &self,
        isa: Isa,
        image: *const f32,
        offsets: &[usize],
        [live, blank]: [&[usize]; 2],
        channels: usize,
        g: *const f32,
        which: *const u8,
        sums: *mut f32,
        bias: *mut f32,
        buffer: &mut Buffer,
    ) {
        let window = &self.shape.conv.window;
        let most = (1..=window.kernel[0]).filter(|n| self.rows(*n) * self.row <= PATCH).max().unwrap_or(1);
        let width = window.kernel[1] * window.channels;
        for first in (0..window.kernel[0]).step_by(most) {
            let n = most.min(window.kernel[0] - first);
            let size = if self.rows(n) * self.row <= PATCH / 2 { PATCH / 2 } else { PATCH };
            let patches = buffer.take(live.len() * size).as_mut_ptr();
            let start = first * window.dilation[0] * self.image_row;
            // SAFETY: the rows lie in the image, and a patch in its place; weights follow each other.
            unsafe {
                for (i, window) in live.iter().enumerate() {
                    self.cut(image.add(offsets[*window] + start), self.rows(n), patches.add(i * size));
                }
                let weights = n * width;
                let most = if isa == Isa::Avx512 { MOST } else { MOST_NARROW };
                let passes = weights.div_ceil(most);
                let each = weights.div_ceil(passes);
                for weight in (0..weights).step_by(each) {
                    let count = each.min(weights - weight);
                    let pass = Pass {
                        patches,
                        live,
                        blank,
                        tap_places: self.tap_places(),
                        weight_places: std::array::from_fn(|i| self.weight_place(weight + i.min(count - 1))),
                        which,
                        g,
                        channels,
                        sums: sums.add((first * width + weight) * channels),
                        bias: if first + weight == 0 { bias } else { std::ptr::null_mut() },
                    };
                    run(isa, count, size == PATCH, &pass);
                }
            }
        }
    }

    /// Copies a patch.
    #[inline(always)]
    unsafe fn cut(&self, from: *const f32, rows: usize, to: *mut f32) {
        for row in 0..rows {
            // SAFETY: the row lies in the image and in the patch.
            unsafe {
                let (from, to) = (from.add(row * self.image_row), to.add(row * self.row));
                if self.row == 4 {
                    to.cast::<[f32; 4]>().write(from.cast::<[f32; 4]>().read());
                } else {
                    std::ptr::copy_nonoverlapping(from, to, self.row);
                }
            }
        }
    }

    /// Where in the patch the first pixel of each pooling tap stands.
    fn tap_places(&self) -> [f32; 16] {
        let window = &self.shape.conv.window;
        let mut places = [0.0; 16];
        for (tap, place) in places.iter_mut().enumerate().take(self.shape.taps()) {
            let (y, x) = (tap / self.shape.pool[1], tap % self.shape.pool[1]);
            let at = y * window.stride[0] * self.row + x * window.stride[1] * window.channels;
            *place = f32::from_bits(at as u32);
        }
        places
    }

    /// How far from there the pixel of a weight stands.
    fn weight_place(&self, weight: usize) -> u32 {
        let window = &self.shape.conv.window;
        let (tap, channel) = (weight / window.channels, weight % window.channels);
        let (y, x) = (tap / window.kernel[1], tap % window.kernel[1]);
        (y * window.dilation[0] * self.row + x * window.dilation[1] * window.channels + channel) as u32
    }
}

/// `sums[t][c] += sum over windows of g[window, c] * patch[tap_places[which[window, c]] + weight_places[t]]`
struct Pass<'a> {
    patches: *const f32,
    /// The number of each patch's window.
    live: &'a [usize],
    /// Windows without a patch, whose pixels are all 0.
    blank: &'a [usize],
    /// Bits are whole numbers.
    tap_places: [f32; 16],
    weight_places: [u32; MOST],
    which: *const u8,
    g: *const f32,
    channels: usize,
    sums: *mut f32,
    /// Where `g` itself is added, or null.
    bias: *mut f32,
}

/// # Safety
/// The processor has V's features; every address the description names is readable, in `sums` writable.
#[inline(always)]
#[allow(clippy::needless_range_loop)] // the indices name registers
unsafe fn pass<V: Lookup, const T: usize, const WIDE: bool>(p: &Pass) {
    let size = if WIDE { PATCH } else { PATCH / 2 };
    for first in (0..p.channels).step_by(V::LANES) {
        let n = V::LANES.min(p.channels - first);
        // SAFETY: the block's channels exist; patches are as long as `WIDE` says.
        unsafe {
            let load = |p: *const f32| load_some::<V>(p, n);
            let none = V::splat(f32::from_bits(u32::from(NONE)));
            let mut sums = [V::zero(); T];
            for t in 0..T {
                sums[t] = load(p.sums.add(t * p.channels + first));
            }
            let mut bias = if p.bias.is_null() { V::zero() } else { load(p.bias.add(first)) };
            for (i, window) in p.live.iter().enumerate() {
                let at = window * p.channels + first;
                let which = V::load_bytes(p.which.add(at), n);
                let flows = which.differs(none);
                // Nothing flows as 0 times 0: what else stands there may be infinite.
                let g = V::keep(flows, load(p.g.add(at)));
                bias = bias.add(g);
                let patch = p.patches.add(i * size);
                let place = V::look_up::<false>(p.tap_places.as_ptr(), which);
                for t in 0..T {
                    let place = place.add_bits(V::splat(f32::from_bits(p.weight_places[t])));
                    let x = V::keep(flows, V::look_up::<WIDE>(patch, place));
                    sums[t] = g.fma(x, sums[t]);
                }
            }
            if !p.bias.is_null() {
                for window in p.blank {
                    let at = window * p.channels + first;
                    let flows = V::load_bytes(p.which.add(at), n).differs(none);
                    bias = bias.add(V::keep(flows, load(p.g.add(at))));
                }
                store_some(bias, p.bias.add(first), n);
            }
            for t in 0..T {
                let to = p.sums.add(t * p.channels + first);
                store_some(sums[t], to, n);
            }
        }
    }
}

/// # Safety
/// As for [`pass`].
#[inline(always)]
unsafe fn any<V: Lookup>(count: usize, wide: bool, p: &Pass) {
    macro_rules! by_count {
        ($($n:literal)*) => {
            // SAFETY: the same contract.
            unsafe {
                match (count, wide) {
                    $(($n, false) => pass::<V, $n, false>(p),
                    ($n, true) => pass::<V, $n, true>(p),)*
                    _ => unreachable!("at most {MOST} weights"),
                }
            }
        };
    }
    by_count!(1 2 3 4 5 6 7 8 9 10 11 12)
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,fma")]
unsafe fn avx2(count: usize, wide: bool, p: &Pass) {
    // SAFETY: the same contract.
    unsafe { any::<Wide256>(count, wide, p) }
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f,avx512vl,avx512dq,avx512bw,avx2,fma")]
unsafe fn avx512(count: usize, wide: bool, p: &Pass) {
    // SAFETY: the same contract.
    unsafe { any::<Wide512>(count, wide, p) }
}

/// # Safety
/// As for [`pass`].
unsafe fn run(isa: Isa, count: usize, wide: bool, p: &Pass) {
    // SAFETY: the same contract; the processor has the set.
    unsafe {
        match isa.min(Isa::detected()) {
            #[cfg(target_arch = "x86_64")]
            Isa::Avx2 => avx2(count, wide, p),
            #[cfg(target_arch = "x86_64")]
            Isa::Avx512 => avx512(count, wide, p),
            _ => any::<Portable>(count, wide, p),
        }
    }
}
