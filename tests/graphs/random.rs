//! Random graphs: well-typed, of awkward sizes, with values that stay in a safe range.

use nnc::ir::computation::VariableId;
use nnc::ir::{Builder, Computation, Level, NodeId, Update};
use nnc::ops;
use nnc::ty::{DType, Shape, Type};

use super::harness::Lcg;

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
    (0..4).for_each(|_| drop(random.uniform()));
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
        if bound <= most { x } else { ops::tanh(&mut self.b, x) }
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
        let smooth = 10;
        let rules = if self.kind == Kind::Smooth { smooth } else { 18 };
        match self.random.below(rules) {
            0 | 1 => self.unary(),
            2 | 3 => self.binary(),
            4 => self.reduce(),
            5 => self.contract(),
            6 | 7 => self.reorder(),
            8 => self.over_the_batch(),
            9 => self.convolve(),
            10 => self.unary_with_kinks(),
            11 => self.choose(),
            12 => self.extremes(),
            13 => self.pool_windows(),
            14 => self.rows(),
            15 => self.noise(),
            16 => self.number(),
            _ => self.awkward(),
        }
    }

    fn unary(&mut self) {
        let x = self.small();
        let which = self.random.below(13);
        let positive = if (9..12).contains(&which) { self.positive(x) } else { x };
        let b = &mut self.b;
        let (node, bound) = match which {
            0 => (ops::tanh(b, x), 1.0),
            1 => (ops::sigmoid(b, x), 1.0),
            2 => (ops::sin(b, x), 1.0),
            3 => (ops::cos(b, x), 1.0),
            4 => (ops::exp(b, x), 2.8),
            5 => (ops::erf(b, x), 1.0),
            6 => (ops::neg(b, x), 1.0),
            7 => (ops::square(b, x), 1.0),
            8 => (ops::scale(b, x, 2.5), 2.5),
            9 => (ops::log(b, positive), 1.0),
            10 => (ops::sqrt(b, positive), 1.3),
            11 => (ops::rsqrt(b, positive), 1.5),
            _ => (ops::one_minus(b, x), 2.0),
        };
        self.push(node, bound);
    }

    fn unary_with_kinks(&mut self) {
        let (x, bound) = self.any();
        let which = self.random.below(4);
        let b = &mut self.b;
        let node = match which {
            0 => ops::relu(b, x),
            1 => ops::abs(b, x),
            2 => ops::stop_gradient(b, x),
            _ => ops::neg(b, x),
        };
        self.push(node, bound);
    }

    fn binary(&mut self) {
        let (x, y, bx, by) = self.pair();
        let which = self.random.below(6);
        let (node, bound) = match which {
            0 | 1 => (ops::add(&mut self.b, x, y), bx + by),
            2 => (ops::sub(&mut self.b, x, y), bx + by),
            3 => (ops::mul(&mut self.b, x, y), bx * by),
            4 => {
                let y = self.positive(y);
                (ops::div(&mut self.b, x, y), 2.0 * bx)
            }
            _ => {
                let (x, y) = (self.positive(x), self.tame(y, by, 1.0));
                (ops::pow(&mut self.b, x, y), 2.0)
            }
        };
        self.push(node, bound);
    }

    fn choose(&mut self) {
        let (x, y, bx, by) = self.pair();
        let which = self.random.below(5);
        let b = &mut self.b;
        let node = match which {
            0 => ops::maximum(b, x, y),
            1 => ops::minimum(b, x, y),
            2 => {
                let less = ops::lt(b, x, y);
                ops::select(b, less, y, x)
            }
            3 => {
                let (near, zero) = (ops::le(b, x, y), ops::zeros_like(b, y));
                let positive = ops::gt(b, y, zero);
                let both = ops::and(b, near, positive);
                let either = ops::or(b, both, near);
                let not = ops::not(b, either);
                let number = ops::cast(b, not, DType::F32);
                ops::add(b, number, x)
            }
            _ => {
                let equal = ops::eq(b, x, y);
                ops::select(b, equal, x, y)
            }
        };
        self.push(node, bx.max(by) + 1.0);
    }

    fn some_axes(&mut self, rank: usize) -> Vec<usize> {
        (0..rank).filter(|_| self.chance(50)).collect()
    }

    fn reduce(&mut self) {
        let (x, bound) = self.any();
        let axes = self.some_axes(self.b.shape(x).rank());
        let count: usize = axes.iter().map(|axis| self.b.shape(x)[*axis]).product();
        if self.chance(50) {
            let node = ops::mean(&mut self.b, x, &axes);
            self.push(node, bound);
        } else {
            let node = ops::sum(&mut self.b, x, &axes);
            self.push(node, bound * count as f64);
        }
    }

    fn extremes(&mut self) {
        let (x, bound) = self.any();
        let rank = self.b.shape(x).rank();
        let axes = self.some_axes(rank);
        if rank > 0 && self.chance(30) {
            let axis = self.random.below(rank);
            let place = ops::argmax(&mut self.b, x, axis);
            let size = self.b.shape(x)[axis];
            let hot = ops::one_hot(&mut self.b, place, size);
            return self.push(hot, 1.0);
        }
        let node = if self.chance(50) {
            ops::reduce_max(&mut self.b, x, &axes)
        } else {
            ops::reduce_min(&mut self.b, x, &axes)
        };
        self.push(node, bound);
    }

    fn contract(&mut self) {
        let (x, bound) = self.any();
        let shape = self.b.shape(x).clone();
        let Some(inner) = shape.last().copied() else { return };
        let x = self.tame(x, bound, 3.0);
        let m = self.size();
        let lead: String = (1..shape.rank()).map(|i| format!("a{i} ")).collect();
        let which = self.random.below(4);
        let (partner, formula) = match which {
            0 => (self.variable(&Shape::of(&[inner, m])), format!("{lead}k, k m -> {lead}m")),
            1 => (self.leaf(&Shape::of(&[m, inner])), format!("{lead}k, m k -> {lead}m")),
            2 => (self.leaf(&shape), format!("{lead}k, {lead}k -> {lead}")),
            _ => (self.leaf(&shape), format!("{lead}k, {lead}k -> k")),
        };
        let node = ops::contract(&mut self.b, x, partner, &formula);
        let summed = if which == 3 { shape.elements() / inner } else { inner };
        self.push(node, 6.0 * summed as f64);
    }

    /// Views, reshapes, concatenation, padding.
    fn reorder(&mut self) {
        let (x, bound) = self.any();
        let shape = self.b.shape(x).clone();
        let rank = shape.rank();
        if rank == 0 {
            let n = self.size();
            let node = ops::broadcast(&mut self.b, x, &Shape::of(&[n]));
            return self.push(node, bound);
        }
        let axis = self.random.below(rank);
        let node = match self.random.below(8) {
            0 => ops::reshape(&mut self.b, x, &Shape::of(&[shape.elements()])),
            1 => {
                let mut order: Vec<usize> = (0..rank).collect();
                (1..rank).for_each(|i| order.swap(i, self.random.below(i + 1)));
                ops::transpose(&mut self.b, x, &order)
            }
            2 | 3 => {
                let (mut start, mut extent, mut stride) = (Vec::new(), Vec::new(), Vec::new());
                for n in shape.iter() {
                    let step = 1 + self.random.below(3);
                    let first = self.random.below(*n);
                    let most = (n - first).div_ceil(step);
                    start.push(first);
                    extent.push(1 + self.random.below(most));
                    stride.push(step);
                }
                ops::slice(&mut self.b, x, &start, &extent, &stride)
            }
            4 => {
                let low: Vec<usize> = (0..rank).map(|_| self.random.below(3)).collect();
                let high: Vec<usize> = (0..rank).map(|_| self.random.below(3)).collect();
                let fill = self.random.pick(&[0.0, 0.5]);
                ops::pad(&mut self.b, x, &low, &high, fill)
            }
            5 => {
                let mut other = shape.to_vec();
                other[axis] = self.size();
                let other = self.leaf(&Shape::of(&other));
                ops::concat(&mut self.b, &[x, other, x], axis)
            }
            6 => ops::reverse(&mut self.b, x, &[axis]),
            _ => {
                let mut wide = shape.to_vec();
                wide.insert(axis, 1);
                let node = ops::reshape(&mut self.b, x, &Shape::of(&wide));
                wide[axis] = 1 + self.random.below(3);
                ops::broadcast(&mut self.b, node, &Shape::of(&wide))
            }
        };
        self.push(node, bound.max(2.0));
    }

    /// The mean over the batch.
    fn over_the_batch(&mut self) {
        let (x, bound) = self.any();
        if !self.chance(60) {
            return self.unary();
        }
        let total = ops::batch_sum(&mut self.b, x);
        let count = ops::batch_size(&mut self.b);
        let count = ops::broadcast_like(&mut self.b, count, total);
        let mean = ops::div(&mut self.b, total, count);
        self.push(mean, bound);
    }

    /// Windows that fit into an image of these extents, and their size.
    fn windows(&mut self, image: &Shape) -> ([usize; 2], ops::Windows) {
        let mut windows = ops::Windows::default();
        let mut size = [1; 2];
        for i in 0..2 {
            windows.low[i] = self.random.below(2);
            windows.high[i] = self.random.below(2);
            windows.stride[i] = 1 + self.random.below(2);
            let padded = image[i] + windows.low[i] + windows.high[i];
            size[i] = 1 + self.random.below(padded.min(3));
            let fits = 2 * (size[i] - 1) < padded;
            windows.dilation[i] = if fits { 1 + self.random.below(2) } else { 1 };
            // A window of padding alone would have no maximum.
            windows.low[i] = windows.low[i].min(size[i] - 1);
            windows.high[i] = windows.high[i].min(size[i] - 1);
            let padded = image[i] + windows.low[i] + windows.high[i];
            if windows.dilation[i] * (size[i] - 1) >= padded {
                windows.dilation[i] = 1;
                size[i] = size[i].min(padded);
            }
            if windows.dilation[i] > 1 {
                (windows.low[i], windows.high[i]) = (0, 0);
                if windows.dilation[i] * (size[i] - 1) >= image[i] {
                    (windows.dilation[i], size[i]) = (1, 1);
                }
            }
        }
        (size, windows)
    }

    /// A node of rank 3, within 2.
    fn image(&mut self) -> NodeId {
        let (x, bound) = self.any();
        if self.b.shape(x).rank() == 3 {
            return self.tame(x, bound, 2.0);
        }
        let extents = [2 + self.random.below(5), 2 + self.random.below(5), 1 + self.random.below(3)];
        self.leaf(&Shape::of(&extents))
    }

    fn convolve(&mut self) {
        let x = self.image();
        let shape = self.b.shape(x).clone();
        let (size, windows) = self.windows(&shape);
        let groups = if shape[2] % 2 == 0 && self.chance(30) { 2 } else { 1 };
        let channels = groups * (1 + self.random.below(3));
        let w = self.variable(&Shape::of(&[size[0], size[1], shape[2] / groups, channels]));
        let node = ops::conv2d(&mut self.b, x, w, &windows, groups);
        self.push(node, (4 * size[0] * size[1] * shape[2]) as f64);
    }

    fn pool_windows(&mut self) {
        let x = self.image();
        let shape = self.b.shape(x).clone();
        let (size, windows) = self.windows(&shape);
        if self.chance(50) {
            let node = ops::max_pool2d(&mut self.b, x, size, &windows);
            self.push(node, 2.0);
        } else {
            let node = ops::sum_pool2d(&mut self.b, x, size, &windows);
            self.push(node, 2.0 * (size[0] * size[1]) as f64);
        }
    }

    /// Rows of a table by an index, and one-hot rows.
    fn rows(&mut self) {
        let (rows, width) = (self.size(), self.size());
        let count = if self.chance(50) { Shape::scalar() } else { Shape::of(&[1 + self.random.below(5)]) };
        let index = ops::input(&mut self.b, self.inputs, &Type::new(DType::Index(rows as u64), count));
        self.inputs += 1;
        if self.chance(30) {
            let node = ops::one_hot(&mut self.b, index, rows);
            return self.push(node, 1.0);
        }
        let table = self.leaf(&Shape::of(&[rows, width]));
        let node = ops::gather(&mut self.b, table, index);
        self.push(node, 2.0);
    }

    fn noise(&mut self) {
        let shape = self.shape();
        let level = if self.chance(50) { Level::Each } else { Level::Once };
        self.streams += 1;
        let stream = self.streams as u64;
        if self.chance(60) {
            let node = ops::random_uniform(&mut self.b, &shape, stream, level);
            self.push(node, 1.0);
        } else {
            let node = ops::random_normal(&mut self.b, &shape, stream, level);
            self.push(node, 6.0);
        }
    }

    /// Numbers that are no tensor's.
    fn number(&mut self) {
        let which = self.random.below(4);
        let shape = self.shape();
        let (node, bound) = match which {
            0 => (ops::step(&mut self.b), 3.0),
            1 => (ops::constant(&mut self.b, -0.75), 0.75),
            2 if shape.rank() > 0 => {
                let axis = self.random.below(shape.rank());
                (ops::iota(&mut self.b, &shape, axis), 33.0)
            }
            _ => (ops::batch_size(&mut self.b), 33.0),
        };
        self.push(node, bound);
    }

    /// What passes look for: neutral elements, moves there and back, sums of repeats, copies.
    fn awkward(&mut self) {
        let (x, bound) = self.any();
        let shape = self.b.shape(x).clone();
        let rank = shape.rank();
        let which = self.random.below(7);
        let b = &mut self.b;
        let node = match which {
            0 => ops::scale(b, x, 1.0),
            1 => ops::offset(b, x, 0.0),
            2 => {
                let x = ops::neg(b, x);
                ops::neg(b, x)
            }
            3 => {
                let wide: Vec<usize> = [3].into_iter().chain(shape.iter().copied()).collect();
                let wide = ops::broadcast(b, x, &Shape::of(&wide));
                ops::mean(b, wide, &[0])
            }
            4 => {
                let order: Vec<usize> = (0..rank).rev().collect();
                let back = ops::transpose(b, x, &order);
                ops::transpose(b, back, &order)
            }
            5 => {
                let (one, two) = (ops::constant_like(b, x, 1.0), ops::constant_like(b, x, 2.0));
                let known = ops::lt(b, one, two);
                let y = ops::tanh(b, x);
                ops::select(b, known, x, y)
            }
            _ => {
                let (y, z) = (ops::tanh(b, x), ops::tanh(b, x));
                ops::mul(b, y, z)
            }
        };
        self.push(node, bound);
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
