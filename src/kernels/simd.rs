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
}

#[cfg(target_arch = "x86_64")]
pub use x86::{Wide256, Wide512};

#[cfg(target_arch = "x86_64")]
mod x86 {
    use super::Vector;
    use std::arch::x86_64::*;

    /// AVX2 with FMA.
    #[derive(Clone, Copy)]
    pub struct Wide256(__m256);

    /// Eight ones, then eight zeros: the mask of `n` lanes starts `n` before the zeros.
    static MASKS: [i32; 16] = [-1, -1, -1, -1, -1, -1, -1, -1, 0, 0, 0, 0, 0, 0, 0, 0];

    impl Vector for Wide256 {
        const LANES: usize = 8;
        type Mask = __m256i;
        #[inline(always)]
        unsafe fn zero() -> Self {
            // SAFETY: the caller vouches for the features.
            unsafe { Wide256(_mm256_setzero_ps()) }
        }
        #[inline(always)]
        unsafe fn splat(x: f32) -> Self {
            // SAFETY: the caller vouches for the features.
            unsafe { Wide256(_mm256_set1_ps(x)) }
        }
        #[inline(always)]
        unsafe fn load(p: *const f32) -> Self {
            // SAFETY: the caller vouches for the features and the memory.
            unsafe { Wide256(_mm256_loadu_ps(p)) }
        }
        #[inline(always)]
        unsafe fn store(self, p: *mut f32) {
            // SAFETY: the caller vouches for the features and the memory.
            unsafe { _mm256_storeu_ps(p, self.0) }
        }
        #[inline(always)]
        unsafe fn mask(n: usize) -> __m256i {
            debug_assert!(n <= 8);
            // SAFETY: `n` is at most 8, so 8 numbers from `8 - n` on lie inside; features as above.
            unsafe { _mm256_loadu_si256(MASKS.as_ptr().add(8 - n).cast()) }
        }
        #[inline(always)]
        unsafe fn load_masked(p: *const f32, mask: __m256i) -> Self {
            // SAFETY: the caller vouches for the features and the memory.
            unsafe { Wide256(_mm256_maskload_ps(p, mask)) }
        }
        #[inline(always)]
        unsafe fn store_masked(self, p: *mut f32, mask: __m256i) {
            // SAFETY: the caller vouches for the features and the memory.
            unsafe { _mm256_maskstore_ps(p, mask, self.0) }
        }
        #[inline(always)]
        unsafe fn fma(self, b: Self, c: Self) -> Self {
            // SAFETY: the caller vouches for the features.
            unsafe { Wide256(_mm256_fmadd_ps(self.0, b.0, c.0)) }
        }
    }

    /// AVX-512.
    #[derive(Clone, Copy)]
    pub struct Wide512(__m512);

    impl Vector for Wide512 {
        const LANES: usize = 16;
        type Mask = __mmask16;
        #[inline(always)]
        unsafe fn zero() -> Self {
            // SAFETY: the caller vouches for the features.
            unsafe { Wide512(_mm512_setzero_ps()) }
        }
        #[inline(always)]
        unsafe fn splat(x: f32) -> Self {
            // SAFETY: the caller vouches for the features.
            unsafe { Wide512(_mm512_set1_ps(x)) }
        }
        #[inline(always)]
        unsafe fn load(p: *const f32) -> Self {
            // SAFETY: the caller vouches for the features and the memory.
            unsafe { Wide512(_mm512_loadu_ps(p)) }
        }
        #[inline(always)]
        unsafe fn store(self, p: *mut f32) {
            // SAFETY: the caller vouches for the features and the memory.
            unsafe { _mm512_storeu_ps(p, self.0) }
        }
        #[inline(always)]
        unsafe fn mask(n: usize) -> __mmask16 {
            debug_assert!(n <= 16);
            ((1u32 << n) - 1) as __mmask16
        }
        #[inline(always)]
        unsafe fn load_masked(p: *const f32, mask: __mmask16) -> Self {
            // SAFETY: the caller vouches for the features and the memory.
            unsafe { Wide512(_mm512_maskz_loadu_ps(mask, p)) }
        }
        #[inline(always)]
        unsafe fn store_masked(self, p: *mut f32, mask: __mmask16) {
            // SAFETY: the caller vouches for the features and the memory.
            unsafe { _mm512_mask_storeu_ps(p, mask, self.0) }
        }
        #[inline(always)]
        unsafe fn fma(self, b: Self, c: Self) -> Self {
            // SAFETY: the caller vouches for the features.
            unsafe { Wide512(_mm512_fmadd_ps(self.0, b.0, c.0)) }
        }
    }
}
