//! Loops over a sequence that has columns of zeros beside its own: they read it without the zeros.
//!
//! The gradient of a loop gets such a sequence where only some of what a step gives to the outside is read: an
//! `lstm` whose last state nobody wants gives the gradient of its output, and zeros for that of its cells.

use std::collections::HashMap;
use std::sync::Arc;

use super::scans::scan_of;
use super::{Pass, rewrite};
use crate::ir::kernel::{Kernel, Scan};
use crate::ir::{Body, Computation, Graph, NodeId};
use crate::ops;
use crate::ty::{DType, Shape, Type};

/// The pass.
pub static PASS: Pass = Pass {
    name: "unpad",
    help: "keeps columns of zeros out of the sequences of loops",
    required: false,
    run,
};

/// The columns of a padded sequence that are not zeros.
#[derive(Clone, Copy)]
struct Inner {
    first: usize,
    count: usize,
}

fn run(computation: Computation) -> Computation {
    let graph = &computation.graph;
    let mut found: HashMap<NodeId, HashMap<usize, Inner>> = HashMap::new();
    for id in graph.ids() {
        let Some(scan) = scan_of(graph, id) else { continue };
        let sequences = graph[id].inputs.iter().enumerate().take(scan.sequences);
        let padded = sequences.filter_map(|(i, input)| Some((i, inner(graph, *input, &scan, i)?)));
        let padded: HashMap<usize, Inner> = padded.collect();
        if !padded.is_empty() {
            found.insert(id, padded);
        }
    }
    if found.is_empty() {
        return computation;
    }
    let mut at = 0;
    rewrite::rebuild(computation, |b, mut node| {
        let id = NodeId(at);
        at += 1;
        let Some(padded) = found.get(&id) else { return rewrite::copy(b, node) };
        for i in padded.keys() {
            node.inputs[*i] = b.graph[node.inputs[*i]].inputs[0];
        }
        let body = without_zeros(node.attrs.get_body("body"), padded);
        let sequences = node.attrs.get_int("sequences") as usize;
        let attrs = ops::scan_attrs(sequences, node.attrs.get_bool("reverse"), Arc::new(body));
        b.add(node.op, &node.inputs, attrs)
    })
}

/// What a sequence has besides zeros, if each step takes its columns and zeros apart.
fn inner(graph: &Graph, sequence: NodeId, scan: &Scan, argument: usize) -> Option<Inner> {
    let Some(Kernel::Pad { low, fill }) = graph.kernel(sequence) else { return None };
    let from = &graph[graph[sequence].inputs[0]].ty.shape;
    let to = &graph[sequence].ty.shape;
    if fill != 0.0 || to.rank() != 2 || from[0] != to[0] || from[1] == to[1] {
        return None;
    }
    let inner = Inner { first: low[1], count: from[1] };
    let body = &scan.body;
    let given = |id: NodeId| body.carries.contains(&id) || body.rows.contains(&id);
    let read: Vec<NodeId> =
        body.arguments().filter(|(_, index)| *index == argument).map(|(id, _)| id).collect();
    for (id, node) in body.graph.iter() {
        let reads = node.inputs.iter().any(|input| read.contains(input));
        if reads && (given(id) || part(&body.graph, id, inner).is_none()) {
            return None;
        }
    }
    (!read.iter().any(|id| given(*id))).then_some(inner)
}

/// What a step takes of a padded row.
enum Part {
    Zeros,
    /// So many columns from this one on, without the zeros.
    Columns(usize, usize),
}

fn part(graph: &Graph, id: NodeId, inner: Inner) -> Option<Part> {
    let Some(Kernel::View(view)) = graph.kernel(id) else { return None };
    let [axis] = &view.axes[..] else { return None };
    let (first, count) = (usize::try_from(axis.base).ok()?, graph[id].ty.shape.elements());
    if graph[id].ty.shape.rank() != 1 || axis.terms != [(0, 1)] {
        return None;
    }
    let end = inner.first + inner.count;
    if first + count <= inner.first || first >= end {
        Some(Part::Zeros)
    } else if first >= inner.first && first + count <= end {
        Some(Part::Columns(first - inner.first, count))
    } else {
        None
    }
}

fn without_zeros(body: &Body, padded: &HashMap<usize, Inner>) -> Body {
    let graph = body.graph.clone();
    let arguments: HashMap<NodeId, usize> =
        body.arguments().filter(|(_, index)| padded.contains_key(index)).collect();
    let mut at = 0;
    let computation = rewrite::rebuild(body.clone().into_computation(), |b, node| {
        let id = NodeId(at);
        at += 1;
        if let Some(index) = arguments.get(&id) {
            let ty = Type::new(DType::F32, Shape::of(&[padded[index].count]));
            return ops::argument(b, *index, &ty, node.level);
        }
        let source = graph[id].inputs.iter().find_map(|input| arguments.get(input));
        match source.and_then(|index| part(&graph, id, padded[index])) {
            Some(Part::Columns(first, count)) => ops::slice_axis(b, node.inputs[0], 0, first, count),
            Some(Part::Zeros) => {
                let zero = ops::constant(b, 0.0);
                ops::broadcast(b, zero, &node.ty.shape)
            }
            None => rewrite::copy(b, node),
        }
    });
    Body::from_computation(computation)
}
