//! Calls of hand-written kernels: from a planned call to addresses, one example after the other or all of a
//! tile at once.

use super::kernel::{Facts, Scratch, elements};
use super::places::{Frame, Place};
use crate::ir::Level;
use crate::ir::kernel::{Distribution, Leaf};
use crate::ir::plan::{Buffer, BufferId, LeafCall, Routine, WriteMode};
use crate::kernels::conv::{self, Batch, Epilogue};
use crate::kernels::isa::Isa;
use crate::kernels::lumps::Over;
use crate::kernels::random::Generator;
use crate::kernels::{conv_pool, pool, rows, winograd, winograd_plain, winograd_weights};

/// A planned call with its places.
pub struct LeafWork {
    routine: Routine,
    inputs: Vec<Operand>,
    outputs: Vec<Operand>,
    /// There is one call per example.
    each: bool,
    slot: bool,
}

/// How many inputs and outputs (at least and at most) a routine has.
fn arity(routine: &Routine) -> (usize, [usize; 2]) {
    match routine {
        Routine::Leaf(leaf) => (
            match leaf {
                Leaf::Conv(_) | Leaf::ConvInput(_) | Leaf::ConvWeight(_) => 2,
                Leaf::Winograd { .. } | Leaf::WinogradWeight(_) => 2,
                Leaf::MaxPool(_) | Leaf::SumPool(_) | Leaf::SumPoolInput(_) | Leaf::ArgMax { .. } => 1,
                Leaf::ArgSort { .. } | Leaf::CumSum { .. } => 1,
                Leaf::MaxPoolInput(_) | Leaf::MaxPoolPick(_) => 2,
                Leaf::Gather { .. } | Leaf::ScatterAdd { .. } => 2,
                Leaf::Random { .. } => 0,
                Leaf::ConvPool { .. } => 3,
                Leaf::ConvPoolGradient(..) => 4,
            },
            [1, 1],
        ),
        Routine::ConvPoolForward { .. } => (3, [2, 2]),
        Routine::ConvPoolInputGradient(_) => (3, [1, 1]),
        Routine::ConvPoolWeightGradient(_) => (3, [1, 2]),
        Routine::BiasedConv { .. } => (3, [1, 1]),
        Routine::LumpedConvInput { .. } => (3, [1, 1]),
        Routine::Winograd(_) => (2, [1, 1]),
        Routine::WinogradWeights { .. } | Routine::TurnedWeights(_) => (1, [1, 1]),
    }
}

/// A buffer with one value per example, or one for all.
#[derive(Clone, Copy, Debug)]
struct Operand {
    place: Place,
    elements: usize,
}

impl Operand {
    fn new(buffers: &[Buffer], id: BufferId) -> Operand {
        Operand { place: Place::new(buffers, id, 0), elements: elements(buffers, id) }
    }

    fn address(&self, frame: &Frame, example: usize) -> *mut f32 {
        frame.address(&self.place).wrapping_add(example * self.place.example).cast()
    }

    /// The values from this example on.
    fn batch(&self, frame: &Frame, example: usize) -> Batch<*mut f32> {
        Batch { start: self.address(frame, example), stride: self.place.example / 4 }
    }

    fn read(&self, frame: &Frame, example: usize) -> Batch<*const f32> {
        let Batch { start, stride } = self.batch(frame, example);
        Batch { start: start.cast_const(), stride }
    }
}

impl LeafWork {
    /// A call of a plan.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn new(call: &LeafCall, buffers: &[Buffer]) -> Result<LeafWork, String> {
        let operands = |ids: &[BufferId]| ids.iter().map(|id| Operand::new(buffers, *id)).collect();
        let (wanted, [least, most]) = arity(&call.routine);
        if call.inputs.len() != wanted || !(least..=most).contains(&call.outputs.len()) {
            let (inputs, outputs) = (call.inputs.len(), call.outputs.len());
            return Err(format!("{wanted} inputs are needed, not {inputs}, with {outputs} outputs"));
        }
        let slot = call.mode == WriteMode::Slot;
        let each = slot || buffers[call.outputs[0].0 as usize].level == Level::Each;
        let (inputs, outputs) = (operands(&call.inputs), operands(&call.outputs));
        Ok(LeafWork { routine: call.routine.clone(), inputs, outputs, each, slot })
    }

    /// Whether one call does all examples: they share the weights, or the place of the result.
    fn together(&self) -> bool {
        let shared = |input: usize| self.inputs[input].place.example == 0;
        match &self.routine {
            Routine::Leaf(leaf) => match leaf {
                Leaf::Conv(_) | Leaf::ConvInput(_) => shared(1),
                Leaf::ConvWeight(_) | Leaf::WinogradWeight(_) => self.slot,
                Leaf::MaxPool(_)
                | Leaf::MaxPoolInput(_)
                | Leaf::MaxPoolPick(_)
                | Leaf::SumPool(_)
                | Leaf::SumPoolInput(_) => true,
                Leaf::ConvPool { .. }
                | Leaf::ConvPoolGradient(..)
                | Leaf::Winograd { .. }
                | Leaf::ArgMax { .. }
                | Leaf::ArgSort { .. }
                | Leaf::CumSum { .. }
                | Leaf::Gather { .. }
                | Leaf::ScatterAdd { .. }
                | Leaf::Random { .. } => false,
            },
            Routine::ConvPoolForward { .. } | Routine::BiasedConv { .. } => shared(1) && shared(2),
            Routine::ConvPoolInputGradient(_) => shared(2),
            Routine::LumpedConvInput { .. } => shared(1),
            Routine::Winograd(_) => shared(1),
            Routine::ConvPoolWeightGradient(_) => self.slot,
            Routine::WinogradWeights { .. } | Routine::TurnedWeights(_) => false,
        }
    }

    /// Runs it for every example of the frame, or once.
    pub fn run(&self, frame: &Frame, facts: &Facts, scratch: &mut Scratch) {
        let count = if self.each { frame.examples } else { 1 };
        if self.together() {
            self.call(frame, facts, scratch, 0, count);
        } else {
            for example in 0..count {
                self.call(frame, facts, scratch, example, 1);
            }
        }
    }

    /// Calls the kernel for some examples.
    fn call(&self, frame: &Frame, facts: &Facts, scratch: &mut Scratch, first: usize, count: usize) {
        let output = |i: usize| self.outputs[i].batch(frame, first);
        let input = |i: usize| self.inputs[i].read(frame, first);
        let adds = self.slot && (frame.adds || first > 0);
        // SAFETY: the plan gives every buffer its place for these examples: as large as its type says, apart
        // from all others that live at the same time. The checks of the graph made types and windows fit.
        unsafe {
            match &self.routine {
                Routine::Leaf(leaf) => self.leaf(leaf, frame, facts, scratch, first, count),
                Routine::ConvPoolForward { spec, winograd } => {
                    let forward = if *winograd { winograd::forward } else { conv_pool::forward };
                    let (y, taps, scratch) = (output(0), output(1).bytes(), &mut scratch.kernels);
                    forward(spec, count, input(0), input(1).start, input(2).start, y, taps, scratch);
                }
                Routine::ConvPoolInputGradient(spec) => {
                    let (taps, turned, scratch) = (input(1).bytes(), input(2).start, &mut scratch.kernels);
                    conv_pool::input_gradient(spec, count, input(0), taps, turned, output(0), scratch);
                }
                Routine::LumpedConvInput { conv, layer } => {
                    let over = Over { images: input(2), layer };
                    let (g, w, scratch) = (input(0), input(1).start, &mut scratch.kernels);
                    conv::lumped_input_gradient(conv, count, g, w, output(0), over, scratch);
                }
                Routine::ConvPoolWeightGradient(spec) => {
                    let (x, g, taps) = (input(0), input(1), input(2).bytes());
                    let bias = if self.outputs.len() > 1 { output(1).start } else { std::ptr::null_mut() };
                    let (dw, scratch) = (output(0).start, &mut scratch.kernels);
                    conv_pool::weight_gradient(spec, count, x, g, taps, dw, bias, adds, scratch);
                }
                Routine::BiasedConv { conv, winograd, relu } => {
                    let forward = if *winograd { winograd_plain::forward } else { conv::forward };
                    let epilogue = Epilogue { bias: Some(input(2).start), relu: *relu };
                    let (x, w, scratch) = (input(0), input(1).start, &mut scratch.kernels);
                    forward(conv, count, x, w, output(0), epilogue, scratch);
                }
                Routine::Winograd(conv) => {
                    let (x, weights, none) = (input(0), input(1).start, Epilogue::default());
                    let scratch = &mut scratch.kernels;
                    winograd_plain::forward(conv, count, x, weights, output(0), none, scratch);
                }
                Routine::WinogradWeights { conv, turned } => {
                    let (w, to) = (input(0).start, output(0).start);
                    winograd::prepare_weights(conv, *turned, w, to, &mut scratch.kernels);
                }
                Routine::TurnedWeights(spec) => {
                    conv_pool::prepare_input_weights(spec, input(0).start, output(0).start);
                }
            }
        }
    }

    /// Calls the kernel of an op for some examples.
    ///
    /// # Safety
    /// Every operand has its place for these examples.
    unsafe fn leaf(
        &self,
        leaf: &Leaf,
        frame: &Frame,
        facts: &Facts,
        scratch: &mut Scratch,
        first: usize,
        count: usize,
    ) {
        let output = self.outputs[0].batch(frame, first);
        let input = |i: usize| self.inputs[i].read(frame, first);
        let scratch = &mut scratch.kernels;
        let isa = Isa::current();
        let adds = self.slot && (frame.adds || first > 0);
        // SAFETY: the caller vouches for the operands.
        unsafe {
            match leaf {
                Leaf::Conv(c) => {
                    let none = Epilogue::default();
                    conv::forward(c, count, input(0), input(1).start, output, none, scratch);
                }
                Leaf::ConvInput(c) => {
                    conv::input_gradient(c, count, input(0), input(1).start, output, scratch);
                }
                Leaf::ConvWeight(c) => {
                    conv::weight_gradient(c, count, input(0), input(1), output.start, adds, scratch);
                }
                Leaf::WinogradWeight(c) => {
                    let (x, g) = (input(0), input(1));
                    winograd_weights::weight_gradient(c, count, x, g, output.start, adds, scratch);
                }
                Leaf::ConvPool { .. } | Leaf::ConvPoolGradient(..) | Leaf::Winograd { .. } => {
                    unreachable!("planned as routines of their own")
                }
                Leaf::MaxPool(w) => pool::max_pool(isa, w, count, input(0), output),
                Leaf::MaxPoolInput(w) => pool::max_pool_gradient(isa, w, count, input(0), input(1), output),
                Leaf::MaxPoolPick(w) => pool::max_pool_pick(isa, w, count, input(0), input(1), output),
                Leaf::SumPool(w) => pool::sum_pool(isa, w, count, input(0), output),
                Leaf::SumPoolInput(w) => pool::sum_pool_gradient(isa, w, count, input(0), output),
                &Leaf::ArgMax { outer, n, inner, min } => {
                    rows::arg_extreme(outer, n, inner, min, input(0).start, output.start.cast());
                }
                &Leaf::ArgSort { outer, n, descending } => {
                    rows::arg_sort(outer, n, descending, input(0).start, output.start.cast());
                }
                &Leaf::CumSum { outer, n, inner, exclusive, reverse } => {
                    rows::cumulative_sum([outer, n, inner], exclusive, reverse, input(0).start, output.start);
                }
                &Leaf::Gather { rows, width, count } => {
                    rows::gather(rows, width, count, input(0).start, input(1).start.cast(), output.start);
                }
                &Leaf::ScatterAdd { rows, width, count } => {
                    if !adds {
                        std::slice::from_raw_parts_mut(output.start, self.outputs[0].elements).fill(0.0);
                    }
                    let (index, values) = (input(0).start.cast(), input(1).start);
                    rows::scatter_add(rows, width, count, index, values, output.start);
                }
                Leaf::Random { distribution, stream } => {
                    let number = (frame.first + first) as u64;
                    let generator = Generator::new(facts.moment.seed, *stream, facts.moment.step, number);
                    let values = std::slice::from_raw_parts_mut(output.start, self.outputs[0].elements);
                    match distribution {
                        Distribution::Uniform => generator.fill_uniform(values),
                        Distribution::Normal => generator.fill_normal(values),
                    }
                }
            }
        }
    }
}
