//! `batch`: the values of all examples as one; `example`: of such a value the part of this example. Each is the
//! other's gradient.

use super::common::shape_of;
use crate::ir::{
    Arity, Array, AttrKind, AttrSpec, Attrs, Builder, Case, Grad, Kernel, Level, LevelRule, Lower, Mismatch,
    NodeId, Op, RefCall, Signature,
};
use crate::ty::{Shape, Type};

/// The values of this many examples, all of the batch, one after the other along a new first axis.
pub fn batch(b: &mut Builder, x: NodeId, examples: usize) -> NodeId {
    b.add(&BATCH, &[x], Attrs::none().int("examples", examples as i64))
}

/// The part of `x` along its first axis that belongs to this example.
pub fn example(b: &mut Builder, x: NodeId) -> NodeId {
    let examples = b.shape(x).first().copied().unwrap_or_default();
    b.add(&EXAMPLE, &[x], Attrs::none().int("examples", examples as i64))
}

fn batch_shape(sig: &Signature) -> Result<Type, Mismatch> {
    let x = sig.inputs[0];
    let examples = sig.attrs.get_int("examples");
    if examples < 1 {
        return Err(Mismatch::of(&[], format!("a batch of {examples} examples")));
    }
    let extents: Vec<i64> = [examples].into_iter().chain(x.shape.iter().map(|n| *n as i64)).collect();
    Ok(Type::new(x.dtype, shape_of(&extents)?))
}

fn example_shape(sig: &Signature) -> Result<Type, Mismatch> {
    let (x, examples) = (sig.inputs[0], sig.attrs.get_int("examples"));
    match x.shape.split_first() {
        Some((first, rest)) if i64::try_from(*first) == Ok(examples) => {
            Ok(Type::new(x.dtype, Shape::of(rest)))
        }
        _ => {
            let message = format!("a value for each of the {examples} examples is needed here, not {x}");
            Err(Mismatch::of(&[0], message).help("`batch(x)` gives one"))
        }
    }
}

fn batch_grad(b: &mut Builder, _: NodeId, g: NodeId) -> Vec<Option<NodeId>> {
    vec![Some(example(b, g))]
}

fn example_grad(b: &mut Builder, node: NodeId, g: NodeId) -> Vec<Option<NodeId>> {
    let examples = b.graph[node].attrs.get_int("examples");
    vec![Some(batch(b, g, examples as usize))]
}

fn batch_reference(call: &RefCall) -> Array {
    // A batch of another size does not happen; the last example stands in where there are fewer.
    let examples = call.attrs.get_int("examples") as usize;
    let example = |i: usize| &call.inputs[i.min(call.inputs.len() - 1)].data;
    let data = (0..examples).flat_map(|i| example(i).iter().copied());
    Array::new(call.ty.shape.clone(), data.collect())
}

fn example_reference(call: &RefCall) -> Array {
    let (size, examples) = (call.ty.shape.elements(), call.attrs.get_int("examples") as usize);
    let at = (call.moment.example as usize).min(examples - 1);
    Array::new(call.ty.shape.clone(), call.inputs[0].data[at * size..(at + 1) * size].to_vec())
}

const EXAMPLES: &[AttrSpec] =
    &[AttrSpec { name: "examples", kind: AttrKind::Int, doc: "how many examples the batch has" }];

/// The record of `batch`.
pub static BATCH: Op = Op {
    name: "batch",
    doc: "The values of all examples of the batch as one value, the same for all examples.\n\n\
          `x: f32[..] -> f32[n, ..]`, `n` the number of examples; of indices and truth values too.\n\n\
          In a training step `n` is the size of the batch, in a `measure` the number of rows of the split.\n\n\
          Example: `batch([1, 2], examples: 1) = [[1, 2]]`",
    attrs: EXAMPLES,
    arity: Arity::Exactly(1),
    level: LevelRule::Once,
    shape: batch_shape,
    grad: Grad::Rule(batch_grad),
    lower: Lower::Kernel(|_, _| Kernel::Batch),
    reference: batch_reference,
    cases: || {
        let one = |shape: &[usize]| Case::f32(&[shape], Attrs::none().int("examples", 1));
        vec![one(&[]), one(&[7]), one(&[3, 16]), one(&[33])]
    },
};

/// The record of `example`.
pub static EXAMPLE: Op = Op {
    name: "example",
    doc: "Of a value with a part for each example of the batch along its first axis, the part of this one.\n\n\
          `x: f32[n, ..] -> f32[..]`, `n` the number of examples.\n\n\
          `example(batch(x))` is `x`.\n\n\
          Example: `example([[1, 2]], examples: 1) = [1, 2]`",
    attrs: EXAMPLES,
    arity: Arity::Exactly(1),
    level: LevelRule::Each,
    shape: example_shape,
    grad: Grad::Rule(example_grad),
    lower: Lower::Kernel(|_, _| Kernel::Example),
    reference: example_reference,
    cases: || {
        let one =
            |shape: &[usize]| Case::f32(&[shape], Attrs::none().int("examples", 1)).levels(&[Level::Once]);
        vec![one(&[1]), one(&[1, 7]), one(&[1, 3, 16])]
    },
};
