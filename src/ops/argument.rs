//! `argument`: in the body of a `scan`, what a step is given.

use crate::ir::kernel::Source;
use crate::ir::{
    Arity, AttrKind, AttrSpec, Attrs, Builder, Grad, Kernel, Level, LevelRule, Lower, Mismatch, NodeId, Op,
};
use crate::ty::{DType, Type};

/// The `index`-th argument of a step.
pub fn argument(b: &mut Builder, index: usize, ty: &Type, level: Level) -> NodeId {
    let bound = match ty.dtype {
        DType::F32 => -1,
        DType::Bool => -2,
        DType::Index(bound) => bound as i64,
    };
    let attrs = Attrs::none().int("index", index as i64).int("bound", bound).sizes("shape", &ty.shape);
    b.add(&OP, &[], attrs.flag("each", level == Level::Each))
}

/// The record.
pub static OP: Op = Op {
    name: "argument",
    doc: "What a step of a `scan` is given: its part of a sequence, a carried value, or a value from outside.",
    attrs: &[
        AttrSpec { name: "index", kind: AttrKind::Int, doc: "which input of the `scan`" },
        AttrSpec { name: "bound", kind: AttrKind::Int, doc: "bound of an index; -1 for f32, -2 for bool" },
        AttrSpec { name: "shape", kind: AttrKind::Ints, doc: "its shape in one step" },
        AttrSpec { name: "each", kind: AttrKind::Bool, doc: "whether every example has its own" },
    ],
    arity: Arity::Exactly(0),
    level: LevelRule::Attr,
    shape: |sig| {
        if sig.attrs.get_int("index") < 0 {
            return Err(Mismatch::of(&[], "arguments are counted from 0"));
        }
        let dtype = match sig.attrs.get_int("bound") {
            -1 => DType::F32,
            -2 => DType::Bool,
            bound if bound > 0 => DType::Index(bound as u64),
            bound => return Err(Mismatch::of(&[], format!("there is no index below {bound}"))),
        };
        Ok(Type::new(dtype, super::common::shape_of(sig.attrs.get_ints("shape"))?))
    },
    grad: Grad::Zero,
    lower: Lower::Kernel(|sig, _| Kernel::Source(Source::Argument(sig.attrs.get_int("index") as usize))),
    reference: |_| unreachable!("the evaluation of a `scan` holds the arguments of its steps"),
    cases: Vec::new,
};
