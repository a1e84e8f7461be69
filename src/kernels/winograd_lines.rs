//! Winograd's F(2, 3) and F(2, 5) in one dimension: two results of a window with 3 (5) taps from 4 (6) pixels by as
//! many products, after transforms of taps and pixels by sums.
//!
//! A transform takes values at some points of the polynomials whose coefficients taps and pixels are: 0, 1, -1 and
//! the infinite one for three taps; 2 and -1/2 besides for five. (With -2 in place of -1/2 the error would be twice
//! as large.) Factors stand with the taps where they are not powers of two, since those are transformed once a step.

use super::simd::Vector;

/// A form with windows of R taps and T = R + 1 places.
pub(super) trait Lines<const T: usize, const R: usize> {
    /// Taps to places.
    ///
    /// # Safety
    /// The processor has V's features, here and below.
    unsafe fn taps<V: Vector>(g: [V; R]) -> [V; T];
    /// Pixels to places.
    ///
    /// # Safety
    /// As above.
    unsafe fn pixels<V: Vector>(d: [V; T]) -> [V; T];
    /// Places, multiplied and summed over channels, to two results.
    ///
    /// # Safety
    /// As above.
    unsafe fn results<V: Vector>(m: [V; T]) -> [V; 2];
    /// The adjoint of [`Lines::results`]: gradients of two results to those of places.
    ///
    /// # Safety
    /// As above.
    unsafe fn of_results<V: Vector>(g: [V; 2]) -> [V; T];
    /// The adjoint of [`Lines::taps`]: gradients of places to those of taps.
    ///
    /// # Safety
    /// As above.
    unsafe fn of_places<V: Vector>(m: [V; T]) -> [V; R];
}

/// F(2, 3)
pub(super) struct Three;

impl Lines<4, 3> for Three {
    #[inline(always)]
    unsafe fn taps<V: Vector>([a, b, c]: [V; 3]) -> [V; 4] {
        // SAFETY: the caller vouches for the features.
        unsafe {
            let half = V::splat(0.5);
            let (even, odd) = (a.add(c).fma(half, V::zero()), b.fma(half, V::zero()));
            [a, even.add(odd), even.sub(odd), c]
        }
    }

    #[inline(always)]
    unsafe fn pixels<V: Vector>(d: [V; 4]) -> [V; 4] {
        // SAFETY: the caller vouches for the features.
        unsafe { [d[0].sub(d[2]), d[1].add(d[2]), d[2].sub(d[1]), d[1].sub(d[3])] }
    }

    #[inline(always)]
    unsafe fn results<V: Vector>(m: [V; 4]) -> [V; 2] {
        // SAFETY: the caller vouches for the features.
        unsafe { [m[0].add(m[1]).add(m[2]), m[1].sub(m[2]).sub(m[3])] }
    }

    #[inline(always)]
    unsafe fn of_results<V: Vector>([a, b]: [V; 2]) -> [V; 4] {
        // SAFETY: the caller vouches for the features.
        unsafe { [a, a.add(b), a.sub(b), V::zero().sub(b)] }
    }

    #[inline(always)]
    unsafe fn of_places<V: Vector>(m: [V; 4]) -> [V; 3] {
        // SAFETY: the caller vouches for the features.
        unsafe {
            let half = V::splat(0.5);
            let (even, odd) = (m[1].add(m[2]), m[1].sub(m[2]));
            [even.fma(half, m[0]), odd.fma(half, V::zero()), even.fma(half, m[3])]
        }
    }
}

/// F(2, 5)
pub(super) struct Five;

impl Lines<6, 5> for Five {
    /// With the factors 1/2, 1/6, 1/6, 1/30, 16/15 and 1/2 to the values at 0, 1, -1, 2, -1/2 and infinity.
    #[inline(always)]
    unsafe fn taps<V: Vector>([a, b, c, d, e]: [V; 5]) -> [V; 6] {
        // SAFETY: the caller vouches for the features.
        unsafe {
            let by = |x: V, factor: f32| x.fma(V::splat(factor), V::zero());
            let plus = |sum: V, x: V, factor: f32| x.fma(V::splat(factor), sum);
            let (even, odd) = (a.add(c).add(e), b.add(d));
            let at_two = plus(plus(plus(plus(a, b, 2.0), c, 4.0), d, 8.0), e, 16.0);
            let at_half = plus(plus(plus(plus(a, b, -0.5), c, 0.25), d, -0.125), e, 0.0625);
            let sixth = 1.0 / 6.0;
            [
                by(a, 0.5),
                by(even.add(odd), sixth),
                by(even.sub(odd), sixth),
                by(at_two, 1.0 / 30.0),
                by(at_half, 16.0 / 15.0),
                by(e, 0.5),
            ]
        }
    }

    #[inline(always)]
    unsafe fn pixels<V: Vector>(d: [V; 6]) -> [V; 6] {
        // SAFETY: the caller vouches for the features.
        unsafe {
            let plus = |sum: V, x: V, factor: f32| x.fma(V::splat(factor), sum);
            let (down, up) = (d[3].sub(d[1]), d[4].sub(d[2]));
            // 2, 3, -4, -3, 2, 0 and 0, 2, 3, -4, -3, 2
            let (first, last) = (d[0].sub(d[2]).add(up), d[5].sub(d[3]).sub(down));
            let (first, last) = (first.add(first), last.add(last));
            [
                plus(first, down, -3.0),
                // 0, 2, 5, 1, -2, 0
                plus(plus(d[3], d[1].sub(d[4]), 2.0), d[2], 5.0),
                // 0, 2, 1, -5, 2, 0
                plus(plus(d[2], d[1].add(d[4]), 2.0), d[3], -5.0),
                // 0, -1, -2, 1, 2, 0
                plus(down, up, 2.0),
                // 0, -2, 1, 2, -1, 0
                plus(down.add(down), up, -1.0),
                plus(last, up, -3.0),
            ]
        }
    }

    #[inline(always)]
    unsafe fn results<V: Vector>(m: [V; 6]) -> [V; 2] {
        // SAFETY: the caller vouches for the features.
        unsafe {
            let plus = |sum: V, x: V, factor: f32| x.fma(V::splat(factor), sum);
            let (both, apart) = (m[1].add(m[2]), m[1].sub(m[2]));
            let second = plus(plus(apart, m[3], 2.0), m[4], -0.5);
            [m[0].add(both).add(m[3].add(m[4])), second.add(m[5])]
        }
    }

    #[inline(always)]
    unsafe fn of_results<V: Vector>([a, b]: [V; 2]) -> [V; 6] {
        // SAFETY: the caller vouches for the features.
        unsafe {
            let plus = |factor: f32| b.fma(V::splat(factor), a);
            [a, a.add(b), a.sub(b), plus(2.0), plus(-0.5), b]
        }
    }

    #[inline(always)]
    unsafe fn of_places<V: Vector>(m: [V; 6]) -> [V; 5] {
        // SAFETY: the caller vouches for the features.
        unsafe {
            let by = |x: V, factor: f32| x.fma(V::splat(factor), V::zero());
            let plus = |sum: V, x: V, factor: f32| x.fma(V::splat(factor), sum);
            let sixth = 1.0 / 6.0;
            let (even, odd) = (by(m[1].add(m[2]), sixth), by(m[1].sub(m[2]), sixth));
            let (at_two, at_half) = (by(m[3], 1.0 / 30.0), by(m[4], 16.0 / 15.0));
            [
                plus(even, m[0], 0.5).add(at_two.add(at_half)),
                plus(plus(odd, at_two, 2.0), at_half, -0.5),
                plus(plus(even, at_two, 4.0), at_half, 0.25),
                plus(plus(odd, at_two, 8.0), at_half, -0.125),
                plus(plus(plus(even, at_two, 16.0), at_half, 0.0625), m[5], 0.5),
            ]
        }
    }
}
