//! Vectors of f32 behind one small interface, so that a kernel is written once and compiled for each
//! instruction set. Functions that use it are `#[inline(always)]` down to one with `#[target_feature]`.

/// A vector of f32. Every method must run where the processor has the vector's features.
pub trait Vector: Copy {
    /// How many numbers it holds.
    const LANES: usize;
    /// A choice of the first so many lanes.
    type Mask: Copy;
    /// All lanes 0.
    ///
    /// # Safety
    /// The processor must have the features.
    unsafe fn zero() -> Self;
    /// The same number in all lanes.
    ///
    /// # Safety
    /// The processor must have the features.
    unsafe fn splat(x: f32) -> Self;
    /// The numbers at `p`, unaligned.
    ///
    /// # Safety
    /// `LANES` numbers must be readable.
    unsafe fn load(p: *const f32) -> Self;
    /// Writes to `p`, unaligned.
    ///
    /// # Safety
    /// `LANES` numbers must be writable.
    unsafe fn store(self, p: *mut f32);
    /// The first `n` lanes; `n` is at most `LANES`.
    ///
    /// # Safety
    /// The processor must have the features.
    unsafe fn mask(n: usize) -> Self::Mask;
    /// The numbers at `p` in the chosen lanes, 0 in the others.
    ///
    /// # Safety
    /// The chosen numbers must be readable; no others are touched.
    unsafe fn load_masked(p: *const f32, mask: Self::Mask) -> Self;
    /// Writes the chosen lanes.
    ///
    /// # Safety
    /// The chosen numbers must be writable; no others are touched.
    unsafe fn store_masked(self, p: *mut f32, mask: Self::Mask);
    /// `self * b + c`, rounded once.
    ///
    /// # Safety
    /// The processor must have the features.
    unsafe fn fma(self, b: Self, c: Self) -> Self;
    /// What a comparison finds, lane by lane.
    type Choice: Copy;
    /// `self + b`
    ///
    /// # Safety
    /// The processor must have the features.
    unsafe fn add(self, b: Self) -> Self;
    /// `self - b`
    ///
    /// # Safety
    /// The processor must have the features.
    unsafe fn sub(self, b: Self) -> Self;
    /// Where `self > b`; NaN is greater than nothing.
    ///
    /// # Safety
    /// The processor must have the features.
    unsafe fn greater(self, b: Self) -> Self::Choice;
    /// `a` where chosen, else `b`.
    ///
    /// # Safety
    /// The processor must have the features.
    unsafe fn select(choice: Self::Choice, a: Self, b: Self) -> Self;
    /// `a` where chosen, else 0.
    ///
    /// # Safety
    /// The processor must have the features.
    unsafe fn keep(choice: Self::Choice, a: Self) -> Self;
    /// Where not 0; NaN is not.
    ///
    /// # Safety
    /// The processor must have the features.
    unsafe fn nonzero(self) -> Self::Choice;
    /// A bit for each chosen lane.
    ///
    /// # Safety
    /// The processor must have the features.
    unsafe fn bits(choice: Self::Choice) -> u32;
    /// Writes the chosen lanes one after the other; what the next of `LANES` places hold is then unspecified.
    ///
    /// # Safety
    /// `LANES` numbers must be writable.
    unsafe fn store_chosen(self, choice: Self::Choice, p: *mut f32);
    /// Writes the low byte of each of the first `n` lanes.
    ///
    /// # Safety
    /// `n` is at most `LANES`, and as many bytes are writable.
    unsafe fn store_bytes(self, p: *mut u8, n: usize);
    /// A bit for each of `n` bytes that equals `value`.
    ///
    /// # Safety
    /// `n` is at most 64, and as many bytes are readable.
    unsafe fn equal_bytes(p: *const u8, n: usize, value: u8) -> u64;
}

/// The first `n` lanes from memory, the others 0.
///
/// # Safety
/// The processor has V's features; `n` is at most `LANES`, and as many numbers are readable.
#[inline(always)]
pub unsafe fn load_some<V: Vector>(p: *const f32, n: usize) -> V {
    // SAFETY: the same contract.
    unsafe { if n == V::LANES { V::load(p) } else { V::load_masked(p, V::mask(n)) } }
}

/// Writes the first `n` lanes.
///
/// # Safety
/// As for [`load_some`], writable.
#[inline(always)]
pub unsafe fn store_some<V: Vector>(x: V, p: *mut f32, n: usize) {
    // SAFETY: the same contract.
    unsafe { if n == V::LANES { x.store(p) } else { x.store_masked(p, V::mask(n)) } }
}

/// Vectors that look numbers up in a small table. Lanes also hold whole numbers, as bits.
pub trait Lookup: Vector {
    /// The first `n` lanes from bytes, the others 0.
    ///
    /// # Safety
    /// `n` is at most `LANES`, and as many bytes are readable.
    unsafe fn load_bytes(p: *const u8, n: usize) -> Self;
    /// `self + b` as whole numbers.
    ///
    /// # Safety
    /// The processor must have the features.
    unsafe fn add_bits(self, b: Self) -> Self;
    /// Where bits differ.
    ///
    /// # Safety
    /// The processor must have the features.
    unsafe fn differs(self, b: Self) -> Self::Choice;
    /// From a table of 16 numbers, or 32 if WIDE, those at `index`, of which other bits do not count.
    ///
    /// # Safety
    /// The table is readable.
    unsafe fn look_up<const WIDE: bool>(table: *const f32, index: Self) -> Self;
}

/// Plain Rust, for any processor; also the twin that the others are compared with.
#[derive(Clone, Copy)]
pub struct Portable([f32; 8]);

impl Vector for Portable {
    const LANES: usize = 8;
    type Mask = usize;
    #[inline(always)]
    unsafe fn zero() -> Self {
        Portable([0.0; 8])
    }
    #[inline(always)]
    unsafe fn splat(x: f32) -> Self {
        Portable([x; 8])
    }
    #[inline(always)]
    unsafe fn load(p: *const f32) -> Self {
        // SAFETY: 8 numbers are readable, and an array needs no more alignment than its elements.
        unsafe { Portable(p.cast::<[f32; 8]>().read()) }
    }
    #[inline(always)]
    unsafe fn store(self, p: *mut f32) {
        // SAFETY: 8 numbers are writable, and an array needs no more alignment than its elements.
        unsafe { p.cast::<[f32; 8]>().write(self.0) }
    }
    #[inline(always)]
    unsafe fn mask(n: usize) -> usize {
        n
    }
    #[inline(always)]
    unsafe fn load_masked(p: *const f32, mask: usize) -> Self {
        let mut out = [0.0; 8];
        for (lane, out) in out.iter_mut().enumerate().take(mask) {
            // SAFETY: the first `mask` numbers are readable.
            *out = unsafe { *p.add(lane) };
        }
        Portable(out)
    }
    #[inline(always)]
    unsafe fn store_masked(self, p: *mut f32, mask: usize) {
        for (lane, x) in self.0.iter().enumerate().take(mask) {
            // SAFETY: the first `mask` numbers are writable.
            unsafe { *p.add(lane) = *x };
        }
    }
    #[inline(always)]
    unsafe fn fma(self, b: Self, c: Self) -> Self {
        let mut out = self.0;
        for (x, (b, c)) in out.iter_mut().zip(b.0.iter().zip(c.0)) {
            *x = x.mul_add(*b, c);
        }
        Portable(out)
    }
    type Choice = [bool; 8];
    #[inline(always)]
    unsafe fn add(self, b: Self) -> Self {
        Portable(std::array::from_fn(|i| self.0[i] + b.0[i]))
    }
    #[inline(always)]
    unsafe fn sub(self, b: Self) -> Self {
        Portable(std::array::from_fn(|i| self.0[i] - b.0[i]))
    }
    #[inline(always)]
    unsafe fn greater(self, b: Self) -> [bool; 8] {
        std::array::from_fn(|i| self.0[i] > b.0[i])
    }
    #[inline(always)]
    unsafe fn select(choice: [bool; 8], a: Self, b: Self) -> Self {
        Portable(std::array::from_fn(|i| if choice[i] { a.0[i] } else { b.0[i] }))
    }
    #[inline(always)]
    unsafe fn keep(choice: [bool; 8], a: Self) -> Self {
        Portable(std::array::from_fn(|i| if choice[i] { a.0[i] } else { 0.0 }))
    }
    #[inline(always)]
    unsafe fn nonzero(self) -> [bool; 8] {
        self.0.map(|x| x != 0.0)
    }
    #[inline(always)]
    unsafe fn bits(choice: [bool; 8]) -> u32 {
        choice.iter().enumerate().fold(0, |bits, (lane, chosen)| bits | u32::from(*chosen) << lane)
    }
    #[inline(always)]
    unsafe fn store_chosen(self, choice: [bool; 8], p: *mut f32) {
        let chosen = self.0.iter().zip(choice).filter(|(_, chosen)| *chosen);
        // SAFETY: at most 8 numbers, which are writable.
        chosen.enumerate().for_each(|(i, (x, _))| unsafe { *p.add(i) = *x });
    }
    #[inline(always)]
    unsafe fn store_bytes(self, p: *mut u8, n: usize) {
        for (lane, x) in self.0.iter().enumerate().take(n) {
            // SAFETY: the first `n` bytes are writable.
            unsafe { *p.add(lane) = x.to_bits() as u8 };
        }
    }
    #[inline(always)]
    unsafe fn equal_bytes(p: *const u8, n: usize, value: u8) -> u64 {
        // SAFETY: the first `n` bytes are readable.
        (0..n).fold(0, |bits, i| bits | u64::from(unsafe { *p.add(i) } == value) << i)
    }
}

impl Lookup for Portable {
    #[inline(always)]
    unsafe fn load_bytes(p: *const u8, n: usize) -> Self {
        let mut out = [0.0; 8];
        for (lane, out) in out.iter_mut().enumerate().take(n) {
            // SAFETY: the first `n` bytes are readable.
            *out = f32::from_bits(u32::from(unsafe { *p.add(lane) }));
        }
        Portable(out)
    }
    #[inline(always)]
    unsafe fn add_bits(self, b: Self) -> Self {
        let sum = |i: usize| self.0[i].to_bits().wrapping_add(b.0[i].to_bits());
        Portable(std::array::from_fn(|i| f32::from_bits(sum(i))))
    }
    #[inline(always)]
    unsafe fn differs(self, b: Self) -> [bool; 8] {
        std::array::from_fn(|i| self.0[i].to_bits() != b.0[i].to_bits())
    }
    #[inline(always)]
    unsafe fn look_up<const WIDE: bool>(table: *const f32, index: Self) -> Self {
        let last = if WIDE { 31 } else { 15 };
        // SAFETY: the index is at most the table's last.
        Portable(index.0.map(|i| unsafe { *table.add(i.to_bits() as usize & last) }))
    }
}

#[cfg(target_arch = "x86_64")]
pub use super::simd_x86::{Wide256, Wide512};
