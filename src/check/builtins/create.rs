//! Functions that make tensors of a given shape.

use super::{Args, Builtin};
use crate::check::checker::Checker;
use crate::check::value::{Eval, Value};
use crate::ir::{Attrs, NodeId};

/// A tensor filled with a number.
fn filled<'a>(c: &mut Checker<'a>, args: &Args<'a>, what: &str, value: f64) -> Eval<Value<'a>> {
    let extents = if args.rest.is_empty() { c.initial_shape(what)? } else { args.extents(c)? };
    fill(c, &extents, value).map(Value::Tensor)
}

fn fill(c: &mut Checker, extents: &[i64], value: f64) -> Eval<NodeId> {
    let shape = c.checked_shape(extents)?;
    let scalar = c.constant(value)?;
    c.broadcast(scalar, &shape)
}

fn full<'a>(c: &mut Checker<'a>, args: &Args<'a>) -> Eval<Value<'a>> {
    let value = args.numbers(c, "value")?;
    let extents = if args.rest.is_empty() { c.initial_shape("full")? } else { args.extents(c)? };
    let shape = c.checked_shape(&extents)?;
    c.broadcast(value, &shape).map(Value::Tensor)
}

fn like<'a>(c: &mut Checker<'a>, args: &Args<'a>, value: f64) -> Eval<Value<'a>> {
    let x = args.tensor(c, "x")?;
    let shape = c.shape(x);
    let scalar = c.constant(value)?;
    c.broadcast(scalar, &shape).map(Value::Tensor)
}

fn iota<'a>(c: &mut Checker<'a>, args: &Args<'a>) -> Eval<Value<'a>> {
    let extents = args.extents(c)?;
    let shape = c.checked_shape(&extents)?;
    let axis = args.axis(c, "axis", &shape, 0)?;
    let attrs = Attrs::none().sizes("shape", &shape).int("axis", axis as i64);
    c.op("iota", &[], attrs).map(Value::Tensor)
}

pub static TABLE: &[Builtin] = &[
    Builtin::new("zeros(...shape)", "Zeros; as a first value, of the shape that is initialised.", |c, a| {
        filled(c, a, "zeros", 0.0)
    }),
    Builtin::new("ones(...shape)", "Ones; as a first value, of the shape that is initialised.", |c, a| {
        filled(c, a, "ones", 1.0)
    }),
    Builtin::new("full(value, ...shape)", "One number everywhere.", full),
    Builtin::new("zeros_like(x)", "Zeros in the shape of another tensor.", |c, a| like(c, a, 0.0)),
    Builtin::new("ones_like(x)", "Ones in the shape of another tensor.", |c, a| like(c, a, 1.0)),
    Builtin::new(
        "iota(...shape, axis = 0)",
        "The index along an axis as a number: `iota(3)` is [0, 1, 2].",
        iota,
    ),
];
