//! Random graphs: well-typed, of awkward sizes, with values that stay in a safe range.

use nnc::ir::computation::VariableId;
use nnc::ir::{Builder, Computation, Level, NodeId, Update};
use nnc::ops;
use nnc::ty::{Shape, Type};

use super::harness::Lcg;

mod arithmetic;
mod loops;
mod shapes;

/// Sizes at which loops go wrong first.
const SIZES: &[usize] = &[1, 2, 3, 7, 8, 9, 15, 16, 17, 31, 33];

/// Which ops may come up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Differentiable everywhere, small enough for finite differences.
    Smooth,
    /// Anything.
    Any,
}

/// A random graph.
pub struct Random {
    pub computation: Computation,
    /// The f32 leaves.
    pub leaves: Vec<NodeId>,
    /// A scalar that depends on much of the graph, per example or not.
    pub loss: NodeId,
}

struct Draw {
    b: Builder,
    random: Lcg,
    kind: Kind,
    /// f32 nodes to build on, and for each the largest magnitude it can have.
    pool: Vec<(NodeId, f64)>,
    leaves: Vec<NodeId>,
    variables: u32,
    inputs: usize,
    streams: i64,
    /// Largest number of elements of a tensor.
    room: usize,
}

/// Draws a graph of about this many operations.
pub fn draw(seed: u64, kind: Kind, length: usize) -> Random {
    let mut random = Lcg(seed.wrapping_mul(0x9e37_79b9).wrapping_add(77));
    (0..4).for_each(|_| {
        random.uniform();
    });
    let room = if kind == Kind::Smooth { 24 } else { 1200 };
    let (b, pool, leaves) = (Builder::default(), Vec::new(), Vec::new());
    let mut d = Draw { b, random, kind, pool, leaves, variables: 0, inputs: 0, streams: 0, room };
    for _ in 0..2 + d.random.below(3) {
        let shape = d.shape();
        d.leaf(&shape);
    }
    let shape = d.shape();
    d.input(&shape);
    for _ in 0..length {
        d.step();
    }
    d.finish()
}

impl Draw {
    fn chance(&mut self, percent: usize) -> bool {
        self.random.below(100) < percent
    }

    fn size(&mut self) -> usize {
        let sizes = if self.kind == Kind::Smooth { &SIZES[..5] } else { SIZES };
        self.random.pick(sizes)
    }

    fn shape(&mut self) -> Shape {
        let mut extents = Vec::new();
        for _ in 0..self.random.below(4) {
            let size = self.size();
            if extents.iter().product::<usize>() * size <= self.room {
                extents.push(size);
            }
        }
        Shape::of(&extents)
    }

    fn variable(&mut self, shape: &Shape) -> NodeId {
        let node = ops::variable(&mut self.b, VariableId(self.variables), shape);
        self.variables += 1;
        self.leaves.push(node);
        self.pool.push((node, 2.0));
        node
    }

    fn input(&mut self, shape: &Shape) -> NodeId {
        let node = ops::input(&mut self.b, self.inputs, &Type::f32(shape.clone()));
        self.inputs += 1;
        self.leaves.push(node);
        self.pool.push((node, 2.0));
        node
    }

    fn leaf(&mut self, shape: &Shape) -> NodeId {
        if self.chance(50) { self.variable(shape) } else { self.input(shape) }
    }

    /// A node of the pool, the newer the likelier.
    fn any(&mut self) -> (NodeId, f64) {
        let n = self.pool.len();
        let back = if self.chance(60) { self.random.below(n.min(4)) } else { self.random.below(n) };
        self.pool[n - 1 - back]
    }

    /// A node between -1 and 1.
    fn small(&mut self) -> NodeId {
        let (x, bound) = self.any();
        self.tame(x, bound, 1.0)
    }

    /// A node within this bound, by a function that saturates where it could be larger.
    fn tame(&mut self, x: NodeId, bound: f64, most: f64) -> NodeId {
        if bound <= most {
            return x;
        }
        // Where tanh is flat, numbers that differ in f64 are equal in f32.
        let x = ops::scale(&mut self.b, x, (4.0 / bound).min(1.0));
        ops::tanh(&mut self.b, x)
    }

    /// A node between 0.5 and 1.5, of the shape of another.
    fn positive(&mut self, x: NodeId) -> NodeId {
        let y = ops::sigmoid(&mut self.b, x);
        ops::offset(&mut self.b, y, 0.5)
    }

    fn push(&mut self, node: NodeId, bound: f64) {
        if self.b.shape(node).elements() > self.room {
            return;
        }
        let node = self.tame(node, bound, 12.0);
        self.pool.push((node, if bound > 12.0 { 1.0 } else { bound }));
    }

    /// Two nodes in one shape.
    fn pair(&mut self) -> (NodeId, NodeId, f64, f64) {
        let (x, bx) = self.any();
        let (y, by) = self.any();
        let both = ops::broadcast_shapes(self.b.shape(x), self.b.shape(y));
        match both.filter(|shape| shape.elements() <= self.room) {
            Some(shape) => {
                let (x, y) = (ops::broadcast(&mut self.b, x, &shape), ops::broadcast(&mut self.b, y, &shape));
                (x, y, bx, by)
            }
            None => {
                // A partner of its shape, with some axes that repeat.
                let shape = self.b.shape(x).clone();
                let repeats = |random: &mut Lcg, n: &usize| if random.below(3) == 0 { 1 } else { *n };
                let extents: Vec<usize> = shape.iter().map(|n| repeats(&mut self.random, n)).collect();
                let partner = self.leaf(&Shape::of(&extents));
                let partner = ops::broadcast(&mut self.b, partner, &shape);
                (x, partner, bx, 2.0)
            }
        }
    }

    fn step(&mut self) {
        let smooth = 11;
        let rules = if self.kind == Kind::Smooth { smooth } else { 19 };
        match self.random.below(rules) {
            0 | 1 => self.unary(),
            2 | 3 => self.binary(),
            4 => self.reduce(),
            5 => self.contract(),
            6 | 7 => self.reorder(),
            8 => self.over_the_batch(),
            9 => self.convolve(),
            10 => self.recurrence(),
            18 => self.unary_with_kinks(),
            11 => self.choose(),
            12 => self.extremes(),
            13 => self.pool_windows(),
            14 => self.rows(),
            15 => self.noise(),
            16 => self.number(),
            _ => self.awkward(),
        }
    }

    /// Some results, and updates of some variables.
    fn finish(mut self) -> Random {
        let mut loss: Option<NodeId> = None;
        let mut outputs = Vec::new();
        let unused: Vec<(NodeId, f64)> = self.unused();
        for (i, (node, _)) in unused.iter().enumerate() {
            outputs.push((format!("result {i}"), *node));
            let axes: Vec<usize> = (0..self.b.shape(*node).rank()).collect();
            let mean = ops::mean(&mut self.b, *node, &axes);
            let square = ops::square(&mut self.b, mean);
            let term = ops::add(&mut self.b, mean, square);
            loss = Some(match loss {
                Some(sum) => ops::add(&mut self.b, sum, term),
                None => term,
            });
        }
        let loss = loss.expect("the pool is never empty");
        outputs.push(("loss".into(), loss));
        let mut updates = Vec::new();
        for (node, _) in unused {
            let found = self.leaves.iter().find(|leaf| self.b.shape(**leaf) == self.b.shape(node));
            let variable = found.and_then(|leaf| match self.b.graph[*leaf].level {
                Level::Once => Some(VariableId(self.b.graph[*leaf].attrs.get_int("id") as u32)),
                Level::Each => None,
            });
            let free = |id: &VariableId| updates.iter().all(|update: &Update| update.variable != *id);
            if let Some(variable) = variable.filter(|id| free(id) && self.b.graph[node].level == Level::Once)
            {
                updates.push(Update { variable, value: node });
            }
        }
        let computation = Computation { graph: self.b.graph, outputs, updates };
        Random { computation, leaves: self.leaves, loss }
    }

    /// Nodes of the pool that nothing uses yet.
    fn unused(&self) -> Vec<(NodeId, f64)> {
        let mut used = vec![false; self.b.graph.len()];
        for (_, node) in self.b.graph.iter() {
            node.inputs.iter().for_each(|input| used[input.index()] = true);
        }
        let mut unused: Vec<_> = self.pool.iter().filter(|(node, _)| !used[node.index()]).copied().collect();
        unused.dedup();
        unused
    }
}
