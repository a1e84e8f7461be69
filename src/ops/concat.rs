//! `concat`: tensors one after the other along an axis.

use super::common::{axis_of, shape_of};
use super::slice_axis;
use crate::ir::{
    Arity, Array, AttrKind, AttrSpec, Attrs, Builder, Case, Grad, Kernel, Level, LevelRule, Lower, Mismatch,
    NodeId, Op, RefCall, Signature,
};
use crate::ty::{Shape, Type};

/// The inputs one after the other along an axis.
pub fn concat(b: &mut Builder, inputs: &[NodeId], axis: usize) -> NodeId {
    b.add(&OP, inputs, Attrs::none().int("axis", axis as i64))
}

fn shape(sig: &Signature) -> Result<Type, Mismatch> {
    let first = sig.inputs[0];
    let axis = axis_of(&first.shape, sig.attrs.get_int("axis"))?;
    let mut extents: Vec<i64> = first.shape.iter().map(|n| *n as i64).collect();
    for (i, ty) in sig.inputs.iter().enumerate().skip(1) {
        if ty.dtype != first.dtype {
            return Err(Mismatch::of(&[i, 0], format!("the element types of {first} and {ty} differ")));
        }
        let fits = ty.shape.rank() == first.shape.rank()
            && (0..first.shape.rank()).all(|d| d == axis || ty.shape[d] == first.shape[d]);
        if !fits {
            let message =
                format!("{first} and {ty} differ in more than axis {axis}, along which they are joined");
            return Err(Mismatch::of(&[i, 0], message));
        }
        extents[axis] += ty.shape[axis] as i64;
    }
    Ok(Type::new(first.dtype, shape_of(&extents)?))
}

fn axis(shape: &Shape, attrs: &Attrs) -> usize {
    shape.axis(attrs.get_int("axis")).unwrap_or_default()
}

fn grad(b: &mut Builder, node: NodeId, g: NodeId) -> Vec<Option<NodeId>> {
    let axis = axis(b.shape(node), &b.graph[node].attrs);
    let mut start = 0;
    let mut parts = Vec::new();
    for input in b.graph[node].inputs.clone() {
        let extent = b.shape(input)[axis];
        parts.push(Some(slice_axis(b, g, axis, start, extent)));
        start += extent;
    }
    parts
}

fn reference(call: &RefCall) -> Array {
    let axis = axis(&call.ty.shape, call.attrs);
    Array::from_fn(&call.ty.shape, |index| {
        let mut index = index.to_vec();
        let mut inputs = call.inputs.iter();
        loop {
            let input = inputs.next().expect("the index lies in one of the inputs");
            if index[axis] < input.shape[axis] {
                return input.at(&index);
            }
            index[axis] -= input.shape[axis];
        }
    })
}

/// The record.
pub static OP: Op = Op {
    name: "concat",
    doc: "Tensors one after the other along an axis.\n\n\
          `x: any[.., m, ..], y: any[.., n, ..], ... -> any[.., m + n + ..., ..]`\n\n\
          Example: `concat([[1, 2], [3, 4]], [[5], [6]], axis: 1) = [[1, 2, 5], [3, 4, 6]]`",
    attrs: &[AttrSpec { name: "axis", kind: AttrKind::Int, doc: "along which axis; negative: from the end" }],
    arity: Arity::AtLeast(1),
    level: LevelRule::Join,
    shape,
    grad: Grad::Rule(grad),
    lower: Lower::Kernel(|sig, ty| Kernel::Concat(axis(&ty.shape, sig.attrs))),
    reference,
    cases: || {
        let case = |shapes: &[&[usize]], axis: i64| Case::f32(shapes, Attrs::none().int("axis", axis));
        vec![
            case(&[&[9]], 0),
            case(&[&[1], &[16]], 0),
            case(&[&[2, 3], &[4, 3], &[1, 3]], 0),
            case(&[&[3, 7], &[3, 1], &[3, 9]], -1),
            case(&[&[2, 3, 2], &[2, 5, 2]], 1),
            case(&[&[8], &[9]], 0).levels(&[Level::Once, Level::Each]),
            case(&[&[8], &[9]], 0).levels(&[Level::Once, Level::Once]),
        ]
    },
};
