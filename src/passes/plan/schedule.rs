//! The order of kernels: phases over tiles and once-phases in turn.
//!
//! Once-phase 0 comes before everything, then tile-phase 0, once-phase 1, tile-phase 1, ... A kernel stands
//! in the first phase in which all it reads is there; a once-kernel that no tile needs waits for the last
//! once-phase, where the optimizer is.

use std::collections::HashMap;

use super::merge::{in_tiles, reads, writes};
use crate::ir::plan::{Arena, Buffer, BufferId, Extent, KernelId, Phase, PlannedKernel, Work};

/// A once-kernel with fewer points than this is not worth cutting.
const CUT_POINTS: usize = 16 * 1024;

/// Nor a product with fewer operations.
const CUT_FLOPS: u64 = 1 << 20;

/// The phases, and for each kernel the position in the order (phase, group).
pub struct Schedule {
    /// The phases, without empty ones.
    pub phases: Vec<Phase>,
    /// When each kernel runs.
    pub when: Vec<(usize, usize)>,
}

/// For each kernel whether it runs for every tile, and its stage, which is not before its `least`.
pub fn stages(kernels: &[PlannedKernel], buffers: &[Buffer], least: &[usize]) -> (Vec<bool>, Vec<usize>) {
    let tiles: Vec<bool> = kernels.iter().map(|k| in_tiles(k, buffers)).collect();
    let mut level = levels(kernels, &tiles, least);
    postpone(kernels, &tiles, buffers, &mut level);
    (tiles, level)
}

/// Orders the kernels, and moves per-example buffers that outlive a phase to [`Arena::Batch`]. No kernel comes before
/// its `least` stage.
pub fn schedule(
    kernels: &[PlannedKernel],
    buffers: &mut [Buffer],
    outputs: &[BufferId],
    least: &[usize],
) -> Schedule {
    let (tiles, level) = stages(kernels, buffers, least);
    keep_across_phases(kernels, &tiles, &level, buffers, outputs);

    let last = level.iter().copied().max().unwrap_or(0);
    let mut phases = Vec::new();
    let mut when = vec![(0, 0); kernels.len()];
    for stage in 0..=last {
        let members = |tile: bool| {
            let level = &level;
            let tiles = &tiles;
            (0..kernels.len()).filter(move |k| level[*k] == stage && tiles[*k] == tile)
        };
        let groups = once_groups(kernels, members(false).collect());
        if !groups.is_empty() {
            for (g, group) in groups.iter().enumerate() {
                for (k, _) in group {
                    when[k.0 as usize] = (phases.len(), g);
                }
            }
            phases.push(Phase::Once(groups));
        }
        let in_tile: Vec<KernelId> = members(true).map(|k| KernelId(k as u32)).collect();
        if !in_tile.is_empty() {
            for (g, k) in in_tile.iter().enumerate() {
                when[k.0 as usize] = (phases.len(), g);
            }
            phases.push(Phase::Tiles(in_tile));
        }
    }
    Schedule { phases, when }
}

/// For each kernel the stage: once-kernels of stage s run before the tile-kernels of stage s.
fn levels(kernels: &[PlannedKernel], tiles: &[bool], least: &[usize]) -> Vec<usize> {
    // The stage after which a buffer's value is there, and whether tiles make it.
    let mut ready: HashMap<BufferId, (usize, bool)> = HashMap::new();
    let mut level = vec![0; kernels.len()];
    for (k, kernel) in kernels.iter().enumerate() {
        let mut stage = least.get(k).copied().unwrap_or(0);
        for buffer in reads(kernel).iter().chain(&writes(kernel)) {
            let Some((at, by_tiles)) = ready.get(buffer) else { continue };
            // What tiles make is there for once-kernels in the next stage.
            let waits = !tiles[k] && *by_tiles;
            stage = stage.max(at + usize::from(waits));
        }
        level[k] = stage;
        for buffer in writes(kernel) {
            let (at, by_tiles) = ready.entry(buffer).or_insert((0, false));
            (*at, *by_tiles) = ((*at).max(stage), tiles[k]);
        }
    }
    level
}

/// Once-kernels that no tile-kernel needs go to the last stage.
fn postpone(kernels: &[PlannedKernel], tiles: &[bool], buffers: &[Buffer], level: &mut [usize]) {
    let tile_stages = (0..kernels.len()).filter(|k| tiles[*k]).map(|k| level[k] + 1).max().unwrap_or(0);
    let last = level.iter().copied().max().unwrap_or(0).max(tile_stages);
    let mut needed_by_tiles: Vec<bool> = vec![false; buffers.len()];
    for k in (0..kernels.len()).rev() {
        let needed = tiles[k] || writes(&kernels[k]).iter().any(|b| needed_by_tiles[b.0 as usize]);
        if needed {
            reads(&kernels[k]).iter().for_each(|b| needed_by_tiles[b.0 as usize] = true);
        } else {
            level[k] = last;
        }
    }
}

fn keep_across_phases(
    kernels: &[PlannedKernel],
    tiles: &[bool],
    level: &[usize],
    buffers: &mut [Buffer],
    outputs: &[BufferId],
) {
    let mut made: HashMap<BufferId, usize> = HashMap::new();
    for (k, kernel) in kernels.iter().enumerate() {
        let own = writes(kernel);
        for buffer in &own {
            made.entry(*buffer).or_insert(level[k]);
        }
        for buffer in reads(kernel).into_iter().chain(own) {
            let outlives = made.get(&buffer).is_some_and(|stage| *stage != level[k]) || !tiles[k];
            let target = &mut buffers[buffer.0 as usize];
            if outlives && target.arena == Arena::Tile && target.level == crate::ir::Level::Each {
                target.arena = Arena::Batch;
            }
        }
    }
    for output in outputs {
        let target = &mut buffers[output.0 as usize];
        if target.arena == Arena::Tile && target.level == crate::ir::Level::Each {
            target.arena = Arena::Batch;
        }
    }
    for buffer in buffers.iter_mut() {
        if buffer.arena == Arena::Tile && buffer.level == crate::ir::Level::Once {
            buffer.arena = Arena::Once;
        }
    }
}

/// Groups of once-kernels that do not depend on one another.
fn once_groups(kernels: &[PlannedKernel], members: Vec<usize>) -> Vec<Vec<(KernelId, bool)>> {
    let mut ready: HashMap<BufferId, usize> = HashMap::new();
    let mut groups: Vec<Vec<(KernelId, bool)>> = Vec::new();
    for k in members {
        let touched = reads(&kernels[k]).into_iter().chain(writes(&kernels[k]));
        let group = touched.filter_map(|b| ready.get(&b).map(|g| g + 1)).max().unwrap_or(0);
        for buffer in writes(&kernels[k]) {
            ready.insert(buffer, group);
        }
        if groups.len() <= group {
            groups.resize(group + 1, Vec::new());
        }
        groups[group].push((KernelId(k as u32), can_cut(&kernels[k])));
    }
    groups
}

/// Whether cutting a once-kernel over its outermost loop pays.
fn can_cut(kernel: &PlannedKernel) -> bool {
    match &kernel.work {
        Work::Nest(nest) => {
            let points: usize = nest
                .dims
                .iter()
                .map(|d| match d {
                    Extent::Const(n) | Extent::Examples(n) => *n,
                })
                .product();
            nest.dims.len() > nest.reduced && points >= CUT_POINTS
        }
        // Below some tens of microseconds the barrier costs what a second worker saves.
        Work::Gemm(gemm) => gemm.cut.is_some() && kernel.flops >= CUT_FLOPS,
        Work::Leaf(_) | Work::Loop(_) => false,
    }
}
