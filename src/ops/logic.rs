//! `and`, `or`, `not`: truth values, element by element.

use super::common::{SIZES, map1, map2, not_differentiable, same_shape, typed_case};
use crate::ir::kernel::Scalar;
use crate::ir::{
    Arity, Attrs, Builder, Case, Grad, Kernel, LevelRule, Lower, Mismatch, NodeId, Op, Signature,
};
use crate::ty::{DType, Type};

/// Whether both hold.
pub fn and(b: &mut Builder, x: NodeId, y: NodeId) -> NodeId {
    b.add(&AND, &[x, y], Attrs::none())
}

/// Whether at least one holds.
pub fn or(b: &mut Builder, x: NodeId, y: NodeId) -> NodeId {
    b.add(&OR, &[x, y], Attrs::none())
}

/// Whether it does not hold.
pub fn not(b: &mut Builder, x: NodeId) -> NodeId {
    b.add(&NOT, &[x], Attrs::none())
}

fn shape(sig: &Signature) -> Result<Type, Mismatch> {
    let all: Vec<usize> = (0..sig.inputs.len()).collect();
    for (i, ty) in sig.inputs.iter().enumerate() {
        if ty.dtype != DType::Bool {
            return Err(Mismatch::of(&[i], format!("a truth value is needed here, not {ty}"))
                .help("a comparison gives truth values: `x != 0`"));
        }
    }
    same_shape(sig, &all)?;
    Ok(sig.inputs[0].clone())
}

fn cases(inputs: usize) -> Vec<Case> {
    let case = |n: &usize| typed_case(&vec![(DType::Bool, [*n].as_slice()); inputs], Attrs::none());
    not_differentiable(SIZES.iter().map(case).collect())
}

/// The record of `and`.
pub static AND: Op = Op {
    name: "and",
    doc: "Whether both of two truth values hold.\n\n\
          `x: bool[..], y: bool[..] -> bool[..]`\n\n\
          Written `x and y`.\n\n\
          Example: `and(bool[0, 1, 1], bool[1, 0, 1]) = [0, 0, 1]`",
    attrs: &[],
    arity: Arity::Exactly(2),
    level: LevelRule::Join,
    shape,
    grad: Grad::Zero,
    lower: Lower::Kernel(|_, _| Kernel::Map(Scalar::And)),
    reference: |call| map2(call, |x, y| f64::from(x != 0.0 && y != 0.0)),
    cases: || cases(2),
};

/// The record of `or`.
pub static OR: Op = Op {
    name: "or",
    doc: "Whether at least one of two truth values holds.\n\n\
          `x: bool[..], y: bool[..] -> bool[..]`\n\n\
          Written `x or y`.\n\n\
          Example: `or(bool[0, 1, 1], bool[1, 0, 1]) = [1, 1, 1]`",
    attrs: &[],
    arity: Arity::Exactly(2),
    level: LevelRule::Join,
    shape,
    grad: Grad::Zero,
    lower: Lower::Kernel(|_, _| Kernel::Map(Scalar::Or)),
    reference: |call| map2(call, |x, y| f64::from(x != 0.0 || y != 0.0)),
    cases: || cases(2),
};

/// The record of `not`.
pub static NOT: Op = Op {
    name: "not",
    doc: "Whether a truth value does not hold.\n\n\
          `x: bool[..] -> bool[..]`\n\n\
          Written `not x`.\n\n\
          Example: `not(bool[0, 1]) = [1, 0]`",
    attrs: &[],
    arity: Arity::Exactly(1),
    level: LevelRule::Join,
    shape,
    grad: Grad::Zero,
    lower: Lower::Kernel(|_, _| Kernel::Map(Scalar::Not)),
    reference: |call| map1(call, |x| f64::from(x == 0.0)),
    cases: || cases(1),
};
