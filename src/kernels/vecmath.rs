//! The one specification of f32 functions: exp, log, tanh, sigmoid, erf, sin, cos, pow, rsqrt.
//!
//! Each is written once as a list of steps on an [`Arith`]: the scalar one here computes a number, the
//! one of the code generator emits vector instructions. Both so do the same steps in the same order,
//! and every step is exact or correctly rounded by IEEE 754, so results have equal bits everywhere.
//! There are no branches, only selects. Polynomials follow Cephes (S. Moshier: exp, log, sin, cos) and
//! Eigen (tanh, erf); errors are a few units in the last place.

pub use super::arith::{Arith, Scalar};

/// `1.5 * 2^23`: adding it rounds a small number to the nearest integer (ties to even), which then
/// stands in the low bits.
pub const ROUND: f32 = 12_582_912.0;
/// `log2(e)`
pub const LOG2_E: f32 = std::f32::consts::LOG2_E;
/// The leading bits of `ln 2`: its product with an exponent is exact.
pub const LN_2_HIGH: f32 = 0.693_359_4;
/// The rest of `ln 2`.
pub const LN_2_LOW: f32 = -2.121_944_4e-4;
/// `exp` gives 0 below this; half of the last value is still a normal number.
pub const EXP_LOW: f32 = -86.6;
/// `exp` gives infinity from here on (and already above 88.72284).
pub const EXP_HIGH: f32 = 89.0;
/// `(exp(r) - 1 - r) / r^2` for `|r| <= ln(2) / 2`, highest power first.
pub const EXP: [f32; 6] = [1.987_569_1e-4, 1.398_199_9e-3, 8.333_452e-3, 4.166_579_6e-2, 1.666_666_5e-1, 0.5];
/// `(log(1 + f) - f + f^2 / 2) / f^3` for `1 + f` in `[sqrt(1/2), sqrt(2))`, highest power first.
pub const LOG: [f32; 9] = [
    7.037_683_6e-2,
    -1.151_461e-1,
    1.167_699_87e-1,
    -1.242_014_1e-1,
    1.424_932_3e-1,
    -1.666_805_8e-1,
    2.000_071_4e-1,
    -2.499_999_4e-1,
    3.333_333e-1,
];
/// The bits of `sqrt(1/2)`.
pub const SQRT_HALF_BITS: i32 = 0x3f35_04f3;
/// `tanh` is 1 from here on; the rational function rounds to 1 or more at this very place.
pub const TANH_HIGH: f32 = 9.42;
/// The odd numerator of `tanh`, highest power first.
pub const TANH_P: [f32; 7] = [
    -2.760_768_5e-16,
    2.000_188e-13,
    -8.604_672e-11,
    5.122_297e-8,
    1.485_722_4e-5,
    6.372_619_3e-4,
    4.893_524_6e-3,
];
/// The even denominator of `tanh`, highest power first.
pub const TANH_Q: [f32; 4] = [1.198_258_4e-6, 1.185_347_1e-4, 2.268_434_6e-3, 4.893_525e-3];
/// `erf` is 1 from here on; the rational function rounds to 1 or more at this very place.
pub const ERF_HIGH: f32 = 4.1;
/// The odd numerator of `erf`, highest power first.
pub const ERF_P: [f32; 7] = [
    -2.726_142_3e-10,
    2.770_681_4e-8,
    -2.101_024e-6,
    -5.692_506_4e-5,
    -7.349_906_3e-4,
    -2.954_6e-3,
    -1.609_603_3e-2,
];
/// The even denominator of `erf`, highest power first.
pub const ERF_Q: [f32; 5] = [-1.456_607_2e-5, -2.133_740_6e-4, -1.682_827e-3, -7.373_329e-3, -1.426_473_9e-2];
/// `2 / pi`
pub const TWO_OVER_PI: f32 = std::f32::consts::FRAC_2_PI;
/// `pi / 2` in three parts, each the rest of those before, with its sign turned.
pub const MINUS_HALF_PI: [f32; 3] = [-std::f32::consts::FRAC_PI_2, 4.371_139e-8, 1.715_124_5e-15];
/// `(sin(r) - r) / r^3` for `|r| <= pi / 4`, highest power of `r^2` first.
pub const SIN: [f32; 3] = [-1.951_529_6e-4, 8.332_161e-3, -1.666_665_5e-1];
/// `(cos(r) - 1 + r^2 / 2) / r^4` for `|r| <= pi / 4`, highest power of `r^2` first.
pub const COS: [f32; 3] = [2.443_315_7e-5, -1.388_731_6e-3, 4.166_664_6e-2];
/// `exp` of at most this is surely finite.
pub const POW_SAFE: f32 = 88.7;

/// Horner's rule, highest power first, with one fma a coefficient.
#[inline(always)]
fn polynomial<A: Arith>(a: &mut A, x: A::F, coefficients: &[f32]) -> A::F {
    let mut sum = a.number(coefficients[0]);
    for c in &coefficients[1..] {
        let c = a.number(*c);
        sum = a.fma(sum, x, c);
    }
    sum
}

/// `x` limited to `[low, high]`; NaN stays.
#[inline(always)]
fn clamp<A: Arith>(a: &mut A, x: A::F, low: f32, high: f32) -> A::F {
    let (low, high) = (a.number(low), a.number(high));
    let x = a.max(low, x);
    a.min(high, x)
}

/// `|x|`, by clearing the sign bit.
#[inline(always)]
pub fn abs_steps<A: Arith>(a: &mut A, x: A::F) -> A::F {
    let bits = a.bits(x);
    let mask = a.integer(0x7fff_ffff);
    let bits = a.and(bits, mask);
    a.of_bits(bits)
}

/// With `x = n ln 2 + r` the number `exp(r)`, and the bits of a float that end with those of `n`.
#[inline(always)]
fn exp_parts<A: Arith>(a: &mut A, x: A::F) -> (A::F, A::I) {
    let (log2e, round) = (a.number(LOG2_E), a.number(ROUND));
    let t = a.fma(x, log2e, round);
    let n = a.sub(t, round);
    let (high, low) = (a.number(-LN_2_HIGH), a.number(-LN_2_LOW));
    let r = a.fma(n, high, x);
    let r = a.fma(n, low, r);
    let p = polynomial(a, r, &EXP);
    let square = a.mul(r, r);
    let p = a.fma(p, square, r);
    let one = a.number(1.0);
    (a.add(p, one), a.bits(t))
}

/// `p` times the power of two of the sum of `more` and the integer at the end of `bits`; that power is normal.
#[inline(always)]
fn scaled<A: Arith>(a: &mut A, p: A::F, bits: A::I, more: i32) -> A::F {
    let biased = a.integer(127 + more);
    let biased = a.int_add(bits, biased);
    let power = a.shl(biased, 23);
    let power = a.of_bits(power);
    a.mul(p, power)
}

/// `exp(x)`: a polynomial times a power of two, the last factor of two apart so that no power is too large.
/// There are no denormal results: processors take a hundred cycles for a product that underflows, and masks of
/// attention are full of them.
#[inline(always)]
pub fn exp_steps<A: Arith>(a: &mut A, x: A::F) -> A::F {
    let (low, zero) = (a.number(EXP_LOW), a.number(0.0));
    let vanishes = a.lt(x, low);
    let x = clamp(a, x, EXP_LOW, EXP_HIGH);
    let (p, bits) = exp_parts(a, x);
    let half = scaled(a, p, bits, -1);
    let whole = a.add(half, half);
    a.select(vanishes, zero, whole)
}

/// A positive finite `x` as `(f, e)` with `x = (1 + f) 2^e` and `1 + f` in `[sqrt(1/2), sqrt(2))`.
#[inline(always)]
fn split<A: Arith>(a: &mut A, x: A::F) -> (A::F, A::F) {
    let least_normal = a.number(f32::MIN_POSITIVE);
    let tiny = a.lt(x, least_normal);
    let scale = a.number(8_388_608.0);
    let scaled = a.mul(x, scale);
    let x = a.select(tiny, scaled, x);
    let (shift, zero) = (a.number(-23.0), a.number(0.0));
    let shift = a.select(tiny, shift, zero);
    let bits = a.bits(x);
    let base = a.integer(SQRT_HALF_BITS);
    let i = a.int_sub(bits, base);
    let e = a.sar(i, 23);
    let e = a.convert(e);
    let e = a.add(e, shift);
    let mask = a.integer(0x007f_ffff);
    let mantissa = a.and(i, mask);
    let mantissa = a.int_add(mantissa, base);
    let m = a.of_bits(mantissa);
    let one = a.number(1.0);
    (a.sub(m, one), e)
}

/// `log(x)`: minus infinity at 0, NaN below.
#[inline(always)]
pub fn log_steps<A: Arith>(a: &mut A, x: A::F) -> A::F {
    let (f, e) = split(a, x);
    let p = polynomial(a, f, &LOG);
    let z = a.mul(f, f);
    let p = a.mul(p, f);
    let low = a.number(LN_2_LOW);
    let tail = a.mul(e, low);
    let tail = a.fma(p, z, tail);
    let minus_half = a.number(-0.5);
    let tail = a.fma(z, minus_half, tail);
    let r = a.add(f, tail);
    let high = a.number(LN_2_HIGH);
    let r = a.fma(e, high, r);
    let infinity = a.number(f32::INFINITY);
    let is_infinite = a.eq(x, infinity);
    let r = a.select(is_infinite, infinity, r);
    let zero = a.number(0.0);
    let minus_infinity = a.number(f32::NEG_INFINITY);
    let is_zero = a.eq(x, zero);
    let r = a.select(is_zero, minus_infinity, r);
    let defined = a.le(zero, x);
    let nan = a.number(f32::NAN);
    a.select(defined, r, nan)
}

/// `x P(x^2) / Q(x^2)` between `-limit` and `limit`, where it rounds to 1 in size, and 1 in size from there on.
#[inline(always)]
fn odd_rational<A: Arith>(a: &mut A, x: A::F, p: &[f32], q: &[f32], limit: f32) -> A::F {
    let x = clamp(a, x, -limit, limit);
    let z = a.mul(x, x);
    let p = polynomial(a, z, p);
    let q = polynomial(a, z, q);
    let ratio = a.div(p, q);
    let r = a.mul(x, ratio);
    clamp(a, r, -1.0, 1.0)
}

/// `tanh(x)`
#[inline(always)]
pub fn tanh_steps<A: Arith>(a: &mut A, x: A::F) -> A::F {
    odd_rational(a, x, &TANH_P, &TANH_Q, TANH_HIGH)
}

/// The error function.
#[inline(always)]
pub fn erf_steps<A: Arith>(a: &mut A, x: A::F) -> A::F {
    odd_rational(a, x, &ERF_P, &ERF_Q, ERF_HIGH)
}

/// `1 / (1 + exp(-x))`, from `exp(-|x|)` so that nothing overflows; 0 below `EXP_LOW`.
#[inline(always)]
pub fn sigmoid_steps<A: Arith>(a: &mut A, x: A::F) -> A::F {
    let bits = a.bits(x);
    let sign = a.integer(i32::MIN);
    let positive = a.integer(i32::MAX);
    let bits = a.and(bits, positive);
    let bits = a.xor(bits, sign);
    let (minus_abs, low) = (a.of_bits(bits), a.number(EXP_LOW));
    let minus_abs = a.max(low, minus_abs);
    let (p, bits) = exp_parts(a, minus_abs);
    let e = scaled(a, p, bits, 0);
    let (zero, one) = (a.number(0.0), a.number(1.0));
    let (negative, vanishes) = (a.lt(x, zero), a.lt(x, low));
    let top = a.select(negative, e, one);
    let top = a.select(vanishes, zero, top);
    let bottom = a.add(one, e);
    a.div(top, bottom)
}

/// `sin(x + quarter * pi / 2)`. Accurate for `|x|` up to about 10,000, bounded by 1 beyond.
#[inline(always)]
fn circular<A: Arith>(a: &mut A, x: A::F, quarter: i32) -> A::F {
    let (k, round) = (a.number(TWO_OVER_PI), a.number(ROUND));
    let t = a.fma(x, k, round);
    let n = a.sub(t, round);
    let mut r = x;
    for part in MINUS_HALF_PI {
        let part = a.number(part);
        r = a.fma(n, part, r);
    }
    let r = clamp(a, r, -0.8, 0.8);
    let z = a.mul(r, r);
    let s = polynomial(a, z, &SIN);
    let s = a.mul(s, z);
    let s = a.fma(s, r, r);
    let c = polynomial(a, z, &COS);
    let c = a.mul(c, z);
    let minus_half = a.number(-0.5);
    let c = a.add(c, minus_half);
    let one = a.number(1.0);
    let c = a.fma(c, z, one);
    let n = a.bits(t);
    let quarter = a.integer(quarter);
    let n = a.int_add(n, quarter);
    let (unit, two, zero) = (a.integer(1), a.integer(2), a.integer(0));
    let odd = a.and(n, unit);
    let even = a.int_eq(odd, zero);
    let r = a.select(even, s, c);
    let sign = a.and(n, two);
    let sign = a.shl(sign, 30);
    let r = a.bits(r);
    let r = a.xor(r, sign);
    a.of_bits(r)
}

/// `sin(x)`; accurate for `|x|` up to about 10,000, bounded by 1 beyond.
#[inline(always)]
pub fn sin_steps<A: Arith>(a: &mut A, x: A::F) -> A::F {
    circular(a, x, 0)
}

/// `cos(x)`; accurate for `|x|` up to about 10,000, bounded by 1 beyond.
#[inline(always)]
pub fn cos_steps<A: Arith>(a: &mut A, x: A::F) -> A::F {
    circular(a, x, 1)
}

/// `1 / sqrt(x)`
#[inline(always)]
pub fn rsqrt_steps<A: Arith>(a: &mut A, x: A::F) -> A::F {
    let one = a.number(1.0);
    let root = a.sqrt(x);
    a.div(one, root)
}

/// `log(x)` of a positive finite `x` as a sum of two floats.
#[inline(always)]
fn log_pair<A: Arith>(a: &mut A, x: A::F) -> (A::F, A::F) {
    let (f, e) = split(a, x);
    let p = polynomial(a, f, &LOG);
    let z = a.mul(f, f);
    let zero = a.number(0.0);
    let minus_z = a.sub(zero, z);
    let z_low = a.fma(f, f, minus_z);
    let cube = a.mul(f, z);
    let minus_half = a.number(-0.5);
    // b = f - z/2 and what its rounding lost.
    let b = a.fma(z, minus_half, f);
    let back = a.sub(f, b);
    let lost = a.fma(z, minus_half, back);
    let low = a.fma(z_low, minus_half, lost);
    let low = a.fma(cube, p, low);
    let ln2_low = a.number(LN_2_LOW);
    let low = a.fma(e, ln2_low, low);
    let ln2_high = a.number(LN_2_HIGH);
    let big = a.mul(e, ln2_high);
    let high = a.add(big, b);
    let back = a.sub(high, big);
    let lost = a.sub(b, back);
    let low = a.add(low, lost);
    let sum = a.add(high, low);
    let back = a.sub(sum, high);
    (sum, a.sub(low, back))
}

/// `x ^ y`: `exp(y log |x|)` with the logarithm and the product in two floats. A negative `x` has a
/// power for whole `y` only; `x ^ 0` and `1 ^ y` are 1; -0 is taken as 0.
#[inline(always)]
pub fn pow_steps<A: Arith>(a: &mut A, x: A::F, y: A::F) -> A::F {
    let size = abs_steps(a, x);
    let (high, low) = log_pair(a, size);
    let (zero, one) = (a.number(0.0), a.number(1.0));
    let infinity = a.number(f32::INFINITY);
    let minus_infinity = a.number(f32::NEG_INFINITY);
    let is_zero = a.eq(size, zero);
    let is_infinite = a.eq(size, infinity);
    let high = a.select(is_zero, minus_infinity, high);
    let high = a.select(is_infinite, infinity, high);
    let product = a.mul(y, high);
    let minus = a.sub(zero, product);
    let rest = a.fma(y, high, minus);
    let rest = a.fma(y, low, rest);
    let size_of_product = abs_steps(a, product);
    let safe = a.number(POW_SAFE);
    let is_safe = a.le(size_of_product, safe);
    let e = exp_steps(a, product);
    let r = a.fma(e, rest, e);
    let r = a.select(is_safe, r, e);
    let is_one = a.eq(size, one);
    let r = a.select(is_one, one, r);
    // The sign, for negative x.
    let whole = a.floor(y);
    let is_whole = a.eq(whole, y);
    let half = a.number(0.5);
    let half = a.mul(y, half);
    let half_floor = a.floor(half);
    let is_even = a.eq(half_floor, half);
    let minus_r = a.sub(zero, r);
    let nan = a.number(f32::NAN);
    let signed = a.select(is_even, r, minus_r);
    let signed = a.select(is_whole, signed, nan);
    let negative = a.lt(x, zero);
    let r = a.select(negative, signed, r);
    let is_nan = a.eq(x, x);
    let r = a.select(is_nan, r, x);
    let power_zero = a.eq(y, zero);
    a.select(power_zero, one, r)
}

macro_rules! scalar_functions {
    ($($name:ident = $steps:ident),*) => {$(
        #[doc = concat!("One number through [`", stringify!($steps), "`].")]
        #[inline(always)]
        pub fn $name(x: f32) -> f32 {
            $steps(&mut Scalar, x)
        }
    )*};
}

scalar_functions!(
    exp = exp_steps,
    log = log_steps,
    tanh = tanh_steps,
    sigmoid = sigmoid_steps,
    erf = erf_steps,
    sin = sin_steps,
    cos = cos_steps,
    rsqrt = rsqrt_steps
);

/// One pair of numbers through [`pow_steps`].
#[inline(always)]
pub fn pow(x: f32, y: f32) -> f32 {
    pow_steps(&mut Scalar, x, y)
}
