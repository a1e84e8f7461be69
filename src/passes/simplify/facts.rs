//! What is known of each node: its kernel kind, and its value where all elements are one known number.

use super::folding;
use crate::ir::kernel::{Kernel, Source, View};
use crate::ir::{Graph, NodeId};

/// One entry per node.
#[derive(Default)]
pub struct Facts {
    kernels: Vec<Option<Kernel>>,
    known: Vec<Option<f64>>,
    /// How many sums over the batch follow each other before it is there.
    sums: Vec<usize>,
}

impl Facts {
    /// Takes note of nodes that were appended.
    pub fn learn(&mut self, graph: &Graph) {
        for at in self.kernels.len()..graph.len() {
            let id = NodeId(at as u32);
            let kernel = graph.kernel(id);
            let input = || graph[id].inputs.first().and_then(|input| self.known[input.index()]);
            let known = match &kernel {
                Some(Kernel::Source(Source::Constant(value))) => Some(*value),
                Some(Kernel::View(_) | Kernel::Reshape) => input(),
                Some(Kernel::Map(_)) => {
                    let inputs: Option<Vec<f64>> =
                        graph[id].inputs.iter().map(|input| self.known[input.index()]).collect();
                    inputs.and_then(|inputs| folding::value(&graph[id], &inputs))
                }
                _ => None,
            };
            let before = graph[id].inputs.iter().map(|input| self.sums[input.index()]).max();
            let own = usize::from(kernel == Some(Kernel::BatchSum));
            self.sums.push(before.unwrap_or(0) + own);
            self.kernels.push(kernel);
            self.known.push(known);
        }
    }

    /// The kernel kind of a node.
    pub fn kernel(&self, id: NodeId) -> Option<&Kernel> {
        self.kernels[id.index()].as_ref()
    }

    /// The view that a node is, if it is one.
    pub fn view(&self, id: NodeId) -> Option<&View> {
        match self.kernel(id) {
            Some(Kernel::View(view)) => Some(view),
            _ => None,
        }
    }

    /// How many sums over the batch, one after the other, a value needs.
    pub fn sums_before(&self, id: NodeId) -> usize {
        self.sums[id.index()]
    }

    /// The number that all elements of a node are, if it is known.
    pub fn known(&self, id: NodeId) -> Option<f64> {
        self.known[id.index()]
    }
}
