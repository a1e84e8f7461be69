//! Gradients as expressions.

use super::{Args, Builtin};
use crate::base::{Span, limits};
use crate::check::call::{Actual, How};
use crate::check::checker::Checker;
use crate::check::value::{Eval, Value};
use crate::ir::{Attrs, Grad, Graph, NodeId};
use crate::passes::autodiff;

fn grad<'a>(c: &mut Checker<'a>, args: &Args<'a>) -> Eval<Value<'a>> {
    let (Some((of, of_span)), Some((at, at_span))) = (args.get("loss"), args.get("x")) else {
        return Err(crate::check::value::Reported);
    };
    let points: Vec<NodeId> = match at {
        Value::List(values) => values.iter().map(|v| c.tensor(v)).collect::<Eval<_>>()?,
        value => vec![c.at(at_span, |c| c.tensor(value))?],
    };
    // A function is taken at x; a tensor must have been computed from x.
    let loss = if of.is_function() {
        let actuals = points.iter().map(|p| Actual { name: None, value: Value::Tensor(*p), span: at_span });
        let actuals = actuals.collect();
        c.call(of.clone(), actuals, How::default())?
    } else {
        of.clone()
    };
    let loss = c.scalar(&loss, of_span, "`grad`")?;
    let reached = reaches(&c.g.b.graph, loss);
    for point in &points {
        if !reached[point.index()] {
            let problem = c
                .problem_at(
                    at_span,
                    "no-gradient",
                    "the first argument does not depend on this",
                    "its gradient is zero",
                )
                .label(of_span, "this does not depend on it")
                .help("compute the loss from this very value: `let x = ..`, then `grad(f(x), x)`");
            return Err(c.report(problem));
        }
    }
    let gradients = c.gradients(loss, &points, of_span)?;
    match (at, &gradients[..]) {
        (Value::List(_), _) => Ok(Value::list(gradients.into_iter().map(Value::Tensor).collect())),
        (_, [one]) => Ok(Value::Tensor(*one)),
        _ => Err(crate::check::value::Reported),
    }
}

/// For each node up to a loss, whether the loss depends on it in a way that has a gradient.
pub fn reaches(graph: &Graph, loss: NodeId) -> Vec<bool> {
    let mut reached = vec![false; graph.len()];
    reached[loss.index()] = true;
    for i in (0..=loss.index()).rev() {
        let node = &graph[NodeId(i as u32)];
        let passes = match node.op.grad {
            Grad::Rule(_) => node.op.name != "stop_gradient",
            Grad::Zero | Grad::Late => false,
        };
        if reached[i] && passes {
            for input in &node.inputs {
                reached[input.index()] = true;
            }
        }
    }
    reached
}

impl Checker<'_> {
    /// Appends the gradient of a loss.
    pub fn gradients(&mut self, loss: NodeId, wrt: &[NodeId], span: Span) -> Eval<Vec<NodeId>> {
        // Each node adds a bounded number of nodes; far below the limit the appending cannot fail.
        if self.g.b.graph.len() > limits::NODES / 32 {
            let title = format!("this graph of {} nodes is too large to differentiate", self.g.b.graph.len());
            return self.error_at(span, "too-large", title, "here");
        }
        Ok(autodiff::gradients(self.build(), loss, wrt))
    }
}

fn stop<'a>(c: &mut Checker<'a>, args: &Args<'a>) -> Eval<Value<'a>> {
    let x = args.tensor(c, "x")?;
    c.op("stop_gradient", &[x], Attrs::none()).map(Value::Tensor)
}

pub static TABLE: &[Builtin] = &[
    Builtin::new(
        "grad(loss, x)",
        "The gradient of a scalar with respect to `x`, or to each of a list.\n\n`loss` is a value computed from `x`, or a function that is taken at `x`.",
        grad,
    ),
    Builtin::new("stop_gradient(x)", "The same value, as a constant for derivatives.", stop),
];
