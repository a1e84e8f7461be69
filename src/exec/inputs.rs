//! The data of some batches in the form that a plan reads. A program works on one set of it; others can be
//! filled by another thread in the meantime and then change places with it, without a copy.

use super::memory::Memory;
use crate::base::Diagnostic;
use crate::ir::plan::{Arena, Plan};

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
struct Region {
    input: usize,
    offset: usize,
    /// Of a full batch.
    elements: usize,
}

impl Inputs {
    /// Room for this many batches of a plan.
    ///
    /// # Errors
    /// When the system has no such amount of memory.
    pub(super) fn new(plan: &Plan, batches: usize) -> Result<Inputs, Diagnostic> {
        let region = |(id, input): &(crate::ir::plan::BufferId, usize)| {
            let buffer = &plan.buffers[id.0 as usize];
            let elements = buffer.ty.shape.elements() * plan.batch;
            Region { input: *input, offset: buffer.offset, elements }
        };
        let stride = plan.arena_bytes[Arena::Inputs as usize].next_multiple_of(64);
        let regions = plan.inputs.iter().map(region).collect();
        Ok(Inputs { memory: Memory::new(stride * batches)?, regions, stride, batches })
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
