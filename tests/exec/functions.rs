//! Compiled functions have the bits of the scalar ones, where denormal numbers count as 0 for both.

use nnc::exec::{Program, Store};
use nnc::ir::kernel::Scalar;
use nnc::ir::plan::{Arena, Extent, Instr, WriteMode};
use nnc::kernels::denormals::DenormalsAreZero;
use nnc::kernels::vecmath;

use super::build::{Build, Draw, moment, nest};

/// Numbers of every size and sign, and the special ones.
fn samples() -> Vec<f32> {
    let mut draw = Draw(3);
    let special = [0.0, -0.0, 1.0, -1.0, f32::INFINITY, f32::NEG_INFINITY, f32::NAN, 1e-45, -1e-40, 3e38];
    let mut all = special.to_vec();
    all.extend((0..4000).map(|_| draw.number() * draw.of(&[0.01, 1.0, 5.0, 50.0])));
    all.extend((0..4001).map(|_| f32::from_bits(draw.next() as u32)));
    all
}

fn same(a: f32, b: f32) -> bool {
    a.to_bits() == b.to_bits() || (a.is_nan() && b.is_nan())
}

/// A number as instructions see it that take denormal ones as 0.
fn normal(x: f32) -> f32 {
    if x.is_subnormal() { 0f32.copysign(x) } else { x }
}

/// Runs a function over all pairs; the second operand is ignored by functions of one.
fn compiled(scalar: Scalar, x: &[f32], y: &[f32]) -> Vec<f32> {
    let n = x.len();
    let mut b = Build::new(1, 1, 1);
    let inputs = [b.f32(Arena::Inputs, &[n]), b.f32(Arena::Inputs, &[n])];
    let result = b.f32(Arena::Batch, &[n]);
    let accesses = inputs.map(|id| b.access(id, 2, &[1], Some(0)));
    let store = b.access(result, 2, &[1], Some(0));
    let args = (0..scalar.arity()).collect();
    let body = vec![Instr::Load(0), Instr::Load(1), Instr::Apply(scalar, args)];
    let dims = vec![Extent::Examples(1), Extent::Const(n)];
    let kernel = b.nest(nest(dims, 0, accesses.to_vec(), body, store, WriteMode::Overwrite));
    b.tiles(&[kernel]);
    b.output("result", result);
    let mut program = Program::compile(b.plan, 1).unwrap();
    program.input_mut(0).copy_from_slice(x);
    program.input_mut(1).copy_from_slice(y);
    program.run(&mut Store::new(&[]).unwrap(), moment(1));
    program.output("result").to_vec()
}

#[test]
fn functions_have_the_bits_of_the_scalar_ones() {
    type Function = fn(f32) -> f32;
    let sign: Function = |x| if x == 0.0 { 0.0 } else { x.signum() };
    let functions: [(Scalar, Function); 15] = [
        (Scalar::Exp, vecmath::exp),
        (Scalar::Log, vecmath::log),
        (Scalar::Tanh, vecmath::tanh),
        (Scalar::Sigmoid, vecmath::sigmoid),
        (Scalar::Erf, vecmath::erf),
        (Scalar::Sin, vecmath::sin),
        (Scalar::Cos, vecmath::cos),
        (Scalar::Rsqrt, vecmath::rsqrt),
        (Scalar::Sqrt, f32::sqrt),
        (Scalar::Floor, |x| normal(x).floor()),
        (Scalar::Trunc, |x| normal(x).trunc()),
        (Scalar::Neg, |x| -x),
        (Scalar::Abs, f32::abs),
        (Scalar::Sign, sign),
        (Scalar::Not, |x| f32::from(u8::from(x == 0.0))),
    ];
    let x = samples();
    for (scalar, function) in functions {
        let values = compiled(scalar, &x, &x);
        let _mode = DenormalsAreZero::start();
        for (x, value) in x.iter().zip(values) {
            assert!(same(value, function(*x)), "{scalar:?}({x:e}) = {value:e}, scalar {:e}", function(*x));
        }
    }
}

#[test]
fn functions_of_two_have_the_bits_of_the_scalar_ones() {
    type Function = fn(f32, f32) -> f32;
    let functions: [(Scalar, Function); 12] = [
        (Scalar::Pow, vecmath::pow),
        (Scalar::Add, |x, y| x + y),
        (Scalar::Sub, |x, y| x - y),
        (Scalar::Mul, |x, y| x * y),
        (Scalar::Div, |x, y| x / y),
        (Scalar::Max, |x, y| if x > y { x } else { y }),
        (Scalar::Min, |x, y| if x < y { x } else { y }),
        (Scalar::Lt, |x, y| f32::from(u8::from(x < y))),
        (Scalar::Le, |x, y| f32::from(u8::from(x <= y))),
        (Scalar::Eq, |x, y| f32::from(u8::from(x == y))),
        (Scalar::And, |x, y| f32::from(u8::from(x != 0.0 && y != 0.0))),
        (Scalar::Or, |x, y| f32::from(u8::from(x != 0.0 || y != 0.0))),
    ];
    let x = samples();
    let mut y: Vec<f32> = x.iter().rev().copied().collect();
    y[..20].copy_from_slice(&x[..20]);
    for (scalar, function) in functions {
        let values = compiled(scalar, &x, &y);
        let _mode = DenormalsAreZero::start();
        for ((x, y), value) in x.iter().zip(&y).zip(values) {
            let expected = function(*x, *y);
            assert!(same(value, expected), "{scalar:?}({x:e}, {y:e}) = {value:e}, scalar {expected:e}");
        }
    }
}
