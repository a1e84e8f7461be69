//! Bytes of stored data as numbers.

use super::isa::{Isa, versions};

/// `to[i] = from[i] * scale`
///
/// # Panics
/// If the lengths differ.
pub fn floats(from: &[u8], scale: f32, to: &mut [f32]) {
    assert_eq!(from.len(), to.len());
    // SAFETY: any processor of this set can; nothing but the slices is touched.
    unsafe { scaled(Isa::current(), from, scale, to) }
}

#[inline(always)]
unsafe fn scaled_body(from: &[u8], scale: f32, to: &mut [f32]) {
    for (number, byte) in to.iter_mut().zip(from) {
        *number = f32::from(*byte) * scale;
    }
}

versions! {
    unsafe fn scaled(from: &[u8], scale: f32, to: &mut [f32]) = scaled_body;
}
