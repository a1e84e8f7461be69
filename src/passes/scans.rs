//! Loops that compute one another's values become one, and compute only what is read.
//!
//! The gradient of a loop makes it anew with further columns in its rows; the old one is the first columns of the
//! new one. Then columns that nobody reads are dropped, what only they need, and inputs that no step reads.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use super::{Pass, rewrite};
use crate::ir::kernel::{Kernel, Scan};
use crate::ir::{Attr, Attrs, Body, Builder, Computation, Graph, Node, NodeId};
use crate::ops;

/// The pass.
pub static PASS: Pass = Pass {
    name: "scans",
    help: "joins loops of one body, drops what nobody reads of them",
    required: false,
    run,
};

/// Dropping a column of one loop may make columns of another one unread: gradients of gradients settle in a few.
const ROUNDS: usize = 12;

fn run(computation: Computation) -> Computation {
    if !computation.graph.ids().any(|id| scan_of(&computation.graph, id).is_some()) {
        return computation;
    }
    let mut computation = join(rewrite::drop_unneeded(computation));
    for _ in 0..ROUNDS {
        let (next, changed) = trim(rewrite::drop_unneeded(computation));
        computation = next;
        if !changed {
            break;
        }
    }
    rewrite::drop_unneeded(computation)
}

pub fn scan_of(graph: &Graph, id: NodeId) -> Option<Scan> {
    match graph.kernel(id) {
        Some(Kernel::Scan(scan)) => Some(scan),
        _ => None,
    }
}

/// The columns that a node takes of its input, all rows of it: first and number.
pub fn columns(graph: &Graph, id: NodeId) -> Option<(usize, usize)> {
    let Some(Kernel::View(view)) = graph.kernel(id) else { return None };
    let [rows, columns] = &view.axes[..] else { return None };
    let (from, to) = (&graph[graph[id].inputs[0]].ty.shape, &graph[id].ty.shape);
    let plain = rows.base == 0
        && rows.terms == [(0, 1)]
        && to.rank() == 2
        && from[0] == to[0]
        && (columns.terms == [(1, 1)] || (to[1] == 1 && columns.terms.len() <= 1));
    plain.then_some((columns.base as usize, to[1]))
}

/// For each node, who uses it, and whether it is a result.
pub fn users(computation: &Computation) -> (Vec<Vec<NodeId>>, HashSet<NodeId>) {
    let mut users = vec![Vec::new(); computation.graph.len()];
    for (id, node) in computation.graph.iter() {
        node.inputs.iter().for_each(|input| users[input.index()].push(id));
    }
    (users, computation.roots().collect())
}

/// Puts the longest of the loops that begin alike in the place of all of them.
fn join(computation: Computation) -> Computation {
    let graph = &computation.graph;
    let scans: Vec<(NodeId, Scan)> = graph.ids().filter_map(|id| Some((id, scan_of(graph, id)?))).collect();
    let begins = |a: &Scan, b: &Scan| {
        a.sequences == b.sequences && a.reverse == b.reverse && b.body.rows.starts_with(&a.body.rows) && {
            let rows = a.body.rows.clone();
            *a.body == Body { rows, ..Body::clone(&b.body) }
        }
    };
    let mut longest: HashMap<NodeId, NodeId> = HashMap::new();
    for (id, scan) in &scans {
        let same = scans.iter().filter(|(other, _)| graph[*other].inputs == graph[*id].inputs);
        let best = same
            .filter(|(_, other)| begins(scan, other))
            .max_by_key(|(other, scan)| (scan.body.rows.len(), std::cmp::Reverse(*other)));
        if let Some((best, _)) = best.filter(|(best, _)| best != id) {
            longest.insert(*id, *best);
        }
    }
    if longest.is_empty() {
        return computation;
    }
    let attrs: HashMap<NodeId, Attrs> = longest.values().map(|id| (*id, graph[*id].attrs.clone())).collect();
    let mut made: HashMap<NodeId, NodeId> = HashMap::new();
    let mut at = 0;
    rewrite::rebuild(computation, |b, node| {
        let id = NodeId(at);
        at += 1;
        let target = longest.get(&id).copied().unwrap_or(id);
        let Some(attrs) = attrs.get(&target) else { return rewrite::copy(b, node) };
        let long = *made.entry(target).or_insert_with(|| b.add(node.op, &node.inputs, attrs.clone()));
        let width = node.ty.shape[1];
        if b.shape(long)[1] == width { long } else { ops::slice_axis(b, long, 1, 0, width) }
    })
}

/// Which parts of a loop's rows somebody reads; all where somebody reads more than columns.
fn read_parts(graph: &Graph, scan: &Scan, users: &[NodeId], wanted: bool) -> Vec<bool> {
    let (width, starts) = scan.body.layout();
    let mut read = vec![wanted; starts.len()];
    for user in users {
        let (first, count) = columns(graph, *user).unwrap_or((0, width));
        for (part, start) in starts.iter().enumerate() {
            let size = scan.body.graph[scan.body.rows[part]].ty.shape.elements();
            read[part] |= *start < first + count && first < start + size;
        }
    }
    read
}

/// Drops columns and inputs of loops; says whether there were any.
fn trim(computation: Computation) -> (Computation, bool) {
    let (users, wanted) = users(&computation);
    let graph = &computation.graph;
    let column: Vec<Option<(usize, usize)>> = graph.ids().map(|id| columns(graph, id)).collect();
    let mut trimmed: HashMap<NodeId, Vec<bool>> = HashMap::new();
    for id in graph.ids() {
        let Some(scan) = scan_of(graph, id) else { continue };
        let mut read = read_parts(graph, &scan, &users[id.index()], wanted.contains(&id));
        if !read.contains(&true) {
            read[0] = true;
        }
        trimmed.insert(id, read);
    }
    let mut changed = false;
    // For each loop as it is now: where columns have gone.
    let mut moved: HashMap<NodeId, Vec<(usize, usize, usize)>> = HashMap::new();
    let mut at = 0;
    let next = rewrite::rebuild(computation, |b, node| {
        let id = NodeId(at);
        at += 1;
        if let Some(read) = trimmed.get(&id) {
            let (made, parts, smaller) = smaller(b, node, read);
            changed |= smaller;
            moved.insert(made, parts);
            return made;
        }
        let parts = node.inputs.first().and_then(|input| moved.get(input));
        let Some(parts) = parts.filter(|_| !node.inputs.is_empty()) else { return rewrite::copy(b, node) };
        let scan = node.inputs[0];
        let place = column[id.index()].and_then(|(first, count)| {
            let (old, _, new) =
                parts.iter().find(|(old, size, _)| *old <= first && first < old + size).copied()?;
            Some((new + first - old, count))
        });
        match place {
            Some((first, count)) => ops::slice_axis(b, scan, 1, first, count),
            None => rewrite::copy(b, node),
        }
    });
    (next, changed)
}

/// A loop with only these parts of its rows, without inputs that no step reads. Also gives for each part that is
/// left its old place, its size and its new place.
pub fn smaller(b: &mut Builder, node: Node, read: &[bool]) -> (NodeId, Vec<(usize, usize, usize)>, bool) {
    let body = node.attrs.get_body("body").clone();
    let sequences = node.attrs.get_int("sequences") as usize;
    let (_, starts) = body.layout();
    let mut parts = Vec::new();
    let mut rows = Vec::new();
    let mut end = 0;
    for (part, row) in body.rows.iter().enumerate().filter(|(part, _)| read[*part]) {
        let size = body.graph[*row].ty.shape.elements();
        parts.push((starts[part], size, end));
        end += size;
        rows.push(*row);
    }
    let fewer = rows.len() < body.rows.len();
    let kept = Body { rows, ..Body::clone(&body) };
    let kept = Body::from_computation(rewrite::drop_unneeded(kept.into_computation()));
    let used: HashSet<usize> = kept.arguments().map(|(_, index)| index).collect();
    let carries = sequences..sequences + kept.carries.len();
    // A loop needs a sequence to know its length.
    let first = (0..sequences).find(|i| used.contains(i)).unwrap_or(0);
    let stays = |i: &usize| used.contains(i) || carries.contains(i) || *i == first;
    // Nor does it change its level.
    let level = |i: &usize| b.graph[node.inputs[*i]].level;
    let top = (0..node.inputs.len()).max_by_key(|i| (level(i), stays(i)));
    let stays = |i: &usize| stays(i) || Some(*i) == top;
    let inputs: Vec<usize> = (0..node.inputs.len()).filter(stays).collect();
    if !fewer && inputs.len() == node.inputs.len() {
        return (rewrite::copy(b, node), parts, false);
    }
    let number: HashMap<usize, usize> = inputs.iter().enumerate().map(|(new, old)| (*old, new)).collect();
    let kept = renumbered(kept, &number);
    let left = inputs.iter().filter(|i| **i < sequences).count();
    let inputs: Vec<NodeId> = inputs.iter().map(|i| node.inputs[*i]).collect();
    let attrs = ops::scan_attrs(left, node.attrs.get_bool("reverse"), Arc::new(kept));
    (b.add(node.op, &inputs, attrs), parts, true)
}

/// A body whose arguments have other numbers.
pub fn renumbered(body: Body, number: &HashMap<usize, usize>) -> Body {
    let arguments: HashMap<NodeId, usize> = body.arguments().collect();
    let mut at = 0;
    let computation = rewrite::rebuild(body.into_computation(), |b, node| {
        let id = NodeId(at);
        at += 1;
        match arguments.get(&id) {
            Some(index) => ops::argument(b, number[index], &node.ty, node.level),
            None => rewrite::copy(b, node),
        }
    });
    Body::from_computation(computation)
}

/// Runs a pass on the bodies of all loops.
pub fn in_bodies(computation: Computation, pass: fn(Computation) -> Computation) -> Computation {
    let has_body = |node: &Node| node.attrs.iter().any(|(_, attr)| matches!(attr, Attr::Body(_)));
    if !computation.graph.iter().any(|(_, node)| has_body(node)) {
        return computation;
    }
    let Computation { graph, outputs, updates } = computation;
    let nodes = graph.into_nodes().into_iter().map(|mut node| {
        if has_body(&node) {
            let attrs = node.attrs.iter().fold(Attrs::none(), |attrs, (name, attr)| match attr {
                Attr::Body(body) => {
                    let inner = in_bodies(Body::clone(body).into_computation(), pass);
                    attrs.body(name, Arc::new(Body::from_computation(pass(inner))))
                }
                other => attrs.with(name, other.clone()),
            });
            node.attrs = attrs;
        }
        node
    });
    Computation { graph: Graph::from_nodes(nodes.collect()), outputs, updates }
}
