//! Convolutions whose results are pooled become one operation, and so do their gradients, which then touch
//! only what the maxima let through.
//!
//! The pattern, as `simplify` leaves it, with `y` and `g` the values before and after:
//!
//! ```text
//! c = conv2d(x, w)      p = max_pool2d(c)      a = p + bias      y = max(a, 0)
//! m = select(0 < a, g, 0)      s = max_pool2d_grad(c, m)
//! batch_sum(conv2d_weight_grad(x, s))      conv2d_input_grad(s, w)      sum(m)
//! ```
//!
//! Bias and ReLU may be missing. Everything that reads `c` must be of this form: a convolution whose result is
//! read otherwise has to be made in full anyway. The rule of cost: windows of four taps or more, of two where a
//! ReLU follows. Then at most a fourth of the convolution's result carries gradient, and the kernels for few
//! elements do less than the dense ones (measured: three to five times less time for 2x2 windows and a ReLU).

use super::{Pass, rewrite};
use crate::ir::kernel::{Combine, Conv, ConvPool, Gradient, Kernel, Leaf, Scalar, Source, Window};
use crate::ir::{Computation, Graph, Level, NodeId};
use crate::ops::{self, Windows};
use crate::ty::Shape;

/// The pass.
pub static PASS: Pass = Pass {
    name: "conv-pool",
    help: "joins convolution, bias, ReLU and max-pool, and their gradients",
    required: false,
    run,
};

/// What stands in the place of a node.
#[derive(Clone, Debug)]
enum Instead {
    /// The joined operation, whose inputs and settings are those of this pattern.
    Forward(usize),
    /// A gradient of a joined operation, from this node.
    Gradient(usize, Gradient, NodeId),
    /// `0 < y` for the result of the joined operation.
    Positive(usize),
}

/// Nodes and what is to stand in their place.
type Changes = Vec<(NodeId, Instead)>;

/// A convolution that is joined with what follows.
#[derive(Clone, Debug)]
struct Pattern {
    spec: ConvPool,
    windows: Windows,
    x: NodeId,
    w: NodeId,
    /// The number per channel that is added, where there is one.
    bias: Option<NodeId>,
}

/// The graph with what the search asks of it.
struct View<'a> {
    graph: &'a Graph,
    kernels: Vec<Option<Kernel>>,
    users: Vec<Vec<NodeId>>,
    wanted: Vec<bool>,
}

fn run(computation: Computation) -> Computation {
    let Found { patterns, instead, .. } = find(&computation);
    if patterns.is_empty() {
        return computation;
    }
    // The joined operation of each pattern, and its inputs.
    let mut made = vec![(NodeId(0), [NodeId(0); 3]); patterns.len()];
    let mut renamed: Vec<NodeId> = Vec::new();
    let next = rewrite::rebuild(computation, |b, node| {
        let at = renamed.len();
        let id = match &instead[at] {
            None => rewrite::copy(b, node),
            Some(Instead::Forward(p)) => {
                let Pattern { spec, windows, x, w, bias, .. } = &patterns[*p];
                let bias = match bias {
                    Some(bias) => renamed[bias.index()],
                    None => {
                        let zero = ops::constant(b, 0.0);
                        ops::broadcast(b, zero, &Shape::of(&[spec.conv.out_channels]))
                    }
                };
                let from = [renamed[x.index()], renamed[w.index()], bias];
                let id = ops::conv_pool2d(b, from, spec, windows, false);
                made[*p] = (id, from);
                id
            }
            Some(Instead::Gradient(p, of, g)) => {
                let ((_, from), Pattern { spec, windows, .. }) = (made[*p], &patterns[*p]);
                ops::conv_pool2d_grad(b, *of, from, renamed[g.index()], spec, windows)
            }
            Some(Instead::Positive(p)) => {
                let y = made[*p].0;
                let zero = ops::constant_like(b, y, 0.0);
                ops::lt(b, zero, y)
            }
        };
        renamed.push(id);
        id
    });
    rewrite::drop_unneeded(next)
}

/// What a search finds.
#[derive(Default)]
struct Found {
    patterns: Vec<Pattern>,
    /// For each node what is to stand in its place.
    instead: Vec<Option<Instead>>,
    /// The convolutions that are left as they are, and why.
    refused: Vec<(NodeId, &'static str)>,
}

/// Why convolutions of a graph are not joined with what follows.
pub fn refusals(computation: &Computation) -> Vec<(NodeId, &'static str)> {
    find(computation).refused
}

fn find(computation: &Computation) -> Found {
    let graph = &computation.graph;
    let mut view = View {
        graph,
        kernels: graph.ids().map(|id| graph.kernel(id)).collect(),
        users: vec![Vec::new(); graph.len()],
        wanted: vec![false; graph.len()],
    };
    computation.roots().for_each(|id| view.wanted[id.index()] = true);
    for (id, node) in graph.iter() {
        node.inputs.iter().for_each(|input| view.users[input.index()].push(id));
    }
    let mut found = Found { instead: vec![None; graph.len()], ..Found::default() };
    for id in graph.ids() {
        let Some(Kernel::Leaf(Leaf::Conv(conv))) = view.kernels[id.index()] else { continue };
        match view.pattern(id, conv, found.patterns.len()) {
            Ok((pattern, changes)) => {
                found.patterns.push(pattern);
                changes.into_iter().for_each(|(id, change)| found.instead[id.index()] = Some(change));
            }
            Err(reason) => found.refused.push((id, reason)),
        }
    }
    found
}

impl View<'_> {
    fn users(&self, id: NodeId) -> &[NodeId] {
        &self.users[id.index()]
    }

    fn kernel(&self, id: NodeId) -> Option<&Kernel> {
        self.kernels[id.index()].as_ref()
    }

    fn each(&self, id: NodeId) -> bool {
        self.graph[id].level == Level::Each
    }

    /// The arguments of a map by this function.
    fn arguments(&self, id: NodeId, scalar: Scalar) -> Option<&[NodeId]> {
        matches!(self.kernel(id), Some(Kernel::Map(s)) if *s == scalar).then(|| &self.graph[id].inputs[..])
    }

    /// Whether a node is 0 everywhere.
    fn is_zero(&self, id: NodeId) -> bool {
        match self.kernel(id) {
            Some(Kernel::Source(Source::Constant(value))) => *value == 0.0,
            Some(Kernel::View(_) | Kernel::Reshape) => self.is_zero(self.graph[id].inputs[0]),
            _ => false,
        }
    }

    /// The vector that a node repeats at every place of an image.
    fn per_channel(&self, id: NodeId) -> Option<NodeId> {
        let Some(Kernel::View(view)) = self.kernel(id) else { return None };
        let source = self.graph[id].inputs[0];
        let [axis] = &view.axes[..] else { return None };
        let whole = axis.base == 0 && axis.terms == [(2, 1)];
        let same = self.graph[source].ty.shape[..] == self.graph[id].ty.shape[2..];
        (whole && same && !self.each(source)).then_some(source)
    }

    /// The pattern around a convolution and what is to stand in the place of its nodes, or why it is left.
    fn pattern(&self, c: NodeId, conv: Conv, number: usize) -> Result<(Pattern, Changes), &'static str> {
        let (x, w) = (self.graph[c].inputs[0], self.graph[c].inputs[1]);
        if self.each(w) {
            return Err("the weights differ from example to example");
        }
        if !self.each(x) {
            return Err("the image is the same for all examples");
        }
        let pools = self.users(c).iter().filter_map(|user| match self.kernel(*user) {
            Some(Kernel::Leaf(Leaf::MaxPool(window))) => Some((*user, *window)),
            _ => None,
        });
        let (pooled, window) = match pools.collect::<Vec<_>>()[..] {
            [pool] => pool,
            [] => return Err("no max-pool reads the result"),
            _ => return Err("several max-pools read the result"),
        };
        if window.kernel != window.stride || window.dilation != [1, 1] || window.pad != [0, 0] {
            return Err("the windows of the max-pool overlap, have gaps or are padded");
        }
        // Bias and ReLU as far as nothing else reads what they are made of.
        let (mut result, mut bias, mut relu) = (pooled, None, false);
        if let Some((sum, vector)) = self.only_sum(pooled) {
            (result, bias) = (sum, Some(vector));
        }
        let mut positive = Vec::new();
        let spreads = || self.users(c).iter().filter(|user| **user != pooled);
        // A gradient may come past the ReLU, from a loss whose own value nobody reads: then it stays outside.
        if let Some((clipped, conditions)) = self.only_clipped(result)
            && spreads().all(|spread| self.unmasked(*spread, &conditions).is_some())
        {
            (result, relu, positive) = (clipped, true, conditions);
        }
        let spec = ConvPool::new(conv, window.kernel, relu);
        if spec.pooled != window.output || !spec.supported() {
            return Err("there is no kernel for these groups, or these windows of the max-pool");
        }
        if spec.taps() * if relu { 2 } else { 1 } < 4 {
            return Err("the windows of the max-pool are too small for the gradient to be sparse");
        }
        let mut changes = vec![(result, Instead::Forward(number))];
        changes.extend(positive.iter().map(|id| (*id, Instead::Positive(number))));
        const READ: &str = "something besides the max-pool reads the result or its gradient";
        for spread in spreads() {
            changes.extend(self.gradients(*spread, &window, [x, w], &positive, number).ok_or(READ)?);
        }
        let windows = Windows {
            stride: conv.window.stride,
            low: conv.window.pad,
            high: high(&conv.window),
            dilation: conv.window.dilation,
        };
        let in_order = changes.iter().all(|(id, _)| *id >= result);
        if self.wanted[c.index()] || !in_order {
            return Err(READ);
        }
        Ok((Pattern { spec, windows, x, w, bias }, changes))
    }

    /// `p + bias`, if every reader of `p` is that sum.
    fn only_sum(&self, p: NodeId) -> Option<(NodeId, NodeId)> {
        let [sum] = self.users(p) else { return None };
        let [a, b] = *self.arguments(*sum, Scalar::Add)? else { return None };
        let vector = self.per_channel(if a == p { b } else { a })?;
        (!self.wanted[p.index()]).then_some((*sum, vector))
    }

    /// `max(a, 0)` and the nodes `0 < a`, if all readers of `a` are these.
    fn only_clipped(&self, a: NodeId) -> Option<(NodeId, Vec<NodeId>)> {
        let (mut clipped, mut conditions) = (None, Vec::new());
        for user in self.users(a) {
            if let Some([p, q]) = self.arguments(*user, Scalar::Max)
                && clipped.is_none()
                && (self.is_zero(*p) || self.is_zero(*q))
            {
                clipped = Some(*user);
            } else if let Some([low, high]) = self.arguments(*user, Scalar::Lt)
                && *high == a
                && self.is_zero(*low)
            {
                conditions.push(*user);
            } else {
                return None;
            }
        }
        clipped.filter(|_| !self.wanted[a.index()]).map(|clipped| (clipped, conditions))
    }

    /// The gradient that one of these conditions masks before the gradient of the maxima.
    fn unmasked(&self, spread: NodeId, positive: &[NodeId]) -> Option<NodeId> {
        let masked = *self.graph[spread].inputs.get(1)?;
        match self.arguments(masked, Scalar::Select)? {
            [condition, g, zero] if positive.contains(condition) && self.is_zero(*zero) => Some(*g),
            _ => None,
        }
    }

    /// What stands in the place of the gradients behind the gradient of the maxima.
    fn gradients(
        &self,
        spread: NodeId,
        window: &Window,
        [x, w]: [NodeId; 2],
        positive: &[NodeId],
        number: usize,
    ) -> Option<Changes> {
        let Some(Kernel::Leaf(Leaf::MaxPoolInput(of))) = self.kernel(spread) else { return None };
        if of != window || self.wanted[spread.index()] || !self.each(spread) {
            return None;
        }
        let masked = self.graph[spread].inputs[1];
        // What the ReLU does not let through, the joined operation does not either.
        let g = self.unmasked(spread, positive).unwrap_or(masked);
        let mut changes = Vec::new();
        let mut weights = false;
        for user in self.users(spread) {
            let inputs = &self.graph[*user].inputs;
            let of = match self.kernel(*user) {
                Some(Kernel::Leaf(Leaf::ConvWeight(_))) if inputs[..] == [x, spread] => Gradient::Weight,
                Some(Kernel::Leaf(Leaf::ConvInput(_))) if inputs[..] == [spread, w] => Gradient::Input,
                _ => return None,
            };
            weights |= of == Gradient::Weight;
            changes.push((*user, Instead::Gradient(number, of, g)));
        }
        // The bias's gradient comes along with that of the weights.
        if weights && self.each(g) {
            let sums = self.users(masked).iter().filter(|user| {
                matches!(self.kernel(**user), Some(Kernel::Reduce(Combine::Sum, axes)) if axes[..] == [0, 1])
            });
            changes.extend(sums.map(|sum| (*sum, Instead::Gradient(number, Gradient::Bias, g))));
        }
        Some(changes)
    }
}

/// The padding after the image with which there are as many windows as there are; below 0 where more would fit.
fn high(window: &Window) -> [i64; 2] {
    [0, 1].map(|d| {
        let span = window.dilation[d] * (window.kernel[d] - 1) + 1;
        let needed = (window.output[d] - 1) * window.stride[d] + span;
        needed as i64 - window.input[d] as i64 - window.pad[d] as i64
    })
}
