//! How a batch is cut: a function of the batch and the network, never of the machine or its threads, so that
//! the same file gives the same bits everywhere.

use super::PlanOptions;
use crate::ir::plan::{Phase, PlannedKernel, Work};

/// The cuts of a batch.
pub struct Cuts {
    /// Examples in a tile.
    pub tile: usize,
    /// Tiles in a slot.
    pub tiles_per_slot: usize,
    /// Slots in a full batch.
    pub slots: usize,
}

/// Nanoseconds of one worker for a floating-point operation.
const FLOP: f64 = 0.01;
/// Nanoseconds for a byte of a partial sum, written once and read once by all workers together.
const PARTIAL_BYTE: f64 = 0.05;
/// Nanoseconds for waking a worker and waiting for it.
const HANDOVER: f64 = 500.0;
/// Examples that a tile has at most: more do not make matrix products faster.
const TILE: usize = 32;
/// Examples that a tile with a loop over steps has at least, where the batch has them: they are the rows of the
/// products of a step, and with fewer the weights are read for too little work.
const LOOP_TILE: usize = 16;
/// Bytes that the values of a tile take at most, so that they stay in a core's own caches: those that live in a
/// phase, and what a phase reads and writes of those that live longer.
const TILE_BYTES: usize = 2 << 20;
/// Examples in a tile where already one does not fit: few tiles then, for each adds to the partial sums once.
const LARGE: usize = 4;

/// Chooses the number of slots that makes the estimated step the shortest: work divided over the slots,
/// against the partial sums and the handover that each slot brings. `example_bytes` is what a phase works on for one
/// example, `partial` the bytes of a slot's sums.
pub fn choose(
    kernels: &[PlannedKernel],
    phases: &[Phase],
    example_bytes: usize,
    partial: usize,
    options: &PlanOptions,
) -> Cuts {
    let batch = options.batch.max(1);
    let in_tiles = phases.iter().flat_map(|phase| match phase {
        Phase::Tiles(order) => order.as_slice(),
        Phase::Once(_) => &[],
    });
    let flops = in_tiles.map(|k| kernels[k.0 as usize].flops as f64).sum::<f64>() * batch as f64;
    let time = |slots: usize| {
        let slots = slots as f64;
        flops * FLOP / slots + slots * (partial as f64 * PARTIAL_BYTE + HANDOVER)
    };
    let mut all = phases.iter().flat_map(|phase| match phase {
        Phase::Tiles(order) => order.as_slice(),
        Phase::Once(_) => &[],
    });
    let loops = all.any(|k| matches!(kernels[k.0 as usize].work, Work::Loop(_)));
    let least = if loops { LOOP_TILE } else { 1 };
    let allowed = |slots: &usize| *slots == 1 || batch / slots >= least;
    let best = [1, 2, 4, 8].into_iter().filter(allowed).min_by(|a, b| time(*a).total_cmp(&time(*b)));
    let per_slot = batch.div_ceil(best.unwrap_or(1));
    let fitting = match TILE_BYTES / example_bytes.max(1) {
        0 => LARGE,
        fitting => fitting.min(TILE),
    };
    let fitting = fitting.max(least);
    let tile = options.tile.unwrap_or(fitting).clamp(1, per_slot);
    // Tiles of one size, so that no slot is larger than it was chosen to be.
    let tiles_per_slot = per_slot.div_ceil(tile);
    let tile = per_slot.div_ceil(tiles_per_slot);
    Cuts { tile, tiles_per_slot, slots: batch.div_ceil(tile * tiles_per_slot) }
}
