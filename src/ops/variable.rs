//! `variable`: a parameter or a state as it was before this step.

use crate::ir::computation::VariableId;
use crate::ir::kernel::Source;
use crate::ir::{Arity, AttrKind, AttrSpec, Attrs, Builder, Grad, Kernel, LevelRule, Lower, NodeId, Op};
use crate::ty::{Shape, Type};

/// The value of a variable of this shape (variables are f32).
pub fn variable(b: &mut Builder, id: VariableId, shape: &Shape) -> NodeId {
    b.add(&OP, &[], Attrs::none().int("id", i64::from(id.0)).sizes("shape", shape))
}

/// The record.
pub static OP: Op = Op {
    name: "variable",
    doc: "A parameter or a state, as it was before this step.",
    attrs: &[
        AttrSpec { name: "id", kind: AttrKind::Int, doc: "which variable of the experiment" },
        AttrSpec { name: "shape", kind: AttrKind::Ints, doc: "its shape" },
    ],
    arity: Arity::Exactly(0),
    level: LevelRule::Once,
    shape: |sig| Ok(Type::f32(Shape::of(&sig.attrs.get_sizes("shape")))),
    grad: Grad::Zero,
    lower: Lower::Kernel(|sig, _| {
        Kernel::Source(Source::Variable(VariableId(sig.attrs.get_int("id") as u32)))
    }),
    reference: |_| unreachable!("the evaluator holds the variables"),
    cases: Vec::new,
};
