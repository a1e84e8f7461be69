//! `sqrt` and `rsqrt`: the square root and one over it.

use super::common::{elementwise, elementwise_cases, map1};
use super::{div, mul, scale};
use crate::ir::kernel::Scalar;
use crate::ir::{Arity, Attrs, Builder, Grad, Kernel, LevelRule, Lower, NodeId, Op};

/// The square root.
pub fn sqrt(b: &mut Builder, x: NodeId) -> NodeId {
    b.add(&SQRT, &[x], Attrs::none())
}

/// `1 / sqrt(x)`.
pub fn rsqrt(b: &mut Builder, x: NodeId) -> NodeId {
    b.add(&RSQRT, &[x], Attrs::none())
}

fn sqrt_grad(b: &mut Builder, y: NodeId, g: NodeId) -> Vec<Option<NodeId>> {
    let half = scale(b, g, 0.5);
    vec![Some(div(b, half, y))]
}

fn rsqrt_grad(b: &mut Builder, y: NodeId, g: NodeId) -> Vec<Option<NodeId>> {
    // the slope is -y^3 / 2
    let square = mul(b, y, y);
    let cube = mul(b, square, y);
    let slope = scale(b, cube, -0.5);
    vec![Some(mul(b, g, slope))]
}

/// The record of `sqrt`.
pub static SQRT: Op = Op {
    name: "sqrt",
    doc: "The square root of each element.\n\n\
          `x: f32[..] -> f32[..]`\n\n\
          Example: `sqrt([4, 2]) = [2, 1.414213562]`",
    attrs: &[],
    arity: Arity::Exactly(1),
    level: LevelRule::Join,
    shape: elementwise,
    grad: Grad::Rule(sqrt_grad),
    lower: Lower::Kernel(|_, _| Kernel::Map(Scalar::Sqrt)),
    reference: |call| map1(call, f64::sqrt),
    cases: || elementwise_cases(1, 0.1, 4.0),
};

/// The record of `rsqrt`.
pub static RSQRT: Op = Op {
    name: "rsqrt",
    doc: "One over the square root of each element.\n\n\
          `x: f32[..] -> f32[..]`\n\n\
          Example: `rsqrt([4, 2]) = [0.5, 0.707106781]`",
    attrs: &[],
    arity: Arity::Exactly(1),
    level: LevelRule::Join,
    shape: elementwise,
    grad: Grad::Rule(rsqrt_grad),
    lower: Lower::Kernel(|_, _| Kernel::Map(Scalar::Rsqrt)),
    reference: |call| map1(call, |x| 1.0 / x.sqrt()),
    cases: || elementwise_cases(1, 0.1, 4.0),
};
