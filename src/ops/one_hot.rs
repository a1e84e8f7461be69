//! `one_hot`: 1 at an index, 0 elsewhere.

use super::common::{not_differentiable, shape_of, typed_case};
use super::{broadcast, cast, eq, iota, reshape};
use crate::ir::{
    Arity, Array, AttrKind, AttrSpec, Attrs, Builder, Case, Grad, LevelRule, Lower, Mismatch, NodeId, Op,
    RefCall, Signature,
};
use crate::ty::{DType, Shape, Type};

/// For each index a row of this size with 1 at the index and 0 elsewhere.
pub fn one_hot(b: &mut Builder, index: NodeId, size: usize) -> NodeId {
    b.add(&OP, &[index], Attrs::none().int("size", size as i64))
}

fn shape(sig: &Signature) -> Result<Type, Mismatch> {
    let (index, size) = (sig.inputs[0], sig.attrs.get_int("size"));
    let DType::Index(bound) = index.dtype else {
        return Err(Mismatch::of(&[0], format!("an index is needed here, not {index}")));
    };
    if u64::try_from(size).is_ok_and(|size| size < bound) {
        return Err(Mismatch::of(&[0], format!("{index} does not fit into rows of {size}")));
    }
    let extents: Vec<i64> = index.shape.iter().map(|n| *n as i64).chain([size]).collect();
    Ok(Type::f32(shape_of(&extents)?))
}

fn lower(b: &mut Builder, node: NodeId) -> NodeId {
    let shape = b.shape(node).clone();
    let index = b.graph[node].inputs[0];
    let last = shape.rank() - 1;
    let places = iota(b, &Shape::of(&shape[last..]), 0);
    let places = broadcast(b, places, &shape);
    let column = reshape(b, index, &super::common::with_ones(&shape, &[last]));
    let index = broadcast(b, column, &shape);
    let hit = eq(b, places, index);
    cast(b, hit, DType::F32)
}

fn reference(call: &RefCall) -> Array {
    let (index, size) = (call.inputs[0], call.attrs.get_int("size"));
    let row = |at: &f64| (0..size).map(move |i| f64::from(i as f64 == *at)).collect::<Vec<_>>();
    let at: Vec<f64> = index.data.clone();
    Array::new(call.ty.shape.clone(), at.iter().flat_map(row).collect())
}

fn cases() -> Vec<Case> {
    let case = |bound: u64, shape: &[usize], size: i64| {
        typed_case(&[(DType::Index(bound), shape)], Attrs::none().int("size", size))
    };
    not_differentiable(vec![
        case(1, &[], 1),
        case(10, &[], 10),
        case(10, &[7], 10),
        case(5, &[3, 2], 17),
        case(33, &[4], 33),
    ])
}

/// The record.
pub static OP: Op = Op {
    name: "one_hot",
    doc: "For each index a row with 1 at the index and 0 elsewhere.\n\n\
          `index: index<n>[..] -> f32[.., size]`\n\n\
          `n` is at most `size`.\n\n\
          Example: `one_hot(index<3>[2, 0], size: 3) = [[0, 0, 1], [1, 0, 0]]`",
    attrs: &[AttrSpec { name: "size", kind: AttrKind::Int, doc: "the length of a row" }],
    arity: Arity::Exactly(1),
    level: LevelRule::Join,
    shape,
    grad: Grad::Zero,
    lower: Lower::Ops(lower),
    reference,
    cases,
};
