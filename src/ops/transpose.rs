//! `transpose`: the axes in another order.

use super::common::rearranged;
use crate::ir::kernel::{View, ViewAxis};
use crate::ir::{
    Arity, Array, AttrKind, AttrSpec, Attrs, Builder, Case, Grad, Kernel, Level, LevelRule, Lower, Mismatch,
    NodeId, Op, RefCall, Signature,
};
use crate::ty::{Shape, Type};

/// Axis `i` of the result is axis `permutation[i]` of `x`; `x` itself where nothing moves.
pub fn transpose(b: &mut Builder, x: NodeId, permutation: &[usize]) -> NodeId {
    if permutation.iter().enumerate().all(|(i, axis)| i == *axis) {
        return x;
    }
    b.add(&OP, &[x], Attrs::none().sizes("permutation", permutation))
}

fn shape(sig: &Signature) -> Result<Type, Mismatch> {
    let from = sig.inputs[0];
    let permutation = sig.attrs.get_ints("permutation");
    let mut sorted = permutation.to_vec();
    sorted.sort_unstable();
    if sorted != (0..from.shape.rank() as i64).collect::<Vec<_>>() {
        let message = format!("{permutation:?} does not name each axis of {from} once");
        return Err(Mismatch::of(&[0], message));
    }
    let extents: Vec<usize> = permutation.iter().map(|axis| from.shape[*axis as usize]).collect();
    Ok(Type::new(from.dtype, Shape::of(&extents)))
}

/// For each axis of the input, where it stands in the result.
fn inverse(attrs: &Attrs) -> Vec<usize> {
    let permutation = attrs.get_sizes("permutation");
    let mut inverse = vec![0; permutation.len()];
    for (to, from) in permutation.into_iter().enumerate() {
        inverse[from] = to;
    }
    inverse
}

fn grad(b: &mut Builder, node: NodeId, g: NodeId) -> Vec<Option<NodeId>> {
    let inverse = inverse(&b.graph[node].attrs);
    vec![Some(transpose(b, g, &inverse))]
}

fn reference(call: &RefCall) -> Array {
    let inverse = inverse(call.attrs);
    rearranged(call, |index, from| {
        from.iter_mut().zip(&inverse).for_each(|(at, axis)| *at = index[*axis]);
    })
}

/// The record.
pub static OP: Op = Op {
    name: "transpose",
    doc: "The axes in another order.\n\n\
          `x: any[..] -> any[..]`\n\n\
          Axis `i` of the result is axis `permutation[i]` of `x`.\n\n\
          Example: `transpose([[1, 2, 3], [4, 5, 6]], permutation: [1, 0]) = [[1, 4], [2, 5], [3, 6]]`",
    attrs: &[AttrSpec {
        name: "permutation",
        kind: AttrKind::Ints,
        doc: "for each axis of the result, that of `x`",
    }],
    arity: Arity::Exactly(1),
    level: LevelRule::Join,
    shape,
    grad: Grad::Rule(grad),
    lower: Lower::Kernel(|sig, _| {
        let axis = |axis| ViewAxis { base: 0, terms: vec![(axis, 1)] };
        Kernel::View(View { axes: inverse(sig.attrs).into_iter().map(axis).collect() })
    }),
    reference,
    cases: || {
        vec![
            Case::f32(&[&[7, 17]], Attrs::none().ints("permutation", [1, 0])),
            Case::f32(&[&[9, 8]], Attrs::none().ints("permutation", [1, 0])).levels(&[Level::Once]),
            Case::f32(&[&[2, 3, 4]], Attrs::none().ints("permutation", [2, 0, 1])),
            Case::f32(&[&[3, 1, 9]], Attrs::none().ints("permutation", [0, 2, 1])),
            Case::f32(&[&[2, 3, 4, 5]], Attrs::none().ints("permutation", [0, 2, 1, 3])),
        ]
    },
};
