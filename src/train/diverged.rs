//! Which operation made the first number that is not finite.
//!
//! The batch that diverged is evaluated again by the interpreter from the state before the step; the first
//! node whose result is not finite in f32 although its inputs were is to blame.

use crate::base::{Diagnostic, Exit, Sources};
use crate::interp::{Env, watch};
use crate::ir::experiment::Stage;
use crate::ir::kernel::Scalar;
use crate::ir::op::Moment;
use crate::ir::{Array, Graph, Kernel, NodeId};

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
        Some(Kernel::Source(_) | Kernel::View(_) | Kernel::Reshape | Kernel::Pad { .. } | Kernel::Concat(_)) => true,
        Some(Kernel::Map(scalar)) => scalar == Scalar::Select,
        Some(
            Kernel::Reduce(..) | Kernel::Iota(_) | Kernel::Contract(_) | Kernel::BatchSum | Kernel::Leaf(_),
        )
        | None => false,
    }
}

/// The node to blame and whether it made a NaN.
fn culprit(graph: &Graph, targets: &[NodeId], env: &Env) -> Option<(NodeId, bool)> {
    let mut known = vec![Faults::default(); graph.len()];
    let mut found = None;
    watch(graph, &Default::default(), targets, env, &mut |id, value| {
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

/// The diagnostic for a step that diverged.
pub fn explain(
    stage: &Stage,
    sources: &Sources,
    variables: &[Array],
    inputs: &[Vec<Array>],
    moment: Moment,
    symptom: &str,
) -> Diagnostic {
    let title = format!("training diverged at step {} of stage `{}`: {symptom}", moment.step, stage.name);
    let mut problem = Diagnostic::error("diverged", title).exit(Exit::Diverged);
    let targets: Vec<NodeId> = stage.step.roots().collect();
    let env = Env { variables, inputs, moment };
    match culprit(&stage.step.graph, &targets, &env) {
        Some((id, nan)) => {
            let node = &stage.step.graph[id];
            let what = if nan { "a value that is not a number" } else { "a value too large for f32" };
            let part = if id.index() < stage.forward_end {
                "the loss"
            } else if id.index() < stage.gradient_end {
                "the gradient"
            } else {
                "the optimizer's update"
            };
            problem = problem.label(node.span, format!("{what} comes from `{}` here", node.op.name));
            let place = sources.place(node.span);
            let place = if place.is_empty() { String::new() } else { format!(", {place}") };
            let scope = if node.scope.is_empty() { String::new() } else { format!(" of {}", node.scope) };
            problem =
                problem.note(format!("the first such value is made by `{}`{scope} in {part}{place}", node.op.name));
        }
        None => {
            problem = problem.note(
                "the same step in the f64 interpreter stays finite: the numbers are at the edge of what f32 holds",
            );
        }
    }
    problem
        .note("the weights in the run folder are those before this step")
        .help("use a smaller learning rate, or keep the arguments of exp, log, sqrt and / in their range")
}
