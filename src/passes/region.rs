//! Rows and columns of images that nothing reads are not computed, forwards and backwards.
//!
//! Windows that do not fill an image, strides that step over its last rows and slices leave a part of it unread.
//! What is read of each image is found from the results back: its first rows and columns, as many as some reader
//! needs. The way back has zeros there instead: the gradient of what was not read. So a sum over an image, and
//! a convolution's gradients, read only as far as the image is not known to be 0.
//!
//! Convolutions, pools, their gradients and elementwise functions are then made for that part alone. Windows
//! keep their places; where an image ends later than they need, its last rows are left out by negative padding,
//! so nothing is copied. What is made elsewhere (the data, repeated vectors) is read through a slice.
//!
//! The rule of cost: of the operations on images at least one in 64 goes away. Less is not worth the other
//! extents, to which rows of memory and vectors fit less well.

use std::collections::HashMap;

use super::{Pass, rewrite, simplify};
use crate::ir::kernel::{Combine, Conv, Kernel, Leaf, Scalar, Source, View, Window};
use crate::ir::{Builder, Computation, Graph, Node, NodeId};
use crate::ops::{self, Windows};

/// The pass.
pub static PASS: Pass = Pass {
    name: "region",
    help: "leaves out rows and columns of images that no window, slice or gradient reads",
    required: false,
    run,
};

/// Rows and columns, counted from the first.
type Part = [usize; 2];

/// The least share of the operations that must go away.
const LEAST: usize = 64;

fn run(computation: Computation) -> Computation {
    let computation = rewrite::drop_unneeded(computation);
    let facts = Facts::new(&computation);
    if !facts.pays() {
        return computation;
    }
    let Facts { kernels, support, part, .. } = facts;
    let mut slices: HashMap<(NodeId, Part), NodeId> = HashMap::new();
    // What the inputs of a node were called before they were renamed.
    let inputs: Vec<Vec<NodeId>> = computation.graph.iter().map(|(_, node)| node.inputs.clone()).collect();
    let mut at = 0;
    let next = rewrite::rebuild(computation, |b, node| {
        let (kernel, old, own) = (&kernels[at], &inputs[at], part[at]);
        let support = |input: usize| support[old[input].index()];
        at += 1;
        let made = match (kernel, own) {
            (Some(kernel), Some(own)) => smaller(b, &node, kernel, own, support, &mut slices),
            _ => None,
        };
        made.unwrap_or_else(|| rewrite::copy(b, node))
    });
    // Slices of what is repeated are repeated less often.
    (simplify::PASS.run)(rewrite::drop_unneeded(next))
}

/// What stands for a node of which only the first rows and columns are made; `None` if its inputs say it all.
fn smaller(
    b: &mut Builder,
    node: &Node,
    kernel: &Kernel,
    own: Part,
    support: impl Fn(usize) -> Part,
    slices: &mut HashMap<(NodeId, Part), NodeId>,
) -> Option<NodeId> {
    let first = *node.inputs.first()?;
    let second = node.inputs.get(1).copied().unwrap_or(first);
    let extent = |b: &Builder, id: NodeId| [b.shape(id)[0], b.shape(id)[1]];
    let mut cut = |b: &mut Builder, id: NodeId, to: Part| {
        if extent(b, id) == to {
            return id;
        }
        *slices.entry((id, to)).or_insert_with(|| {
            let shape = b.shape(id).clone();
            ops::slice(b, id, &[0; 3], &[to[0], to[1], shape[2]], &[1; 3])
        })
    };
    let Kernel::Leaf(leaf) = kernel else {
        return match kernel {
            Kernel::Map(_) => {
                let inputs: Vec<NodeId> = node.inputs.iter().map(|input| cut(b, *input, own)).collect();
                Some(b.add(node.op, &inputs, node.attrs.clone()))
            }
            Kernel::Pad { low, fill } => {
                let from = b.shape(first).clone();
                let to = [own[0], own[1], node.ty.shape[2]];
                let high: Vec<usize> = (0..3).map(|d| to[d] - low[d] - from[d]).collect();
                Some(ops::pad(b, first, low, &high, *fill))
            }
            // The same elements of an input that may be smaller.
            Kernel::View(view) => {
                let start: Vec<usize> = view.axes.iter().map(|axis| axis.base as usize).collect();
                let stride: Vec<usize> = view.axes.iter().map(|axis| axis.terms[0].1 as usize).collect();
                Some(ops::slice(b, first, &start, &node.ty.shape, &stride))
            }
            _ => None,
        };
    };
    Some(match leaf {
        Leaf::Conv(conv) => {
            let windows = fit(&conv.window, extent(b, first), own);
            ops::conv2d(b, first, second, &windows, conv.groups)
        }
        Leaf::ConvInput(conv) => {
            let windows = fit(&conv.window, own, extent(b, first));
            ops::conv2d_input_grad(b, first, second, &windows, conv.groups, own)
        }
        Leaf::ConvWeight(conv) => {
            let windows = fit(&conv.window, extent(b, first), extent(b, second));
            ops::conv2d_weight_grad(b, first, second, &windows, conv.groups, conv.window.kernel)
        }
        Leaf::MaxPool(window) => {
            let windows = fit(window, extent(b, first), own);
            ops::max_pool2d(b, first, window.kernel, &windows)
        }
        Leaf::SumPool(window) => {
            let windows = fit(window, extent(b, first), own);
            ops::sum_pool2d(b, first, window.kernel, &windows)
        }
        Leaf::MaxPoolInput(window) => {
            let g = cut(b, second, support(1));
            let windows = fit(window, extent(b, first), support(1));
            ops::max_pool2d_grad(b, first, g, window.kernel, &windows)
        }
        Leaf::SumPoolInput(window) => {
            let g = cut(b, first, support(0));
            let windows = fit(window, own, support(0));
            ops::sum_pool2d_grad(b, g, window.kernel, &windows, own)
        }
        _ => return None,
    })
}

/// The windows at the same places with which an input of these extents gives this many results.
fn fit(window: &Window, input: Part, output: Part) -> Windows {
    let high = [0, 1].map(|d| {
        let end = (output[d] - 1) * window.stride[d] + (window.kernel[d] - 1) * window.dilation[d] + 1;
        end as i64 - window.pad[d] as i64 - input[d] as i64
    });
    Windows { stride: window.stride, low: window.pad, high, dilation: window.dilation }
}

/// How far the first windows, as many as `output`, read into the input.
fn reach(window: &Window, output: Part) -> Part {
    [0, 1].map(|d| {
        let end = (output[d] - 1) * window.stride[d] + (window.kernel[d] - 1) * window.dilation[d] + 1;
        end.saturating_sub(window.pad[d]).clamp(1, window.input[d])
    })
}

/// What is known of the nodes of a graph.
struct Facts<'a> {
    graph: &'a Graph,
    kernels: Vec<Option<Kernel>>,
    /// Beyond these rows and columns an image is 0 for certain.
    support: Vec<Part>,
    /// How much of each image is made; `None` for a node that is made as it is.
    part: Vec<Option<Part>>,
}

impl<'a> Facts<'a> {
    fn new(computation: &'a Computation) -> Facts<'a> {
        let graph = &computation.graph;
        let kernels = graph.ids().map(|id| graph.kernel(id)).collect();
        let mut facts =
            Facts { graph, kernels, support: Vec::with_capacity(graph.len()), part: vec![None; graph.len()] };
        for id in graph.ids() {
            let support = facts.supported(id);
            facts.support.push(support);
        }
        facts.find_parts(computation);
        facts
    }

    fn image(&self, id: NodeId) -> Option<Part> {
        match self.graph[id].ty.shape[..] {
            [h, w, _] => Some([h, w]),
            _ => None,
        }
    }

    /// A number that a node is everywhere.
    fn constant(&self, id: NodeId) -> Option<f64> {
        match self.kernels[id.index()].as_ref()? {
            Kernel::Source(Source::Constant(value)) => Some(*value),
            Kernel::View(_) | Kernel::Reshape => self.constant(self.graph[id].inputs[0]),
            _ => None,
        }
    }

    /// Beyond which rows and columns a node is 0, from its inputs.
    fn supported(&self, id: NodeId) -> Part {
        let Some(full) = self.image(id) else { return [0; 2] };
        let inputs = &self.graph[id].inputs;
        let of = |input: usize| self.support[inputs[input].index()];
        let finite = |input: usize| self.constant(inputs[input]).is_some_and(f64::is_finite);
        let least = |a: Part, b: Part| [a[0].min(b[0]), a[1].min(b[1])];
        let part = match &self.kernels[id.index()] {
            Some(Kernel::Leaf(Leaf::MaxPoolInput(window))) => reach(window, of(1)),
            Some(Kernel::Leaf(Leaf::SumPoolInput(window) | Leaf::ConvInput(Conv { window, .. }))) => {
                reach(window, of(0))
            }
            Some(Kernel::Pad { low, fill: 0.0 }) => [low[0] + of(0)[0], low[1] + of(0)[1]],
            Some(Kernel::Map(Scalar::Neg)) => of(0),
            Some(Kernel::Map(Scalar::Add | Scalar::Sub)) => larger(of(0), of(1)),
            // Zero times a number that may be infinite is not zero for certain.
            Some(Kernel::Map(Scalar::Mul)) if finite(0) => of(1),
            Some(Kernel::Map(Scalar::Mul)) if finite(1) => of(0),
            Some(Kernel::Map(Scalar::Select)) if self.constant(inputs[2]) == Some(0.0) => of(1),
            _ => full,
        };
        least(part, full)
    }

    /// From the results back: how much of each image its readers need.
    fn find_parts(&mut self, computation: &Computation) {
        let mut needed = vec![false; self.graph.len()];
        let mut demand: Vec<Part> = vec![[0; 2]; self.graph.len()];
        for root in computation.roots() {
            needed[root.index()] = true;
            demand[root.index()] = self.image(root).unwrap_or_default();
        }
        for id in self.graph.ids().rev() {
            if !needed[id.index()] {
                continue;
            }
            let own = self.own(id, demand[id.index()]);
            self.part[id.index()] = own;
            for (i, input) in self.graph[id].inputs.iter().enumerate() {
                needed[input.index()] = true;
                let Some(full) = self.image(*input) else { continue };
                let read = self.read(id, own, i).unwrap_or(full);
                demand[input.index()] = larger(demand[input.index()], read);
            }
        }
    }

    /// How much of itself a node makes, if that is its own affair: the first rows and columns that are read.
    fn own(&self, id: NodeId, demand: Part) -> Option<Part> {
        let inputs = &self.graph[id].inputs;
        let of = |input: usize| self.support[inputs[input].index()];
        let least = match self.kernels[id.index()].as_ref()? {
            Kernel::Map(_) | Kernel::Leaf(Leaf::Conv(_) | Leaf::MaxPool(_) | Leaf::SumPool(_)) => [1, 1],
            Kernel::Leaf(Leaf::MaxPoolInput(window)) => reach(window, of(1)),
            Kernel::Leaf(Leaf::SumPoolInput(window) | Leaf::ConvInput(Conv { window, .. })) => {
                reach(window, of(0))
            }
            Kernel::Pad { low, .. } => {
                let from = self.image(inputs[0])?;
                [low[0] + from[0], low[1] + from[1]]
            }
            // Not images themselves, but readers of a part of them.
            Kernel::Leaf(Leaf::ConvWeight(_)) => return Some([0; 2]),
            Kernel::View(view) if is_slice(view, self.graph[id].ty.shape.rank()) => {
                return self.image(inputs[0]).map(|_| [0; 2]);
            }
            _ => return None,
        };
        self.image(id)?;
        Some(larger(demand, least))
    }

    /// How much of an input a node reads; `None` for all of it.
    fn read(&self, id: NodeId, own: Option<Part>, input: usize) -> Option<Part> {
        let inputs = &self.graph[id].inputs;
        let of = |input: usize| self.support[inputs[input].index()];
        match self.kernels[id.index()].as_ref()? {
            Kernel::Map(_) => own,
            Kernel::Leaf(Leaf::Conv(Conv { window, .. }) | Leaf::MaxPool(window) | Leaf::SumPool(window)) => {
                Some(reach(window, own?))
            }
            Kernel::Leaf(Leaf::MaxPoolInput(_)) => {
                if input == 0 {
                    own
                } else {
                    Some(of(1))
                }
            }
            Kernel::Leaf(Leaf::SumPoolInput(_) | Leaf::ConvInput(_)) => Some(of(0)),
            Kernel::Leaf(Leaf::ConvWeight(Conv { window, .. })) => {
                Some(if input == 0 { reach(window, of(1)) } else { of(1) })
            }
            Kernel::Reduce(Combine::Sum, axes) if axes.starts_with(&[0, 1]) => Some(of(0)),
            Kernel::View(view) => {
                own?;
                let to = &self.graph[id].ty.shape;
                Some(
                    [0, 1].map(|d| {
                        view.axes[d].base as usize + (to[d] - 1) * view.axes[d].terms[0].1 as usize + 1
                    }),
                )
            }
            _ => None,
        }
    }

    /// Whether enough operations go away.
    fn pays(&self) -> bool {
        let (mut all, mut left) = (0, 0);
        for id in self.graph.ids() {
            let (Some(own), Some(kernel)) = (self.part[id.index()], &self.kernels[id.index()]) else {
                continue;
            };
            let shape = &self.graph[id].ty.shape;
            let inputs = &self.graph[id].inputs;
            let of = |input: usize| self.support[inputs[input].index()];
            // Places, those that are left, and the operations at each.
            let (from, to, each) = match kernel {
                Kernel::Leaf(Leaf::Conv(conv)) => (conv.window.output, own, 2 * conv.weight_elements()),
                Kernel::Leaf(Leaf::ConvInput(conv)) => {
                    (conv.window.output, of(0), 2 * conv.weight_elements())
                }
                Kernel::Leaf(Leaf::ConvWeight(conv)) => {
                    (conv.window.output, of(1), 2 * conv.weight_elements())
                }
                _ => match shape[..] {
                    [h, w, channels] if own != [0; 2] => ([h, w], own, channels),
                    _ => continue,
                },
            };
            all += from[0] * from[1] * each;
            left += to[0] * to[1] * each;
        }
        (all - left) * LEAST >= all && all > left
    }
}

fn larger(a: Part, b: Part) -> Part {
    [a[0].max(b[0]), a[1].max(b[1])]
}

/// Whether a view keeps the axes in their order and takes elements at equal distances.
fn is_slice(view: &View, rank: usize) -> bool {
    let axis = |(d, axis): (usize, &crate::ir::kernel::ViewAxis)| {
        axis.base >= 0 && matches!(axis.terms[..], [(of, factor)] if of == d && factor > 0)
    };
    view.axes.len() == rank && view.axes.iter().enumerate().all(axis)
}
