//! Calls of hand-written kernels: from a planned call to addresses, one example after the other or all of a
//! tile at once.

use super::kernel::{Facts, Scratch, elements};
use super::places::{Frame, Place};
use crate::ir::Level;
use crate::ir::kernel::{self, Distribution, Leaf};
use crate::ir::plan::{Buffer, BufferId, LeafCall, WriteMode};
use crate::kernels::conv::{self, Batch, Conv, Window};
use crate::kernels::random::Generator;

/// A planned call with its places.
pub struct LeafWork {
    call: Call,
    inputs: Vec<Operand>,
    output: Operand,
    /// There is one call per example.
    each: bool,
    slot: bool,
}

/// Which kernel.
enum Call {
    Conv(Conv),
    ConvInput(Conv),
    ConvWeight(Conv),
    Random(Distribution, u64),
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

fn window(w: &kernel::Window) -> Window {
    let kernel::Window { input, channels, output, kernel, stride, dilation, pad } = *w;
    Window { input, channels, output, kernel, stride, dilation, pad }
}

fn convolution(c: &kernel::Conv) -> Conv {
    Conv { window: window(&c.window), out_channels: c.out_channels, groups: c.groups }
}

impl LeafWork {
    /// A call of a plan.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn new(call: &LeafCall, buffers: &[Buffer]) -> Result<LeafWork, String> {
        let output = &buffers[call.output.0 as usize];
        let inputs: Vec<Operand> = call.inputs.iter().map(|id| Operand::new(buffers, *id)).collect();
        let slot = call.mode == WriteMode::Slot;
        let each = slot || output.level == Level::Each;
        let (wanted, kernel) = match &call.leaf {
            Leaf::Conv(c) => (2, Call::Conv(convolution(c))),
            Leaf::ConvInput(c) => (2, Call::ConvInput(convolution(c))),
            Leaf::ConvWeight(c) => (2, Call::ConvWeight(convolution(c))),
            Leaf::Random { distribution, stream } => (0, Call::Random(*distribution, *stream)),
            other => return Err(format!("{other:?}")),
        };
        if inputs.len() != wanted {
            return Err(format!("{wanted} inputs are needed, not {}", inputs.len()));
        }
        Ok(LeafWork { call: kernel, inputs, output: Operand::new(buffers, call.output), each, slot })
    }

    /// Runs it for every example of the frame, or once.
    pub fn run(&self, frame: &Frame, facts: &Facts, scratch: &mut Scratch) {
        let count = if self.each { frame.examples } else { 1 };
        // All at once where the examples share what stands second: the weights.
        let together = match self.call {
            Call::Conv(_) | Call::ConvInput(_) => self.inputs[1].place.example == 0,
            Call::ConvWeight(_) => self.slot,
            Call::Random(..) => false,
        };
        if together {
            self.call(frame, facts, scratch, 0, count);
        } else {
            for example in 0..count {
                self.call(frame, facts, scratch, example, 1);
            }
        }
    }

    /// Calls the kernel for some examples.
    fn call(&self, frame: &Frame, facts: &Facts, scratch: &mut Scratch, first: usize, count: usize) {
        let output = self.output.batch(frame, first);
        let input = |i: usize| self.inputs[i].read(frame, first);
        let scratch = &mut scratch.kernels;
        // SAFETY: the plan gives every buffer its place for these examples: as large as its type says, apart
        // from all others that live at the same time. The checks of the graph made types and windows fit.
        unsafe {
            match &self.call {
                Call::Conv(c) => conv::forward(c, count, input(0), input(1).start, output, scratch),
                Call::ConvInput(c) => {
                    conv::input_gradient(c, count, input(0), input(1).start, output, scratch);
                }
                Call::ConvWeight(c) => {
                    let adds = self.slot && (frame.adds || first > 0);
                    conv::weight_gradient(c, count, input(0), input(1), output.start, adds, scratch);
                }
                Call::Random(distribution, stream) => {
                    let number = (frame.first + first) as u64;
                    let generator = Generator::new(facts.moment.seed, *stream, facts.moment.step, number);
                    let values = std::slice::from_raw_parts_mut(output.start, self.output.elements);
                    match distribution {
                        Distribution::Uniform => generator.fill_uniform(values),
                        Distribution::Normal => generator.fill_normal(values),
                    }
                }
            }
        }
    }
}
