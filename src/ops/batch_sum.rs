//! `batch_sum`: the sum over all examples of the batch; the only way from `Each` to `Once`.

use super::common::elementwise;
use crate::ir::{Arity, Array, Attrs, Builder, Case, Grad, Kernel, LevelRule, Lower, NodeId, Op};

/// The sum over the examples; a `Once` input counts once per example.
pub fn batch_sum(b: &mut Builder, x: NodeId) -> NodeId {
    b.add(&OP, &[x], Attrs::none())
}

fn grad(_: &mut Builder, _: NodeId, g: NodeId) -> Vec<Option<NodeId>> {
    vec![Some(g)]
}

/// The record.
pub static OP: Op = Op {
    name: "batch_sum",
    doc: "The sum over all examples of the batch, in a fixed order.\n\n\
          `x: f32[..] -> f32[..]`, the same for all examples.\n\n\
          Of a value that is the same for all examples it is that value times the batch size.\n\n\
          Example: `batch_sum([1, 2]) = [1, 2]`",
    attrs: &[],
    arity: Arity::Exactly(1),
    level: LevelRule::Once,
    shape: elementwise,
    grad: Grad::Rule(grad),
    lower: Lower::Kernel(|_, _| Kernel::BatchSum),
    reference: |call| {
        let mut sum = Array::from_fn(&call.ty.shape, |_| 0.0);
        for example in call.inputs {
            for (s, x) in sum.data.iter_mut().zip(&example.data) {
                *s += x;
            }
        }
        sum
    },
    cases: || [1, 7, 16, 33].iter().map(|n| Case::f32(&[&[*n]], Attrs::none())).collect(),
};
