//! `einsum`: sums of products over named axes, of any number of tensors.

use super::{Args, Builtin};
use crate::check::checker::Checker;
use crate::check::value::{Eval, Value};
use crate::ir::{Attrs, NodeId};

/// A tensor with a label for each axis.
struct Operand {
    node: NodeId,
    labels: Vec<String>,
}

fn einsum<'a>(c: &mut Checker<'a>, args: &Args<'a>) -> Eval<Value<'a>> {
    let formula = args.text(c, "formula")?;
    let span = args.get("formula").map_or(c.here, |(_, span)| span);
    let mut nodes = Vec::new();
    for (value, span) in &args.rest {
        nodes.push(c.at(*span, |c| {
            let node = c.tensor(value)?;
            c.as_numbers(node)
        }));
    }
    let nodes: Vec<NodeId> = nodes.into_iter().collect::<Eval<_>>()?;
    let Some((inputs, out)) = formula.split_once("->") else {
        return c.error_at(
            span,
            "bad-formula",
            "a formula has the form `n k, k m -> n m`",
            "there is no `->`",
        );
    };
    let parts: Vec<&str> = inputs.split(',').collect();
    if parts.len() != nodes.len() {
        let title = format!("the formula is of {} tensors, {} are given", parts.len(), nodes.len());
        return c.error_at(span, "bad-formula", title, "this formula");
    }
    let mut operands = Vec::new();
    for (part, node) in parts.iter().zip(&nodes) {
        operands.push(operand(c, part, *node, span)?);
    }
    let leading = operands.iter().map(|o| o.labels.iter().filter(|l| l.starts_with('_')).count()).max();
    let out = labels(out, leading.unwrap_or(0));
    check_labels(c, &operands, &out, span)?;
    let mut operands = operands.into_iter();
    let Some(mut result) = operands.next() else { return Err(crate::check::value::Reported) };
    let mut rest: Vec<Operand> = operands.collect();
    while !rest.is_empty() {
        let next = rest.remove(0);
        // A label is kept as long as the result or a later tensor has it.
        let needed = |label: &String| out.contains(label) || rest.iter().any(|o| o.labels.contains(label));
        let mut kept: Vec<String> = if rest.is_empty() {
            out.clone()
        } else {
            result.labels.iter().filter(|l| needed(l)).cloned().collect()
        };
        if !rest.is_empty() {
            let new: Vec<String> =
                next.labels.iter().filter(|l| needed(l) && !kept.contains(l)).cloned().collect();
            kept.extend(new);
        }
        let text = format!("{}, {} -> {}", result.labels.join(" "), next.labels.join(" "), kept.join(" "));
        let node = c.op("contract", &[result.node, next.node], Attrs::none().text("formula", text))?;
        result = Operand { node, labels: kept };
    }
    arrange(c, result, &out).map(Value::Tensor)
}

/// Sums over labels that the result lacks, and puts the axes in order.
fn arrange(c: &mut Checker, operand: Operand, out: &[String]) -> Eval<NodeId> {
    let gone: Vec<usize> = (0..operand.labels.len()).filter(|i| !out.contains(&operand.labels[*i])).collect();
    let mut node = operand.node;
    if !gone.is_empty() {
        node = c.op("sum", &[node], Attrs::none().sizes("axes", &gone))?;
    }
    let left: Vec<&String> = operand.labels.iter().filter(|l| out.contains(l)).collect();
    let order: Vec<usize> = out.iter().filter_map(|l| left.iter().position(|x| *x == l)).collect();
    c.permute(node, &order)
}

fn operand(c: &mut Checker, part: &str, node: NodeId, span: crate::base::Span) -> Eval<Operand> {
    let shape = c.shape(node);
    let words = part.split_whitespace().count();
    let labels = labels(part, (shape.rank() + 1).saturating_sub(words));
    if labels.len() != shape.rank() {
        let title =
            format!("`{}` has {} labels, the tensor {} dimensions", part.trim(), labels.len(), shape.rank());
        let problem = c.problem_at(span, "bad-formula", title, "this formula");
        let problem = c.with_origin(problem, node, "");
        return Err(c.report(problem));
    }
    for (i, label) in labels.iter().enumerate() {
        if labels[..i].contains(label) {
            let title = format!("the label `{label}` stands twice in `{}`", part.trim());
            return c.error_at(span, "bad-formula", title, "each axis has its own label");
        }
    }
    Ok(Operand { node, labels })
}

/// The labels of one side; `..` stands for this many axes.
fn labels(text: &str, leading: usize) -> Vec<String> {
    let mut labels = Vec::new();
    for word in text.split_whitespace() {
        if word == ".." {
            // Counted from the end, so that `..` of different ranks go together as in broadcasting.
            labels.extend((0..leading).rev().map(|i| format!("_{i}")));
        } else {
            labels.push(word.to_string());
        }
    }
    labels
}

fn check_labels(c: &mut Checker, operands: &[Operand], out: &[String], span: crate::base::Span) -> Eval<()> {
    let mut known: Vec<(&String, usize, NodeId)> = Vec::new();
    for operand in operands {
        for (axis, label) in operand.labels.iter().enumerate() {
            let extent = c.shape(operand.node)[axis];
            match known.iter().find(|(l, ..)| *l == label) {
                Some((_, first, node)) if *first != extent => {
                    let title = format!("`{label}` is {first} in one tensor and {extent} in another");
                    let mut problem = c.problem_at(span, "shape-mismatch", title, "in this formula");
                    problem = c.with_origin(problem, *node, &format!("`{label}` = {first}"));
                    problem = c.with_origin(problem, operand.node, &format!("`{label}` = {extent}"));
                    return Err(c.report(problem));
                }
                Some(_) => {}
                None => known.push((label, extent, operand.node)),
            }
        }
    }
    for (i, label) in out.iter().enumerate() {
        if !known.iter().any(|(l, ..)| *l == label) {
            let title = format!("the label `{label}` of the result stands in no tensor");
            return c.error_at(span, "bad-formula", title, "in this formula");
        }
        if out[..i].contains(label) {
            let title = format!("the label `{label}` stands twice in the result");
            return c.error_at(span, "bad-formula", title, "in this formula");
        }
    }
    Ok(())
}

impl Checker<'_> {
    /// The axes in another order.
    pub fn permute(&mut self, node: NodeId, order: &[usize]) -> Eval<NodeId> {
        if order.iter().enumerate().all(|(i, axis)| i == *axis) {
            return Ok(node);
        }
        self.op("transpose", &[node], Attrs::none().sizes("permutation", order))
    }
}

pub static TABLE: &[Builtin] = &[Builtin::new(
    "einsum(formula, ...tensors)",
    "Sums of products over named axes: `einsum(\"n k, k m -> n m\", a, b)` is the matrix product.\n\nLabels that the result lacks are summed over.",
    einsum,
)];
