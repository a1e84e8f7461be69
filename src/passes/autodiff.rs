//! Reverse differentiation: appends to a graph the gradients of one of its nodes.
//!
//! A node's *adjoint* is the gradient of the loss with respect to it. The walk goes from the loss back to
//! the first node; each op's gradient rule turns the adjoint of its result into contributions to the
//! adjoints of its inputs, and contributions of several users are added.
//!
//! Levels: the adjoint of an `Each` node is per example. What an example contributes to a `Once` node is
//! summed over the batch. Where that node is a small tensor that was reshaped or repeated (a bias), the
//! contribution first goes on, per example, to the small tensor: its sum over the batch is cheaper.

use crate::ir::builder::Place;
use crate::ir::{Builder, Grad, Kernel, Level, LevelRule, NodeId};
use crate::ops;

/// Appends the gradients of `loss` with respect to nodes before it, in their order; zeros where `loss` does
/// not depend on one. An `Each` loss counts as its sum over the examples. The gradient of an `Each` node is
/// per example, that of a `Once` node is `Once`. The appended nodes are differentiable like any others.
pub fn gradients(b: &mut Builder, loss: NodeId, wrt: &[NodeId]) -> Vec<NodeId> {
    let kept = (b.span, std::mem::take(&mut b.scope));
    let mut walk = Walk::new(b, loss, wrt);
    let one = walk.like(loss, 1.0);
    walk.reach(loss, loss, one);
    for index in (0..=loss.index()).rev() {
        walk.visit(NodeId(index as u32));
    }
    let found = wrt.iter().map(|id| walk.result(*id)).collect();
    (b.span, b.scope) = kept;
    found
}

/// The state of the walk; tables are indexed by node.
struct Walk<'b> {
    b: &'b mut Builder,
    /// Whether a node depends on one of `wrt` by a path that has a derivative.
    depends: Vec<bool>,
    /// Whether a node is one of `wrt`.
    wanted: Vec<bool>,
    /// The adjoint as found so far.
    adjoint: Vec<Option<NodeId>>,
    /// For `Once` nodes: the contributions per example, not yet summed over the batch.
    per_example: Vec<Option<NodeId>>,
}

impl<'b> Walk<'b> {
    fn new(b: &'b mut Builder, loss: NodeId, wrt: &[NodeId]) -> Walk<'b> {
        let count = b.graph.len();
        let mut wanted = vec![false; count];
        wrt.iter().for_each(|id| wanted[id.index()] = true);
        let mut depends = wanted.clone();
        for (id, node) in b.graph.iter().take(loss.index() + 1) {
            let passes = matches!(node.op.grad, Grad::Rule(_));
            depends[id.index()] |= passes && node.inputs.iter().any(|input| depends[input.index()]);
        }
        Walk { b, depends, wanted, adjoint: vec![None; count], per_example: vec![None; count] }
    }

    /// New nodes belong to the place in the text of the node that they differentiate.
    fn stand_at(&mut self, id: NodeId) {
        let node = &self.b.graph[id];
        self.b.span = Place(node.span);
        self.b.scope.clone_from(&node.scope);
    }

    fn visit(&mut self, id: NodeId) {
        let at = id.index();
        if !self.depends[at] {
            return;
        }
        self.stand_at(id);
        if let Some(part) = self.per_example[at].take() {
            if self.goes_on(id) {
                self.distribute(id, part);
            } else {
                let total = ops::batch_sum(self.b, part);
                self.adjoint[at] = Some(join(self.b, self.adjoint[at], total));
            }
        }
        if let Some(adjoint) = self.adjoint[at] {
            self.distribute(id, adjoint);
        }
    }

    /// Whether a `Once` node hands contributions on to its input before they are summed over the batch.
    fn goes_on(&self, id: NodeId) -> bool {
        let graph = &self.b.graph;
        let smaller = |input: NodeId| graph[input].ty.shape.elements() < graph[id].ty.shape.elements();
        let moves = match (graph.kernel(id), graph[id].inputs.first()) {
            (Some(Kernel::Reshape), Some(_)) => true,
            (Some(Kernel::View(_)), Some(input)) => smaller(*input),
            _ => false,
        };
        moves && !self.wanted[id.index()]
    }

    /// Applies the gradient rule of a node to (a part of) its adjoint.
    fn distribute(&mut self, id: NodeId, adjoint: NodeId) {
        let Grad::Rule(rule) = self.b.graph[id].op.grad else { return };
        let inputs = self.b.graph[id].inputs.clone();
        if !inputs.iter().any(|input| self.depends[input.index()]) {
            return;
        }
        let parts = rule(self.b, id, adjoint);
        assert_eq!(parts.len(), inputs.len(), "the gradient rule of {}", self.b.graph[id].op.name);
        for (input, part) in inputs.into_iter().zip(parts) {
            if let Some(part) = part.filter(|_| self.depends[input.index()]) {
                assert_eq!(
                    self.b.shape(part),
                    self.b.shape(input),
                    "the gradient rule of {}",
                    self.b.graph[id].op.name
                );
                self.reach(id, input, part);
            }
        }
    }

    /// Adds what `user` contributes to the adjoint of `to`.
    fn reach(&mut self, user: NodeId, to: NodeId, part: NodeId) {
        let at = to.index();
        // The rule of `Example` gives the contributions of all examples at once.
        let collected = self.b.graph.kernel(user) == Some(Kernel::Example);
        let each_user = user != to && !collected && counts_per_example(&self.b.graph[user]);
        match (self.b.graph[to].level, self.b.graph[part].level) {
            (Level::Once, Level::Each) => {
                self.per_example[at] = Some(join(self.b, self.per_example[at], part));
            }
            (Level::Once, Level::Once) if each_user => {
                let times = times_batch(self.b, part);
                self.adjoint[at] = Some(join(self.b, self.adjoint[at], times));
            }
            (Level::Once, Level::Once) | (Level::Each, _) => {
                self.adjoint[at] = Some(join(self.b, self.adjoint[at], part));
            }
        }
    }

    fn like(&mut self, id: NodeId, value: f64) -> NodeId {
        self.stand_at(id);
        ops::constant_like(self.b, id, value)
    }

    fn result(&mut self, id: NodeId) -> NodeId {
        match self.adjoint[id.index()] {
            Some(found) => found,
            None => self.like(id, 0.0),
        }
    }
}

/// Whether the examples each contribute to the inputs of a node: it stands at `Each`, or sums over them.
fn counts_per_example(node: &crate::ir::Node) -> bool {
    node.level == Level::Each || (node.op.level == LevelRule::Once && !node.inputs.is_empty())
}

fn join(b: &mut Builder, before: Option<NodeId>, part: NodeId) -> NodeId {
    match before {
        Some(before) => ops::add(b, before, part),
        None => part,
    }
}

/// The sum over the batch of what is the same for every example.
fn times_batch(b: &mut Builder, x: NodeId) -> NodeId {
    let count = ops::batch_size(b);
    let count = ops::broadcast_like(b, count, x);
    ops::mul(b, x, count)
}
