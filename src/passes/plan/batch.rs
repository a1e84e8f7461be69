//! Kernels over the examples of a batch: their sum, and all of them side by side.

use super::gemm::Sum;
use super::index::{Affine, IndexMap};
use super::kernels::{Kernels, ordered};
use super::nest::reduced_map;
use super::roots::Storage;
use crate::ir::NodeId;
use crate::ir::kernel::{Combine, Kernel};
use crate::ir::plan::{Arena, BufferId, Extent, WriteMode};

impl Kernels<'_> {
    /// A sum over the batch: into the slots, by the kernel that makes the summed value where it can add.
    pub(super) fn batch_sum(&mut self, id: NodeId) {
        let input = self.lowered.inputs(id)[0];
        let summed = self.roots.of(input) == Storage::Summed;
        if let Kernel::Contract(spec) = self.lowered.kernel(input)
            && summed
            && self.whole[input.index()]
        {
            let buffer = self.result(id, Arena::Once);
            self.contract(input, spec, buffer, Sum::Batch);
            return self.buffers.bind(id, buffer, false);
        }
        let made = self.conv.made(input);
        let slots = made.unwrap_or_else(|| self.result(id, Arena::Slots));
        match self.lowered.kernel(input) {
            _ if made.is_some() => {}
            Kernel::Contract(spec) if summed => self.contract(input, spec, slots, Sum::Tile),
            Kernel::Leaf(leaf) if summed => self.leaf(input, leaf, slots, WriteMode::Slot),
            _ => self.sum_examples(id, input, slots, summed),
        }
        if self.roots.slots_read_directly[id.index()] {
            self.buffers.bind(id, slots, true);
            return;
        }
        // One kernel adds the slots for all readers.
        self.buffers.bind(id, slots, true);
        let buffer = self.result(id, Arena::Once);
        let (dims, examples, map) = self.loops(id);
        let access = self.own_access(buffer, self.lowered.shape(id), &map, examples);
        let mut nest = self.builder(dims, examples);
        let value = nest.compute(id, &map, true);
        let nest = nest.finish(vec![(value, access, WriteMode::Overwrite)]);
        self.nest(id, nest, vec![id]);
        self.buffers.bind(id, buffer, false);
    }

    fn sum_examples(&mut self, id: NodeId, input: NodeId, slots: BufferId, summed: bool) {
        let (dims, _, map) = self.loops(id);
        let access = self.own_access(slots, self.lowered.shape(id), &map, None);
        let rank = dims.len();
        let mut nest = self.builder(dims, None);
        nest.reduce_over(Extent::Examples(1), true);
        let value = match self.lowered.kernel(input) {
            Kernel::Reduce(_, axes) if summed => {
                let inner = self.lowered.inputs(input)[0];
                let shape = self.lowered.shape(inner);
                for axis in axes {
                    nest.reduce_over(Extent::Const(shape[*axis]), false);
                }
                nest.nodes.push(input);
                nest.pull(inner, &reduced_map(shape.len(), axes, 0, rank + 1), false)
            }
            _ => nest.pull(input, &map, false),
        };
        let value = nest.reduced(Combine::Sum, value);
        let nodes = ordered(&nest.nodes, id);
        let nest = nest.finish(vec![(value, access, WriteMode::Slot)]);
        self.nest(id, nest, nodes);
    }

    /// `Batch` and `Example`: a copy, in a once-phase, of the values of all examples. A batch of another size is
    /// not planned.
    pub(super) fn all_examples(&mut self, id: NodeId) {
        let input = self.lowered.inputs(id)[0];
        let rows = if self.lowered.each(id) { input } else { id };
        let shape = self.lowered.shape(rows);
        let dims: Vec<Extent> = shape.iter().map(|n| Extent::Const(*n)).collect();
        let whole: IndexMap = (0..dims.len()).map(Affine::dim).collect();
        let [from, to] = [input, id].map(|node| if self.lowered.each(node) { &whole[1..] } else { &whole });
        let buffer = self.result(id, if self.lowered.each(id) { Arena::Batch } else { Arena::Once });
        let examples = self.lowered.each(id).then_some(0);
        let access = self.own_access(buffer, self.lowered.shape(id), to, examples);
        let mut nest = self.builder(dims, Some(0));
        let value = nest.pull(input, from, false);
        let nodes = ordered(&nest.nodes, id);
        let nest = nest.finish(vec![(value, access, WriteMode::Overwrite)]);
        self.nest(id, nest, nodes);
        self.buffers.bind(id, buffer, false);
    }
}
