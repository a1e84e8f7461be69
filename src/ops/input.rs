//! `input`: a field of the batch.

use crate::ir::kernel::Source;
use crate::ir::{Arity, AttrKind, AttrSpec, Attrs, Builder, Grad, Kernel, LevelRule, Lower, NodeId, Op};
use crate::ty::{DType, Shape, Type};

/// The `index`-th input of the graph: one value per example.
pub fn input(b: &mut Builder, index: usize, ty: &Type) -> NodeId {
    let bound = match ty.dtype {
        DType::F32 => -1,
        DType::Bool => -2,
        DType::Index(bound) => bound as i64,
    };
    b.add(&OP, &[], Attrs::none().int("index", index as i64).int("bound", bound).sizes("shape", &ty.shape))
}

/// The record.
pub static OP: Op = Op {
    name: "input",
    doc: "A field of the batch: one value per example.",
    attrs: &[
        AttrSpec { name: "index", kind: AttrKind::Int, doc: "which input of the graph" },
        AttrSpec { name: "bound", kind: AttrKind::Int, doc: "bound of an index; -1 for f32, -2 for bool" },
        AttrSpec { name: "shape", kind: AttrKind::Ints, doc: "shape of one example's value" },
    ],
    arity: Arity::Exactly(0),
    level: LevelRule::Each,
    shape: |sig| {
        let dtype = match sig.attrs.get_int("bound") {
            -1 => DType::F32,
            -2 => DType::Bool,
            bound => DType::Index(bound as u64),
        };
        Ok(Type::new(dtype, Shape::of(&sig.attrs.get_sizes("shape"))))
    },
    grad: Grad::Zero,
    lower: Lower::Kernel(|sig, _| Kernel::Source(Source::Input(sig.attrs.get_int("index") as usize))),
    reference: |_| unreachable!("the evaluator holds the inputs"),
    cases: Vec::new,
};
