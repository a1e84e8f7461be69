//! Which operation made the first number that is not finite.
//!
//! The step that diverged is evaluated again by the interpreter, from the state before it. To blame is the
//! first node whose result is not finite in f32 although its inputs were.

use std::collections::HashMap;

use crate::base::{Diagnostic, Exit};
use crate::interp::{Env, watch};
use crate::ir::experiment::Stage;
use crate::ir::kernel::Scalar;
use crate::ir::{Array, Computation, Graph, Kernel, NodeId};

/// What is not finite in some values. Numbers beyond the range of f32 count as infinite.
#[derive(Clone, Copy, Default)]
struct Faults {
    nan: bool,
    infinite: bool,
}

fn faults(arrays: &[Array]) -> Faults {
    let mut faults = Faults::default();
    for value in arrays.iter().flat_map(|array| &array.data) {
        faults.nan |= value.is_nan();
        faults.infinite |= value.abs() > f64::from(f32::MAX);
    }
    faults
}

/// Whether a node only moves, picks or names values, so that infinities in it are meant (as in a mask).
fn only_moves(graph: &Graph, id: NodeId) -> bool {
    match graph.kernel(id) {
        Some(
            Kernel::Source(_)
            | Kernel::View(_)
            | Kernel::Reshape
            | Kernel::Pad { .. }
            | Kernel::Concat(_)
            | Kernel::Batch
            | Kernel::Example,
        ) => true,
        Some(Kernel::Map(scalar)) => scalar == Scalar::Select,
        Some(
            Kernel::Reduce(..)
            | Kernel::Iota(_)
            | Kernel::Contract(_)
            | Kernel::BatchSum
            | Kernel::Leaf(_)
            | Kernel::Scan(_),
        )
        | None => false,
    }
}

/// The node to blame, and whether it made a NaN.
fn culprit(computation: &Computation, env: &Env) -> Option<(NodeId, bool)> {
    let graph = &computation.graph;
    let targets: Vec<NodeId> = computation.roots().collect();
    let mut known = vec![Faults::default(); graph.len()];
    let mut found = None;
    watch(graph, &HashMap::new(), &targets, env, &mut |id, value| {
        let now = faults(value.arrays());
        known[id.index()] = now;
        if found.is_some() || !(now.nan || now.infinite) || only_moves(graph, id) {
            return;
        }
        let before = graph[id].inputs.iter().map(|input| known[input.index()]);
        let (nan, any) = before.fold((false, false), |(n, a), f| (n || f.nan, a || f.nan || f.infinite));
        if !any || (now.nan && !nan) {
            found = Some((id, now.nan));
        }
    });
    found
}

/// The diagnostic for a step that diverged; `env` is the state before it.
pub fn explain(stage: &Stage, computation: &Computation, env: &Env, symptom: &str) -> Diagnostic {
    let title = format!("training diverged at step {} of stage `{}`: {symptom}", env.moment.step, stage.name);
    let problem = Diagnostic::error("diverged", title).exit(Exit::Diverged);
    let problem = match culprit(computation, env) {
        Some((id, nan)) => {
            let node = &computation.graph[id];
            let what = if nan { "not a number" } else { "too large for a 32-bit float" };
            let part = if id.index() < stage.forward_end {
                "the loss"
            } else if id.index() < stage.gradient_end {
                "the gradient"
            } else {
                "the optimizer's update"
            };
            let scope = if node.scope.is_empty() { String::new() } else { format!(" of {}", node.scope) };
            let op = node.op.name;
            problem
                .label(node.span, format!("`{op}` gives a value that is {what}"))
                .note(format!("`{op}`{scope}, in {part}, is the first operation with a result that is {what}"))
        }
        None => problem.note(
            "the same step is finite in 64-bit arithmetic: an intermediate value leaves the range of 32-bit floats",
        ),
    };
    problem.note("the weights before this step are kept").help(
        "a smaller learning rate usually helps, or keeping the arguments of exp, log, sqrt and / in range",
    )
}
