//! `slice`: a part of a tensor, or every so-many-th element of it.

use super::common::{per_axis, rearranged, shape_of};
use super::{pad, reshape};
use crate::ir::kernel::{View, ViewAxis};
use crate::ir::{
    Arity, Array, AttrKind, AttrSpec, Attrs, Builder, Case, Grad, Kernel, LevelRule, Lower, Mismatch, NodeId,
    Op, RefCall, Signature,
};
use crate::ty::{Shape, Type};

/// The elements at `start`, `start + stride`, ..., `extent` of them, along each axis.
pub fn slice(b: &mut Builder, x: NodeId, start: &[usize], extent: &[usize], stride: &[usize]) -> NodeId {
    let attrs = Attrs::none().sizes("start", start).sizes("extent", extent).sizes("stride", stride);
    b.add(&OP, &[x], attrs)
}

/// The `extent` elements from `start` along one axis; all of the others.
pub fn slice_axis(b: &mut Builder, x: NodeId, axis: usize, start: usize, extent: usize) -> NodeId {
    let rank = b.shape(x).rank();
    let (mut starts, mut extents) = (vec![0; rank], b.shape(x).to_vec());
    starts[axis] = start;
    extents[axis] = extent;
    slice(b, x, &starts, &extents, &vec![1; rank])
}

fn shape(sig: &Signature) -> Result<Type, Mismatch> {
    let from = sig.inputs[0];
    let (start, extent) = (per_axis(sig, "start")?, per_axis(sig, "extent")?);
    let stride = per_axis(sig, "stride")?;
    let to = shape_of(extent)?;
    for axis in 0..from.shape.rank() {
        let (first, step, size) = (start[axis], stride[axis], from.shape[axis] as i64);
        if step < 1 {
            return Err(Mismatch::of(&[], format!("the stride of axis {axis} is {step}; it is at least 1"))
                .help("`reverse` turns an axis round"));
        }
        let last = step.checked_mul(extent[axis] - 1).and_then(|far| far.checked_add(first));
        if first < 0 || last.is_none_or(|last| last >= size) {
            let message = format!(
                "{} elements from {first} on, {step} apart, do not lie in axis {axis} of {from}, which has {size}",
                extent[axis]
            );
            return Err(Mismatch::of(&[0], message));
        }
    }
    Ok(Type::new(from.dtype, to))
}

/// Puts the elements back where they were, with zeros around and, for strides, between them.
fn grad(b: &mut Builder, node: NodeId, g: NodeId) -> Vec<Option<NodeId>> {
    let attrs = &b.graph[node].attrs;
    let (start, stride) = (attrs.get_sizes("start"), attrs.get_sizes("stride"));
    let from = b.shape(b.graph[node].inputs[0]).clone();
    let spread = spread(b, g, &stride);
    let to = b.shape(spread).clone();
    // What is spread may reach over the end by zeros: those are cut off.
    let fitting: Vec<usize> = (0..from.rank()).map(|i| to[i].min(from[i] - start[i])).collect();
    let cut = if *fitting == *to {
        spread
    } else {
        slice(b, spread, &vec![0; from.rank()], &fitting, &vec![1; from.rank()])
    };
    let high: Vec<usize> = (0..from.rank()).map(|i| from[i] - start[i] - fitting[i]).collect();
    vec![Some(pad(b, cut, &start, &high, 0.0))]
}

/// Follows each element along each axis with `stride - 1` zeros: `[n] -> [n, 1] -> [n, stride] -> [n stride]`.
fn spread(b: &mut Builder, x: NodeId, stride: &[usize]) -> NodeId {
    if stride.iter().all(|s| *s == 1) {
        return x;
    }
    let shape = b.shape(x).clone();
    let apart: Vec<usize> = shape.iter().flat_map(|n| [*n, 1]).collect();
    let high: Vec<usize> = stride.iter().flat_map(|s| [0, s - 1]).collect();
    let wide: Vec<usize> = shape.iter().zip(stride).map(|(n, s)| n * s).collect();
    let apart = reshape(b, x, &Shape::of(&apart));
    let padded = pad(b, apart, &vec![0; high.len()], &high, 0.0);
    reshape(b, padded, &Shape::of(&wide))
}

fn reference(call: &RefCall) -> Array {
    let (start, stride) = (call.attrs.get_sizes("start"), call.attrs.get_sizes("stride"));
    rearranged(call, |index, from| {
        (0..index.len()).for_each(|i| from[i] = start[i] + stride[i] * index[i]);
    })
}

fn kernel(sig: &Signature, _: &Type) -> Kernel {
    let (start, stride) = (sig.attrs.get_ints("start"), sig.attrs.get_ints("stride"));
    let axis = |i: usize| ViewAxis { base: start[i], terms: vec![(i, stride[i])] };
    Kernel::View(View { axes: (0..start.len()).map(axis).collect() })
}

fn case(shape: &[usize], start: &[usize], extent: &[usize], stride: &[usize]) -> Case {
    let attrs = Attrs::none().sizes("start", start).sizes("extent", extent).sizes("stride", stride);
    Case::f32(&[shape], attrs)
}

/// The record.
pub static OP: Op = Op {
    name: "slice",
    doc: "A part of a tensor.\n\n\
          `x: any[..] -> any[extent]`\n\n\
          Along each axis the elements at `start`, `start + stride` and so on, `extent` of them.\n\n\
          Example: `slice([0, 1, 2, 3, 4, 5], start: [1], extent: [3], stride: [2]) = [1, 3, 5]`",
    attrs: &[
        AttrSpec { name: "start", kind: AttrKind::Ints, doc: "the first index along each axis" },
        AttrSpec { name: "extent", kind: AttrKind::Ints, doc: "how many elements along each axis" },
        AttrSpec { name: "stride", kind: AttrKind::Ints, doc: "the distance between them along each axis" },
    ],
    arity: Arity::Exactly(1),
    level: LevelRule::Join,
    shape,
    grad: Grad::Rule(grad),
    lower: Lower::Kernel(kernel),
    reference,
    cases: || {
        vec![
            case(&[1], &[0], &[1], &[1]),
            case(&[33], &[2], &[17], &[1]),
            case(&[17], &[1], &[8], &[2]),
            case(&[4, 9], &[1, 0], &[2, 9], &[1, 1]),
            case(&[5, 16], &[0, 3], &[3, 4], &[2, 3]),
            case(&[3, 4, 7], &[1, 1, 0], &[2, 1, 4], &[1, 2, 2]),
        ]
    },
};
