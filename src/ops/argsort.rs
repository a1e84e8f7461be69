//! `argsort`: the order of the elements along the last axis.

use super::common::{need_f32, not_differentiable};
use crate::ir::kernel::Leaf;
use crate::ir::{
    Arity, Array, AttrKind, AttrSpec, Attrs, Builder, Case, Grad, Kernel, LevelRule, Lower, Mismatch, NodeId,
    Op, RefCall, Signature,
};
use crate::ty::{DType, Type};

/// Where the elements along the last axis stand, in ascending or descending order.
pub fn argsort(b: &mut Builder, x: NodeId, descending: bool) -> NodeId {
    b.add(&OP, &[x], Attrs::none().flag("descending", descending))
}

fn shape(sig: &Signature) -> Result<Type, Mismatch> {
    need_f32(sig, 0)?;
    let shape = &sig.inputs[0].shape;
    match shape.last() {
        Some(n) => Ok(Type::new(DType::Index(*n as u64), shape.clone())),
        None => Err(Mismatch::of(&[0], "a scalar has no axis to sort along")),
    }
}

fn reference(call: &RefCall) -> Array {
    let x = call.inputs[0];
    let n = x.shape[x.shape.rank() - 1];
    let descending = call.attrs.get_bool("descending");
    let mut result = Vec::with_capacity(x.data.len());
    for line in x.data.chunks_exact(n) {
        let mut order: Vec<usize> = (0..n).collect();
        // Stable, so that equal elements keep their order.
        order.sort_by(|a, b| {
            let (a, b) = (line[*a], line[*b]);
            let by_value = if descending { b.partial_cmp(&a) } else { a.partial_cmp(&b) };
            by_value.unwrap_or_else(|| a.is_nan().cmp(&b.is_nan()))
        });
        result.extend(order.into_iter().map(|i| i as f64));
    }
    Array::new(x.shape.clone(), result)
}

/// The record.
pub static OP: Op = Op {
    name: "argsort",
    doc: "Where the elements along the last axis stand in ascending, or descending, order.\n\n\
          `x: f32[.., n] -> index<n>[.., n]`\n\n\
          Equal elements keep their order; what is not a number comes last.\n\n\
          Example: `argsort([3, 1, 2, 1], descending: false) = [1, 3, 2, 0]`",
    attrs: &[AttrSpec { name: "descending", kind: AttrKind::Bool, doc: "the largest comes first" }],
    arity: Arity::Exactly(1),
    level: LevelRule::Join,
    shape,
    grad: Grad::Zero,
    lower: Lower::Kernel(|sig, _| {
        let shape = &sig.inputs[0].shape;
        let n = shape[shape.rank() - 1];
        Kernel::Leaf(Leaf::ArgSort {
            outer: shape.elements() / n,
            n,
            descending: sig.attrs.get_bool("descending"),
        })
    }),
    reference,
    cases: || {
        let shapes: [&[usize]; 8] = [&[1], &[2], &[7], &[16], &[33], &[3, 17], &[17, 3], &[4, 5, 9]];
        let both = |shape: &&[usize]| {
            [false, true].map(|descending| Case::f32(&[shape], Attrs::none().flag("descending", descending)))
        };
        not_differentiable(shapes.iter().flat_map(both).collect())
    },
};
