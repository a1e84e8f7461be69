//! `argmax` and `argmin`: where the extreme along an axis stands.

use super::common::{axis_of, need_f32, not_differentiable, without};
use crate::ir::kernel::Leaf;
use crate::ir::{
    Arity, Array, AttrKind, AttrSpec, Attrs, Builder, Case, Grad, Kernel, LevelRule, Lower, Mismatch, NodeId,
    Op, RefCall, Signature,
};
use crate::ty::{DType, Shape, Type};

/// The index of the largest element along an axis, which vanishes.
pub fn argmax(b: &mut Builder, x: NodeId, axis: usize) -> NodeId {
    b.add(&MAX, &[x], Attrs::none().int("axis", axis as i64))
}

/// The index of the smallest element along an axis, which vanishes.
pub fn argmin(b: &mut Builder, x: NodeId, axis: usize) -> NodeId {
    b.add(&MIN, &[x], Attrs::none().int("axis", axis as i64))
}

fn shape(sig: &Signature) -> Result<Type, Mismatch> {
    need_f32(sig, 0)?;
    let shape = &sig.inputs[0].shape;
    let axis = axis_of(shape, sig.attrs.get_int("axis"))?;
    Ok(Type::new(DType::Index(shape[axis] as u64), without(shape, &[axis])))
}

/// Extents before, at and after the axis.
fn parts(shape: &Shape, axis: i64) -> (usize, usize, usize) {
    let axis = shape.axis(axis).unwrap_or_default();
    (shape[..axis].iter().product(), shape[axis], shape[axis + 1..].iter().product())
}

fn kernel(sig: &Signature, min: bool) -> Kernel {
    let (outer, n, inner) = parts(&sig.inputs[0].shape, sig.attrs.get_int("axis"));
    Kernel::Leaf(Leaf::ArgMax { outer, n, inner, min })
}

fn reference(call: &RefCall, better: impl Fn(f64, f64) -> bool) -> Array {
    let x = call.inputs[0];
    let (outer, n, inner) = parts(&x.shape, call.attrs.get_int("axis"));
    let mut result = Vec::with_capacity(outer * inner);
    for o in 0..outer {
        for i in 0..inner {
            let at = |k: usize| x.data[(o * n + k) * inner + i];
            let best = (1..n).fold(0, |best, k| if better(at(k), at(best)) { k } else { best });
            result.push(best as f64);
        }
    }
    Array::new(call.ty.shape.clone(), result)
}

fn cases() -> Vec<Case> {
    let case = |shape: &[usize], axis: i64| Case::f32(&[shape], Attrs::none().int("axis", axis));
    not_differentiable(vec![
        case(&[1], 0),
        case(&[10], 0),
        case(&[33], -1),
        case(&[3, 17], 1),
        case(&[17, 3], 0),
        case(&[4, 9, 5], 1),
    ])
}

const AXIS: &[AttrSpec] =
    &[AttrSpec { name: "axis", kind: AttrKind::Int, doc: "the axis that vanishes; negative: from the end" }];

/// The record of `argmax`.
pub static MAX: Op = Op {
    name: "argmax",
    doc: "Where the largest element along an axis stands; the first of several.\n\n\
          `x: f32[.., n, ..] -> index<n>[..]`\n\n\
          Example: `argmax([[1, 5, 5], [4, 3, 2]], axis: 1) = [1, 0]`",
    attrs: AXIS,
    arity: Arity::Exactly(1),
    level: LevelRule::Join,
    shape,
    grad: Grad::Zero,
    lower: Lower::Kernel(|sig, _| kernel(sig, false)),
    reference: |call| reference(call, |x, best| x > best),
    cases,
};

/// The record of `argmin`.
pub static MIN: Op = Op {
    name: "argmin",
    doc: "Where the smallest element along an axis stands; the first of several.\n\n\
          `x: f32[.., n, ..] -> index<n>[..]`\n\n\
          Example: `argmin([[1, 5, 1], [4, 3, 2]], axis: 1) = [0, 2]`",
    attrs: AXIS,
    arity: Arity::Exactly(1),
    level: LevelRule::Join,
    shape,
    grad: Grad::Zero,
    lower: Lower::Kernel(|sig, _| kernel(sig, true)),
    reference: |call| reference(call, |x, best| x < best),
    cases,
};
