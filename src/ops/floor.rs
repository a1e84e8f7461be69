//! `floor` and `trunc`: rounding to whole numbers.

use super::common::{elementwise, elementwise_cases, map1, not_differentiable};
use crate::ir::kernel::Scalar;
use crate::ir::{Arity, Attrs, Builder, Grad, Kernel, LevelRule, Lower, NodeId, Op};

/// The largest whole number that is not larger.
pub fn floor(b: &mut Builder, x: NodeId) -> NodeId {
    b.add(&FLOOR, &[x], Attrs::none())
}

/// The nearest whole number towards 0.
pub fn trunc(b: &mut Builder, x: NodeId) -> NodeId {
    b.add(&TRUNC, &[x], Attrs::none())
}

/// The record of `floor`.
pub static FLOOR: Op = Op {
    name: "floor",
    doc: "The largest whole number not above each element.\n\n\
          `x: f32[..] -> f32[..]`\n\n\
          The gradient is 0.\n\n\
          Example: `floor([1.5, -1.5]) = [1, -2]`",
    attrs: &[],
    arity: Arity::Exactly(1),
    level: LevelRule::Join,
    shape: elementwise,
    grad: Grad::Zero,
    lower: Lower::Kernel(|_, _| Kernel::Map(Scalar::Floor)),
    reference: |call| map1(call, f64::floor),
    cases: || not_differentiable(elementwise_cases(1, -9.0, 9.0)),
};

/// The record of `trunc`.
pub static TRUNC: Op = Op {
    name: "trunc",
    doc: "The nearest whole number towards 0 of each element.\n\n\
          `x: f32[..] -> f32[..]`\n\n\
          The gradient is 0.\n\n\
          Example: `trunc([1.5, -1.5]) = [1, -1]`",
    attrs: &[],
    arity: Arity::Exactly(1),
    level: LevelRule::Join,
    shape: elementwise,
    grad: Grad::Zero,
    lower: Lower::Kernel(|_, _| Kernel::Map(Scalar::Trunc)),
    reference: |call| map1(call, f64::trunc),
    cases: || not_differentiable(elementwise_cases(1, -9.0, 9.0)),
};
