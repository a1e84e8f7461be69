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
pub use x86::{Wide256, Wide512};

#[cfg(target_arch = "x86_64")]
mod x86 {
    use super::{Lookup, Vector};
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
        type Choice = __m256;
        #[inline(always)]
        unsafe fn add(self, b: Self) -> Self {
            // SAFETY: the caller vouches for the features.
            unsafe { Wide256(_mm256_add_ps(self.0, b.0)) }
        }
        #[inline(always)]
        unsafe fn sub(self, b: Self) -> Self {
            // SAFETY: the caller vouches for the features.
            unsafe { Wide256(_mm256_sub_ps(self.0, b.0)) }
        }
        #[inline(always)]
        unsafe fn greater(self, b: Self) -> __m256 {
            // SAFETY: the caller vouches for the features.
            unsafe { _mm256_cmp_ps::<_CMP_GT_OQ>(self.0, b.0) }
        }
        #[inline(always)]
        unsafe fn select(choice: __m256, a: Self, b: Self) -> Self {
            // SAFETY: the caller vouches for the features.
            unsafe { Wide256(_mm256_blendv_ps(b.0, a.0, choice)) }
        }
        #[inline(always)]
        unsafe fn keep(choice: __m256, a: Self) -> Self {
            // SAFETY: the caller vouches for the features.
            unsafe { Wide256(_mm256_and_ps(choice, a.0)) }
        }
        #[inline(always)]
        unsafe fn store_bytes(self, p: *mut u8, n: usize) {
            // SAFETY: the caller vouches for the features; `n` bytes are writable.
            unsafe {
                let low = _mm256_set1_epi32(0x0c08_0400);
                let packed = _mm256_shuffle_epi8(_mm256_castps_si256(self.0), low);
                let bytes = _mm256_extract_epi32::<0>(packed) as u32 as u64
                    | (_mm256_extract_epi32::<4>(packed) as u32 as u64) << 32;
                if n == 8 {
                    p.cast::<u64>().write_unaligned(bytes);
                } else {
                    std::ptr::copy_nonoverlapping(bytes.to_le_bytes().as_ptr(), p, n);
                }
            }
        }
        #[inline(always)]
        unsafe fn equal_bytes(p: *const u8, n: usize, value: u8) -> u64 {
            // SAFETY: the caller vouches for the features; blocks of 32 end before `n`.
            unsafe {
                let mut bits = 0;
                let wanted = _mm256_set1_epi8(value as i8);
                for first in (0..n - n % 32).step_by(32) {
                    let bytes = _mm256_loadu_si256(p.add(first).cast());
                    let equal = _mm256_movemask_epi8(_mm256_cmpeq_epi8(bytes, wanted)) as u32;
                    bits |= u64::from(equal) << first;
                }
                for i in n - n % 32..n {
                    bits |= u64::from(*p.add(i) == value) << i;
                }
                bits
            }
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
        type Choice = __mmask16;
        #[inline(always)]
        unsafe fn add(self, b: Self) -> Self {
            // SAFETY: the caller vouches for the features.
            unsafe { Wide512(_mm512_add_ps(self.0, b.0)) }
        }
        #[inline(always)]
        unsafe fn sub(self, b: Self) -> Self {
            // SAFETY: the caller vouches for the features.
            unsafe { Wide512(_mm512_sub_ps(self.0, b.0)) }
        }
        #[inline(always)]
        unsafe fn greater(self, b: Self) -> __mmask16 {
            // SAFETY: the caller vouches for the features.
            unsafe { _mm512_cmp_ps_mask::<_CMP_GT_OQ>(self.0, b.0) }
        }
        #[inline(always)]
        unsafe fn select(choice: __mmask16, a: Self, b: Self) -> Self {
            // SAFETY: the caller vouches for the features.
            unsafe { Wide512(_mm512_mask_blend_ps(choice, b.0, a.0)) }
        }
        #[inline(always)]
        unsafe fn keep(choice: __mmask16, a: Self) -> Self {
            // SAFETY: the caller vouches for the features.
            unsafe { Wide512(_mm512_maskz_mov_ps(choice, a.0)) }
        }
        #[inline(always)]
        unsafe fn store_bytes(self, p: *mut u8, n: usize) {
            // SAFETY: the caller vouches for the features; only `n` bytes are written.
            unsafe {
                let bytes = _mm512_cvtepi32_epi8(_mm512_castps_si512(self.0));
                if n == 16 {
                    _mm_storeu_si128(p.cast(), bytes);
                } else {
                    _mm_mask_storeu_epi8(p.cast(), Self::mask(n), bytes);
                }
            }
        }
        #[inline(always)]
        unsafe fn equal_bytes(p: *const u8, n: usize, value: u8) -> u64 {
            // SAFETY: the caller vouches for the features; only `n` bytes are read.
            unsafe {
                let mask = if n == 64 { u64::MAX } else { (1 << n) - 1 };
                let bytes = _mm512_maskz_loadu_epi8(mask, p.cast());
                _mm512_mask_cmpeq_epi8_mask(mask, bytes, _mm512_set1_epi8(value as i8))
            }
        }
    }

    impl Lookup for Wide256 {
        #[inline(always)]
        unsafe fn load_bytes(p: *const u8, n: usize) -> Self {
            // SAFETY: the caller vouches for the features and for `n` bytes.
            unsafe {
                let mut bytes = [0u8; 8];
                if n == 8 {
                    bytes = p.cast::<[u8; 8]>().read();
                } else {
                    std::ptr::copy_nonoverlapping(p, bytes.as_mut_ptr(), n);
                }
                let bytes = _mm_cvtsi64_si128(i64::from_le_bytes(bytes));
                Wide256(_mm256_castsi256_ps(_mm256_cvtepu8_epi32(bytes)))
            }
        }
        #[inline(always)]
        unsafe fn add_bits(self, b: Self) -> Self {
            // SAFETY: the caller vouches for the features.
            unsafe {
                let (a, b) = (_mm256_castps_si256(self.0), _mm256_castps_si256(b.0));
                Wide256(_mm256_castsi256_ps(_mm256_add_epi32(a, b)))
            }
        }
        #[inline(always)]
        unsafe fn differs(self, b: Self) -> __m256 {
            // SAFETY: the caller vouches for the features.
            unsafe {
                let equal = _mm256_cmpeq_epi32(_mm256_castps_si256(self.0), _mm256_castps_si256(b.0));
                _mm256_castsi256_ps(_mm256_xor_si256(equal, _mm256_set1_epi32(-1)))
            }
        }
        #[inline(always)]
        unsafe fn look_up<const WIDE: bool>(table: *const f32, index: Self) -> Self {
            // SAFETY: the caller vouches for the features and the table.
            unsafe {
                let index = _mm256_castps_si256(index.0);
                let part = |i: usize| _mm256_permutevar8x32_ps(_mm256_loadu_ps(table.add(i * 8)), index);
                // The sign of a lane chooses: bit 3 of the index, then bit 4.
                let second = _mm256_castsi256_ps(_mm256_slli_epi32::<28>(index));
                let low = _mm256_blendv_ps(part(0), part(1), second);
                if !WIDE {
                    return Wide256(low);
                }
                let high = _mm256_blendv_ps(part(2), part(3), second);
                let upper = _mm256_castsi256_ps(_mm256_slli_epi32::<27>(index));
                Wide256(_mm256_blendv_ps(low, high, upper))
            }
        }
    }

    impl Lookup for Wide512 {
        #[inline(always)]
        unsafe fn load_bytes(p: *const u8, n: usize) -> Self {
            // SAFETY: the caller vouches for the features and for `n` bytes.
            unsafe {
                let bytes = if n == 16 {
                    _mm_loadu_si128(p.cast())
                } else {
                    _mm_maskz_loadu_epi8(Self::mask(n), p.cast())
                };
                Wide512(_mm512_castsi512_ps(_mm512_cvtepu8_epi32(bytes)))
            }
        }
        #[inline(always)]
        unsafe fn add_bits(self, b: Self) -> Self {
            // SAFETY: the caller vouches for the features.
            unsafe {
                let (a, b) = (_mm512_castps_si512(self.0), _mm512_castps_si512(b.0));
                Wide512(_mm512_castsi512_ps(_mm512_add_epi32(a, b)))
            }
        }
        #[inline(always)]
        unsafe fn differs(self, b: Self) -> __mmask16 {
            // SAFETY: the caller vouches for the features.
            unsafe { _mm512_cmpneq_epi32_mask(_mm512_castps_si512(self.0), _mm512_castps_si512(b.0)) }
        }
        #[inline(always)]
        unsafe fn look_up<const WIDE: bool>(table: *const f32, index: Self) -> Self {
            // SAFETY: the caller vouches for the features and the table.
            unsafe {
                let index = _mm512_castps_si512(index.0);
                let low = _mm512_loadu_ps(table);
                if !WIDE {
                    return Wide512(_mm512_permutexvar_ps(index, low));
                }
                Wide512(_mm512_permutex2var_ps(low, index, _mm512_loadu_ps(table.add(16))))
            }
        }
    }
}
