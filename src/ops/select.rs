//! `select`: one of two elements, by a condition.

use super::common::{SIZES, same_shape, typed_case};
use super::zeros_like;
use crate::ir::kernel::Scalar;
use crate::ir::{
    Arity, Array, Attrs, Builder, Case, Grad, Kernel, LevelRule, Lower, Mismatch, NodeId, Op, RefCall,
    Signature,
};
use crate::ty::{DType, Type};

/// `x` where the condition holds, else `y`.
pub fn select(b: &mut Builder, condition: NodeId, x: NodeId, y: NodeId) -> NodeId {
    b.add(&OP, &[condition, x, y], Attrs::none())
}

fn shape(sig: &Signature) -> Result<Type, Mismatch> {
    let [condition, x, y] = sig.inputs else { return Err(Mismatch::of(&[], "select takes three inputs")) };
    if condition.dtype != DType::Bool {
        return Err(Mismatch::of(&[0], format!("the condition is {condition}, not a truth value"))
            .help("a comparison gives truth values: `x != 0`"));
    }
    let dtype = match (x.dtype, y.dtype) {
        (DType::F32, DType::F32) => DType::F32,
        (DType::Bool, DType::Bool) => DType::Bool,
        (DType::Index(m), DType::Index(n)) => DType::Index(m.max(n)),
        _ => return Err(Mismatch::of(&[1, 2], format!("the alternatives {x} and {y} are of two kinds"))),
    };
    same_shape(sig, &[0, 1, 2])?;
    Ok(Type::new(dtype, x.shape.clone()))
}

fn grad(b: &mut Builder, node: NodeId, g: NodeId) -> Vec<Option<NodeId>> {
    let condition = b.graph[node].inputs[0];
    let zero = zeros_like(b, g);
    vec![None, Some(select(b, condition, g, zero)), Some(select(b, condition, zero, g))]
}

fn reference(call: &RefCall) -> Array {
    let [condition, x, y] = call.inputs else { unreachable!("select takes three inputs") };
    let pick = |i: usize| if condition.data[i] != 0.0 { x.data[i] } else { y.data[i] };
    Array::new(call.ty.shape.clone(), (0..condition.data.len()).map(pick).collect())
}

fn cases() -> Vec<Case> {
    let of = |dtype, n: usize| {
        typed_case(&[(DType::Bool, &[n]), (dtype, [n].as_slice()), (dtype, [n].as_slice())], Attrs::none())
    };
    let mut cases: Vec<Case> = SIZES.iter().map(|n| of(DType::F32, *n)).collect();
    cases.push(of(DType::Index(5), 9).not_differentiable());
    cases
}

/// The record.
pub static OP: Op = Op {
    name: "select",
    doc: "One of two elements, by a condition.\n\n\
          `condition: bool[..], x: t[..], y: t[..] -> t[..]`\n\n\
          Both are computed; the gradient goes to the one that is taken.\n\n\
          Example: `select(bool[1, 0], [1, 2], [3, 4]) = [1, 4]`",
    attrs: &[],
    arity: Arity::Exactly(3),
    level: LevelRule::Join,
    shape,
    grad: Grad::Rule(grad),
    lower: Lower::Kernel(|_, _| Kernel::Map(Scalar::Select)),
    reference,
    cases,
};
