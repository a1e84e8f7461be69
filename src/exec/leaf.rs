//! Calls of hand-written kernels: from a planned call to slices.

use super::kernel::{Facts, Scratch, elements};
use super::places::{Frame, Place};
use crate::ir::Level;
use crate::ir::kernel::{Distribution, Leaf};
use crate::ir::plan::{Buffer, BufferId, LeafCall, WriteMode};
use crate::kernels::random::Generator;

/// A planned call with its places.
pub struct LeafWork {
    leaf: Leaf,
    inputs: Vec<Operand>,
    output: Operand,
    /// There is one call per example.
    each: bool,
    slot: bool,
}

/// A buffer as a slice per example.
#[derive(Clone, Copy, Debug)]
struct Operand {
    place: Place,
    elements: usize,
}

impl Operand {
    fn new(buffers: &[Buffer], id: BufferId) -> Operand {
        Operand { place: Place::new(buffers, id, 0), elements: elements(buffers, id) }
    }

    fn address(&self, frame: &Frame, example: usize) -> *mut u8 {
        frame.address(&self.place).wrapping_add(example * self.place.example)
    }
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
        Ok(LeafWork {
            leaf: call.leaf.clone(),
            inputs,
            output: Operand::new(buffers, call.output),
            each,
            slot,
        })
    }

    /// Runs it for every example of the frame, or once.
    pub fn run(&self, frame: &Frame, facts: &Facts, _: &mut Scratch) {
        let count = if self.each { frame.examples } else { 1 };
        for example in 0..count {
            let address = self.output.address(frame, example).cast::<f32>();
            // SAFETY: the plan gives every buffer its place for this example, and no other lies there.
            let output = unsafe { std::slice::from_raw_parts_mut(address, self.output.elements) };
            if let Leaf::Random { distribution, stream } = &self.leaf {
                let number = (frame.first + example) as u64;
                let generator = Generator::new(facts.moment.seed, *stream, facts.moment.step, number);
                match distribution {
                    Distribution::Uniform => generator.fill_uniform(output),
                    Distribution::Normal => generator.fill_normal(output),
                }
            }
        }
    }
}
