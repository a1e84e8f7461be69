//! `iota`: the index along an axis, as a number.

use super::common::shape_of;
use crate::ir::{
    Arity, Array, AttrKind, AttrSpec, Attrs, Builder, Case, Grad, Kernel, LevelRule, Lower, Mismatch, NodeId,
    Op, Signature,
};
use crate::ty::{Shape, Type};

/// A tensor of this shape whose elements are their index along an axis.
pub fn iota(b: &mut Builder, shape: &Shape, axis: usize) -> NodeId {
    b.add(&OP, &[], Attrs::none().sizes("shape", shape).int("axis", axis as i64))
}

fn shape(sig: &Signature) -> Result<Type, Mismatch> {
    let shape = shape_of(sig.attrs.get_ints("shape"))?;
    match shape.axis(sig.attrs.get_int("axis")) {
        Some(_) => Ok(Type::f32(shape)),
        None => Err(Mismatch::of(&[], format!("{shape} has no axis {}", sig.attrs.get_int("axis")))),
    }
}

fn axis(ty: &Type, attrs: &Attrs) -> usize {
    ty.shape.axis(attrs.get_int("axis")).unwrap_or_default()
}

/// The record.
pub static OP: Op = Op {
    name: "iota",
    doc: "The index along an axis, as a number.\n\n\
          `-> f32[shape]`\n\n\
          Example: `iota(shape: [2, 3], axis: 1) = [[0, 1, 2], [0, 1, 2]]`\n\n\
          Source: the name is that of Iverson's APL.",
    attrs: &[
        AttrSpec { name: "shape", kind: AttrKind::Ints, doc: "the shape of the result" },
        AttrSpec { name: "axis", kind: AttrKind::Int, doc: "the axis whose index is taken" },
    ],
    arity: Arity::Exactly(0),
    level: LevelRule::Once,
    shape,
    grad: Grad::Zero,
    lower: Lower::Kernel(|sig, ty| Kernel::Iota(axis(ty, sig.attrs))),
    reference: |call| {
        let axis = axis(call.ty, call.attrs);
        Array::from_fn(&call.ty.shape, |index| index[axis] as f64)
    },
    cases: || {
        let case =
            |shape: &[usize], axis| Case::f32(&[], Attrs::none().sizes("shape", shape).int("axis", axis));
        let cases =
            vec![case(&[1], 0), case(&[33], 0), case(&[3, 9], 0), case(&[3, 9], 1), case(&[2, 3, 4], -2)];
        super::common::not_differentiable(cases)
    },
};
