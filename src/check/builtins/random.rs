//! Random tensors, from the counter-based generator: the same file and seed give the same numbers.

use super::{Args, Builtin};
use crate::check::checker::Checker;
use crate::check::value::{Eval, Value};
use crate::ir::{Attrs, NodeId};

/// A random tensor: of its own for each example, except in first values and where `shared` is true.
fn draw<'a>(c: &mut Checker<'a>, args: &Args<'a>, op: &'static str, what: &str) -> Eval<NodeId> {
    let extents =
        if args.rest.is_empty() && c.initial.is_some() { c.initial_shape(what)? } else { args.extents(c)? };
    let shape = c.checked_shape(&extents)?;
    let each = c.initial.is_none() && !c.optimizing && !args.flag(c, "shared", false)?;
    let path = match &c.initial {
        Some(initial) => initial.path.clone(),
        None => c.frame.path.clone(),
    };
    let stream = c.stream(&path);
    let attrs = Attrs::none().sizes("shape", &shape).int("stream", stream).flag("each", each);
    c.op(op, &[], attrs)
}

/// `low + (high - low) * x`, without arithmetic that changes nothing.
fn affine<'a>(c: &mut Checker<'a>, x: NodeId, scale: Value<'a>, offset: Value<'a>) -> Eval<Value<'a>> {
    use crate::syntax::ast::BinaryOp;
    let mut value = Value::Tensor(x);
    if scale.number() != Some(1.0) {
        value = c.binary(BinaryOp::Mul, value, scale)?;
    }
    if offset.number() != Some(0.0) {
        value = c.binary(BinaryOp::Add, value, offset)?;
    }
    Ok(value)
}

fn or_number<'a>(args: &Args<'a>, name: &str, default: f64) -> Value<'a> {
    args.get(name).map_or(Value::Float(default), |(value, _)| value.clone())
}

fn uniform<'a>(c: &mut Checker<'a>, args: &Args<'a>) -> Eval<Value<'a>> {
    let x = draw(c, args, "random_uniform", "random_uniform")?;
    let (low, high) = (or_number(args, "low", 0.0), or_number(args, "high", 1.0));
    if let (Some(a), Some(b)) = (low.number(), high.number())
        && a >= b
    {
        return c.error(
            "bad-range",
            format!("there are no numbers from {a} to below {b}"),
            "`low` must be below `high`",
        );
    }
    let width = c.binary(crate::syntax::ast::BinaryOp::Sub, high, low.clone())?;
    affine(c, x, width, low)
}

fn normal<'a>(c: &mut Checker<'a>, args: &Args<'a>) -> Eval<Value<'a>> {
    let x = draw(c, args, "random_normal", "random_normal")?;
    affine(c, x, or_number(args, "stddev", 1.0), or_number(args, "mean", 0.0))
}

fn bernoulli<'a>(c: &mut Checker<'a>, args: &Args<'a>) -> Eval<Value<'a>> {
    let p = args.get("p").map(|(value, span)| (value.clone(), span));
    if let Some((p, span)) = &p
        && let Some(p) = p.number()
        && !(0.0..=1.0).contains(&p)
    {
        return c.error_at(*span, "bad-range", format!("{p} is no probability"), "it lies between 0 and 1");
    }
    let x = draw(c, args, "random_uniform", "bernoulli")?;
    let p = p.map_or(Value::Float(0.5), |(p, _)| p);
    c.binary(crate::syntax::ast::BinaryOp::Lt, Value::Tensor(x), p)
}

pub static TABLE: &[Builtin] = &[
    Builtin::new(
        "random_uniform(...shape, low = 0, high = 1, shared = false)",
        "Uniform numbers from `low` to below `high`, new ones for each example and step.\n\nWith `shared: true` all examples have the same ones.",
        uniform,
    ),
    Builtin::new(
        "random_normal(...shape, mean = 0, stddev = 1, shared = false)",
        "Normally distributed numbers, new ones for each example and step.\n\nWith `shared: true` all examples have the same ones.",
        normal,
    ),
    Builtin::new(
        "bernoulli(...shape, p = 0.5, shared = false)",
        "Truth values that hold with probability `p`, new ones for each example and step.",
        bernoulli,
    ),
];
