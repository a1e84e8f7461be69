//! `reduce_max` and `reduce_min` over axes.

use super::common::known_axes;
use super::sum::{AXES, cases, fold, reduced, reduction};
use super::{cast, div, eq, expand, mul, sum};
use crate::ir::kernel::Combine;
use crate::ir::{Arity, Attrs, Builder, Grad, Kernel, LevelRule, Lower, NodeId, Op, Signature};
use crate::ty::DType;

/// The largest element along these axes, which vanish.
pub fn reduce_max(b: &mut Builder, x: NodeId, axes: &[usize]) -> NodeId {
    b.add(&MAX, &[x], Attrs::none().sizes("axes", axes))
}

/// The smallest element along these axes, which vanish.
pub fn reduce_min(b: &mut Builder, x: NodeId, axes: &[usize]) -> NodeId {
    b.add(&MIN, &[x], Attrs::none().sizes("axes", axes))
}

/// The gradient goes to where the extreme stands, in equal parts where it stands more than once.
fn grad(b: &mut Builder, node: NodeId, g: NodeId) -> Vec<Option<NodeId>> {
    let (shape, axes) = reduction(b, node);
    let x = b.graph[node].inputs[0];
    let extreme = expand(b, node, &axes, &shape);
    let hit = eq(b, x, extreme);
    let hit = cast(b, hit, DType::F32);
    let count = sum(b, hit, &axes);
    let part = div(b, g, count);
    let part = expand(b, part, &axes, &shape);
    vec![Some(mul(b, hit, part))]
}

fn kernel(combine: Combine, sig: &Signature) -> Kernel {
    Kernel::Reduce(combine, known_axes(&sig.inputs[0].shape, sig.attrs.get_ints("axes")))
}

/// The record of `reduce_max`.
pub static MAX: Op = Op {
    name: "reduce_max",
    doc: "The largest element along some axes, which vanish.\n\n\
          `x: f32[..] -> f32[..]`\n\n\
          Equal maxima share the gradient. What is not a number may be passed over.\n\n\
          Example: `reduce_max([[1, 2], [4, 3]], axes: [1]) = [2, 4]`",
    attrs: AXES,
    arity: Arity::Exactly(1),
    level: LevelRule::Join,
    shape: reduced,
    grad: Grad::Rule(grad),
    lower: Lower::Kernel(|sig, _| kernel(Combine::Max, sig)),
    reference: |call| fold(call, f64::NEG_INFINITY, f64::max),
    cases,
};

/// The record of `reduce_min`.
pub static MIN: Op = Op {
    name: "reduce_min",
    doc: "The smallest element along some axes, which vanish.\n\n\
          `x: f32[..] -> f32[..]`\n\n\
          Equal minima share the gradient. What is not a number may be passed over.\n\n\
          Example: `reduce_min([[1, 2], [4, 3]], axes: [1]) = [1, 3]`",
    attrs: AXES,
    arity: Arity::Exactly(1),
    level: LevelRule::Join,
    shape: reduced,
    grad: Grad::Rule(grad),
    lower: Lower::Kernel(|sig, _| kernel(Combine::Min, sig)),
    reference: |call| fold(call, f64::INFINITY, f64::min),
    cases,
};
