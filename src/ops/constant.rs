//! `constant`: a number known at compile time.

use super::broadcast;
use crate::ir::kernel::Source;
use crate::ir::{
    Arity, Array, AttrKind, AttrSpec, Attrs, Builder, Case, Grad, Kernel, LevelRule, Lower, NodeId, Op,
};
use crate::ty::{Shape, Type};

/// A scalar.
pub fn constant(b: &mut Builder, value: f64) -> NodeId {
    b.add(&OP, &[], Attrs::none().float("value", value))
}

/// A constant in the shape of another node.
pub fn constant_like(b: &mut Builder, like: NodeId, value: f64) -> NodeId {
    let scalar = constant(b, value);
    let shape = b.shape(like).clone();
    broadcast(b, scalar, &shape)
}

/// The record.
pub static OP: Op = Op {
    name: "constant",
    doc: "A number known at compile time.\n\n`-> f32`\n\nExample: `constant(value: 2.5) = 2.5`",
    attrs: &[AttrSpec { name: "value", kind: AttrKind::Float, doc: "the number" }],
    arity: Arity::Exactly(0),
    level: LevelRule::Once,
    shape: |_| Ok(Type::f32(Shape::scalar())),
    grad: Grad::Zero,
    lower: Lower::Kernel(|sig, _| Kernel::Source(Source::Constant(sig.attrs.get_float("value")))),
    reference: |call| Array::scalar(call.attrs.get_float("value")),
    cases: || vec![Case::f32(&[], Attrs::none().float("value", 2.5)).not_differentiable()],
};
