//! `stop_gradient`: the same value, as a constant for derivatives.

use super::common::{elementwise_cases, map1, not_differentiable};
use crate::ir::{Arity, Attrs, Builder, Grad, LevelRule, Lower, NodeId, Op};

/// `x`, through which no gradient flows.
pub fn stop_gradient(b: &mut Builder, x: NodeId) -> NodeId {
    b.add(&OP, &[x], Attrs::none())
}

/// The record.
pub static OP: Op = Op {
    name: "stop_gradient",
    doc: "The same value, as a constant for derivatives.\n\n\
          `x: any[..] -> any[..]`\n\n\
          No gradient flows through it; it vanishes after differentiation.\n\n\
          Example: `stop_gradient([1, 2]) = [1, 2]`",
    attrs: &[],
    arity: Arity::Exactly(1),
    level: LevelRule::Join,
    shape: |sig| Ok(sig.inputs[0].clone()),
    grad: Grad::Zero,
    lower: Lower::Ops(|b, node| b.graph[node].inputs[0]),
    reference: |call| map1(call, |x| x),
    cases: || not_differentiable(elementwise_cases(1, -2.0, 2.0)),
};
