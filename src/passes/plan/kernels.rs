//! The kernels of a step, in the order of the nodes whose values they store.

use std::collections::HashMap;

use super::PlanOptions;
use super::buffers::Buffers;
use super::conv_pool::Planned;
use super::gemm::{Operand, Sum, dealt_out, gemm};
use super::index::{Affine, IndexMap, linear, through_view};
use super::lowered::Lowered;
use super::nest::{NestBuilder, Place, reduced_map};
use super::roots::{Roots, Storage};
use crate::base::Span;
use crate::ir::computation::VariableId;
use crate::ir::kernel::{Combine, Contraction, Kernel, Leaf, Scalar, Source};
use crate::ir::plan::{
    Access, Arena, BufferId, Extent, Gemm, HostScalar, LeafCall, Nest, PlannedKernel, Routine, Work,
    WriteMode,
};
use crate::ir::{Level, NodeId};
use crate::ty::Type;

/// All kernels and buffers of a step, before they have an order of phases or places in memory.
pub struct Kernels<'a> {
    pub(super) lowered: &'a Lowered<'a>,
    pub(super) roots: &'a Roots,
    /// Most examples in a batch.
    batch: usize,
    /// For each node whether it is a product over the whole batch.
    pub(super) whole: Vec<bool>,
    /// Values that may be mostly zeros.
    zeros: Vec<bool>,
    /// Whether kernels are fused.
    pub(super) fuse: bool,
    /// In the body of a loop: where its arguments stand.
    given: Vec<Option<BufferId>>,
    /// Values whose place is known before they are planned.
    placed: HashMap<NodeId, BufferId>,
    /// Forms of convolutions that several kernels share.
    pub(super) conv: Planned,
    /// The buffers.
    pub buffers: Buffers,
    /// The kernels; each reads only what stands before the step or earlier kernels write.
    pub kernels: Vec<PlannedKernel>,
    /// Input regions.
    pub inputs: Vec<(BufferId, usize)>,
    /// Variables.
    pub variables: Vec<(VariableId, BufferId)>,
    known: HashMap<VariableId, BufferId>,
    /// Numbers that the executor provides.
    pub scalars: Vec<(BufferId, HostScalar)>,
}

/// Makes a kernel for every stored node.
pub fn build<'a>(lowered: &'a Lowered<'a>, roots: &'a Roots, options: &PlanOptions) -> Kernels<'a> {
    let graph = &lowered.computation.graph;
    let mut plan = Kernels {
        lowered,
        roots,
        batch: options.batch,
        fuse: options.fuse,
        given: Vec::new(),
        placed: HashMap::new(),
        whole: super::whole::decide(lowered, roots, options.batch),
        zeros: super::zeros::likely(lowered),
        conv: Planned::default(),
        buffers: Buffers::new(graph.len()),
        kernels: Vec::new(),
        inputs: Vec::new(),
        variables: Vec::new(),
        known: HashMap::new(),
        scalars: Vec::new(),
    };
    plan.run();
    plan
}

impl<'a> Kernels<'a> {
    /// The planner of a loop's body, which goes on with the buffers of what is around it.
    pub(super) fn inside(
        outer: &mut Kernels,
        lowered: &'a Lowered<'a>,
        roots: &'a Roots,
        given: Vec<Option<BufferId>>,
        placed: HashMap<NodeId, BufferId>,
    ) -> Kernels<'a> {
        let mut buffers = Buffers::new(lowered.computation.graph.len());
        buffers.all = std::mem::take(&mut outer.buffers.all);
        Kernels {
            lowered,
            roots,
            batch: outer.batch,
            fuse: outer.fuse,
            given,
            placed,
            whole: vec![false; lowered.computation.graph.len()],
            zeros: super::zeros::likely(lowered),
            conv: Planned::default(),
            buffers,
            kernels: Vec::new(),
            inputs: std::mem::take(&mut outer.inputs),
            variables: std::mem::take(&mut outer.variables),
            known: std::mem::take(&mut outer.known),
            scalars: std::mem::take(&mut outer.scalars),
        }
    }

    /// Hands the buffers back.
    pub(super) fn give_back(self, outer: &mut Kernels) {
        outer.buffers.all = self.buffers.all;
        outer.inputs = self.inputs;
        outer.variables = self.variables;
        outer.known = self.known;
        outer.scalars = self.scalars;
    }

    /// Makes all kernels.
    pub(super) fn run(&mut self) {
        for id in self.lowered.computation.graph.ids() {
            match self.roots.of(id) {
                Storage::Unused | Storage::Virtual | Storage::Absorbed | Storage::Summed => {}
                Storage::Source => self.source(id),
                Storage::Alias => {
                    let (buffer, sum_slots) = self.buffers.value(self.lowered.inputs(id)[0]);
                    self.buffers.bind(id, buffer, sum_slots);
                }
                Storage::Stored => self.stored(id),
            }
        }
    }

    fn source(&mut self, id: NodeId) {
        let Kernel::Source(source) = self.lowered.kernel(id) else { return };
        let ty = &self.lowered.computation.graph[id].ty;
        let buffer = match source {
            Source::Constant(_) => return,
            Source::Input(index) => match self.inputs.iter().find(|(_, i)| i == index) {
                Some((buffer, _)) => *buffer,
                None => {
                    let buffer = self.buffers.add(ty, Level::Each, Arena::Inputs, format!("input {index}"));
                    self.inputs.push((buffer, *index));
                    buffer
                }
            },
            Source::Argument(index) => match self.given.get(*index).copied().flatten() {
                Some(buffer) => buffer,
                None => panic!("{id} is argument {index} of no loop"),
            },
            Source::Variable(variable) => self.variable(*variable, ty),
            Source::Step => self.scalar(id, HostScalar::Step),
            Source::BatchSize => self.scalar(id, HostScalar::BatchSize),
        };
        self.buffers.bind(id, buffer, false);
    }

    /// The buffer of a variable.
    pub fn variable(&mut self, variable: VariableId, ty: &Type) -> BufferId {
        let (buffers, all) = (&mut self.buffers, &mut self.variables);
        *self.known.entry(variable).or_insert_with(|| {
            let buffer = buffers.add(ty, Level::Once, Arena::Variables, format!("variable {}", variable.0));
            all.push((variable, buffer));
            buffer
        })
    }

    fn scalar(&mut self, id: NodeId, scalar: HostScalar) -> BufferId {
        if let Some((buffer, _)) = self.scalars.iter().find(|(_, s)| *s == scalar) {
            return *buffer;
        }
        let ty = &self.lowered.computation.graph[id].ty;
        let buffer = self.buffers.add(ty, Level::Once, Arena::Once, format!("{scalar:?}").to_lowercase());
        self.scalars.push((buffer, scalar));
        buffer
    }

    /// A new buffer for the value of a node.
    pub(super) fn result(&mut self, id: NodeId, arena: Arena) -> BufferId {
        if let Some(placed) = self.placed.get(&id) {
            return *placed;
        }
        let node = &self.lowered.computation.graph[id];
        let name = if node.scope.is_empty() {
            format!("{id} {}", node.op.name)
        } else {
            format!("{id} {} {}", node.scope, node.op.name)
        };
        self.buffers.add(&node.ty, node.level, arena, name)
    }

    pub(super) fn push(&mut self, work: Work, nodes: Vec<NodeId>, root: NodeId, flops: u64) {
        let graph = &self.lowered.computation.graph;
        let mut ops: Vec<&str> = Vec::new();
        for id in &nodes {
            let name = graph[*id].op.name;
            if !ops.contains(&name) && !matches!(name, "broadcast" | "reshape" | "constant") {
                ops.push(name);
            }
        }
        let mut name = ops.iter().take(6).copied().collect::<Vec<_>>().join(" ");
        if ops.len() > 6 {
            name.push_str(" ..");
        }
        // What passes append for themselves has no place in the text.
        let spans = [root].into_iter().chain(nodes.iter().rev().copied()).map(|id| graph[id].span);
        let span = spans.clone().find(|span| *span != Span::NONE).unwrap_or(Span::NONE);
        let choice = String::new();
        self.kernels.push(PlannedKernel { work, nodes, span, name, flops, dense: flops, choice });
    }

    /// The output loops of a stored node: over the examples, then its axes.
    pub(super) fn loops(&self, id: NodeId) -> (Vec<Extent>, Option<usize>, IndexMap) {
        let each = self.lowered.each(id);
        let mut dims: Vec<Extent> = Vec::new();
        if each {
            dims.push(Extent::Examples(1));
        }
        let lead = dims.len();
        dims.extend(self.lowered.shape(id).iter().map(|e| Extent::Const(*e)));
        let map = (lead..dims.len()).map(Affine::dim).collect();
        (dims, each.then_some(0), map)
    }

    /// The place of a stored value in its own loops; `examples` is the loop over examples, if it has one.
    pub(super) fn own_access(
        &self,
        buffer: BufferId,
        shape: &[usize],
        map: &[Affine],
        examples: Option<usize>,
    ) -> Access {
        let position = linear(shape, map);
        let rank =
            position.terms.iter().map(|(d, _)| d + 1).chain(examples.map(|e| e + 1)).max().unwrap_or(0);
        let mut strides = vec![0; rank];
        for (dim, factor) in position.terms {
            strides[dim] += factor;
        }
        if let Some(dim) = examples {
            strides[dim] += self.buffers.example_stride(buffer);
        }
        Access { buffer, offset: position.base, strides }
    }

    fn stored(&mut self, id: NodeId) {
        let lowered = self.lowered;
        let inputs = lowered.inputs(id);
        match lowered.kernel(id) {
            Kernel::Map(_) | Kernel::View(_) | Kernel::Iota(_) | Kernel::Source(_) | Kernel::Reshape => {
                self.map(id)
            }
            Kernel::Reduce(combine, axes) => self.reduce(id, *combine, axes),
            Kernel::BatchSum => self.batch_sum(id),
            Kernel::Batch | Kernel::Example => self.all_examples(id),
            Kernel::Contract(spec) => {
                let buffer = self.result(id, Arena::Tile);
                self.contract(id, spec, buffer, Sum::None);
                self.buffers.bind(id, buffer, false);
            }
            Kernel::Leaf(leaf) => {
                let buffer = match self.conv.made(id) {
                    Some(buffer) => buffer,
                    None => {
                        let buffer = self.result(id, Arena::Tile);
                        self.leaf(id, leaf, buffer, WriteMode::Overwrite);
                        buffer
                    }
                };
                self.buffers.bind(id, buffer, false);
            }
            Kernel::Scan(scan) => self.scan(id, scan),
            Kernel::Pad { low, fill } => {
                let buffer = self.result(id, Arena::Tile);
                self.fill(id, buffer, *fill as f32);
                self.copy_into(id, inputs[0], buffer, low);
                self.buffers.bind(id, buffer, false);
            }
            Kernel::Concat(axis) => {
                let buffer = self.result(id, Arena::Tile);
                let mut low = vec![0; lowered.shape(id).len()];
                for input in inputs {
                    self.copy_into(id, *input, buffer, &low);
                    low[*axis] += lowered.shape(*input)[*axis];
                }
                self.buffers.bind(id, buffer, false);
            }
        }
    }

    pub(super) fn nest(&mut self, id: NodeId, nest: Nest, nodes: Vec<NodeId>) {
        let flops = super::cost::nest(&nest);
        self.push(Work::Nest(nest), nodes, id, flops);
    }

    pub(super) fn builder(&self, dims: Vec<Extent>, examples: Option<usize>) -> NestBuilder<'_> {
        NestBuilder::new(self.lowered, self.roots, &self.buffers, dims, examples)
    }

    /// A value computed element by element, with the reductions that it absorbs.
    fn map(&mut self, id: NodeId) {
        let buffer = self.result(id, Arena::Tile);
        let (dims, examples, map) = self.loops(id);
        let access = self.own_access(buffer, self.lowered.shape(id), &map, examples);
        let mut nest = self.builder(dims, examples);
        let value = match self.lowered.constant(id) {
            Some(value) => nest.number(value as f32),
            None => nest.compute(id, &map, true),
        };
        let nodes = ordered(&nest.nodes, id);
        let nest = nest.finish(vec![(value, access, WriteMode::Overwrite)]);
        self.nest(id, nest, nodes);
        self.buffers.bind(id, buffer, false);
    }

    fn reduce(&mut self, id: NodeId, combine: Combine, axes: &[usize]) {
        let buffer = self.result(id, Arena::Tile);
        let (dims, examples, map) = self.loops(id);
        let access = self.own_access(buffer, self.lowered.shape(id), &map, examples);
        let input = self.lowered.inputs(id)[0];
        let shape = self.lowered.shape(input);
        let (lead, first) = (usize::from(examples.is_some()), dims.len());
        let mut nest = self.builder(dims, examples);
        for axis in axes {
            nest.reduce_over(Extent::Const(shape[*axis]), false);
        }
        let value = nest.pull(input, &reduced_map(shape.len(), axes, lead, first), false);
        let value = nest.reduced(combine, value);
        let nodes = ordered(&nest.nodes, id);
        let nest = nest.finish(vec![(value, access, WriteMode::Overwrite)]);
        self.nest(id, nest, nodes);
        self.buffers.bind(id, buffer, false);
    }

    pub(super) fn leaf(&mut self, id: NodeId, leaf: &Leaf, output: BufferId, mode: WriteMode) {
        if let Leaf::ConvPool { spec, winograd } = leaf {
            return self.conv_pool(id, spec, *winograd, output);
        }
        if let Leaf::ConvPoolGradient(spec, of) = leaf {
            return self.conv_pool_gradient(id, (spec, *of), output, mode);
        }
        if let Leaf::Winograd { conv, turned } = leaf {
            return self.winograd(id, conv, *turned, output);
        }
        let inputs = self.lowered.inputs(id).iter().map(|input| self.buffers.value(*input).0).collect();
        let routine = Routine::Leaf(leaf.clone());
        let flops = super::cost::routine(&routine, self.lowered.computation.graph[id].ty.shape.elements());
        let call = LeafCall { routine, inputs, outputs: vec![output], mode };
        self.push(Work::Leaf(call), vec![id], id, flops);
    }

    fn fill(&mut self, id: NodeId, buffer: BufferId, value: f32) {
        let (dims, examples, map) = self.loops(id);
        let access = self.own_access(buffer, self.lowered.shape(id), &map, examples);
        let mut nest = self.builder(dims, examples);
        let value = nest.number(value);
        let nest = nest.finish(vec![(value, access, WriteMode::Overwrite)]);
        self.nest(id, nest, vec![id]);
    }

    /// Writes `part` into the buffer of `id`, `low` elements from its start along each axis.
    fn copy_into(&mut self, id: NodeId, part: NodeId, buffer: BufferId, low: &[usize]) {
        let examples = self.lowered.each(id).then_some(0);
        let lead = usize::from(examples.is_some());
        let shape = self.lowered.shape(part);
        let mut dims: Vec<Extent> = examples.map(|_| Extent::Examples(1)).into_iter().collect();
        dims.extend(shape.iter().map(|e| Extent::Const(*e)));
        let map: IndexMap = (lead..dims.len()).map(Affine::dim).collect();
        let target: IndexMap = (lead..dims.len())
            .zip(low)
            .map(|(dim, low)| Affine { base: *low as i64, terms: vec![(dim, 1)] })
            .collect();
        let access = self.own_access(buffer, self.lowered.shape(id), &target, examples);
        let mut nest = self.builder(dims, examples);
        let value = nest.pull(part, &map, false);
        let nodes = ordered(&nest.nodes, id);
        let nest = nest.finish(vec![(value, access, WriteMode::Overwrite)]);
        self.nest(id, nest, nodes);
    }

    /// An operand of a contraction, read through the views on the way to what stands in memory.
    fn operand(&self, id: NodeId) -> Operand {
        let (rank, zeros) = (self.lowered.shape(id).len(), self.zeros[id.index()]);
        let mut map: IndexMap = (0..rank).map(Affine::dim).collect();
        let mut id = id;
        while let (Kernel::View(view), Storage::Virtual) = (self.lowered.kernel(id), self.roots.of(id)) {
            map = through_view(view, &map);
            id = self.lowered.inputs(id)[0];
        }
        let (buffer, _) = self.buffers.value(id);
        let position = linear(self.lowered.shape(id), &map);
        let mut strides = vec![0; rank];
        for (dim, factor) in position.terms {
            strides[dim] += factor;
        }
        let example = if self.lowered.each(id) { self.buffers.example_stride(buffer) } else { 0 };
        Operand { buffer, offset: position.base, strides, example, zeros }
    }

    /// The product `id`, into `buffer`, added over the examples as `sum` says.
    pub(super) fn contract(&mut self, id: NodeId, spec: &Contraction, buffer: BufferId, sum: Sum) {
        let [left, right] = [0, 1].map(|i| self.lowered.inputs(id)[i]);
        let mut extents: Vec<(u8, usize)> = Vec::new();
        for (labels, node) in [(&spec.a, left), (&spec.b, right)] {
            for (label, extent) in labels.iter().zip(self.lowered.shape(node)) {
                if !extents.iter().any(|(l, _)| l == label) {
                    extents.push((*label, *extent));
                }
            }
        }
        let (a, b) = (self.operand(left), self.operand(right));
        let strides = crate::ty::Shape::of(self.lowered.shape(id)).strides();
        let c = Operand {
            buffer,
            offset: 0,
            strides: strides.iter().map(|s| *s as i64).collect(),
            example: if sum == Sum::None { self.buffers.example_stride(buffer) } else { 0 },
            zeros: false,
        };
        let each = self.lowered.each(id);
        let flops = 2 * extents.iter().map(|(_, e)| *e as u64).product::<u64>();
        let times = if self.whole[id.index()] { self.batch as u64 } else { 1 };
        match gemm(spec, &extents, [&a, &b, &c], each, sum) {
            Some(gemm) => {
                let cut = self.whole[id.index()].then(|| dealt_out(&gemm));
                let gemm = Gemm { cut, ..gemm };
                self.push(Work::Gemm(gemm), vec![id], id, flops * times)
            }
            None => self.contract_by_loops(id, spec, &extents, buffer, sum != Sum::None),
        }
    }

    fn contract_by_loops(
        &mut self,
        id: NodeId,
        spec: &Contraction,
        extents: &[(u8, usize)],
        buffer: BufferId,
        sum: bool,
    ) {
        let each = self.lowered.each(id);
        let examples = (each && !sum).then_some(0);
        let mut dims: Vec<Extent> = examples.map(|_| Extent::Examples(1)).into_iter().collect();
        let mut loop_of: Vec<(u8, usize)> = Vec::new();
        for label in &spec.out {
            loop_of.push((*label, dims.len()));
            dims.extend(extents.iter().find(|(l, _)| l == label).map(|(_, e)| Extent::Const(*e)));
        }
        let out_map: IndexMap = loop_of.iter().map(|(_, dim)| Affine::dim(*dim)).collect();
        let access = self.own_access(buffer, self.lowered.shape(id), &out_map, examples);
        let mut next = dims.len();
        let mut nest = self.builder(dims, examples);
        if sum {
            next = nest.reduce_over(Extent::Examples(1), true) + 1;
        }
        for (label, extent) in extents.iter().filter(|(l, _)| !spec.out.contains(l)) {
            nest.reduce_over(Extent::Const(*extent), false);
            loop_of.push((*label, next));
            next += 1;
        }
        let map = |labels: &[u8]| -> IndexMap {
            labels
                .iter()
                .map(|label| {
                    loop_of
                        .iter()
                        .find(|(l, _)| l == label)
                        .map_or(Affine::default(), |(_, dim)| Affine::dim(*dim))
                })
                .collect()
        };
        let left = nest.pull(self.lowered.inputs(id)[0], &map(&spec.a), false);
        let right = nest.pull(self.lowered.inputs(id)[1], &map(&spec.b), false);
        let product = nest.apply(Scalar::Mul, vec![left, right]);
        let reduces =
            sum || next > loop_of.iter().filter(|(l, _)| spec.out.contains(l)).count() + usize::from(each);
        let value: Place = if reduces { nest.reduced(Combine::Sum, product) } else { product };
        let nodes = ordered(&nest.nodes, id);
        let mode = if sum { WriteMode::Slot } else { WriteMode::Overwrite };
        let nest = nest.finish(vec![(value, access, mode)]);
        self.nest(id, nest, nodes);
    }
}

/// The nodes of a kernel in the order of the graph, the stored one last.
pub(super) fn ordered(nodes: &[NodeId], root: NodeId) -> Vec<NodeId> {
    let mut nodes: Vec<NodeId> = nodes.iter().copied().filter(|id| *id != root).collect();
    nodes.sort();
    nodes.push(root);
    nodes
}
