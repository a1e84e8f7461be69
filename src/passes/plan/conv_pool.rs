//! Convolutions with pooled results: what a forward kernel leaves for its gradients, and weights in the forms
//! that kernels want, made once per step.

use super::kernels::Kernels;
use super::roots::Storage;
use crate::ir::kernel::{Conv, ConvPool, Gradient, Kernel, Leaf};
use crate::ir::plan::{Arena, BufferId, LeafCall, Routine, Work, WriteMode};
use crate::ir::{Level, NodeId};
use crate::kernels::{conv_pool, winograd};
use crate::ty::{Shape, Type};

/// What has been planned for convolutions so far.
#[derive(Default)]
pub struct Planned {
    /// Where the taps of the maxima stand, by operation and its inputs.
    taps: Vec<(ConvPool, [NodeId; 3], BufferId)>,
    /// Weights in another form, by routine and source.
    weights: Vec<(Routine, BufferId, BufferId)>,
    /// Gradients that another kernel has made along with its own.
    made: Vec<(NodeId, BufferId)>,
}

impl Planned {
    /// Where the value of a node stands that another kernel has made.
    pub fn made(&self, id: NodeId) -> Option<BufferId> {
        self.made.iter().find(|(node, _)| *node == id).map(|(_, buffer)| *buffer)
    }
}

impl Kernels<'_> {
    /// The call of a `conv_pool2d`.
    pub(super) fn conv_pool(&mut self, id: NodeId, spec: &ConvPool, winograd: bool, output: BufferId) {
        let inputs = self.first_inputs(id);
        self.forward(id, spec, winograd, inputs, output);
    }

    /// The call of a `winograd2d`.
    pub(super) fn winograd(&mut self, id: NodeId, conv: &Conv, turned: bool, output: BufferId) {
        let [x, w] = [0, 1].map(|i| self.lowered.inputs(id)[i]);
        let routine = Routine::WinogradWeights { conv: *conv, turned };
        let weights = self.prepared(id, routine, w, winograd::weights_elements(conv));
        let x = self.buffers.value(x).0;
        self.call(id, Routine::Winograd(*conv), vec![x, weights], vec![output], WriteMode::Overwrite);
    }

    /// The call of a gradient of a `conv_pool2d`.
    pub(super) fn conv_pool_gradient(
        &mut self,
        id: NodeId,
        (spec, of): (&ConvPool, Gradient),
        output: BufferId,
        mode: WriteMode,
    ) {
        match of {
            Gradient::Input => {
                let [x, w, bias] = self.first_inputs(id);
                let taps = self.taps(id, spec, [x, w, bias]);
                let g = self.buffers.value(self.lowered.inputs(id)[3]).0;
                let turned = conv_pool::input_weights_elements(spec);
                let turned = self.prepared(id, Routine::TurnedWeights(*spec), w, turned);
                let inputs = vec![g, taps, turned];
                self.call(id, Routine::ConvPoolInputGradient(*spec), inputs, vec![output], mode);
            }
            Gradient::Weight => {
                let mut outputs = vec![output];
                if let Some((partner, at)) = self.partner(id, (*spec, Gradient::Bias)) {
                    outputs.push(self.made_along(partner, at, mode));
                }
                self.weight_gradient(id, spec, outputs, mode);
            }
            Gradient::Bias => {
                let weights = match self.partner(id, (*spec, Gradient::Weight)) {
                    Some((partner, at)) => self.made_along(partner, at, mode),
                    None => {
                        let like = self.lowered.inputs(id)[1];
                        let ty = self.lowered.computation.graph[like].ty.clone();
                        let (level, arena) = match mode {
                            WriteMode::Slot => (Level::Once, Arena::Slots),
                            WriteMode::Overwrite => (self.level(id), Arena::Tile),
                        };
                        self.buffers.add(&ty, level, arena, format!("{id} unused"))
                    }
                };
                self.weight_gradient(id, spec, vec![weights, output], mode);
            }
        }
    }

    fn level(&self, id: NodeId) -> Level {
        self.lowered.computation.graph[id].level
    }

    fn first_inputs(&self, id: NodeId) -> [NodeId; 3] {
        let inputs = self.lowered.inputs(id);
        [inputs[0], inputs[1], inputs[2]]
    }

    fn call(
        &mut self,
        id: NodeId,
        routine: Routine,
        inputs: Vec<BufferId>,
        outputs: Vec<BufferId>,
        mode: WriteMode,
    ) {
        let (flops, dense) = (super::cost::routine(&routine, 0), super::cost::dense(&routine));
        let choice = super::choice::routine(&routine);
        // A gradient of weights and bias belongs to both their nodes.
        let along =
            self.conv.made.last().filter(|(_, buffer)| outputs.contains(buffer)).map(|(node, _)| *node);
        let nodes = [Some(id), along].into_iter().flatten().collect();
        self.push(Work::Leaf(LeafCall { routine, inputs, outputs, mode }), nodes, id, flops);
        if let Some(kernel) = self.kernels.last_mut() {
            (kernel.dense, kernel.choice) = (dense.unwrap_or(flops), choice);
        }
    }

    /// The forward kernel, which also writes the taps.
    fn forward(
        &mut self,
        id: NodeId,
        spec: &ConvPool,
        in_winograd: bool,
        inputs: [NodeId; 3],
        pooled: BufferId,
    ) {
        let [x, w, bias] = inputs;
        let weights = match in_winograd {
            true => {
                let elements = winograd::weights_elements(&spec.conv);
                self.prepared(id, Routine::WinogradWeights { conv: spec.conv, turned: false }, w, elements)
            }
            false => self.buffers.value(w).0,
        };
        let level = inputs.iter().map(|input| self.level(*input)).max().unwrap_or(Level::Once);
        let [rows, columns] = spec.pooled;
        // Four taps, of one byte each, to an element.
        let elements = (rows * columns * spec.conv.out_channels).div_ceil(4);
        let ty = Type::f32(Shape::of(&[elements]));
        let scope = &self.lowered.computation.graph[id].scope;
        let taps = self.buffers.add(&ty, level, Arena::Tile, format!("{id} {scope} taps of the maxima"));
        let read = [x, bias].map(|input| self.buffers.value(input).0);
        let routine = Routine::ConvPoolForward { spec: *spec, winograd: in_winograd };
        self.call(id, routine, vec![read[0], weights, read[1]], vec![pooled, taps], WriteMode::Overwrite);
        self.conv.taps.push((*spec, inputs, taps));
    }

    /// The taps that the forward kernel has left; if there is none, it is run for them.
    fn taps(&mut self, id: NodeId, spec: &ConvPool, inputs: [NodeId; 3]) -> BufferId {
        let known = self.conv.taps.iter().position(|(of, from, _)| of == spec && *from == inputs);
        if let Some(position) = known {
            return self.conv.taps[position].2;
        }
        let level = inputs.iter().map(|input| self.level(*input)).max().unwrap_or(Level::Once);
        let [rows, columns] = spec.pooled;
        let ty = Type::f32(Shape::of(&[rows, columns, spec.conv.out_channels]));
        let pooled = self.buffers.add(&ty, level, Arena::Tile, format!("{id} pooled"));
        self.forward(id, spec, false, inputs, pooled);
        self.taps(id, spec, inputs)
    }

    /// Weights in another form.
    fn prepared(&mut self, id: NodeId, routine: Routine, w: NodeId, elements: usize) -> BufferId {
        let from = self.buffers.value(w).0;
        let known = self.conv.weights.iter().position(|(of, source, _)| *of == routine && *source == from);
        if let Some(position) = known {
            return self.conv.weights[position].2;
        }
        let ty = Type::f32(Shape::of(&[elements]));
        let arena = match self.level(w) {
            Level::Once => Arena::Once,
            Level::Each => Arena::Tile,
        };
        let name = format!("{} in another form", self.buffers.all[from.0 as usize].name);
        let to = self.buffers.add(&ty, self.level(w), arena, name);
        self.call(id, routine.clone(), vec![from], vec![to], WriteMode::Overwrite);
        if let Some(kernel) = self.kernels.last_mut() {
            kernel.name = format!("weights for {}", kernel.name);
        }
        self.conv.weights.push((routine, from, to));
        to
    }

    fn weight_gradient(&mut self, id: NodeId, spec: &ConvPool, outputs: Vec<BufferId>, mode: WriteMode) {
        let inputs = self.first_inputs(id);
        let taps = self.taps(id, spec, inputs);
        let [x, g] = [inputs[0], self.lowered.inputs(id)[3]].map(|input| self.buffers.value(input).0);
        self.call(id, Routine::ConvPoolWeightGradient(*spec), vec![x, g, taps], outputs, mode);
    }

    /// The gradient of the other of weights and bias with the same inputs that has no kernel yet: its node,
    /// and the node whose value it makes.
    fn partner(&self, id: NodeId, (spec, of): (ConvPool, Gradient)) -> Option<(NodeId, NodeId)> {
        let inputs = self.lowered.inputs(id);
        let other = self.lowered.users[inputs[3].index()].iter().find(|user| {
            matches!(self.lowered.kernel(**user), Kernel::Leaf(leaf) if *leaf == Leaf::ConvPoolGradient(spec, of))
                && self.lowered.inputs(**user) == inputs
        })?;
        let storage = self.roots.of(*other);
        let at = match storage {
            Storage::Summed => self.lowered.users[other.index()][0],
            _ => *other,
        };
        (storage == self.roots.of(id) && self.conv.made(*other).is_none()).then_some((*other, at))
    }

    /// A place for a gradient that is made along with another one.
    fn made_along(&mut self, partner: NodeId, at: NodeId, mode: WriteMode) -> BufferId {
        let arena = match mode {
            WriteMode::Slot => Arena::Slots,
            WriteMode::Overwrite => Arena::Tile,
        };
        let buffer = self.result(at, arena);
        self.conv.made.push((partner, buffer));
        buffer
    }
}
