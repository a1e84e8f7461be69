//! The variables of an experiment: all in one run of memory, which every program of a run works on.

use super::memory::{Memory, available, short};
use crate::base::Diagnostic;
use crate::ir::computation::VariableId;
use crate::ir::plan::variable_layout;
use crate::ty::Type;

/// The values of all variables.
pub struct Store {
    memory: Memory,
    offsets: Vec<usize>,
    elements: Vec<usize>,
    bytes: usize,
}

impl Store {
    /// Zeros for variables of these types.
    ///
    /// # Errors
    /// When they do not fit into memory.
    pub fn new(types: &[Type]) -> Result<Store, Diagnostic> {
        let (offsets, bytes) = variable_layout(types);
        let free = available();
        if free.is_some_and(|free| bytes as u64 > free) {
            return Err(short(bytes as u64, free));
        }
        let elements = types.iter().map(|ty| ty.shape.elements()).collect();
        Ok(Store { memory: Memory::new(bytes)?, offsets, elements, bytes })
    }

    /// How many variables there are.
    pub fn len(&self) -> usize {
        self.offsets.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.offsets.is_empty()
    }

    /// Size in bytes.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// The elements of a variable.
    pub fn get(&self, variable: VariableId) -> &[f32] {
        let i = variable.0 as usize;
        self.memory.floats(self.offsets[i], self.elements[i])
    }

    /// The elements of a variable.
    pub fn get_mut(&mut self, variable: VariableId) -> &mut [f32] {
        let i = variable.0 as usize;
        self.memory.floats_mut(self.offsets[i], self.elements[i])
    }

    /// The elements of a variable of indices.
    pub fn indices(&self, variable: VariableId) -> &[i32] {
        let i = variable.0 as usize;
        self.memory.indices(self.offsets[i], self.elements[i])
    }

    /// The elements of a variable of indices.
    pub fn indices_mut(&mut self, variable: VariableId) -> &mut [i32] {
        let i = variable.0 as usize;
        self.memory.indices_mut(self.offsets[i], self.elements[i])
    }

    /// Elements from a byte offset on.
    pub(super) fn slice_mut(&mut self, offset: usize, elements: usize) -> &mut [f32] {
        self.memory.floats_mut(offset, elements)
    }

    /// Copies elements from one byte offset to another.
    pub(super) fn copy(&mut self, from: usize, to: usize, elements: usize) {
        let all = self.memory.floats_mut(0, self.bytes / 4);
        all.copy_within(from / 4..from / 4 + elements, to / 4);
    }

    pub(super) fn base(&mut self) -> *mut u8 {
        self.memory.base()
    }
}
