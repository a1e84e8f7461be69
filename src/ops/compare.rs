//! `lt`, `le`, `eq`: comparisons, element by element. The others are made of these.

use super::common::{elementwise_cases, map2, not_differentiable, same_shape, typed_case};
use super::not;
use crate::ir::kernel::Scalar;
use crate::ir::{
    Arity, Attrs, Builder, Case, Grad, Kernel, LevelRule, Lower, Mismatch, NodeId, Op, Signature,
};
use crate::ty::{DType, Type};

/// `x < y`.
pub fn lt(b: &mut Builder, x: NodeId, y: NodeId) -> NodeId {
    b.add(&LT, &[x, y], Attrs::none())
}

/// `x <= y`.
pub fn le(b: &mut Builder, x: NodeId, y: NodeId) -> NodeId {
    b.add(&LE, &[x, y], Attrs::none())
}

/// `x == y`.
pub fn eq(b: &mut Builder, x: NodeId, y: NodeId) -> NodeId {
    b.add(&EQ, &[x, y], Attrs::none())
}

/// `x > y`.
pub fn gt(b: &mut Builder, x: NodeId, y: NodeId) -> NodeId {
    lt(b, y, x)
}

/// `x >= y`.
pub fn ge(b: &mut Builder, x: NodeId, y: NodeId) -> NodeId {
    le(b, y, x)
}

/// `x != y`.
pub fn ne(b: &mut Builder, x: NodeId, y: NodeId) -> NodeId {
    let equal = eq(b, x, y);
    not(b, equal)
}

fn shape(sig: &Signature) -> Result<Type, Mismatch> {
    same_shape(sig, &[0, 1])?;
    Ok(Type::new(DType::Bool, sig.inputs[0].shape.clone()))
}

/// Floats and, so that equal elements come up, small whole numbers and truth values.
fn cases() -> Vec<Case> {
    let mut cases = elementwise_cases(2, -2.0, 2.0);
    cases.push(typed_case(&[(DType::Index(3), &[17]), (DType::Index(4), &[17])], Attrs::none()));
    cases.push(typed_case(&[(DType::Bool, &[3, 5]), (DType::Bool, &[3, 5])], Attrs::none()));
    cases.push(typed_case(&[(DType::F32, &[9]), (DType::Index(3), &[9])], Attrs::none()));
    not_differentiable(cases)
}

/// The record of `lt`.
pub static LT: Op = Op {
    name: "lt",
    doc: "Whether each element of `x` is less than that of `y`.\n\n\
          `x: any[..], y: any[..] -> bool[..]`\n\n\
          Written `x < y`. Whole numbers and truth values count as numbers.\n\n\
          Example: `lt([1, 2, 3], [2, 2, 2]) = [1, 0, 0]`",
    attrs: &[],
    arity: Arity::Exactly(2),
    level: LevelRule::Join,
    shape,
    grad: Grad::Zero,
    lower: Lower::Kernel(|_, _| Kernel::Map(Scalar::Lt)),
    reference: |call| map2(call, |x, y| f64::from(x < y)),
    cases: || cases(),
};

/// The record of `le`.
pub static LE: Op = Op {
    name: "le",
    doc: "Whether each element of `x` is at most that of `y`.\n\n\
          `x: any[..], y: any[..] -> bool[..]`\n\n\
          Written `x <= y`. Whole numbers and truth values count as numbers.\n\n\
          Example: `le([1, 2, 3], [2, 2, 2]) = [1, 1, 0]`",
    attrs: &[],
    arity: Arity::Exactly(2),
    level: LevelRule::Join,
    shape,
    grad: Grad::Zero,
    lower: Lower::Kernel(|_, _| Kernel::Map(Scalar::Le)),
    reference: |call| map2(call, |x, y| f64::from(x <= y)),
    cases: || cases(),
};

/// The record of `eq`.
pub static EQ: Op = Op {
    name: "eq",
    doc: "Whether each element of `x` equals that of `y`.\n\n\
          `x: any[..], y: any[..] -> bool[..]`\n\n\
          Written `x == y`. Whole numbers and truth values count as numbers.\n\n\
          Example: `eq([1, 2, 3], [2, 2, 2]) = [0, 1, 0]`",
    attrs: &[],
    arity: Arity::Exactly(2),
    level: LevelRule::Join,
    shape,
    grad: Grad::Zero,
    lower: Lower::Kernel(|_, _| Kernel::Map(Scalar::Eq)),
    reference: |call| map2(call, |x, y| f64::from(x == y)),
    cases: || cases(),
};
