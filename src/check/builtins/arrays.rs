//! Functions that rearrange, cut and join tensors, and pick elements by index.

use super::{Args, Builtin};
use crate::check::checker::Checker;
use crate::check::value::{Eval, Value};
use crate::ir::{Attrs, NodeId};
use crate::ty::DType;

fn reshape<'a>(c: &mut Checker<'a>, args: &Args<'a>) -> Eval<Value<'a>> {
    let x = args.tensor(c, "x")?;
    let mut extents = args.extents(c)?;
    let elements = c.shape(x).elements() as i64;
    if let Some(free) = extents.iter().position(|n| *n == -1) {
        let known: i64 = extents.iter().filter(|n| **n != -1).fold(1, |p, n| p.saturating_mul(*n));
        if known < 1 || elements % known != 0 || extents.iter().filter(|n| **n == -1).count() > 1 {
            let title = format!("{} does not go into {extents:?}", c.ty(x));
            return c.error("shape-mismatch", title, "the -1 has no whole size");
        }
        extents[free] = elements / known;
    }
    let shape = c.checked_shape(&extents)?;
    if shape.elements() as i64 != elements {
        let title = format!("{} has {elements} elements, {shape} has {}", c.ty(x), shape.elements());
        let problem = c.problem("shape-mismatch", title, "`reshape` keeps the number of elements");
        let problem = c.with_origin(problem, x, "");
        return Err(c.report(problem));
    }
    c.reshape(x, &extents).map(Value::Tensor)
}

fn flatten<'a>(c: &mut Checker<'a>, args: &Args<'a>) -> Eval<Value<'a>> {
    let x = args.tensor(c, "x")?;
    let elements = c.shape(x).elements() as i64;
    c.reshape(x, &[elements]).map(Value::Tensor)
}

fn transpose<'a>(c: &mut Checker<'a>, args: &Args<'a>) -> Eval<Value<'a>> {
    let x = args.tensor(c, "x")?;
    let shape = c.shape(x);
    let order: Vec<usize> = match args.ints(c, "axes")? {
        None => (0..shape.rank()).rev().collect(),
        Some(given) => {
            let span = args.get("axes").map_or(c.here, |(_, span)| span);
            let mut order = Vec::new();
            for axis in given {
                order.push(super::args::axis_of(c, &shape, axis, span)?);
            }
            let mut sorted = order.clone();
            sorted.sort_unstable();
            if !sorted.iter().copied().eq(0..shape.rank()) {
                let title = format!("{order:?} does not name each of the {} axes once", shape.rank());
                return c.error_at(span, "bad-axis", title, "this order");
            }
            order
        }
    };
    c.permute(x, &order).map(Value::Tensor)
}

/// The tensors of `...tensors`, each given alone or in one list.
fn tensors<'a>(c: &mut Checker<'a>, args: &Args<'a>) -> Eval<Vec<NodeId>> {
    let values: Vec<(Value, crate::base::Span)> = match &args.rest[..] {
        [(Value::List(values), span)] => values.iter().map(|v| (v.clone(), *span)).collect(),
        rest => rest.to_vec(),
    };
    if values.is_empty() {
        return c.error("missing-argument", "there is nothing to join", "no tensors given");
    }
    let nodes: Vec<Eval<NodeId>> = values.iter().map(|(v, span)| c.at(*span, |c| c.tensor(v))).collect();
    let nodes: Vec<NodeId> = nodes.into_iter().collect::<Eval<_>>()?;
    let first = c.ty(nodes[0]).dtype;
    if nodes.iter().all(|n| c.ty(*n).dtype == first) {
        return Ok(nodes);
    }
    nodes.into_iter().map(|n| c.as_numbers(n)).collect()
}

fn concat<'a>(c: &mut Checker<'a>, args: &Args<'a>) -> Eval<Value<'a>> {
    let nodes = tensors(c, args)?;
    let shape = c.shape(nodes[0]);
    if let Some(scalar) = nodes.iter().find(|n| c.shape(**n).rank() == 0) {
        let problem = c
            .problem("shape-mismatch", "a scalar cannot be joined with `concat`", "every part needs an axis")
            .help("`stack(a, b)` makes a vector of scalars");
        let problem = c.with_origin(problem, *scalar, "");
        return Err(c.report(problem));
    }
    let axis = args.axis(c, "axis", &shape, -1)?;
    c.join(&nodes, axis).map(Value::Tensor)
}

fn stack<'a>(c: &mut Checker<'a>, args: &Args<'a>) -> Eval<Value<'a>> {
    let nodes = tensors(c, args)?;
    let rank = c.shape(nodes[0]).rank() as i64;
    let axis = args.int(c, "axis", 0)?;
    let place = if axis < 0 { axis + rank + 1 } else { axis };
    if !(0..=rank).contains(&place) {
        return c.error("bad-axis", format!("there is no place {axis} for a new axis"), "here");
    }
    c.stack(&nodes, place as usize).map(Value::Tensor)
}

impl<'a> Checker<'a> {
    /// Tensors one after the other along an axis.
    pub fn join(&mut self, nodes: &[NodeId], axis: usize) -> Eval<NodeId> {
        match nodes {
            [one] => Ok(*one),
            _ => self.op("concat", nodes, Attrs::none().int("axis", axis as i64)),
        }
    }

    /// Tensors of one shape side by side along a new axis.
    pub fn stack(&mut self, nodes: &[NodeId], axis: usize) -> Eval<NodeId> {
        let mut parts = Vec::new();
        let Some(first) = nodes.first().map(|n| self.shape(*n)) else {
            return self.error("missing-argument", "there is nothing to stack", "no tensors given");
        };
        for node in nodes {
            let shape = self.shape(*node);
            if shape != first {
                let title = format!("the shapes {first} and {shape} differ");
                let problem = self.problem("shape-mismatch", title, "these are put side by side");
                let problem = self.with_origin(problem, nodes[0], "");
                let problem = self.with_origin(problem, *node, "");
                return Err(self.report(problem));
            }
            let mut extents: Vec<i64> = shape.iter().map(|n| *n as i64).collect();
            extents.insert(axis, 1);
            parts.push(self.reshape(*node, &extents)?);
        }
        self.join(&parts, axis)
    }
}

fn split<'a>(c: &mut Checker<'a>, args: &Args<'a>) -> Eval<Value<'a>> {
    let x = args.tensor(c, "x")?;
    let shape = c.shape(x);
    let axis = args.axis(c, "axis", &shape, -1)?;
    let extent = shape[axis];
    let span = args.get("parts").map_or(c.here, |(_, span)| span);
    let sizes: Vec<usize> = match args.get("parts") {
        Some((Value::List(_), _)) => {
            let sizes = args.ints(c, "parts")?.unwrap_or_default();
            let total = sizes.iter().fold(0i64, |sum, n| sum.saturating_add(*n));
            if sizes.iter().any(|n| *n < 1) || total != extent as i64 {
                let title = format!("the parts {sizes:?} do not add up to {extent}");
                return c.error_at(
                    span,
                    "shape-mismatch",
                    title,
                    &format!("axis {axis} of {} has {extent}", c.ty(x)),
                );
            }
            sizes.iter().map(|n| *n as usize).collect()
        }
        _ => {
            let parts = args.int(c, "parts", 2)?;
            if parts < 1 || extent as i64 % parts != 0 {
                let title = format!("{extent} cannot be cut into {parts} equal parts");
                let problem =
                    c.problem_at(span, "shape-mismatch", title, &format!("axis {axis} of {}", c.ty(x)));
                let problem = c.with_origin(problem, x, "");
                return Err(c.report(problem));
            }
            vec![extent / parts as usize; parts as usize]
        }
    };
    let mut start = vec![0; shape.rank()];
    let mut extents = shape.to_vec();
    let mut out = Vec::new();
    for size in sizes {
        extents[axis] = size;
        out.push(Value::Tensor(c.slice(x, &start, &extents)?));
        start[axis] += size;
    }
    Ok(Value::list(out))
}

fn pad<'a>(c: &mut Checker<'a>, args: &Args<'a>) -> Eval<Value<'a>> {
    let x = args.tensor(c, "x")?;
    let rank = c.shape(x).rank();
    let low = args.ints(c, "low")?.unwrap_or_default();
    let high = args.ints(c, "high")?.unwrap_or_else(|| low.clone());
    let value = args.number(c, "value", 0.0)?;
    let spread = |list: Vec<i64>| if list.len() == 1 { vec![list[0]; rank] } else { list };
    let attrs = Attrs::none().ints("low", spread(low)).ints("high", spread(high)).float("fill", value);
    c.op("pad", &[x], attrs).map(Value::Tensor)
}

fn reverse<'a>(c: &mut Checker<'a>, args: &Args<'a>) -> Eval<Value<'a>> {
    let x = args.tensor(c, "x")?;
    let shape = c.shape(x);
    let axes = args.axes(c, "axis", &shape)?;
    c.op("reverse", &[x], Attrs::none().sizes("axes", &axes)).map(Value::Tensor)
}

fn broadcast_to<'a>(c: &mut Checker<'a>, args: &Args<'a>) -> Eval<Value<'a>> {
    let x = args.tensor(c, "x")?;
    let extents = args.extents(c)?;
    let shape = c.checked_shape(&extents)?;
    c.broadcast(x, &shape).map(Value::Tensor)
}

fn gather<'a>(c: &mut Checker<'a>, args: &Args<'a>) -> Eval<Value<'a>> {
    let (table, index) = (args.tensor(c, "table")?, args.tensor(c, "index")?);
    c.gather_rows(table, index).map(Value::Tensor)
}

fn one_hot<'a>(c: &mut Checker<'a>, args: &Args<'a>) -> Eval<Value<'a>> {
    let index = args.tensor(c, "index")?;
    let found = c.ty(index).to_string();
    let span = args.get("index").map_or(c.here, |(_, span)| span);
    let DType::Index(bound) = c.ty(index).dtype else {
        return c.error_at(span, "wrong-type", "`one_hot` needs an index", &format!("this is {found}"));
    };
    let n = args.int(c, "n", bound as i64)?;
    if n < bound as i64 {
        let title = format!("an {found} does not fit into {n} classes");
        return c.error_at(span, "shape-mismatch", title, &format!("at least {bound} are needed"));
    }
    c.op("one_hot", &[index], Attrs::none().int("size", n)).map(Value::Tensor)
}

pub static TABLE: &[Builtin] = &[
    Builtin::new(
        "reshape(x, ...shape)",
        "The same elements in another shape; one extent may be -1.",
        reshape,
    ),
    Builtin::new("flatten(x)", "The same elements as a vector.", flatten),
    Builtin::new("transpose(x, axes = reversed)", "The axes in another order.", transpose),
    Builtin::new("concat(...tensors, axis = -1)", "Tensors one after the other along an axis.", concat),
    Builtin::new("stack(...tensors, axis = 0)", "Tensors of one shape side by side along a new axis.", stack),
    Builtin::new(
        "split(x, parts, axis = -1)",
        "A list of equal parts along an axis, or of parts of the extents in a list.",
        split,
    ),
    Builtin::new(
        "pad(x, low, high = low, value = 0)",
        "A tensor with elements of one value around it: how many, for every axis or as a list.",
        pad,
    ),
    Builtin::new("reverse(x, axis = all)", "The elements along some axes in the opposite order.", reverse),
    Builtin::new(
        "broadcast(x, ...shape)",
        "A tensor repeated along new leading axes and axes of extent 1.",
        broadcast_to,
    ),
    Builtin::new(
        "gather(table, index)",
        "The rows of a table that an index names; also written `table[index]`.",
        gather,
    ),
    Builtin::new("one_hot(index, n = bound)", "A vector that is 1 at the index and 0 elsewhere.", one_hot),
];
