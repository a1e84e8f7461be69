//! `cast`: the same numbers as another element type.

use super::common::{map1, not_differentiable, typed_case};
use super::{constant_like, ne};
use crate::ir::kernel::Scalar;
use crate::ir::{
    Arity, AttrKind, AttrSpec, Attrs, Builder, Case, Grad, Kernel, LevelRule, Lower, Mismatch, NodeId, Op,
    Signature,
};
use crate::ty::{DType, Type};

/// `x` as this element type; `x` itself where it is of it. A number is true where it is not 0.
pub fn cast(b: &mut Builder, x: NodeId, to: DType) -> NodeId {
    match (b.ty(x).dtype, to) {
        (from, to) if from == to => x,
        (_, DType::Bool) => {
            let number = cast(b, x, DType::F32);
            let zero = constant_like(b, number, 0.0);
            ne(b, number, zero)
        }
        (_, DType::F32) => b.add(&OP, &[x], Attrs::none().int("bound", -1)),
        (_, DType::Index(bound)) => b.add(&OP, &[x], Attrs::none().int("bound", bound as i64)),
    }
}

fn shape(sig: &Signature) -> Result<Type, Mismatch> {
    let from = sig.inputs[0];
    let dtype = match sig.attrs.get_int("bound") {
        -1 => DType::F32,
        bound if bound > 0 => DType::Index(bound as u64),
        bound => return Err(Mismatch::of(&[], format!("the bound of an index is at least 1, not {bound}"))),
    };
    if dtype == DType::F32 && from.dtype == DType::F32 {
        return Err(Mismatch::of(&[0], format!("{from} is f32 already")));
    }
    Ok(Type::new(dtype, from.shape.clone()))
}

fn cases() -> Vec<Case> {
    let of = |dtype, n: usize, bound| typed_case(&[(dtype, &[n])], Attrs::none().int("bound", bound));
    not_differentiable(vec![
        of(DType::Index(10), 1, -1),
        of(DType::Index(300), 17, -1),
        of(DType::Bool, 9, -1),
        of(DType::Bool, 33, 2),
        of(DType::Index(7), 8, 9),
        of(DType::F32, 31, 4).range(0.0, 3.99),
    ])
}

/// The record.
pub static OP: Op = Op {
    name: "cast",
    doc: "The same numbers as another element type.\n\n\
          `x: any[..] -> f32[..]` or `index<bound>[..]`\n\n\
          Truth values become 1 and 0. A float loses its fraction when it becomes an index, and must \
          lie in `0..bound`.\n\n\
          Example: `cast([0.5, 2.75], bound: 3) = [0, 2]`",
    attrs: &[AttrSpec { name: "bound", kind: AttrKind::Int, doc: "bound of the index; -1 for f32" }],
    arity: Arity::Exactly(1),
    level: LevelRule::Join,
    shape,
    grad: Grad::Zero,
    // Whole numbers are their own truncation.
    lower: Lower::Kernel(|_, _| Kernel::Map(Scalar::Trunc)),
    reference: |call| map1(call, f64::trunc),
    cases,
};
