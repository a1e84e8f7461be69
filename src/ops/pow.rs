//! `pow`: powers, element by element.

use super::common::{elementwise, elementwise_cases, map2};
use super::{constant_like, eq, log, lt, mul, offset, select};
use crate::ir::kernel::Scalar;
use crate::ir::{Arity, Attrs, Builder, Grad, Kernel, LevelRule, Lower, NodeId, Op};

/// `x ^ y`, of one shape.
pub fn pow(b: &mut Builder, x: NodeId, y: NodeId) -> NodeId {
    b.add(&OP, &[x, y], Attrs::none())
}

/// `y x^(y - 1)` for the base (0 where `y` is 0) and `x^y log(x)` for the exponent (0 where `x` is not
/// positive): both finite where the power is.
fn grad(b: &mut Builder, node: NodeId, g: NodeId) -> Vec<Option<NodeId>> {
    let [x, y] = b.graph[node].inputs[..] else { return Vec::new() };
    let zero = constant_like(b, y, 0.0);
    let less = offset(b, y, -1.0);
    let power = pow(b, x, less);
    let slope = mul(b, y, power);
    let constant = eq(b, y, zero);
    let slope = select(b, constant, zero, slope);
    let dx = mul(b, g, slope);

    let positive = lt(b, zero, x);
    let one = constant_like(b, x, 1.0);
    let base = select(b, positive, x, one);
    let logarithm = log(b, base);
    let slope = mul(b, node, logarithm);
    let dy = mul(b, g, slope);
    vec![Some(dx), Some(dy)]
}

/// A negative base, infinite or not, has powers for whole exponents only; -0 counts as 0.
fn power(x: f64, y: f64) -> f64 {
    let broken = y.is_finite() && y.fract() != 0.0;
    if x < 0.0 && broken { f64::NAN } else { (x + 0.0).powf(y) }
}

/// The record.
pub static OP: Op = Op {
    name: "pow",
    doc: "Each element of `x` to the power of the element of `y`.\n\n\
          `x: f32[..], y: f32[..] -> f32[..]`\n\n\
          Written `x ^ y`. A negative base needs a whole exponent.\n\n\
          Example: `pow([2, 4], [3, 0.5]) = [8, 2]`",
    attrs: &[],
    arity: Arity::Exactly(2),
    level: LevelRule::Join,
    shape: elementwise,
    grad: Grad::Rule(grad),
    lower: Lower::Kernel(|_, _| Kernel::Map(Scalar::Pow)),
    reference: |call| map2(call, power),
    cases: || elementwise_cases(2, 0.3, 2.5),
};
