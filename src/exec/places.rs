//! Where the accesses of kernels lie, and the addresses they have at one tile.

use crate::ir::plan::{ARENAS, Arena, Buffer, BufferId, Extent};
use crate::jit::Address;

/// A place in an arena, still to be moved to a tile.
#[derive(Clone, Copy, Debug)]
pub struct Place {
    arena: usize,
    /// Bytes from the arena's or region's start.
    offset: isize,
    /// Bytes by which the first example of a tile moves it.
    tile: usize,
    /// Bytes by which an iteration of the loop around it moves it.
    step: isize,
    /// Bytes from one example to the next.
    pub example: usize,
}

impl Place {
    /// The place of an element of a buffer.
    pub fn new(buffers: &[Buffer], buffer: BufferId, element: i64) -> Place {
        let buffer = &buffers[buffer.0 as usize];
        let tile = match buffer.arena {
            Arena::Inputs | Arena::Batch => buffer.stride,
            Arena::Variables | Arena::Once | Arena::Tile | Arena::Slots => 0,
        };
        Place {
            arena: buffer.arena as usize,
            offset: buffer.offset as isize + 4 * element as isize,
            tile,
            step: buffer.step as isize,
            example: buffer.stride,
        }
    }
}

impl From<&Place> for Address {
    fn from(place: &Place) -> Address {
        Address { arena: place.arena, offset: place.offset as i64, example: place.tile as i64 }
    }
}

/// Where a worker stands: one tile of one slot, or the whole batch.
#[derive(Clone, Copy, Debug)]
pub struct Frame {
    /// The start of each arena, or of the region of it that belongs here.
    pub bases: [*mut u8; ARENAS],
    /// The first example.
    pub first: usize,
    /// How many examples.
    pub examples: usize,
    /// The slot has partial sums already.
    pub adds: bool,
    /// Which iteration of a loop runs.
    pub iteration: usize,
}

impl Frame {
    /// The address of a place here.
    pub fn address(&self, place: &Place) -> *mut u8 {
        let moved = place.offset + self.iteration as isize * place.step;
        self.bases[place.arena].wrapping_offset(moved).wrapping_add(self.first * place.tile)
    }

    /// The number of iterations of a loop.
    pub fn count(&self, extent: Extent) -> usize {
        match extent {
            Extent::Const(n) => n,
            Extent::Examples(factor) => factor * self.examples,
        }
    }
}
