//! The steps that f32 functions are written in, and their meaning on single numbers.

/// The steps that the functions are made of, on lanes of f32 and of i32.
pub trait Arith {
    /// Lanes of f32.
    type F: Copy;
    /// Lanes of i32.
    type I: Copy;
    /// Lanes of truth values.
    type M: Copy;
    /// The same number in each lane.
    fn number(&mut self, x: f32) -> Self::F;
    /// The same integer in each lane.
    fn integer(&mut self, x: i32) -> Self::I;
    /// `a + b`
    fn add(&mut self, a: Self::F, b: Self::F) -> Self::F;
    /// `a - b`
    fn sub(&mut self, a: Self::F, b: Self::F) -> Self::F;
    /// `a * b`
    fn mul(&mut self, a: Self::F, b: Self::F) -> Self::F;
    /// `a / b`
    fn div(&mut self, a: Self::F, b: Self::F) -> Self::F;
    /// `a * b + c`, rounded once.
    fn fma(&mut self, a: Self::F, b: Self::F, c: Self::F) -> Self::F;
    /// The square root.
    fn sqrt(&mut self, a: Self::F) -> Self::F;
    /// The greatest whole number that is not greater.
    fn floor(&mut self, a: Self::F) -> Self::F;
    /// `a < b`; false where one is NaN.
    fn lt(&mut self, a: Self::F, b: Self::F) -> Self::M;
    /// `a <= b`; false where one is NaN.
    fn le(&mut self, a: Self::F, b: Self::F) -> Self::M;
    /// `a == b`; false where one is NaN.
    fn eq(&mut self, a: Self::F, b: Self::F) -> Self::M;
    /// `a == b` of integers.
    fn int_eq(&mut self, a: Self::I, b: Self::I) -> Self::M;
    /// `then` where `m` holds, `other` elsewhere; both are computed.
    fn select(&mut self, m: Self::M, then: Self::F, other: Self::F) -> Self::F;
    /// `-a`
    fn neg(&mut self, a: Self::F) -> Self::F;
    /// The whole number next to `a` on the way to 0.
    fn trunc(&mut self, a: Self::F) -> Self::F;
    /// `a > b ? a : b`
    fn max(&mut self, a: Self::F, b: Self::F) -> Self::F;
    /// `a < b ? a : b`
    fn min(&mut self, a: Self::F, b: Self::F) -> Self::F;
    /// Whether a number is not 0; true for NaN.
    fn nonzero(&mut self, a: Self::F) -> Self::M;
    /// Whether both hold.
    fn both(&mut self, a: Self::M, b: Self::M) -> Self::M;
    /// Whether one holds, or both.
    fn either(&mut self, a: Self::M, b: Self::M) -> Self::M;
    /// Whether it does not hold.
    fn not(&mut self, a: Self::M) -> Self::M;
    /// 1 where it holds, 0 elsewhere.
    fn indicator(&mut self, a: Self::M) -> Self::F;
    /// The bits of each float.
    fn bits(&mut self, a: Self::F) -> Self::I;
    /// The floats with these bits.
    fn of_bits(&mut self, a: Self::I) -> Self::F;
    /// The floats of these values, rounded to nearest.
    fn convert(&mut self, a: Self::I) -> Self::F;
    /// `a + b`, wrapping.
    fn int_add(&mut self, a: Self::I, b: Self::I) -> Self::I;
    /// `a - b`, wrapping.
    fn int_sub(&mut self, a: Self::I, b: Self::I) -> Self::I;
    /// `a & b`
    fn and(&mut self, a: Self::I, b: Self::I) -> Self::I;
    /// `a ^ b`
    fn xor(&mut self, a: Self::I, b: Self::I) -> Self::I;
    /// `a << by`, with zeros.
    fn shl(&mut self, a: Self::I, by: u8) -> Self::I;
    /// `a >> by`, with copies of the sign.
    fn sar(&mut self, a: Self::I, by: u8) -> Self::I;
}

/// The steps on single numbers.
#[derive(Clone, Copy, Debug, Default)]
pub struct Scalar;

impl Arith for Scalar {
    type F = f32;
    type I = i32;
    type M = bool;
    #[inline(always)]
    fn number(&mut self, x: f32) -> f32 {
        x
    }
    #[inline(always)]
    fn integer(&mut self, x: i32) -> i32 {
        x
    }
    #[inline(always)]
    fn add(&mut self, a: f32, b: f32) -> f32 {
        a + b
    }
    #[inline(always)]
    fn sub(&mut self, a: f32, b: f32) -> f32 {
        a - b
    }
    #[inline(always)]
    fn mul(&mut self, a: f32, b: f32) -> f32 {
        a * b
    }
    #[inline(always)]
    fn div(&mut self, a: f32, b: f32) -> f32 {
        a / b
    }
    #[inline(always)]
    fn fma(&mut self, a: f32, b: f32, c: f32) -> f32 {
        a.mul_add(b, c)
    }
    #[inline(always)]
    fn sqrt(&mut self, a: f32) -> f32 {
        a.sqrt()
    }
    #[inline(always)]
    fn floor(&mut self, a: f32) -> f32 {
        a.floor()
    }
    #[inline(always)]
    fn lt(&mut self, a: f32, b: f32) -> bool {
        a < b
    }
    #[inline(always)]
    fn le(&mut self, a: f32, b: f32) -> bool {
        a <= b
    }
    #[inline(always)]
    fn eq(&mut self, a: f32, b: f32) -> bool {
        a == b
    }
    #[inline(always)]
    fn int_eq(&mut self, a: i32, b: i32) -> bool {
        a == b
    }
    #[inline(always)]
    fn select(&mut self, m: bool, then: f32, other: f32) -> f32 {
        if m { then } else { other }
    }
    #[inline(always)]
    fn neg(&mut self, a: f32) -> f32 {
        -a
    }
    #[inline(always)]
    fn trunc(&mut self, a: f32) -> f32 {
        a.trunc()
    }
    #[inline(always)]
    fn max(&mut self, a: f32, b: f32) -> f32 {
        if a > b { a } else { b }
    }
    #[inline(always)]
    fn min(&mut self, a: f32, b: f32) -> f32 {
        if a < b { a } else { b }
    }
    #[inline(always)]
    fn nonzero(&mut self, a: f32) -> bool {
        a != 0.0
    }
    #[inline(always)]
    fn both(&mut self, a: bool, b: bool) -> bool {
        a && b
    }
    #[inline(always)]
    fn either(&mut self, a: bool, b: bool) -> bool {
        a || b
    }
    #[inline(always)]
    fn not(&mut self, a: bool) -> bool {
        !a
    }
    #[inline(always)]
    fn indicator(&mut self, a: bool) -> f32 {
        f32::from(u8::from(a))
    }
    #[inline(always)]
    fn bits(&mut self, a: f32) -> i32 {
        a.to_bits() as i32
    }
    #[inline(always)]
    fn of_bits(&mut self, a: i32) -> f32 {
        f32::from_bits(a as u32)
    }
    #[inline(always)]
    fn convert(&mut self, a: i32) -> f32 {
        a as f32
    }
    #[inline(always)]
    fn int_add(&mut self, a: i32, b: i32) -> i32 {
        a.wrapping_add(b)
    }
    #[inline(always)]
    fn int_sub(&mut self, a: i32, b: i32) -> i32 {
        a.wrapping_sub(b)
    }
    #[inline(always)]
    fn and(&mut self, a: i32, b: i32) -> i32 {
        a & b
    }
    #[inline(always)]
    fn xor(&mut self, a: i32, b: i32) -> i32 {
        a ^ b
    }
    #[inline(always)]
    fn shl(&mut self, a: i32, by: u8) -> i32 {
        a << by
    }
    #[inline(always)]
    fn sar(&mut self, a: i32, by: u8) -> i32 {
        a >> by
    }
}
