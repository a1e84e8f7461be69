//! For each channel the list of its maxima: at which offset in the image the pixels under each of them start, and the
//! gradient that flows to it. Lists are made for a few channels at a time, which then are worked off one by one.

use super::conv_pool::{MAX_TAPS, NONE};
use super::isa::{Isa, by_isa};
use super::scratch::Buffer;
use super::simd::{Lookup, Portable, load_some, store_some};
#[cfg(target_arch = "x86_64")]
use super::simd::{Wide256, Wide512};
use super::transpose::transpose;

/// Channels whose maxima are listed at once.
pub(super) const CHANNELS: usize = 16;

/// In place of an offset, as bits: no gradient flows.
const NOWHERE: u32 = u32::MAX;

/// Behind a list a whole vector may be written.
const ROOM: usize = 16;

/// The maxima of one example.
pub(super) struct Example<'a> {
    /// The tap of each window that is its maximum, or [`NONE`], channel by channel.
    pub which: *const u8,
    /// The gradient of each window and channel.
    pub g: *const f32,
    pub channels: usize,
    /// The offset of each window in the image, and those of a window's taps from there.
    pub windows: &'a [usize],
    pub taps: &'a [usize; MAX_TAPS],
}

/// Lists of some channels' maxima, in the order of the windows.
#[derive(Clone, Default)]
pub(super) struct Maxima {
    /// Offsets, as bits.
    offsets: Buffer,
    gradients: Buffer,
    /// Numbers of maxima, of so many channels.
    counts: [usize; CHANNELS],
    channels: usize,
    /// From one channel's list to the next.
    room: usize,
    /// Offsets by windows; offsets and gradients by channels.
    by_windows: Buffer,
    all_offsets: Buffer,
    all_gradients: Buffer,
}

/// A list: offsets as bits, and as many gradients.
#[derive(Clone, Copy)]
pub(super) struct List {
    pub offsets: *const f32,
    pub gradients: *const f32,
    pub count: usize,
}

impl Maxima {
    /// Lists the maxima of [`CHANNELS`] channels from `first` on, or of as many as there are.
    ///
    /// # Safety
    /// `which` and `g` hold all windows and channels.
    pub(super) unsafe fn list(&mut self, isa: Isa, of: &Example, first: usize) {
        let (n, windows) = (CHANNELS.min(of.channels - first), of.windows.len());
        (self.channels, self.room) = (n, windows + ROOM);
        self.offsets.take(n * self.room);
        self.gradients.take(n * self.room);
        self.by_windows.take(windows * CHANNELS);
        // SAFETY: channels from `first` on in all windows; buffers were taken large enough.
        unsafe {
            transpose(of.g.add(first), 1, of.channels, n, windows, self.all_gradients.take(n * windows));
            by_isa!(
                isa,
                list_on::<Portable>(self, of, first),
                avx2(self, of, first),
                avx512(self, of, first)
            );
        }
    }

    /// How many channels are listed.
    pub(super) fn channels(&self) -> usize {
        self.channels
    }

    /// The list of one of them.
    pub(super) fn of(&mut self, channel: usize) -> List {
        let at = channel * self.room;
        let end = at + self.counts[channel];
        List {
            offsets: self.offsets.take(end)[at..].as_ptr(),
            gradients: self.gradients.take(end)[at..].as_ptr(),
            count: self.counts[channel],
        }
    }
}

/// Finds offsets window by window, turns them, and leaves out what is nowhere channel by channel.
///
/// # Safety
/// The processor has V's features; as for [`Maxima::list`], with the gradients turned.
#[inline(always)]
unsafe fn list_on<V: Lookup>(maxima: &mut Maxima, of: &Example, first: usize) {
    let (n, windows) = (CHANNELS.min(of.channels - first), of.windows.len());
    let bits = |x: usize| f32::from_bits(x as u32);
    let taps: [f32; 16] = std::array::from_fn(|tap| if tap < MAX_TAPS { bits(of.taps[tap]) } else { 0.0 });
    let by_windows = maxima.by_windows.take(windows * CHANNELS);
    // SAFETY: `n` channels of each window; `CHANNELS` is no less, and what is behind a list is its room.
    unsafe {
        let (none, nowhere) = (V::splat(bits(usize::from(NONE))), V::splat(f32::from_bits(NOWHERE)));
        for (w, offset) in of.windows.iter().enumerate() {
            let offset = V::splat(bits(*offset));
            for c in (0..n).step_by(V::LANES) {
                let lanes = V::LANES.min(n - c);
                let tap = V::load_bytes(of.which.add(w * of.channels + first + c), lanes);
                let at = V::look_up::<false>(taps.as_ptr(), tap).add_bits(offset);
                let at = V::select(tap.differs(none), at, nowhere);
                store_some(at, by_windows.as_mut_ptr().add(w * CHANNELS + c), lanes);
            }
        }
        let all_offsets = maxima.all_offsets.take(n * windows);
        transpose(by_windows.as_ptr(), 1, CHANNELS, n, windows, all_offsets);
        let all_gradients = maxima.all_gradients.take(n * windows).as_ptr();
        let offsets = maxima.offsets.take(n * maxima.room).as_mut_ptr();
        let gradients = maxima.gradients.take(n * maxima.room).as_mut_ptr();
        for c in 0..n {
            let mut to = c * maxima.room;
            for w in (0..windows).step_by(V::LANES) {
                let lanes = V::LANES.min(windows - w);
                let offset = load_some::<V>(all_offsets.as_ptr().add(c * windows + w), lanes);
                let gradient = load_some::<V>(all_gradients.add(c * windows + w), lanes);
                let flows = offset.differs(nowhere);
                offset.store_chosen(flows, offsets.add(to));
                gradient.store_chosen(flows, gradients.add(to));
                let count = (V::bits(flows) & ((1 << lanes) - 1)).count_ones() as usize;
                to += count;
            }
            maxima.counts[c] = to - c * maxima.room;
        }
    }
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,fma,popcnt")]
unsafe fn avx2(maxima: &mut Maxima, of: &Example, first: usize) {
    // SAFETY: the caller's contract is the same, and the features are there.
    unsafe { list_on::<Wide256>(maxima, of, first) }
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f,avx512vl,avx512dq,avx512bw,avx2,fma,popcnt")]
unsafe fn avx512(maxima: &mut Maxima, of: &Example, first: usize) {
    // SAFETY: as above.
    unsafe { list_on::<Wide512>(maxima, of, first) }
}
