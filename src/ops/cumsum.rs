//! `cumsum`: the sums of the elements up to each place along an axis.

use super::common::{axis_of, need_f32};
use crate::ir::kernel::Leaf;
use crate::ir::{
    Arity, Array, AttrKind, AttrSpec, Attrs, Builder, Case, Grad, Kernel, LevelRule, Lower, Mismatch, NodeId,
    Op, RefCall, Signature,
};
use crate::ty::{Shape, Type};

/// The sums along an axis up to each place: without the place itself where `exclusive`, from the end where
/// `reverse`.
pub fn cumsum(b: &mut Builder, x: NodeId, axis: usize, exclusive: bool, reverse: bool) -> NodeId {
    b.add(&OP, &[x], attrs(axis as i64, exclusive, reverse))
}

fn attrs(axis: i64, exclusive: bool, reverse: bool) -> Attrs {
    Attrs::none().int("axis", axis).flag("exclusive", exclusive).flag("reverse", reverse)
}

fn shape(sig: &Signature) -> Result<Type, Mismatch> {
    need_f32(sig, 0)?;
    axis_of(&sig.inputs[0].shape, sig.attrs.get_int("axis"))?;
    Ok(sig.inputs[0].clone())
}

/// Extents before, at and after the axis.
fn parts(shape: &Shape, axis: i64) -> (usize, usize, usize) {
    let axis = shape.axis(axis).unwrap_or_default();
    (shape[..axis].iter().product(), shape[axis], shape[axis + 1..].iter().product())
}

fn grad(b: &mut Builder, y: NodeId, g: NodeId) -> Vec<Option<NodeId>> {
    // Each element counts at its place and at those behind it.
    let attrs = &b.graph[y].attrs;
    let (exclusive, reverse) = (attrs.get_bool("exclusive"), attrs.get_bool("reverse"));
    let axis = b.shape(y).axis(attrs.get_int("axis")).unwrap_or_default();
    vec![Some(cumsum(b, g, axis, exclusive, !reverse))]
}

fn reference(call: &RefCall) -> Array {
    let x = call.inputs[0];
    let (exclusive, reverse) = (call.attrs.get_bool("exclusive"), call.attrs.get_bool("reverse"));
    let (outer, n, inner) = parts(&x.shape, call.attrs.get_int("axis"));
    let mut result = vec![0.0; x.data.len()];
    for o in 0..outer {
        for i in 0..inner {
            let mut sum = 0.0;
            for step in 0..n {
                let k = if reverse { n - 1 - step } else { step };
                let at = (o * n + k) * inner + i;
                let before = sum;
                sum += x.data[at];
                result[at] = if exclusive { before } else { sum };
            }
        }
    }
    Array::new(x.shape.clone(), result)
}

/// The record.
pub static OP: Op = Op {
    name: "cumsum",
    doc: "The sum of the elements up to each place along an axis, added in double precision.\n\n\
          `x: f32[.., n, ..] -> f32[.., n, ..]`\n\n\
          Example: `cumsum([1, 2, 3], axis: 0, exclusive: false, reverse: false) = [1, 3, 6]`",
    attrs: &[
        AttrSpec { name: "axis", kind: AttrKind::Int, doc: "along which axis; negative: from the end" },
        AttrSpec { name: "exclusive", kind: AttrKind::Bool, doc: "the element itself is left out" },
        AttrSpec { name: "reverse", kind: AttrKind::Bool, doc: "from the end" },
    ],
    arity: Arity::Exactly(1),
    level: LevelRule::Join,
    shape,
    grad: Grad::Rule(grad),
    lower: Lower::Kernel(|sig, _| {
        let (outer, n, inner) = parts(&sig.inputs[0].shape, sig.attrs.get_int("axis"));
        let (exclusive, reverse) = (sig.attrs.get_bool("exclusive"), sig.attrs.get_bool("reverse"));
        Kernel::Leaf(Leaf::CumSum { outer, n, inner, exclusive, reverse })
    }),
    reference,
    cases: || {
        let case =
            |shape: &[usize], axis, exclusive, reverse| Case::f32(&[shape], attrs(axis, exclusive, reverse));
        vec![
            case(&[1], 0, false, false),
            case(&[1], 0, true, false),
            case(&[7], 0, false, true),
            case(&[16], -1, true, true),
            case(&[33], 0, false, false),
            case(&[3, 9], 0, false, false),
            case(&[3, 9], 1, true, false),
            case(&[2, 5, 3], 1, false, true),
        ]
    },
};
