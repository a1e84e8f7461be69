//! Products of a loop that need no carry are made for all steps at once, before the loop or after it.
//!
//! `x_t W` in a step is one product over all steps before the loop, whose rows the steps read. A product that a step
//! only gives to the outside is made after the loop, of its factor. Both have as many rows as there are steps.

use std::collections::HashMap;
use std::sync::Arc;

use super::scans::{columns, scan_of, smaller, users};
use super::{Pass, rewrite};
use crate::ir::body::argument;
use crate::ir::kernel::{Contraction, Kernel, Scan};
use crate::ir::{Body, Builder, Computation, Graph, Level, Node, NodeId};
use crate::ops;
use crate::ty::Shape;

/// The pass.
pub static PASS: Pass =
    Pass { name: "hoist", help: "takes products that need no carry out of loops", required: false, run };

/// A product in a step of something and a value from outside.
struct Product {
    spec: Contraction,
    /// The factor that moves with the steps is the first.
    first: bool,
    /// That factor.
    factor: NodeId,
    /// The argument that holds the other.
    outside: usize,
}

/// The product that a node of a body is.
fn product(body: &Graph, id: NodeId, fixed: usize) -> Option<Product> {
    let Some(Kernel::Contract(spec)) = body.kernel(id) else { return None };
    let [a, b] = body[id].inputs[..] else { return None };
    let outside = |id| argument(body, id).filter(|index| *index >= fixed);
    match (outside(a), outside(b)) {
        (None, Some(outside)) => Some(Product { spec, first: true, factor: a, outside }),
        (Some(outside), None) => Some(Product { spec, first: false, factor: b, outside }),
        _ => None,
    }
}

impl Product {
    /// The product for all steps of a loop.
    fn over_steps(&self, b: &mut Builder, factor: NodeId, other: NodeId) -> NodeId {
        let names = |labels: &[u8]| labels.iter().map(|l| format!("l{l}")).collect::<Vec<_>>().join(" ");
        let (x, y, out) = (names(&self.spec.a), names(&self.spec.b), names(&self.spec.out));
        if self.first {
            ops::contract(b, factor, other, &format!("t {x}, {y} -> t {out}"))
        } else {
            ops::contract(b, other, factor, &format!("{x}, t {y} -> t {out}"))
        }
    }
}

fn run(computation: Computation) -> Computation {
    if !computation.graph.ids().any(|id| scan_of(&computation.graph, id).is_some()) {
        return computation;
    }
    let at_start = rewrite::rebuild(computation, |b, node| match b.graph.kernel_of(&node) {
        Some(Kernel::Scan(scan)) => before(b, node, &scan),
        _ => rewrite::copy(b, node),
    });
    rewrite::drop_unneeded(sink(rewrite::drop_unneeded(at_start)))
}

/// The loop with the products of its sequences made before it.
fn before(b: &mut Builder, node: Node, scan: &Scan) -> NodeId {
    let (sequences, body) = (scan.sequences, &scan.body);
    let fixed = sequences + body.carries.len();
    let found: Vec<(NodeId, Product, usize)> = (body.graph.ids())
        .filter_map(|id| {
            let product = product(&body.graph, id, fixed)?;
            let sequence = argument(&body.graph, product.factor).filter(|index| *index < sequences)?;
            Some((id, product, sequence))
        })
        .collect();
    if found.is_empty() {
        return rewrite::copy(b, node);
    }
    let mut inputs = node.inputs[..sequences].to_vec();
    let mut places: HashMap<NodeId, usize> = HashMap::new();
    for (id, product, sequence) in &found {
        let all = product.over_steps(b, node.inputs[*sequence], node.inputs[product.outside]);
        places.insert(*id, inputs.len());
        inputs.push(all);
    }
    inputs.extend(&node.inputs[sequences..]);
    let mut at = 0;
    let body = rewrite::rebuild(Body::clone(body).into_computation(), |inner, node| {
        let id = NodeId(at);
        at += 1;
        match (places.get(&id), argument(&body.graph, id)) {
            (Some(index), _) => ops::argument(inner, *index, &node.ty, node.level),
            (None, Some(index)) => {
                let index = if index < sequences { index } else { index + found.len() };
                ops::argument(inner, index, &node.ty, node.level)
            }
            (None, None) => rewrite::copy(inner, node),
        }
    });
    let body = Arc::new(Body::from_computation(body));
    let made = ops::scan(b, &inputs, sequences + found.len(), scan.reverse, body.clone());
    let node = b.graph[made].clone();
    smaller(b, node, &vec![true; body.rows.len()]).0
}

/// A part of a loop's rows as it was, and what it is made of now.
struct Part {
    first: usize,
    size: usize,
    /// The place among the new rows.
    row: usize,
    /// With the factor that all steps share.
    product: Option<(Product, NodeId)>,
}

/// Products that steps only give to the outside are made after the loop.
fn sink(computation: Computation) -> Computation {
    let (users, wanted) = users(&computation);
    let graph = &computation.graph;
    let sinks: Vec<bool> = graph
        .ids()
        .map(|id| {
            let Some(scan) = scan_of(graph, id) else { return false };
            let (_, starts) = scan.body.layout();
            let inside_one = |user: &NodeId| {
                columns(graph, *user).is_some_and(|(first, count)| {
                    let part = starts.iter().rposition(|start| *start <= first).unwrap_or(0);
                    let size = scan.body.graph[scan.body.rows[part]].ty.shape.elements();
                    first + count <= starts[part] + size
                })
            };
            !wanted.contains(&id) && users[id.index()].iter().all(inside_one)
        })
        .collect();
    let mut parts: HashMap<NodeId, Vec<Part>> = HashMap::new();
    let mut at = 0;
    let column: Vec<Option<(usize, usize)>> = graph.ids().map(|id| columns(graph, id)).collect();
    rewrite::rebuild(computation, |b, node| {
        let id = NodeId(at);
        at += 1;
        if sinks[id.index()] {
            let Some(Kernel::Scan(scan)) = b.graph.kernel_of(&node) else { return rewrite::copy(b, node) };
            let (rows, made) = lighter(&scan, &node.inputs);
            let body = Arc::new(Body { rows, ..Body::clone(&scan.body) });
            let all = vec![true; body.rows.len()];
            let new = ops::scan(b, &node.inputs, scan.sequences, scan.reverse, body);
            let node = b.graph[new].clone();
            let (new, ..) = smaller(b, node, &all);
            parts.insert(new, made);
            return new;
        }
        let made = node.inputs.first().and_then(|input| parts.get(input));
        let (Some(made), Some((first, count))) = (made, column[id.index()]) else {
            return rewrite::copy(b, node);
        };
        let scan = node.inputs[0];
        let Some(part) = made.iter().find(|part| part.first <= first && first < part.first + part.size)
        else {
            return rewrite::copy(b, node);
        };
        let stack = ops::stacked(b, scan, part.row);
        let all = match &part.product {
            Some((product, other)) => product.over_steps(b, stack, *other),
            None => stack,
        };
        let steps = b.shape(all)[0];
        let flat = ops::reshape(b, all, &Shape::of(&[steps, part.size]));
        if (first, count) == (part.first, part.size) {
            flat
        } else {
            ops::slice_axis(b, flat, 1, first - part.first, count)
        }
    })
}

/// The rows of a loop with factors in the place of products that only the outside needs.
fn lighter(scan: &Scan, inputs: &[NodeId]) -> (Vec<NodeId>, Vec<Part>) {
    let body = &scan.body;
    let fixed = scan.sequences + body.carries.len();
    let level = body.graph.iter().map(|(_, node)| node.level).max().unwrap_or(Level::Once);
    let used = |id: NodeId| {
        body.carries.contains(&id) || body.graph.iter().any(|(_, node)| node.inputs.contains(&id))
    };
    let (_, starts) = body.layout();
    let mut rows: Vec<NodeId> = Vec::new();
    let mut parts = Vec::new();
    for (node, first) in body.rows.iter().zip(starts) {
        let size = body.graph[*node].ty.shape.elements();
        let found = product(&body.graph, *node, fixed)
            .filter(|product| !used(*node) && body.graph[product.factor].level == level);
        let kept = found.as_ref().map_or(*node, |product| product.factor);
        let row = rows.iter().position(|row| *row == kept).unwrap_or_else(|| {
            rows.push(kept);
            rows.len() - 1
        });
        parts.push(Part {
            first,
            size,
            row,
            product: found
                .map(|product| (inputs[product.outside], product))
                .map(|(other, product)| (product, other)),
        });
    }
    (rows, parts)
}
