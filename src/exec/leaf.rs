//! Calls of hand-written kernels: from a planned call to addresses, one example after the other or all of a
//! tile at once.

use super::kernel::{Facts, Scratch, elements};
use super::places::{Frame, Place};
use crate::ir::Level;
use crate::ir::kernel::{self, Distribution, Leaf};
use crate::ir::plan::{Buffer, BufferId, LeafCall, WriteMode};
use crate::kernels::conv::{self, Batch, Conv, Window};
use crate::kernels::isa::Isa;
use crate::kernels::random::Generator;
use crate::kernels::{pool, rows};

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
    MaxPool(Window),
    MaxPoolInput(Window),
    MaxPoolPick(Window),
    SumPool(Window),
    SumPoolInput(Window),
    ArgExtreme { outer: usize, n: usize, inner: usize, min: bool },
    Gather { rows: usize, width: usize, count: usize },
    ScatterAdd { rows: usize, width: usize, count: usize },
    Random(Distribution, u64),
}

impl Call {
    /// The call of a leaf and its number of inputs.
    fn new(leaf: &Leaf) -> (usize, Call) {
        match leaf {
            Leaf::Conv(c) => (2, Call::Conv(convolution(c))),
            Leaf::ConvInput(c) => (2, Call::ConvInput(convolution(c))),
            Leaf::ConvWeight(c) => (2, Call::ConvWeight(convolution(c))),
            Leaf::MaxPool(w) => (1, Call::MaxPool(window(w))),
            Leaf::MaxPoolInput(w) => (2, Call::MaxPoolInput(window(w))),
            Leaf::MaxPoolPick(w) => (2, Call::MaxPoolPick(window(w))),
            Leaf::SumPool(w) => (1, Call::SumPool(window(w))),
            Leaf::SumPoolInput(w) => (1, Call::SumPoolInput(window(w))),
            &Leaf::ArgMax { outer, n, inner, min } => (1, Call::ArgExtreme { outer, n, inner, min }),
            &Leaf::Gather { rows, width, count } => (2, Call::Gather { rows, width, count }),
            &Leaf::ScatterAdd { rows, width, count } => (2, Call::ScatterAdd { rows, width, count }),
            Leaf::Random { distribution, stream } => (0, Call::Random(*distribution, *stream)),
        }
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
        let (wanted, kernel) = Call::new(&call.leaf);
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
            Call::MaxPool(_)
            | Call::MaxPoolInput(_)
            | Call::MaxPoolPick(_)
            | Call::SumPool(_)
            | Call::SumPoolInput(_) => true,
            Call::ArgExtreme { .. } | Call::Gather { .. } | Call::ScatterAdd { .. } | Call::Random(..) => {
                false
            }
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
        let isa = Isa::current();
        let adds = self.slot && (frame.adds || first > 0);
        // SAFETY: the plan gives every buffer its place for these examples: as large as its type says, apart
        // from all others that live at the same time. The checks of the graph made types and windows fit.
        unsafe {
            match &self.call {
                Call::Conv(c) => conv::forward(c, count, input(0), input(1).start, output, scratch),
                Call::ConvInput(c) => {
                    conv::input_gradient(c, count, input(0), input(1).start, output, scratch);
                }
                Call::ConvWeight(c) => {
                    conv::weight_gradient(c, count, input(0), input(1), output.start, adds, scratch);
                }
                Call::MaxPool(w) => pool::max_pool(isa, w, count, input(0), output),
                Call::MaxPoolInput(w) => pool::max_pool_gradient(isa, w, count, input(0), input(1), output),
                Call::MaxPoolPick(w) => pool::max_pool_pick(isa, w, count, input(0), input(1), output),
                Call::SumPool(w) => pool::sum_pool(isa, w, count, input(0), output),
                Call::SumPoolInput(w) => pool::sum_pool_gradient(isa, w, count, input(0), output),
                &Call::ArgExtreme { outer, n, inner, min } => {
                    rows::arg_extreme(outer, n, inner, min, input(0).start, output.start.cast());
                }
                &Call::Gather { rows, width, count } => {
                    rows::gather(rows, width, count, input(0).start, input(1).start.cast(), output.start);
                }
                &Call::ScatterAdd { rows, width, count } => {
                    if !adds {
                        std::slice::from_raw_parts_mut(output.start, self.output.elements).fill(0.0);
                    }
                    rows::scatter_add(
                        rows,
                        width,
                        count,
                        input(0).start.cast(),
                        input(1).start,
                        output.start,
                    );
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
