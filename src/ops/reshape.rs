//! `reshape`: the same elements in another shape.

use super::common::shape_of;
use crate::ir::{
    Arity, Array, AttrKind, AttrSpec, Attrs, Builder, Case, Grad, Kernel, LevelRule, Lower, Mismatch, NodeId,
    Op, Signature,
};
use crate::ty::{Shape, Type};

/// `x` in this shape; `x` itself where it has it already.
pub fn reshape(b: &mut Builder, x: NodeId, shape: &Shape) -> NodeId {
    if b.shape(x) == shape { x } else { b.add(&OP, &[x], Attrs::none().sizes("shape", shape)) }
}

fn shape(sig: &Signature) -> Result<Type, Mismatch> {
    let from = sig.inputs[0];
    let to = shape_of(sig.attrs.get_ints("shape"))?;
    let (have, want) = (from.shape.elements(), to.elements());
    if have != want {
        let message = format!("the {have} elements of {from} do not fill {to}, which has {want}");
        return Err(Mismatch::of(&[0], message));
    }
    Ok(Type::new(from.dtype, to))
}

fn grad(b: &mut Builder, node: NodeId, g: NodeId) -> Vec<Option<NodeId>> {
    let shape = b.shape(b.graph[node].inputs[0]).clone();
    vec![Some(reshape(b, g, &shape))]
}

/// The record.
pub static OP: Op = Op {
    name: "reshape",
    doc: "The same elements, in row-major order, in another shape.\n\n\
          `x: any[..] -> any[shape]`\n\n\
          Example: `reshape([[1, 2, 3], [4, 5, 6]], shape: [3, 2]) = [[1, 2], [3, 4], [5, 6]]`",
    attrs: &[AttrSpec { name: "shape", kind: AttrKind::Ints, doc: "the shape of the result" }],
    arity: Arity::Exactly(1),
    level: LevelRule::Join,
    shape,
    grad: Grad::Rule(grad),
    lower: Lower::Kernel(|_, _| Kernel::Reshape),
    reference: |call| Array::new(call.ty.shape.clone(), call.inputs[0].data.clone()),
    cases: || {
        vec![
            Case::f32(&[&[]], Attrs::none().ints("shape", [1])),
            Case::f32(&[&[12]], Attrs::none().ints("shape", [3, 4])),
            Case::f32(&[&[3, 11]], Attrs::none().ints("shape", [33])),
            Case::f32(&[&[2, 3, 4]], Attrs::none().ints("shape", [4, 1, 6])),
        ]
    },
};
