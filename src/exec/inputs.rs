//! The data of some batches in the form that a plan reads. A program works on one set of it; others can be
//! filled by another thread in the meantime and then change places with it, without a copy.

use std::ops::Range;

use super::memory::Memory;
use crate::base::Diagnostic;
use crate::ir::plan::{Arena, BufferId, Plan};
use crate::ty::DType;

/// Room for batches, one after the other.
pub struct Inputs {
    memory: Memory,
    regions: Vec<Region>,
    /// Bytes from one batch to the next.
    stride: usize,
    batches: usize,
}

/// Where an input lies in a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Region {
    input: usize,
    offset: usize,
    /// Of a full batch.
    elements: usize,
    /// Of one example.
    width: usize,
    indices: bool,
}

/// Values of some examples of an input, to be written.
#[derive(Debug)]
pub enum Values<'a> {
    /// Numbers and truth values.
    Floats(&'a mut [f32]),
    /// Indices.
    Indices(&'a mut [i32]),
}

/// Writes some examples of an input. Several workers call it at once, each for its own examples.
pub type Fill<'a> = dyn Fn(usize, Range<usize>, Values) + Sync + 'a;

impl Region {
    /// Where the inputs of a plan lie.
    pub(super) fn all(plan: &Plan) -> Vec<Region> {
        let region = |(id, input): &(BufferId, usize)| {
            let buffer = &plan.buffers[id.0 as usize];
            let width = buffer.ty.shape.elements();
            let indices = match buffer.ty.dtype {
                DType::Index(_) => true,
                DType::F32 | DType::Bool => false,
            };
            Region { input: *input, offset: buffer.offset, elements: width * plan.batch, width, indices }
        };
        plan.inputs.iter().map(region).collect()
    }

    /// Has some examples written.
    ///
    /// # Safety
    /// `base` is the start of a batch with this region, in which nobody else uses these examples.
    pub(super) unsafe fn fill(&self, base: *mut u8, examples: Range<usize>, fill: &Fill) {
        let elements = examples.len() * self.width;
        assert!(examples.end * self.width <= self.elements, "examples of the batch");
        let start = base.wrapping_add(self.offset + 4 * examples.start * self.width);
        // SAFETY: as asserted, the elements lie in the region, which begins at a multiple of 64 bytes and is
        // the caller's for these examples.
        let values = unsafe {
            match self.indices {
                true => Values::Indices(std::slice::from_raw_parts_mut(start.cast(), elements)),
                false => Values::Floats(std::slice::from_raw_parts_mut(start.cast(), elements)),
            }
        };
        fill(self.input, examples, values);
    }
}

impl Inputs {
    /// Room for this many batches of a plan.
    ///
    /// # Errors
    /// When the system has no such amount of memory.
    pub(super) fn new(plan: &Plan, batches: usize) -> Result<Inputs, Diagnostic> {
        let stride = plan.arena_bytes[Arena::Inputs as usize].next_multiple_of(64);
        Ok(Inputs { memory: Memory::new(stride * batches)?, regions: Region::all(plan), stride, batches })
    }

    /// How many batches there is room for.
    pub fn batches(&self) -> usize {
        self.batches
    }

    fn region(&self, batch: usize, input: usize) -> Option<(usize, usize)> {
        assert!(batch < self.batches, "batch {batch} of {}", self.batches);
        let region = self.regions.iter().find(|region| region.input == input)?;
        Some((batch * self.stride + region.offset, region.elements))
    }

    /// Input `i` of a batch, `[batch, ..]`. Empty if the plan does not read it.
    ///
    /// # Panics
    /// When there is no such batch.
    pub fn floats_mut(&mut self, batch: usize, input: usize) -> &mut [f32] {
        match self.region(batch, input) {
            Some((offset, elements)) => self.memory.floats_mut(offset, elements),
            None => &mut [],
        }
    }

    /// As [`Inputs::floats_mut`], for an input of indices.
    ///
    /// # Panics
    /// When there is no such batch.
    pub fn indices_mut(&mut self, batch: usize, input: usize) -> &mut [i32] {
        match self.region(batch, input) {
            Some((offset, elements)) => self.memory.indices_mut(offset, elements),
            None => &mut [],
        }
    }

    /// Has every input of a batch written.
    ///
    /// # Panics
    /// When there is no such batch.
    pub fn fill(&mut self, batch: usize, mut fill: impl FnMut(usize, Values)) {
        for at in 0..self.regions.len() {
            let Region { input, indices, .. } = self.regions[at];
            match indices {
                true => fill(input, Values::Indices(self.indices_mut(batch, input))),
                false => fill(input, Values::Floats(self.floats_mut(batch, input))),
            }
        }
    }

    /// The first byte of a batch.
    pub(super) fn base(&mut self, batch: usize) -> *mut u8 {
        assert!(batch < self.batches, "batch {batch} of {}", self.batches);
        self.memory.base().wrapping_add(batch * self.stride)
    }

    /// The memory, and where a batch begins in it.
    pub(super) fn memory(&self, batch: usize) -> (&Memory, usize) {
        (&self.memory, batch * self.stride)
    }

    /// Whether both are for the same plan, so that they may change places.
    pub(super) fn fits(&self, other: &Inputs) -> bool {
        self.regions == other.regions && self.stride == other.stride
    }
}
