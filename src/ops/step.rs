//! `step` and `batch_size`: where in the run this step stands.

use crate::ir::kernel::Source;
use crate::ir::{Arity, Array, Attrs, Builder, Case, Grad, Kernel, LevelRule, Lower, NodeId, Op};
use crate::ty::{Shape, Type};

/// The number of this step, from 1.
pub fn step(b: &mut Builder) -> NodeId {
    b.add(&STEP, &[], Attrs::none())
}

/// The number of examples in this batch.
pub fn batch_size(b: &mut Builder) -> NodeId {
    b.add(&BATCH_SIZE, &[], Attrs::none())
}

/// The record of `step`.
pub static STEP: Op = Op {
    name: "step",
    doc: "The number of this step, from 1.\n\n`-> f32`\n\nExample: `step() = 1`",
    attrs: &[],
    arity: Arity::Exactly(0),
    level: LevelRule::Once,
    shape: |_| Ok(Type::f32(Shape::scalar())),
    grad: Grad::Zero,
    lower: Lower::Kernel(|_, _| Kernel::Source(Source::Step)),
    reference: |call| Array::scalar(call.moment.step as f64),
    cases: || vec![Case::f32(&[], Attrs::none()).not_differentiable()],
};

/// The record of `batch_size`.
pub static BATCH_SIZE: Op = Op {
    name: "batch_size",
    doc: "The number of examples in this batch; the last batch of an epoch may have fewer.\n\n\
          `-> f32`\n\n\
          Example: `batch_size() = 1`",
    attrs: &[],
    arity: Arity::Exactly(0),
    level: LevelRule::Once,
    shape: |_| Ok(Type::f32(Shape::scalar())),
    grad: Grad::Zero,
    lower: Lower::Kernel(|_, _| Kernel::Source(Source::BatchSize)),
    reference: |call| Array::scalar(call.moment.batch as f64),
    cases: || vec![Case::f32(&[], Attrs::none()).not_differentiable()],
};
