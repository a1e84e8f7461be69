//! `random_uniform` and `random_normal`: numbers from the counter-based generator.

use super::common::{not_differentiable, shape_of};
use crate::ir::kernel::{Distribution, Leaf};
use crate::ir::{
    Arity, Array, AttrKind, AttrSpec, Attrs, Builder, Case, Grad, Kernel, Level, LevelRule, Lower, Mismatch,
    NodeId, Op, RefCall, Signature,
};
use crate::kernels::random::Generator;
use crate::ty::{Shape, Type};

/// Uniform numbers in `[0, 1)`; `stream` differs for every random node of an experiment.
pub fn random_uniform(b: &mut Builder, shape: &Shape, stream: u64, level: Level) -> NodeId {
    b.add(&UNIFORM, &[], attrs(shape, stream, level))
}

/// Standard normal numbers; `stream` differs for every random node of an experiment.
pub fn random_normal(b: &mut Builder, shape: &Shape, stream: u64, level: Level) -> NodeId {
    b.add(&NORMAL, &[], attrs(shape, stream, level))
}

fn attrs(shape: &[usize], stream: u64, level: Level) -> Attrs {
    Attrs::none().sizes("shape", shape).int("stream", stream as i64).flag("each", level == Level::Each)
}

fn shape(sig: &Signature) -> Result<Type, Mismatch> {
    Ok(Type::f32(shape_of(sig.attrs.get_ints("shape"))?))
}

fn kernel(sig: &Signature, distribution: Distribution) -> Kernel {
    Kernel::Leaf(Leaf::Random { distribution, stream: sig.attrs.get_int("stream") as u64 })
}

/// The elements that a function of the generator gives, by position.
fn reference(call: &RefCall, element: fn(&Generator, u64) -> f32) -> Array {
    let moment = call.moment;
    let stream = call.attrs.get_int("stream") as u64;
    let generator = Generator::new(moment.seed, stream, moment.step, moment.example);
    let elements = 0..call.ty.shape.elements() as u64;
    Array::new(call.ty.shape.clone(), elements.map(|i| f64::from(element(&generator, i))).collect())
}

fn cases() -> Vec<Case> {
    let levels = [Level::Once, Level::Each];
    let mut cases = Vec::new();
    for (i, n) in super::common::SIZES.iter().enumerate() {
        cases.push(Case::f32(&[], attrs(&[*n], i as u64, levels[i % 2])));
    }
    cases.push(Case::f32(&[], attrs(&[], 40, Level::Each)));
    cases.push(Case::f32(&[], attrs(&[3, 5, 7], 41, Level::Each)));
    not_differentiable(cases)
}

const ATTRS: &[AttrSpec] = &[
    AttrSpec { name: "shape", kind: AttrKind::Ints, doc: "the shape of the result" },
    AttrSpec { name: "stream", kind: AttrKind::Int, doc: "differs for every random node of an experiment" },
    AttrSpec { name: "each", kind: AttrKind::Bool, doc: "whether every example has numbers of its own" },
];

/// The record of `random_uniform`.
pub static UNIFORM: Op = Op {
    name: "random_uniform",
    doc: "Random numbers, uniform in `[0, 1)`.\n\n\
          `-> f32[shape]`\n\n\
          Each depends on the seed, the stream, the step, the example and its position alone, never on \
          the order of computation. All are multiples of `2^-24`.\n\n\
          With seed 7, at step 1:\n\n\
          Example: `random_uniform(shape: [1], stream: 0, each: false) = [0.842724323]`\n\n\
          Source: Salmon et al., Parallel random numbers: as easy as 1, 2, 3, 2011.",
    attrs: ATTRS,
    arity: Arity::Exactly(0),
    level: LevelRule::Attr,
    shape,
    grad: Grad::Zero,
    lower: Lower::Kernel(|sig, _| kernel(sig, Distribution::Uniform)),
    reference: |call| reference(call, Generator::uniform),
    cases,
};

/// The record of `random_normal`.
pub static NORMAL: Op = Op {
    name: "random_normal",
    doc: "Random numbers of the standard normal distribution.\n\n\
          `-> f32[shape]`\n\n\
          Each depends on the seed, the stream, the step, the example and its position alone, never on \
          the order of computation.\n\n\
          With seed 7, at step 1:\n\n\
          Example: `random_normal(shape: [1], stream: 0, each: false) = [-0.417913526]`\n\n\
          Source: Salmon et al., Parallel random numbers: as easy as 1, 2, 3, 2011; Box and Muller, A \
          note on the generation of random normal deviates, 1958.",
    attrs: ATTRS,
    arity: Arity::Exactly(0),
    level: LevelRule::Attr,
    shape,
    grad: Grad::Zero,
    lower: Lower::Kernel(|sig, _| kernel(sig, Distribution::Normal)),
    reference: |call| reference(call, Generator::normal),
    cases,
};
