//! The vectors of x86-64.

use super::simd::{Lookup, Vector};
use std::arch::x86_64::*;

/// AVX2 with FMA.
#[derive(Clone, Copy)]
pub struct Wide256(__m256);

/// Eight ones, then eight zeros: the mask of `n` lanes starts `n` before the zeros.
static MASKS: [i32; 16] = [-1, -1, -1, -1, -1, -1, -1, -1, 0, 0, 0, 0, 0, 0, 0, 0];

/// For each choice of 8 lanes, as bits, their numbers in order; then zeros.
static CHOSEN_LANES: [[u8; 8]; 256] = {
    let mut table = [[0; 8]; 256];
    let mut choice = 0;
    while choice < 256 {
        let (mut lane, mut at) = (0, 0);
        while lane < 8 {
            if choice >> lane & 1 == 1 {
                table[choice][at] = lane as u8;
                at += 1;
            }
            lane += 1;
        }
        choice += 1;
    }
    table
};

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
    unsafe fn nonzero(self) -> __m256 {
        // SAFETY: the caller vouches for the features.
        unsafe { _mm256_cmp_ps::<_CMP_NEQ_UQ>(self.0, _mm256_setzero_ps()) }
    }
    #[inline(always)]
    unsafe fn bits(choice: __m256) -> u32 {
        // SAFETY: the caller vouches for the features.
        unsafe { _mm256_movemask_ps(choice) as u32 }
    }
    #[inline(always)]
    unsafe fn store_chosen(self, choice: __m256, p: *mut f32) {
        // SAFETY: the caller vouches for the features and the memory; there is a line for each choice of 8 lanes.
        unsafe {
            let lanes = CHOSEN_LANES.as_ptr().add(_mm256_movemask_ps(choice) as usize);
            let lanes = _mm256_cvtepu8_epi32(_mm_loadl_epi64(lanes.cast()));
            _mm256_storeu_ps(p, _mm256_permutevar8x32_ps(self.0, lanes));
        }
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
    unsafe fn nonzero(self) -> __mmask16 {
        // SAFETY: the caller vouches for the features.
        unsafe { _mm512_cmp_ps_mask::<_CMP_NEQ_UQ>(self.0, _mm512_setzero_ps()) }
    }
    #[inline(always)]
    unsafe fn bits(choice: __mmask16) -> u32 {
        u32::from(choice)
    }
    #[inline(always)]
    unsafe fn store_chosen(self, choice: __mmask16, p: *mut f32) {
        // In a register first: some processors are slow to do this in memory.
        // SAFETY: the caller vouches for the features and the memory.
        unsafe { _mm512_storeu_ps(p, _mm512_maskz_compress_ps(choice, self.0)) }
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
