//! Windows over nothing but zeros: the margins of digits, the background of drawings. All of them have the same result,
//! and none has a part in the gradient of the weights.

use super::conv::Padding;
use super::conv_pool::ConvPool;
use super::isa::{Isa, by_isa};
use super::scratch::Scratch;
use super::simd::{Lookup, Portable, Vector, load_some, store_some};
#[cfg(target_arch = "x86_64")]
use super::simd::{Wide256, Wide512};

/// What a pooling window reaches: so many rows of so many numbers that are neighbours.
#[derive(Clone, Copy)]
pub(super) struct Reach {
    rows: usize,
    numbers: usize,
    /// Of the (padded) image.
    image_rows: usize,
    image_row: usize,
    /// From one window to the next.
    steps: [usize; 2],
    windows: [usize; 2],
}

impl Reach {
    /// For images of which a row has a bit for each number in a word: others have many channels, or are photographs.
    pub(super) fn of(shape: &ConvPool, padding: &Padding) -> Option<Reach> {
        let window = &shape.conv.window;
        let step = |d: usize| shape.pool[d] * window.stride[d];
        let [image_rows, columns] = padding.extents;
        let reach = Reach {
            rows: shape.reach(0),
            numbers: shape.reach(1) * window.channels,
            image_rows,
            image_row: columns * window.channels,
            steps: [step(0), step(1) * window.channels],
            windows: shape.pooled,
        };
        (reach.image_row <= 64).then_some(reach)
    }

    /// Sorts the windows into those over something and those over nothing, in `scratch.live` and `scratch.blank`.
    ///
    /// # Safety
    /// The image is readable.
    pub(super) unsafe fn split(self, isa: Isa, image: *const f32, scratch: &mut Scratch) {
        let Scratch { live, blank, masks, .. } = scratch;
        masks.resize(self.image_rows.max(masks.len()), 0);
        // SAFETY: the same contract; there is a word for each row.
        unsafe { (Routines::of(isa).lit)(self, image, masks.as_mut_ptr()) };
        let under = u64::MAX >> (64 - self.numbers);
        sort(self.windows, live, blank, |y| {
            let first = y * self.steps[0];
            let any = masks[first..first + self.rows].iter().fold(0, |any, row| any | row);
            move |x| any >> (x * self.steps[1]) & under == 0
        });
    }
}

/// Sorts the numbers of windows by what `row` says of each row: which of its windows are blank.
#[inline(always)]
pub(super) fn sort<R: Fn(usize) -> bool>(
    [rows, columns]: [usize; 2],
    live: &mut Vec<usize>,
    blank: &mut Vec<usize>,
    row: impl Fn(usize) -> R,
) {
    let (mut lives, mut blanks) = (0, 0);
    live.resize(rows * columns, 0);
    blank.resize(rows * columns, 0);
    for y in 0..rows {
        let is_blank = row(y);
        for x in 0..columns {
            let is_blank = is_blank(x);
            (live[lives], blank[blanks]) = (y * columns + x, y * columns + x);
            lives += usize::from(!is_blank);
            blanks += usize::from(is_blank);
        }
    }
    live.truncate(lives);
    blank.truncate(blanks);
}

/// Writes the results of the first of these windows to the places of the others: `channels` numbers and as many bytes
/// for each.
///
/// # Safety
/// Results and bytes of all windows are readable and writable.
pub(super) unsafe fn repeat(isa: Isa, windows: &[usize], channels: usize, y: *mut f32, which: *mut u8) {
    // SAFETY: the same contract; the processor has the set.
    unsafe { (Routines::of(isa).repeat)(windows, channels, y, which) }
}

/// For each row of the image a bit for each number that is not 0.
///
/// # Safety
/// The processor has V's features; image and masks have all rows.
#[inline(always)]
unsafe fn lit<V: Vector>(reach: Reach, image: *const f32, masks: *mut u64) {
    for row in 0..reach.image_rows {
        let mut mask = 0;
        for first in (0..reach.image_row).step_by(V::LANES) {
            // SAFETY: a part of the row.
            unsafe {
                let at = image.add(row * reach.image_row + first);
                let numbers: V = load_some(at, V::LANES.min(reach.image_row - first));
                mask |= u64::from(V::bits(numbers.nonzero())) << first;
            }
        }
        // SAFETY: the row's word.
        unsafe { *masks.add(row) = mask };
    }
}

/// # Safety
/// The processor has V's features; else as for [`repeat`].
#[inline(always)]
unsafe fn repeat_on<V: Lookup>(windows: &[usize], channels: usize, y: *mut f32, which: *mut u8) {
    let Some((one, others)) = windows.split_first() else { return };
    for first in (0..channels).step_by(V::LANES) {
        let n = V::LANES.min(channels - first);
        // SAFETY: `n` of the window's channels.
        unsafe {
            let from = one * channels + first;
            let (value, tap) = (load_some::<V>(y.add(from), n), V::load_bytes(which.add(from), n));
            for window in others {
                let to = window * channels + first;
                store_some(value, y.add(to), n);
                tap.store_bytes(which.add(to), n);
            }
        }
    }
}

/// The routines of an instruction set.
struct Routines {
    lit: unsafe fn(Reach, *const f32, *mut u64),
    repeat: unsafe fn(&[usize], usize, *mut f32, *mut u8),
}

macro_rules! routines {
    ($name:ident, $vector:ty $(, $features:literal)?) => {
        mod $name {
            use super::*;
            pub static ROUTINES: Routines = Routines { lit, repeat };
            $(#[target_feature(enable = $features)])?
            unsafe fn lit(reach: Reach, image: *const f32, masks: *mut u64) {
                // SAFETY: the caller's contract is the same, and the features are there.
                unsafe { super::lit::<$vector>(reach, image, masks) }
            }
            $(#[target_feature(enable = $features)])?
            unsafe fn repeat(windows: &[usize], channels: usize, y: *mut f32, which: *mut u8) {
                // SAFETY: as above.
                unsafe { repeat_on::<$vector>(windows, channels, y, which) }
            }
        }
    };
}

routines!(portable, Portable);
#[cfg(target_arch = "x86_64")]
routines!(avx2, Wide256, "avx2,fma");
#[cfg(target_arch = "x86_64")]
routines!(avx512, Wide512, "avx512f,avx512vl,avx512dq,avx512bw,avx2,fma");

impl Routines {
    fn of(isa: Isa) -> &'static Routines {
        by_isa!(isa, &portable::ROUTINES, &avx2::ROUTINES, &avx512::ROUTINES)
    }
}
