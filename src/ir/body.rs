//! The body of a loop over an axis: a graph of one step, which the op `scan` carries as an attribute.

use std::collections::HashMap;

use super::kernel::{Kernel, Source};
use super::{Attr, Builder, Computation, Graph, Level, NodeId};

/// What one step of a loop computes. Its graph reads the arguments of the step: in this order the step's part
/// of each sequence, what each carry was before the step, and what stands outside of the loop.
#[derive(Clone, Debug, Default)]
pub struct Body {
    /// The nodes of a step.
    pub graph: Graph,
    /// What each carry is after the step.
    pub carries: Vec<NodeId>,
    /// What the step gives to the outside, side by side in one row.
    pub rows: Vec<NodeId>,
}

impl Body {
    /// As a computation, for passes and the text form: outputs `carry 0`, .., `row 0`, ...
    pub fn into_computation(self) -> Computation {
        let named = |what: &str, nodes: Vec<NodeId>| {
            let name = |(i, node): (usize, NodeId)| (format!("{what} {i}"), node);
            nodes.into_iter().enumerate().map(name).collect::<Vec<_>>()
        };
        let mut outputs = named("carry", self.carries);
        outputs.extend(named("row", self.rows));
        Computation { graph: self.graph, outputs, updates: Vec::new() }
    }

    /// The body that such a computation stands for.
    pub fn from_computation(computation: Computation) -> Body {
        let part = |what: &str| {
            let of = |(name, node): &(String, NodeId)| name.starts_with(what).then_some(*node);
            computation.outputs.iter().filter_map(of).collect()
        };
        Body { carries: part("carry "), rows: part("row "), graph: computation.graph }
    }

    /// The nodes that read each argument of the step.
    pub fn arguments(&self) -> impl Iterator<Item = (NodeId, usize)> {
        self.graph.ids().filter_map(|id| Some((id, argument(&self.graph, id)?)))
    }

    /// How many elements a row has, and where in it each part begins.
    pub fn layout(&self) -> (usize, Vec<usize>) {
        let mut end = 0;
        let starts = self.rows.iter().map(|node| {
            let start = end;
            end += self.graph[*node].ty.shape.elements();
            start
        });
        let starts = starts.collect();
        (end, starts)
    }

    /// The same with arguments at other levels.
    pub fn at_levels(&self, level: impl Fn(usize) -> Level) -> Body {
        let mut b = Builder::default();
        for (id, node) in self.graph.iter() {
            let attrs = match argument(&self.graph, id) {
                Some(index) => node.attrs.clone().set("each", Attr::Bool(level(index) == Level::Each)),
                None => node.attrs.clone(),
            };
            (b.span.0, b.scope) = (node.span, node.scope.clone());
            b.add(node.op, &node.inputs, attrs);
        }
        Body { graph: b.graph, ..self.clone() }
    }

    /// Appends all nodes but the arguments to another graph; `map` has a node for each argument, and gets one
    /// for every other node.
    pub fn copy_into(&self, b: &mut Builder, map: &mut HashMap<NodeId, NodeId>) {
        for (id, node) in self.graph.iter() {
            if !map.contains_key(&id) {
                let inputs: Vec<NodeId> = node.inputs.iter().map(|input| map[input]).collect();
                let made = b.add(node.op, &inputs, node.attrs.clone());
                map.insert(id, made);
            }
        }
    }
}

impl PartialEq for Body {
    fn eq(&self, other: &Body) -> bool {
        let same = |(a, b): (&super::Node, &super::Node)| {
            a.op == b.op && a.inputs == b.inputs && a.attrs == b.attrs && a.level == b.level
        };
        let nodes = |body: &'_ Body| body.graph.len();
        self.carries == other.carries
            && self.rows == other.rows
            && nodes(self) == nodes(other)
            && self.graph.iter().zip(other.graph.iter()).all(|((_, a), (_, b))| same((a, b)))
    }
}

/// Which argument of a step a node reads.
pub fn argument(graph: &Graph, id: NodeId) -> Option<usize> {
    match graph.kernel(id) {
        Some(Kernel::Source(Source::Argument(index))) if graph[id].inputs.is_empty() => Some(index),
        _ => None,
    }
}
