//! `sum` and `mean` over axes.

use super::common::{axes_of, known_axes, need_f32, without};
use super::{expand, scale};
use crate::ir::kernel::Combine;
use crate::ir::{
    Arity, Array, AttrKind, AttrSpec, Attrs, Builder, Case, Grad, Kernel, Level, LevelRule, Lower, Mismatch,
    NodeId, Op, RefCall, Signature,
};
use crate::ty::{Shape, Type};

/// The sum over these axes, which vanish; `x` itself where there are none.
pub fn sum(b: &mut Builder, x: NodeId, axes: &[usize]) -> NodeId {
    if axes.is_empty() { x } else { b.add(&SUM, &[x], Attrs::none().sizes("axes", axes)) }
}

/// The mean over these axes, which vanish.
pub fn mean(b: &mut Builder, x: NodeId, axes: &[usize]) -> NodeId {
    b.add(&MEAN, &[x], Attrs::none().sizes("axes", axes))
}

/// The shape rule of reductions: the axes vanish.
pub fn reduced(sig: &Signature) -> Result<Type, Mismatch> {
    need_f32(sig, 0)?;
    let shape = &sig.inputs[0].shape;
    let axes = axes_of(shape, sig.attrs.get_ints("axes"))?;
    Ok(Type::f32(without(shape, &axes)))
}

/// The shape and the axes of a reduction's input.
pub fn reduction(b: &Builder, node: NodeId) -> (Shape, Vec<usize>) {
    let shape = b.shape(b.graph[node].inputs[0]).clone();
    let axes = known_axes(&shape, b.graph[node].attrs.get_ints("axes"));
    (shape, axes)
}

/// Combines the elements along the axes, starting from this value.
pub fn fold(call: &RefCall, start: f64, combine: impl Fn(f64, f64) -> f64) -> Array {
    let x = call.inputs[0];
    let axes = known_axes(&x.shape, call.attrs.get_ints("axes"));
    let strides = call.ty.shape.strides();
    let kept: Vec<usize> = (0..x.shape.rank()).filter(|i| !axes.contains(i)).collect();
    let mut result = Array::from_fn(&call.ty.shape, |_| start);
    let mut position = 0;
    Array::from_fn(&x.shape, |index| {
        let at: usize = kept.iter().zip(&strides).map(|(axis, stride)| index[*axis] * stride).sum();
        result.data[at] = combine(result.data[at], x.data[position]);
        position += 1;
        0.0
    });
    result
}

fn sum_grad(b: &mut Builder, node: NodeId, g: NodeId) -> Vec<Option<NodeId>> {
    let (shape, axes) = reduction(b, node);
    vec![Some(expand(b, g, &axes, &shape))]
}

/// One over the number of elements that a mean is taken of.
fn share(b: &Builder, node: NodeId) -> f64 {
    let (from, to) = (b.shape(b.graph[node].inputs[0]), b.shape(node));
    to.elements() as f64 / from.elements() as f64
}

fn mean_grad(b: &mut Builder, node: NodeId, g: NodeId) -> Vec<Option<NodeId>> {
    let share = share(b, node);
    let g = scale(b, g, share);
    sum_grad(b, node, g)
}

fn mean_lower(b: &mut Builder, node: NodeId) -> NodeId {
    let (_, axes) = reduction(b, node);
    let share = share(b, node);
    let total = sum(b, b.graph[node].inputs[0], &axes);
    scale(b, total, share)
}

/// Cases of reductions over single, several and all axes.
pub fn cases() -> Vec<Case> {
    let case = |shape: &[usize], axes: &[i64]| Case::f32(&[shape], Attrs::none().ints("axes", axes));
    let mut cases: Vec<Case> = super::common::SIZES.iter().map(|n| case(&[*n], &[0])).collect();
    cases.extend([
        case(&[3, 17], &[1]),
        case(&[17, 3], &[0]),
        case(&[5, 9], &[-1]),
        case(&[4, 3, 5], &[0, 2]),
        case(&[4, 3, 5], &[1]),
        case(&[2, 3, 4], &[0, 1, 2]),
        case(&[7], &[]),
        case(&[3, 17], &[0]).levels(&[Level::Once]),
    ]);
    cases
}

/// The attribute of reductions.
pub const AXES: &[AttrSpec] = &[AttrSpec {
    name: "axes",
    kind: AttrKind::Ints,
    doc: "the axes that vanish; negative ones count from the end",
}];

/// The record of `sum`.
pub static SUM: Op = Op {
    name: "sum",
    doc: "The sum over some axes, which vanish.\n\n\
          `x: f32[..] -> f32[..]`\n\n\
          Example: `sum([[1, 2], [3, 4]], axes: [1]) = [3, 7]`",
    attrs: AXES,
    arity: Arity::Exactly(1),
    level: LevelRule::Join,
    shape: reduced,
    grad: Grad::Rule(sum_grad),
    lower: Lower::Kernel(|sig, _| {
        Kernel::Reduce(Combine::Sum, known_axes(&sig.inputs[0].shape, sig.attrs.get_ints("axes")))
    }),
    reference: |call| fold(call, 0.0, |x, y| x + y),
    cases,
};

/// The record of `mean`.
pub static MEAN: Op = Op {
    name: "mean",
    doc: "The mean over some axes, which vanish.\n\n\
          `x: f32[..] -> f32[..]`\n\n\
          Example: `mean([[1, 2], [3, 4]], axes: [1]) = [1.5, 3.5]`",
    attrs: AXES,
    arity: Arity::Exactly(1),
    level: LevelRule::Join,
    shape: reduced,
    grad: Grad::Rule(mean_grad),
    lower: Lower::Ops(mean_lower),
    reference: |call| {
        let mut result = fold(call, 0.0, |x, y| x + y);
        let count = call.inputs[0].data.len() as f64 / result.data.len() as f64;
        result.data.iter_mut().for_each(|x| *x /= count);
        result
    },
    cases,
};
