//! Reductions over axes, and over the batch.

use std::collections::BTreeSet;

use super::{Args, Builtin};
use crate::check::checker::Checker;
use crate::check::value::{Eval, Value};
use crate::ir::{Attrs, Level, NodeId};
use crate::ty::{DType, Shape};

/// A reduction over some axes, or all.
fn reduce<'a>(c: &mut Checker<'a>, args: &Args<'a>, op: &'static str) -> Eval<Value<'a>> {
    let x = args.numbers(c, "x")?;
    let shape = c.shape(x);
    let axes = args.axes(c, "axis", &shape)?;
    let keep = args.flag(c, "keep", false)?;
    let node = if axes.is_empty() { x } else { c.op(op, &[x], Attrs::none().sizes("axes", &axes))? };
    finish(c, node, &shape, &axes, keep).map(Value::Tensor)
}

/// Puts reduced axes back with extent 1, if they are to be kept.
fn finish(c: &mut Checker, node: NodeId, shape: &Shape, axes: &[usize], keep: bool) -> Eval<NodeId> {
    if !keep {
        return Ok(node);
    }
    let kept: Vec<i64> =
        shape.iter().enumerate().map(|(i, n)| if axes.contains(&i) { 1 } else { *n as i64 }).collect();
    c.reshape(node, &kept)
}

/// `max(x, axis)` of a tensor, or `max(a, b, ..)` of numbers.
fn extreme<'a>(
    c: &mut Checker<'a>,
    args: &Args<'a>,
    op: &'static str,
    pick: fn(f64, f64) -> f64,
) -> Eval<Value<'a>> {
    let numbers: Vec<&Value> =
        args.get("x").into_iter().map(|(v, _)| v).chain(args.rest.iter().map(|(v, _)| v)).collect();
    if let [Value::List(values)] = numbers[..]
        && args.count() == 1
        && values.iter().all(|v| v.number().is_some())
        && !values.is_empty()
    {
        return Ok(pick_of(values.iter(), pick));
    }
    if numbers.iter().all(|v| v.number().is_some()) && args.count() == numbers.len() {
        return Ok(pick_of(numbers.into_iter(), pick));
    }
    if let Some((_, span)) = args.rest.first() {
        let other = if op == "reduce_max" { "maximum" } else { "minimum" };
        let problem = c
            .problem_at(*span, "wrong-arguments", "of tensors this takes one, with `axis:`", "one too many")
            .help(format!("`{other}(a, b)` compares two tensors element by element"));
        return Err(c.report(problem));
    }
    reduce(c, args, op)
}

fn pick_of<'v, 'a: 'v>(values: impl Iterator<Item = &'v Value<'a>>, pick: fn(f64, f64) -> f64) -> Value<'a> {
    let mut best: Option<&Value> = None;
    for value in values {
        let better = match best.and_then(Value::number) {
            Some(old) => value.number().is_some_and(|new| pick(old, new) != old),
            None => true,
        };
        if better {
            best = Some(value);
        }
    }
    best.cloned().unwrap_or(Value::Nothing)
}

fn arg_extreme<'a>(c: &mut Checker<'a>, args: &Args<'a>, op: &'static str) -> Eval<Value<'a>> {
    let x = args.numbers(c, "x")?;
    let shape = c.shape(x);
    let axis = args.axis(c, "axis", &shape, -1)?;
    c.op(op, &[x], Attrs::none().int("axis", axis as i64)).map(Value::Tensor)
}

/// The sum over the batch; a value without a batch would be a mistake.
fn batch_total<'a>(c: &mut Checker<'a>, args: &Args<'a>) -> Eval<NodeId> {
    let x = args.numbers(c, "x")?;
    if c.g.b.graph[x].level == Level::Once {
        let found = c.ty(x).to_string();
        let span = args.get("x").map_or(c.here, |(_, span)| span);
        let problem = c
            .problem_at(span, "no-effect", "this value is the same for every example", &found)
            .help("leave the sum or mean over the batch out");
        return Err(c.report(problem));
    }
    c.op("batch_sum", &[x], Attrs::none())
}

fn batch_mean<'a>(c: &mut Checker<'a>, args: &Args<'a>) -> Eval<Value<'a>> {
    let x = args.numbers(c, "x")?;
    if c.g.b.graph[x].level == Level::Once {
        // Which is an error.
        batch_total(c, args)?;
    }
    c.over_batch(x).map(Value::Tensor)
}

impl Checker<'_> {
    /// A sum over the batch as a mean.
    pub fn mean_of_batch(&mut self, total: NodeId) -> Eval<NodeId> {
        let size = self.op("batch_size", &[], Attrs::none())?;
        self.elementwise("div", "batch_mean", total, size)
    }

    /// A value that may differ between examples as its mean over them. Factors that are sums over the batch
    /// themselves stay outside of the mean, as in a loss that is divided by how many labels of the batch count:
    /// so it can be measured in one pass.
    pub fn over_batch(&mut self, node: NodeId) -> Eval<NodeId> {
        let made = &self.g.b.graph[node];
        if made.level == Level::Once {
            return Ok(node);
        }
        let (name, inputs) = (made.op.name, made.inputs.clone());
        match (name, &inputs[..]) {
            ("mul" | "div", [x, y]) if self.summed_factor(*y) => {
                let mean = self.over_batch(*x)?;
                return self.op(name, &[mean, *y], Attrs::none());
            }
            ("mul", [x, y]) if self.summed_factor(*x) => {
                let mean = self.over_batch(*y)?;
                return self.op(name, &[*x, mean], Attrs::none());
            }
            ("neg", [x]) if self.has_factor(*x) => {
                let mean = self.over_batch(*x)?;
                return self.op(name, &[mean], Attrs::none());
            }
            ("add" | "sub", [x, y]) if self.has_factor(*x) || self.has_factor(*y) => {
                let (x, y) = (self.over_batch(*x)?, self.over_batch(*y)?);
                return self.op(name, &[x, y], Attrs::none());
            }
            _ => {}
        }
        let total = self.op("batch_sum", &[node], Attrs::none())?;
        self.mean_of_batch(total)
    }

    /// Whether a value is the same for all examples and comes from a sum over them.
    fn summed_factor(&self, node: NodeId) -> bool {
        let graph = &self.g.b.graph;
        if graph[node].level == Level::Each {
            return false;
        }
        let mut seen = BTreeSet::from([node]);
        let mut open = vec![node];
        while let Some(id) = open.pop() {
            if graph[id].op.name == "batch_sum" {
                return true;
            }
            // What stands before a sum may be large, and is of no interest.
            open.extend(graph[id].inputs.iter().filter(|input| seen.insert(**input)));
        }
        false
    }

    /// Whether such a factor can be taken out of a value, also of a term of it.
    fn has_factor(&self, node: NodeId) -> bool {
        let made = &self.g.b.graph[node];
        match (made.op.name, &made.inputs[..]) {
            ("mul", [x, y]) => self.summed_factor(*x) || self.summed_factor(*y),
            ("div", [_, y]) => self.summed_factor(*y),
            ("neg", [x]) => self.has_factor(*x),
            ("add" | "sub", [x, y]) => self.has_factor(*x) || self.has_factor(*y),
            _ => false,
        }
    }
}

/// The values of all examples as one.
fn batch<'a>(c: &mut Checker<'a>, args: &Args<'a>) -> Eval<Value<'a>> {
    let x = args.tensor(c, "x")?;
    let span = args.get("x").map_or(c.here, |(_, span)| span);
    if c.g.b.graph[x].level == Level::Once {
        let found = c.ty(x).to_string();
        let problem = c
            .problem_at(span, "no-effect", "this value is the same for every example", &found)
            .help("leave `batch` out, or repeat it with `broadcast`");
        return Err(c.report(problem));
    }
    let examples = examples(c, "batch")?;
    c.op("batch", &[x], Attrs::none().int("examples", examples)).map(Value::Tensor)
}

/// The part of a value of the whole batch that belongs to this example.
fn example<'a>(c: &mut Checker<'a>, args: &Args<'a>) -> Eval<Value<'a>> {
    let x = args.tensor(c, "x")?;
    let span = args.get("x").map_or(c.here, |(_, span)| span);
    if c.g.b.graph[x].level == Level::Each {
        let found = c.ty(x).to_string();
        let problem = c
            .problem_at(span, "no-effect", "this value has one part for each example already", &found)
            .help("`example` takes a value of the whole batch apart, such as one made of `batch(x)`");
        return Err(c.report(problem));
    }
    let examples = examples(c, "example")?;
    c.op("example", &[x], Attrs::none().int("examples", examples)).map(Value::Tensor)
}

/// How many examples there are, where that is known.
fn examples(c: &mut Checker, name: &str) -> Eval<i64> {
    let here = c.here;
    c.g.batched.get_or_insert(here);
    match c.g.examples {
        Some(examples) => Ok(examples as i64),
        None => {
            let title = format!("`{name}` needs a batch, and a model by itself has none");
            let problem = c
                .problem("no-batch", title, "it stands for the batch of a step or the split of a `measure`")
                .help("call it in a loss or a metric, or in a model within `if training { .. }`");
            Err(c.report(problem))
        }
    }
}

fn all_of<'a>(c: &mut Checker<'a>, args: &Args<'a>, op: &'static str) -> Eval<Value<'a>> {
    let x = args.tensor(c, "x")?;
    if c.ty(x).dtype != DType::Bool {
        return args.wrong(c, "x", c.here, "truth values");
    }
    let shape = c.shape(x);
    let axes = args.axes(c, "axis", &shape)?;
    let x = c.as_numbers(x)?;
    let node = if axes.is_empty() { x } else { c.op(op, &[x], Attrs::none().sizes("axes", &axes))? };
    let half = c.constant(0.5)?;
    c.elementwise("gt", ">", node, half).map(Value::Tensor)
}

pub static TABLE: &[Builtin] = &[
    Builtin::new("sum(x, axis = all, keep = false)", "The sum over some axes, or all.", |c, a| {
        reduce(c, a, "sum")
    }),
    Builtin::new("mean(x, axis = all, keep = false)", "The mean over some axes, or all.", |c, a| {
        reduce(c, a, "mean")
    }),
    Builtin::new(
        "max(x, ...more, axis = all, keep = false)",
        "The largest element over some axes, or all; of numbers known at compile time the largest.",
        |c, a| extreme(c, a, "reduce_max", f64::max),
    ),
    Builtin::new(
        "min(x, ...more, axis = all, keep = false)",
        "The smallest element over some axes, or all; of numbers known at compile time the smallest.",
        |c, a| extreme(c, a, "reduce_min", f64::min),
    ),
    Builtin::new(
        "argmax(x, axis = -1)",
        "Where the largest element along an axis stands, as an index.",
        |c, a| arg_extreme(c, a, "argmax"),
    ),
    Builtin::new(
        "argmin(x, axis = -1)",
        "Where the smallest element along an axis stands, as an index.",
        |c, a| arg_extreme(c, a, "argmin"),
    ),
    Builtin::new("all(x, axis = all)", "Whether all truth values along some axes hold.", |c, a| {
        all_of(c, a, "reduce_min")
    }),
    Builtin::new("any(x, axis = all)", "Whether one of the truth values along some axes holds.", |c, a| {
        all_of(c, a, "reduce_max")
    }),
    Builtin::new("batch_sum(x)", "The sum over the examples of the batch.", |c, a| {
        batch_total(c, a).map(Value::Tensor)
    }),
    Builtin::new("batch_mean(x)", "The mean over the examples of the batch.", batch_mean),
    Builtin::new(
        "batch(x)",
        "The values of all examples as one, along a new first axis: of the batch, in a `measure` of the split.",
        batch,
    ),
    Builtin::new(
        "example(x)",
        "Of a value of the whole batch, along its first axis, the part of this example.",
        example,
    ),
];
