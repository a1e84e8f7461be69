//! Functions of the order along an axis: sorting, running sums, and taking and adding by position.

use super::{Args, Builtin};
use crate::check::checker::Checker;
use crate::check::value::{Eval, Value};
use crate::ir::{Attrs, NodeId};
use crate::ty::DType;

/// Positions are computed as f32: whole numbers are exact up to here.
const POSITIONS: usize = 1 << 24;

/// Does something along the last axis to a tensor of which another axis is meant.
fn along<'a>(
    c: &mut Checker<'a>,
    x: NodeId,
    axis: usize,
    work: impl FnOnce(&mut Checker<'a>, NodeId) -> Eval<NodeId>,
) -> Eval<NodeId> {
    let order = last(c.shape(x).rank(), axis);
    let moved = c.permute(x, &order)?;
    let done = work(c, moved)?;
    c.permute(done, &order)
}

/// The order of axes in which this one and the last have changed places: its own inverse.
fn last(rank: usize, axis: usize) -> Vec<usize> {
    let mut order: Vec<usize> = (0..rank).collect();
    order.swap(axis, rank - 1);
    order
}

/// An argument with an axis to go along.
fn line<'a>(c: &mut Checker<'a>, args: &Args<'a>, name: &str) -> Eval<(NodeId, usize)> {
    let x = args.numbers(c, name)?;
    let shape = c.shape(x);
    let axis = args.axis(c, "axis", &shape, -1)?;
    Ok((x, axis))
}

fn order<'a>(c: &mut Checker<'a>, args: &Args<'a>) -> Eval<(NodeId, NodeId, usize)> {
    let (x, axis) = line(c, args, "x")?;
    let descending = args.flag(c, "descending", false)?;
    let attrs = Attrs::none().flag("descending", descending);
    let index = along(c, x, axis, |c, x| c.op("argsort", &[x], attrs))?;
    Ok((x, index, axis))
}

fn argsort<'a>(c: &mut Checker<'a>, args: &Args<'a>) -> Eval<Value<'a>> {
    order(c, args).map(|(_, index, _)| Value::Tensor(index))
}

fn sort<'a>(c: &mut Checker<'a>, args: &Args<'a>) -> Eval<Value<'a>> {
    let dtype = args.tensor(c, "x").map(|x| c.ty(x).dtype)?;
    let (x, index, axis) = order(c, args)?;
    let sorted = take(c, x, index, axis)?;
    c.index_again(dtype, sorted).map(Value::Tensor)
}

fn cumsum<'a>(c: &mut Checker<'a>, args: &Args<'a>) -> Eval<Value<'a>> {
    let (x, axis) = line(c, args, "x")?;
    let (exclusive, reverse) = (args.flag(c, "exclusive", false)?, args.flag(c, "reverse", false)?);
    let attrs = Attrs::none().int("axis", axis as i64).flag("exclusive", exclusive).flag("reverse", reverse);
    c.op("cumsum", &[x], attrs).map(Value::Tensor)
}

/// For an index `[.., k]` along the last axis the places `[lines, k]` in a list of `lines * n` elements.
fn places<'a>(c: &mut Checker<'a>, index: NodeId, n: usize) -> Eval<NodeId> {
    let shape = c.shape(index);
    let k = shape[shape.rank() - 1];
    let lines = shape.elements() / k;
    if lines * n > POSITIONS {
        let title = format!("positions among {} elements are too large", lines * n);
        return c.error("too-large", title, "there may be 2^24 at most");
    }
    let numbers = c.as_numbers(index)?;
    let numbers = c.reshape(numbers, &[lines as i64, k as i64])?;
    let attrs = Attrs::none().sizes("shape", &[lines, k]).int("axis", 0);
    let line = c.op("iota", &[], attrs)?;
    let step = c.constant(n as f64)?;
    let start = c.elementwise("mul", "*", line, step)?;
    let place = c.elementwise("add", "+", start, numbers)?;
    c.op("cast", &[place], Attrs::none().int("bound", (lines * n) as i64))
}

/// The extents of a tensor with another one at the last axis.
fn with_last(c: &Checker, like: NodeId, last: usize) -> Vec<i64> {
    let mut extents: Vec<i64> = c.shape(like).iter().map(|n| *n as i64).collect();
    if let Some(end) = extents.last_mut() {
        *end = last as i64;
    }
    extents
}

/// The elements of `x` that an index names along an axis.
fn take(c: &mut Checker, x: NodeId, index: NodeId, axis: usize) -> Eval<NodeId> {
    let order = last(c.shape(x).rank(), axis);
    let (x, index) = (c.permute(x, &order)?, c.permute(index, &order)?);
    let n = c.shape(x)[order.len() - 1];
    let elements = c.shape(x).elements() as i64;
    let place = places(c, index, n)?;
    let list = c.reshape(x, &[elements])?;
    let taken = c.op("gather", &[list, place], Attrs::none())?;
    let extents: Vec<i64> = c.shape(index).iter().map(|n| *n as i64).collect();
    let taken = c.reshape(taken, &extents)?;
    c.permute(taken, &order)
}

/// An index that has the shape of another tensor, but for one axis (or in all).
fn index_like<'a>(
    c: &mut Checker<'a>,
    args: &Args<'a>,
    x: NodeId,
    free: Option<usize>,
    bound: usize,
) -> Eval<NodeId> {
    let index = args.tensor(c, "index")?;
    let (ty, shape, own) = (c.ty(index).clone(), c.shape(index), c.shape(x));
    let span = args.get("index").map_or(c.here, |(_, span)| span);
    if !matches!(ty.dtype, DType::Index(n) if n <= bound as u64) {
        let title = format!("an index below {bound} is needed here, not {ty}");
        let problem = c
            .problem_at(span, "wrong-type", title, &format!("this is {ty}"))
            .help("`argsort` and `argmax` give an index; `cast(x, bound: n)` makes one of numbers");
        return Err(c.report(problem));
    }
    let fits = shape.rank() == own.rank() && (0..own.rank()).all(|d| Some(d) == free || shape[d] == own[d]);
    if !fits {
        let title = match free {
            Some(axis) => format!("{shape} and {own} differ in more than axis {axis}"),
            None => format!("the shapes {shape} and {own} differ"),
        };
        let problem = c.problem_at(span, "shape-mismatch", title, &format!("this is {ty}"));
        let problem = c.with_origin(problem, x, "");
        return Err(c.report(problem));
    }
    Ok(index)
}

fn take_along<'a>(c: &mut Checker<'a>, args: &Args<'a>) -> Eval<Value<'a>> {
    let dtype = args.tensor(c, "x").map(|x| c.ty(x).dtype)?;
    let (x, axis) = line(c, args, "x")?;
    let n = c.shape(x)[axis];
    let index = index_like(c, args, x, Some(axis), n)?;
    let taken = take(c, x, index, axis)?;
    c.index_again(dtype, taken).map(Value::Tensor)
}

fn scatter_along<'a>(c: &mut Checker<'a>, args: &Args<'a>) -> Eval<Value<'a>> {
    let (values, axis) = line(c, args, "values")?;
    let n = args.int(c, "n", 1)?;
    if n < 1 || n > POSITIONS as i64 {
        let span = args.get("n").map_or(c.here, |(_, span)| span);
        return c.error_at(span, "bad-range", format!("`n` is {n}"), "it is at least 1 and at most 2^24");
    }
    let n = n as usize;
    let index = index_like(c, args, values, None, n)?;
    let order = last(c.shape(values).rank(), axis);
    let (values, index) = (c.permute(values, &order)?, c.permute(index, &order)?);
    let place = places(c, index, n)?;
    let extents: Vec<i64> = c.shape(place).iter().map(|n| *n as i64).collect();
    let lines = extents[0];
    let values_list = c.reshape(values, &extents)?;
    let rows = Attrs::none().int("rows", lines * n as i64);
    let list = c.op("scatter_add", &[place, values_list], rows)?;
    let extents = with_last(c, values, n);
    let result = c.reshape(list, &extents)?;
    c.permute(result, &order).map(Value::Tensor)
}

pub static TABLE: &[Builtin] = &[
    Builtin::new(
        "argsort(x, axis = -1, descending = false)",
        "Where the elements along an axis stand in ascending, or descending, order, as an index.\n\nEqual elements keep their order. `argsort(x, descending: true)[..k]` are the places of the k largest.",
        argsort,
    ),
    Builtin::new(
        "sort(x, axis = -1, descending = false)",
        "The elements along an axis in ascending, or descending, order.",
        sort,
    ),
    Builtin::new(
        "cumsum(x, axis = -1, exclusive = false, reverse = false)",
        "The sum of the elements up to each place along an axis.\n\n`exclusive` leaves the element itself out, `reverse` starts at the end.",
        cumsum,
    ),
    Builtin::new(
        "take_along(x, index, axis = -1)",
        "The elements of `x` that an index names along an axis: `take_along(x, argsort(x))` is `sort(x)`.\n\nThe index has the shape of `x` but for that axis. Elements of an index stay one.",
        take_along,
    ),
    Builtin::new(
        "scatter_along(values, index, n, axis = -1)",
        "Adds each value at the place that an index names along an axis of extent `n`; 0 elsewhere.",
        scatter_along,
    ),
];
