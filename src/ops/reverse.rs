//! `reverse`: the elements along some axes in the opposite order.

use super::common::{axes_of, known_axes, rearranged};
use crate::ir::kernel::{View, ViewAxis};
use crate::ir::{
    Arity, Array, AttrKind, AttrSpec, Attrs, Builder, Case, Grad, Kernel, LevelRule, Lower, NodeId, Op,
    RefCall, Signature,
};
use crate::ty::Type;

/// `x` with these axes turned round.
pub fn reverse(b: &mut Builder, x: NodeId, axes: &[usize]) -> NodeId {
    b.add(&OP, &[x], Attrs::none().sizes("axes", axes))
}

fn grad(b: &mut Builder, node: NodeId, g: NodeId) -> Vec<Option<NodeId>> {
    let axes = known_axes(b.shape(node), b.graph[node].attrs.get_ints("axes"));
    vec![Some(reverse(b, g, &axes))]
}

fn kernel(sig: &Signature, ty: &Type) -> Kernel {
    let axes = known_axes(&ty.shape, sig.attrs.get_ints("axes"));
    let axis = |i: usize| match axes.contains(&i) {
        true => ViewAxis { base: ty.shape[i] as i64 - 1, terms: vec![(i, -1)] },
        false => ViewAxis { base: 0, terms: vec![(i, 1)] },
    };
    Kernel::View(View { axes: (0..ty.shape.rank()).map(axis).collect() })
}

fn reference(call: &RefCall) -> Array {
    let axes = known_axes(&call.ty.shape, call.attrs.get_ints("axes"));
    rearranged(call, |index, from| {
        from.copy_from_slice(index);
        axes.iter().for_each(|axis| from[*axis] = call.ty.shape[*axis] - 1 - index[*axis]);
    })
}

/// The record.
pub static OP: Op = Op {
    name: "reverse",
    doc: "The elements along some axes in the opposite order.\n\n\
          `x: any[..] -> any[..]`\n\n\
          Example: `reverse([[1, 2, 3], [4, 5, 6]], axes: [1]) = [[3, 2, 1], [6, 5, 4]]`",
    attrs: &[AttrSpec { name: "axes", kind: AttrKind::Ints, doc: "the axes that are turned round" }],
    arity: Arity::Exactly(1),
    level: LevelRule::Join,
    shape: |sig| {
        axes_of(&sig.inputs[0].shape, sig.attrs.get_ints("axes"))?;
        Ok(sig.inputs[0].clone())
    },
    grad: Grad::Rule(grad),
    lower: Lower::Kernel(kernel),
    reference,
    cases: || {
        vec![
            Case::f32(&[&[1]], Attrs::none().ints("axes", [0])),
            Case::f32(&[&[33]], Attrs::none().ints("axes", [0])),
            Case::f32(&[&[3, 17]], Attrs::none().ints("axes", [0])),
            Case::f32(&[&[2, 3, 9]], Attrs::none().ints("axes", [0, -1])),
        ]
    },
};
