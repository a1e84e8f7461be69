//! `maximum` and `minimum` of two tensors, element by element.

use super::common::{elementwise, elementwise_cases, map2};
use super::{constant_like, le, select};
use crate::ir::kernel::Scalar;
use crate::ir::{Arity, Attrs, Builder, Grad, Kernel, LevelRule, Lower, NodeId, Op};

/// The larger of each pair.
pub fn maximum(b: &mut Builder, x: NodeId, y: NodeId) -> NodeId {
    b.add(&MAXIMUM, &[x, y], Attrs::none())
}

/// The smaller of each pair.
pub fn minimum(b: &mut Builder, x: NodeId, y: NodeId) -> NodeId {
    b.add(&MINIMUM, &[x, y], Attrs::none())
}

fn maximum_grad(b: &mut Builder, node: NodeId, g: NodeId) -> Vec<Option<NodeId>> {
    let [x, y] = b.graph[node].inputs[..] else { return Vec::new() };
    let first = le(b, y, x);
    split(b, first, g)
}

fn minimum_grad(b: &mut Builder, node: NodeId, g: NodeId) -> Vec<Option<NodeId>> {
    let [x, y] = b.graph[node].inputs[..] else { return Vec::new() };
    let first = le(b, x, y);
    split(b, first, g)
}

/// The gradient goes to the first input where this holds, else to the second.
fn split(b: &mut Builder, first: NodeId, g: NodeId) -> Vec<Option<NodeId>> {
    let zero = constant_like(b, g, 0.0);
    vec![Some(select(b, first, g, zero)), Some(select(b, first, zero, g))]
}

/// The record of `maximum`.
pub static MAXIMUM: Op = Op {
    name: "maximum",
    doc: "The larger of two elements.\n\n\
          `x: f32[..], y: f32[..] -> f32[..]`\n\n\
          Where both are equal the gradient goes to `x`. Of what is not a number, either may come out.\n\n\
          Example: `maximum([1, 5], [2, 3]) = [2, 5]`",
    attrs: &[],
    arity: Arity::Exactly(2),
    level: LevelRule::Join,
    shape: elementwise,
    grad: Grad::Rule(maximum_grad),
    lower: Lower::Kernel(|_, _| Kernel::Map(Scalar::Max)),
    reference: |call| map2(call, |x, y| if x > y { x } else { y }),
    cases: || elementwise_cases(2, -2.0, 2.0),
};

/// The record of `minimum`.
pub static MINIMUM: Op = Op {
    name: "minimum",
    doc: "The smaller of two elements.\n\n\
          `x: f32[..], y: f32[..] -> f32[..]`\n\n\
          Where both are equal the gradient goes to `x`. Of what is not a number, either may come out.\n\n\
          Example: `minimum([1, 5], [2, 3]) = [1, 3]`",
    attrs: &[],
    arity: Arity::Exactly(2),
    level: LevelRule::Join,
    shape: elementwise,
    grad: Grad::Rule(minimum_grad),
    lower: Lower::Kernel(|_, _| Kernel::Map(Scalar::Min)),
    reference: |call| map2(call, |x, y| if x < y { x } else { y }),
    cases: || elementwise_cases(2, -2.0, 2.0),
};
