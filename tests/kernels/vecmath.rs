//! The f32 functions against f64: dense sweeps, and values where something could break.

use nnc::kernels::vecmath as v;

const SPECIAL: [f32; 24] = [
    0.0,
    -0.0,
    1.0,
    -1.0,
    0.5,
    2.0,
    -2.0,
    3.0,
    -3.0,
    1e-45,
    -1e-45,
    1e-39,
    f32::MIN_POSITIVE,
    -f32::MIN_POSITIVE,
    1e-20,
    1e20,
    -1e20,
    88.7,
    88.8,
    -103.9,
    f32::MAX,
    f32::MIN,
    f32::INFINITY,
    f32::NEG_INFINITY,
];

/// How far `got` is from `expected` in units of the last place of `expected` as f32.
fn ulps(got: f32, expected: f64) -> f64 {
    let rounded = expected as f32;
    if got == rounded || (got.is_nan() && rounded.is_nan()) {
        return 0.0;
    }
    if !got.is_finite() || !rounded.is_finite() {
        return f64::INFINITY;
    }
    let next = f32::from_bits(rounded.abs().to_bits() + 1);
    let ulp = if next.is_finite() { f64::from(next) - f64::from(rounded.abs()) } else { 2f64.powi(104) };
    (f64::from(got) - expected).abs() / ulp
}

/// The greatest error over `count` evenly spaced points of `[low, high]`.
fn worst(
    name: &str,
    f: fn(f32) -> f32,
    reference: fn(f64) -> f64,
    range: (f32, f32),
    count: u32,
    bound: f64,
) {
    let (low, high) = range;
    let mut worst = (0.0, low);
    for i in 0..=count {
        let x = low + (high - low) * (i as f32 / count as f32);
        let error = ulps(f(x), reference(f64::from(x)));
        if error > worst.0 {
            worst = (error, x);
        }
    }
    assert!(worst.0 <= bound, "{name}: {} units at {} in {range:?}: {}", worst.0, worst.1, f(worst.1));
}

/// Every power of two times a few mantissas, so that each exponent is met.
fn worst_by_exponent(name: &str, f: fn(f32) -> f32, reference: fn(f64) -> f64, largest: f32, bound: f64) {
    for bits in (1..largest.to_bits()).step_by(65_537) {
        for x in [f32::from_bits(bits), -f32::from_bits(bits)] {
            let error = ulps(f(x), reference(f64::from(x)));
            assert!(error <= bound, "{name}: {error} units at {x}: {}", f(x));
        }
    }
}

/// The error function from its series, and from the continued fraction of its complement.
fn erf(x: f64) -> f64 {
    if x.abs() < 3.0 {
        let (mut term, mut sum) = (x, x);
        for n in 1..100 {
            term *= -x * x / f64::from(n);
            sum += term / f64::from(2 * n + 1);
        }
        return sum * std::f64::consts::FRAC_2_SQRT_PI;
    }
    let a = x.abs();
    let fraction = (1..60).rev().fold(a, |f, k| a + f64::from(k) / 2.0 / f);
    x.signum() * (1.0 - (-a * a).exp() / fraction / std::f64::consts::PI.sqrt())
}

fn sigmoid(x: f64) -> f64 {
    1.0 / (1.0 + (-x).exp())
}

#[test]
fn exp_is_accurate() {
    let exp = |x: f64| if x < f64::from(v::EXP_LOW) { 0.0 } else { x.exp() };
    worst("exp", v::exp, exp, (-104.0, 89.0), 400_000, 1.5);
    worst("exp", v::exp, exp, (-1.0, 1.0), 200_000, 1.5);
    worst_by_exponent("exp", v::exp, exp, 200.0, 1.5);
    for x in SPECIAL.into_iter().filter(|x| *x > v::EXP_LOW) {
        assert!(ulps(v::exp(x), f64::from(x).exp()) <= 1.5, "exp({x}) = {}", v::exp(x));
    }
    assert!(v::exp(f32::NAN).is_nan());
    assert_eq!(v::exp(0.0), 1.0);
    assert!(v::exp(v::EXP_LOW) * 0.5 >= f32::MIN_POSITIVE);
    for x in [-86.7, -103.9, -1e20, f32::MIN, f32::NEG_INFINITY] {
        assert_eq!(v::exp(x).to_bits(), 0, "{x}");
    }
}

#[test]
fn log_is_accurate() {
    worst("log", v::log, f64::ln, (0.5, 2.0), 400_000, 2.0);
    worst_by_exponent("log", v::log, f64::ln, f32::INFINITY, 2.0);
    for x in SPECIAL {
        assert!(ulps(v::log(x), f64::from(x).ln()) <= 2.0, "log({x}) = {}", v::log(x));
    }
    assert!(v::log(f32::NAN).is_nan());
    assert_eq!(v::log(1.0), 0.0);
}

#[test]
fn tanh_is_accurate_and_never_beyond_one() {
    worst("tanh", v::tanh, f64::tanh, (-12.0, 12.0), 400_000, 6.0);
    worst("tanh", v::tanh, f64::tanh, (-0.5, 0.5), 200_000, 5.0);
    worst_by_exponent("tanh", v::tanh, f64::tanh, f32::INFINITY, 6.0);
    for x in SPECIAL {
        assert!(v::tanh(x).abs() <= 1.0);
        assert!(ulps(v::tanh(x), f64::from(x).tanh()) <= 5.0, "tanh({x}) = {}", v::tanh(x));
    }
    for x in [v::TANH_HIGH, f32::MAX, f32::INFINITY] {
        assert_eq!((v::tanh(x), v::tanh(-x)), (1.0, -1.0));
    }
    assert!(v::tanh(f32::NAN).is_nan());
}

#[test]
fn sigmoid_is_accurate() {
    let sigmoid = |x: f64| if x < f64::from(v::EXP_LOW) { 0.0 } else { sigmoid(x) };
    worst("sigmoid", v::sigmoid, sigmoid, (-104.0, 30.0), 400_000, 3.0);
    worst_by_exponent("sigmoid", v::sigmoid, sigmoid, f32::INFINITY, 3.0);
    for x in SPECIAL {
        assert!(ulps(v::sigmoid(x), sigmoid(f64::from(x))) <= 3.0, "sigmoid({x}) = {}", v::sigmoid(x));
    }
    assert!(v::sigmoid(f32::NAN).is_nan());
}

#[test]
fn erf_is_accurate() {
    worst("erf", v::erf, erf, (-5.0, 5.0), 400_000, 8.0);
    worst_by_exponent("erf", v::erf, erf, f32::INFINITY, 8.0);
    assert_eq!(v::erf(v::ERF_HIGH), 1.0);
    assert_eq!(v::erf(f32::INFINITY), 1.0);
    assert_eq!(v::erf(f32::NEG_INFINITY), -1.0);
    assert!(v::erf(f32::NAN).is_nan());
}

#[test]
fn sin_and_cos_are_accurate_in_absolute_terms() {
    for (f, reference) in [(v::sin as fn(f32) -> f32, f64::sin as fn(f64) -> f64), (v::cos, f64::cos)] {
        for i in -400_000..=400_000 {
            let x = i as f32 * 0.025;
            let error = (f64::from(f(x)) - reference(f64::from(x))).abs();
            assert!(error < 1.2e-7, "{error} at {x}");
        }
    }
    worst("sin", v::sin, f64::sin, (-0.7, 0.7), 200_000, 1.5);
    for x in SPECIAL {
        if x.is_finite() {
            assert!(v::sin(x).abs() <= 1.0 && v::cos(x).abs() <= 1.0, "{x}: {} {}", v::sin(x), v::cos(x));
        } else {
            assert!(v::sin(x).is_nan() && v::cos(x).is_nan());
        }
    }
    assert_eq!(v::sin(0.0), 0.0);
    assert_eq!(v::cos(0.0), 1.0);
}

#[test]
fn pow_is_accurate() {
    let mut worst = (0.0, 0.0, 0.0);
    for i in 1..4_000 {
        let x = 1.011f32.powi(i - 2_000) * (1.0 + i as f32 * 1e-5);
        for y in [2.0, 3.0, 0.5, -0.5, -1.0, 1.5, 10.0, 30.0, 0.1, 1e-3, -7.3, 1e4] {
            let expected = f64::from(x).powf(f64::from(y));
            if !(1e-37..3e38).contains(&expected) {
                continue;
            }
            let error = (f64::from(v::pow(x, y)) / expected - 1.0).abs();
            if error > worst.0 {
                worst = (error, x, y);
            }
        }
    }
    assert!(worst.0 < 1e-6, "{worst:?}");
    for i in 0..100_000 {
        let x = i as f32 * 1e-3;
        assert!(ulps(v::pow(x, 2.0), f64::from(x) * f64::from(x)) <= 2.0, "{x}");
    }
}

#[test]
fn pow_has_the_special_values_of_ieee() {
    for x in SPECIAL {
        for y in SPECIAL {
            let (got, expected) = (v::pow(x, y), (if x == 0.0 { 0.0 } else { x }).powf(y));
            let same = got == expected || (got.is_nan() && expected.is_nan());
            let close = (f64::from(got) / f64::from(expected) - 1.0).abs() < 1e-6;
            let denormal = expected.abs() < 2.1 * f32::MIN_POSITIVE && got == 0.0;
            if x == f32::NEG_INFINITY && y.is_finite() && y.fract() != 0.0 {
                assert!(got.is_nan()); // IEEE gives a number here; for us it is like any negative base.
                continue;
            }
            let edge = got.is_infinite() && expected.abs() > 3.3e38;
            assert!(same || close || denormal || edge, "{x} ^ {y} = {got}, expected {expected}");
        }
    }
    assert!(v::pow(f32::NAN, 2.0).is_nan());
    assert!(v::pow(2.0, f32::NAN).is_nan());
    assert_eq!(v::pow(f32::NAN, 0.0), 1.0);
    assert_eq!(v::pow(-2.0, 3.0), -8.0);
    assert!(v::pow(-2.0, 0.5).is_nan());
}

#[test]
fn rsqrt_is_one_over_the_root() {
    for x in SPECIAL {
        assert_eq!(v::rsqrt(x).to_bits(), (1.0 / x.sqrt()).to_bits());
    }
}
