//! `erf`: the error function.

use std::f64::consts::FRAC_2_SQRT_PI;

use super::common::{elementwise, elementwise_cases, map1};
use super::{exp, mul, neg, scale};
use crate::ir::kernel::Scalar;
use crate::ir::{Arity, Attrs, Builder, Grad, Kernel, LevelRule, Lower, NodeId, Op};

/// `erf(x)`.
pub fn erf(b: &mut Builder, x: NodeId) -> NodeId {
    b.add(&OP, &[x], Attrs::none())
}

fn grad(b: &mut Builder, node: NodeId, g: NodeId) -> Vec<Option<NodeId>> {
    let x = b.graph[node].inputs[0];
    let square = mul(b, x, x);
    let negative = neg(b, square);
    let bell = exp(b, negative);
    let slope = scale(b, bell, FRAC_2_SQRT_PI);
    vec![Some(mul(b, g, slope))]
}

/// The series `2 / sqrt(pi) exp(-x^2) sum 2^n x^(2n + 1) / (2n + 1)!!`: all terms have one sign, so nothing
/// cancels. Beyond 6 the result is 1 to the last bit.
fn series(x: f64) -> f64 {
    if x.is_nan() || x.abs() > 6.0 {
        return if x.is_nan() { x } else { x.signum() };
    }
    let (mut term, mut sum, mut n) = (x, x, 0.0);
    while term.abs() > 1e-18 * sum.abs() {
        n += 1.0;
        term *= 2.0 * x * x / (2.0 * n + 1.0);
        sum += term;
    }
    FRAC_2_SQRT_PI * (-x * x).exp() * sum
}

/// The record.
pub static OP: Op = Op {
    name: "erf",
    doc: "The error function of each element: `2 / sqrt(pi)` times the integral of `exp(-t^2)` from 0 \
          to `x`.\n\n\
          `x: f32[..] -> f32[..]`\n\n\
          Example: `erf([0, 1]) = [0, 0.842700793]`\n\n\
          Source: Abramowitz and Stegun, Handbook of Mathematical Functions, 7.1.6 (the reference).",
    attrs: &[],
    arity: Arity::Exactly(1),
    level: LevelRule::Join,
    shape: elementwise,
    grad: Grad::Rule(grad),
    lower: Lower::Kernel(|_, _| Kernel::Map(Scalar::Erf)),
    reference: |call| map1(call, series),
    cases: || elementwise_cases(1, -3.0, 3.0),
};
