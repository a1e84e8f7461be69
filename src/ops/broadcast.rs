//! `broadcast`: repeats a tensor along new leading axes and along axes of extent 1.

use super::common::shape_of;
use super::sum_to;
use crate::ir::kernel::{View, ViewAxis};
use crate::ir::{
    Arity, Array, AttrKind, AttrSpec, Attrs, Builder, Case, Grad, Kernel, Level, LevelRule, Lower, Mismatch,
    NodeId, Op, RefCall, Signature,
};
use crate::ty::{Shape, Type};

/// `x` in this shape; `x` itself where it has it already.
pub fn broadcast(b: &mut Builder, x: NodeId, shape: &Shape) -> NodeId {
    if b.shape(x) == shape {
        return x;
    }
    b.add(&OP, &[x], Attrs::none().sizes("shape", shape))
}

fn shape(sig: &Signature) -> Result<Type, Mismatch> {
    let from = &sig.inputs[0].shape;
    let to = shape_of(sig.attrs.get_ints("shape"))?;
    let fits = from.rank() <= to.rank()
        && from.iter().rev().zip(to.iter().rev()).all(|(small, large)| small == large || *small == 1);
    if !fits {
        return Err(Mismatch::of(&[0], format!("{from} does not broadcast to {to}"))
            .help("axes are matched from the last; each must be equal or 1"));
    }
    Ok(Type::new(sig.inputs[0].dtype, to))
}

/// For each axis of the input the axis of the result, unless it is repeated.
fn sources(from: &Shape, to: &Shape) -> Vec<Option<usize>> {
    let lead = to.rank() - from.rank();
    (0..from.rank()).map(|i| (from[i] == to[i + lead]).then_some(i + lead)).collect()
}

fn kernel(sig: &Signature, ty: &Type) -> Kernel {
    let axes = sources(&sig.inputs[0].shape, &ty.shape)
        .into_iter()
        .map(|axis| ViewAxis { base: 0, terms: axis.map(|axis| (axis, 1)).into_iter().collect() })
        .collect();
    Kernel::View(View { axes })
}

fn grad(b: &mut Builder, node: NodeId, g: NodeId) -> Vec<Option<NodeId>> {
    let from = b.shape(b.graph[node].inputs[0]).clone();
    vec![Some(sum_to(b, g, &from))]
}

fn reference(call: &RefCall) -> Array {
    let (x, to) = (call.inputs[0], &call.ty.shape);
    let from = [&vec![1; to.rank() - x.shape.rank()][..], &x.shape].concat();
    let mut data = Vec::with_capacity(to.elements());
    repeat(&x.data, &from, to, &mut data);
    Array::new(to.clone(), data)
}

/// Appends `x` of extents `from`, repeated along axes of extent 1 that are longer in `to`.
fn repeat(x: &[f64], from: &[usize], to: &[usize], out: &mut Vec<f64>) {
    let ([first, from @ ..], [count, to @ ..]) = (from, to) else {
        return out.extend_from_slice(x);
    };
    if from == to && first == count {
        return out.extend_from_slice(x);
    }
    if first == count {
        let parts = x.chunks_exact((x.len() / first.max(&1)).max(1));
        return parts.for_each(|part| repeat(part, from, to, out));
    }
    let start = out.len();
    if *count > 0 {
        repeat(x, from, to, out);
    }
    let end = out.len();
    for _ in 1..*count {
        out.extend_from_within(start..end);
    }
}

/// The record.
pub static OP: Op = Op {
    name: "broadcast",
    doc: "Repeats a tensor along new leading axes and along axes of extent 1.\n\n\
          `x: any[..] -> any[shape]`\n\n\
          Axes are matched from the last.\n\n\
          Example: `broadcast([[1], [2]], shape: [2, 3]) = [[1, 1, 1], [2, 2, 2]]`",
    attrs: &[AttrSpec { name: "shape", kind: AttrKind::Ints, doc: "the shape of the result" }],
    arity: Arity::Exactly(1),
    level: LevelRule::Join,
    shape,
    grad: Grad::Rule(grad),
    lower: Lower::Kernel(kernel),
    reference,
    cases: || {
        vec![
            Case::f32(&[&[]], Attrs::none().ints("shape", [5])),
            Case::f32(&[&[1]], Attrs::none().ints("shape", [33])),
            Case::f32(&[&[17]], Attrs::none().ints("shape", [17])),
            Case::f32(&[&[9]], Attrs::none().ints("shape", [3, 9])).levels(&[Level::Once]),
            Case::f32(&[&[9]], Attrs::none().ints("shape", [4, 9])),
            Case::f32(&[&[3, 1, 7]], Attrs::none().ints("shape", [2, 3, 4, 7])),
        ]
    },
};
