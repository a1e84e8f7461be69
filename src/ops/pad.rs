//! `pad`: a tensor inside a larger one.

use super::common::{per_axis, shape_of};
use super::slice;
use crate::ir::{
    Arity, Array, AttrKind, AttrSpec, Attrs, Builder, Case, Grad, Kernel, LevelRule, Lower, Mismatch, NodeId,
    Op, RefCall, Signature,
};
use crate::ty::Type;

/// `x` with `low` elements before and `high` elements after it along each axis, all of value `fill`; `x`
/// itself where there are none.
pub fn pad(b: &mut Builder, x: NodeId, low: &[usize], high: &[usize], fill: f64) -> NodeId {
    if low.iter().chain(high).all(|n| *n == 0) {
        return x;
    }
    b.add(&OP, &[x], Attrs::none().sizes("low", low).sizes("high", high).float("fill", fill))
}

fn shape(sig: &Signature) -> Result<Type, Mismatch> {
    let from = sig.inputs[0];
    let (low, high) = (per_axis(sig, "low")?, per_axis(sig, "high")?);
    if let Some(negative) = low.iter().chain(high).find(|n| **n < 0) {
        return Err(Mismatch::of(&[], format!("the padding is {negative}; it is at least 0"))
            .help("a slice takes elements away"));
    }
    let extent = |i: usize| low[i].saturating_add(high[i]).saturating_add(from.shape[i] as i64);
    let extents: Vec<i64> = (0..from.shape.rank()).map(extent).collect();
    Ok(Type::new(from.dtype, shape_of(&extents)?))
}

fn grad(b: &mut Builder, node: NodeId, g: NodeId) -> Vec<Option<NodeId>> {
    let low = b.graph[node].attrs.get_sizes("low");
    let extent = b.shape(b.graph[node].inputs[0]).to_vec();
    vec![Some(slice(b, g, &low, &extent, &vec![1; low.len()]))]
}

fn reference(call: &RefCall) -> Array {
    let (x, low) = (call.inputs[0], call.attrs.get_sizes("low"));
    let fill = call.attrs.get_float("fill");
    Array::from_fn(&call.ty.shape, |index| {
        let inside = |i: usize| index[i].checked_sub(low[i]).filter(|at| *at < x.shape[i]);
        let from: Option<Vec<usize>> = (0..index.len()).map(inside).collect();
        from.map_or(fill, |from| x.at(&from))
    })
}

fn case(shape: &[usize], low: &[usize], high: &[usize], fill: f64) -> Case {
    Case::f32(&[shape], Attrs::none().sizes("low", low).sizes("high", high).float("fill", fill))
}

/// The record.
pub static OP: Op = Op {
    name: "pad",
    doc: "A tensor with elements of one value around it.\n\n\
          `x: any[..] -> any[..]`\n\n\
          Example: `pad([1, 2], low: [1], high: [2], fill: 0) = [0, 1, 2, 0, 0]`",
    attrs: &[
        AttrSpec { name: "low", kind: AttrKind::Ints, doc: "how many elements stand before each axis" },
        AttrSpec { name: "high", kind: AttrKind::Ints, doc: "how many elements stand after each axis" },
        AttrSpec { name: "fill", kind: AttrKind::Float, doc: "their value" },
    ],
    arity: Arity::Exactly(1),
    level: LevelRule::Join,
    shape,
    grad: Grad::Rule(grad),
    lower: Lower::Kernel(|sig, _| Kernel::Pad {
        low: sig.attrs.get_sizes("low"),
        fill: sig.attrs.get_float("fill"),
    }),
    reference,
    cases: || {
        vec![
            case(&[1], &[0], &[1], 0.0),
            case(&[15], &[1], &[1], 0.0),
            case(&[16], &[0], &[17], -1.5),
            case(&[3, 9], &[1, 0], &[0, 2], 0.0),
            case(&[5, 4, 2], &[2, 1, 0], &[2, 1, 0], 0.0),
        ]
    },
};
